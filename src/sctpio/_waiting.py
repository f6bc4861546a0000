"""Tasks that wait in a queue: who is first, who is woken, and what cancelling one of them does.

Wake, then try: a woken task does the work itself (takes the message, makes the system call). So a task
that was cancelled has done nothing, one that returned has done it, and its turn passes to the next.
"""

import asyncio


def held_by(loop: asyncio.AbstractEventLoop) -> set[asyncio.Future[None]]:
    """Give the futures that keep a loop's waiting tasks alive.

    The loop knows a socket only weakly (so that a forgotten one is noticed), hence a task that waits for it
    hangs on the loop here: else nothing but a reference cycle would hold it, and the collector could take it
    in mid-wait. A loop that is dropped with its tasks takes them along.
    """
    held: set[asyncio.Future[None]] = vars(loop).setdefault("_sctpio_waiting", set())
    return held


class Waiters:
    """A first-in, first-out queue of suspended tasks; others may look whether `queue` has any."""

    __slots__ = ("_held", "_loop", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held = held_by(loop)
        # Not a deque: most never have anybody, and an empty deque takes more than half a KiB.
        self.queue: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self.queue)

    async def wait(self, *, first: bool = False) -> None:
        """Suspend until woken. `first` goes to the head of the queue: for a task whose try failed."""
        future: asyncio.Future[None] = self._loop.create_future()
        if first:
            self.queue.insert(0, future)
        else:
            self.queue.append(future)
        self._held.add(future)
        try:
            await future
        except asyncio.CancelledError:
            woken = future.done() and not future.cancelled()
            self.queue.remove(future)
            if woken:
                self.wake()
            raise
        finally:
            self._held.discard(future)
        self.queue.remove(future)

    def wake(self, count: int = 1) -> None:
        """Wake the first tasks that are still asleep, `count` at most."""
        for future in self.queue:
            if not future.done():
                future.set_result(None)
                count -= 1
                if not count:
                    return

    def wake_head(self) -> None:
        """Wake the first task, unless it is awake already: where the second must not try before the first."""
        if self.queue and not self.queue[0].done():
            self.queue[0].set_result(None)

    def wake_all(self) -> None:
        """Wake every task, to look at what has changed."""
        for future in self.queue:
            if not future.done():
                future.set_result(None)
