"""A writer for each stream: a file on one, control on another, and control does not wait for the file."""

import asyncio

from sctpio import Conn, InitMsg, Ppid, Stream, connect, listen

CONTROL, FILE = 1, 2
THREE = InitMsg(outbound_streams=3, inbound_streams=3)
BLOCK, BLOCKS = 16 * 1024, 64


async def write_file(stream: Stream) -> None:
    for number in range(BLOCKS):
        await stream.send(number.to_bytes(4) + bytes(BLOCK - 4))


async def write_control(stream: Stream) -> None:
    for word in (b"progress", b"progress", b"is it there yet?"):
        await stream.send(word, ppid=Ppid.ECHO)
        # Each is answered while blocks of the file are under way.
        await stream.receive()


async def read(conn: Conn) -> None:
    seen: list[int] = []

    async def control() -> None:
        stream = conn.stream(CONTROL)
        async for message in stream:
            await stream.send(message.data)

    async def file() -> None:
        seen.extend([int.from_bytes(message.data[:4]) async for message in conn.stream(FILE)])

    await asyncio.gather(control(), file())
    print(f"{len(seen)} blocks, {'in order' if seen == sorted(seen) else 'out of order'}")


async def main() -> None:
    async with listen("127.0.0.1:0", init=THREE) as listener:
        serving = asyncio.create_task(listener.serve(read))
        async with connect(listener.local_addresses, init=THREE) as conn, asyncio.TaskGroup() as tasks:
            tasks.create_task(write_file(conn.stream(FILE)))
            tasks.create_task(write_control(conn.stream(CONTROL)))
    await serving


if __name__ == "__main__":
    asyncio.run(main())
