"""An ordinary message goes the same way in C (csrc/fast) and in Python, and is counted the same."""

import ctypes
import errno
import gc
import itertools
import sys
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio._fast import Layout, PlainSender
from sctpio._loop.association import UP, Association, State
from sctpio._loop.event_stream import EventHub
from sctpio._loop.loop_socket import LoopSocket
from sctpio._loop.observing import ObservedAssociation
from sctpio._loop.plain import PlainSend
from sctpio._loop.sending import Sender
from sctpio._loop.unread import Unread
from sctpio.ppid import Ppid
from sctpio.stacks.base import SendOne
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


class Socket:
    """Carries the association of a `Way`."""

    def __init__(self, raw: KernelSocket, plain: PlainSend | None) -> None:
        self.raw = raw
        self._plain = plain

    def sender(self, association: Association) -> SendOne:
        return self.raw.send

    def plain(self, association: Association) -> PlainSend | None:
        return self._plain


class Way:
    """A sender of an association that is up, over a kernel's socket whose C is `answer`."""

    def __init__(self, compiled: bool, answer: Callable[[], int] = lambda: 0) -> None:
        loop = cast("Any", Loop())
        self.sent: list[tuple[Any, ...]] = []
        self.raw = KernelSocket(-1, v6=False)
        self.association = Association(
            loop, unread=Unread(loop, 1000), max_message_size=1000, hub=EventHub(loop)
        )
        self.association.id, self.association.outbound_streams, self.association.state = 7, 10, UP

        def called(fd: int, number: int, data: Any, size: int, *rest: int) -> int:
            self.sent.append((fd, number, bytes(data[:size]), size, *rest))
            return answer()

        self._called = FUNCTION(called)  # as long as C has its address
        self.raw._send_plain = cast("Any", called)
        plain = PlainSender(
            OF_ASSOCIATION,
            OF_ALLOWANCE,
            self.association,
            UP,
            self.association.senders.queue,
            self.raw,
            self.raw._allowances,
            cast("int", ctypes.cast(self._called, ctypes.c_void_p).value),
        )
        socket = cast("LoopSocket", Socket(self.raw, plain.send if compiled else None))
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
    assert way.sender.plain(b"x", 0, 0, False, 0) is None
    assert way.sent == []


@pytest.mark.parametrize("attribute", ["left", "bytes", "chunks", "fragment"])
def test_a_count_that_is_none_is_an_error_before_anything_is_sent(attribute: str) -> None:
    way = Way(True)
    way.allow(1 << 19, 1000)
    setattr(way.raw._allowances[7], attribute, "x")
    assert way.sender.plain is not None
    with pytest.raises(TypeError):
        way.sender.plain(b"x", 0, 0, False, 0)
    assert way.sent == []
    assert way.counts()[:2] == (0, 0)


def test_nothing_leaks() -> None:
    answers = itertools.cycle([0, -errno.EAGAIN, -errno.EPIPE])
    way = Way(True, lambda: next(answers))
    way.allow(1 << 40, 1000)
    plain = way.sender.plain
    assert plain is not None
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
    PlainSender(OF_ASSOCIATION, OF_ALLOWANCE, way.association, UP, [], way.raw, {}, 0)


def test_another_class_than_the_layout_is_of_is_refused() -> None:
    way = Way(True)
    way.raw._allowances[7] = cast("Any", object())
    assert way.sender.plain is not None
    with pytest.raises(TypeError, match="not of the class"):
        way.sender.plain(b"x", 0, 0, False, 0)
    for first, second, association in (
        (OF_ASSOCIATION, OF_ALLOWANCE, object()),
        (OF_ALLOWANCE, OF_ALLOWANCE, way.association),
        (OF_ASSOCIATION, OF_ASSOCIATION, way.association),
    ):
        with pytest.raises(TypeError):
            PlainSender(first, second, association, UP, [], way.raw, {}, 0)


def test_a_sender_in_a_reference_cycle_is_collected() -> None:
    class Allowances(dict[int, Any]):
        plain: PlainSender

    owner, way = Allowances(), Way(True)
    owner.plain = PlainSender(OF_ASSOCIATION, OF_ALLOWANCE, way.association, UP, [], way.raw, owner, 0)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
