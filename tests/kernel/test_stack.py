"""csrc/kernel/kernel.c on the real kernel: what the public API does not reach, or not always."""

import errno
import os
import select
import socket
from collections.abc import Iterator

import pytest

from sctpio import Address, DefaultPrInfo, SendBuffer, Status
from sctpio._abi.contract import (
    EOF,
    MORE,
    MSG_EOR,
    NO_INFO,
    PR_PRIO,
    PR_RTX,
    PR_TTL,
    RECORDS,
    UNORDERED,
)
from sctpio.stacks import native as _native
from sctpio.stacks._kernel import ffi, lib
from sctpio.stacks.base import LARGE, Head, SendExtras
from sctpio.stacks.kernel import socket as kernel
from sctpio.stacks.kernel.socket import KernelSocket
from support import records_of

LOOPBACK = Address("127.0.0.1", 0)
SCTP_RECVRCVINFO = 32


def received(sock: KernelSocket, count: int = 1) -> list[tuple[bytes, tuple[int, ...]]]:
    """Read so many messages or more: data, and (msg_flags, stream, flags, ppid, context)."""
    messages: list[tuple[bytes, tuple[int, ...]]] = []
    waiting = select.poll()
    waiting.register(sock.fileno(), select.POLLIN)
    # A busy kernel delivers on loopback a little later than it sends.
    while len(messages) < count and waiting.poll(10_000):
        batch = sock.receive(1 << 20)
        arena = batch[3]
        for record in records_of(batch):
            data = arena[record[0] : record[0] + record[1]]
            if not record[2] & 0x8000:
                messages.append((data, (record[2], record[8], record[10], record[4], record[7])))
    return messages


@pytest.fixture
def ends() -> Iterator[tuple[KernelSocket, KernelSocket]]:
    """Give two ends of one association, both without a loop."""
    listener = kernel.STACK.open(LOOPBACK)
    # DATA is to be authenticated, so that the key number of a message counts (SCTP_AUTH_CHUNK).
    assert lib.sctpio_setsockopt(listener.fileno(), _native.SOL_SCTP, 21, b"\0", 1) == 0
    listener.bind(LOOPBACK)
    listener.listen(5)
    client = kernel.STACK.open(LOOPBACK)
    client.connect(listener.local_addresses(0))
    accepted = None
    while accepted is None:
        accepted = listener.accept()
    server, _ = accepted
    assert isinstance(server, KernelSocket)
    yield client, server
    for sock in (client, server, listener):
        sock.abort(0, b"")
        sock.close()


def test_the_old_control_message_carries_the_same(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, server = ends
    client._legacy = True
    for policy, value in ((PR_TTL, 5000), (PR_RTX, 3), (PR_PRIO, 7), (0, 0)):
        extras = SendExtras(pr_policy=policy, pr_value=value)
        assert client.send(0, b"old %d" % policy, 3, UNORDERED, 60, 5, extras)
    found = received(server, 4)
    assert [data for data, _ in found] == [b"old 16", b"old 32", b"old 48", b"old 0"]
    for _, (msg_flags, stream, flags, ppid, _) in found:
        assert (msg_flags & MSG_EOR, stream, flags & UNORDERED, ppid) == (MSG_EOR, 3, UNORDERED, 60)


def test_a_kernel_without_prinfo_is_noticed_once(
    ends: tuple[KernelSocket, KernelSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = ends
    legacy: list[int] = []

    class OldKernel:
        """As before Linux 4.17: SCTP_PRINFO is EINVAL."""

        def __getattr__(self, name: str) -> object:
            return getattr(lib, name)

        def sctpio_send(self, fd: int, target: object, message: object, data: bytes) -> int:
            legacy.append(target.legacy)  # type: ignore[attr-defined]
            if not target.legacy and message.pr_policy:  # type: ignore[attr-defined]
                return -errno.EINVAL
            return lib.sctpio_send(fd, target, message, data)  # type: ignore[arg-type]

    monkeypatch.setattr(KernelSocket, "_lib", OldKernel())
    extras = SendExtras(pr_policy=PR_TTL, pr_value=5000)
    assert client.send(0, b"1", 0, 0, 0, 0, extras)
    assert client.send(0, b"2", 0, 0, 0, 0, extras)
    assert legacy == [0, 1, 1]
    assert [data for data, _ in received(server, 2)] == [b"1", b"2"]


def test_a_kernel_without_prinfo_is_noticed_by_a_batch(
    ends: tuple[KernelSocket, KernelSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = ends
    legacy: list[int] = []

    class OldKernel:
        """As before Linux 4.17: SCTP_PRINFO is EINVAL."""

        def __getattr__(self, name: str) -> object:
            return getattr(lib, name)

        def sctpio_send_batch(self, fd: int, target: object, *arguments: object) -> int:
            legacy.append(target.legacy)  # type: ignore[attr-defined]
            if not target.legacy:  # type: ignore[attr-defined]
                return -errno.EINVAL
            return lib.sctpio_send_batch(fd, target, *arguments)  # type: ignore[arg-type]

    client.set_option(DefaultPrInfo(lifetime=5.0), 0)
    monkeypatch.setattr(KernelSocket, "_lib", OldKernel())
    head = Head(0, 0, 0, 0)
    for _ in range(2):
        assert client.send_batch(0, [(b"1", head), (b"2", head)], True) == 2
    assert legacy == [0, 1, 1]
    assert [data for data, _ in received(server, 4)] == [b"1", b"2"] * 2


def test_a_bad_stream_is_not_taken_for_an_old_kernel(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, _ = ends
    with pytest.raises(OSError, match="send") as caught:
        client.send(0, b"x", 60_000, 0, 0, 0, SendExtras(pr_policy=PR_TTL, pr_value=1))
    assert caught.value.errno == errno.EINVAL
    assert not client._legacy


def test_an_auth_key_that_does_not_exist_is_refused(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, server = ends
    with pytest.raises(OSError, match="send") as caught:
        client.send(0, b"x", 0, 0, 0, 0, SendExtras(auth_key=77))
    assert caught.value.errno == errno.EINVAL
    assert client.send(0, b"the null key", 0, 0, 0, 0, SendExtras(auth_key=0))
    assert [data for data, _ in received(server)] == [b"the null key"]


def test_a_batch_tells_how_many_it_took(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, server = ends
    messages = [(bytes([i]) * 30_000, Head(i % 10, 0, i, 0)) for i in range(60)]
    taken = client.send_batch(0, messages, True)
    assert 0 < taken < 60
    assert client.send_batch(0, messages[taken:], True) == 0
    first = received(server, taken)
    assert first[0][0] == bytes(30_000)
    with pytest.raises(OSError, match="send") as caught:
        client.send_batch(0, [(b"x", Head(60_000, 0, 0, 0))], True)
    assert caught.value.errno in (errno.EINVAL, errno.EAGAIN)


def test_a_batch_that_lies_about_its_lengths_is_refused() -> None:
    items = ffi.new("sctpio_outgoing[]", [(10, 0, 0, 0, 0, 0, 0), (2**32 - 1, 0, 0, 0, 0, 0, 0)])
    target = ffi.new("sctpio_target *", (0, -1))
    assert lib.sctpio_send_batch(-1, target, items, 2, b"x" * 20, 20) == -errno.EINVAL
    assert lib.sctpio_send_batch(-1, target, items, 0, b"", 0) == -errno.EINVAL
    long_address = ffi.new("sctpio_target *", (0, -1, 29))
    assert lib.sctpio_send_batch(-1, long_address, items, 1, b"x" * 20, 20) == -errno.EINVAL
    assert lib.sctpio_send(-1, long_address, items, b"x" * 10) == -errno.EINVAL


def test_a_batch_ends_at_the_records_and_at_the_arena(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, server = ends
    for index in range(RECORDS + 10):
        assert client.send(0, b"%d" % index, 0, 0, 0, 0, None)
    state, count, _, _ = server.receive(1 << 20)
    assert state == MORE
    assert count == RECORDS
    state, count, _, _ = server.receive(1 << 20)
    # What is left, and the events of the set-up were in the first batch.
    assert state == -errno.EAGAIN
    assert 10 <= count <= 13


def batch_of(sock: KernelSocket, space: int = 1 << 20) -> tuple[int, list[bytes], object]:
    """Wait for a batch: its state, its messages, and the memory that it was received into."""
    waiting = select.poll()
    waiting.register(sock.fileno(), select.POLLIN)
    assert waiting.poll(10_000)
    batch = sock.receive(space)
    data = [batch[3][each[0] : each[0] + each[1]] for each in records_of(batch) if not each[2] & 0x8000]
    return batch[0], data, batch[3]


def test_a_large_message_is_received_into_bytes_of_its_own(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, server = ends
    large, small = os.urandom(100_000), b"small"
    server.receive(1 << 20)
    server.has_large = True
    for _ in range(2):
        assert client.send(0, large, 0, 0, 0, 0, None)
        state, messages, arena = batch_of(server)
        assert (state, messages) == (LARGE, [large])
        assert messages[0] is arena
        # What comes next is thought to be as large, as long as nothing is queued.
        assert server.receive(1 << 20)[:2] == (-errno.EAGAIN, 0)
        assert server.has_large
    assert client.send(0, small, 0, 0, 0, 0, None)
    # An arena for what is small, from then on.
    assert batch_of(server)[:2] == (-errno.EAGAIN, [small])
    assert not server.has_large
    assert client.send(0, large, 0, 0, 0, 0, None)
    assert batch_of(server)[:2] == (-errno.EAGAIN, [large])


def test_a_large_message_for_which_there_is_no_space_comes_in_parts(
    ends: tuple[KernelSocket, KernelSocket],
) -> None:
    client, server = ends
    server.receive(1 << 20)
    server.has_large = True
    data = os.urandom(100_000)
    assert client.send(0, data, 0, 0, 0, 0, None)
    state, [first], _ = batch_of(server, 70_000)
    assert (state, first) == (MORE, data[:70_000])
    assert batch_of(server, 70_000)[:2] == (MORE, [data[70_000:]])


def test_an_empty_socket_has_no_next_message(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, server = ends
    server.receive(1 << 20)
    assert lib.sctpio_next_length(server.fileno()) == 0
    assert lib.sctpio_next_length(-1) == -errno.EBADF
    for size in (1234, 99):
        assert client.send(0, bytes(size), 0, 0, 0, 0, None)
    waiting = select.poll()
    waiting.register(server.fileno(), select.POLLIN)
    assert waiting.poll(10_000)
    assert lib.sctpio_next_length(server.fileno()) == 1234


def test_the_end_of_an_association_is_told_from_an_empty_socket(
    ends: tuple[KernelSocket, KernelSocket],
) -> None:
    client, server = ends
    server.receive(1 << 20)
    assert server.receive(1 << 20)[0] == -errno.EAGAIN
    client.shutdown(0)
    while server.receive(1 << 20)[0] != EOF:
        pass
    assert client.get_option(SendBuffer, 0, None).size


def test_peeling_off_gives_a_descriptor_that_neither_blocks_nor_is_inherited() -> None:
    listener = kernel.STACK.open(LOOPBACK, one_to_many=True)
    client = kernel.STACK.open(LOOPBACK)
    peeled = -1
    try:
        listener.bind(LOOPBACK)
        listener.listen(5)
        client.connect(listener.local_addresses(0))
        client.send(0, b"for the peeled", 1, 0, 60, 0, None)
        identifiers: list[int] = []
        while not identifiers:
            records = records_of(listener.receive(1 << 20))
            identifiers = [record[3] for record in records if not record[2] & 0x8000]
        peeled = lib.sctpio_peeloff(listener.fileno(), identifiers[0])
        assert peeled > 0
        assert not os.get_inheritable(peeled)
        assert not os.get_blocking(peeled)
        client.send(0, b"after", 1, 0, 60, 0, None)
        sock = KernelSocket(peeled, v6=False, many=True)
        peeled = -1
        assert [data for data, _ in received(sock)] == [b"after"]
        assert sock.get_option(Status, 0, None).outbound_streams == 10
        sock.abort(0, b"")
        sock.close()
        assert lib.sctpio_peeloff(listener.fileno(), identifiers[0]) == -errno.EINVAL
        assert lib.sctpio_peeloff(client.fileno(), 5) < 0
    finally:
        if peeled >= 0:
            os.close(peeled)
        client.abort(0, b"")
        client.close()
        listener.close()


def test_more_addresses_than_the_first_buffer_holds() -> None:
    hosts = [f"127.0.{net}.{host}" for net in (1, 2) for host in range(1, 61)]
    listener = kernel.STACK.open(LOOPBACK)
    try:
        listener.bind(Address(hosts, 0))
        bound = listener.local_addresses(0)
        assert [str(host) for host in bound.hosts] == hosts
        assert len(bound.hosts) * 16 > _native.ADDRESS_SPACE[0]
        packed = listener.codec.pack_addresses(Address(hosts[0], bound.port))
        assert lib.sctpio_bindx(listener.fileno(), packed, len(packed), 1) == 0
        assert len(listener.local_addresses(0).hosts) == 119
    finally:
        listener.close()


def test_addresses_of_nothing_are_an_error_not_a_crash() -> None:
    sock = kernel.STACK.open(LOOPBACK)
    try:
        with pytest.raises(OSError, match="peer addresses") as caught:
            sock.peer_addresses(0)
        assert caught.value.errno == errno.EINVAL
        length, state = ffi.new("uint32_t *", 7), ffi.new("int32_t *")
        assert lib.sctpio_addresses(sock.fileno(), 0, 0, ffi.new("uint8_t[8]"), length) == -errno.ENOMEM
        assert (
            lib.sctpio_receive(sock.fileno(), ffi.new("uint8_t[1]"), 0, ffi.NULL, 0, state) == -errno.EINVAL
        )
    finally:
        sock.abort(0, b"")
        sock.close()


def test_a_refused_association_is_the_pending_error_of_the_socket() -> None:
    sock = kernel.STACK.open(LOOPBACK)
    try:
        assert sock.connect(Address("127.0.0.1", 1)) > 0
        assert sock.error() == errno.ECONNREFUSED
        assert sock.error() == 0
    finally:
        sock.abort(0, b"")
        sock.close()


def test_a_data_record_without_information_is_marked(ends: tuple[KernelSocket, KernelSocket]) -> None:
    client, server = ends
    server.set_flag(_native.SOL_SCTP, SCTP_RECVRCVINFO, 0, "SCTP_RECVRCVINFO")
    client.send(0, b"x", 3, 0, 60, 0, None)
    [(data, (msg_flags, stream, *_))] = received(server)
    assert (data, stream, msg_flags & NO_INFO) == (b"x", 0, NO_INFO)


def test_the_socket_is_an_ordinary_one_to_the_standard_library(
    ends: tuple[KernelSocket, KernelSocket],
) -> None:
    client, server = ends
    python = socket.socket(fileno=os.dup(client.fileno()))
    with python:
        assert python.type & socket.SOCK_STREAM
        assert python.proto == socket.IPPROTO_SCTP
        python.send(b"plain")
    assert [data for data, _ in received(server)] == [b"plain"]
