"""Waiters: who is first, and what cancelling does."""

import asyncio
import contextvars
import logging
import threading
import weakref
from collections.abc import Callable

import pytest

from sctpio._loop.per_loop import of_loop
from sctpio._loop.waiting import Sleepers, Waiters, call

pytestmark = pytest.mark.both_loops


def never() -> bool:
    """Say that there is something to wait for."""
    return False


async def start(waiters: Waiters, count: int, order: list[int], first: int = 0) -> list[asyncio.Task[None]]:
    """Have tasks wait that put their numbers into `order`, from `first` on."""

    async def wait(number: int) -> None:
        await waiters.wait(never)
        order.append(number)

    waiting = len(waiters)
    tasks = [asyncio.create_task(wait(first + number)) for number in range(count)]
    await asyncio.sleep(0)
    assert len(waiters) == waiting + count
    return tasks


class Callee:
    """What the loop knows only weakly, with one method."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.sleepers = of_loop(asyncio.get_running_loop(), Sleepers)
        self.work = work

    def do(self) -> None:
        self.work()

    def called(self) -> None:
        """Be called as by the loop."""
        call(weakref.ref(self), Callee.do)


async def test_tasks_are_woken_in_order_one_at_a_time() -> None:
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 3, order)
    waiters.wake()
    waiters.wake()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [0, 1]
    assert len(waiters) == 1
    waiters.wake_all()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert not of_loop(asyncio.get_running_loop(), Sleepers).held


async def test_as_many_are_woken_as_there_is_something_for() -> None:
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 4, order)
    waiters.wake()
    waiters.wake(2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [0, 1, 2]
    waiters.wake(5)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
    waiters.wake(5)
    assert not of_loop(asyncio.get_running_loop(), Sleepers).held


async def test_the_turn_of_a_woken_and_cancelled_task_passes_on() -> None:
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 3, order)
    waiters.wake()
    tasks[0].cancel()
    await asyncio.gather(tasks[0], tasks[1], return_exceptions=True)
    assert order == [1]
    tasks[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[2]
    assert len(waiters) == 0
    assert not of_loop(asyncio.get_running_loop(), Sleepers).held


async def test_a_task_cancelled_in_its_sleep_wakes_nobody() -> None:
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 2, order)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    await asyncio.sleep(0)
    assert order == []
    waiters.wake()
    await tasks[1]


async def test_a_task_whose_try_failed_goes_to_the_head() -> None:
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 1, order)

    async def again() -> None:
        await waiters.wait(never, first=True)
        order.append(9)

    head = asyncio.create_task(again())
    await asyncio.sleep(0)
    waiters.wake()
    await head
    assert order == [9]
    waiters.wake()
    await asyncio.gather(*tasks)


async def test_what_a_callback_wakes_goes_on_when_the_callback_has_ended() -> None:
    loop = asyncio.get_running_loop()
    waiters, sleepers, order = Waiters(loop), of_loop(loop, Sleepers), list[int]()
    tasks = await start(waiters, 2, order)
    seen: list[list[int]] = []

    def wake() -> None:
        waiters.wake(2)
        seen.append(list(order))

    def callback() -> None:
        Callee(wake).called()
        seen.append(list(order))

    loop.call_soon(callback)
    await asyncio.gather(*tasks)
    # The first goes on in the callback, the other in the loop's next turn.
    assert seen == [[], [0]]
    assert order == [0, 1]
    assert not sleepers.held


async def test_a_task_that_goes_on_in_a_callback_is_itself() -> None:
    """Its context and the task itself are as in any other step of it."""
    loop = asyncio.get_running_loop()
    waiters = Waiters(loop)
    variable = contextvars.ContextVar("variable", default=0)
    current: list[asyncio.Task[object] | None] = []

    async def wait() -> int:
        variable.set(7)
        await waiters.wait(never)
        current.append(asyncio.current_task())
        # It can sleep again at once.
        await waiters.wait(never)
        return variable.get()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)

    def wake() -> None:
        Callee(waiters.wake).called()
        current.append(asyncio.current_task())

    loop.call_soon(wake)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert current == [task, None]
    assert len(waiters) == 1
    waiters.wake()
    assert await task == 7


async def test_a_task_that_goes_on_can_cancel_or_wake_the_next() -> None:
    loop = asyncio.get_running_loop()
    waiters, others, sleepers, order = Waiters(loop), Waiters(loop), of_loop(loop, Sleepers), list[int]()

    async def first() -> None:
        await waiters.wait(never)
        tasks[0].cancel()
        others.wake()

    begun = asyncio.create_task(first())
    await asyncio.sleep(0)
    tasks = await start(waiters, 2, order)
    other = await start(others, 1, order, first=5)

    loop.call_soon(Callee(lambda: waiters.wake(2)).called)
    results = await asyncio.gather(begun, *tasks, *other, return_exceptions=True)
    # The turn of the cancelled one passed on.
    assert isinstance(results[1], asyncio.CancelledError)
    assert sorted(order) == [1, 5]
    assert not sleepers.held


async def test_one_that_ends_the_program_does_not_take_the_others_along() -> None:
    loop = asyncio.get_running_loop()
    waiters, order = Waiters(loop), list[int]()

    async def ending() -> None:
        await waiters.wait(never)
        raise SystemExit(3)

    ended = asyncio.create_task(ending())
    await asyncio.sleep(0)
    rest = await start(waiters, 1, order)
    raised: list[BaseException] = []

    def callback() -> None:
        try:
            Callee(waiters.wake_all).called()
        except SystemExit as error:
            raised.append(error)

    loop.call_soon(callback)
    await asyncio.gather(*rest)
    assert len(raised) == 1
    with pytest.raises(SystemExit):
        ended.result()
    assert order == [0]


async def test_a_cancelled_sleep_gives_the_message_of_its_cancelling() -> None:
    waiters = Waiters(asyncio.get_running_loop())
    tasks = await start(waiters, 1, [])
    tasks[0].cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await tasks[0]
    assert len(waiters) == 0


async def test_a_task_that_goes_on_may_be_the_last_to_know_what_was_called() -> None:
    loop = asyncio.get_running_loop()
    waiters = Waiters(loop)
    kept = [Callee(waiters.wake)]
    gone = weakref.ref(kept[0])

    async def drop() -> None:
        await waiters.wait(never)
        kept.clear()
        assert gone() is None

    task = asyncio.create_task(drop())
    await asyncio.sleep(0)
    loop.call_soon(call, gone, Callee.do)
    await task
    # The loop may call once more.
    call(gone, Callee.do)


async def test_tasks_written_in_python_sleep_as_well() -> None:
    """asyncio has two kinds of tasks, and both can resume within a callback."""
    loop = asyncio.get_running_loop()
    waiters, sleepers = Waiters(loop), of_loop(loop, Sleepers)
    made: type[asyncio.Task[object]] = asyncio.tasks._PyTask  # type: ignore[attr-defined]
    tasks = [made(waiters.wait(never), loop=loop) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[0].cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await tasks[0]

    loop.call_soon(Callee(waiters.wake).called)
    await tasks[1]
    assert not sleepers.held


async def test_a_cancelled_head_is_not_the_first_any_more() -> None:
    """Item 4: whoever is woken alone is somebody who can still go on."""
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 2, order)
    tasks[0].cancel()
    # In the same step: the cancelled one still stands in the queue.
    assert len(waiters) == 2
    waiters.wake_head()
    await asyncio.wait_for(tasks[1], 10)
    assert order == [1]
    assert tasks[0].cancelled()


async def test_a_head_that_is_awake_already_is_not_passed_over() -> None:
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 2, order)
    waiters.wake_head()
    waiters.wake_head()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [0]
    waiters.wake_all()
    await asyncio.gather(*tasks)


async def test_a_wake_between_queueing_and_suspending_is_not_lost() -> None:
    """Item 2: `ready` is asked when the task is in the queue, and whoever is woken there does not suspend."""
    waiters = Waiters(asyncio.get_running_loop())

    def woken_here() -> bool:
        assert len(waiters) == 1
        waiters.wake()
        return False

    await asyncio.wait_for(waiters.wait(woken_here), 10)
    assert len(waiters) == 0


async def test_a_use_in_another_loop_is_an_error_there_and_leaves_the_queue_alone() -> None:
    """Item 3."""
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 1, order)
    raised: list[RuntimeError] = []

    def misuse() -> None:
        with pytest.raises(RuntimeError, match="this object belongs to") as caught:
            asyncio.run(waiters.wait(never))
        raised.append(caught.value)

    thread = threading.Thread(target=misuse)
    thread.start()
    thread.join()
    assert len(raised) == 1
    assert len(waiters) == 1
    waiters.wake()
    await asyncio.wait_for(tasks[0], 10)


async def test_a_task_that_goes_on_does_not_see_what_the_callback_raised() -> None:
    """Item 14: not as the context of its own exceptions either."""
    waiters = Waiters(asyncio.get_running_loop())
    seen: list[BaseException | None] = []

    async def wait() -> None:
        await waiters.wait(never)
        try:
            raise ValueError("its own")
        except ValueError as error:
            seen.append(error.__context__)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)

    def failing() -> None:
        waiters.wake()
        raise LookupError("the callback's")

    with pytest.raises(LookupError):
        Callee(failing).called()
    await asyncio.wait_for(task, 10)
    assert seen == [None]


async def test_a_callback_that_is_interrupted_at_its_begin_keeps_no_task_asleep() -> None:
    """Item 1: a second Ctrl-C is a KeyboardInterrupt wherever the loop just is."""
    loop = asyncio.get_running_loop()
    waiters, sleepers = Waiters(loop), of_loop(loop, Sleepers)

    class Interrupting(Sleepers):
        """Raises as the callback's list is put in its place."""

        __slots__ = ()

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "next" and value is not None:
                raise KeyboardInterrupt

    callee = Callee(waiters.wake)
    callee.sleepers = Interrupting(loop)
    with pytest.raises(KeyboardInterrupt):
        callee.called()
    assert callee.sleepers.next is None
    assert sleepers.next is None


async def test_the_loops_debug_messages_name_the_task(caplog: pytest.LogCaptureFixture) -> None:
    """Item 14: in debug mode a task goes on in a callback of its own."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    waiters = Waiters(loop)

    async def slow() -> None:
        await waiters.wait(never)

    task = asyncio.create_task(slow(), name="the slow one")
    await asyncio.sleep(0)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.call_soon(Callee(waiters.wake).called)
        await task
    loop.set_debug(False)
    assert any("the slow one" in record.getMessage() for record in caplog.records) or "uvloop" in repr(loop)


async def test_no_task_goes_on_within_another_one() -> None:
    """Item 14: a loop that runs within one of its own tasks."""
    waiters, order = Waiters(asyncio.get_running_loop()), list[int]()
    tasks = await start(waiters, 1, order)
    # This is a task: what the loop would call is called in its midst.
    Callee(waiters.wake).called()
    assert order == []
    await asyncio.wait_for(tasks[0], 10)
    assert order == [0]
