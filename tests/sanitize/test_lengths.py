"""What a caller says about lengths: wrong ones are refused, right ones are read to the last byte only."""

import errno
import random
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from sanitize.harness import Library, Room, ffi

MOST = (1 << 32) - 1
BATCH = 64
NOWHERE = -1


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    """Give two ends that keep messages apart, on any kernel: control messages of SCTP are nothing to them."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        yield near.fileno(), far.fileno()


def target(address_length: int = 0, *, legacy: int = 0, key: int = -1, bundle: int = 0) -> Room:
    made = ffi.new("sctpio_target *", (5, key, address_length, legacy, b"", bundle))
    return Room(bytes(ffi.buffer(made)))


def outgoing(lengths: list[int], policy: int = 0) -> Room:
    made = ffi.new("sctpio_outgoing[]", [(length, 1, 2, 3, 4, 0, policy) for length in lengths])
    return Room(bytes(ffi.buffer(made)))


def batch(
    library: Library, fd: int, to: Room, lengths: list[int], data: Room, count: int | None = None
) -> int:
    messages = outgoing(lengths)
    result: int = library.c.sctpio_send_batch(
        fd,
        ffi.cast("sctpio_target *", to.at),
        ffi.cast("sctpio_outgoing *", messages.at),
        len(lengths) if count is None else count,
        data.at,
        data.size,
    )
    return result


@pytest.mark.parametrize("length", [29, 30, 128, 1 << 31, MOST])
def test_an_address_too_long_for_its_room(library: Library, length: int) -> None:
    to, data, one = target(length), Room(b"x"), outgoing([1])
    send = library.c.sctpio_send
    casts = ffi.cast("sctpio_target *", to.at), ffi.cast("sctpio_outgoing *", one.at)
    assert send(NOWHERE, *casts, data.at) == -errno.EINVAL
    assert batch(library, NOWHERE, to, [1], data) == -errno.EINVAL


@pytest.mark.parametrize(
    "lengths", [[21], [20, 1], [10, 11], [MOST], [10, MOST], [10, MOST - 9], [MOST, MOST, 22]]
)
def test_a_batch_of_more_than_its_data(library: Library, lengths: list[int]) -> None:
    assert batch(library, NOWHERE, target(), lengths, Room(b"x" * 20)) == -errno.EINVAL


def test_batches_of_nothing(library: Library) -> None:
    assert batch(library, NOWHERE, target(), [1], Room(b"x"), count=0) == -errno.EINVAL
    assert batch(library, NOWHERE, target(), [1], Room(b"")) == -errno.EINVAL
    assert batch(library, NOWHERE, target(), [0, 0], Room(b"")) == -errno.EBADF


def test_random_batches_of_wrong_lengths(library: Library) -> None:
    source = random.Random(132)
    for _ in range(2000):
        data = Room(source.randbytes(source.randrange(100)))
        lengths = [source.choice([0, 1, 50, 99, MOST, 1 << 31]) for _ in range(source.randrange(1, 5))]
        fits = sum(lengths) <= data.size
        expected = -errno.EBADF if fits else -errno.EINVAL
        assert batch(library, NOWHERE, target(28), lengths, data) == expected


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 200])
@pytest.mark.parametrize("legacy", [0, 1])
def test_a_batch_is_read_to_its_last_byte(kernel: Library, count: int, legacy: int) -> None:
    """The double reads names, control messages and data as far as the C says that they go."""
    kernel.script({"result": min(count, BATCH)})
    to = target(28, legacy=legacy, key=3)
    lengths = [index % 7 for index in range(count)]
    assert batch(kernel, NOWHERE, to, lengths, Room(b"x" * sum(lengths))) == min(count, BATCH)
    assert kernel.unused == 0


ENOUGH, FULL = (struct.pack("9I", 0, 0, 0, space, 0, 0, 0, 0, 0) for space in (1 << 30, 0))
SPACE = {"result": 0, "bytes": ENOUGH, "length": len(ENOUGH)}
AGAIN, DONE = {"result": -errno.EAGAIN}, {"result": 0}


@pytest.mark.parametrize(
    ("answers", "taken"),
    [
        ([SPACE, {"result": BATCH - 1}, {"result": 1}], BATCH),
        # Short: the next one takes along what is held, or else heartbeats do.
        ([SPACE, {"result": 3}, {"result": 1}], 4),
        ([SPACE, {"result": 3}, AGAIN, DONE, DONE], 3),
        ([SPACE, {"result": BATCH - 1}, AGAIN, {"result": -errno.EINVAL}, DONE], BATCH - 1),
        ([SPACE, AGAIN], -errno.EAGAIN),
        # More than was offered, as no kernel should say.
        ([SPACE, {"result": 200}], 200),
        # No space for two, or none that is told: each for itself.
        ([SPACE | {"bytes": FULL}, {"result": 1}], 1),
        ([SPACE | {"bytes": ENOUGH[:12]}, {"result": 1}], 1),
        ([{"result": -errno.ENOPROTOOPT}, {"result": BATCH}], BATCH),
    ],
)
def test_a_bundled_batch(kernel: Library, answers: list[dict[str, Any]], taken: int) -> None:
    kernel.script(*answers)
    to, lengths = target(28, key=3, bundle=1), [index % 7 for index in range(BATCH)]
    assert batch(kernel, NOWHERE, to, lengths, Room(b"x" * sum(lengths))) == taken
    assert kernel.unused == 0


@pytest.mark.parametrize("legacy", [0, 1])
@pytest.mark.parametrize("key", [-1, 0, 65_535, (1 << 31) - 1])
@pytest.mark.parametrize("policy", [0, 0x10, MOST])
def test_a_message_is_read_to_its_last_byte(kernel: Library, legacy: int, key: int, policy: int) -> None:
    for size in (0, 1, 1000):
        kernel.script({"result": -errno.EINTR}, {"result": size})
        to, one, data = target(28, legacy=legacy, key=key), outgoing([size], policy), Room(b"x" * size)
        casts = ffi.cast("sctpio_target *", to.at), ffi.cast("sctpio_outgoing *", one.at)
        assert kernel.c.sctpio_send(NOWHERE, *casts, data.at) == 0
        assert kernel.unused == 0


@pytest.mark.parametrize(("size", "capacity"), [(0, 0), (0, 1), (1, 0)])
def test_no_arena_or_no_records(library: Library, pair: tuple[int, int], size: int, capacity: int) -> None:
    assert library.receive(pair[0], size, capacity)[0] == -errno.EINVAL


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 100])
def test_arenas_as_small_as_they_can_be(library: Library, pair: tuple[int, int], size: int) -> None:
    """One message a call, of which the real kernel gives as much as there is room for."""
    near, far = pair
    payload = bytes(range(64))
    assert batch(library, far, target(), [64, 64], Room(payload * 2)) == 2
    for _ in range(2):
        count, state, [record], arena = library.receive(near, size, 5)
        assert (count, state, record.offset, record.length) == (1, 0, 0, min(size, 64))
        assert bytes(arena)[: record.length] == payload[:size]
    assert library.receive(near, size, 5)[:2] == (0, -errno.EAGAIN)


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_as_many_records_as_there_is_room_for(library: Library, pair: tuple[int, int], capacity: int) -> None:
    near, far = pair
    lengths = [5, 8, 1, 30]
    assert batch(library, far, target(), lengths, Room(bytes(sum(lengths)))) == 4
    found: list[int] = []
    while len(found) < 4:
        count, _, records, _ = library.receive(near, 1 << 17, capacity)
        assert 0 < count <= capacity
        found += [record.length for record in records]
    assert found == lengths


def test_foreign_control_messages_of_the_real_kernel(library: Library, pair: tuple[int, int]) -> None:
    """Credentials come with each message: a level that is not SCTP's."""
    near, far = pair
    one = ffi.new("int32_t *", 1)
    passcred = 16
    cast = ffi.cast("uint8_t *", one)
    assert library.c.sctpio_setsockopt(near, socket.SOL_SOCKET, passcred, cast, 4) == 0
    assert batch(library, far, target(), [3], Room(b"abc")) == 1
    _, _, [record], _ = library.receive(near, 100, 1)
    assert (record.length, record.msg_flags & 0x40000000) == (3, 0x40000000)


@pytest.mark.parametrize("length", [1 << 31, MOST])
def test_more_addresses_than_a_kernel_can_count(library: Library, length: int) -> None:
    assert library.c.sctpio_connectx(NOWHERE, Room(16).at, length, ffi.new("int32_t *")) == -errno.EINVAL


def test_every_call_with_lengths_of_nothing(library: Library, pair: tuple[int, int]) -> None:
    """On a descriptor that is no SCTP socket, with rooms that have no byte: an error, and no access."""
    c, near, none = library.c, pair[0], Room(0).at
    length, identifier = ffi.new("uint32_t *"), ffi.new("int32_t *")
    for fd in (near, NOWHERE):
        assert c.sctpio_bindx(fd, none, 0, 0) < 0
        assert c.sctpio_bindx(fd, none, 0, 1) < 0
        assert c.sctpio_connectx(fd, none, 0, identifier) < 0
        assert c.sctpio_addresses(fd, 0, 0, none, length) == -errno.ENOMEM
        assert c.sctpio_accept(fd, none, length) < 0
        assert c.sctpio_getsockopt(fd, 132, 1, none, length) < 0
        assert c.sctpio_setsockopt(fd, 132, 1, none, 0) < 0
        assert c.sctpio_peeloff(fd, 1) < 0
    assert c.sctpio_send_plain(NOWHERE, 0, none, 0, 0, 0, 0, 0) == -errno.EBADF
    assert c.sctpio_name(NOWHERE, none, length) == -errno.EBADF
    # The kernel cuts a name off and says how long it would have been.
    assert c.sctpio_name(near, none, length) == -errno.EPROTO
    assert c.sctpio_getsockopt(near, socket.SOL_SOCKET, socket.SO_TYPE, none, length) == 0
    assert length[0] == 0
