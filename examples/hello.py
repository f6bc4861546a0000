"""A server and a client in one process: one message there, one back, a graceful shutdown."""

import asyncio

from sctpio import Conn, connect, listen


async def greet(conn: Conn) -> None:
    async for message in conn:
        await conn.send(b"hello, " + message.data)
    print("server: the client has shut down")


async def main() -> None:
    async with listen("127.0.0.1:0") as listener:
        server = asyncio.create_task(listener.serve(greet))
        async with connect(listener.local_addresses) as conn:
            await conn.send(b"world")
            answer = await conn.receive()
            print(f"client: {answer.data.decode()}")
    await server


if __name__ == "__main__":
    asyncio.run(main())
