"""How long messages waited: the percentiles of the last, and the oldest that waits now."""

import asyncio

import pytest

from pure.loop.own_socket.bench import opened
from sctpio._loop import waits
from sctpio._loop.waits import KEPT, Waits
from support import turns, until, within


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(waits, "time", made)
    return made


def wait(of: Waits, clock: Clock, seconds: float) -> None:
    token = of.token()
    of.begin(token)
    clock.now += seconds
    of.end(token)


def test_without_a_wait_there_is_no_percentile(clock: Clock) -> None:
    made = Waits()
    assert (made.percentile(50), made.percentile(99), made.oldest(), made.number) == (None, None, 0.0, 0)


def test_percentiles_of_a_hundred_waits(clock: Clock) -> None:
    made = Waits()
    for seconds in range(100, 0, -1):
        wait(made, clock, seconds)
    assert (made.percentile(50), made.percentile(99), made.percentile(100)) == (50, 99, 100)


def test_only_the_last_waits_are_kept(clock: Clock) -> None:
    made = Waits()
    wait(made, clock, 1000)
    for _ in range(KEPT):
        wait(made, clock, 1)
    assert (made.percentile(100), made.number) == (1, KEPT + 1)
    assert len(made._recent) == KEPT


def test_the_oldest_is_the_first_that_still_waits(clock: Clock) -> None:
    made = Waits()
    first, second = made.token(), made.token()
    made.begin(first)
    clock.now += 3
    made.begin(second)
    clock.now += 1
    assert made.oldest() == 4
    made.end(first)
    assert made.oldest() == 1
    made.end(second)
    assert made.oldest() == 0
    assert made.percentile(100) == 4


def test_a_wait_that_was_interrupted_before_it_began_counts_nothing(clock: Clock) -> None:
    made = Waits()
    made.end(made.token())
    assert (made.number, made.percentile(50)) == (0, None)


async def test_a_message_that_waits_is_seen_and_one_that_does_not_is_not_timed() -> None:
    async with opened() as bench:
        await bench.conn.send(b"at once")
        assert bench.conn.statistics().send_wait_p50 is None
        bench.script.fill()
        sending = asyncio.create_task(bench.conn.send(b"a"))
        given_up = asyncio.create_task(bench.conn.send(b"b"))
        await turns()
        await until(lambda: bench.conn.statistics().send_wait_oldest > 0)
        given_up.cancel()
        bench.script.empty()
        await within(sending)
        await within(asyncio.wait([given_up]))
        counts = bench.conn.statistics()
        assert counts.send_wait_oldest == 0
        assert counts.send_wait_p50 is not None
        assert counts.send_wait_p99 is not None
        assert 0 < counts.send_wait_p50 <= counts.send_wait_p99 < 20
