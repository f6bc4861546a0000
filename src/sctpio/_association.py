"""One association as its owner's tasks see it: messages in queues, how it ended, who waits for what.

It knows no descriptor: `_socket` feeds it what the stack received and asks it what to do next.
"""

import asyncio
import copy
import weakref
from collections import deque

from ._events import EventHub
from ._waiting import Waiters
from .errors import ClosedError, EndOfAssociation, MessageTooLargeError, ReceiveBufferFullError
from .events import (
    AssociationChange,
    AssociationState,
    Event,
    PartialDelivery,
    SenderDry,
    ShutdownEvent,
)
from .message import Message

# What a buffered message costs beside its bytes: the Message, its integers, its place in a queue.
MESSAGE_OVERHEAD = 256

# Seconds without a message being taken, after which a wait that depends on it is given up.
STARVED_AFTER = 0.2


class Inbox:
    """Unread messages, of one claimed stream or of all that nobody claimed, and who waits for them."""

    __slots__ = ("_reader", "messages", "stream", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: int | None) -> None:
        self.stream = stream
        self.messages: deque[Message] = deque()
        self.waiters = Waiters(loop)
        self._reader: weakref.ref[asyncio.Task[object]] | None = None

    def note_reader(self) -> asyncio.Task[object] | None:
        """Remember which task reads here."""
        task = asyncio.current_task()
        self._reader = None if task is None else weakref.ref(task)
        return task

    @property
    def reader(self) -> asyncio.Task[object] | None:
        """The task that last waited here or took from here, while it lives."""
        task = None if self._reader is None else self._reader()
        return None if task is None or task.done() else task

    def streams(self) -> set[int]:
        """Name the streams whose messages lie here."""
        return {message.stream for message in self.messages}


class Partial:
    """A message of which more is to come."""

    __slots__ = ("data", "head")

    def __init__(self, head: Message) -> None:
        self.head = head
        # One buffer and no list of parts: how small those are is the peer's choice.
        self.data = bytearray()


class Association:
    """The state of one association.

    `end` is how it ended, for every later call; `over` tells that the stack is done with it, `over_by` how;
    `inbound_over` that the peer will send nothing more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        receive_buffer: int,
        max_message_size: int,
        hub: EventHub,
    ) -> None:
        self.loop = loop
        self.hub = hub
        self.receive_buffer = receive_buffer
        self.max_message_size = max_message_size
        self.id = 0
        self.outbound_streams = 0
        self.inbound_streams = 0
        self.established = False
        self.end: Exception | None = None
        self.over = False
        self.over_by: Exception | None = None
        self.inbound_over = False
        self.discarding = False
        self.unread_bytes = 0
        self.dry_count = 0
        self.messages_received = 0
        self.bytes_received = 0
        self.lost: AssociationChange | None = None
        self.inbox = Inbox(loop, None)
        self.claimed: dict[int, Inbox] = {}
        self.state_waiters = Waiters(loop)
        self.senders = Waiters(loop)
        self._taken = 0
        # How many messages had been taken when a wait first starved, and since when that is.
        self._starved_since: tuple[int, float] | None = None
        self._starved_timer: asyncio.TimerHandle | None = None
        self._partials: dict[tuple[int, bool], Partial] = {}
        # Tasks that wait for input of this association, and how often.
        self._waiting_tasks: dict[asyncio.Task[object], int] = {}

    # What comes in

    def feed(self, message: Message) -> None:
        """Take a message, or a part of one (`complete` False: more will come)."""
        if self.discarding:
            return
        key = (message.stream, message.unordered)
        partial = self._partials.get(key) if self._partials else None
        size = len(message.data) + (len(partial.data) if partial is not None else 0)
        if size > self.max_message_size:
            raise MessageTooLargeError(
                f"a message of stream {message.stream} is larger than max_message_size,"
                f" {self.max_message_size} bytes"
            )
        if partial is None and message.complete:
            self._deliver(message)
            return
        if partial is None:
            partial = self._partials[key] = Partial(message)
        partial.data += message.data
        if message.complete:
            del self._partials[key]
            self._deliver(_joined(partial, message))

    def _deliver(self, message: Message) -> None:
        inbox = self.claimed.get(message.stream, self.inbox) if self.claimed else self.inbox
        inbox.messages.append(message)
        size = len(message.data)
        self.unread_bytes += size + MESSAGE_OVERHEAD
        self.messages_received += 1
        self.bytes_received += size
        inbox.waiters.wake()

    def take_event(self, event: Event) -> None:
        """Follow the association's life, then hand the event on."""
        match event:
            case AssociationChange():
                self._change(event)
            case ShutdownEvent():
                self.inbound_ended()
            case PartialDelivery():
                self._drop_partial(event.stream)
            case SenderDry():
                self.dry_count += 1
                self.state_waiters.wake_all()
        self.hub.publish(event)

    def _change(self, event: AssociationChange) -> None:
        match event.state:
            case AssociationState.COMM_UP | AssociationState.RESTART:
                self._partials.clear()
                self.up(event.association_id, event.outbound_streams, event.inbound_streams)
            case AssociationState.COMM_LOST | AssociationState.CANT_STR_ASSOC:
                self.lost = event
            case AssociationState.SHUTDOWN_COMP:
                self.finish(EndOfAssociation("the association was shut down"))

    def up(self, identifier: int, outbound: int, inbound: int) -> None:
        """The association exists."""
        self.id = identifier
        self.outbound_streams = outbound
        self.inbound_streams = inbound
        self.established = True
        self.state_waiters.wake_all()

    async def set_up(self) -> None:
        """Wait until the association exists; raises why it does not."""
        while not self.established:
            self.check_alive()
            await self.state_waiters.wait()

    def _drop_partial(self, stream: int) -> None:
        """Forget a broken-off message. Without I-DATA the event names no stream, but only one can be open."""
        if len(self._partials) <= 1:
            self._partials.clear()
            return
        for key in [key for key in self._partials if key[0] == stream]:
            del self._partials[key]

    # How it ends

    def inbound_ended(self) -> None:
        """The peer sends nothing more (its SHUTDOWN came)."""
        if not self.inbound_over:
            self.inbound_over = True
            self.wake_all()

    def finish(self, end: Exception) -> None:
        """The stack is done with the association. The first end given stays."""
        if self.over:
            return
        if self.end is None:
            self.end = end
        self.over_by = end
        self.over = self.inbound_over = True
        self._partials.clear()
        self.hub.end()
        self.wake_all()

    def close_here(self, text: str = "the association was closed here") -> None:
        """The owner closes: readers and senders end now, what comes in is dropped."""
        if self.end is None:
            self.end = ClosedError(text)
        self.discarding = True
        self.inbox.messages.clear()
        for inbox in self.claimed.values():
            inbox.messages.clear()
        self._partials.clear()
        self.unread_bytes = 0
        self.wake_all()

    def wake_all(self) -> None:
        """Every waiting task looks again."""
        self.state_waiters.wake_all()
        self.senders.wake_all()
        self.inbox.waiters.wake_all()
        for inbox in self.claimed.values():
            inbox.waiters.wake_all()
        self.hub.wake_all()

    def outcome(self) -> Exception:
        """Give a fresh copy of how the association ended: each raise has its own traceback."""
        return copy.copy(self.end) if self.end is not None else EndOfAssociation("the peer shut down")

    def check_alive(self) -> None:
        """Raise how the association ended, if it did."""
        if self.end is not None or self.inbound_over:
            raise self.outcome()

    # Reading

    @property
    def room(self) -> int:
        """How many more bytes of messages fit the receive buffer; 0 or less when it is full."""
        return self.receive_buffer - self.unread_bytes

    @property
    def full(self) -> bool:
        """Whether unread messages reach the receive buffer's size."""
        return self.unread_bytes >= self.receive_buffer

    def unread(self) -> tuple[int, int]:
        """Count the unread messages and their bytes."""
        inboxes = (self.inbox, *self.claimed.values())
        count = sum(len(inbox.messages) for inbox in inboxes)
        return count, self.unread_bytes - count * MESSAGE_OVERHEAD

    def claim(self, stream: int) -> Inbox:
        """Give a stream an inbox of its own, with what is buffered of it."""
        inbox = self.claimed.get(stream)
        if inbox is None:
            inbox = self.claimed[stream] = Inbox(self.loop, stream)
            rest: deque[Message] = deque()
            for message in self.inbox.messages:
                (inbox.messages if message.stream == stream else rest).append(message)
            self.inbox.messages = rest
        return inbox

    def take(self, inbox: Inbox) -> Message:
        """Take the oldest message of an inbox."""
        message = inbox.messages.popleft()
        was_full = self.full
        self.unread_bytes -= len(message.data) + MESSAGE_OVERHEAD
        self._taken += 1
        if was_full and not self.full:
            self.state_waiters.wake_all()
        return message

    @property
    def has_partial(self) -> bool:
        """Whether a part of a message came, and not yet the rest."""
        return bool(self._partials)

    def _starving(self, inbox: Inbox | None) -> set[int]:
        """Name the streams whose unread messages nobody seems to take, if input waits for that.

        Reading is paused; only a task that takes unread messages can resume it. An inbox counts as attended
        while the task that last read it lives, is not the one that asks, and does not itself wait for input
        of this association.
        """
        if not self.full or (inbox is not None and inbox.messages):
            return set()
        asking = asyncio.current_task()
        streams: set[int] = set()
        for other in (self.inbox, *self.claimed.values()):
            if other is inbox or not other.messages:
                continue
            reader = other.reader
            if reader is not None and reader is not asking and reader not in self._waiting_tasks:
                return set()
            if len(other.waiters):
                return set()
            streams |= other.streams()
        return streams

    def check_starved(self, inbox: Inbox | None) -> None:
        """Raise ReceiveBufferFullError for a task whose wait could never end.

        Not before nothing was taken for STARVED_AFTER seconds: a reader may be about to begin, or to read by
        a new task each time (as `asyncio.wait_for` does).
        """
        streams = self._starving(inbox)
        if not streams:
            return
        now = self.loop.time()
        if self._starved_since is None or self._starved_since[0] != self._taken:
            self._starved_since = (self._taken, now)
        if now - self._starved_since[1] >= STARVED_AFTER:
            raise ReceiveBufferFullError(streams, self.receive_buffer)
        if self._starved_timer is None:
            self._starved_timer = self.loop.call_later(STARVED_AFTER, self._look_again)

    def _look_again(self) -> None:
        self._starved_timer = None
        self.wake_all()

    async def wait_for_input(self, waiters: Waiters, inbox: Inbox | None = None) -> None:
        """Suspend until something came in; see `check_starved`."""
        self.check_starved(inbox)
        task = asyncio.current_task()
        if task is not None:
            self._waiting_tasks[task] = self._waiting_tasks.get(task, 0) + 1

        # A function of its own for each wait: remove_done_callback removes all that are equal.
        def reader_left(_: object) -> None:
            self.wake_all()

        readers = self._readers(inbox) if self.full else ()
        for reader in readers:
            reader.add_done_callback(reader_left)
        try:
            await waiters.wait()
        finally:
            for reader in readers:
                reader.remove_done_callback(reader_left)
            if task is not None:
                left = self._waiting_tasks.pop(task) - 1
                if left:
                    self._waiting_tasks[task] = left

    def _readers(self, inbox: Inbox | None) -> list[asyncio.Task[object]]:
        """Name the tasks on which a wait depends while the buffer is full."""
        others = (other for other in (self.inbox, *self.claimed.values()) if other is not inbox)
        readers = (other.reader for other in others if other.messages)
        return [reader for reader in readers if reader is not None]


def _joined(partial: Partial, last: Message) -> Message:
    head = partial.head
    return Message(
        data=bytes(partial.data),
        stream=head.stream,
        ppid=head.ppid,
        ssn=head.ssn,
        tsn=head.tsn,
        cumulative_tsn=last.cumulative_tsn,
        unordered=head.unordered,
        context=head.context,
        association_id=head.association_id,
        source=head.source,
    )
