"""Step 6: time limits. What is cancelled loses no message."""

import asyncio

from sctpio import connect, listen


async def main() -> None:
    async with listen("127.0.0.1:0") as listener, connect(listener.local_addresses) as conn:
        gateway = await listener.accept()
        try:
            async with asyncio.timeout(0.1):
                await gateway.receive()
        except TimeoutError:
            print("nothing came for 0.1 s")
        await conn.send(b"21.5")
        print((await gateway.receive()).data.decode())

        waiting = asyncio.create_task(gateway.receive())
        await asyncio.sleep(0)
        await conn.send(b"21.6")
        waiting.cancel()
        await asyncio.wait([waiting])
        print((await gateway.receive()).data.decode(), "was not lost")


asyncio.run(main())
