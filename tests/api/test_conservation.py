"""Promises 1, 6 and 9 by chance and by storm: nothing lost, doubled or leaked, no interrupt swallowed."""

import random

import pytest

from soak import fuzz, storm
from support import PATIENCE, associations, until

pytestmark = pytest.mark.one_loop


async def test_what_chance_finds() -> None:
    """Each run has a seed of its own, which a failure names."""
    assert fuzz(random.randrange(1 << 32), 15) > 10
    await until(lambda: not associations())


@pytest.mark.endurance
@pytest.mark.timeout(200 * PATIENCE)
async def test_what_chance_finds_in_a_minute() -> None:
    assert fuzz(random.randrange(1 << 32), 60) > 50
    await until(lambda: not associations())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("signals", [2_000, pytest.param(40_000, marks=pytest.mark.endurance)])
@pytest.mark.timeout(600 * PATIENCE)
def test_a_storm_of_interrupts(signals: int, loop: str) -> None:
    """Item 1: each is raised once, and none reaches the loop's exception handler."""
    assert f"{signals} signals, {signals} raised, 0 swallowed" in storm(signals, loop, 600 * PATIENCE)
