"""What one association does while the reading of a one-to-many socket pauses because of another one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sctpio import (
    AssociationChange,
    AssociationState,
    Conn,
    EndOfAssociation,
    Endpoint,
    Listener,
    Mode,
    connect,
    listen,
    open_endpoint,
)
from support import KIB, LOCAL, until, within

LIMIT = 16 * KIB


async def flood(conn: Conn) -> None:
    """Send until the other end's reading pauses."""
    while True:
        await conn.send(bytes(KIB))


@asynccontextmanager
async def paused(door: Listener | Endpoint) -> AsyncIterator[Conn]:
    """Connect a stranger that has sent more than anybody reads: the reading pauses."""
    stranger = await connect(door.local_addresses)
    flooding = asyncio.create_task(flood(stranger))
    try:
        await until(lambda: door.statistics().reading_paused)
        yield stranger
    finally:
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        await stranger.abort()


async def test_close_does_not_wait_for_the_reader_of_another_association() -> None:
    async with listen(LOCAL, mode=Mode.ONE_TO_MANY, receive_buffer=LIMIT) as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        async with paused(listener):
            await server.send(b"last words")
            await within(server.close())
            assert (await client.receive()).data == b"last words"
            with pytest.raises(EndOfAssociation):
                await client.receive()
        await client.close()
        await (await listener.accept()).abort()


async def test_a_close_that_waits_already_ends_when_the_reading_pauses() -> None:
    async with listen(LOCAL, mode=Mode.ONE_TO_MANY, receive_buffer=LIMIT) as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        # The peer acknowledges nothing for now: the end waits for that.
        client._link.socket._set_reading(False)
        for _ in range(200):
            task = asyncio.create_task(server.send(bytes(4 * KIB)))
            await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                break
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0)
        async with paused(listener):
            client._link.socket._set_reading(True)
            count = 0
            async for _ in client:
                count += 1
            assert count
            await within(closing)
        await client.close()
        await (await listener.accept()).abort()


async def test_an_endpoint_ends_an_association_while_another_is_unread() -> None:
    async with open_endpoint(LOCAL, receive_buffer=LIMIT) as endpoint:
        events = endpoint.events(AssociationChange)
        client = await connect(endpoint.local_addresses)
        await client.send(b"unread")
        await until(lambda: len(endpoint.associations) == 1)
        (identifier,) = endpoint.associations
        await until(lambda: endpoint.statistics().unread_messages == 1)
        async with paused(endpoint):
            await within(endpoint.shutdown(identifier))
            # What it had sent is still the endpoint's, and so is the event of its end.
            assert (await endpoint.receive()).data == b"unread"
            async for event in events:
                if (
                    isinstance(event, AssociationChange)
                    and event.association_id == identifier
                    and event.state is AssociationState.SHUTDOWN_COMP
                ):
                    break
        await client.close()
