"""What iterators of events hold, and what they ask of the stack, without an association."""

import asyncio
import errno
import gc
import os
from collections.abc import Callable
from typing import Any, cast

import pytest

from pure.loop.scripted import Script
from sctpio import (
    AssociationChange,
    ErrorCause,
    Event,
    EventsDropped,
    PartialDelivery,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownEvent,
    UnknownEvent,
)
from sctpio._loop.event_stream import MOST_BYTES, MOST_EVENTS, EventBuffer, EventHub, check_types, open_events
from sctpio._loop.waiting import Waiters
from sctpio.stacks.base import StackSocket
from support import turns, within

pytestmark = pytest.mark.one_loop

DRY = SenderDry(3)


def failed(size: int) -> SendFailed:
    return SendFailed(bytes(size), False, ErrorCause.NO_ERROR, 0, 0, 0, False, flags=3, association_id=3)


def remote(size: int) -> RemoteError:
    return RemoteError(ErrorCause.NO_ERROR, 3, bytes(size))


def unknown(size: int) -> UnknownEvent:
    return UnknownEvent(type=0, flags=0, raw=bytes(size))


class Source:
    """A source of events that may refuse some; `log` is what it was asked."""

    def __init__(self) -> None:
        self.raw = cast("StackSocket", Script())
        self.hub = EventHub(asyncio.get_running_loop())
        self.refused: set[type[Event]] = set()
        self.log: list[tuple[str, type[Event]]] = []

    def subscribe(self, kind: type[Event], /) -> None:
        if kind in self.refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.log.append(("+", kind))

    def unsubscribe(self, kind: type[Event], /) -> None:
        self.log.append(("-", kind))

    async def wait_for_input(self, waiters: Waiters, ready: Callable[[], object], /) -> None:
        await waiters.wait(ready)

    def close(self) -> None:
        self.raw.close()


@pytest.mark.parametrize("make", [failed, remote, unknown])
def test_a_buffer_is_bounded_by_what_events_carry(make: Callable[[int], Event]) -> None:
    buffer = EventBuffer()
    half = make(MOST_BYTES // 2)
    for event in (half, half, DRY, make(1), DRY):
        buffer.append(event)
    # An event without a payload has room all the same.
    assert buffer.drain() == [half, half, DRY, EventsDropped(1), DRY]
    assert not buffer
    # Of which nothing is counted any more; and one that is too large alone is taken.
    large = make(MOST_BYTES + 1)
    buffer.append(large)
    buffer.append(make(1))
    assert buffer.drain() == [large, EventsDropped(1)]


def test_a_buffer_is_bounded_by_the_number_of_events() -> None:
    buffer = EventBuffer()
    for _ in range(MOST_EVENTS + 2):
        buffer.append(DRY)
    assert buffer.drain() == [DRY] * MOST_EVENTS + [EventsDropped(2)]
    buffer.append(DRY)
    assert buffer.drain() == [DRY]


def test_what_is_no_type_of_event_is_refused() -> None:
    assert check_types((SenderDry, Event)) == (SenderDry, Event)
    wrong: Any
    for wrong in (DRY, int, "SenderDry"):
        with pytest.raises(TypeError, match="is not a type of event"):
            check_types((SenderDry, wrong))


async def test_a_type_that_was_named_and_is_refused_leaves_no_other_subscribed() -> None:
    source = Source()
    source.refused = {ShutdownEvent}
    kinds = (PartialDelivery, AssociationChange, ShutdownEvent)
    with pytest.raises(OSError, match="Invalid argument"):
        open_events(source, kinds, owner=None)
    subscribed = [kind for sign, kind in source.log if sign == "+"]
    assert subscribed
    assert [kind for sign, kind in source.log if sign == "-"] == subscribed
    source.close()


async def test_without_types_it_has_all_but_those_of_acknowledgement_and_of_what_the_stack_lacks() -> None:
    source = Source()
    source.refused = {ShutdownEvent}
    stream = open_events(source, (), owner=None)
    subscribed = {kind for _, kind in source.log}
    assert subscribed == set(source.raw.codec.event_numbers) - {ShutdownEvent, SenderDry}
    source.hub.publish(DRY)
    source.hub.publish(unknown(1))
    assert await within(anext(stream)) == unknown(1)
    await stream.aclose()
    assert {kind for sign, kind in source.log if sign == "-"} >= subscribed
    source.close()


async def test_an_iterator_ends_where_it_is_closed_or_its_source_ends() -> None:
    source = Source()
    async with open_events(source, (SenderDry,), owner=None) as stream:
        assert aiter(stream) is stream
        waiting = asyncio.create_task(anext(stream, None))
        await turns()
        source.hub.publish(DRY)
        assert await within(waiting) == DRY
        waiting = asyncio.create_task(anext(stream, None))
        await turns()
    assert await within(waiting) is None
    source.hub.publish(DRY)
    assert await within(anext(stream, None)) is None
    other = open_events(source, (SenderDry,), owner=None)
    source.hub.publish(DRY)
    waiting = asyncio.create_task(anext(other, None))
    await turns()
    source.hub.end()
    assert [await within(waiting), await within(anext(other, None))] == [DRY, None]
    await stream.aclose()
    await other.aclose()
    source.close()


async def test_events_are_wanted_by_whoever_asked_for_them_or_keeps_them() -> None:
    loop = asyncio.get_running_loop()
    parent = EventHub(loop)
    hub = EventHub(loop, (ShutdownEvent,), parent)
    assert [hub.wanted(kind) for kind in (ShutdownEvent, SenderDry)] == [True, False]
    source, listener = Source(), Source()
    source.hub, listener.hub = hub, parent
    kept = ShutdownEvent(3)
    hub.publish(kept)
    hub.publish(DRY)
    one = open_events(source, (ShutdownEvent, SenderDry), owner=None)
    assert await within(anext(one)) == kept
    two = open_events(listener, (AssociationChange,), owner=None)
    assert [hub.wanted(kind) for kind in (ShutdownEvent, SenderDry, AssociationChange)] == [True] * 3
    assert [parent.wanted(kind) for kind in (SenderDry, AssociationChange)] == [False, True]
    await one.aclose()
    # Kept no longer: the first iterator had them.
    assert [hub.wanted(kind) for kind in (ShutdownEvent, SenderDry, AssociationChange)] == [
        False,
        False,
        True,
    ]
    await two.aclose()
    assert not hub.wanted(AssociationChange)
    source.close()
    listener.close()


async def test_an_iterator_that_was_forgotten_takes_no_other_along() -> None:
    source = Source()
    kept, other = (open_events(source, (SenderDry,), owner=None) for _ in range(2))
    forgotten = open_events(source, (ShutdownEvent, SenderDry), owner=None)
    source.log.clear()
    del forgotten
    gc.collect()
    # It is noticed as an event comes.
    for _ in range(2):
        source.hub.publish(DRY)
        assert [await within(anext(stream)) for stream in (kept, other)] == [DRY, DRY]
    assert sorted(source.log, key=str) == sorted((("-", SenderDry), ("-", ShutdownEvent)), key=str)
    # Or as another one is closed, or opened.
    for change in (other.aclose, lambda: None):
        forgotten = open_events(source, (ShutdownEvent,), owner=None)
        source.log.clear()
        del forgotten
        gc.collect()
        if (closing := change()) is not None:
            await closing
        else:
            other = open_events(source, (SenderDry,), owner=None)
        assert ("-", ShutdownEvent) in source.log
        source.hub.publish(DRY)
        assert await within(anext(kept)) == DRY
    await kept.aclose()
    await other.aclose()
    source.close()
