"""A peer made by hand, behind a link of its own: it follows the protocol as far as a test wants, and lies.

No kernel is at its end of the link, so nothing answers but this.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from hostile.packets import chunk, packet
from kernel.lab import run
from support import PATIENCE, until

HERE, THERE = "10.80.0.1", "10.80.0.2"
INTERFACE, FAR = "liar0", "liar1"
# Above that of Ethernet, for long chunks.
MTU = 9000

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN = range(8)
ERROR, COOKIE_ECHO, COOKIE_ACK, I_DATA, RE_CONFIG = 9, 10, 11, 64, 130
# Flags of DATA: the last piece of a message, the first one.
LAST, FIRST = 1, 2

ETH_P_IP = 0x0800
WINDOW = 1 << 20


def parameters(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the kinds and values of the parameters of a chunk."""
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        yield kind, data[at + 4 : at + length]
        at += (max(length, 4) + 3) & ~3


class Liar:
    """One association of the peer with a listener."""

    def __init__(self, sock: socket.socket, there: int, *, port: int) -> None:
        self._sock = sock
        self._ports = port, there
        self._head = bytes.fromhex(_mac(INTERFACE) + _mac(FAR)) + struct.pack("!H", ETH_P_IP)
        self._tag = 0
        self.tsn = 1
        self._acknowledged = 0
        self._sent: dict[int, bytes] = {}
        self.answers: dict[int, list[bytes]] = {}
        """The last chunks of each kind that came."""

    async def connect(self, *, streams: int = 10, more: bytes = b"") -> None:
        """Set up the association; `more` are parameters of the INIT."""
        fixed = struct.pack("!IIHHI", 0xBADBEEF, WINDOW, streams, streams, self.tsn)
        self._send(chunk(INIT, 0, fixed + more), tag=0)
        await self.until_told(INIT_ACK)
        answer = self.answers[INIT_ACK][0]
        self._tag, _, _, _, first = struct.unpack_from("!IIHHI", answer)
        self._acknowledged = first - 1 & 0xFFFFFFFF
        self.send(chunk(COOKIE_ECHO, 0, dict(parameters(answer[16:]))[7]))
        await self.until_told(COOKIE_ACK)

    def send(self, *chunks: bytes) -> None:
        """Send chunks in one packet."""
        self._send(b"".join(chunks), tag=self._tag)

    def data(self, content: bytes, *, stream: int = 0, ssn: int = 0, flags: int = FIRST | LAST) -> bytes:
        """Make the next DATA chunk."""
        return self._numbered(chunk(DATA, flags, struct.pack("!IHHI", self.tsn, stream, ssn, 0) + content))

    def interleaved(self, content: bytes, *, stream: int) -> bytes:
        """Make the next I-DATA chunk, with the first part of a message of a stream (RFC 8260)."""
        return self._numbered(
            chunk(I_DATA, FIRST, struct.pack("!IHHII", self.tsn, stream, 0, 0, 0) + content)
        )

    def _numbered(self, made: bytes) -> bytes:
        self._sent[self.tsn] = made
        self.tsn += 1
        return made

    @property
    def outstanding(self) -> int:
        """How many DATA chunks have not been acknowledged."""
        return len(self._sent)

    def send_again(self) -> None:
        """Send the oldest DATA that was not acknowledged."""
        for made in list(self._sent.values())[:1]:
            self.send(made)

    async def until_told(self, kind: int) -> bytes:
        """Wait for a chunk of a kind; gives the last one."""
        await until(lambda: kind in self.answers)
        return self.answers[kind][-1]

    async def until_answered(self, kind: int, value: bytes) -> None:
        """Wait for a chunk of a kind that has just this value."""
        await until(lambda: value in self.answers.get(kind, []))

    def _send(self, chunks: bytes, *, tag: int) -> None:
        body = packet(*self._ports, tag, chunks)
        head = struct.pack(
            "!BBHHHBBH4s4s",
            *(0x45, 0, 20 + len(body), 0, 0x4000, 64, socket.IPPROTO_SCTP, 0),
            *(socket.inet_aton(THERE), socket.inet_aton(HERE)),
        )
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = (total & 0xFFFF) + (total >> 16) ^ 0xFFFF
        self._sock.send(self._head + head[:10] + struct.pack("!H", checksum) + head[12:] + body)

    def take(self) -> None:
        """Read what has come: chunks are kept, DATA acknowledged, HEARTBEATs answered."""
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self._sock.recv(65536)
                if frame[12:14] != b"\x08\0" or frame[23] != socket.IPPROTO_SCTP:
                    continue
                if struct.unpack_from("!HH", frame, 34) == self._ports[::-1]:
                    self._take_chunks(frame[46 : 14 + int.from_bytes(frame[16:18], "big")])

    def _take_chunks(self, data: bytes) -> None:
        at = 0
        while at + 4 <= len(data):
            kind, _, length = struct.unpack_from("!BBH", data, at)
            value = data[at + 4 : at + length]
            kept = self.answers.setdefault(kind, [])
            kept.append(value)
            del kept[:-20]
            if kind == DATA:
                self._acknowledged = struct.unpack_from("!I", value)[0]
                self.send(chunk(SACK, 0, struct.pack("!IIHH", self._acknowledged, WINDOW, 0, 0)))
            elif kind == SACK:
                for tsn in range(min(self._sent, default=0), struct.unpack_from("!I", value)[0] + 1):
                    self._sent.pop(tsn, None)
            elif kind == HEARTBEAT:
                self.send(chunk(HEARTBEAT_ACK, 0, value))
            at += (max(length, 4) + 3) & ~3


def _mac(interface: str) -> str:
    return Path(f"/sys/class/net/{interface}/address").read_text().strip().replace(":", "")


@contextlib.contextmanager
def far_end() -> Iterator[None]:
    """Make the link, whose far end has no address."""
    run(
        "ip",
        "-batch",
        "-",
        script=f"link add {INTERFACE} mtu {MTU} type veth peer name {FAR} mtu {MTU}\n"
        f"link set {FAR} addrgenmode none\nlink set {INTERFACE} up\nlink set {FAR} up\n"
        f"address add {HERE}/16 dev {INTERFACE}\n",
    )
    try:
        far = ":".join(_mac(FAR)[at : at + 2] for at in range(0, 12, 2))
        run("ip", "neigh", "replace", THERE, "lladdr", far, "nud", "permanent", "dev", INTERFACE)
        yield
    finally:
        run("ip", "link", "del", INTERFACE)


@asynccontextmanager
async def liar(there: int, *, port: int = 7000) -> AsyncIterator[Liar]:
    """Give a peer that is about to connect to a port here."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((FAR, ETH_P_IP))
        sock.setblocking(False)
        made = Liar(sock, there, port=port)
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, made.take)
        try:
            yield made
        finally:
            loop.remove_reader(sock)


async def acknowledged(peer: Liar, *, within: int = 0) -> None:
    """Wait until all that a peer sent, but for so many chunks, is acknowledged, or an ABORT has come.

    What the receiver had no space for is sent again.
    """
    async with asyncio.timeout(30 * PATIENCE):
        while peer.outstanding > within and ABORT not in peer.answers:
            with contextlib.suppress(TimeoutError):
                await until(lambda: peer.outstanding <= within or ABORT in peer.answers, seconds=0.05)
                return
            peer.send_again()
