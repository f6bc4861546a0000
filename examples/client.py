import asyncio

from sctpio import connect


async def main() -> None:
    async with connect("127.0.0.1:5000") as conn:
        await conn.send(b"hello", stream=3, ppid=60)
        message = await conn.receive()
        print(f"stream {message.stream}, PPID {message.ppid}: {message.data!r}")


asyncio.run(main())
