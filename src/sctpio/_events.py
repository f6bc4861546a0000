"""The event stream of an association or a listener: subscriptions, buffers, and what overflowed.

Everything that decides which iterator gets which event lives here. Events are handed on in the order in
which the stack gave them; a full buffer never loses one without an `EventsDropped` at the place of the gap.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from ._waiting import Waiters
from .events import Event, EventsDropped, RemoteError, SenderDry, SendFailed, UnknownEvent
from .stacks.base import StackSocket

E = TypeVar("E", bound=Event, covariant=True)

# What one iterator holds for a reader that is behind.
MOST_EVENTS = 1024
MOST_BYTES = 1024 * 1024


def _payload(event: Event) -> int:
    if isinstance(event, SendFailed | RemoteError):
        return len(event.data)
    return len(event.raw) if isinstance(event, UnknownEvent) else 0


class EventBuffer:
    """A bounded queue of events that remembers how many it could not take, and where."""

    __slots__ = ("_bytes", "_dropped", "_events")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._events) or self._dropped > 0

    def append(self, event: Event) -> None:
        """Take an event, or count it as dropped."""
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
        """Give the oldest event, or the mark of a gap."""
        if not self._events:
            dropped, self._dropped = self._dropped, 0
            return EventsDropped(dropped)
        event = self._events.popleft()
        self._bytes -= _payload(event)
        return event

    def drain(self) -> list[Event]:
        """Take everything out."""
        events = []
        while self:
            events.append(self.pop())
        return events


class EventHub:
    """Hands events to the iterators that asked for their type.

    `subscribe(kind, on)` turns an event of the stack on or off; it raises OSError where the stack refuses.
    `parent` (a listener's hub) gets every event too. `kept` types are buffered from the start, for the first
    iterator.
    """

    __slots__ = ("_kept", "_kept_types", "_streams", "dropped", "ended", "loop", "parent")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        kept: tuple[type[Event], ...] = (),
        parent: "EventHub | None" = None,
    ) -> None:
        self.loop = loop
        self.parent = parent
        self.ended = False
        self.dropped = 0
        self._kept_types = kept
        self._kept: EventBuffer | None = EventBuffer() if kept else None
        self._streams: list[weakref.ref[EventStream[Event]]] = []

    def publish(self, event: Event) -> None:
        """Hand an event on."""
        if self.parent is not None:
            self.parent.publish(event)
        if self._kept is not None and isinstance(event, self._kept_types):
            self._kept.append(event)
        for reference in self._streams:
            stream = reference()
            if stream is not None:
                stream.offer(event)

    def attach(self, stream: "EventStream[Event]", *, keep: bool) -> None:
        """Begin to hand events to an iterator; the first one that may `keep` them gets what was kept."""
        if self._kept is not None and keep:
            for event in self._kept.drain():
                stream.offer(event)
            self._kept = None
        self._streams = [reference for reference in self._streams if reference() is not None]
        self._streams.append(weakref.ref(stream))

    def detach(self, stream: "EventStream[Event]") -> None:
        """Stop handing events to an iterator."""
        self._streams = [reference for reference in self._streams if reference() not in (None, stream)]

    def wanted(self, kind: type[Event]) -> bool:
        """Tell whether some iterator still takes events of this type."""
        if self._kept is not None and issubclass(kind, self._kept_types):
            return True
        streams = (reference() for reference in self._streams)
        if any(stream is not None and issubclass(kind, stream.types) for stream in streams):
            return True
        return self.parent is not None and self.parent.wanted(kind)

    def end(self) -> None:
        """No more events will come: iterators end after what they hold."""
        self.ended = True
        self.wake_all()

    def wake_all(self) -> None:
        """Let every waiting iterator look again."""
        for reference in self._streams:
            stream = reference()
            if stream is not None:
                stream.wake_all()


class EventStream(Generic[E]):
    """An asynchronous iterator of events, made by `events()` of a `Conn` or `Listener`.

    It ends (StopAsyncIteration) when the association has ended and every event was taken. It holds a
    bounded number of events; where more came, the next item is `EventsDropped(count)`. Cancelling a wait
    loses nothing. `aclose()`, or leaving `async with`, ends the subscription.
    """

    def __init__(
        self,
        hub: EventHub,
        types: tuple[type[Event], ...],
        *,
        owner: object,
        wait: Callable[[Waiters], Coroutine[Any, Any, None]],
        closed: Callable[["EventStream[Event]"], None],
        keep: bool,
    ) -> None:
        self.types = types
        self._hub = hub
        # The public object lives while its events are read.
        self._owner = owner
        self._wait = wait
        self._on_close = closed
        self._buffer = EventBuffer()
        self._waiters = Waiters(hub.loop)
        self._closed = False
        hub.attach(self, keep=keep)

    def offer(self, event: Event) -> None:
        """Take the event if it is of a wanted type (called by the hub)."""
        if isinstance(event, (*self.types, EventsDropped)):
            self._buffer.append(event)
            self._waiters.wake()

    def wake_all(self) -> None:
        """Let every waiting task look again (called by the hub)."""
        self._waiters.wake_all()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Give the next event; wait for it.

        Raises ReceiveBufferFullError when no event can come because unread messages fill the buffer.
        """
        while True:
            if self._buffer:
                return self._buffer.pop()  # type: ignore[return-value]
            if self._closed or self._hub.ended:
                raise StopAsyncIteration
            await self._wait(self._waiters)

    async def aclose(self) -> None:
        """End the subscription; a waiting task ends its iteration. Does not wait."""
        if not self._closed:
            self._closed = True
            self._hub.detach(self)
            self._on_close(self)
            self._waiters.wake_all()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


def check_types(types: tuple[type[Event], ...]) -> tuple[type[Event], ...]:
    """Check that every type is an event's; raises TypeError."""
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise TypeError(f"{kind!r} is not a type of event such as AssociationChange")
    return types


def subscribable(raw: StackSocket, types: tuple[type[Event], ...]) -> list[type[Event]]:
    """Name the events of the stack that belong to `types`."""
    return [kind for kind in raw.codec.event_numbers if issubclass(kind, types)] if types else []


def open_events(
    raw: StackSocket,
    hub: EventHub,
    types: tuple[type[Event], ...],
    *,
    owner: object,
    subscribe: Callable[[type[Event]], None],
    unsubscribe: Callable[[type[Event]], None],
    wait: Callable[[Waiters], Coroutine[Any, Any, None]],
    keep: bool = True,
) -> EventStream[Any]:
    """Subscribe what an iterator of these types needs, and make it.

    Without types that is every event except SenderDry, which comes each time that all is acknowledged; an
    event that the stack does not know is then left out. `keep` hands it what was kept for the first one.
    """
    every = (*(kind for kind in raw.codec.event_numbers if kind is not SenderDry), UnknownEvent)
    wanted = check_types(types) or every
    subscribed: list[type[Event]] = []
    for kind in subscribable(raw, wanted):
        try:
            subscribe(kind)
        except OSError:
            if types:
                for other in subscribed:
                    unsubscribe(other)
                raise
        subscribed.append(kind)

    def closed(stream: EventStream[Any]) -> None:
        for kind in subscribable(raw, stream.types):
            unsubscribe(kind)

    return EventStream(hub, wanted, owner=owner, wait=wait, closed=closed, keep=keep)
