"""Events of associations that share one socket, at the association and at the listener."""

import asyncio

from api.one_to_many.listener.served import MANY, served, talks
from sctpio import AssociationChange, AssociationState, SenderDry, connect, listen
from support import PATIENCE, abort_unread, associations, settled, until


async def test_events_are_those_of_one_association_and_of_all() -> None:
    async with listen("127.0.0.1:0", mode=MANY, events=[AssociationChange]) as listener:
        events = listener.events(AssociationChange, SenderDry)
        clients = [await connect(listener.local_addresses) for _ in range(2)]
        servers = [await listener.accept() for _ in range(2)]
        for server in servers:
            # Kept from the first moment.
            [up] = [await anext(server.events(AssociationChange))]
            assert isinstance(up, AssociationChange)
            assert (up.state, up.association_id) == (AssociationState.COMM_UP, server.association_id)
            assert (up.outbound_streams, up.inbound_streams) == (
                server.outbound_streams,
                server.inbound_streams,
            )
        mine = servers[0].events(AssociationChange, SenderDry)
        await servers[1].send(b"x")
        await servers[1].flush()
        await clients[1].close()
        await servers[1].wait_closed()
        await servers[0].send(b"x")
        await servers[0].flush()
        await servers[0].abort()
        seen = [event async for event in mine]
        assert {event.association_id for event in seen} == {servers[0].association_id}  # type: ignore[union-attr]
        assert SenderDry(servers[0].association_id) in seen
        changes: list[tuple[int, AssociationState]] = []
        while len(changes) < 4:
            event = await anext(events)
            if isinstance(event, AssociationChange):
                changes.append((event.association_id, event.state))
        first, second = (server.association_id for server in servers)
        assert changes == [
            (first, AssociationState.COMM_UP),
            (second, AssociationState.COMM_UP),
            (second, AssociationState.SHUTDOWN_COMP),
            (first, AssociationState.COMM_LOST),
        ]
        for client in clients:
            await client.abort()
    await until(lambda: not associations())


async def test_events_of_an_association_whose_end_nobody_has_read_are_given() -> None:
    async with served(2) as (_, clients, servers):
        # No turn of the loop between this and the call.
        abort_unread(clients[0], servers[0])
        events = servers[0].events(AssociationChange, SenderDry)
        async with asyncio.timeout(10 * PATIENCE):
            [lost] = [event async for event in events]
        assert isinstance(lost, AssociationChange)
        assert lost.state is AssociationState.COMM_LOST
        await talks((clients[1], servers[1]))


async def test_the_listeners_iterator_takes_the_events_of_associations_that_are_there_already() -> None:
    async with served(2) as (listener, clients, servers):
        async with listener.events(SenderDry) as events:
            seen: set[int] = set()
            for server in servers:
                await server.send(b"x")
            async with asyncio.timeout(10 * PATIENCE):
                while len(seen) < 2:
                    seen.add((await anext(events)).association_id)
            assert seen == {server.association_id for server in servers}
        # Once nobody iterates, the stack is not asked for them any more.
        await settled(lambda: listener.statistics().wakeups)
        before = listener.statistics().wakeups
        for client, server in zip(clients, servers, strict=True):
            await server.send(b"y")
            assert [(await client.receive()).data for _ in range(2)] == [b"x", b"y"]
        await asyncio.sleep(0.3)
        assert listener.statistics().wakeups == before


async def test_who_subscribes_for_one_association_does_not_for_the_others() -> None:
    async with served(2) as (listener, clients, servers):
        everything = listener.events(AssociationChange)
        async with servers[0].events(SenderDry) as mine:
            await anext(mine)
            seen = asyncio.create_task(anext(mine))
            await servers[1].send(b"x")
            await clients[1].receive()
            await asyncio.sleep(0.3)
            assert not seen.done()
            await servers[0].send(b"x")
            async with asyncio.timeout(10 * PATIENCE):
                assert await seen == SenderDry(servers[0].association_id)
        await everything.aclose()
