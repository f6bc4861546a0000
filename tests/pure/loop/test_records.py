"""The two decoders, in C and in Python: the same messages, whatever the records have; and the C alone, which
must withstand what Python withstands by itself.
"""

import ctypes
import dataclasses
import errno
import gc
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import Message
from sctpio._abi.contract import MORE, MSG_CTRUNC, MSG_EOR, MSG_NOTIFICATION, NO_INFO, RECORD, UNORDERED
from sctpio._fast import Decoder as CDecoder
from sctpio._fast import Layout, receive_own
from sctpio._loop.records import Decoder, Find, PythonDecoder, Run, notification
from sctpio.address import Address
from sctpio.message import Received
from sctpio.stacks.kernel.allowance import Allowance

LAYOUT = Layout(Message, "message")
DECODERS: dict[str, Callable[[Find], Decoder]] = {"C": partial(CDecoder, LAYOUT), "Python": PythonDecoder}
ARENA = bytes(range(256)) * 4
SOURCE = b"\x02\0\x13\x89\x7f\0\0\1".ljust(16, b"\0")


def find(source: bytes, association_id: int) -> Address:
    """Name a source after its bytes."""
    return Address((), hash((source, association_id)) & 0xFFFF)


def record(
    offset: int = 0,
    length: int = 4,
    msg_flags: int = MSG_EOR,
    association_id: int = 7,
    *,
    flags: int = 0,
    source: bytes = SOURCE,
    source_length: int | None = None,
) -> bytes:
    """Pack a record of a message."""
    told = len(source) if source_length is None else source_length
    numbers = (60, 0xFFFFFFFF, 1000, 5, 3, 9)
    return RECORD.pack(offset, length, msg_flags, association_id, *numbers, flags, told, source)


def all_runs(decoder: Decoder, records: bytes, arena: bytes = ARENA) -> list[Run | tuple[bytes, int, bytes]]:
    """Return the runs of messages in a batch, and the notifications between them."""
    count, done = len(records) // RECORD.size, 0
    found: list[Run | tuple[bytes, int, bytes]] = []
    while done < count:
        run = decoder.messages(records, done, count, arena)
        found.append(run)
        assert run[4] - done == len(run[0])
        done = run[4]
        if done < count:
            found.append(notification(records, done, arena))
            done += 1
    return found


@pytest.fixture(params=DECODERS)
def made(request: pytest.FixtureRequest) -> Callable[[Find], Decoder]:
    return DECODERS[request.param]


def test_a_message_is_what_its_constructor_makes(made: Callable[[Find], Decoder]) -> None:
    records = record(2, 3, flags=UNORDERED)
    messages, size, whole, lacking, after = made(find).messages(records, 0, 1, ARENA)
    expected = Message(
        data=b"\2\3\4",
        stream=3,
        ppid=60,
        ssn=9,
        tsn=0xFFFFFFFF,
        cumulative_tsn=1000,
        unordered=True,
        context=5,
        association_id=7,
        source=find(SOURCE, 7),
        complete=True,
    )
    assert (messages, size, whole, lacking, after) == ([expected], 3, True, 0, 1)
    [message] = messages
    assert type(message) is Message
    assert [type(value) for value in dataclasses.astuple(message)[:9]] == [bytes, *[int] * 5, bool, int, int]
    assert repr(message) == repr(expected)
    assert hash(message) == hash(expected)
    assert pickle.loads(pickle.dumps(message)) == expected
    assert dataclasses.replace(message, stream=4).stream == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.stream = 4  # type: ignore[misc]
    match message:
        case Message(data=data, stream=3):
            assert data == b"\2\3\4"
        case _:
            pytest.fail("it does not match")


RECORDS = st.lists(
    st.builds(
        lambda source, *rest, flags: record(*rest, flags=flags, source=source[0], source_length=source[1]),
        st.sampled_from([(SOURCE, 16), (b"", 0), (bytes(range(28)), 28), (bytes(range(1, 29)), 0xFFFF)]),
        st.integers(0, 512),
        st.integers(0, 512),
        st.sampled_from([MSG_EOR, MSG_EOR, 0, MSG_NOTIFICATION, MSG_NOTIFICATION | MSG_EOR])
        | st.sampled_from([MSG_EOR | NO_INFO, MSG_CTRUNC, -1, 0x7FFFFFFF]),
        st.integers(-(2**31), 2**31 - 1) | st.just(7),
        flags=st.integers(0, 0xFFFF),
    ),
    max_size=20,
)


@given(RECORDS)
def test_both_make_the_same_of_any_batch(records: list[bytes]) -> None:
    found = [all_runs(made(find), b"".join(records)) for made in DECODERS.values()]
    assert found[0] == found[1]


def test_a_source_is_decoded_once_while_it_stays_the_same(made: Callable[[Find], Decoder]) -> None:
    asked: list[tuple[bytes, int]] = []

    def note(source: bytes, association_id: int) -> Address:
        asked.append((source, association_id))
        return Address((), len(asked))

    decoder, other = made(note), SOURCE[:-1] + b"\1"
    for batch in ([record()] * 3, [record()] * 2, [record(), record(source=other), record(association_id=8)]):
        all_runs(decoder, b"".join(batch))
    assert asked == [(SOURCE, 7), (other, 7), (SOURCE, 8)]
    [(messages, *_)] = [decoder.messages(record(association_id=8), 0, 1, ARENA)]
    assert messages[0].source == Address((), 3)


def test_sources_of_the_same_bytes_differ_by_their_length(made: Callable[[Find], Decoder]) -> None:
    none, short, long = (record(source=bytes(28), source_length=length) for length in (0, 16, 28))
    found = made(lambda source, _: Address((), len(source))).messages(none + short + long, 0, 3, ARENA)[0]
    assert [message.source for message in found] == [None, Address((), 16), Address((), 28)]


def test_a_source_that_cannot_be_read_is_raised_and_the_next_batch_is_read(
    made: Callable[[Find], Decoder],
) -> None:
    broken = True

    def refuse(source: bytes, association_id: int) -> Address:
        if broken:
            raise ValueError("no address")
        return find(source, association_id)

    decoder = made(refuse)
    for _ in range(2):
        with pytest.raises(ValueError, match="no address"):
            decoder.messages(record() * 2, 0, 2, ARENA)
    broken = False
    assert len(decoder.messages(record() * 2, 0, 2, ARENA)[0]) == 2


# The C alone.


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1025), (1025, 0), (1024, 1), (1, 1024), (0xFFFFFFFF, 1), (1, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)],
)
def test_no_byte_beyond_the_arena_is_read(offset: int, length: int) -> None:
    decoder = DECODERS["C"](find)
    with pytest.raises(ValueError, match=rf"bytes {offset} to {offset + length} of an arena of 1024"):
        decoder.messages(record() + record(offset, length), 0, 2, ARENA)
    assert decoder.messages(record(0, 1024) + record(1024, 0), 0, 2, ARENA)[1] == 1024


@pytest.mark.parametrize(
    ("first", "count"), [(0, 3), (-1, 2), (3, 2), (2, 1), (0, -1), (2**63 - 1, 2**63 - 1), (0, 2**62)]
)
def test_no_record_beyond_the_memory_is_read(first: int, count: int) -> None:
    decoder = DECODERS["C"](find)
    with pytest.raises(ValueError, match=r"records -?\d+ to -?\d+ of 2"):
        decoder.messages(record() * 2 + b"part of one", first, count, ARENA)
    assert decoder.messages(record() * 2, 2, 2, ARENA) == ([], 0, True, 0, 2)


@pytest.mark.parametrize(
    "arguments",
    [(), (b"", 0, 0), (b"", 0, 0, b"", 0), (b"", "0", 0, b""), ("", 0, 0, b"")],
)
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        DECODERS["C"](find).messages(*arguments)


def test_python_that_runs_meanwhile_may_use_the_memory_and_the_decoder() -> None:
    records, arena = bytearray(record() * 8), bytearray(ARENA)
    depth = 0

    def meddle(source: bytes, association_id: int) -> Address:
        nonlocal depth
        depth += 1
        if depth < 5:
            # Another source first, which asks again, then what would be read far outside.
            records[:] = record(association_id=depth) + record(0xFFFFFFFF, 0xFFFFFFFF) * 7
            with pytest.raises(BufferError):
                arena.clear()
            with pytest.raises(ValueError, match="arena"):
                decoder.messages(records, 0, 8, arena)
        return Address((), depth)

    decoder = CDecoder(LAYOUT, meddle)
    with pytest.raises(ValueError, match="arena"):
        decoder.messages(records, 0, 8, arena)
    assert depth == 5
    records.clear()
    arena.clear()


def test_only_a_class_with_the_slots_of_a_message_is_taken() -> None:
    class Alias:
        __slots__ = tuple(name for name in Message.__match_args__ if name != "ssn")
        ssn: Any

    Alias.ssn = Alias.stream  # type: ignore[attr-defined]

    class Fewer:
        __slots__ = Message.__match_args__[:5]

    class More:
        __slots__ = (*Message.__match_args__, "__dict__")

    for kind in (int, dict, type, Received, Alias, Fewer, More):
        with pytest.raises((TypeError, AttributeError)):
            Layout(kind, "message")
    with pytest.raises(ValueError, match="not of: x"):
        Layout(Message, "x")  # type: ignore[arg-type]
    for wrong in (Message(b"x"), None, Layout(Allowance, "allowance")):
        with pytest.raises(TypeError):
            CDecoder(wrong, find)  # type: ignore[arg-type]


def test_nothing_leaks() -> None:
    def fail(source: bytes, association_id: int) -> Address:
        raise ValueError("no address")

    decoder = CDecoder(LAYOUT, find)

    def work() -> None:
        all_runs(CDecoder(LAYOUT, find), record() * 5 + record(msg_flags=MSG_NOTIFICATION) + record(4, 700))
        all_runs(decoder, b"".join(record(association_id=number) for number in range(5)))
        Layout(Message, "message")
        for wrong in (record() + record(0, 1 << 20), b""):
            with pytest.raises(ValueError, match="of"):
                decoder.messages(wrong, 0, 2, ARENA)
        with pytest.raises(ValueError, match="no address"):
            CDecoder(LAYOUT, fail).messages(record(), 0, 1, ARENA)
        with pytest.raises(TypeError):
            Layout(Received, "message")

    for _ in range(20):
        work()
    gc.collect()
    blocks, held = sys.getallocatedblocks(), sys.getrefcount(Message)
    rounds = 1000
    for _ in range(rounds):
        work()
    gc.collect()
    assert sys.getrefcount(Message) == held
    # The interpreter's own caches grow by some hundreds; a leak, by one in each round.
    assert sys.getallocatedblocks() - blocks < rounds


RECEIVE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_uint32,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_uint32,
    ctypes.POINTER(ctypes.c_int32),
)


def received(answer: bytes, *, told: bytes, count: int = 1, state: int = MORE, size: int = 8) -> Any:
    """Receive a message of its own from a C function that gives this answer."""

    def called(fd: int, arena: Any, length: int, records: Any, capacity: int, ended: Any) -> int:
        assert (fd, length, capacity) == (5, size, 1)
        ctypes.memmove(arena, answer, len(answer))
        ctypes.memmove(records, told, len(told))
        ended[0] = state
        return count

    function, records = RECEIVE(called), bytearray(RECORD.size)
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    found = receive_own(address, 5, size, records)
    return *found, bytes(records)


def test_a_large_message_is_received_into_bytes_that_become_its_data(made: Callable[[Find], Decoder]) -> None:
    told = record(0, 8)
    state, count, data, records = received(b"a message"[:8], told=told)
    assert (state, count, data, records) == (MORE, 1, b"a messag", told)
    [message] = made(find).messages(records, 0, 1, data)[0]
    assert message.data is data
    [part] = made(find).messages(record(1, 7), 0, 1, data)[0]
    assert part.data == data[1:]


def test_what_comes_shorter_than_was_told_or_not_at_all_has_its_own_length() -> None:
    assert received(b"short", told=record(0, 5))[:3] == (MORE, 1, b"short")
    assert received(b"", told=b"", count=0, state=-errno.ECONNRESET)[:3] == (-errno.ECONNRESET, 0, b"")
    assert received(b"", told=b"", count=-errno.EBADF)[:3] == (MORE, -errno.EBADF, b"")


@pytest.mark.parametrize(("offset", "length"), [(0, 9), (1, 8), (1, 4), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_no_byte_beyond_the_message_is_believed(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match=rf"bytes {offset} to {offset + length} of 8"):
        received(b"", told=record(offset, length))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), TypeError),
        ((0, 0, 1, bytearray(68), 0), TypeError),
        (("0", 0, 1, bytearray(68)), TypeError),
        ((1, "0", 1, bytearray(68)), TypeError),
        ((1, 0, "1", bytearray(68)), TypeError),
        ((1, 0, 0, bytearray(68)), ValueError),
        ((1, 0, 1 << 31, bytearray(68)), ValueError),
        ((1, 0, 8, bytearray(67)), ValueError),
        ((1, 0, 8, bytes(68)), BufferError),
    ],
)
def test_wrong_arguments_for_a_large_message_are_refused(
    arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        receive_own(*arguments)


def test_nothing_of_large_messages_leaks() -> None:
    def work() -> None:
        for answer, told, count in ((b"8 bytes.", record(0, 8), 1), (b"5", record(0, 5), 1), (b"", b"", 0)):
            _, got, data, records = received(answer, told=told, count=count)
            CDecoder(LAYOUT, find).messages(records, 0, got, data)
        with pytest.raises(ValueError, match="bytes 0 to 9"):
            received(b"", told=record(0, 9))

    for _ in range(20):
        work()
    gc.collect()
    blocks, rounds = sys.getallocatedblocks(), 500
    for _ in range(rounds):
        work()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < rounds


def test_a_decoder_in_a_reference_cycle_is_collected() -> None:
    class Finder:
        def find(self, source: bytes, association_id: int) -> Address:
            return find(source, association_id)

    finder: Any = Finder()
    finder.decoder = CDecoder(LAYOUT, finder.find)
    gone = weakref.ref(finder)
    del finder
    gc.collect()
    assert gone() is None


# The switch.

SHOW = "from sctpio._loop.records import decoder as d; print(d(lambda s, a: None).__class__.__module__)"


def started(value: str) -> subprocess.CompletedProcess[str]:
    surroundings = os.environ | {"SCTPIO_FAST": value}
    return subprocess.run(
        [sys.executable, "-c", SHOW], env=surroundings, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("value", "module"), [("", "_fast"), ("1", "_fast"), ("0", "_loop.records")])
def test_the_environment_chooses(value: str, module: str) -> None:
    assert started(value).stdout == f"sctpio.{module}\n"


def test_a_choice_that_is_none_is_an_error() -> None:
    done = started("yes")
    assert done.returncode
    assert "SCTPIO_FAST is 'yes'; it takes 0 (off), 1 (on), or nothing" in done.stderr
