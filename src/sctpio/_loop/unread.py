"""Messages that were received and not read yet: where they are kept, who waits, how many may be kept.

An `Unread` belongs to one association, or to an endpoint whose associations share it. Its messages are in
inboxes: one for each stream that a `Stream` has claimed, and one for all other streams. It knows no
descriptor and no stack. The sockets stop reading while it is full; `starvation` has the rule for tasks that
would then wait for ever.
"""

import asyncio
import weakref
from asyncio import current_task
from collections import deque
from collections.abc import Callable, Iterable

from ..message import Message
from .starvation import Starvation
from .waiting import Waiters

# Bytes that a buffered message takes beside its data: the Message, its integers, its place in a queue.
MESSAGE_OVERHEAD = 256

# Stands for the messages of an inbox that never had any: an empty deque takes more than half a KiB.
NOTHING: deque[Message] = deque()


class Inbox:
    """The unread messages of one claimed stream, or of all others, and the tasks that wait for them."""

    __slots__ = ("_loop", "_reader", "fresh", "messages", "stream", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: int | None) -> None:
        # For current_task: without it, Python 3.11 makes a system call each time (getpid).
        self._loop = loop
        self.stream: int | None = stream
        self.messages: deque[Message] = NOTHING
        self.waiters: Waiters = Waiters(loop)
        self._reader: weakref.ref[asyncio.Task[object]] | None = None
        # Whether nothing was taken since messages last came: the reader is noted once, not with each message.
        self.fresh: bool = True

    def note_reader(self) -> None:
        """Remember the current task as the one that reads here."""
        self.fresh = False
        task = current_task(self._loop)
        self._reader = None if task is None else weakref.ref(task)

    def put(self, messages: Iterable[Message]) -> None:
        """Append messages."""
        if self.messages is NOTHING:
            self.messages = deque()
        self.messages.extend(messages)
        self.fresh = True

    @property
    def reader(self) -> asyncio.Task[object] | None:
        """The task that last took a message from here; None once it is done."""
        task = None if self._reader is None else self._reader()
        return None if task is None or task.done() else task

    def streams(self) -> set[int]:
        """Return the streams of the messages that are here."""
        return {message.stream for message in self.messages}


class Unread:
    """All unread messages, in inboxes. `size` is their bytes; reading stops when it reaches `limit`.

    Each message counts as MESSAGE_OVERHEAD more bytes than its data.
    """

    __slots__ = ("_starvation", "claimed", "inbox", "limit", "loop", "size")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.limit: int = limit
        self.size: int = 0
        self.inbox: Inbox = Inbox(loop, None)
        self.claimed: dict[int, Inbox] = {}
        self._starvation: Starvation | None = None

    @property
    def space(self) -> int:
        """How many more bytes fit; 0 or less when it is full."""
        return self.limit - self.size

    @property
    def full(self) -> bool:
        """Whether unread messages reach the limit."""
        return self.size >= self.limit

    def inboxes(self) -> Iterable[Inbox]:
        """Return every inbox."""
        return (self.inbox, *self.claimed.values())

    def put(self, message: Message) -> None:
        """Add one whole message, and wake a task that waits for it."""
        inbox = self.claimed.get(message.stream, self.inbox) if self.claimed else self.inbox
        inbox.put((message,))
        self.size += len(message.data) + MESSAGE_OVERHEAD
        inbox.waiters.wake()

    def put_all(self, messages: list[Message], size: int) -> None:
        """Add whole messages, of `size` bytes together, and wake as many tasks."""
        if self.claimed:
            for message in messages:
                self.put(message)
            return
        inbox = self.inbox
        if inbox.messages is NOTHING:
            inbox.messages = deque()
        inbox.messages.extend(messages)
        inbox.fresh = True
        self.size += size + len(messages) * MESSAGE_OVERHEAD
        if inbox.waiters.queue:
            inbox.waiters.wake(len(messages))

    def take(self, inbox: Inbox) -> Message:
        """Remove and return the oldest message of an inbox; raises IndexError if it is empty."""
        if inbox.fresh:
            inbox.note_reader()
        message = inbox.messages.popleft()
        self.size -= len(message.data) + MESSAGE_OVERHEAD
        return message

    def take_all(self, inbox: Inbox, limit: int | None) -> list[Message]:
        """Remove and return the oldest messages of an inbox, at most `limit` of them."""
        inbox.note_reader()
        messages = inbox.messages
        if limit is None or limit >= len(messages):
            taken = list(messages)
            messages.clear()
        else:
            taken = [messages.popleft() for _ in range(limit)]
        self.size -= sum([len(message.data) for message in taken]) + len(taken) * MESSAGE_OVERHEAD
        return taken

    def claim(self, stream: int) -> Inbox:
        """Return the inbox of one stream alone; the stream's buffered messages move there first."""
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

    def move(self, association_id: int, other: "Unread") -> None:
        """Move the unread messages of one association to another `Unread`, in order."""
        rest: deque[Message] = deque()
        for message in self.inbox.messages:
            if message.association_id == association_id:
                self.size -= len(message.data) + MESSAGE_OVERHEAD
                other.put(message)
            else:
                rest.append(message)
        self.inbox.messages = rest
        self.note_taken()

    def clear(self) -> None:
        """Drop all unread messages."""
        for inbox in self.inboxes():
            inbox.messages.clear()
        self.size = 0

    def count(self) -> tuple[int, int]:
        """Return how many messages are unread, and their bytes."""
        count = sum(len(inbox.messages) for inbox in self.inboxes())
        return count, self.size - count * MESSAGE_OVERHEAD

    def wake_all(self) -> None:
        """Wake every reader: each checks again whether to wait."""
        for inbox in self.inboxes():
            inbox.waiters.wake_all()

    # Waiting for input that the socket has not delivered yet

    async def wait(
        self,
        waiters: Waiters,
        ready: Callable[[], object],
        inbox: Inbox | None = None,
        first: bool = False,
    ) -> None:
        """Wait until woken, unless `ready()` is true. All who wait here are woken when the buffer fills up.

        Raises ReceiveBufferFullError if the buffer is full and nobody empties it (see `starvation`).
        """
        if self.size < self.limit:
            await waiters.wait(ready, first)
            return
        if self._starvation is None:
            self._starvation = Starvation(self)
        await self._starvation.wait(waiters, ready, inbox, first)

    def note_taken(self) -> None:
        """Note that a message was taken while the buffer was full."""
        if self._starvation is not None:
            self._starvation.taken()
