"""The bytes of usrsctp, written by hand from its header and its source."""

from __future__ import annotations

import errno
import struct
from ipaddress import IPv4Address
from typing import Any

import pytest

from sctpio._abi.codec import Codec
from sctpio._abi.usrsctp import USRSCTP
from sctpio.address import Address
from sctpio.errors import DecodeError
from sctpio.events import (
    AdaptationIndication,
    AddressState,
    AssociationChange,
    AssociationReset,
    AssociationState,
    AuthenticationEvent,
    AuthenticationState,
    ErrorCause,
    Event,
    PartialDelivery,
    PartialDeliveryState,
    PathError,
    PeerAddressChange,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownEvent,
    StreamChange,
    StreamReset,
    StreamResetFlags,
)
from sctpio.options import (
    AssociationStatistics,
    AssocInfo,
    AuthKey,
    Context,
    DefaultPrInfo,
    DefaultSendInfo,
    DelayedSack,
    HmacIdentifier,
    HmacIdentifiers,
    InitMsg,
    InterleavingSupported,
    LocalAuthChunks,
    MaxBurst,
    NoDelay,
    Option,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    PrAssociationStatus,
    PrimaryAddress,
    ProtocolState,
    PrPolicy,
    PrStreamStatus,
    ReceiveBuffer,
    ResetStreams,
    ReusePort,
    RtoInfo,
    Scheduler,
    Scope,
    Status,
    StreamScheduler,
    StreamSchedulerValue,
    UdpEncapsulation,
)

codec = Codec(USRSCTP)
AF_CONN = 123


def native(code: str, *values: Any) -> bytes:
    return struct.pack(f"={code}", *values)


def sin(host: str, port: int) -> bytes:
    return (native("H", 2) + struct.pack("!H4s", port, IPv4Address(host).packed)).ljust(128, b"\0")


def net16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def net32(value: int) -> bytes:
    return value.to_bytes(4, "big")


ADDRESS = Address("10.0.0.1", 80)
REASON = b"\0\x0c\0\x07bye\0"
SNDINFO = native("HH", 3, 0x7) + net32(60) + native("Ii", 7, 0)


def change(state: int, error: int, info: bytes = b"") -> bytes:
    return native("HHIHHHHi", 1, 0, 20 + len(info), state, error, 10, 5, 3) + info


BY_HAND: list[tuple[bytes, Event]] = [
    (change(4, 0), AssociationChange(AssociationState.SHUTDOWN_COMP, ErrorCause.NO_ERROR, 10, 5, 3)),
    (
        change(2, 12, native("BB", 6, 0) + net16(12) + REASON),
        AssociationChange(AssociationState.COMM_LOST, ErrorCause.USER_INITIATED_ABORT, 10, 5, 3, REASON),
    ),
    (change(5, 0), AssociationChange(AssociationState.CANT_STR_ASSOC, ErrorCause.NO_ERROR, 10, 5, 3)),
    (
        native("HHI", 2, 0, 152) + sin("10.0.0.1", 80) + native("IIi4x", 2, 0, 3),
        PeerAddressChange(ADDRESS, AddressState.UNREACHABLE, PathError.FAILED_THRESHOLD, 3),
    ),
    (
        native("HHIHxxi", 3, 0, 26, 1, 3) + native("BB", 9, 0) + net16(10) + b"\0\1\0\6\0\7",
        RemoteError(ErrorCause.INVALID_STREAM_IDENTIFIER, 3, b"\0\7"),
    ),
    (native("HHIi", 5, 0, 12, 3), ShutdownEvent(3)),
    (native("HHIIi", 6, 0, 16, 0x01020304, 3), AdaptationIndication(0x01020304, 3)),
    (native("HHIIHHi", 7, 0, 20, 1, 4, 5, 3), PartialDelivery(PartialDeliveryState.ABORTED, 4, 5, 3)),
    (native("HHIHHIi", 8, 0, 20, 1, 2, 3, 3), AuthenticationEvent(AuthenticationState.FREE_KEY, 1, 2, 3)),
    (native("HHIHHIi", 8, 0, 20, 1, 0, 2, 3), AuthenticationEvent(AuthenticationState.NO_AUTH, 1, 0, 3)),
    (
        native("HHIiHH", 9, 0x6, 16, 3, 1, 9),
        StreamReset(StreamResetFlags.OUTGOING | StreamResetFlags.DENIED, (1, 9), 3),
    ),
    (native("HHIi", 0xA, 0, 12, 3), SenderDry(3)),
    (native("HHIiII", 0xC, 8, 20, 3, 100, 200), AssociationReset(StreamResetFlags.FAILED, 100, 199, 3)),
    (native("HHIiHH", 0xD, 4, 16, 3, 4, 5), StreamChange(StreamResetFlags.DENIED, 4, 5, 3)),
    (
        native("HHII", 0xE, 2, 36, 13) + SNDINFO + native("i", 3) + b"data",
        SendFailed(b"data", True, ErrorCause.PROTOCOL_VIOLATION, 3, 60, 7, True, 0x7, 3),
    ),
    (
        native("HHII", 0xE, 1, 36, 0) + SNDINFO + native("i", 3) + b"data",
        SendFailed(b"data", False, ErrorCause.NO_ERROR, 3, 60, 7, True, 0x7, 3),
    ),
]


@pytest.mark.parametrize(("data", "event"), BY_HAND)
def test_events(data: bytes, event: Event) -> None:
    assert codec.decode_event(data) == event
    assert codec.encode_event(event) == data


def test_every_event_was_written_by_hand() -> None:
    assert {type(event) for _, event in BY_HAND} == {row.kind for row in USRSCTP.events}


def test_the_reason_of_an_abort() -> None:
    lost = codec.decode_event(change(2, 12, native("BB", 6, 0) + net16(12) + REASON))
    assert isinstance(lost, AssociationChange)
    assert lost.cause == b"bye"


def test_the_beginning_of_a_long_reason() -> None:
    """The stack keeps 512 bytes of an ABORT."""
    abort = native("BB", 6, 0) + net16(4 + 4 + 2000) + net16(12) + net16(2004) + b"a" * 504
    lost = codec.decode_event(change(2, 12, abort))
    assert isinstance(lost, AssociationChange)
    assert lost.cause == b"a" * 504


def test_the_peers_features_are_no_reason() -> None:
    for state in (1, 3):
        event = codec.decode_event(change(state, 0, b"\1\2\3\4\5\6"))
        assert isinstance(event, AssociationChange)
        assert (event.info, event.cause) == (b"", b"")


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"", b""),
        (b"\x09\0\0\4", b""),
        (b"\x09\0\0\6\0\1", b""),
        (b"\x09\0\0\x0c\0\1\0\6\0\7\0\0\0\2", b"\0\7"),
        (b"\x09\0\xff\xff\0\1\xff\xff\0\7", b"\0\7"),
        (b"\x09\0\0\x08\0\1\0\0", b""),
    ],
)
def test_the_content_of_an_error(data: bytes, content: bytes) -> None:
    event = codec.decode_event(native("HHIHxxi", 3, 0, 16 + len(data), 1, 3) + data)
    assert event == RemoteError(ErrorCause.INVALID_STREAM_IDENTIFIER, 3, content)


def test_states_of_a_newer_stack_are_kept_unless_they_would_be_others() -> None:
    event = codec.decode_event(change(6, 999))
    assert isinstance(event, AssociationChange)
    assert (event.state.name, event.error.name) == ("UNKNOWN_6", "UNKNOWN_999")
    with pytest.raises(DecodeError, match="sac_state is 0, which usrsctp does not have"):
        codec.decode_event(change(0, 0))


def test_an_address_that_is_none_of_ip_is_a_decode_error() -> None:
    conn = native("HHQ", AF_CONN, 80, 1).ljust(128, b"\0")
    with pytest.raises(DecodeError, match="123 is not the family"):
        codec.unpack_address(conn)
    with pytest.raises(DecodeError, match="123 is not the family"):
        codec.decode_event(native("HHI", 2, 0, 152) + conn + native("IIi4x", 2, 0, 3))


PATH = PeerAddressInfo(ADDRESS, PathState.ACTIVE, 4380, 0.025, 3.0, 1480)
PATH_BYTES = sin("10.0.0.1", 80) + native("iiIIII", 9, 1, 4380, 25, 3000, 1480)
NO_PATH = native("H", 2) + bytes(126)


def paddrparams(
    flags: int,
    *,
    address: bytes = NO_PATH,
    hb: int = 0,
    mtu: int = 0,
    label: int = 0,
    rxt: int = 0,
    dscp: int = 0,
    association: int = 9,
) -> bytes:
    return address + native("iIIIIHBx", association, hb, mtu, flags, label, rxt, dscp)


SET: list[tuple[bytes, Option]] = [
    (native("iIII", 9, 500, 0, 100), RtoInfo(initial=0.5, minimum=0.1)),
    (native("iIIIHH", 9, 0, 0, 60000, 8, 0), AssocInfo(8, 60.0)),
    (native("HHHH", 10, 0, 3, 1000), InitMsg(10, None, 3, 1.0)),
    (native("i", 1), NoDelay()),
    (native("iII", 9, 200, 2), DelayedSack(0.2, 2)),
    (native("iI", 9, 4), MaxBurst(4)),
    (native("iI", 9, 4), Context(4)),
    (sin("10.0.0.1", 80) + native("i4x", 9), PrimaryAddress(ADDRESS)),
    (native("HH", 3, 0x400) + net32(60) + native("Ii", 7, 9), DefaultSendInfo(3, 60, 7, True)),
    (native("HxxIi", 1, 1500, 9), DefaultPrInfo(lifetime=1.5)),
    (native("HxxIi", 3, 2, 9), DefaultPrInfo(max_retransmissions=2)),
    (native("HxxIi", 2, 7, 9), DefaultPrInfo(priority=7)),
    (native("HxxIi", 0, 0, 9), DefaultPrInfo()),
    (native("IHH", 2, 3, 1), HmacIdentifiers((HmacIdentifier.SHA256, HmacIdentifier.SHA1))),
    (native("iHH", 9, 2, 3) + b"key", AuthKey(2, b"key")),
    (native("iHHHH", 9, 2, 2, 1, 5), ResetStreams(outgoing=True, streams=(1, 5))),
    (native("iI", 9, 5), StreamScheduler(Scheduler.FCFS)),
    (native("iI", 9, 1), StreamScheduler(Scheduler.ROUND_ROBIN)),
    (native("iI", 9, 3), StreamScheduler(Scheduler.PRIORITY)),
    (native("iI", 9, 4), StreamScheduler(Scheduler.FAIR_CAPACITY)),
    (native("iHH", 9, 3, 7), StreamSchedulerValue(3, 7)),
    (sin("10.0.0.1", 80) + native("i", 9) + net16(9899) + bytes(2), UdpEncapsulation(ADDRESS, 9899)),
    (NO_PATH + native("i", 9) + net16(9899) + bytes(2), UdpEncapsulation(None, 9899)),
    (
        paddrparams(0x1, address=sin("10.0.0.1", 80), hb=30000, rxt=5),
        PeerAddressParameters(ADDRESS, heartbeat_interval=30.0, path_max_retransmissions=5),
    ),
    (paddrparams(0x81), PeerAddressParameters(heartbeat_interval=0)),
    (paddrparams(0x10, mtu=1200), PeerAddressParameters(path_mtu=1200, path_mtu_discovery=False)),
    (
        paddrparams(0x304, label=0xABCDE, dscp=0xB8),
        PeerAddressParameters(ipv6_flow_label=0xABCDE, dscp=46, demand_heartbeat=True),
    ),
]


@pytest.mark.parametrize(("data", "value"), SET)
def test_options_that_are_set(data: bytes, value: Option) -> None:
    assert codec.encode_option(value, 9) == data


GOT: list[tuple[bytes, Option]] = [
    (native("iIIIHH", 9, 100, 200, 60000, 10, 2), AssocInfo(10, 60.0, 2, 100, 200)),
    (PATH_BYTES, PATH),
    (
        native("iiIHHHHI4x", 9, 8, 106496, 1, 2, 3, 4, 1452)[:24] + PATH_BYTES,
        Status(ProtocolState.ESTABLISHED, 106496, 1, 2, 3, 4, 1452, PATH, 9),
    ),
    (native("HxxIi", 3, 2, 9), DefaultPrInfo(max_retransmissions=2)),
    (native("iHHQQ", 9, 3, 0xF, 7, 8), PrStreamStatus(3, PrPolicy.ALL, 7, 8)),
    (native("iHHQQ", 9, 0, 3, 7, 8), PrAssociationStatus(PrPolicy.RETRANSMISSIONS, 7, 8)),
    (native("iI", 9, 0), StreamScheduler(Scheduler.ROUND_ROBIN)),
    (native("iI", 9, 2), StreamScheduler(Scheduler.ROUND_ROBIN)),
    (native("iI2B", 9, 2, 0xC1, 0x80), LocalAuthChunks((0xC1, 0x80))),
    (
        paddrparams(0x309, hb=1000, mtu=1500, label=0xABCDE, dscp=0xB8, rxt=5),
        PeerAddressParameters(
            heartbeat=True,
            heartbeat_interval=1.0,
            path_max_retransmissions=5,
            path_mtu=1500,
            path_mtu_discovery=True,
            ipv6_flow_label=0xABCDE,
            dscp=46,
        ),
    ),
    (bytes(132) + net16(9899) + bytes(2), UdpEncapsulation(None, 9899)),
]


@pytest.mark.parametrize(("data", "value"), GOT)
def test_options_that_are_read(data: bytes, value: Option) -> None:
    assert codec.decode_option(type(value), data) == value


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (0, ProtocolState.CLOSED),
        (2, ProtocolState.COOKIE_WAIT),
        (4, ProtocolState.COOKIE_ECHOED),
        (8, ProtocolState.ESTABLISHED),
        (0x10, ProtocolState.SHUTDOWN_SENT),
        (0x20, ProtocolState.SHUTDOWN_RECEIVED),
        (0x40, ProtocolState.SHUTDOWN_ACK_SENT),
        (0x80, ProtocolState.SHUTDOWN_PENDING),
    ],
)
def test_states_of_associations(number: int, state: ProtocolState) -> None:
    data = native("iiIHHHHI", 9, number, 0, 0, 0, 1, 1, 1452) + PATH_BYTES
    assert codec.decode_option(Status, data).state is state


@pytest.mark.parametrize(
    ("number", "state"), [(1, PathState.ACTIVE), (2, PathState.INACTIVE), (0x200, PathState.UNCONFIRMED)]
)
def test_states_of_paths(number: int, state: PathState) -> None:
    data = sin("10.0.0.1", 80) + native("iiIIII", 9, number, 0, 0, 0, 0)
    assert codec.decode_option(PeerAddressInfo, data).state is state


def test_queries() -> None:
    assert codec.encode_query(PeerAddressParameters, 9) == paddrparams(0)
    assert codec.encode_query(UdpEncapsulation) == NO_PATH + bytes(8)
    assert codec.encode_query(PeerAddressInfo, 9, ADDRESS) == sin("10.0.0.1", 80) + native("i", 9) + bytes(20)
    assert codec.encode_query(PrAssociationStatus, 9) == native("iHHQQ", 9, 0, 0xF, 0, 0)
    assert codec.encode_query(HmacIdentifiers) == bytes(4 + 32)


def test_scopes() -> None:
    assert codec.encode_option(Context(7), Scope.ALL) == native("iI", 2, 7)
    with pytest.raises(ValueError, match="RtoInfo cannot be set for"):
        codec.encode_option(RtoInfo(initial=1), Scope.CURRENT)


def test_buffers_are_the_hosts_options() -> None:
    assert (codec.option(ReceiveBuffer).level, codec.option(ReceiveBuffer).number) == (1, 8)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (AssociationStatistics, "SCTP_GET_ASSOC_STATS: the usrsctp stack has no such option"),
        (InterleavingSupported, "SCTP_INTERLEAVING_SUPPORTED: the usrsctp stack has no such option"),
        (ReusePort, "SO_REUSEPORT: the usrsctp stack has no such option"),
    ],
)
def test_options_that_it_does_not_have(kind: type[Option], text: str) -> None:
    for ask in (codec.option, codec.encode_query, lambda kind: codec.decode_option(kind, bytes(400))):
        with pytest.raises(OSError, match=text) as caught:
            ask(kind)
        assert caught.value.errno == errno.ENOPROTOOPT


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ReusePort(), "SO_REUSEPORT: the usrsctp stack has no such option"),
        (PeerAddressParameters(sack_delay=0.1), "SCTP_PEER_ADDR_PARAMS: the usrsctp stack has no sack_delay"),
        (
            PeerAddressParameters(delayed_sack=False),
            "SCTP_PEER_ADDR_PARAMS: the usrsctp stack has no delayed_sack",
        ),
        (StreamScheduler(Scheduler.WEIGHTED_FAIR), "the usrsctp stack has no Scheduler.WEIGHTED_FAIR"),
    ],
)
def test_what_cannot_be_set(value: Option, text: str) -> None:
    with pytest.raises(OSError, match=text) as caught:
        codec.encode_option(value, 9)
    assert caught.value.errno == errno.ENOPROTOOPT


@pytest.mark.parametrize("mtu", [None, 511, 65536])
def test_path_mtu_discovery_is_not_turned_off_without_an_mtu(mtu: int | None) -> None:
    with pytest.raises(ValueError, match=f"path_mtu={mtu}; accepted: path_mtu from 512 to 65535"):
        codec.encode_option(PeerAddressParameters(path_mtu=mtu, path_mtu_discovery=False))


def test_what_a_row_says_of_an_error() -> None:
    assert codec.option(NoDelay).explain(errno.ENOPROTOOPT) == "SCTP_NODELAY"
    assert codec.option(StreamScheduler).explain(errno.EINVAL) == "SCTP_PLUGGABLE_SS"
    assert codec.option(ResetStreams).explain(errno.EOPNOTSUPP) == (
        "SCTP_RESET_STREAMS; needs ReconfigSupported on both ends"
    )
