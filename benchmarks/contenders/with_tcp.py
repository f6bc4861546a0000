"""TCP through asyncio streams, each message after its length in four bytes. Streams of SCTP it has none."""

import asyncio
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from common import Contender, Run, check_size, main

LENGTH = struct.Struct("!I")


@dataclass(slots=True)
class Source:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def get(self) -> bytes:
        (length,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
        return await self.reader.readexactly(length)

    async def put(self, data: bytes) -> None:
        self.writer.write(LENGTH.pack(len(data)) + data)
        await self.writer.drain()

    def abort(self) -> None:
        self.writer.transport.abort()


class Door:
    """A server whose connections wait in a queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Source] = asyncio.Queue()

    async def start(self, sock: socket.socket) -> None:
        self.server = await asyncio.start_server(self.met, sock=sock, backlog=4096)

    def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.queue.put_nowait(Source(reader, writer))

    async def accept(self) -> Source:
        return await self.queue.get()

    def close(self) -> None:
        self.server.close()


def make(run: Run) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, run.send_buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, run.receive_buffer)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def listen(run: Run) -> Door:
    sock = make(run)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((run.address, run.port))
    door = Door()
    await door.start(sock)
    return door


async def connect(run: Run) -> Source:
    sock = make(run)
    await asyncio.get_running_loop().sock_connect(sock, (run.address, run.port))
    return Source(*await asyncio.open_connection(sock=sock))


async def take(source: Source, run: Run, count: int) -> None:
    reader, size = source.reader, run.size
    for _ in range(count):
        (length,) = LENGTH.unpack(await reader.readexactly(4))
        data = await reader.readexactly(length)
        if len(data) != size:
            check_size(data, run)


async def answer(source: Source, run: Run, count: int) -> None:
    for _ in range(count):
        await source.put(await source.get())


async def flood(sources: Sequence[Source], run: Run) -> None:
    writers = [source.writer for source in sources]
    data, associations = bytes(run.size), run.associations
    for number in range(run.count):
        writer = writers[number % associations]
        writer.write(LENGTH.pack(len(data)) + data)
        await writer.drain()


async def trips(sources: Sequence[Source], run: Run) -> list[float]:
    data, took = bytes(run.size), []
    for number in range(run.count):
        source = sources[number % run.associations]
        began = perf_counter()
        await source.put(data)
        answered = await source.get()
        took.append(perf_counter() - began)
        check_size(answered, run)
    return took


async def end(source: Source) -> None:
    source.writer.write_eof()
    await source.reader.read()
    source.writer.close()
    await source.writer.wait_closed()


async def see_end(source: Source) -> None:
    await source.reader.read()
    source.writer.close()
    await source.writer.wait_closed()


if __name__ == "__main__":
    main(Contender(listen, connect, take, answer, flood, trips, end, see_end))
