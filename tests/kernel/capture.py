"""What was really sent: tcpdump captures it, tshark dissects it, and the tests read typed chunks.

One tshark serves a whole session, because it takes seconds to start: it reads one endless capture from a
pipe, to which the packets of each test are appended. A marker frame, sent on the interface when the test
is done, says that everything before it has been captured, and dissected.
"""

import contextlib
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

ETHERTYPE = 0x88B5  # "local experimental": the marker's
PCAP_HEADER = 24
ETHERNET = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
SECONDS = 60.0


class ChunkType(IntEnum):
    """The types of chunks that the tests name (RFC 9260 section 3.2, RFC 3758)."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    SHUTDOWN_COMPLETE = 14
    AUTH = 15
    I_DATA = 64
    ASCONF_ACK = 128
    RECONFIG = 130
    FORWARD_TSN = 192
    ASCONF = 193


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk, and the packet (by its number) that carried it."""

    packet: int
    time: float
    source: str
    source_port: int
    destination: str
    destination_port: int
    dscp: int
    type: ChunkType


@dataclass(frozen=True, slots=True)
class Data(Chunk):
    """A DATA chunk; `length` is that of its payload."""

    tsn: int
    sid: int
    ssn: int
    ppid: int
    unordered: bool
    beginning: bool
    ending: bool
    immediate: bool
    length: int


@dataclass(frozen=True, slots=True)
class Init(Chunk):
    """INIT or INIT ACK."""

    outbound_streams: int
    inbound_streams: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sack(Chunk):
    """SACK."""

    tsn: int


@dataclass(frozen=True, slots=True)
class Abort(Chunk):
    """ABORT, with the codes of its causes."""

    causes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ForwardTsn(Chunk):
    """FORWARD TSN, with the streams that it skips."""

    tsn: int
    sids: tuple[int, ...]


C = TypeVar("C", bound=Chunk)


@dataclass(slots=True)
class Wire:
    """The chunks of a capture, in order; there are none before it has ended."""

    chunks: tuple[Chunk, ...] = field(default=())

    def of(self, kind: type[C], *, port: int | None = None) -> list[C]:
        """Give the chunks of a class, of all ports or sent from one."""
        return [
            chunk for chunk in self.chunks if isinstance(chunk, kind) and port in (None, chunk.source_port)
        ]

    def types(self, *types: ChunkType) -> list[tuple[int, ChunkType]]:
        """Give the source port and the type of each chunk that has one of these types."""
        return [(chunk.source_port, chunk.type) for chunk in self.chunks if chunk.type in types]

    def data(self, *, port: int) -> list[Data]:
        """Give what a port sent as DATA, each TSN once, however often it was retransmitted."""
        first: dict[int, Data] = {}
        for chunk in self.of(Data, port=port):
            first.setdefault(chunk.tsn, chunk)
        return list(first.values())


class Dissector:
    """A tshark that reads as long as it lives."""

    def __init__(self) -> None:
        preferences = ["-o", "sctp.reassembly:FALSE", "-o", "sctp.relative_tsns:FALSE"]
        self._tshark = subprocess.Popen(
            ["tshark", "-n", "-Q", "-l", "-r", "-", "-T", "pdml", "-J", "ip ipv6 sctp data", *preferences],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._feed(ETHERNET)

    def _feed(self, raw: bytes) -> None:
        assert self._tshark.stdin is not None
        self._tshark.stdin.write(raw)
        self._tshark.stdin.flush()

    def close(self) -> None:
        """End it."""
        assert self._tshark.stdin is not None
        assert self._tshark.stdout is not None
        self._tshark.stdin.close()
        self._tshark.stdout.close()
        self._tshark.wait(SECONDS)

    def dissect(self, raw: bytes, marker: bytes) -> tuple[Chunk, ...]:
        """Dissect the packets of a capture that ends with the frame of the marker."""
        feeder = threading.Thread(target=self._feed, args=(raw,))
        feeder.start()
        chunks: list[Chunk] = []
        try:
            for packet in self._packets():
                if marker.hex() in packet:
                    return tuple(chunks)
                chunks += _chunks(packet)
        finally:
            feeder.join()
        raise AssertionError(f"tshark ended, with status {self._tshark.wait()}")

    def _packets(self) -> Iterator[str]:
        assert self._tshark.stdout is not None
        packet: list[str] = []
        for line in self._tshark.stdout:
            text = line.decode()
            if text.startswith("<packet>"):
                packet = []
            packet.append(text)
            if text.startswith("</packet>"):
                yield "".join(packet)

    @contextlib.contextmanager
    def capture(self, interface: str = "lo") -> Iterator[Wire]:
        """Capture the SCTP packets of an interface while the block runs."""
        wire = Wire()
        with recorded("sctp", interface) as recording:
            yield wire
        wire.chunks = self.dissect(recording.raw[PCAP_HEADER:], recording.marker)


@dataclass(slots=True)
class Recording:
    """A capture in pcap's format, there when it has ended; the frame of the marker is its last."""

    raw: bytes = b""
    marker: bytes = field(default_factory=lambda: os.urandom(24))


@contextlib.contextmanager
def recorded(what: str, interface: str = "lo") -> Iterator[Recording]:
    """Record what passes an interface and tcpdump's filter while the block runs, without a gap."""
    recording = Recording()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "capture.pcap"
        # Immediate mode has a ring of frames as large as the largest packet: many of them need room.
        command = ["tcpdump", "-i", interface, "-n", "-U", "-Z", "root", "-w", str(path)]
        command += ["--immediate-mode", "-s", "65535", "-B", "32768", f"{what} or ether proto {ETHERTYPE}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tcpdump:
            try:
                _wait_for_start(tcpdump)
                # On one busy processor it would come too late for its ring of a few hundred frames.
                with contextlib.suppress(PermissionError):
                    os.sched_setscheduler(tcpdump.pid, os.SCHED_FIFO, os.sched_param(1))
                yield recording
                _mark(interface, recording.marker)
                _wait_for_marker(path, recording.marker, tcpdump)
            finally:
                tcpdump.terminate()
                _, summary = tcpdump.communicate(timeout=SECONDS)
        assert "\n0 packets dropped by kernel" in summary, summary
        recording.raw = path.read_bytes()


def _wait_for_start(tcpdump: "subprocess.Popen[str]") -> None:
    assert tcpdump.stderr is not None
    said = []
    for line in tcpdump.stderr:
        # It says so when the capturing socket is bound and has its filter.
        if "listening on" in line:
            return
        said.append(line)
    raise AssertionError(f"tcpdump does not capture: {''.join(said)}")


def _mark(interface: str, marker: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        raw.send(bytes(12) + ETHERTYPE.to_bytes(2, "big") + marker.ljust(46, b"\0"))


def _wait_for_marker(path: Path, marker: bytes, tcpdump: "subprocess.Popen[str]") -> None:
    limit = time.monotonic() + SECONDS
    while marker not in path.read_bytes():
        assert tcpdump.poll() is None, "tcpdump has died"
        assert time.monotonic() < limit, "the marker was not captured"
        time.sleep(0.002)


# From the dissector's fields to values


def _show(element: ElementTree.Element, name: str) -> str:
    found = element.find(f".//field[@name='{name}']")
    assert found is not None, f"{name} is not in {element.get('show')}"
    return found.get("show", "")


def _number(element: ElementTree.Element, name: str) -> int:
    return int(_show(element, name), 0)


def _all(element: ElementTree.Element, name: str) -> tuple[str, ...]:
    return tuple(found.get("show", "") for found in element.iterfind(f".//field[@name='{name}']"))


def _chunks(packet: str) -> list[Chunk]:
    tree = ElementTree.fromstring(packet)
    # Payload that something else dissects splits the chunks of a packet over several of these.
    parts = tree.findall("./proto[@name='sctp']")
    if not parts:
        return []
    about = tree.find("./proto[@name='geninfo']")
    ip = tree.find("./proto[@name='ip']")
    ipv6 = tree.find("./proto[@name='ipv6']")
    assert about is not None
    timestamp = about.find("./field[@name='timestamp']")
    assert timestamp is not None
    if ip is not None:
        ends = _show(ip, "ip.src"), _show(ip, "ip.dst")
        dscp = _number(ip, "ip.dsfield.dscp")
    else:
        assert ipv6 is not None
        ends = _show(ipv6, "ipv6.src"), _show(ipv6, "ipv6.dst")
        dscp = _number(ipv6, "ipv6.tclass.dscp")
    ports = _number(parts[0], "sctp.srcport"), _number(parts[0], "sctp.dstport")
    return [
        _chunk(
            found,
            packet=_number(about, "num"),
            time=float(timestamp.get("value", "")),
            source=ends[0],
            source_port=ports[0],
            destination=ends[1],
            destination_port=ports[1],
            dscp=dscp,
        )
        for part in parts
        for found in part.iterfind("./field")
        if found.find("./field[@name='sctp.chunk_type']") is not None
    ]


def _chunk(
    found: ElementTree.Element,
    *,
    packet: int,
    time: float,
    source: str,
    source_port: int,
    destination: str,
    destination_port: int,
    dscp: int,
) -> Chunk:
    kind = ChunkType(_number(found, "sctp.chunk_type"))
    carried = (packet, time, source, source_port, destination, destination_port, dscp, kind)
    match kind:
        case ChunkType.DATA:
            return Data(
                *carried,
                tsn=_number(found, "sctp.data_tsn_raw"),
                sid=_number(found, "sctp.data_sid"),
                ssn=_number(found, "sctp.data_ssn"),
                ppid=_number(found, "sctp.data_payload_proto_id"),
                unordered=_number(found, "sctp.data_u_bit") == 1,
                beginning=_number(found, "sctp.data_b_bit") == 1,
                ending=_number(found, "sctp.data_e_bit") == 1,
                immediate=_number(found, "sctp.data_i_bit") == 1,
                length=_number(found, "sctp.chunk_length") - 16,
            )
        case ChunkType.INIT | ChunkType.INIT_ACK:
            name = "init" if kind is ChunkType.INIT else "initack"
            addresses = _all(found, "sctp.parameter_ipv4_address")
            return Init(
                *carried,
                outbound_streams=_number(found, f"sctp.{name}_nr_out_streams"),
                inbound_streams=_number(found, f"sctp.{name}_nr_in_streams"),
                addresses=addresses + _all(found, "sctp.parameter_ipv6_address"),
            )
        case ChunkType.SACK:
            return Sack(*carried, tsn=_number(found, "sctp.sack_cumulative_tsn_ack_raw"))
        case ChunkType.ABORT:
            return Abort(*carried, causes=tuple(int(code, 0) for code in _all(found, "sctp.cause_code")))
        case ChunkType.FORWARD_TSN:
            sids = tuple(int(sid) for sid in _all(found, "sctp.forward_tsn_sid"))
            return ForwardTsn(*carried, tsn=_number(found, "sctp.forward_tsn_tsn"), sids=sids)
        case _:
            return Chunk(*carried)
