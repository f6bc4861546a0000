"""Step 1: one association, one message there and one back."""

import asyncio

from sctpio import connect, listen


async def main() -> None:
    async with listen("127.0.0.1:0") as listener:
        async with connect(listener.local_addresses) as station:
            gateway = await listener.accept()
            await station.send(b"21.5 degrees")
            message = await gateway.receive()
            print(f"gateway: got {message.data!r} on stream {message.stream}")
            await gateway.send(b"thank you")
            print(f"station: got {(await station.receive()).data!r}")
        async for message in gateway:
            print(f"gateway: got {message.data!r}")
        print("gateway: the station has gone")


asyncio.run(main())
