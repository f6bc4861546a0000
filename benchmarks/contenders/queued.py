"""What one writes to use a binding on asyncio: add_reader and a queue, add_writer and a future.

A contender gives `read` and `write` of its binding. The socket is a non-blocking one of the standard library,
which all of these bindings build upon.
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

from common import BATCH, MOST_STREAMS, Contender, Run, check_size

IPPROTO_SCTP = socket.IPPROTO_SCTP
SCTP_INITMSG, SCTP_NODELAY, SCTP_RECVRCVINFO, SCTP_EVENT = 2, 3, 32, 127
SCTP_ASSOC_CHANGE = 0x8001
MSG_EOR = 0x80


class Piece(NamedTuple):
    """What a read gave: a message or a part of it. No data: the end of the association."""

    data: bytes
    whole: bool
    stream: int
    ppid: int
    association: int
    sender: tuple[str, int] | None = None


class Queued:
    """A socket: one association, or a one-to-many one."""

    def __init__(self, sock: socket.socket, run: Run) -> None:
        self.sock = sock
        self.room = max(4096, run.size)
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[Piece] = asyncio.Queue()
        self.parts: list[bytes] = []
        self.first: Piece | None = None
        self.loop.add_reader(sock, self.readable)

    def read(self) -> Piece:
        """Read once; raises BlockingIOError."""
        raise NotImplementedError

    def write(self, data: bytes, stream: int, to: Piece | None) -> None:
        """Send once, on a one-to-many socket to where `to` came from; raises BlockingIOError."""
        raise NotImplementedError

    def readable(self) -> None:
        for _ in range(BATCH):
            try:
                piece = self.read()
            except BlockingIOError:
                return
            if not piece.data:
                self.loop.remove_reader(self.sock)
            elif not piece.whole:
                self.parts.append(piece.data)
                continue
            elif self.parts:
                piece = piece._replace(data=b"".join([*self.parts, piece.data]))
                self.parts.clear()
            self.queue.put_nowait(piece)
            if not piece.data:
                return

    async def send(self, data: bytes, stream: int = 0, to: Piece | None = None) -> None:
        while True:
            try:
                self.write(data, stream, to)
                return
            except BlockingIOError:
                await self.writable()

    async def writable(self) -> None:
        future = self.loop.create_future()
        self.loop.add_writer(self.sock, future.set_result, None)
        try:
            await future
        finally:
            self.loop.remove_writer(self.sock)

    async def get(self) -> bytes:
        piece = await self.queue.get()
        self.first = self.first or piece
        return piece.data

    async def put(self, data: bytes) -> None:
        await self.send(data, 0, self.first)

    async def accept(self) -> "Queued":
        return self

    def abort(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.loop.remove_reader(self.sock)
            self.sock.close()


class Door:
    """A listening one-to-one socket."""

    def __init__(self, sock: socket.socket, kind: type[Queued], run: Run) -> None:
        self.sock, self.kind, self.run = sock, kind, run

    async def accept(self) -> Queued:
        sock, _ = await asyncio.get_running_loop().sock_accept(self.sock)
        return self.kind(sock, self.run)

    def close(self) -> None:
        self.sock.close()


def make(run: Run, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind, IPPROTO_SCTP)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, run.send_buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, run.receive_buffer)
    sock.setsockopt(IPPROTO_SCTP, SCTP_NODELAY, 1)
    sock.setsockopt(IPPROTO_SCTP, SCTP_RECVRCVINFO, 1)
    sock.setsockopt(IPPROTO_SCTP, SCTP_INITMSG, struct.pack("4H", run.streams, MOST_STREAMS, 0, 0))
    return sock


def contender(kind: type[Queued]) -> Contender:
    """Make a contender of a binding."""

    async def listen(run: Run) -> Door | Queued:
        many = run.mode == "many"
        sock = make(run, socket.SOCK_SEQPACKET if many else socket.SOCK_STREAM)
        sock.bind((run.address, run.port))
        sock.listen(4096)
        return kind(sock, run) if many else Door(sock, kind, run)

    async def connect(run: Run) -> Queued:
        sock = make(run, socket.SOCK_STREAM)
        if run.work == "setup":
            # Nothing else tells that a shutdown is complete.
            sock.setsockopt(IPPROTO_SCTP, SCTP_EVENT, struct.pack("iHBx", 0, SCTP_ASSOC_CHANGE, 1))
        await asyncio.get_running_loop().sock_connect(sock, (run.address, run.port))
        return kind(sock, run)

    return Contender(listen, connect, take, answer, flood, trips, end, see_end)


async def take(source: Queued, run: Run, count: int) -> None:
    get, size = source.queue.get, run.size
    for _ in range(count):
        piece = await get()
        if len(piece.data) != size:
            check_size(piece.data, run)


async def answer(source: Queued, run: Run, count: int) -> None:
    for _ in range(count):
        piece = await source.queue.get()
        await source.send(piece.data, piece.stream, piece)


async def flood(sources: Sequence[Queued], run: Run) -> None:
    data, streams, associations = bytes(run.size), run.streams, run.associations
    if associations == 1:
        send = sources[0].send
        for number in range(run.count):
            await send(data, number % streams)
        return
    for number in range(run.count):
        await sources[number % associations].send(data, number // associations % streams)


async def trips(sources: Sequence[Queued], run: Run) -> list[float]:
    data, took = bytes(run.size), []
    for number in range(run.count):
        source = sources[number % run.associations]
        began = perf_counter()
        await source.send(data, number // run.associations % run.streams)
        piece = await source.queue.get()
        took.append(perf_counter() - began)
        check_size(piece.data, run)
    return took


async def end(source: Queued) -> None:
    source.sock.shutdown(socket.SHUT_WR)
    # COMM_UP is first, then SHUTDOWN_COMP.
    for _ in range(2):
        await source.queue.get()
    source.close()


async def see_end(source: Queued) -> None:
    if (piece := await source.queue.get()).data:
        raise ValueError(f"{piece} came, and not the end")
    source.close()
