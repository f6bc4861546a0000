"""A proxy: it carries each message over unchanged, with its stream, its PPID and whether it is unordered.

`python proxy.py LISTEN UPSTREAM`; without addresses it shows itself at work.
"""

import asyncio
import sys
from functools import partial

from sctpio import (
    AddressLike,
    AssociationEnded,
    ClosedError,
    Conn,
    EndOfAssociation,
    InitMsg,
    connect,
    listen,
)


async def pump(source: Conn, sink: Conn) -> None:
    """Carry over what comes, and pass on how it ends."""
    try:
        while True:
            message = await source.receive()
            await sink.send(
                message.data, stream=message.stream, ppid=message.ppid, unordered=message.unordered
            )
    except EndOfAssociation:
        # One end is enough: SCTP has no half-closed state. What was sent is delivered first.
        await sink.close()
    except ClosedError:
        return  # by the other pump
    except AssociationEnded:
        await sink.abort()


async def serve(client: Conn, upstream: AddressLike) -> None:
    # As many streams as the client has, in each direction.
    init = InitMsg(outbound_streams=client.inbound_streams, inbound_streams=client.outbound_streams)
    async with connect(upstream, init=init) as server, asyncio.TaskGroup() as tasks:
        tasks.create_task(pump(client, server))
        tasks.create_task(pump(server, client))


async def run(local: AddressLike, upstream: AddressLike) -> None:
    async with listen(local) as listener:
        print(f"from {listener.local_addresses} to {upstream}", flush=True)
        await listener.serve(partial(serve, upstream=upstream))


async def echo(conn: Conn) -> None:
    async for message in conn:
        await conn.send(
            message.data.upper(), stream=message.stream, ppid=message.ppid, unordered=message.unordered
        )


async def show() -> None:
    async with listen("127.0.0.1:0") as upstream, listen("127.0.0.1:0") as listener:
        serving = [
            asyncio.create_task(upstream.serve(echo)),
            asyncio.create_task(listener.serve(partial(serve, upstream=upstream.local_addresses))),
        ]
        async with connect(listener.local_addresses) as conn:
            await conn.send(b"hello", stream=3, ppid=60)
            message = await conn.receive()
            print(message.data, message.stream, message.ppid, message.unordered)
            await conn.send(b"hello again", stream=5, ppid=46, unordered=True)
            message = await conn.receive()
            print(message.data, message.stream, message.ppid, message.unordered)
    await asyncio.gather(*serving)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2]) if len(sys.argv) == 3 else show())
