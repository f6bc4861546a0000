"""Step 7: two addresses at each end, and so a second path if the first one fails."""

import asyncio

from sctpio import Address, connect, listen


async def main() -> None:
    # On two machines with two networks, this would be "10.1.0.1/10.2.0.1:5000".
    async with listen("127.0.0.1/127.0.0.2:0") as listener:
        remote = Address("127.0.0.1/127.0.0.2", listener.port)
        async with connect(remote, local="127.0.0.3/127.0.0.4:0") as conn, await listener.accept() as gateway:
            print("paths to", *sorted(map(str, conn.peer_addresses.hosts)))
            print("the primary one is", conn.primary_path.hosts[0])
            conn.set_primary(Address("127.0.0.2", listener.port))
            print("the primary one is", conn.primary_path.hosts[0])
            await conn.send(b"21.5")
            print("gateway: got", (await gateway.receive()).data.decode())


asyncio.run(main())
