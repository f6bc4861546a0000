"""Step 2: a server for any number of peers. Each association has a task of its own."""

import asyncio

from sctpio import Address, Conn, connect, listen


async def collect(conn: Conn) -> None:
    count = 0
    async for message in conn:
        count += 1
        await conn.send(b"%b is reading %d" % (message.data, count))


async def station(gateway: Address, name: bytes) -> list[str]:
    async with connect(gateway) as conn:
        answers = []
        for _ in range(2):
            await conn.send(name)
            answers.append((await conn.receive()).data.decode())
        return answers


async def main() -> None:
    async with listen("127.0.0.1:0") as listener:
        serving = asyncio.create_task(listener.serve(collect))
        for answers in await asyncio.gather(
            station(listener.local_addresses, b"north"),
            station(listener.local_addresses, b"south"),
        ):
            print(", ".join(answers))
    # The listener is closed here, and `serve` ends with it.
    await serving


asyncio.run(main())
