"""Tasks that wait in a queue: which is first, which is woken, when it resumes, and what cancelling does.

Wake, then try: a woken task does the work itself (takes the message, makes the system call). So a cancelled
task has done nothing, a task that returned has done everything, and a turn that was not used passes to the
next task. `Waiters` is such a queue, a `Sleep` is one suspended task in it, `Sleepers` are all those of a
loop.

Signal handlers and finalizers run between any two bytecodes, and may wake or cancel a task at any point in
this module. Four rules keep that harmless:

- A task enters the queue before it checks whether it has to wait, and checks before it suspends. So it misses
  nothing that happens on the way to its suspension.
- A `Sleep` is asyncio's own Future. Whether it ends by being woken or by being cancelled is decided once, in
  one call into C: whoever comes second finds it done.
- The callback that resumes the task within another callback is removed from the Future first, in one call
  into C: it runs once.
- A task leaves the queue however its wait ends.

The loop calls the objects of this package through `call`, which resumes one woken task within the callback
itself, as its last act: the next turn of the loop would cost as much again as the wake-up.
"""

import asyncio
import weakref
from asyncio import Future, current_task, get_running_loop
from collections.abc import Callable
from contextvars import Context
from typing import Protocol, TypeAlias, TypeVar

from .per_loop import of_loop

# What one suspended task waits for. Only the task itself awaits it.
Sleep: TypeAlias = "asyncio.Future[None]"

# A task that was woken: what it waited for, and the callback that resumes it.
Woken: TypeAlias = tuple[Sleep, Callable[[Sleep], object], Context]


class Sleepers:
    """The suspended tasks of a loop.

    `held` keeps them alive. The loop refers to a socket only weakly, so that a forgotten one is noticed. A
    task that waits for the socket would then be held by nothing but a reference cycle, and the garbage
    collector could destroy it while it waits. When a loop is dropped, its tasks go with it.
    """

    __slots__ = ("held", "loop", "next")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.held: set[Sleep] = set()
        # While a callback runs, but not in debug mode: the task that resumes when it ends. Else None.
        self.next: list[Woken] | None = None

    def wake(self, sleep: Sleep) -> bool:
        """Wake a task; return False if it had been woken or cancelled already."""
        woken = self.next
        if woken is not None and not woken:
            # None or empty if the task has not suspended yet.
            callbacks = sleep._callbacks
            if callbacks and len(callbacks) == 1:
                [(wakeup, context)] = callbacks
                if sleep.remove_done_callback(wakeup):
                    woken.append((sleep, wakeup, context))
        try:
            # The loop calls what callbacks there are in its next turn.
            sleep.set_result(None)
        except asyncio.InvalidStateError:
            return False
        return True


class HasSleepers(Protocol):
    """An object whose methods the loop calls through `call`."""

    sleepers: Sleepers


C = TypeVar("C", bound=HasSleepers)


def call(reference: "weakref.ref[C]", method: Callable[[C], None]) -> None:
    """Call a method of an object that the loop refers to weakly, then resume one of the tasks that it woke.

    Only one task resumes here, and the others in the loop's next turn. If the method raised, or if the loop
    is in debug mode (its messages name the task that a callback runs), all of them resume in the next turn.

    The reference is not a WeakMethod: that costs several times as much, and this runs for every batch.
    """
    callee = reference()
    if callee is None:
        return
    sleepers = callee.sleepers
    loop = sleepers.loop
    woken: list[Woken] = []
    try:
        sleepers.next = None if loop.get_debug() else woken
        method(callee)
    except BaseException:
        for sleep, wakeup, context in woken:
            loop.call_soon(wakeup, sleep, context=context)
        raise
    finally:
        sleepers.next = None
    # The task that resumes now may hold the last reference to the object.
    del callee
    if woken:
        # There is more than one if a signal handler woke another at the wrong moment. If a task is running
        # here, the loop runs inside one of its own tasks.
        if len(woken) == 1 and current_task(loop) is None:
            [(sleep, wakeup, context)] = woken
            context.run(wakeup, sleep)
        else:
            for sleep, wakeup, context in woken:
                loop.call_soon(wakeup, sleep, context=context)


def check_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Raise RuntimeError in another event loop than `loop`.

    Called before anything is touched: a use from another loop, and so from another thread, harms nobody else.
    """
    if (running := get_running_loop()) is not loop:
        raise RuntimeError(f"this object belongs to {loop!r}, and is used in {running!r}")


class Waiters:
    """A first-in, first-out queue of suspended tasks; `queue` is empty if none waits."""

    __slots__ = ("_sleepers", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sleepers = of_loop(loop, Sleepers)
        # Not a deque: most queues are never used, and an empty deque takes more than half a KiB.
        self.queue: list[Sleep] = []

    def __len__(self) -> int:
        return len(self.queue)

    async def wait(self, ready: Callable[[], object], first: bool = False) -> None:
        """Wait until woken; return at once if `ready()` is true.

        `first` joins the head of the queue instead of its end: for a task that was woken and found nothing.
        A task that is cancelled after it was woken passes its turn to the next. Raises RuntimeError in any
        event loop but the queue's own.
        """
        sleepers, queue = self._sleepers, self.queue
        if get_running_loop() is not sleepers.loop:
            # It may raise a better reason: in a forked child, whose object it is.
            ready()
            check_loop(sleepers.loop)
        # It takes the running loop by default; passing loop= would cost a dictionary.
        sleep: Sleep = Future()
        held = sleepers.held
        try:
            if first:
                queue.insert(0, sleep)
            else:
                queue.append(sleep)
            held.add(sleep)
            if not ready():
                await sleep
            # In here as well: a signal handler that raises now leaves nothing behind.
            held.discard(sleep)
            queue.remove(sleep)
        except BaseException:
            held.discard(sleep)
            # It is not there if the wait was interrupted before it had entered the queue.
            if sleep in queue:
                queue.remove(sleep)
            if sleep.done() and not sleep.cancelled():
                self.wake()
            raise

    def wake(self, count: int = 1) -> None:
        """Wake the first tasks that are still asleep, at most `count` of them."""
        for sleep in self.queue.copy():
            # Asked first, as to be told by an exception costs far more.
            if not sleep.done() and self._sleepers.wake(sleep):
                count -= 1
                if not count:
                    return

    def wake_head(self) -> None:
        """Wake the first task, unless it is awake already: the second must not try before it.

        Cancelled tasks do not count.
        """
        for sleep in self.queue.copy():
            if not sleep.cancelled():
                if not sleep.done():
                    self._sleepers.wake(sleep)
                return

    def wake_all(self) -> None:
        """Wake every task: each checks what has changed."""
        for sleep in self.queue.copy():
            if not sleep.done():
                self._sleepers.wake(sleep)
