"""What was received and not read yet: messages in queues, who waits for them, and how much there may be.

An `Intake` belongs to one association, or to an endpoint whose associations share it. It knows no
descriptor and no stack.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Iterable

from ._waiting import Waiters
from .errors import ReceiveBufferFullError
from .message import Message

# What a buffered message costs beside its bytes: the Message, its integers, its place in a queue.
MESSAGE_OVERHEAD = 256

# Seconds without a message being taken, after which a wait that depends on it is given up.
STARVED_AFTER = 0.2


# Of an inbox that never had any: an empty deque takes more than half a KiB.
NOTHING: deque[Message] = deque()


class Inbox:
    """Unread messages, of one claimed stream or of all that nobody claimed, and who waits for them."""

    __slots__ = ("_loop", "_reader", "fresh", "messages", "stream", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: int | None) -> None:
        # Given to current_task, which else asks the system for the process (Python 3.11).
        self._loop = loop
        self.stream = stream
        self.messages = NOTHING
        self.waiters = Waiters(loop)
        self._reader: weakref.ref[asyncio.Task[object]] | None = None
        # Nobody took from here since messages came: for whoever does it is enough to be noted once.
        self.fresh = True

    def note_reader(self) -> None:
        """Remember which task reads here."""
        self.fresh = False
        task = asyncio.current_task(self._loop)
        self._reader = None if task is None else weakref.ref(task)

    def put(self, messages: Iterable[Message]) -> None:
        """Add messages."""
        if self.messages is NOTHING:
            self.messages = deque()
        self.messages.extend(messages)
        self.fresh = True

    @property
    def reader(self) -> asyncio.Task[object] | None:
        """The task that last took from here, while it lives."""
        task = None if self._reader is None else self._reader()
        return None if task is None or task.done() else task

    def streams(self) -> set[int]:
        """Name the streams whose messages lie here."""
        return {message.stream for message in self.messages}


class Intake:
    """Unread messages, bounded: `limit` is how many bytes of them stop the reading."""

    __slots__ = (
        "_starved_since",
        "_starved_timer",
        "_waiting",
        "claimed",
        "inbox",
        "limit",
        "loop",
        "unread_bytes",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.loop = loop
        self.limit = limit
        self.unread_bytes = 0
        self.inbox = Inbox(loop, None)
        self.claimed: dict[int, Inbox] = {}
        # How many bytes were unread when a wait first starved, and since when that is.
        self._starved_since: tuple[int, float] | None = None
        self._starved_timer: asyncio.TimerHandle | None = None
        # Who waits in `wait`, and on what.
        self._waiting: dict[object, tuple[asyncio.Task[object] | None, Waiters]] = {}

    @property
    def room(self) -> int:
        """How many more bytes of messages fit; 0 or less when it is full."""
        return self.limit - self.unread_bytes

    @property
    def full(self) -> bool:
        """Whether unread messages reach the limit."""
        return self.unread_bytes >= self.limit

    def put(self, message: Message) -> None:
        """Take a whole message in."""
        inbox = self.claimed.get(message.stream, self.inbox) if self.claimed else self.inbox
        inbox.put((message,))
        self.unread_bytes += len(message.data) + MESSAGE_OVERHEAD
        inbox.waiters.wake()

    def put_all(self, messages: list[Message], size: int) -> None:
        """Take whole messages in; `size` is their bytes."""
        if self.claimed:
            for message in messages:
                self.put(message)
            return
        inbox = self.inbox
        inbox.put(messages)
        self.unread_bytes += size + len(messages) * MESSAGE_OVERHEAD
        if inbox.waiters.queue:
            inbox.waiters.wake(len(messages))

    def take(self, inbox: Inbox) -> Message:
        """Give the oldest message of an inbox."""
        if inbox.fresh:
            inbox.note_reader()
        message = inbox.messages.popleft()
        self.unread_bytes -= len(message.data) + MESSAGE_OVERHEAD
        return message

    def take_all(self, inbox: Inbox, limit: int | None) -> list[Message]:
        """Give the oldest messages of an inbox, at most `limit`."""
        inbox.note_reader()
        messages = inbox.messages
        if limit is None or limit >= len(messages):
            taken = list(messages)
            messages.clear()
        else:
            taken = [messages.popleft() for _ in range(limit)]
        self.unread_bytes -= sum([len(message.data) for message in taken]) + len(taken) * MESSAGE_OVERHEAD
        return taken

    def claim(self, stream: int) -> Inbox:
        """Give a stream an inbox of its own, with what is buffered of it."""
        inbox = self.claimed.get(stream)
        if inbox is None:
            inbox = self.claimed[stream] = Inbox(self.loop, stream)
            rest: deque[Message] = deque()
            for message in self.inbox.messages:
                if message.stream == stream:
                    inbox.put((message,))
                else:
                    rest.append(message)
            self.inbox.messages = rest
        return inbox

    def move(self, association_id: int, other: "Intake") -> None:
        """Hand the unread messages of one association to another intake, in order."""
        rest: deque[Message] = deque()
        for message in self.inbox.messages:
            if message.association_id == association_id:
                self.unread_bytes -= len(message.data) + MESSAGE_OVERHEAD
                other.put(message)
            else:
                rest.append(message)
        self.inbox.messages = rest

    def clear(self) -> None:
        """Drop what is unread."""
        for inbox in (self.inbox, *self.claimed.values()):
            inbox.messages.clear()
        self.unread_bytes = 0

    def unread(self) -> tuple[int, int]:
        """Count the unread messages and their bytes."""
        inboxes = (self.inbox, *self.claimed.values())
        count = sum(len(inbox.messages) for inbox in inboxes)
        return count, self.unread_bytes - count * MESSAGE_OVERHEAD

    def wake_all(self) -> None:
        """Every reader looks again."""
        self.inbox.waiters.wake_all()
        for inbox in self.claimed.values():
            inbox.waiters.wake_all()

    # Waiting for what may never come

    async def wait(self, waiters: Waiters, inbox: Inbox | None = None) -> None:
        """Suspend until something came in; see `check_starved`.

        Where the buffer gets full meanwhile, everybody is woken to look again.
        """
        if not self.full:
            await waiters.wait()
            return
        self.check_starved(inbox)
        key = object()
        self._waiting[key] = (asyncio.current_task(self.loop), waiters)

        # A function of its own for each wait: remove_done_callback removes all that are equal.
        def reader_left(_: object) -> None:
            self.look_again()

        readers = self._readers(inbox)
        for reader in readers:
            reader.add_done_callback(reader_left)
        try:
            await waiters.wait()
        finally:
            for reader in readers:
                reader.remove_done_callback(reader_left)
            del self._waiting[key]

    def look_again(self) -> None:
        """Everybody who waits here looks whether that still makes sense."""
        self._starved_timer = None
        for _, waiters in list(self._waiting.values()):
            waiters.wake_all()

    def check_starved(self, inbox: Inbox | None) -> None:
        """Raise ReceiveBufferFullError for a task whose wait could never end.

        Not before nothing was taken for STARVED_AFTER seconds: a reader may be about to begin, or to read by
        a new task each time (as `asyncio.wait_for` does).
        """
        streams = self._starving(inbox)
        if not streams:
            return
        now = self.loop.time()
        if self._starved_since is None or self._starved_since[0] != self.unread_bytes:
            self._starved_since = (self.unread_bytes, now)
        if now - self._starved_since[1] >= STARVED_AFTER:
            raise ReceiveBufferFullError(streams, self.limit)
        if self._starved_timer is None:
            self._starved_timer = self.loop.call_later(STARVED_AFTER, self.look_again)

    def _starving(self, inbox: Inbox | None) -> set[int]:
        """Name the streams whose unread messages nobody seems to take, if input waits for that.

        Reading is paused; only a task that takes unread messages can resume it. An inbox counts as attended
        while the task that last read it lives, is not the one that asks, and does not itself wait for input
        here.
        """
        if not self.full or (inbox is not None and inbox.messages):
            return set()
        asking = asyncio.current_task(self.loop)
        waiting = {task for task, _ in self._waiting.values()}
        streams: set[int] = set()
        for other in (self.inbox, *self.claimed.values()):
            if other is inbox or not other.messages:
                continue
            reader = other.reader
            if reader is not None and reader is not asking and reader not in waiting:
                return set()
            if len(other.waiters):
                return set()
            streams |= other.streams()
        return streams

    def _readers(self, inbox: Inbox | None) -> list[asyncio.Task[object]]:
        """Name the tasks on which a wait depends while the buffer is full."""
        others = (other for other in (self.inbox, *self.claimed.values()) if other is not inbox)
        readers = (other.reader for other in others if other.messages)
        return [reader for reader in readers if reader is not None]
