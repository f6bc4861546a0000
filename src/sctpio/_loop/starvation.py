"""Waits that could never end: the rule by which a receive gives up with ReceiveBufferFullError.

When unread messages fill the buffer, the socket stops reading, and only a task that takes some of them lets
it go on. So while the buffer is full, a task that waits for something not read from the socket yet depends
on those other tasks. Its wait starves if all of this holds:

- The buffer is full, and nothing in it is for the waiting task.
- No inbox with unread messages is attended. An inbox is attended while a task waits on it, or while the task
  that last took from it lives, is not the one that asks, and does not itself wait for input here.
- Nothing was taken for STARVED_AFTER seconds: a reader may be about to start, or may use a new task for each
  read, as `asyncio.wait_for` does.

A waiting task checks again when a reader that it depends on has ended, and when that time is over.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ReceiveBufferFullError
from .waiting import Waiters, check_loop

if TYPE_CHECKING:
    from .unread import Inbox, Unread

# Seconds for which nothing must have been taken before a starving wait is given up.
STARVED_AFTER = 0.2


class Starvation:
    """The tasks that wait for input while one buffer is full."""

    __slots__ = ("_since", "_timer", "_unread", "_waiting")

    def __init__(self, unread: "Unread") -> None:
        self._unread = unread
        # The loop's time when a wait was first found to starve; None again once something was taken.
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Each wait has a key of its own: its task, and what it waits on.
        self._waiting: dict[object, tuple[asyncio.Task[object] | None, Waiters]] = {}

    def taken(self) -> None:
        """Note that a message was taken: nothing starves for now."""
        self._since = None

    async def wait(
        self,
        waiters: Waiters,
        ready: Callable[[], object],
        inbox: "Inbox | None",
        first: bool,
    ) -> None:
        """Wait while the buffer is full; raises ReceiveBufferFullError if that could never end."""
        check_loop(self._unread.loop)
        self._check(inbox)
        key = object()

        # A new function for each wait: remove_done_callback removes every callback that is equal.
        def reader_left(_: object) -> None:
            self.look_again()

        readers = self._readers(inbox)
        try:
            self._waiting[key] = (asyncio.current_task(self._unread.loop), waiters)
            for reader in readers:
                reader.add_done_callback(reader_left)
            await waiters.wait(ready, first)
        finally:
            for reader in readers:
                reader.remove_done_callback(reader_left)
            self._waiting.pop(key, None)

    def look_again(self) -> None:
        """Wake all who wait here: each checks whether its wait can still end."""
        self._timer = None
        for _, waiters in list(self._waiting.values()):
            waiters.wake_all()

    def _check(self, inbox: "Inbox | None") -> None:
        streams = self._starving(inbox)
        if not streams:
            return
        loop = self._unread.loop
        now = loop.time()
        if self._since is None:
            self._since = now
        if now - self._since >= STARVED_AFTER:
            raise ReceiveBufferFullError(streams, self._unread.limit)
        if self._timer is None:
            self._timer = loop.call_later(STARVED_AFTER, self.look_again)

    def _starving(self, inbox: "Inbox | None") -> set[int]:
        """Return the streams whose messages fill the buffer and nobody reads; empty if the wait can end."""
        unread = self._unread
        if not unread.full or (inbox is not None and inbox.messages):
            return set()
        asking = asyncio.current_task(unread.loop)
        waiting = {task for task, _ in self._waiting.values()}
        streams: set[int] = set()
        for other in unread.inboxes():
            if other is inbox or not other.messages:
                continue
            reader = other.reader
            if reader is not None and reader is not asking and reader not in waiting:
                return set()
            if other.waiters.queue:
                return set()
            streams |= other.streams()
        return streams

    def _readers(self, inbox: "Inbox | None") -> list[asyncio.Task[object]]:
        """Return the tasks whose reading would end a wait while the buffer is full."""
        others = (other for other in self._unread.inboxes() if other is not inbox)
        readers = (other.reader for other in others if other.messages)
        return [reader for reader in readers if reader is not None]
