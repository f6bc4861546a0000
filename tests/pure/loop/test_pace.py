"""The size of batches: small to begin with, smaller after long turns of the loop, larger after short ones."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sctpio._loop.pace import FIRST_HALVINGS, LONG_TURN, MOST_HALVINGS, UNMEASURED, Pace
from sctpio._loop.per_loop import of_loop


class Loop:
    """A loop whose turns take as long as they are told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        # Any: it stands for a loop.
        me: Any = self
        self.pace = Pace(me)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def turn(self, seconds: float) -> int:
        """Have a turn in which two sockets had much: the halvings after it."""
        self.pace.much()
        self.now += seconds
        self.pace.much()
        [callback] = self.soon
        self.soon.clear()
        callback()
        return self.pace.halvings


def test_batches_begin_small_and_grow_while_turns_are_short() -> None:
    loop = Loop()
    assert loop.pace.halvings == FIRST_HALVINGS
    seen = [loop.turn(LONG_TURN / 5) for _ in range(FIRST_HALVINGS + 1)]
    assert seen == [*range(FIRST_HALVINGS - 1, -1, -1), 0]


def test_full_batches_are_measured_now_and_then() -> None:
    loop = Loop()
    loop.pace.halvings = 0
    assert loop.turn(LONG_TURN / 5) == 0
    for _ in range(UNMEASURED):
        loop.pace.much()
        assert not loop.soon
    assert loop.turn(LONG_TURN * 1.5) == 1
    # Batches that are smaller are measured each time.
    assert [loop.turn(LONG_TURN / 5), loop.turn(LONG_TURN / 5)] == [0, 0]


@pytest.mark.parametrize(("times", "halvings"), [(1.5, 1), (3.0, 2), (7.0, 3), (100.0, MOST_HALVINGS)])
def test_a_long_turn_makes_batches_smaller_at_once(times: float, halvings: int) -> None:
    loop = Loop()
    loop.pace.halvings = 0
    assert loop.turn(LONG_TURN * times) == halvings


def test_a_turn_that_is_neither_long_nor_short_leaves_them_as_they_are() -> None:
    loop = Loop()
    assert loop.turn(LONG_TURN / 2) == FIRST_HALVINGS
    assert loop.turn(LONG_TURN) == FIRST_HALVINGS


def test_batches_are_not_made_ever_smaller() -> None:
    loop = Loop()
    assert [loop.turn(60.0) for _ in range(3)] == [MOST_HALVINGS] * 3


async def test_all_of_a_loop_have_one_pace() -> None:
    loop = asyncio.get_running_loop()
    assert of_loop(loop, Pace) is of_loop(loop, Pace)
    other = asyncio.new_event_loop()
    assert of_loop(other, Pace) is not of_loop(loop, Pace)
    other.close()
