"""An ordinary message goes the same way in C (csrc/fast) and in Python, and is counted the same."""

import ctypes
import errno
import gc
import itertools
import struct
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import Message
from sctpio._abi.contract import OUTGOING, SACK_IMMEDIATELY
from sctpio._fast import Layout, PlainSender
from sctpio._loop.association import UP, Association, State
from sctpio._loop.event_stream import EventHub
from sctpio._loop.loop_socket import LoopSocket
from sctpio._loop.observing import ObservedAssociation
from sctpio._loop.sending import Sender
from sctpio._loop.unread import Unread
from sctpio.ppid import Ppid
from sctpio.stacks.base import Head, Outgoing, SendOne
from sctpio.stacks.kernel.allowance import Allowance
from sctpio.stacks.kernel.socket import KernelSocket

pytestmark = pytest.mark.one_loop

# Of the C function: descriptor, association, data, length, stream, flags, ppid, context.
FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int32,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_uint32,
    ctypes.c_uint16,
    ctypes.c_uint16,
    ctypes.c_uint32,
    ctypes.c_uint32,
)


OF_ASSOCIATION = Layout(Association, "association")
OF_ALLOWANCE = Layout(Allowance, "allowance")


class Loop:
    """Keeps what belongs to a loop."""


BATCH_FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_char),
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_uint32,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_size_t,
)


class Raw(KernelSocket):
    """A kernel's socket whose batches go to `batch`."""

    __slots__ = ("batch",)

    batch: Callable[[int, bool, bytes, bytes], int]

    def _send_packed(
        self, association_id: int, packed: bytes, payload: bytes, policy: int, bundle: bool
    ) -> int:
        assert not policy
        return self.batch(association_id, bundle, packed, payload)


class Socket:
    """Carries the association of a `Way`."""

    def __init__(self, raw: KernelSocket, plain: PlainSender | None) -> None:
        self.raw = raw
        self._plain = plain

    def sender(self, association: Association) -> SendOne:
        return self.raw.send

    def plain(self, association: Association) -> PlainSender | None:
        return self._plain

    def send_batch(self, association: Association, messages: Sequence[Outgoing], bundle: bool) -> int:
        return self.raw.send_batch(association.id, messages, bundle)


class Way:
    """A sender of an association that is up, over a kernel's socket whose C is `answer`."""

    def __init__(self, compiled: bool, answer: Callable[[], int] = lambda: 0) -> None:
        loop = cast("Any", Loop())
        self.sent: list[tuple[Any, ...]] = []
        # Of each batch: the association, whether to bundle, and the messages.
        self.batches: list[tuple[int, bool, list[tuple[Any, ...]]]] = []
        self.raw = Raw(-1, v6=False)
        self.association = Association(
            loop, unread=Unread(loop, 1000), max_message_size=1000, hub=EventHub(loop)
        )
        self.association.id, self.association.outbound_streams, self.association.state = 7, 10, UP

        def called(fd: int, number: int, data: Any, size: int, *rest: int) -> int:
            self.sent.append((fd, number, bytes(data[:size]), size, *rest))
            return answer()

        def batch(association_id: int, bundle: bool, packed: bytes, payload: bytes) -> int:
            messages, used = [], 0
            for size, ppid, context, value, stream, flags, policy in OUTGOING.iter_unpack(packed):
                assert value == policy == 0
                messages.append((payload[used : used + size], ppid, context, stream, flags))
                used += size
            assert used == len(payload)
            self.batches.append((association_id, bundle, messages))
            return answer() or len(messages)

        def called_for_many(fd: int, target: Any, items: Any, count: int, data: Any, size: int) -> int:
            number, key, length, legacy = struct.unpack_from("=iiII", target[:16])
            assert (fd, key, length, legacy) == (-1, -1, 0, 0)
            [bundle] = struct.unpack("=I", target[44:48])
            return batch(number, bool(bundle), items[: count * OUTGOING.size], data[:size])

        # As long as C has their addresses.
        self._called = FUNCTION(called), BATCH_FUNCTION(called_for_many)
        self.raw.batch = batch
        self.raw._send_plain = cast("Any", called)
        plain = PlainSender(
            OF_ASSOCIATION,
            OF_ALLOWANCE,
            self.association,
            UP,
            self.association.senders.queue,
            self.raw,
            self.raw._allowances,
            *(cast("int", ctypes.cast(each, ctypes.c_void_p).value) for each in self._called),
        )
        socket = cast("LoopSocket", Socket(self.raw, plain if compiled else None))
        self.sender = Sender(self.association, socket)

    def allow(self, left: int, fragment: int) -> None:
        """Let the peer take so much."""
        allowance = self.raw._allowances[7] = Allowance(1 << 20, fragment)
        allowance.left = left

    def counts(self) -> tuple[int, ...]:
        """Return all that a message changes."""
        association, allowance = self.association, self.raw._allowances.get(7)
        counts = (association.messages_sent, association.bytes_sent)
        return counts if allowance is None else (*counts, *counted(allowance))


def counted(allowance: Allowance) -> tuple[int, int, int]:
    return allowance.left, allowance.bytes, allowance.chunks


def ways(answer: Callable[[], int] = lambda: 0) -> list[Way]:
    return [Way(False, answer), Way(True, answer)]


MESSAGE = st.tuples(
    st.integers(1, 600) | st.sampled_from([231, 232, 233, 1452, 65_536, 65_537]),
    st.integers(0, 9),
    st.integers(0, 0xFFFFFFFF) | st.just(Ppid.NGAP),
    st.booleans(),
    st.integers(0, 0xFFFFFFFF),
)


@given(st.lists(MESSAGE, max_size=10), st.booleans(), st.integers(1, 3000))
def test_both_send_and_count_the_same(messages: list[Any], allowed: bool, fragment: int) -> None:
    python, compiled = ways()
    for way in (python, compiled):
        if allowed:
            way.allow(1 << 19, fragment)
        for size, *rest in messages:
            assert way.sender.send_plain(bytes(range(256)) * (size // 256) + bytes(size % 256), *rest) is True
    assert python.sent == compiled.sent
    assert python.counts() == compiled.counts()


@pytest.mark.parametrize("size", [1, 231, 232, 5000])
@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_what_the_peer_may_not_take_is_left_to_python(size: int, spare: int) -> None:
    """The last message that fits asks for its SACK; what comes after it, the kernel is asked about."""
    python, compiled = ways()
    takes = size if size >= 232 else (size + 233) // 2
    for way in (python, compiled):
        way.allow(2 * takes + spare, 1000)
        assert way.sender.send_plain(bytes(size), 0, 0, False, 0) is True
    assert python.sent == compiled.sent
    assert python.counts() == compiled.counts()


@pytest.mark.parametrize("allowed", [False, True])
def test_without_space_nothing_is_counted(allowed: bool) -> None:
    for way in ways(lambda: -errno.EAGAIN):
        if allowed:
            way.allow(1 << 19, 1000)
        before = way.counts()
        assert way.sender.send_plain(b"x", 0, 0, False, 0) is False
        assert (len(way.sent), way.counts()) == (1, before)


def test_a_failure_is_told_once_and_nothing_is_counted() -> None:
    for way in ways(lambda: -errno.EACCES):
        before = way.counts()
        with pytest.raises(PermissionError, match=r"\(send\)"):
            way.sender.send_plain(b"x", 0, 0, False, 0)
        assert (len(way.sent), way.counts()) == (1, before)


def test_nobody_overtakes_a_task_that_waits() -> None:
    for way in ways():
        way.association.senders.queue.append(cast("Any", object()))
        assert way.sender.send_plain(b"x", 0, 0, False, 0) is False
        assert way.sent == []


class Number(int):
    """An int that is none."""


ODD: list[tuple[Any, ...]] = [
    (b"", 0, 0, False, 0),
    (bytearray(b"x"), 0, 0, False, 0),
    ("x", 0, 0, False, 0),
    (b"x", 10, 0, False, 0),
    (b"x", -1, 0, False, 0),
    (b"x", 1 << 70, 0, False, 0),
    (b"x", Number(1), 0, False, 0),
    (b"x", None, 0, False, 0),
    (b"x", 0, 1 << 32, False, 0),
    (b"x", 0, -1, False, 0),
    (b"x", 0, 0, False, 1 << 32),
    (b"x", 0, 0, False, 0.0),
]


@pytest.mark.parametrize("arguments", ODD)
def test_what_is_out_of_the_ordinary_is_not_sent(arguments: tuple[Any, ...]) -> None:
    for way in ways():
        assert way.sender.send_plain(*arguments) is None
        assert way.sent == []


@pytest.mark.parametrize("state", [state for state in State if state is not UP])
def test_only_an_association_that_is_up_sends(state: State) -> None:
    for way in ways():
        way.association.state = state
        assert way.sender.send_plain(b"x", 0, 0, False, 0) is None
        assert way.sent == []


def test_an_association_with_a_policy_is_left_to_python() -> None:
    way = Way(True)
    way.raw._fills_policy = True
    assert way.sender.plain is not None
    assert way.sender.plain.send(b"x", 0, 0, False, 0) is None
    assert way.sent == []


@pytest.mark.parametrize("attribute", ["left", "bytes", "chunks", "fragment"])
def test_a_count_that_is_none_is_an_error_before_anything_is_sent(attribute: str) -> None:
    way = Way(True)
    way.allow(1 << 19, 1000)
    setattr(way.raw._allowances[7], attribute, "x")
    assert way.sender.plain is not None
    with pytest.raises(TypeError):
        way.sender.plain.send(b"x", 0, 0, False, 0)
    assert way.sent == []
    assert way.counts()[:2] == (0, 0)


# Many at once


def many(way: Way, messages: Any, head: Head = Head(1, 0, 60, 0), bundle: bool = True) -> None:  # noqa: B008
    """Send many, which is to find space for all of them."""
    with pytest.raises(StopIteration):
        way.sender.send_many(messages, head, bundle).send(None)


def went(way: Way) -> list[tuple[Any, ...]]:
    """Return what was sent in batches and one by one, apart from the wish for a SACK."""
    found = [message for _, _, messages in way.batches for message in messages]
    assert all(each[0] == 7 for each in way.batches)
    return [(*rest, flags & ~SACK_IMMEDIATELY) for *rest, flags in found]


ITEM = st.integers(1, 300) | st.sampled_from([5000, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1])
ITEMS = st.lists(
    ITEM.map(bytes) | ITEM.map(bytearray) | st.builds(Message, st.just(b"own"), stream=st.integers(0, 9)),
    max_size=150,
)


@given(
    ITEMS | st.lists(st.binary(min_size=1, max_size=9), max_size=300),
    st.booleans(),
    st.sampled_from([0, 1]),
    st.sampled_from([60, Ppid.NGAP]),
    st.booleans(),
)
def test_both_send_and_count_many_the_same(
    messages: list[Any], allowed: bool, flags: int, ppid: int, bundle: bool
) -> None:
    python, compiled = ways()
    for way in (python, compiled):
        if allowed:
            way.allow(1 << 40, 700)
        many(way, messages, Head(3, flags, ppid, 0), bundle)
        # Those that go alone, at the end of a batch, go by `send`.
        assert len(went(way)) + len(way.sent) == len(messages)
        assert all(each[1] is bundle for each in way.batches)
    assert python.counts() == compiled.counts()
    if not any(len(each.data if isinstance(each, Message) else each) > 300 for each in messages):
        data = [bytes(each.data if isinstance(each, Message) else each) for each in messages]
        assert [each[0] for each in went(compiled)] == data[: len(went(compiled))]


def test_a_list_of_ordinary_messages_goes_in_c_alone() -> None:
    way = Way(True)
    way.allow(1 << 40, 1 << 20)
    sizes = [100] * 70 + [1000] * 20
    many(way, [bytes(size) for size in sizes], Head(3, 1, 60, 0), False)
    assert [len(messages) for _, _, messages in way.batches] == [64, 21, 5]
    assert way.sent == []
    assert went(way) == [(bytes(size), 60, 0, 3, 1) for size in sizes]
    assert way.counts() == (90, 27_000, (1 << 40) - 70 * 166 - 20_000, 27_000, 90)


@pytest.mark.parametrize("spare", [-1, 0])
def test_a_batch_that_the_peer_may_not_take_is_left_to_python(spare: int) -> None:
    way = Way(True)
    # What the batch takes, and the next like its last.
    way.allow(3 * 166 + 400 + 400 + spare, 1000)
    messages = [*[bytes(100)] * 3, bytes(400)]
    many(way, messages)
    [(_, _, sent)] = way.batches
    assert [flags for *_, flags in sent] == [0, 0, 0, SACK_IMMEDIATELY if spare else 0]
    assert way.counts()[:2] == (4, 700)


def test_a_short_call_counts_what_was_taken_and_the_rest_follows() -> None:
    for way in ways(lambda: 2):
        way.allow(1 << 20, 50)
        many(way, [bytes([number] * 100) for number in range(1, 7)])
        assert [len(messages) for _, _, messages in way.batches] == [6, 4, 2]
        assert way.counts() == (6, 600, (1 << 20) - 6 * 166, 600, 12)


def test_a_failure_of_many_is_raised_and_counts_nothing() -> None:
    for way in ways(lambda: -errno.EACCES):
        way.allow(1 << 20, 1000)
        before = way.counts()
        with pytest.raises(PermissionError, match=r"\(send\)"):
            many(way, [b"x", b"y"])
        assert (len(way.batches), way.counts()) == (1, before)


def test_more_than_was_given_cannot_have_been_sent() -> None:
    way = Way(True, lambda: 3)
    with pytest.raises(ValueError, match="3 messages of 2"):
        many(way, [b"x", b"y"])


@pytest.mark.parametrize("queued", [False, True])
def test_many_are_left_to_python_where_it_has_to_wait_or_complain(queued: bool) -> None:
    way = Way(True)
    assert way.sender.plain is not None
    if queued:
        way.association.senders.queue.append(cast("Any", object()))
    else:
        way.association.state = State.CLOSING
    assert way.sender.plain.send_many([b"x"], 0, 0, 0, 60, True) == 0
    assert way.batches == []


ODD_MANY: list[tuple[Any, ...]] = [
    ((b"x",), 0, 0, 0, 60, True),
    ([b""], 0, 0, 0, 60, True),
    ([b"x"], 1, 0, 0, 60, True),
    ([b"x"], -1, 0, 0, 60, True),
    ([b"x"], 1 << 62, 0, 0, 60, True),
    ([b"x"], 1 << 64, 0, 0, 60, True),
    ([bytes(16 * 1024 + 1)], 0, 0, 0, 60, True),
    ([b"x"], 0, 10, 0, 60, True),
    ([b"x"], 0, -1, 0, 60, True),
    ([b"x"], 0, 0, 1 << 16, 60, True),
    ([b"x"], 0, 0, 0, 1 << 32, True),
    ([b"x"], 0, 0, 0, Ppid.NGAP, True),
    ([b"x"], 0, 0, 0, 60, 1),
    ([], 0, 0, 0, 60, True),
]


@pytest.mark.parametrize("arguments", ODD_MANY)
def test_what_is_out_of_the_ordinary_is_not_sent_with_many(arguments: tuple[Any, ...]) -> None:
    way = Way(True)
    assert way.sender.plain is not None
    assert way.sender.plain.send_many(*arguments) == 0
    assert way.batches == []


def test_an_item_that_is_no_message_raises_and_those_before_it_are_sent() -> None:
    for way in ways():
        with pytest.raises(TypeError, match="not str"):
            many(way, [b"1", b"2", b"3", "4", b"5"])
        assert [each[0] for each in went(way)] + [each[2] for each in way.sent] == [b"1", b"2", b"3"]


def test_nothing_of_many_leaks() -> None:
    answers = itertools.cycle([0, 1, -errno.EAGAIN, -errno.EPIPE])
    way = Way(True, lambda: next(answers))
    way.allow(1 << 40, 1000)
    assert way.sender.plain is not None
    send_many, data, rounds = way.sender.plain.send_many, bytes(1000), 500
    messages = [data] * 7

    def work() -> None:
        for _ in range(4):
            send_many(messages, 2, 3, 1, 60_000, True)
        for arguments in ODD_MANY:
            send_many(*arguments)
        with pytest.raises(TypeError):
            cast("Any", send_many)(messages)
        way.batches.clear()

    for _ in range(20):
        work()
    gc.collect()
    blocks, held = sys.getallocatedblocks(), [sys.getrefcount(each) for each in (data, messages)]
    for _ in range(rounds):
        work()
    gc.collect()
    assert [sys.getrefcount(each) for each in (data, messages)] == held
    assert sys.getallocatedblocks() - blocks < rounds


def test_nothing_leaks() -> None:
    answers = itertools.cycle([0, -errno.EAGAIN, -errno.EPIPE])
    way = Way(True, lambda: next(answers))
    way.allow(1 << 40, 1000)
    assert way.sender.plain is not None
    plain = way.sender.plain.send
    data, rounds = bytes(1000), 1000

    def work() -> None:
        for _ in range(3):
            plain(data, 3, 60_000, True, 70_000)
        for arguments in ODD:
            plain(*arguments)
        with pytest.raises(TypeError):
            plain(*ODD[0][:4])
        way.sent.clear()

    for _ in range(20):
        work()
    gc.collect()
    blocks, held = sys.getallocatedblocks(), [sys.getrefcount(each) for each in (data, way.association)]
    for _ in range(rounds):
        work()
    gc.collect()
    assert [sys.getrefcount(each) for each in (data, way.association)] == held
    # The interpreter's own caches grow by some hundreds; a leak, by one in each round.
    assert sys.getallocatedblocks() - blocks < rounds


def test_an_association_may_be_of_a_subclass_and_become_of_one() -> None:
    """As observers make it (`_loop.observing`)."""
    way = Way(True)
    way.association.__class__ = ObservedAssociation
    way.allow(1 << 19, 1000)
    assert way.sender.send_plain(b"xy", 0, 0, False, 0) is True
    assert way.counts() == (1, 2, (1 << 19) - 117, 2, 1)
    PlainSender(OF_ASSOCIATION, OF_ALLOWANCE, way.association, UP, [], way.raw, {}, 0, 0)


def test_another_class_than_the_layout_is_of_is_refused() -> None:
    way = Way(True)
    way.raw._allowances[7] = cast("Any", object())
    assert way.sender.plain is not None
    with pytest.raises(TypeError, match="not of the class"):
        way.sender.plain.send(b"x", 0, 0, False, 0)
    for first, second, association in (
        (OF_ASSOCIATION, OF_ALLOWANCE, object()),
        (OF_ALLOWANCE, OF_ALLOWANCE, way.association),
        (OF_ASSOCIATION, OF_ASSOCIATION, way.association),
    ):
        with pytest.raises(TypeError):
            PlainSender(first, second, association, UP, [], way.raw, {}, 0, 0)


def test_a_sender_in_a_reference_cycle_is_collected() -> None:
    class Allowances(dict[int, Any]):
        plain: PlainSender

    owner, way = Allowances(), Way(True)
    owner.plain = PlainSender(OF_ASSOCIATION, OF_ALLOWANCE, way.association, UP, [], way.raw, owner, 0, 0)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
