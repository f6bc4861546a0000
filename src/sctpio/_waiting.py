"""Tasks that wait in a queue: who is first, who is woken, when it runs, and what cancelling one of them does.

Wake, then try: a woken task does the work itself (takes the message, makes the system call). So a task
that was cancelled has done nothing, one that returned has done it, and its turn passes to the next.
"""

import asyncio
import types
import weakref
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Protocol, TypeVar

ASLEEP, AWAKE, CANCELLED = range(3)


class Sleep:
    """What one suspended task waits for: of a Future, what a task asks of one (asyncio.isfuture) and no more.

    Whoever awaits it is the task itself, so there is one callback: what makes the task go on.
    """

    __slots__ = ("_asyncio_future_blocking", "_loop", "_message", "context", "state", "wakeup")

    context: Context

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = True
        self.state = ASLEEP
        # Any: of itself. None until a task has suspended.
        self.wakeup: Callable[[Any], object] | None = None

    def add_done_callback(self, wakeup: Callable[[Any], object], *, context: Context) -> None:
        """Keep what makes the task go on (called by the task as it suspends)."""
        self.wakeup, self.context = wakeup, context

    def result(self) -> None:
        """Tell the task how it goes on (called by the task)."""
        if self.state == CANCELLED:
            raise asyncio.CancelledError(*self._message)

    def cancel(self, msg: object = None) -> bool:
        """Let the task go on with CancelledError (called as the task is cancelled)."""
        if self.state != ASLEEP:
            return False
        self.state = CANCELLED
        self._message = () if msg is None else (msg,)
        self.go_on_soon()
        return True

    def go_on_soon(self) -> None:
        """Let the task go on in the loop's next turn."""
        if self.wakeup is not None:
            self._loop.call_soon(self.wakeup, self, context=self.context)


class Sleepers:
    """The suspended tasks of a loop.

    `held` keeps them alive. The loop knows a socket only weakly (so that a forgotten one is noticed), hence a
    task that waits for it hangs on the loop here: else nothing but a reference cycle would hold it, and the
    collector could take it in mid-wait. A loop that is dropped with its tasks takes them along.

    What a callback of the loop wakes need not wait for the loop's next turn, which would cost as much again:
    it goes on when the callback has done its work.
    """

    __slots__ = ("due", "held", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.held: set[Sleep] = set()
        # What the callback that runs now has woken; None where a task runs.
        self.due: list[Sleep] | None = None

    def let_go_on(self, due: list[Sleep]) -> None:
        """Run tasks up to where they suspend again. None may be running."""
        rest = iter(due)
        try:
            for sleep in rest:
                if sleep.wakeup is not None:
                    sleep.context.run(sleep.wakeup, sleep)
        finally:
            # One that wants to end the program does not take the others along.
            for sleep in rest:
                sleep.go_on_soon()

    def wake(self, sleep: Sleep) -> None:
        """Let a task go on."""
        sleep.state = AWAKE
        if self.due is not None:
            self.due.append(sleep)
        else:
            sleep.go_on_soon()


def sleepers_of(loop: asyncio.AbstractEventLoop) -> Sleepers:
    """Give the suspended tasks of a loop."""
    found: Sleepers | None = vars(loop).get("_sctpio_sleepers")
    if found is None:
        found = vars(loop)["_sctpio_sleepers"] = Sleepers(loop)
    return found


class HasSleepers(Protocol):
    """Whose methods the loop calls by `call`."""

    sleepers: Sleepers


C = TypeVar("C", bound=HasSleepers)


def call(reference: "weakref.ref[C]", method: Callable[[C], None]) -> None:
    """Call a method of what the loop knows only weakly, then let go on what it woke.

    Not a WeakMethod: that costs several times as much, and this is done for every batch.
    """
    callee = reference()
    if callee is not None:
        sleepers = callee.sleepers
        due: list[Sleep] = []
        sleepers.due = due
        try:
            method(callee)
        finally:
            # A task that goes on now may be the last to know it.
            del callee
            sleepers.due = None
            if due:
                sleepers.let_go_on(due)


class Waiters:
    """A first-in, first-out queue of suspended tasks; others may look whether `queue` has any."""

    __slots__ = ("_sleepers", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sleepers = sleepers_of(loop)
        # Not a deque: most never have anybody, and an empty deque takes more than half a KiB.
        self.queue: list[Sleep] = []

    def __len__(self) -> int:
        return len(self.queue)

    @types.coroutine
    def wait(self, *, first: bool = False) -> Generator[Sleep, None, None]:
        """Suspend until woken. `first` goes to the head of the queue: for a task whose try failed."""
        sleepers, queue = self._sleepers, self.queue
        sleep = Sleep(sleepers.loop)
        if first:
            queue.insert(0, sleep)
        else:
            queue.append(sleep)
        sleepers.held.add(sleep)
        try:
            yield sleep
        except asyncio.CancelledError:
            queue.remove(sleep)
            if sleep.state == AWAKE:
                self.wake()
            raise
        finally:
            sleepers.held.discard(sleep)
        queue.remove(sleep)

    def wake(self, count: int = 1) -> None:
        """Wake the first tasks that are still asleep, `count` at most."""
        for sleep in self.queue:
            if sleep.state == ASLEEP:
                self._sleepers.wake(sleep)
                count -= 1
                if not count:
                    return

    def wake_head(self) -> None:
        """Wake the first task, unless it is awake already: where the second must not try before the first."""
        if self.queue and self.queue[0].state == ASLEEP:
            self._sleepers.wake(self.queue[0])

    def wake_all(self) -> None:
        """Wake every task, to look at what has changed."""
        for sleep in self.queue:
            if sleep.state == ASLEEP:
                self._sleepers.wake(sleep)
