"""Waiters: who is first, and what cancelling does."""

import asyncio

import pytest

from sctpio._waiting import Waiters, held_by


async def start(waiters: Waiters, count: int, order: list[int]) -> list[asyncio.Task[None]]:
    async def wait(number: int) -> None:
        await waiters.wait()
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(count)]
    await asyncio.sleep(0)
    assert len(waiters) == count
    return tasks


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
    assert not held_by(asyncio.get_running_loop())


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
    assert not held_by(asyncio.get_running_loop())


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
    assert not held_by(asyncio.get_running_loop())


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
        await waiters.wait(first=True)
        order.append(9)

    head = asyncio.create_task(again())
    await asyncio.sleep(0)
    waiters.wake()
    await head
    assert order == [9]
    waiters.wake()
    await asyncio.gather(*tasks)
