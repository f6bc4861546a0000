"""What the kernel says about lengths is checked: its calls are made to answer as no kernel should."""

import errno
import fcntl
import os
import random
import socket
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from sanitize.harness import Library, Room, ffi, words
from sanitize.test_control import NO_INFO, SCTP, rcvinfo

EOR = socket.MSG_EOR
NOTIFICATION = 0x8000
EOF = 1

V4 = struct.pack("=H14x", socket.AF_INET)
V6 = struct.pack("=H26x", socket.AF_INET6)

NEVER = -1  # a descriptor for calls that are all answered


def message(data: bytes, **claims: Any) -> dict[str, Any]:
    """Answer recvmsg well, but for the claims."""
    control = rcvinfo(7)
    whole = {"result": len(data), "bytes": data, "control": control, "length": len(control)}
    return whole | {"name_length": 16, "msg_flags": EOR} | claims


def check(count: int, state: int, records: Sequence[Any], size: int, capacity: int) -> None:
    """What a batch always keeps: records in order, inside the arena, and a state that is one."""
    assert 0 <= count <= capacity
    assert state <= EOF
    end = 0
    for record in records:
        assert record.offset >= end
        end = record.offset + record.length
        assert end <= size
        assert record.source_length <= 28


def test_a_good_batch_is_taken_whole(kernel: Library) -> None:
    kernel.script(message(b"first"), message(b"second!", msg_flags=0), message(b"", result=0, msg_flags=0))
    count, state, records, arena = kernel.receive(NEVER, 1 << 17, 4)
    check(count, state, records, 1 << 17, 4)
    assert (count, state) == (2, EOF)
    data = [bytes(arena)[r.offset : r.offset + r.length] for r in records]
    assert data == [b"first", b"second!"]
    assert [record.stream for record in records] == [7, 7]


@pytest.mark.parametrize("claimed", [513, 4096, 1 << 31, (1 << 63) - 1, (1 << 64) - 1])
def test_more_control_than_there_was_room_for(kernel: Library, claimed: int) -> None:
    filler = struct.pack("@Nii", 512, 1, 1)
    for control in (rcvinfo(3), filler, filler[:8]):
        kernel.script(message(b"x", control=control, length=claimed))
        assert kernel.receive(NEVER, 100, 1)[:2] == (0, -errno.EPROTO)


def test_control_messages_that_fill_their_room(kernel: Library) -> None:
    """The walk must stop at the room, also where the last message ends with it or says that it goes on."""
    filler = struct.pack("@Nii", 512 - len(rcvinfo(3)), 1, 1).ljust(512 - len(rcvinfo(3)), b"\0")
    for control, flags in ((filler + rcvinfo(3), 0), (rcvinfo(3) + filler, 0), (filler * 2, NO_INFO)):
        kernel.script(message(b"x", control=control, length=512))
        count, state, [record], _ = kernel.receive(NEVER, 100, 1)
        assert (count, state, record.msg_flags & NO_INFO) == (1, 0, flags)


@pytest.mark.parametrize("claimed", [101, 4096, (1 << 31) - 1, (1 << 32) - 1, 1 << 32, 1 << 40])
def test_more_data_than_there_was_room_for(kernel: Library, claimed: int) -> None:
    kernel.script(message(b"x" * 100, result=claimed), message(b"next"))
    count, state, records, _ = kernel.receive(NEVER, 100, 4)
    check(count, state, records, 100, 4)
    assert (count, state) == (0, -errno.EPROTO)


def test_more_data_than_room_after_a_good_message(kernel: Library) -> None:
    size = 1 << 17
    kernel.script(message(b"good"), message(b"bad", result=size))
    count, state, records, _ = kernel.receive(NEVER, size, 4)
    check(count, state, records, size, 4)
    assert (count, state) == (1, -errno.EPROTO)


def test_an_arena_of_all_that_32_bits_count_does_not_wrap(kernel: Library) -> None:
    size = (1 << 32) - 1
    kernel.script(message(b"", result=size - 3, no_room=1), message(b"", result=2, no_room=1))
    state, records = ffi.new("int32_t *"), ffi.new("sctpio_record[4]")
    count = kernel.c.sctpio_receive(NEVER, Room(1).at, size, records, 4, state)
    check(count, state[0], records[0:count], size, 4)
    assert count == 1


@pytest.mark.parametrize("claimed", [0, 16, 28, 29, 128, (1 << 31), (1 << 32) - 1])
def test_names_longer_than_a_source(kernel: Library, claimed: int) -> None:
    kernel.script(message(b"x", name_length=claimed))
    _, _, [record], _ = kernel.receive(NEVER, 100, 1)
    assert record.source_length == min(claimed, 28)


def test_interruptions_are_retried_and_errors_end_a_batch(kernel: Library) -> None:
    interrupted = {"result": -errno.EINTR}
    kernel.script(*[interrupted] * 50, message(b"x"), interrupted, {"result": -errno.ECONNRESET})
    count, state, records, _ = kernel.receive(NEVER, 1 << 17, 4)
    assert (count, state, kernel.unused) == (1, -errno.ECONNRESET, 0)
    assert records[0].length == 1


def test_random_answers_to_random_rooms(kernel: Library) -> None:
    source = random.Random(SCTP)
    odd = [0, 1, 7, 8, 9, 27, 28, 29, 512, 513, 70_000, (1 << 31) - 1, (1 << 32) - 1]

    def answer() -> dict[str, Any]:
        data = source.randbytes(source.choice([0, 1, 5, 8, 200]))
        control = rcvinfo(1) if source.randrange(2) else source.randbytes(source.randrange(520))
        return {
            "result": source.choice([len(data), *odd, -errno.EINTR, -errno.EAGAIN, -errno.ENOTCONN]),
            "bytes": data,
            "control": control,
            "length": source.choice([len(control), *odd, (1 << 64) - 1]),
            "name_length": source.choice(odd),
            "msg_flags": source.choice([0, EOR, NOTIFICATION, EOR | NOTIFICATION, -1, 1 << 30]),
        }

    for _ in range(3000):
        # The last one ends it: what is not scripted goes to the real kernel, with a bad descriptor.
        kernel.script(*[answer() for _ in range(source.randrange(8))])
        size, capacity = source.choice([1, 2, 7, 8, 9, 100, 66_000, 1 << 17]), source.choice([1, 2, 5])
        count, state, records, _ = kernel.receive(NEVER, size, capacity)
        check(count, state, records, size, capacity)


def addresses(kernel: Library, capacity: int, count: int, entries: bytes) -> tuple[int, bytes]:
    """Ask for addresses with an answer of these entries: the result and what was left in the room."""
    given = words([5, count]) + entries
    kernel.script({"result": 0, "bytes": given, "length": len(given)})
    room, length = Room(capacity), ffi.new("uint32_t *", capacity)
    result = kernel.c.sctpio_addresses(NEVER, 5, 1, room.at, length)
    kernel.script()
    if result >= 0:
        assert length[0] <= max(capacity - 8, 0)
    return result, bytes(room)[: length[0]]


def test_addresses_are_packed_by_family(kernel: Library) -> None:
    assert addresses(kernel, 200, 3, V4 + V6 + V4) == (3, V4 + V6 + V4)
    assert addresses(kernel, 8, 0, b"") == (0, b"")
    assert addresses(kernel, 8 + 28, 1, V6) == (1, V6)


@pytest.mark.parametrize(
    ("count", "entries"),
    [
        (1, b""),
        (1, V4[:1]),
        (1, V4[:15]),
        (1, V6[:27]),
        (2, V4 + V6[:27]),
        (1, struct.pack("=H26x", 0)),
        (1, struct.pack("=H26x", socket.AF_UNIX)),
        (2, V4 + b"\xff" * 28),
        (3, V4 + V4),
        (1 << 31, V6),
        ((1 << 32) - 1, V4 * 4),
    ],
)
def test_addresses_that_are_not_there(kernel: Library, count: int, entries: bytes) -> None:
    """Entries end exactly where the room does, so that nothing else can stop the walk."""
    assert addresses(kernel, 8 + len(entries), count, entries)[0] == -errno.EPROTO


@pytest.mark.parametrize("capacity", range(8))
def test_no_room_for_the_head_of_addresses(kernel: Library, capacity: int) -> None:
    assert addresses(kernel, capacity, 1, V4)[0] == -errno.ENOMEM


def test_every_capacity_for_addresses(kernel: Library) -> None:
    entries = V4 + V6 + V4
    for capacity in range(8, 80):
        result, found = addresses(kernel, capacity, 3, entries)
        if capacity < 8 + len(entries):
            assert result == -errno.EPROTO
        else:
            assert (result, found) == (3, entries)


def test_random_address_lists(kernel: Library) -> None:
    source = random.Random(SCTP)
    for _ in range(3000):
        parts = [V4, V6, V6[:2], source.randbytes(16)]
        entries = b"".join(source.choice(parts) for _ in range(source.randrange(6)))
        count = source.choice([0, 1, 2, 3, 1 << 20, (1 << 32) - 1])
        result, found = addresses(kernel, source.randrange(120), count, entries)
        if result >= 0:
            assert result == count
            assert len(found) in {16 * v4 + 28 * (result - v4) for v4 in range(result + 1)}


@pytest.mark.parametrize("claimed", [5, 1000, 1 << 31, (1 << 32) - 1])
def test_an_option_longer_than_its_room(kernel: Library, claimed: int) -> None:
    kernel.script({"result": 0, "bytes": b"abcdefgh", "length": claimed})
    room, length = Room(4), ffi.new("uint32_t *", 4)
    assert kernel.c.sctpio_getsockopt(NEVER, SCTP, 1, room.at, length) == -errno.EPROTO


def test_an_option_shorter_than_its_room(kernel: Library) -> None:
    kernel.script({"result": 0, "bytes": b"ab", "length": 2})
    room, length = Room(b"...."), ffi.new("uint32_t *", 4)
    assert kernel.c.sctpio_getsockopt(NEVER, SCTP, 1, room.at, length) == 0
    assert (bytes(room), length[0]) == (b"ab..", 2)


@pytest.mark.parametrize("room", [0, 1, 2, 15, 16, 28, 29, 200])
@pytest.mark.parametrize("claimed", [0, 2, 16, 28, 29, 110, (1 << 32) - 1])
def test_names_longer_than_their_room(kernel: Library, room: int, claimed: int) -> None:
    answer = {"result": 33, "bytes": V6, "name_length": claimed}
    out, length = Room(room), ffi.new("uint32_t *", room)
    kernel.script(answer)
    assert kernel.c.sctpio_accept(NEVER, out.at, length) == 33
    assert length[0] == min(room, claimed, 28)

    length[0] = room
    kernel.script(answer | {"result": 0})
    result = kernel.c.sctpio_name(NEVER, out.at, length)
    assert (result, length[0]) == ((0, claimed) if claimed <= room else (-errno.EPROTO, room))


def test_an_old_kernel_peels_off_in_two_steps(kernel: Library) -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        os.set_inheritable(descriptor, True)
        refused = {"result": -errno.ENOPROTOOPT, "length": 12}
        kernel.script(refused, {"result": 0, "bytes": words([5, descriptor]), "length": 8})
        assert kernel.c.sctpio_peeloff(descriptor, 5) == descriptor
        assert not os.get_inheritable(descriptor)
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK
        kernel.script(refused, {"result": 0, "bytes": words([5, 999_999]), "length": 8})
        assert kernel.c.sctpio_peeloff(descriptor, 5) == -errno.EBADF
        kernel.script(refused, {"result": -errno.EINVAL})
        assert kernel.c.sctpio_peeloff(descriptor, 5) == -errno.EINVAL
    finally:
        os.close(descriptor)


def test_an_empty_answer_to_peeling_off_is_no_descriptor(kernel: Library) -> None:
    kernel.script({"result": 0, "length": 0})
    assert kernel.c.sctpio_peeloff(NEVER, 5) < 0


@pytest.mark.parametrize("claimed", [0, 4, 100, (1 << 32) - 1])
def test_the_id_of_a_connection_is_what_was_written(kernel: Library, claimed: int) -> None:
    room, identifier = Room(V4 * 2), ffi.new("int32_t *")
    kernel.script({"result": -errno.EINPROGRESS, "bytes": words([77]), "length": claimed})
    assert kernel.c.sctpio_connectx(NEVER, room.at, room.size, identifier) == -errno.EINPROGRESS
    assert identifier[0] == 77


def test_a_message_without_information_is_marked(kernel: Library) -> None:
    kernel.script(message(b"x", length=0), message(b"event", msg_flags=EOR | NOTIFICATION, length=0))
    _, _, records, _ = kernel.receive(NEVER, 1 << 17, 2)
    assert [record.msg_flags & NO_INFO for record in records] == [NO_INFO, 0]
