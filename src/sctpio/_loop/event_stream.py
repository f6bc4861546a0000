"""The events of an association or of a local endpoint: who gets which, what is buffered, what overflowed.

A hub hands each event from the stack to the iterators that want its type, in order. Each iterator has a
bounded buffer: events that do not fit are counted, and an `EventsDropped` takes their place. Events that a
constructor's `events=` named are kept from the first moment, for the first iterator. The stack reports an
event only while somebody wants it.
"""

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from ..events import Event, EventsDropped, RemoteError, SenderDry, SendFailed, UnknownEvent
from ..stacks.base import StackSocket
from .waiting import Waiters

E = TypeVar("E", bound=Event, covariant=True)

# How much one iterator holds, in events and in bytes of their payloads, for a reader that falls behind.
MOST_EVENTS = 1024
MOST_BYTES = 1024 * 1024


def _payload(event: Event) -> int:
    if isinstance(event, SendFailed | RemoteError):
        return len(event.data)
    return len(event.raw) if isinstance(event, UnknownEvent) else 0


class EventBuffer:
    """A bounded queue of events that records how many did not fit, and where."""

    __slots__ = ("_bytes", "_dropped", "_events")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._events) or self._dropped > 0

    def append(self, event: Event) -> None:
        """Append an event, or count it as dropped if the queue is full."""
        size = _payload(event)
        if len(self._events) >= MOST_EVENTS or (self._events and self._bytes + size > MOST_BYTES):
            self._dropped += 1
            return
        if self._dropped:
            self._events.append(EventsDropped(self._dropped))
            self._dropped = 0
        self._events.append(event)
        self._bytes += size

    def pop(self) -> Event:
        """Remove and return the oldest event, or the `EventsDropped` of a gap."""
        if not self._events:
            dropped, self._dropped = self._dropped, 0
            return EventsDropped(dropped)
        event = self._events.popleft()
        self._bytes -= _payload(event)
        return event

    def drain(self) -> list[Event]:
        """Remove and return everything."""
        events = []
        while self:
            events.append(self.pop())
        return events


class EventHub:
    """Hands events to the iterators that asked for their type.

    `parent`, the hub of a listener, gets every event too. Events of the `kept` types are buffered from the
    start, for the first iterator. Once `ended`, no more events come.
    """

    __slots__ = ("_kept", "_kept_types", "_streams", "ended", "loop", "parent", "unsubscribe")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        kept: tuple[type[Event], ...] = (),
        parent: "EventHub | None" = None,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.parent: EventHub | None = parent
        self.ended: bool = False
        self._kept_types = kept
        self._kept: EventBuffer | None = EventBuffer() if kept else None
        # Each with the stack's events that it has subscribed.
        self._streams: list[tuple[weakref.ref[EventStream[Event]], Sequence[type[Event]]]] = []
        # Unsubscribes an event, unless somebody still wants it.
        self.unsubscribe: Callable[[type[Event]], None] | None = None

    def publish(self, event: Event) -> None:
        """Hand an event to the iterators that want its type."""
        if self.parent is not None:
            self.parent.publish(event)
        if self._kept is not None and isinstance(event, self._kept_types):
            self._kept.append(event)
        dead = False
        for reference, _ in self._streams:
            stream = reference()
            if stream is None:
                dead = True
            else:
                stream.offer(event)
        if dead:
            self._forget_dead()

    def _forget_dead(self) -> None:
        """Forget iterators that were garbage-collected, and unsubscribe events that only they wanted."""
        dead = [kinds for reference, kinds in self._streams if reference() is None]
        if not dead:
            return
        self._streams = [each for each in self._streams if each[0]() is not None]
        for kind in set[type[Event]]().union(*dead):
            if self.unsubscribe is not None:
                with contextlib.suppress(OSError):
                    self.unsubscribe(kind)

    def attach(self, stream: "EventStream[Event]", *, keep: bool) -> None:
        """Start handing events to an iterator; the first one with `keep` gets the kept events."""
        if self._kept is not None and keep:
            for event in self._kept.drain():
                stream.offer(event)
            self._kept = None
        self._streams.append((weakref.ref(stream), stream.kinds))
        self._forget_dead()

    def detach(self, stream: "EventStream[Event]") -> None:
        """Stop handing events to an iterator."""
        self._streams = [each for each in self._streams if each[0]() is not stream]
        self._forget_dead()

    def wanted(self, kind: type[Event]) -> bool:
        """Return whether some iterator still wants events of this type."""
        if self._kept is not None and issubclass(kind, self._kept_types):
            return True
        streams = (reference() for reference, _ in self._streams)
        if any(stream is not None and issubclass(kind, stream.types) for stream in streams):
            return True
        return self.parent is not None and self.parent.wanted(kind)

    def end(self) -> None:
        """Note that no more events will come: iterators end once they are empty."""
        self.ended = True
        self.wake_all()

    def wake_all(self) -> None:
        """Wake every waiting iterator: each checks again whether to wait."""
        for reference, _ in self._streams:
            stream = reference()
            if stream is not None:
                stream.wake_all()


class EventSource(Protocol):
    """Where events come from: an association, or a local endpoint."""

    @property
    def raw(self) -> StackSocket: ...
    @property
    def hub(self) -> EventHub: ...
    def subscribe(self, kind: type[Event], /) -> None: ...
    def unsubscribe(self, kind: type[Event], /) -> None: ...
    async def wait_for_input(self, waiters: Waiters, ready: Callable[[], object], /) -> None: ...


class EventStream(Generic[E]):
    """An asynchronous iterator of events, made by `events()` of a `Conn`, a `Listener` or an `Endpoint`.

    It ends (StopAsyncIteration) when its source has ended and every event was taken. It holds at most 1024
    events; if more came, the next item is `EventsDropped(count)`. Cancelling a wait loses no event.
    `aclose()`, or leaving `async with`, ends the subscription.
    """

    def __init__(
        self,
        hub: EventHub,
        types: tuple[type[Event], ...],
        *,
        owner: object,
        source: "EventSource",
        kinds: Sequence[type[Event]],
        keep: bool,
    ) -> None:
        self.types = types
        self.kinds = kinds
        self._hub = hub
        # Keeps the public object alive while its events are read.
        self._owner = owner
        self._source = source
        self._buffer = EventBuffer()
        self._waiters = Waiters(hub.loop)
        self._closed = False
        hub.attach(self, keep=keep)

    def offer(self, event: Event) -> None:
        """Buffer an event if it is of a wanted type (called by the hub)."""
        if isinstance(event, (*self.types, EventsDropped)):
            self._buffer.append(event)
            self._waiters.wake()

    def wake_all(self) -> None:
        """Wake every waiting task: each checks again whether to wait (called by the hub)."""
        self._waiters.wake_all()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Wait for the next event and return it. Cancelling loses no event.

        Raises ReceiveBufferFullError if unread messages fill the receive buffer, so that no event could come.
        """
        while True:
            if self._buffer:
                return self._buffer.pop()  # type: ignore[return-value]
            if self._closed or self._hub.ended:
                raise StopAsyncIteration
            await self._source.wait_for_input(self._waiters, self._is_ready)

    def _is_ready(self) -> bool:
        return bool(self._buffer) or self._closed or self._hub.ended

    async def aclose(self) -> None:
        """End the subscription; a waiting task ends its iteration. Does not wait."""
        if not self._closed:
            self._closed = True
            self._hub.detach(self)
            for kind in subscribable(self._source.raw, self.types):
                self._source.unsubscribe(kind)
            self._waiters.wake_all()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


def check_types(types: tuple[type[Event], ...]) -> tuple[type[Event], ...]:
    """Check that every type is a type of event, and return them; raises TypeError."""
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise TypeError(f"{kind!r} is not a type of event such as AssociationChange")
    return types


def subscribable(raw: StackSocket, types: tuple[type[Event], ...]) -> list[type[Event]]:
    """Return the event types of the stack that are among `types`, or subclasses of them."""
    return [kind for kind in raw.codec.event_numbers if issubclass(kind, types)] if types else []


def open_events(
    source: EventSource, types: tuple[type[Event], ...], *, owner: object, keep: bool = True
) -> EventStream[Any]:
    """Subscribe the events of these types, and return an iterator over them.

    Without types, it subscribes every event that the stack knows except SenderDry, which comes each time that
    everything is acknowledged. With `keep`, the iterator gets the events that were kept for the first one.
    Raises OSError if the stack refuses a type that was named.
    """
    raw = source.raw
    every = (*(kind for kind in raw.codec.event_numbers if kind is not SenderDry), UnknownEvent)
    wanted = check_types(types) or every
    subscribed: list[type[Event]] = []
    for kind in subscribable(raw, wanted):
        try:
            source.subscribe(kind)
        except OSError:
            if types:
                for other in subscribed:
                    source.unsubscribe(other)
                raise
        subscribed.append(kind)
    source.hub.unsubscribe = source.unsubscribe
    return EventStream(source.hub, wanted, owner=owner, source=source, kinds=subscribed, keep=keep)
