"""A reader and a writer like asyncio's, over one stream of an association: for code written for TCP.

TCP carries bytes, and its programs do not care where they are cut. So what is written leaves in messages of
any size, and the reader joins what they carry.
"""

import asyncio

from sctpio import Conn, EndOfAssociation, Stream, connect, listen

CHUNK = 16 * 1024


class Reader:
    """What programs use of `asyncio.StreamReader`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = bytearray()

    async def read(self, n: int = -1) -> bytes:
        while (n < 0 or not self._rest) and await self._more():
            pass
        return self._take(len(self._rest) if n < 0 else n)

    async def readexactly(self, n: int) -> bytes:
        while len(self._rest) < n:
            if not await self._more():
                raise asyncio.IncompleteReadError(self._take(n), n)
        return self._take(n)

    async def readline(self) -> bytes:
        while b"\n" not in self._rest and await self._more():
            pass
        return self._take(self._rest.find(b"\n") + 1 or len(self._rest))

    async def _more(self) -> bool:
        try:
            self._rest += (await self._stream.receive()).data
        except EndOfAssociation:
            return False
        return True

    def _take(self, n: int) -> bytes:
        data = bytes(self._rest[:n])
        del self._rest[:n]
        return data


class Writer:
    """What programs use of `asyncio.StreamWriter`."""

    def __init__(self, conn: Conn, stream: Stream) -> None:
        self._conn, self._stream = conn, stream
        self._unsent = bytearray()
        self._sending: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        self._unsent += data
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def drain(self) -> None:
        if self._sending is not None:
            await asyncio.shield(self._sending)

    def close(self) -> None:
        """Do nothing: `wait_closed` does the work."""

    async def wait_closed(self) -> None:
        await self.drain()
        await self._conn.close()

    async def _send(self) -> None:
        while self._unsent:
            await self._stream.send(bytes(self._unsent[:CHUNK]))
            del self._unsent[:CHUNK]


def adapt(conn: Conn) -> tuple[Reader, Writer]:
    """Return a reader and a writer over stream 0."""
    stream = conn.stream(0)
    return Reader(stream), Writer(conn, stream)


async def echo(conn: Conn) -> None:
    """A handler as for `asyncio.start_server`, but for its first line."""
    reader, writer = adapt(conn)
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()


async def main() -> None:
    async with listen("127.0.0.1:0") as listener:
        serving = asyncio.create_task(listener.serve(echo))
        reader, writer = adapt(await connect(listener.local_addresses))
        writer.write(b"one line\nanother ")
        writer.write(b"line\n")
        print(await reader.readline())
        print(await reader.readexactly(8), await reader.read(100))
        writer.close()
        await writer.wait_closed()
    await serving


if __name__ == "__main__":
    asyncio.run(main())
