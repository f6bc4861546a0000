"""What `capture` has no classes for: any chunk, in UDP too, with every field that tshark names."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

from kernel.capture import ETHERNET, PCAP_HEADER, Dissector, recorded

DATA, INIT, INIT_ACK, HEARTBEAT, HEARTBEAT_ACK, AUTH, I_DATA, PAD = 0, 1, 2, 4, 5, 15, 64, 132

# Parameters of INIT (RFC 9260 3.3.2, RFC 3758, RFC 4895, RFC 5061).
UNRECOGNIZED, ECN, FORWARD_TSN, RANDOM, ADAPTATION = 8, 0x8000, 0xC000, 0x8002, 0xC006

# UDP ports of this namespace and the other one (RFC 6951).
HERE_PORT, THERE_PORT = 9899, 19899


@dataclass(frozen=True, slots=True)
class Seen:
    """A chunk, by the names of tshark; `udp` are the ports of the datagram that it came in."""

    packet: int
    destination: str
    port: int
    udp: tuple[int, int] | None
    type: int
    fields: dict[str, tuple[int, ...]]

    def __getitem__(self, name: str) -> int:
        (value,) = self.fields[name]
        return value

    def all(self, name: str) -> tuple[int, ...]:
        return self.fields.get(name, ())


class Analyst(Dissector):
    """A dissector that shows all of SCTP, in UDP too."""

    def __init__(self) -> None:
        preferences = ["-o", "sctp.reassembly:FALSE", "-o", "sctp.relative_tsns:FALSE"]
        ports = [f"-dudp.port=={port},sctp" for port in (HERE_PORT, THERE_PORT)]
        self._tshark = subprocess.Popen(
            [
                "tshark",
                "-n",
                "-Q",
                "-l",
                "-r",
                "-",
                "-T",
                "pdml",
                "-J",
                "ip udp sctp data",
                *preferences,
                *ports,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._feed(ETHERNET)

    @contextlib.contextmanager
    def look(self, interface: str = "lo") -> Iterator[list[Seen]]:
        """Capture while the block runs; the list is filled when it has ended."""
        seen: list[Seen] = []
        with recorded("(sctp or udp)", interface) as recording:
            yield seen
        seen += self.see(recording.raw[PCAP_HEADER:], recording.marker)

    def see(self, raw: bytes, marker: bytes) -> list[Seen]:
        """Dissect the packets of a capture that ends with the frame of the marker."""
        feeder = threading.Thread(target=self._feed, args=(raw,))
        feeder.start()
        seen: list[Seen] = []
        try:
            for packet in self._packets():
                if marker.hex() in packet:
                    return seen
                seen += _seen(ElementTree.fromstring(packet))
        finally:
            feeder.join()
        raise AssertionError("tshark ended")


def _seen(packet: ElementTree.Element) -> Iterator[Seen]:
    about, ip = (packet.find(f"./proto[@name='{name}']") for name in ("geninfo", "ip"))
    udp = packet.find("./proto[@name='udp']")
    for part in packet.iterfind("./proto[@name='sctp']"):
        for chunk in part.iterfind("./field"):
            if chunk.find("./field[@name='sctp.chunk_type']") is None:
                continue
            assert about is not None
            assert ip is not None
            fields: dict[str, tuple[int, ...]] = {}
            for field in chunk.iter("field"):
                name, show = field.get("name", ""), field.get("show", "")
                with contextlib.suppress(ValueError):
                    fields[name] = (*fields.get(name, ()), int(show, 0))
            yield Seen(
                packet=_field(about, "num"),
                destination=_text(ip, "ip.dst"),
                port=_field(part, "sctp.srcport")
                if part.find(_NAMED.format("sctp.srcport")) is not None
                else 0,
                udp=None if udp is None else (_field(udp, "udp.srcport"), _field(udp, "udp.dstport")),
                type=fields["sctp.chunk_type"][0],
                fields=fields,
            )


_NAMED = ".//field[@name='{}']"


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.find(_NAMED.format(name))
    assert found is not None, name
    return found.get("show", "")


def _field(element: ElementTree.Element, name: str) -> int:
    return int(_text(element, name), 0)


def authenticated_by(seen: list[Seen], port: int) -> list[tuple[int, int] | None]:
    """Give key and algorithm of the AUTH chunk right before each DATA chunk of a port, None without one."""
    found: list[tuple[int, int] | None] = []
    for before, chunk in pairwise([seen[0], *seen]):
        if chunk.port == port and chunk.type == DATA:
            signed = before.type == AUTH and before.packet == chunk.packet
            found.append((before["sctp.shared_key_id"], before["sctp.hmac_id"]) if signed else None)
    return found
