"""An echo server: it sends every message back as it came, and prints the events of the association."""

import argparse
import asyncio

from sctpio import (
    AssociationChange,
    Conn,
    MaxSegment,
    PeerAddressChange,
    ReceiveBuffer,
    SendBuffer,
    ShutdownEvent,
    listen,
)

EVENTS = (AssociationChange, PeerAddressChange, ShutdownEvent)
# Buffers for large messages; Linux limits them to net.core.wmem_max and rmem_max. And fragments as on a
# network: those of loopback have 64 KiB, a large part of the receive buffer.
OPTIONS = (SendBuffer(2 * 1024 * 1024), ReceiveBuffer(2 * 1024 * 1024), MaxSegment(1400))


async def print_events(conn: Conn) -> None:
    async for event in conn.events(*EVENTS):
        print(event)


async def echo(conn: Conn) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(print_events(conn))
        async for message in conn:
            await conn.send(
                message.data, stream=message.stream, ppid=message.ppid, unordered=message.unordered
            )
        print(f"{conn.peer_addresses} has shut down after {conn.statistics().messages_sent} messages")
        await conn.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:5000", help="default: %(default)s")
    parser.add_argument("--once", action="store_true", help="end after one association")
    options = parser.parse_args()
    async with listen(options.address, options=OPTIONS, events=EVENTS) as listener:
        print(f"listening on {listener.local_addresses}")
        if options.once:
            await echo(await listener.accept())
        else:
            await listener.serve(echo)


if __name__ == "__main__":
    asyncio.run(main())
