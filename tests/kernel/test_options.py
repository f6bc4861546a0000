"""Every option on the real kernel: what is set is read back, or is what the documentation says it becomes."""

from __future__ import annotations

import errno
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sctpio import (
    Adaptation,
    Address,
    AddStreams,
    AsconfSupported,
    AssociationIds,
    AssociationNumber,
    AssociationStatistics,
    AssocInfo,
    AuthActiveKey,
    AuthChunk,
    AuthDeactivateKey,
    AuthDeleteKey,
    AuthKey,
    AuthSupported,
    AutoAsconf,
    AutoClose,
    Context,
    DefaultPrInfo,
    DefaultSendInfo,
    DefaultSendParameters,
    DelayedSack,
    DisableFragments,
    EcnSupported,
    EnableStreamReset,
    ExposePotentiallyFailed,
    FragmentInterleave,
    HmacIdentifier,
    HmacIdentifiers,
    InitMsg,
    InterleavingSupported,
    LocalAuthChunks,
    MaxBurst,
    MaxSegment,
    NoDelay,
    Option,
    PartialDeliveryPoint,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    PeerAddressThresholds,
    PeerAuthChunks,
    PeerPrimaryAddress,
    PlpmtudProbeInterval,
    PrAssociationStatus,
    PrimaryAddress,
    ProtocolState,
    PrPolicy,
    PrStreamStatus,
    PrSupported,
    ReceiveBuffer,
    ReconfigSupported,
    ResetAssociation,
    ResetStreams,
    ReusePort,
    RtoInfo,
    Scheduler,
    Scope,
    SendBuffer,
    Status,
    StreamScheduler,
    StreamSchedulerValue,
    UdpEncapsulation,
)
from sctpio._abi.contract import MSG_NOTIFICATION, PR_PRIO, PR_RTX
from sctpio._abi.linux import LINUX
from sctpio.stacks._kernel import lib
from sctpio.stacks.base import Head, SendExtras
from sctpio.stacks.kernel import socket as kernel
from sctpio.stacks.kernel.socket import KernelSocket
from support import PATIENCE, records_of

LOOPBACK = Address("127.0.0.1", 0)
ANY = Address((), 0)

# What both ends need for all that is optional.
EVERYTHING: tuple[Option, ...] = (
    AuthSupported(),
    AsconfSupported(),
    ReconfigSupported(),
    EnableStreamReset(True, True, True),
    AuthChunk(0),
)


@dataclass
class Ends:
    """Both ends of one association."""

    client: KernelSocket
    server: KernelSocket

    @property
    def path(self) -> Address:
        """The only path of the client."""
        return first_of(self.client.peer_addresses(0))


def first_of(address: Address) -> Address:
    return Address(address.hosts[:1], address.port)


@pytest.fixture
def one() -> Iterator[KernelSocket]:
    """Give a one-to-one socket that is not bound."""
    opened = kernel.STACK.open(LOOPBACK)
    yield opened
    opened.close()


@pytest.fixture
def many() -> Iterator[KernelSocket]:
    """Give a one-to-many socket that is not bound."""
    opened = kernel.STACK.open(LOOPBACK, one_to_many=True)
    yield opened
    opened.close()


def connected(options: tuple[Option, ...]) -> Iterator[Ends]:
    listener, client = kernel.STACK.open(LOOPBACK), kernel.STACK.open(LOOPBACK)
    for sock in (listener, client):
        for option in options:
            sock.set_option(option, 0)
    listener.bind(LOOPBACK)
    listener.listen(5)
    client.connect(listener.local_addresses(0))
    accepted = None
    while accepted is None:
        accepted = listener.accept()
    server, _ = accepted
    assert isinstance(server, KernelSocket)
    yield Ends(client, server)
    for sock in (client, server, listener):
        sock.abort(0, b"")
        sock.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Give an association whose ends have every extension."""
    yield from connected(EVERYTHING)


@pytest.fixture
def plain() -> Iterator[Ends]:
    """Give an association whose ends have no extension that has to be asked for."""
    yield from connected(
        (AuthSupported(False), AsconfSupported(False), ReconfigSupported(False), PrSupported(False))
    )


@contextmanager
def refused(code: int, match: str) -> Iterator[None]:
    """Expect an OSError with this errno, and words about the option."""
    with pytest.raises(OSError, match=match) as caught:
        yield
    assert caught.value.errno == code


# On a socket without an association: what is set, and what is then read where that differs.
SET: list[tuple[Option, Option | None]] = [
    (RtoInfo(initial=0.4, maximum=2.0, minimum=0.2), None),
    (AssocInfo(max_retransmissions=4, cookie_life=30.0), AssocInfo(4, 30.0, 0, 0, 0)),
    (InitMsg(20, 30, 4, 0.25), None),
    (NoDelay(False), None),
    (Adaptation(0x01020304), None),
    (DisableFragments(True), None),
    (PeerAddressParameters(path_max_retransmissions=3, heartbeat_interval=5.0, dscp=46), None),
    (DefaultSendParameters(3, 60, 7, True, 1.5), None),
    (MaxSegment(1200), None),
    (DelayedSack(0.1, 3), None),
    (Context(4294967295), None),
    (FragmentInterleave(2), FragmentInterleave(1)),
    (FragmentInterleave(0), None),
    (PartialDeliveryPoint(4096), None),
    (MaxBurst(8), None),
    (DefaultSendInfo(3, 60, 7, True), None),
    (PeerAddressThresholds(None, 4, 1, 65535), None),
    (ExposePotentiallyFailed(True), None),
    (ExposePotentiallyFailed(False), None),
    (ReusePort(), None),
    (SendBuffer(50_000), SendBuffer(100_000)),
    (ReceiveBuffer(50_000), ReceiveBuffer(100_000)),
    (EcnSupported(False), None),
    (AsconfSupported(True), None),
    (AsconfSupported(False), None),
    (AuthSupported(True), None),
    (AuthSupported(False), None),
    (HmacIdentifiers((HmacIdentifier.SHA256, HmacIdentifier.SHA1)), None),
    (PrSupported(False), None),
    (DefaultPrInfo(lifetime=0.5), None),
    (DefaultPrInfo(max_retransmissions=3), None),
    (DefaultPrInfo(priority=7), None),
    (DefaultPrInfo(), None),
    (ReconfigSupported(False), None),
    (EnableStreamReset(True, False, True), None),
    (StreamScheduler(Scheduler.PRIORITY), None),
    (StreamScheduler(Scheduler.ROUND_ROBIN), None),
    (UdpEncapsulation(None, 9899), None),
    (PlpmtudProbeInterval(None, 5.0), None),
    (PlpmtudProbeInterval(None, 0.0), None),
]

# What needs another socket, or an association, to be set: each has a test of its own below.
SET_BELOW = {
    AutoAsconf,
    AutoClose,
    AuthActiveKey,
    InterleavingSupported,
    PrimaryAddress,
    StreamSchedulerValue,
}
# What is only set, or only read, has a test below as well.
ONLY_SET = {
    *(AddStreams, AuthChunk, AuthDeactivateKey, AuthDeleteKey, AuthKey, PeerPrimaryAddress),
    *(ResetAssociation, ResetStreams),
}
ONLY_READ = {
    *(AssociationIds, AssociationNumber, AssociationStatistics, LocalAuthChunks, PeerAddressInfo),
    *(PeerAuthChunks, PrAssociationStatus, PrStreamStatus, Status),
}


def test_no_option_is_forgotten() -> None:
    settable = {spec.kind for spec in LINUX.options if spec.readable and spec.writable}
    assert settable == {type(value) for value, _ in SET} | SET_BELOW
    assert {spec.kind for spec in LINUX.options if not spec.readable} == ONLY_SET
    assert {spec.kind for spec in LINUX.options if not spec.writable} == ONLY_READ


def told(value: Option, read: Option) -> Option:
    """Leave out of what was read what the value left."""
    names = {name for name in value.__dataclass_fields__ if getattr(value, name) is None}
    return replace(read, **dict.fromkeys(names))


@pytest.mark.parametrize(("value", "becomes"), SET, ids=lambda value: repr(value))
@pytest.mark.parametrize("one_to_many", [False, True], ids=["one-to-one", "one-to-many"])
def test_what_is_set_is_read_back(value: Option, becomes: Option | None, one_to_many: bool) -> None:
    sock = kernel.STACK.open(LOOPBACK, one_to_many=one_to_many)
    try:
        sock.set_option(value, 0)
        read = sock.get_option(type(value), 0, None)
        assert read == becomes if becomes is not None else told(value, read) == value
    finally:
        sock.close()


# On an association: for sockets alone, and before it begins, are the others.
ON_ASSOCIATION: list[Option] = [
    RtoInfo(initial=0.4, maximum=2.0, minimum=0.2),
    AssocInfo(max_retransmissions=4, cookie_life=30.0),
    PeerAddressParameters(path_max_retransmissions=3, heartbeat_interval=5.0, dscp=46),
    DefaultSendParameters(3, 60, 7, True, 1.5),
    MaxSegment(1200),
    DelayedSack(0.1, 3),
    Context(4294967295),
    MaxBurst(8),
    DefaultSendInfo(3, 60, 7, True),
    PeerAddressThresholds(None, 4, 1, 65535),
    ExposePotentiallyFailed(True),
    DefaultPrInfo(max_retransmissions=3),
    EnableStreamReset(False, True, False),
    StreamScheduler(Scheduler.ROUND_ROBIN),
    UdpEncapsulation(None, 9899),
    PlpmtudProbeInterval(None, 5.0),
]


@pytest.mark.parametrize("value", ON_ASSOCIATION, ids=lambda value: type(value).__name__)
def test_what_is_set_on_an_association_is_read_back(value: Option, ends: Ends) -> None:
    before = ends.server.get_option(type(value), 0, None)
    ends.client.set_option(value, 0)
    assert told(value, ends.client.get_option(type(value), 0, None)) == value
    assert ends.server.get_option(type(value), 0, None) == before


PER_PATH: list[Any] = [
    PeerAddressParameters(path_max_retransmissions=3, heartbeat_interval=7.0, dscp=46),
    PeerAddressThresholds(None, 4, 1, 65535),
    UdpEncapsulation(None, 9899),
    PlpmtudProbeInterval(None, 6.0),
]


@pytest.mark.parametrize("value", PER_PATH, ids=lambda value: type(value).__name__)
def test_a_path_has_its_own(value: Any, ends: Ends) -> None:
    value = replace(value, address=ends.path)
    ends.client.set_option(value, 0)
    for read in (
        ends.client.get_option(type(value), 0, ends.path),
        ends.client.get_option(type(value)(address=ends.path), 0, None),
    ):
        assert told(value, read) == value


def test_fields_that_are_left_stay(ends: Ends) -> None:
    """Also those that the kernel's struct cannot leave: they are read first."""
    ends.client.set_option(DefaultSendInfo(3, 60, 7, False), 0)
    ends.client.set_option(DefaultSendInfo(unordered=True), 0)
    assert ends.client.get_option(DefaultSendInfo, 0, None) == DefaultSendInfo(3, 60, 7, True)
    ends.client.set_option(EnableStreamReset(add_streams=False), 0)
    assert ends.client.get_option(EnableStreamReset, 0, None) == EnableStreamReset(True, True, False)
    ends.client.set_option(PeerAddressThresholds(ends.path, 4, 1, 9), 0)
    ends.client.set_option(PeerAddressThresholds(ends.path, potentially_failed=2), 0)
    expected = PeerAddressThresholds(ends.path, 4, 2, 9)
    assert ends.client.get_option(PeerAddressThresholds, 0, ends.path) == expected


# Authentication


def test_keys_are_set_activated_deactivated_and_deleted(ends: Ends) -> None:
    client = ends.client
    assert client.get_option(AuthActiveKey, 0, None) == AuthActiveKey(0)
    client.set_option(AuthKey(5, b"five"), 0)
    client.set_option(AuthKey(65535, bytes(65535)), 0)
    client.set_option(AuthActiveKey(5), 0)
    assert client.get_option(AuthActiveKey, 0, None) == AuthActiveKey(5)
    for value in (AuthDeleteKey(5), AuthDeactivateKey(5), AuthActiveKey(6), AuthDeleteKey(6)):
        with refused(errno.EINVAL, "SCTP_AUTH_"):
            client.set_option(value, 0)
    client.set_option(AuthActiveKey(0), 0)
    client.set_option(AuthDeactivateKey(5), 0)
    client.set_option(AuthDeleteKey(65535), 0)
    with refused(errno.EINVAL, "SCTP_AUTH_ACTIVE_KEY"):
        client.set_option(AuthActiveKey(65535), 0)


def test_a_key_that_both_ends_have_carries_messages(ends: Ends) -> None:
    for sock in (ends.client, ends.server):
        sock.set_option(AuthKey(7, b"both know it"), 0)
        sock.set_option(AuthActiveKey(7), 0)
    assert ends.client.send(0, b"signed", 0, 0, 0, 0, SendExtras(auth_key=7))
    assert messages(ends.server) == [(b"signed", 0)]


def test_the_chunks_to_be_authenticated(ends: Ends) -> None:
    # ASCONF (0xc1) and ASCONF-ACK (0x80) are there because of RFC 5061.
    expected = {0, 0xC1, 0x80}
    assert set(ends.client.get_option(LocalAuthChunks, 0, None).chunks) == expected
    assert set(ends.client.get_option(PeerAuthChunks, 0, None).chunks) == expected


def test_chunks_of_coming_associations(one: KernelSocket) -> None:
    one.set_option(AuthSupported(True), 0)
    one.set_option(AsconfSupported(False), 0)
    before = one.get_option(LocalAuthChunks, 0, None).chunks
    one.set_option(AuthChunk(0), 0)
    one.set_option(AuthChunk(3), 0)
    assert one.get_option(LocalAuthChunks, 0, None).chunks == (*before, 0, 3)


def test_an_algorithm_that_there_is_not(one: KernelSocket) -> None:
    one.set_option(AuthSupported(True), 0)
    with refused(errno.EOPNOTSUPP, "SCTP_HMAC_IDENT; needs AuthSupported"):
        one.set_option(HmacIdentifiers((HmacIdentifier.SHA1, HmacIdentifier(2))), 0)


@pytest.mark.parametrize(
    "value",
    [
        AuthChunk(0),
        AuthKey(1, b"x"),
        AuthActiveKey(0),
        AuthDeleteKey(1),
        AuthDeactivateKey(1),
        HmacIdentifiers((HmacIdentifier.SHA1,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_authentication_that_is_not_enabled_is_eacces(value: Option, one: KernelSocket) -> None:
    one.set_option(AuthSupported(False), 0)
    with refused(errno.EACCES, "needs AuthSupported"):
        one.set_option(value, 0)


# Reliability, reconfiguration, schedulers


def test_messages_that_were_given_up_are_counted(ends: Ends) -> None:
    nothing = PrStreamStatus(3, PrPolicy.ALL, 0, 0)
    assert ends.client.get_option(PrStreamStatus(3), 0, None) == nothing
    assert ends.client.get_option(PrAssociationStatus, 0, None) == PrAssociationStatus(PrPolicy.ALL, 0, 0)
    # The window is full of what nobody reads: messages of lower priority make room by going unsent.
    while ends.client.send(0, bytes(20_000), 3, 0, 0, 0, SendExtras(pr_policy=PR_PRIO, pr_value=9)):
        pass
    assert ends.client.send(0, bytes(20_000), 3, 0, 0, 0, SendExtras(pr_policy=PR_PRIO, pr_value=1))
    by_priority = ends.client.get_option(PrStreamStatus(3, PrPolicy.PRIORITY), 0, None)
    assert by_priority.abandoned_unsent
    assert ends.client.get_option(PrStreamStatus(3, PrPolicy.LIFETIME), 0, None).abandoned_unsent == 0
    whole = ends.client.get_option(PrAssociationStatus(PrPolicy.PRIORITY), 0, None)
    assert whole.abandoned_unsent == by_priority.abandoned_unsent


def messages(sock: KernelSocket) -> list[tuple[bytes, int]]:
    """Read everything that has come: data and stream."""
    batch = sock.receive(1 << 20)
    arena = batch[3]
    return [
        (arena[record[0] : record[0] + record[1]], record[8])
        for record in records_of(batch)
        if not record[2] & MSG_NOTIFICATION
    ]


def test_defaults_of_stream_and_ppid_do_not_touch_what_says_them(ends: Ends) -> None:
    ends.client.set_option(DefaultSendInfo(3, 60, 7, True), 0)
    assert ends.client.send(0, b"stream 0", 0, 0, 0, 0, None)
    assert messages(ends.server) == [(b"stream 0", 0)]


def set_behind_its_back(sock: KernelSocket, value: Option) -> None:
    """Set an option as somebody would who has the descriptor and not the object."""
    spec, packed = sock.codec.option(type(value)), sock.codec.encode_option(value)
    assert lib.sctpio_setsockopt(sock.fileno(), spec.level, spec.number, packed, len(packed)) == 0


@pytest.mark.parametrize("set_option", [set_behind_its_back, lambda sock, value: sock.set_option(value, 0)])
@pytest.mark.parametrize("default", [DefaultPrInfo(), DefaultPrInfo(priority=50)])
def test_a_default_of_any_policy_is_taken_for_a_lifetime(
    default: Option, set_option: Callable[[KernelSocket, Option], None], ends: Ends
) -> None:
    """Linux takes the number for milliseconds where a message names no policy: so the socket names it."""
    set_option(ends.client, default)
    loses = default != DefaultPrInfo() and set_option is set_behind_its_back
    sent = 0
    while ends.client.send(0, bytes(20_000), 0, 0, 0, 0, None):
        sent += 1
    time.sleep(0.3)
    found: list[tuple[bytes, int]] = []
    quiet = 0
    while len(found) < sent and quiet < 10:
        new = messages(ends.server)
        found += new
        quiet = 0 if new else quiet + 1
        time.sleep(0.1 * PATIENCE)
    assert (len(found) < sent) is loses


def given_up(sock: KernelSocket) -> int:
    status = sock.get_option(PrAssociationStatus, 0, None)
    return (status.abandoned_unsent or 0) + (status.abandoned_sent or 0)


@pytest.mark.parametrize("adopted", [False, True])
def test_a_batch_has_the_default_policy(adopted: bool, ends: Ends) -> None:
    """A batch of messages with a lifetime is given up where the peer reads nothing for longer."""
    client = ends.client
    client.set_option(DefaultPrInfo(lifetime=0.05), 0)
    if adopted:
        client = kernel.STACK.adopt(client.detach())
    try:
        head = Head(0, 0, 0, 0)
        for _ in range(20):
            if not client.send_batch(0, [(bytes(20_000), head)] * 4, True):
                break
        time.sleep(0.3)
        while not given_up(client):
            messages(ends.server)
            time.sleep(0.05)
    finally:
        if adopted:
            client.abort(0, b"")
            client.close()


def test_an_accepted_socket_knows_of_the_default_of_its_listener() -> None:
    for value, expected in ((None, False), (DefaultPrInfo(max_retransmissions=3), True)):
        for ends in connected((value,) if value else ()):
            assert ends.server._fills_policy is ends.client._fills_policy is expected
            assert ends.server._default_policy(0) == ((PR_RTX, 3) if expected else (0, 0))
            ends.server.set_option(DefaultPrInfo(), 0)
            assert ends.server._default_policy(0) == (0, 0)


def test_streams_are_added_and_reset(ends: Ends) -> None:
    client = ends.client
    before = client.get_option(Status, 0, None)
    client.set_option(AddStreams(outbound=2), 0)
    client.set_option(ResetStreams(outgoing=True, streams=(0, 1)), 0)
    client.set_option(ResetAssociation(), 0)
    assert client.get_option(Status, 0, None).outbound_streams == before.outbound_streams + 2
    with refused(errno.EINVAL, "SCTP_RESET_STREAMS"):
        client.set_option(ResetStreams(outgoing=True, streams=(60_000,)), 0)


@pytest.mark.parametrize(
    "value",
    [ResetStreams(outgoing=True), ResetAssociation(), AddStreams(1)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_enabled_says_what_it_needs(value: Option, ends: Ends, plain: Ends) -> None:
    ends.client.set_option(EnableStreamReset(False, False, False), 0)
    for client in (ends.client, plain.client):
        with refused(errno.ENOPROTOOPT, r"SCTP_\w+; in Linux since 4.11; needs ReconfigSupported"):
            client.set_option(value, 0)


def test_a_stream_has_a_scheduler_value(ends: Ends) -> None:
    client = ends.client
    client.set_option(StreamScheduler(Scheduler.PRIORITY), 0)
    client.set_option(StreamSchedulerValue(3, 7), 0)
    client.set_option(StreamSchedulerValue(4, 8), 0)
    assert client.get_option(StreamSchedulerValue(3), 0, None) == StreamSchedulerValue(3, 7)
    assert client.get_option(StreamSchedulerValue(4), 0, None) == StreamSchedulerValue(4, 8)


def test_a_scheduler_without_values_ignores_them(ends: Ends) -> None:
    ends.client.set_option(StreamSchedulerValue(3, 7), 0)
    assert ends.client.get_option(StreamSchedulerValue(3), 0, None) == StreamSchedulerValue(3, 0)


def test_a_newer_scheduler_is_there_or_einval(one: KernelSocket) -> None:
    """Linux has them since 6.4."""
    newer = tuple(map(int, platform.release().split(".")[:2])) >= (6, 4)
    for scheduler in (Scheduler.FAIR_CAPACITY, Scheduler.WEIGHTED_FAIR):
        with nullcontext() if newer else refused(errno.EINVAL, "SCTP_STREAM_SCHEDULER"):
            one.set_option(StreamScheduler(scheduler), 0)
        expected = scheduler if newer else Scheduler.FCFS
        assert one.get_option(StreamScheduler, 0, None) == StreamScheduler(expected)


def test_interleaving_needs_fragment_interleave(one: KernelSocket) -> None:
    with refused(errno.EPERM, "SCTP_INTERLEAVING_SUPPORTED; needs FragmentInterleave and the sysctl"):
        one.set_option(InterleavingSupported(), 0)
    one.set_option(FragmentInterleave(1), 0)
    one.set_option(InterleavingSupported(), 0)
    assert one.get_option(InterleavingSupported, 0, None) == InterleavingSupported(True)


# Addresses


def test_the_primary_path_and_its_state(ends: Ends) -> None:
    ends.client.set_option(PrimaryAddress(ends.path), 0)
    assert ends.client.get_option(PrimaryAddress, 0, None) == PrimaryAddress(ends.path)
    info = ends.client.get_option(PeerAddressInfo, 0, ends.path)
    assert (info.address, info.state) == (ends.path, PathState.ACTIVE)
    assert info.mtu > 1000
    assert 0.01 < info.rto < 10


def test_a_request_for_the_peers_primary_path(ends: Ends, plain: Ends) -> None:
    ends.client.set_option(PeerPrimaryAddress(first_of(ends.client.local_addresses(0))), 0)
    with refused(errno.EPERM, "SCTP_SET_PEER_PRIMARY_ADDR; needs AsconfSupported on both ends"):
        plain.client.set_option(PeerPrimaryAddress(first_of(plain.client.local_addresses(0))), 0)


def test_auto_asconf_is_for_sockets_that_are_bound_to_every_address() -> None:
    everywhere, here = kernel.STACK.open(ANY), kernel.STACK.open(LOOPBACK)
    try:
        everywhere.bind(ANY)
        everywhere.set_option(AutoAsconf(), 0)
        assert everywhere.get_option(AutoAsconf, 0, None) == AutoAsconf(True)
        here.bind(LOOPBACK)
        with refused(errno.EINVAL, "SCTP_AUTO_ASCONF"):
            here.set_option(AutoAsconf(), 0)
    finally:
        everywhere.close()
        here.close()


# What an association is


def test_extensions_of_an_association_are_those_of_both_ends(ends: Ends, plain: Ends) -> None:
    for kind in (AuthSupported, AsconfSupported, ReconfigSupported, PrSupported):
        assert ends.client.get_option(kind, 0, None) == kind(True)
        assert plain.client.get_option(kind, 0, None) == kind(False)


def test_status_and_statistics(ends: Ends) -> None:
    assert ends.client.send(0, b"x", 0, 0, 0, 0, None)
    status = ends.client.get_option(Status, 0, None)
    assert status.state is ProtocolState.ESTABLISHED
    assert status.primary.address == ends.path
    assert status.association_id > 2
    statistics = ends.client.get_option(AssociationStatistics, status.association_id, None)
    assert statistics.ordered_chunks_sent == 1
    assert statistics.association_id == status.association_id


# One-to-many sockets


def test_the_associations_of_a_one_to_many_socket(many: KernelSocket) -> None:
    listener = kernel.STACK.open(LOOPBACK)
    try:
        listener.bind(LOOPBACK)
        listener.listen(5)
        assert many.get_option(AssociationNumber, 0, None) == AssociationNumber(0)
        assert many.get_option(AssociationIds, 0, None) == AssociationIds(())
        identifier = many.connect(listener.local_addresses(0))
        assert many.get_option(AssociationNumber, 0, None) == AssociationNumber(1)
        assert many.get_option(AssociationIds, 0, None) == AssociationIds((identifier,))
        many.set_option(Context(5), identifier)
        assert many.get_option(Context, identifier, None) == Context(5)
        assert many.get_option(Context, Scope.FUTURE, None) == Context(0)
        many.set_option(Context(6), Scope.CURRENT)
        assert many.get_option(Context, identifier, None) == Context(6)
        assert many.get_option(Context, Scope.FUTURE, None) == Context(0)
        many.set_option(DefaultSendInfo(3, 60, 7, True), Scope.CURRENT)
        assert many.get_option(DefaultSendInfo, identifier, None) == DefaultSendInfo(3, 60, 7, True)
        with pytest.raises(ValueError, match="DefaultSendInfo: stream=None; accepted: a value"):
            many.set_option(DefaultSendInfo(unordered=True), Scope.CURRENT)
        many.set_option(Context(7), Scope.ALL)
        assert many.get_option(Context, identifier, None) == Context(7)
        assert many.get_option(Context, Scope.FUTURE, None) == Context(7)
    finally:
        listener.close()


SCOPED = [
    spec for spec in LINUX.options if Scope.ALL in spec.scopes and not spec.name.startswith("SCTP_AUTH_")
]


@pytest.mark.parametrize("spec", SCOPED, ids=lambda spec: spec.kind.__name__)
@pytest.mark.parametrize("scope", [Scope.CURRENT, Scope.ALL])
def test_every_option_of_a_scope_is_taken_for_it(spec: Any, scope: Scope, many: KernelSocket) -> None:
    value = next(value for value in ON_ASSOCIATION if type(value) is spec.kind)
    many.set_option(value, scope)


def test_keys_for_every_association(many: KernelSocket) -> None:
    many.set_option(AuthSupported(True), 0)
    many.set_option(AuthKey(5, b"five"), Scope.ALL)
    many.set_option(AuthActiveKey(5), Scope.ALL)
    assert many.get_option(AuthActiveKey, 0, None) == AuthActiveKey(5)
    many.set_option(AuthActiveKey(0), Scope.ALL)
    many.set_option(AuthDeactivateKey(5), Scope.ALL)
    many.set_option(AuthDeleteKey(5), Scope.ALL)


def test_auto_close_is_for_one_to_many_sockets(one: KernelSocket, many: KernelSocket) -> None:
    many.set_option(AutoClose(30), 0)
    assert many.get_option(AutoClose, 0, None) == AutoClose(30)
    for kind in (AutoClose, AssociationNumber, AssociationIds):
        with refused(errno.EOPNOTSUPP, "needs a one-to-many socket"):
            one.get_option(kind, 0, None)


def test_an_option_that_the_kernel_lacks_says_since_when_there_is_one(
    one: KernelSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = one.codec.option(PlpmtudProbeInterval)
    missing = replace(spec, number=250)
    monkeypatch.setitem(one.codec._options, PlpmtudProbeInterval, missing)
    message = r"Protocol not available \(SCTP_PLPMTUD_PROBE_INTERVAL; in Linux since 5.14\)"
    with refused(errno.ENOPROTOOPT, message):
        one.get_option(PlpmtudProbeInterval, 0, None)
    with pytest.raises(OSError, match=message):
        one.set_option(PlpmtudProbeInterval(None, 5.0), 0)
