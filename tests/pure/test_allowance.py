"""How much a peer can take, by what a scripted kernel tells of it."""

import time

import pytest

from sctpio.stacks.kernel import allowance
from sctpio.stacks.kernel.allowance import (
    BURST,
    COUNT,
    MOST_MESSAGES,
    NO_FLOOD,
    ORDERED_AT,
    PATIENCE,
    SCTP_STATUS,
    STATISTICS_SIZE,
    STATUS,
    STATUS_SIZE,
    TURN,
    UNORDERED_AT,
    Allowance,
    cost,
)

WINDOW = 100_000
FRAGMENT = 1452


class Kernel:
    """What the kernel knows of an association."""

    def __init__(self) -> None:
        self.batches = 0
        self.window = WINDOW
        self.unacknowledged = 0
        self.sent = 0
        self.gone = False

    def ask(self, number: int, association_id: int, size: int) -> bytes | None:
        assert association_id == 7
        if self.gone:
            return None
        if number == SCTP_STATUS:
            status = STATUS.pack(7, 4, self.window, self.unacknowledged, 0, 10, 10, FRAGMENT)
            return status.ljust(STATUS_SIZE, b"\0")
        statistics = bytearray(STATISTICS_SIZE)
        COUNT.pack_into(statistics, UNORDERED_AT, self.sent // 3)
        COUNT.pack_into(statistics, ORDERED_AT, self.sent - self.sent // 3)
        return bytes(statistics)


class Clock:
    """What time it is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clock, at a pace at which bursts stay as they are."""
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def allows(made: Allowance, kernel: Kernel, size: int) -> bool:
    return made.allows(kernel, 7, size, cost(size))


def opened(kernel: Kernel, size: int) -> Allowance:
    """Return one that was asked for a first message."""
    made = Allowance(kernel.window, FRAGMENT)
    assert allows(made, kernel, size)
    return made


def use_up(made: Allowance, size: int) -> int:
    """Send messages while nobody has to be asked; return how many."""
    count = 0
    while made.left >= cost(size):
        made.took(size, cost(size))
        count += 1
    return count


@pytest.mark.parametrize("size", [1, 16, 64, 231, 232, 1000, 100_000])
def test_neither_the_window_nor_twice_as_much_memory_is_exceeded(kernel: Kernel, size: int) -> None:
    made, count = opened(kernel, size), 0
    while allows(made, kernel, size):
        added = use_up(made, size)
        assert 1 <= added <= MOST_MESSAGES
        count += added
        kernel.sent, kernel.unacknowledged = count, 1
        kernel.window = WINDOW - count * size
        assert not allows(made, kernel, size)
    assert count >= 1
    assert count * size <= WINDOW
    assert count * (size + 232 * max(1, size // FRAGMENT)) <= 2 * WINDOW


def test_after_a_burst_the_sender_waits_once(kernel: Kernel) -> None:
    kernel.window = 4 * BURST
    made = opened(kernel, 8000)
    for _ in range(3):
        kernel.sent += use_up(made, 8000)
        assert not allows(made, kernel, 8000)
        assert allows(made, kernel, 8000)
        assert made.left == BURST


def test_a_sender_that_had_its_turn_does_not_wait_for_one(kernel: Kernel, clock: Clock) -> None:
    made = opened(kernel, 1000)
    for _ in range(3):
        kernel.sent += use_up(made, 1000)
        kernel.batches += 1
        assert allows(made, kernel, 1000)
    kernel.sent += use_up(made, 1000)
    clock.now += NO_FLOOD
    assert allows(made, kernel, 1000)
    # Nor has it fewer messages than before.
    assert use_up(made, 1000) == 64


def test_what_the_peer_has_not_read_is_missing(kernel: Kernel) -> None:
    made = opened(kernel, 1000)
    kernel.sent = use_up(made, 1000)
    kernel.window = 30_000
    assert not allows(made, kernel, 1000)
    assert allows(made, kernel, 1000)
    assert made.left == 30_000


def test_small_messages_that_were_not_read_take_more(kernel: Kernel) -> None:
    made = opened(kernel, 16)
    kernel.sent = use_up(made, 16)
    kernel.window = WINDOW - 12_000
    assert not allows(made, kernel, 16)
    assert allows(made, kernel, 16)
    # 7.75 times as much as their data.
    assert made.left == 7_000


def test_what_the_kernel_has_not_sent_is_missing_too(kernel: Kernel) -> None:
    made = opened(kernel, 1000)
    count = use_up(made, 1000)
    kernel.sent, kernel.unacknowledged = count - 40, 10
    assert not allows(made, kernel, 1000)
    assert allows(made, kernel, 1000)
    assert made.left == WINDOW - 40_000


def test_a_large_message_counts_as_its_chunks(kernel: Kernel) -> None:
    made = Allowance(WINDOW, FRAGMENT)
    made.took(10 * FRAGMENT + 1, 10 * FRAGMENT + 1)
    kernel.sent, kernel.unacknowledged, kernel.window = 6, 6, WINDOW
    made.left = 0
    allows(made, kernel, 1000)
    kernel.sent = 11
    assert allows(made, kernel, 1000)


@pytest.mark.parametrize(("window", "allowed"), [(999, False), (1000, True)])
def test_one_message_goes_where_the_window_takes_it(kernel: Kernel, window: int, allowed: bool) -> None:
    made = opened(kernel, 16)
    kernel.sent = use_up(made, 16)
    # Ten times the memory that is left, as far as is known.
    kernel.window = window
    assert not allows(made, kernel, 1000)
    assert allows(made, kernel, 1000) is allowed
    kernel.unacknowledged = 1
    assert not allows(made, kernel, 1000)


def test_a_peer_that_has_not_read_is_asked_for_news_ever_more_rarely(
    kernel: Kernel, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "NEWS_PAUSE", 0.1)
    made = opened(kernel, 16)
    kernel.sent = use_up(made, 16)
    # Its memory is full by then, and its window open: nothing else tells whether it reads.
    kernel.window = WINDOW // 2
    assert not allows(made, kernel, 16)
    went = []
    for _ in range(1000):
        if allows(made, kernel, 16):
            went.append(clock.now - 1000)
            kernel.sent += use_up(made, 16)
            kernel.batches += 1
        clock.now += 0.01
    assert went == pytest.approx([0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.1, 9.1], abs=0.1)
    # It has read: what follows does not wait.
    kernel.window = WINDOW
    clock.now += PATIENCE
    assert allows(made, kernel, 16)
    assert use_up(made, 16) > 1


def test_a_message_larger_than_the_window_goes_to_a_peer_that_has_read(kernel: Kernel) -> None:
    made = Allowance(WINDOW, FRAGMENT)
    assert allows(made, kernel, 2 * WINDOW)


def test_a_burst_has_as_many_messages_as_the_loop_has_time_for(kernel: Kernel, clock: Clock) -> None:
    made = opened(kernel, 16)
    counts = []
    for took in [0.09] * 5 + [TURN / 2] + [0.001] * 10:
        counts.append(use_up(made, 16))
        kernel.sent += counts[-1]
        clock.now += took
        assert not allows(made, kernel, 16)
        assert allows(made, kernel, 16)
    assert counts == [64, 32, 16, 8, 8, 8, 8, 16, 32, 64, 128, 256, 512, 806, 806, 806]


def test_a_peer_that_tells_nothing_is_asked_in_the_end(kernel: Kernel, clock: Clock) -> None:
    made = opened(kernel, 1000)
    kernel.sent, kernel.window = use_up(made, 1000), 0
    assert not allows(made, kernel, 1000)
    assert not allows(made, kernel, 1000)
    clock.now += PATIENCE
    kernel.unacknowledged = 1
    assert not allows(made, kernel, 1000)
    kernel.unacknowledged = 0
    assert allows(made, kernel, 1000)
    assert not allows(made, kernel, 1000)


@pytest.mark.parametrize("size", [1, 231, 232, FRAGMENT, FRAGMENT + 1, 100_000])
def test_messages_of_one_size_count_as_each_of_them(size: int) -> None:
    one, together = Allowance(WINDOW, FRAGMENT), Allowance(WINDOW, FRAGMENT)
    for _ in range(3):
        one.took(size, cost(size))
    together.took(size, cost(size), 3)
    counted = [(made.left, made.bytes, made.chunks) for made in (one, together)]
    assert counted[0] == counted[1]


@pytest.mark.parametrize(("left", "flagged"), [(1999, True), (2000, False)])
def test_the_last_message_asks_for_its_sack(kernel: Kernel, left: int, flagged: bool) -> None:
    made = opened(kernel, 1000)
    made.left = left
    assert made.admits(kernel, 7, 1000, 1000)
    assert bool(made.sack_flag(1000)) is flagged


def test_where_the_association_is_over_the_send_tells(kernel: Kernel) -> None:
    made = Allowance(WINDOW, FRAGMENT)
    kernel.gone = True
    assert allows(made, kernel, 2 * WINDOW)
