"""Ordinary messages are received, put into the inbox and counted in C (csrc/fast) as in Python.

A batch of anything else comes back untouched, for Python to take.
"""

import ctypes
import errno
import gc
import sys
import weakref
from collections import deque
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure.loop.test_records import RECEIVE, SOURCE, find, record
from sctpio import Message
from sctpio._abi.contract import EOF, MORE, MSG_CTRUNC, MSG_EOR, MSG_NOTIFICATION, NO_INFO, RECORD
from sctpio._fast import Decoder, Layout, Reading
from sctpio._loop.association import UP, Association, State
from sctpio._loop.event_stream import EventHub
from sctpio._loop.observing import FollowedAssociation, ObservedAssociation
from sctpio._loop.partials import Partials
from sctpio._loop.unread import NOTHING, Inbox, Unread
from sctpio.address import Address

pytestmark = pytest.mark.one_loop

KIB = 1024
MESSAGE = Layout(Message, "message")
LAYOUTS = (
    Layout(Association, "association"),
    Layout(Unread, "unread"),
    Layout(Inbox, "inbox"),
    Layout(Partials, "partials"),
)
DRAINED = -errno.EAGAIN
MOST = 1000


class Loop:
    """Keeps what belongs to a loop."""


class Memory:
    """What a thread's sockets receive into."""

    def __init__(self) -> None:
        self.record_bytes = bytearray(16 * RECORD.size)
        self.arena_bytes = bytearray(128 * KIB)


class Threads:
    """Has the memory of this thread."""

    def __init__(self) -> None:
        self.scratch = Memory()


class Raw:
    """A socket whose C gives `records`, with data that is the number of each."""

    def __init__(self) -> None:
        self._fd = 5
        self._memory = Threads()
        self.batches = 0
        self.records: list[bytes] = []
        self.state = DRAINED
        # What C was offered: bytes and records.
        self.offered: list[tuple[int, int]] = []
        self.count: int | None = None

    def receive(self, fd: int, arena: Any, size: int, records: Any, capacity: int, state: Any) -> int:
        assert fd == 5
        self.offered.append((size, capacity))
        packed = b"".join(self.records)
        ctypes.memmove(arena, bytes(range(256)) * 4, 1024)
        ctypes.memmove(records, packed, len(packed))
        state[0] = self.state
        return len(self.records) if self.count is None else self.count


class Bench:
    """An association that is up and has an inbox, and what reads for it."""

    def __init__(self) -> None:
        loop = cast("Any", Loop())
        self.unread = Unread(loop, 1 << 20)
        self.association = Association(loop, unread=self.unread, max_message_size=MOST, hub=EventHub(loop))
        self.association.state = UP
        self.raw = Raw()
        self._function = RECEIVE(self.raw.receive)  # as long as C has its address
        self.decoder = Decoder(MESSAGE, find)
        address = cast("int", ctypes.cast(self._function, ctypes.c_void_p).value)
        self.reading = Reading(*LAYOUTS, UP, deque, NOTHING, address)

    def read(self, space: int = 1 << 20, most: int = 10) -> Any:
        return self.reading.read(self.association, self.raw, self.decoder, space, most)

    def counts(self) -> tuple[int, int, int]:
        return self.association.messages_received, self.association.bytes_received, self.unread.size

    def is_untouched(self) -> bool:
        return self.counts() == (0, 0, 0) and self.unread.inbox.messages is NOTHING


@given(st.lists(st.tuples(st.integers(0, 512), st.integers(0, 400)), max_size=16), st.booleans())
def test_messages_are_put_into_the_inbox_as_in_python(parts: list[tuple[int, int]], more: bool) -> None:
    bench, python = Bench(), Bench()
    bench.raw.records = [record(offset, length) for offset, length in parts]
    bench.raw.state = MORE if more else DRAINED
    packed = b"".join(bench.raw.records)
    run = python.decoder.messages(packed, 0, len(parts), bytes(range(256)) * 4)
    if run[1] > MOST:
        # One of them may be larger than a message can be.
        assert bench.read(most=16)[:2] == (bench.raw.state, len(parts))
        assert bench.is_untouched()
        return
    if parts:
        python.association.feed_all(run[0], run[1], True)
    for _ in range(2):
        bench.unread.inbox.fresh = False
        assert bench.read(most=16) == (~len(parts) if more else len(parts))
        assert bench.unread.inbox.fresh is bool(parts)
        assert bench.counts() == python.counts()
        assert list(bench.unread.inbox.messages) == list(python.unread.inbox.messages)
        if parts:
            python.association.feed_all(run[0], run[1], True)
    assert bench.raw.batches == 2
    assert deque() == NOTHING


@pytest.mark.parametrize(
    ("space", "most", "offered"),
    [
        (1 << 20, 10, (128 * KIB, 10)),
        (128 * KIB, 1, (128 * KIB, 1)),
        (100_000, 99, (100_000, 16)),
        (64 * KIB, 16, (64 * KIB, 16)),
        (1, 16, (64 * KIB, 16)),
        (-(1 << 40), 1 << 40, (64 * KIB, 16)),
    ],
)
def test_a_batch_is_bounded(space: int, most: int, offered: tuple[int, int]) -> None:
    bench = Bench()
    assert bench.read(space, most) == 0
    assert bench.raw.offered == [offered]


OTHER = [
    record(msg_flags=MSG_NOTIFICATION | MSG_EOR),
    record(msg_flags=MSG_NOTIFICATION),
    record(msg_flags=0),
    record(msg_flags=MSG_EOR | NO_INFO),
    record(msg_flags=MSG_EOR | MSG_CTRUNC),
    record(0, 64 * KIB),
]


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_batch_with_anything_else_comes_back_whole(other: bytes, at: int) -> None:
    bench = Bench()
    bench.association.partials.max_message_size = 1 << 20
    bench.raw.records = [record(), record()]
    bench.raw.records.insert(at, other)
    state, count, records, arena = bench.read()
    assert (state, count) == (DRAINED, 3)
    assert records is bench.raw._memory.scratch.record_bytes
    assert arena is bench.raw._memory.scratch.arena_bytes
    assert bytes(records[: 3 * RECORD.size]) == b"".join(bench.raw.records)
    assert bench.is_untouched()
    # The memory is released.
    records.clear()
    arena.clear()


@pytest.mark.parametrize("state", [EOF, -errno.ECONNRESET, -errno.EBADF])
def test_the_end_and_a_failure_come_back_with_the_messages_before_them(state: int) -> None:
    bench = Bench()
    bench.raw.records, bench.raw.state = [record()], state
    assert bench.read()[:2] == (state, 1)
    assert bench.is_untouched()


def another_way(bench: Bench, how: str) -> None:
    """Let the messages of an association go another way than into the common inbox."""
    if how == "claimed":
        bench.unread.claim(3)
    elif how == "open":
        part = Message(b"part", complete=False)
        assert bench.association.partials.join(part, 0) is None
    elif how == "observed":
        bench.association.__class__ = ObservedAssociation
    elif how == "followed":
        bench.association.__class__ = FollowedAssociation
    else:
        bench.association.state = State[how]


WAYS = ["claimed", "open", "observed", "followed", *(state.name for state in State if state is not UP)]


@pytest.mark.parametrize("how", WAYS)
def test_nothing_is_received_where_messages_go_another_way(how: str) -> None:
    bench = Bench()
    another_way(bench, how)
    assert bench.read() is None
    assert bench.raw.offered == []
    assert bench.raw.batches == 0


@pytest.mark.parametrize("how", WAYS)
def test_what_has_changed_while_the_messages_were_made_counts(how: str) -> None:
    """Python runs when a source is looked up."""
    bench = Bench()

    def change(source: bytes, association_id: int) -> Address:
        another_way(bench, how)
        return find(source, association_id)

    bench.decoder = Decoder(MESSAGE, change)
    bench.raw.records = [record(), record(source=SOURCE[:-1] + b"\2")]
    with pytest.MonkeyPatch.context() as patch:
        if how == "open":
            # The same part twice is one message that grows.
            patch.setattr(Partials, "__bool__", lambda self: True)
        assert bench.read()[:2] == (DRAINED, 2)
    assert bench.counts() == (0, 0, 0)


def test_failures_are_raised_and_nothing_is_counted() -> None:
    bench = Bench()
    bench.raw.count = -errno.EINVAL
    with pytest.raises(OSError, match="Invalid argument"):
        bench.read()
    bench.raw.count = 11
    with pytest.raises(ValueError, match="11 records of 10"):
        bench.read()
    bench.raw.count = None
    bench.raw.records = [record(128 * KIB, 1)]
    with pytest.raises(ValueError, match="of an arena of"):
        bench.read()

    def fail(source: bytes, association_id: int) -> Address:
        raise LookupError("no address")

    bench.decoder = Decoder(MESSAGE, fail)
    bench.raw.records = [record()]
    with pytest.raises(LookupError):
        bench.read()
    assert bench.is_untouched()
    bench.unread.size = cast("Any", "x")
    bench.decoder = Decoder(MESSAGE, find)
    with pytest.raises(TypeError):
        bench.read()
    assert bench.unread.inbox.messages is NOTHING
    bench.raw.records.clear()
    assert bench.read() == 0


def test_wrong_arguments_are_refused() -> None:
    bench = Bench()
    raw, association, decoder = bench.raw, bench.association, bench.decoder
    read: Any = bench.reading.read
    for arguments in (
        (),
        (association, raw, decoder, 1),
        (association, raw, object(), 1, 1),
        (association, raw, decoder, "1", 1),
        (association, raw, decoder, 1, None),
    ):
        with pytest.raises(TypeError):
            read(*arguments)
    with pytest.raises(ValueError, match="0 records"):
        read(association, raw, decoder, 1, 0)
    with pytest.raises(AttributeError):
        read(association, object(), decoder, 1, 1)
    assert read(object(), raw, decoder, 1, 1) is None
    raw._memory.scratch.arena_bytes = cast("Any", bytes(100))
    with pytest.raises(BufferError):
        read(association, raw, decoder, 1, 1)
    association.partials = cast("Any", object())
    with pytest.raises(TypeError, match="partials is missing"):
        read(association, raw, decoder, 1, 1)
    association.unread = cast("Any", None)
    association.partials = Partials(1)
    with pytest.raises(TypeError, match="unread is missing"):
        read(association, raw, decoder, 1, 1)
    unread, inbox, partials = LAYOUTS[1:]
    with pytest.raises(TypeError, match="association is needed"):
        Reading(unread, unread, inbox, partials, UP, deque, NOTHING, 0)


def test_nothing_leaks() -> None:
    bench = Bench()

    def work() -> None:
        for records in ([record()] * 5, [record(), OTHER[0]], []):
            bench.raw.records = records
            bench.read()
        bench.unread.clear()
        bench.unread.inbox.messages = NOTHING
        bench.raw.count = -errno.EINVAL
        with pytest.raises(OSError, match="Invalid argument"):
            bench.read()
        bench.raw.count = None
        bench.association.state = State.CLOSING
        bench.read()
        bench.association.state = UP
        bench.raw.offered.clear()
        Reading(*LAYOUTS, UP, deque, NOTHING, 0)

    for _ in range(20):
        work()
    gc.collect()
    held = [bench.association, bench.raw, NOTHING, UP, LAYOUTS[0], bench.raw._memory.scratch.arena_bytes]
    blocks, before = sys.getallocatedblocks(), [sys.getrefcount(each) for each in held]
    rounds = 500
    for _ in range(rounds):
        work()
    gc.collect()
    assert [sys.getrefcount(each) for each in held] == before
    # The interpreter's own caches grow by some hundreds; a leak, by one in each round.
    assert sys.getallocatedblocks() - blocks < rounds


def test_one_in_a_reference_cycle_is_collected() -> None:
    class Nothing:
        reading: Reading

    nothing = Nothing()
    nothing.reading = Reading(*LAYOUTS, UP, deque, nothing, 0)
    gone = weakref.ref(nothing)
    del nothing
    gc.collect()
    assert gone() is None
