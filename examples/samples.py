"""Partial reliability: a sample that is late is worth nothing, so it is given up for the newest one."""

import asyncio

from sctpio import Conn, PrAssociationStatus, SendBuffer, connect, listen

BULK = bytes(10_000)
PACKET = 1500


async def fill(conn: Conn) -> int:
    """Send until the peer, which does not read, has no space; return how many messages that took."""
    count = 0
    while conn.status().rwnd >= PACKET:
        await conn.send(BULK)
        count += 1
    return count


async def main() -> None:
    async with (
        listen("127.0.0.1:0", receive_buffer=1) as listener,
        connect(listener.local_addresses, options=[SendBuffer(200_000)]) as conn,
    ):
        reader = await listener.accept()
        ahead = await fill(conn)
        for number in range(5):
            # Good for 50 ms. It waits here, because the peer does not read.
            await conn.send(b"sample %d" % number + BULK, lifetime=0.05)
        await asyncio.sleep(0.2)
        await conn.send(b"the newest")
        arrived = []
        while b"the newest" not in arrived:
            arrived.append((await reader.receive()).data)
        print(f"{len(arrived) - ahead} message arrived after the bulk: {arrived[-1].decode()}")
        print(f"{conn.get_option(PrAssociationStatus).abandoned_unsent} were given up")
        await reader.close()


if __name__ == "__main__":
    asyncio.run(main())
