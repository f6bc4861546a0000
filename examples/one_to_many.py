"""Many associations on one socket: the same accept loop, a broadcast, and one of them peeled off."""

import asyncio

from sctpio import Address, AssociationChange, Conn, Mode, connect, listen


async def echo(conn: Conn) -> None:
    async for message in conn:
        if message.data == b"bulk":
            # From here on it has a socket and buffers of its own. No message is lost by that.
            await conn.peel_off()
        await conn.send(b"%b to you, too" % message.data, stream=message.stream)


async def client(server: Address, word: bytes, answers: int) -> None:
    async with connect(server) as conn:
        await conn.send(word)
        for _ in range(answers):
            print(f"client: {(await conn.receive()).data.decode()}")


async def main() -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as listener, asyncio.TaskGroup() as tasks:
        came_up = listener.events(AssociationChange)
        serving = tasks.create_task(listener.serve(echo))
        await client(listener.local_addresses, b"bulk", answers=1)
        two = [tasks.create_task(client(listener.local_addresses, b"hello", answers=2)) for _ in range(2)]
        async for _ in came_up:
            if listener.statistics().associations == 2:
                break
        result = await listener.broadcast(b"news for all")
        print(f"server: the broadcast reached {len(result.reached)}, and failed for {len(result.failed)}")
        await asyncio.wait(two)
        await listener.close()
        await serving


if __name__ == "__main__":
    asyncio.run(main())
