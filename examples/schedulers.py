"""Schedulers: which of the messages that wait is sent next. They wait because the peer does not read."""

import asyncio

from sctpio import Scheduler, SendBuffer, StreamScheduler, connect, listen

DATA = bytes(10_000)
PACKET = 1500


async def order(scheduler: Scheduler) -> list[int]:
    """Queue messages on streams 1, 2 and 3 in turn, and return the order in which they arrive."""
    async with (
        listen("127.0.0.1:0", receive_buffer=1) as listener,
        connect(listener.local_addresses, options=[StreamScheduler(scheduler), SendBuffer(200_000)]) as conn,
    ):
        peer = await listener.accept()
        conn.stream(1).priority, conn.stream(2).priority, conn.stream(3).priority = 20, 30, 10
        # Fill the peer's window, so that what is sent afterwards has to wait here.
        ahead = 0
        while conn.status().rwnd >= PACKET:
            await conn.send(DATA, stream=0)
            ahead += 1
        for sid in (1, 1, 2, 2, 3, 3):
            await conn.send(DATA, stream=sid)
        arrived = [(await peer.receive()).stream for _ in range(ahead + 6)]
        await peer.close()
    return arrived[ahead:]


async def main() -> None:
    for scheduler in (Scheduler.FCFS, Scheduler.PRIORITY, Scheduler.ROUND_ROBIN):
        print(f"{scheduler.name}: {await order(scheduler)}")


if __name__ == "__main__":
    asyncio.run(main())
