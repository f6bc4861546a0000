"""The size of batches: small to begin with, smaller after long turns of the loop, larger after short ones."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sctpio._pace import FIRST_HALVINGS, LONG_TURN, MOST_HALVINGS, Pace, pace_of


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
    seen = [loop.turn(LONG_TURN / 5) for _ in range(FIRST_HALVINGS + 2)]
    assert seen == [*range(FIRST_HALVINGS - 1, -1, -1), 0, 0]


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
    assert pace_of(loop) is pace_of(loop)
    other = asyncio.new_event_loop()
    assert pace_of(other) is not pace_of(loop)
    other.close()
