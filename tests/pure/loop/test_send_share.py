"""SendShare without a stack: who may send on a shared socket, who is woken, and that nobody spins."""

import asyncio
import gc
import heapq
import itertools
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest

from sctpio import Event, SendBuffer, SenderDry
from sctpio._abi.contract import SACK_IMMEDIATELY
from sctpio._loop.association import Association
from sctpio._loop.event_stream import EventHub
from sctpio._loop.loop_socket import STALL_PAUSE
from sctpio._loop.send_share import MOST_PAUSE, MOST_WOKEN, SendShare, cost
from sctpio._loop.unread import Unread
from sctpio.stacks.base import Head, Outgoing, StackSocket

pytestmark = pytest.mark.both_loops

BUFFER = 200_000
SIZE = 500
HEAD = Head(0, 0, 0, 0)
COST = cost(SIZE)


class Timer:
    """A call that a `Clock` makes later."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self._when = when
        self.call = call
        self.cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The timers of a loop, by a time that the test moves on."""

    def __init__(self) -> None:
        self._now = 1_000.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def call_later(self, delay: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        assert delay > 0
        timer = Timer(self._now + delay, lambda: callback(*arguments))
        heapq.heappush(self._timers, (timer.when(), next(self._numbers), timer))
        return timer

    @property
    def pending(self) -> list[float]:
        """Seconds until each timer that was not cancelled."""
        return sorted(when - self._now for when, _, timer in self._timers if not timer.cancelled)

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.call()
        self._now = end


class Wire:
    """As much of a socket as SendShare uses: `room` messages are taken, None is any number."""

    def __init__(self) -> None:
        self.shares_send_buffer = True
        self.buffer = BUFFER
        self.room: int | None = None
        self.sent: list[tuple[int, bytes, int]] = []
        self.attempts = 0
        self.asked = 0
        self.subscribed: list[tuple[type[Event], bool, int]] = []

    def _take(self) -> bool:
        if self.room is None:
            return True
        self.room -= self.room > 0
        return self.room >= 0

    def send(
        self,
        association_id: int,
        data: bytes,
        stream: int,
        flags: int,
        ppid: int,
        context: int,
        extras: object,
    ) -> bool:
        self.attempts += 1
        if self.room == 0:
            return False
        self._take()
        self.sent.append((association_id, data, flags))
        return True

    def send_batch(self, association_id: int, messages: list[Outgoing], bundle: bool) -> int:
        self.attempts += 1
        assert messages
        taken = 0
        for data, head in messages:
            if self.room == 0:
                break
            self._take()
            self.sent.append((association_id, bytes(data), head.flags))
            taken += 1
        return taken

    def get_option(self, kind: type, association_id: int, address: object) -> SendBuffer:
        assert kind is SendBuffer
        self.asked += 1
        return SendBuffer(self.buffer)

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        self.subscribed.append((kind, on, association_id))


class Bench:
    """A SendShare with its surroundings."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.clock = Clock()
        self._watched = False
        self.room = SendShare(
            cast("StackSocket", self.wire), cast("asyncio.AbstractEventLoop", self.clock), self._watch
        )
        self._numbers = itertools.count(3)

    def _watch(self, on: bool) -> None:
        self._watched = on

    def watching(self) -> bool:
        """Whether the loop is to tell when the socket is writable."""
        return self._watched

    def association(self) -> Association:
        loop = asyncio.get_running_loop()
        made = Association(loop, unread=Unread(loop, BUFFER), max_message_size=BUFFER, hub=EventHub(loop, ()))
        made.up(next(self._numbers), 10, 10)
        return made

    def attempt(self, association: Association, size: int = SIZE) -> bool:
        return self.room.attempt(association, association.id, bytes(size), 0, 0, 0, 0, None)

    def flood(self, association: Association, size: int = SIZE) -> int:
        """Send as a task does that never stops, until it has to wait: how many messages went."""
        count = 0
        while self.attempt(association, size):
            count += 1
            assert count < 10_000
            if association in self.room._waiting:
                self.room.had(association)
        if association in self.room._waiting:
            self.room.had_none(association)
        self.room.want(association)
        return count

    def acknowledge(self, association: Association) -> None:
        """The peer has everything (the association takes the event, then the room)."""
        association.take_event(SenderDry(association.id))
        self.room.dry(association)


class Sleeper:
    """A task of an association that waits for its turn."""

    def __init__(self, association: Association) -> None:
        self.task = asyncio.create_task(association.senders.wait(lambda: False))

    @classmethod
    async def begin(cls, *associations: Association) -> "list[Sleeper]":
        made = [cls(association) for association in associations]
        await asyncio.sleep(0)
        return made

    @staticmethod
    async def woken(sleepers: "list[Sleeper]") -> list[int]:
        """Tell which have been woken."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [number for number, sleeper in enumerate(sleepers) if sleeper.task.done()]

    @staticmethod
    async def end(sleepers: "list[Sleeper]") -> None:
        for sleeper in sleepers:
            sleeper.task.cancel()
        await asyncio.gather(*(sleeper.task for sleeper in sleepers), return_exceptions=True)


def refused(bench: Bench, *associations: Association) -> None:
    """Let the stack have no room for each of them, and each wait."""
    bench.wire.room = 0
    for association in associations:
        assert not bench.attempt(association)
        bench.room.want(association)


# Parts


async def test_the_first_that_stalls_holds_half_of_the_buffer_the_next_a_quarter() -> None:
    bench = Bench()
    left = BUFFER
    for _ in range(4):
        association = bench.association()
        bench.flood(association)
        left //= 2
        assert left - COST < association.unconfirmed <= left
    # However many stall, another one still has room.
    assert bench.attempt(bench.association())


async def test_what_waits_gets_equal_parts_and_one_part_stays_free() -> None:
    bench = Bench()
    for count in (1, 2, 4, 7):
        waiting = [bench.association() for _ in range(count)]
        for association in waiting:
            bench.room.want(association)
        for association in waiting:
            bench.flood(association)
        part = BUFFER // (count + 1)
        for association in waiting:
            assert abs(association.unconfirmed - part) <= COST, count
        assert sum(association.unconfirmed for association in waiting) <= BUFFER - part
        for association in waiting:
            assert bench.room.want_no_more(association)


async def test_parts_stay_equal_as_acknowledgements_come_in_any_order() -> None:
    bench = Bench()
    healthy = [bench.association() for _ in range(4)]
    stalled = bench.association()
    bench.flood(stalled)
    held = stalled.unconfirmed
    counts = dict.fromkeys(healthy, 0)
    for association in healthy:
        bench.flood(association)
    for turn in range(40):
        association = healthy[(turn * 7) % 4]
        bench.acknowledge(association)
        counts[association] += bench.flood(association)
    assert stalled.unconfirmed == held
    mean = sum(counts.values()) / 4
    assert min(counts.values()) > 0.7 * mean
    # Each holds about a fifth of what the stalled one left.
    for association in healthy:
        assert association.unconfirmed <= (BUFFER - held) / 4


async def test_one_that_leaves_gives_its_part_back() -> None:
    bench = Bench()
    first, second = bench.association(), bench.association()
    bench.flood(first)
    bench.flood(second)
    before = second.unconfirmed
    assert not bench.attempt(second)
    # As when it was aborted: the stack drops what it held.
    assert bench.room.want_no_more(first)
    bench.flood(second)
    assert second.unconfirmed > 1.8 * before
    assert not bench.room.want_no_more(first)


async def test_a_message_larger_than_its_part_goes_when_nothing_else_is_under_way() -> None:
    bench = Bench()
    stalled, large = bench.association(), bench.association()
    bench.flood(stalled)
    assert bench.attempt(large, BUFFER)
    assert not bench.attempt(large, 1)
    bench.room.want(large)
    assert not bench.attempt(large, BUFFER)
    bench.acknowledge(large)
    assert bench.attempt(large, BUFFER)


async def test_a_part_does_not_touch_the_stack_where_it_is_used_up() -> None:
    bench = Bench()
    association = bench.association()
    bench.flood(association)
    before = bench.wire.attempts
    assert not bench.attempt(association)
    assert bench.wire.attempts == before
    assert not bench.watching()


async def test_what_the_stack_refused_is_not_counted() -> None:
    bench = Bench()
    association = bench.association()
    refused(bench, association)
    assert association.unconfirmed == 0
    bench.wire.room = 1
    assert bench.attempt(association)
    assert association.unconfirmed == COST


async def test_the_last_message_of_a_part_asks_for_its_acknowledgement_at_once() -> None:
    bench = Bench()
    association = bench.association()
    count = bench.flood(association)
    flags = [flags for _, _, flags in bench.wire.sent]
    assert count == len(flags) > 10
    assert flags[-1] == SACK_IMMEDIATELY
    assert set(flags[:-1]) == {0}


async def test_the_size_of_the_buffer_is_asked_anew_when_somebody_begins_to_wait() -> None:
    bench = Bench()
    first, second = bench.association(), bench.association()
    bench.flood(first)
    assert bench.wire.asked == 1
    bench.wire.buffer = 4 * BUFFER
    bench.flood(second)
    assert bench.wire.asked == 2
    assert second.unconfirmed > 1.4 * BUFFER


async def test_where_each_association_has_a_buffer_of_its_own_only_the_stack_says_no() -> None:
    bench = Bench()
    bench.wire.shares_send_buffer = False
    first, second = bench.association(), bench.association()
    bench.wire.room = 1_000
    assert bench.flood(first) == 1_000
    bench.wire.room = 1_000
    assert bench.flood(second) == 1_000
    assert bench.wire.asked == 0
    assert bench.watching()


async def test_while_no_acknowledgement_is_heard_parts_do_not_count() -> None:
    bench = Bench()
    association = bench.association()
    bench.room.deaf = True
    bench.wire.room = 1_000
    assert bench.flood(association) == 1_000
    bench.room.deaf = False
    bench.wire.room = None
    assert not bench.attempt(association)


# Batches


def outgoing(count: int) -> list[Outgoing]:
    return [(b"%03d" % number + bytes(SIZE - 3), HEAD) for number in range(count)]


async def test_a_batch_is_cut_where_the_part_ends() -> None:
    bench = Bench()
    association = bench.association()
    messages = outgoing(200)
    taken = bench.room.attempt_batch(association, messages, True)
    assert taken == len(bench.wire.sent) == BUFFER // 2 // COST
    assert association.unconfirmed == taken * COST
    assert [data for _, data, _ in bench.wire.sent] == [data for data, _ in messages[:taken]]
    # Only the last one of a batch that was cut asks for an acknowledgement; the caller's are untouched.
    flags = [flags for _, _, flags in bench.wire.sent]
    assert flags == [0] * (taken - 1) + [SACK_IMMEDIATELY]
    assert messages == outgoing(200)
    attempts = bench.wire.attempts
    assert bench.room.attempt_batch(association, messages[taken:], True) == 0
    assert bench.wire.attempts == attempts


async def test_a_batch_that_fits_goes_as_it_is() -> None:
    bench = Bench()
    association = bench.association()
    assert bench.room.attempt_batch(association, outgoing(10), True) == 10
    assert {flags for _, _, flags in bench.wire.sent} == {0}


async def test_of_a_batch_only_what_the_stack_took_is_counted() -> None:
    bench = Bench()
    association = bench.association()
    bench.wire.room = 4
    assert bench.room.attempt_batch(association, outgoing(10), True) == 4
    assert association.unconfirmed == 4 * COST
    assert bench.room.attempt_batch(association, outgoing(10), True) == 0
    assert association.unconfirmed == 4 * COST


async def test_the_first_of_a_batch_goes_however_large_it_is() -> None:
    bench = Bench()
    association = bench.association()
    messages = [(bytes(BUFFER), HEAD)] * 2
    assert bench.room.attempt_batch(association, messages, True) == 1
    assert bench.room.attempt_batch(association, messages, True) == 0


# Who is woken


async def test_an_acknowledgement_wakes_a_sender_of_that_association_alone() -> None:
    bench = Bench()
    first, second, idle = (bench.association() for _ in range(3))
    bench.flood(first)
    bench.flood(second)
    sleepers = await Sleeper.begin(first, first, second, idle)
    bench.acknowledge(idle)
    assert await Sleeper.woken(sleepers) == []
    bench.acknowledge(first)
    assert await Sleeper.woken(sleepers) == [0]
    # Its own success wakes the next of the same association.
    assert bench.attempt(first)
    bench.room.had(first)
    assert await Sleeper.woken(sleepers) == [0, 1]
    await Sleeper.end(sleepers)


async def test_who_waits_hears_of_acknowledgements() -> None:
    bench = Bench()
    association = bench.association()
    assert bench.wire.subscribed == []
    bench.flood(association)
    assert bench.wire.subscribed == [(SenderDry, True, association.id)]
    assert association.dry_wanted == 1
    # Waiting on: once is enough.
    bench.room.want(association)
    bench.room.had_none(association)
    bench.room.want(association)
    assert bench.wire.subscribed == [(SenderDry, True, association.id)]
    assert bench.room.want_no_more(association)
    assert association.dry_wanted == 0
    assert not bench.room.want_no_more(association)
    assert association.dry_wanted == 0


async def test_a_writable_socket_wakes_in_turn_those_that_the_stack_refused() -> None:
    bench = Bench()
    first, second, third, by_its_part = (bench.association() for _ in range(4))
    bench.flood(by_its_part)
    assert not bench.watching()
    refused(bench, first, second, third)
    assert bench.watching()
    sleepers = await Sleeper.begin(by_its_part, first, second, third)
    order = []
    bench.wire.room = None
    for _ in range(3):
        bench.room.on_writable()
        [number] = await Sleeper.woken(sleepers)
        order.append(number)
        association = (by_its_part, first, second, third)[number]
        assert bench.attempt(association)
        bench.room.had(association)
        # It is full again at once, and waits again.
        refused(bench, association)
        bench.wire.room = None
        sleepers[number] = (await Sleeper.begin(association))[0]
    assert order == [1, 2, 3]
    bench.room.on_writable()
    assert await Sleeper.woken(sleepers) == [1]
    await Sleeper.end(sleepers)


async def test_the_socket_is_watched_only_while_somebody_waits_whom_the_stack_refused() -> None:
    bench = Bench()
    first, second = bench.association(), bench.association()
    refused(bench, first, second)
    assert bench.watching()
    bench.room.want_no_more(first)
    assert bench.watching()
    bench.room.want_no_more(second)
    assert not bench.watching()
    # One that sent meanwhile: the next that the loop tells finds nobody.
    refused(bench, first)
    bench.wire.room = None
    assert bench.attempt(first)
    bench.room.had(first)
    bench.room.on_writable()
    assert not bench.watching()


async def test_a_socket_that_takes_nothing_though_it_is_writable_is_left_alone_until_a_message_went() -> None:
    bench = Bench()
    association = bench.association()
    refused(bench, association)
    [sleeper] = await Sleeper.begin(association)
    bench.room.on_writable()
    assert await Sleeper.woken([sleeper]) == [0]
    assert not bench.attempt(association)
    bench.room.had_none(association)
    assert not bench.watching()
    bench.room.want(association)
    assert not bench.watching()
    [pause] = bench.clock.pending
    [sleeper] = await Sleeper.begin(association)
    bench.clock.advance(pause)
    assert await Sleeper.woken([sleeper]) == [0]
    assert not bench.attempt(association)
    bench.room.had_none(association)
    bench.room.want(association)
    # Looks go on.
    assert not bench.watching()
    [pause] = bench.clock.pending
    [sleeper] = await Sleeper.begin(association)
    bench.clock.advance(pause)
    assert await Sleeper.woken([sleeper]) == [0]
    bench.wire.room = 1
    assert bench.attempt(association)
    bench.room.had(association)
    assert not bench.attempt(association)
    bench.room.had_none(association)
    bench.room.want(association)
    assert bench.watching()


async def test_a_sender_that_its_part_holds_back_does_not_make_the_socket_a_liar() -> None:
    """The stack refused both; then the first may not send for the sake of parts, and the second could."""
    bench = Bench()
    first, second = bench.association(), bench.association()
    bench.flood(first)
    bench.acknowledge(first)
    while first.unconfirmed + COST <= BUFFER // 2 - COST:
        assert bench.attempt(first)
    bench.room.had(first)
    refused(bench, first, second)
    others = [bench.association() for _ in range(8)]
    for other in others:
        bench.room.want(other)
    assert bench.watching()
    bench.wire.room = None
    attempts = bench.wire.attempts
    woken = []
    for _ in range(2):
        # As the loop does while the socket is watched and writable.
        sleepers = await Sleeper.begin(first, second)
        if bench.watching():
            bench.room.on_writable()
        for number in await Sleeper.woken(sleepers):
            woken.append(number)
            association = (first, second)[number]
            if bench.attempt(association):
                bench.room.had(association)
            else:
                bench.room.had_none(association)
                bench.room.want(association)
        await Sleeper.end(sleepers)
    assert woken == [0, 1]
    assert bench.wire.attempts == attempts + 1
    assert second.unconfirmed == COST


# Looking now and then


async def looks(bench: Bench, seconds: float) -> list[float]:
    """Let time pass, each look failing as the first did: when the looks were."""
    began, times = bench.clock.time(), []
    while bench.clock.pending and bench.clock.time() + bench.clock.pending[0] <= began + seconds:
        before = bench.room.looks
        waiting = list(bench.room._waiting)
        bench.clock.advance(bench.clock.pending[0])
        if bench.room.looks > before:
            times.append(bench.clock.time() - began)
        for association in waiting:
            assert not bench.attempt(association)
            bench.room.had_none(association)
            bench.room.want(association)
    return times


async def test_looks_get_slower_up_to_a_limit() -> None:
    bench = Bench()
    refused(bench, bench.association())
    times = await looks(bench, 3)
    gaps = [later - earlier for earlier, later in itertools.pairwise([0.0, *times])]
    assert gaps[0] == pytest.approx(STALL_PAUSE)
    for earlier, later in itertools.pairwise(gaps):
        assert later == pytest.approx(min(2 * earlier, MOST_PAUSE), rel=0.01)
    assert gaps[-1] == pytest.approx(MOST_PAUSE)
    assert len(times) < 25


async def test_success_makes_the_looks_fast_again() -> None:
    bench = Bench()
    association = bench.association()
    refused(bench, association)
    await looks(bench, 1)
    bench.wire.room = None
    assert bench.attempt(association)
    bench.room.had(association)
    refused(bench, association)
    assert bench.clock.pending[0] == pytest.approx(STALL_PAUSE)
    # The timer that was to come later is not left beside it.
    assert len(bench.clock.pending) == 1


async def test_who_only_waits_for_its_part_is_looked_at_slowly() -> None:
    bench = Bench()
    association = bench.association()
    bench.flood(association)
    assert bench.clock.pending == [pytest.approx(MOST_PAUSE)]
    times = await looks(bench, 2)
    assert 0 < len(times) <= 2 / MOST_PAUSE


async def test_a_look_wakes_a_bounded_number_and_the_next_look_the_others() -> None:
    bench = Bench()
    many = [bench.association() for _ in range(2 * MOST_WOKEN)]
    refused(bench, *many)
    sleepers = await Sleeper.begin(*many)
    bench.clock.advance(bench.clock.pending[0])
    first = await Sleeper.woken(sleepers)
    assert first == list(range(MOST_WOKEN))
    # Half of them try in vain and half succeed and wait no more: the others have their turn in any case.
    for number in first:
        if number % 2:
            assert not bench.attempt(many[number])
            bench.room.had_none(many[number])
        else:
            assert bench.room.want_no_more(many[number])
    bench.clock.advance(bench.clock.pending[0])
    assert await Sleeper.woken(sleepers) == list(range(2 * MOST_WOKEN))
    await Sleeper.end(sleepers)


async def test_looks_end_with_the_last_that_waits_and_with_close() -> None:
    bench = Bench()
    first, second = bench.association(), bench.association()
    refused(bench, first, second)
    bench.room.want_no_more(first)
    assert bench.clock.pending
    bench.room.want_no_more(second)
    assert not bench.clock.pending
    refused(bench, first)
    assert bench.clock.pending
    bench.room.close()
    assert not bench.clock.pending
    bench.clock.advance(10)
    assert bench.room.looks == 0


async def test_a_look_at_nobody_is_the_last() -> None:
    bench = Bench()
    association = bench.association()
    bench.flood(association)
    bench.room.want_no_more(association)
    bench.room.look()
    assert not bench.clock.pending


async def test_a_timer_does_not_keep_a_forgotten_room() -> None:
    bench = Bench()
    refused(bench, bench.association())
    clock, room = bench.clock, weakref.ref(bench.room)
    del bench
    gc.collect()
    assert room() is None
    clock.advance(1)
