"""Event iterators on the real kernel: subscription, narrowing, buffers."""

import asyncio
import gc
from typing import Any

import pytest

from sctpio import (
    Adaptation,
    AdaptationIndication,
    AssociationChange,
    AssociationState,
    DelayedSack,
    Event,
    EventsDropped,
    PeerAddressChange,
    RemoteError,
    SenderDry,
    ShutdownEvent,
    connect,
    listen,
)
from sctpio._loop import event_stream as _events
from sctpio._loop import own_socket
from sctpio.stacks import native as _native
from support import Pair, StackSocketType, collect, connected, read_again, stop_reading, until

pytestmark = [pytest.mark.both_loops, pytest.mark.both_modes]


async def test_only_the_named_types_come(pair: Pair) -> None:
    shutdown = pair.server.events(ShutdownEvent)
    both = pair.server.events(ShutdownEvent, AssociationChange)
    other = pair.server.events(PeerAddressChange, RemoteError)
    everything = pair.server.events()
    await pair.client.close()
    assert [type(e) for e in await collect(shutdown)] == [ShutdownEvent]
    assert [type(e) for e in await collect(both)] == [ShutdownEvent, AssociationChange]
    assert await collect(other) == []
    assert [type(e) for e in await collect(everything)] == [ShutdownEvent, AssociationChange]


async def test_a_subscription_holds_from_the_call(pair: Pair) -> None:
    events = pair.client.events(SenderDry)
    await pair.client.send(b"x")
    await pair.client.flush()
    await pair.client.close()
    dry = await collect(events)
    assert len(dry) >= 2
    assert set(dry) == {SenderDry(pair.client.association_id)}


async def test_sender_dry_comes_only_where_it_is_named(pair: Pair) -> None:
    events = pair.client.events()
    await pair.client.send(b"x")
    await pair.client.flush()
    await pair.client.close()
    assert SenderDry not in {type(event) for event in await collect(events)}


async def test_closing_an_iterator_ends_it_and_its_subscription(pair: Pair) -> None:
    async with pair.client.events(SenderDry) as events:
        assert isinstance(await anext(events), SenderDry)
        waiting = asyncio.create_task(collect(events))
        await asyncio.sleep(0)
    assert await waiting == []
    before = pair.client.statistics().wakeups
    await pair.client.send(b"x")
    await pair.server.receive()
    await until(lambda: pair.client.status().unacknowledged == 0)
    # The acknowledgement arrived, and no event woke this side.
    assert pair.client.statistics().wakeups == before


async def test_an_iterator_of_the_listener_keeps_its_events_on() -> None:
    async with listen("127.0.0.1:0") as listener:
        events = listener.events(SenderDry)
        async with connect(listener.local_addresses) as client, await listener.accept() as server:
            await server.flush()
            async with server.events(SenderDry):
                pass
            await server.send(b"x")
            await client.receive()
            await server.flush()
            # One of each flush at least, one of the subscription, and one that nobody here asked for.
            for _ in range(3):
                async with asyncio.timeout(20):
                    await anext(events)
            await server.send(b"y")
            await client.receive()
            async with asyncio.timeout(20):
                assert await anext(events) == SenderDry(server.association_id)
            await client.close()


async def test_flush_is_not_satisfied_by_an_older_answer() -> None:
    # The peer acknowledges a lone message after half a second.
    async with connected(listen_with={"options": [DelayedSack(delay=0.5)]}) as pair:
        client = pair.client
        await client.send(b"the first is acknowledged at once")
        await until(lambda: client.status().unacknowledged == 0)
        stop_reading(client)
        client._link.socket.raw.subscribe(SenderDry, True, 0)
        client._link.socket.raw.subscribe(SenderDry, False, 0)
        read_again(client)
        # An answer of before lies unread.
        await client.send(b"x" * 100)
        assert client.status().unacknowledged == 1
        await client.flush()
        assert client.status().unacknowledged == 0


async def test_a_forgotten_iterator_is_forgotten(pair: Pair) -> None:
    pair.client.events(AssociationChange)
    gc.collect()
    hub = pair.client._association.hub
    assert [stream for reference, _ in hub._streams if (stream := reference()) is not None] == []


async def test_an_overflow_is_told_where_it_happened(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_events, "MOST_EVENTS", 3)
    events = pair.client.events(SenderDry, AssociationChange)
    for _ in range(8):
        await pair.client.send(b"x")
        await pair.client.flush()
    taken: list[Any] = [await anext(events)]
    await pair.client.close()
    taken += await collect(events)
    kinds = [type(event) for event in taken]
    assert kinds == [SenderDry] * 3 + [EventsDropped, AssociationChange]
    # Each flush gives one at least.
    assert taken[3].count >= 5


async def test_events_of_the_constructor_go_to_the_first_iterator() -> None:
    options = [Adaptation(0x1234)]
    async with (
        listen("127.0.0.1:0", options=options) as listener,
        connect(
            listener.local_addresses, options=options, events=[AssociationChange, AdaptationIndication]
        ) as client,
    ):
        server = await listener.accept()
        kept = client.events(AdaptationIndication)
        assert await anext(kept) == AdaptationIndication(0x1234, client.association_id)
        await client.close()
        assert await collect(kept) == []
        await server.wait_closed()


async def test_any_subclass_of_event_can_be_named(pair: Pair) -> None:
    events = pair.server.events(Event)
    await pair.client.close()
    assert {type(event) for event in await collect(events)} >= {ShutdownEvent, AssociationChange}


async def test_what_is_no_event_is_refused(pair: Pair) -> None:
    bad: Any
    for bad in (int, "AssociationChange", AssociationState.COMM_UP):
        with pytest.raises(TypeError, match="not a type of event"):
            pair.client.events(bad)


async def test_two_tasks_on_one_iterator_share_its_events(pair: Pair) -> None:
    events = pair.server.events(ShutdownEvent, AssociationChange)
    tasks = [asyncio.create_task(collect(events)) for _ in range(2)]
    await asyncio.sleep(0)
    await pair.client.close()
    first, second = await asyncio.gather(*tasks)
    assert len(first) + len(second) == 2


async def test_notifications_and_messages_in_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel splits what does not fit: every event and message comes in parts of 16 bytes.
    monkeypatch.setattr(_native, "ARENA", 16)
    monkeypatch.setattr(own_socket, "reading", lambda raw: None)
    async with connected(
        listen_with={"events": [AssociationChange]}, connect_with={"events": [AssociationChange]}
    ) as pair:
        events = pair.server.events(AssociationChange, ShutdownEvent)
        await pair.client.send(bytes(range(256)) * 4, stream=1, ppid=60)
        await pair.client.send(b"short", stream=2)
        message = await pair.server.receive()
        assert (message.data, message.stream, message.ppid) == (bytes(range(256)) * 4, 1, 60)
        assert (await pair.server.receive()).data == b"short"
        await pair.client.close()
        seen = await collect(events)
        assert [type(event) for event in seen] == [AssociationChange, ShutdownEvent, AssociationChange]
        assert seen[0].outbound_streams == pair.server.outbound_streams
        assert seen[2].state is AssociationState.SHUTDOWN_COMP


async def test_events_that_nobody_iterates_any_more_are_turned_off(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Item 14 of promise 9: also where other iterators begin and end before another such event comes."""
    subscribe = StackSocketType.subscribe
    turned: list[tuple[type[Event], bool]] = []

    def spy(raw: Any, kind: type[Event], on: bool, association_id: int) -> None:
        turned.append((kind, on))
        subscribe(raw, kind, on, association_id)

    events = pair.client.events(SenderDry)
    await anext(events)
    monkeypatch.setattr(StackSocketType, "subscribe", spy)
    del events
    gc.collect()
    await pair.client.events(AdaptationIndication).aclose()
    assert turned == [(AdaptationIndication, True), (SenderDry, False), (AdaptationIndication, False)]
