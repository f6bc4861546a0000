"""Events of all the associations of an Endpoint."""

import asyncio
from typing import Any

from api.one_to_many.endpoint.joined import COMM_LOST, COMM_UP, SHUTDOWN_COMP, joined, states
from sctpio import AssociationChange, SenderDry, SendFailed, open_endpoint
from support import LOCAL, QUEUE, SMALL, associations, settled, stop_reading, turns, until, within


async def test_the_events_of_all_associations_are_kept_from_the_first_moment() -> None:
    async with open_endpoint(LOCAL, events=[AssociationChange]) as endpoint, open_endpoint(LOCAL) as other:
        async with joined(endpoint) as one, joined(endpoint) as two:
            three = await within(endpoint.connect(other.local_addresses))
            await one.conn.close()
            await until(lambda: one.id not in endpoint.associations)
            await two.conn.abort()
            await until(lambda: two.id not in endpoint.associations)
            await endpoint.shutdown(three)
        events = endpoint.events(AssociationChange)
        assert await states(events, 6) == [
            (one.id, COMM_UP),
            (two.id, COMM_UP),
            (three, COMM_UP),
            (one.id, SHUTDOWN_COMP),
            (two.id, COMM_LOST),
            (three, SHUTDOWN_COMP),
        ]
        # A second iterator begins now, and both end with the endpoint.
        later = endpoint.events(AssociationChange)
        async with joined(endpoint) as four:
            assert await states(later, 1) == await states(events, 1) == [(four.id, COMM_UP)]
            await endpoint.close()
        rest = [(e.association_id, e.state) async for e in events]
        assert rest == [(e.association_id, e.state) async for e in later] == [(four.id, SHUTDOWN_COMP)]


async def test_an_event_tells_why_the_peer_aborted() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        events = endpoint.events(AssociationChange)
        identifier = await within(endpoint.connect(peer.local_addresses))
        await until(lambda: bool(peer.associations))
        await peer.abort(peer.associations[0], b"out of service")
        up, lost = await within(anext(events)), await within(anext(events))
        assert (up.state, lost.state) == (COMM_UP, COMM_LOST)
        assert (lost.association_id, lost.cause) == (identifier, b"out of service")


async def test_what_could_not_be_delivered_comes_back_with_its_context() -> None:
    async with (
        open_endpoint(LOCAL, events=[SendFailed], options=QUEUE) as endpoint,
        joined(endpoint, **SMALL) as gone,
        joined(endpoint) as other,
    ):
        stop_reading(gone.conn)
        await turns()
        sent = [b"%d " % context + bytes(1000) for context in range(30)]
        for context, data in enumerate(sent):
            await endpoint.send(data, to=gone.id, stream=context % 10, ppid=context, context=context)
        await endpoint.send(b"delivered", to=other.id, context=77)
        assert (await other.conn.receive()).data == b"delivered"
        await gone.conn.abort()
        events = endpoint.events(SendFailed)
        failed: list[SendFailed] = []
        while not failed or failed[-1].context != 29:
            failed.append(await within(anext(events)))
        # What the peer acknowledged was delivered; the rest, each once, was not.
        assert 1 < len(failed) < 30
        # In order within a stream.
        for stream in range(10):
            contexts = [event.context for event in failed if event.stream == stream]
            assert contexts == list(range(stream, 30, 10))[-len(contexts) :] or not contexts
        assert {event.context for event in failed} == set(range(30 - len(failed), 30))
        for event in failed:
            assert event.association_id == gone.id
            assert event.data == sent[event.context]
            assert (event.stream, event.ppid) == (event.context % 10, event.context)
            assert not event.unordered
        assert not failed[-1].sent


async def test_a_subscription_holds_from_its_call_until_it_is_closed() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        events, others = endpoint.events(SenderDry), endpoint.events(SenderDry)
        # Subscribing while all is acknowledged gives one at once.
        for _ in range(2):
            await within(anext(events))
        await endpoint.send(b"x", to=peer.id)
        assert (await within(anext(events))).association_id == peer.id
        async with joined(endpoint) as late:
            # Of associations to come, too.
            await endpoint.send(b"x", to=late.id)
            while (await within(anext(events))).association_id != late.id:
                pass
            await events.aclose()
            assert [event async for event in events] == []
            await endpoint.send(b"y", to=peer.id)
            await within(_until_from(others, late.id, then=peer.id))
            await others.aclose()
            for some in (peer, late):
                await some.conn.receive()
            await settled(lambda: endpoint.statistics().wakeups)
            before = endpoint.statistics().wakeups
            for some in (peer, late):
                await endpoint.send(b"z", to=some.id)
            # The acknowledgements came, and no event woke this side.
            await asyncio.gather(*(some.conn.receive() for some in (late,)))
            await settled(lambda: len(associations()))
            assert endpoint.statistics().wakeups == before


async def _until_from(events: Any, first: int, *, then: int) -> None:
    while (await anext(events)).association_id != first:
        pass
    while (await anext(events)).association_id != then:
        pass
