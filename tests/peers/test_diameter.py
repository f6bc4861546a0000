"""freeDiameter's daemon, with sctpio at the other peer (Diameter, RFC 6733)."""

import asyncio
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kernel.lab import Lab
from peers.programs import FREEDIAMETER
from peers.running import PATIENT, PORTS, Started, started
from sctpio import Conn, EndOfAssociation, Ppid, connect, listen

CAPABILITIES, WATCHDOG, DISCONNECT = 257, 280, 282
REQUEST, MANDATORY, SUCCESS = 0x80, 0x40, 2001
HOST_ADDRESS, AUTH_APPLICATION, VENDOR, ORIGIN_STATE = 257, 258, 266, 278
ORIGIN_HOST, RESULT, PRODUCT, DISCONNECT_CAUSE, ORIGIN_REALM, INBAND_SECURITY = 264, 268, 269, 273, 296, 299
RELAY = 2**32 - 1
NAME = "peer.example"

# Watchdog: after 6 s without a message, give or take 2.
CONFIGURATION = """
Identity = "dut.example";
Realm = "example";
Port = {listening};
SecPort = 0;
No_TCP;
No_IPv6;
ListenOn = "{address}";
TLS_Cred = "{folder}/certificate.pem", "{folder}/key.pem";
TLS_CA = "{folder}/certificate.pem";
TwTimer = 6;
TcTimer = 1;
ConnectPeer = "peer.example" {{ ConnectTo = "{peer}"; No_TLS; Port = {called}; }};
"""


class Daemon(NamedTuple):
    """One that runs. It wants an address that is not a loopback's, so it is in the other namespace."""

    program: Started
    called: str  # where it calls
    listening: str


@pytest.fixture
def daemon(lab: Lab, tmp_path: Path) -> Iterator[Daemon]:
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=dut.example",
            ),
            *("-keyout", f"{tmp_path}/key.pem", "-out", f"{tmp_path}/certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )
    link, listening, called = lab.links[0], next(PORTS), next(PORTS)
    text = CONFIGURATION.format(
        listening=listening, called=called, folder=tmp_path, address=link.remote, peer=link.local
    )
    (tmp_path / "dut.conf").write_text(text)
    with started(
        ["ip", "netns", "exec", lab.namespace, "freeDiameterd", "-c", f"{tmp_path}/dut.conf"]
    ) as program:
        yield Daemon(program, f"{link.local}:{called}", f"{link.remote}:{listening}")


def value(code: int, data: bytes | int | str, flags: int = MANDATORY) -> bytes:
    """Encode an AVP."""
    if not isinstance(data, bytes):
        data = data.encode() if isinstance(data, str) else data.to_bytes(4)
    return struct.pack("!II", code, flags << 24 | 8 + len(data)) + data + bytes(-len(data) % 4)


def values(data: bytes) -> dict[int, bytes]:
    """Decode the AVPs of a message."""
    found = {}
    while data:
        code, length = struct.unpack_from("!II", data)
        head = 12 if length >> 31 else 8
        length &= 0xFFFFFF
        found[code] = data[head:length]
        data = data[length + -length % 4 :]
    return found


ORIGIN = value(ORIGIN_HOST, NAME) + value(ORIGIN_REALM, "example")


def capabilities(address: str) -> bytes:
    # Without Inband-Security-Id (0: none) the daemon would begin TLS.
    host = struct.pack("!H4B", 1, *map(int, address.split(".")))
    return b"".join(
        (
            ORIGIN,
            value(HOST_ADDRESS, host),
            value(VENDOR, 0),
            value(PRODUCT, "sctpio", 0),
            value(INBAND_SECURITY, 0),
            value(AUTH_APPLICATION, RELAY),
        )
    )


class Peer:
    """This side of the connection."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn

    async def send(self, flags: int, command: int, ids: bytes, body: bytes) -> None:
        head = struct.pack("!III", 1 << 24 | 20 + len(body), flags << 24 | command, 0)
        await self.conn.send(head + ids + body, ppid=Ppid.DIAMETER)

    async def ask(self, command: int, body: bytes) -> dict[int, bytes]:
        """Send a request, and give the answer to it; watchdogs that come before are answered."""
        ids = struct.pack("!II", command, 7)
        await self.send(REQUEST, command, ids, body)
        flags, answered, answer_ids, found = await self.receive()
        while (flags & REQUEST, answered) == (REQUEST, WATCHDOG):
            await self.send(0, WATCHDOG, answer_ids, value(RESULT, SUCCESS) + ORIGIN)
            flags, answered, answer_ids, found = await self.receive()
        assert (flags & REQUEST, answered, answer_ids) == (0, command, ids)
        assert int.from_bytes(found[RESULT]) == SUCCESS
        return found

    async def answer(self, wanted: int, body: bytes = ORIGIN) -> dict[int, bytes]:
        """Wait for a request, and answer it."""
        flags, command, ids, found = await self.receive()
        assert (flags & REQUEST, command) == (REQUEST, wanted)
        await self.send(0, command, ids, value(RESULT, SUCCESS) + body)
        return found

    async def receive(self) -> tuple[int, int, bytes, dict[int, bytes]]:
        message = await self.conn.receive()
        # It gives none, though RFC 6733 section 2.1 has 46.
        assert message.ppid == Ppid.UNSPECIFIED
        version_length, flags_command = struct.unpack_from("!II", message.data)
        assert version_length == 1 << 24 | len(message.data)
        found = values(message.data[20:])
        assert found[ORIGIN_HOST] == b"dut.example"
        return flags_command >> 24, flags_command & 0xFFFFFF, message.data[12:20], found


@pytest.mark.peer(
    FREEDIAMETER, "the program", "Diameter: our CER, DWR and DPR answered; its end of the association"
)
async def test_a_daemon_answers(lab: Lab, daemon: Daemon) -> None:
    async with asyncio.timeout(PATIENT):
        await daemon.program.listens(int(daemon.listening.rpartition(":")[2]), lab)
        async with connect(daemon.listening) as conn:
            peer = Peer(conn)
            answer = await peer.ask(CAPABILITIES, capabilities(lab.links[0].local))
            assert answer[PRODUCT] == b"freeDiameter"
            for _ in range(3):
                await peer.ask(WATCHDOG, ORIGIN)
            await peer.ask(DISCONNECT, ORIGIN + value(DISCONNECT_CAUSE, 0))
            with pytest.raises(EndOfAssociation):
                await conn.receive()


@pytest.mark.peer(FREEDIAMETER, "sctpio", "Diameter: its CER, DWR and DPR; its end of the association")
async def test_a_daemon_asks(lab: Lab, daemon: Daemon) -> None:
    async with asyncio.timeout(PATIENT), listen(daemon.called) as listener, await listener.accept() as conn:
        peer = Peer(conn)
        asked = await peer.answer(CAPABILITIES, capabilities(lab.links[0].local))
        assert asked[PRODUCT] == b"freeDiameter"
        await peer.answer(WATCHDOG)
        daemon.program.process.terminate()
        asked = await peer.answer(DISCONNECT)
        assert int.from_bytes(asked[DISCONNECT_CAUSE]) == 0
        with pytest.raises(EndOfAssociation):
            await conn.receive()
