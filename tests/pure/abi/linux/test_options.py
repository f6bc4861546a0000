"""Options of Linux, bytes written by hand from the header."""

from __future__ import annotations

import dataclasses
import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure.abi.by_hand import codec, native, net16, net32, sin, storage
from sctpio import options
from sctpio._abi.codec import Codec
from sctpio._abi.linux import LINUX
from sctpio.address import Address
from sctpio.errors import DecodeError
from sctpio.options import (
    Adaptation,
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
    PlpmtudProbeInterval,
    PrAssociationStatus,
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

ADDRESS = Address("10.0.0.1", 5000)
STORAGE_BYTES = storage(sin("10.0.0.1", 5000))
PATH = PeerAddressInfo(ADDRESS, PathState.ACTIVE, 4380, 0.1, 3.0, 1500)
PATH_BYTES = native("i", 9) + STORAGE_BYTES + native("iIIII", 2, 4380, 25, 3000, 1500)


def paddrparams(
    flags: int,
    *,
    address: bytes = bytes(128),
    hb: int = 0,
    rxt: int = 0,
    mtu: int = 0,
    sack: int = 0,
    label: int = 0,
    dscp: int = 0,
    number: int = 0,
) -> bytes:
    return native("i", number) + address + native("IHIIIIBx", hb, rxt, mtu, sack, flags, label, dscp)


SET: list[tuple[Option, int, bytes]] = [
    (RtoInfo(), 3, native("iIII", 3, 0, 0, 0)),
    (RtoInfo(initial=0.5, maximum=2, minimum=0.0001), 3, native("iIII", 3, 500, 2000, 1)),
    (AssocInfo(max_retransmissions=4), 3, native("iHHIII", 3, 4, 0, 0, 0, 0)),
    (AssocInfo(cookie_life=60), 0, native("iHHIII", 0, 0, 0, 0, 0, 60000)),
    (InitMsg(10, 20, 4, 0.25), 3, native("HHHH", 10, 20, 4, 250)),
    (InitMsg(), 0, bytes(8)),
    (NoDelay(), 3, native("i", 1)),
    (NoDelay(False), 0, native("i", 0)),
    (ReusePort(), 0, native("i", 1)),
    (AsconfSupported(), 7, native("iI", 7, 1)),
    (AuthSupported(False), 0, native("iI", 0, 0)),
    (ExposePotentiallyFailed(True), 0, native("iI", 0, 2)),
    (ExposePotentiallyFailed(False), 0, native("iI", 0, 1)),
    (ExposePotentiallyFailed(), 0, native("iI", 0, 0)),
    (
        PeerAddressThresholds(None, 4, 1, 65535),
        3,
        native("i4x", 3) + bytes(128) + native("HHH2x", 4, 1, 65535),
    ),
    (AutoClose(0), 0, native("I", 0)),
    (AutoClose(0.2), 0, native("I", 1)),
    (AutoClose(2.6), 0, native("I", 3)),
    (Adaptation(0x01020304), 0, native("I", 0x01020304)),
    (
        DefaultSendParameters(3, 60, 7, True, 1.5),
        9,
        native("HHHxx", 3, 0, 1) + net32(60) + native("IIIIi", 7, 1500, 0, 0, 9),
    ),
    (MaxSegment(1200), 9, native("iI", 9, 1200)),
    (DelayedSack(), 9, native("iII", 9, 0, 0)),
    (DelayedSack(delay=0.2), 9, native("iII", 9, 200, 0)),
    (DelayedSack(0.0, 1), 9, native("iII", 9, 0, 1)),
    (SendBuffer(65536), 0, native("i", 65536)),
    (ReceiveBuffer(65536), 0, native("i", 65536)),
    (DisableFragments(), 0, native("i", 1)),
    (Context(7), 2, native("iI", 2, 7)),
    (FragmentInterleave(2), 0, native("i", 2)),
    (PartialDeliveryPoint(1000), 0, native("I", 1000)),
    (MaxBurst(0), 1, native("iI", 1, 0)),
    (DefaultSendInfo(3, 60, 7, True), 9, native("HH", 3, 1) + net32(60) + native("Ii", 7, 9)),
    (EcnSupported(False), 0, native("iI", 0, 0)),
    (AutoAsconf(), 0, native("i", 1)),
    (UdpEncapsulation(None, 9899), 9, native("i4x", 9) + bytes(128) + net16(9899) + bytes(6)),
    (PlpmtudProbeInterval(ADDRESS, 5), 9, native("i4x", 9) + STORAGE_BYTES + native("I4x", 5000)),
    (AuthChunk(0xC1), 0, b"\xc1"),
    (HmacIdentifiers((HmacIdentifier.SHA256, HmacIdentifier.SHA1)), 0, native("IHH", 2, 3, 1)),
    (AuthKey(5, b"secret"), 9, native("iHH", 9, 5, 6) + b"secret"),
    (AuthActiveKey(5), 2, native("iHxx", 2, 5)),
    (AuthDeactivateKey(5), 0, native("iHxx", 0, 5)),
    (AuthDeleteKey(5), 0, native("iHxx", 0, 5)),
    (PrSupported(False), 0, native("iI", 0, 0)),
    (DefaultPrInfo(), 0, native("iIHxx", 0, 0, 0)),
    (DefaultPrInfo(lifetime=0.5), 0, native("iIHxx", 0, 500, 0x10)),
    (DefaultPrInfo(max_retransmissions=3), 1, native("iIHxx", 1, 3, 0x20)),
    (DefaultPrInfo(priority=0), 2, native("iIHxx", 2, 0, 0x30)),
    (ReconfigSupported(), 0, native("iI", 0, 1)),
    (EnableStreamReset(True, False, True), 0, native("iI", 0, 5)),
    (ResetStreams(incoming=True, streams=(1, 9)), 9, native("iHHHH", 9, 1, 2, 1, 9)),
    (ResetStreams(outgoing=True), 9, native("iHH", 9, 2, 0)),
    (ResetAssociation(), 9, native("i", 9)),
    (AddStreams(outbound=4, inbound=5), 9, native("iHH", 9, 5, 4)),
    (StreamScheduler(Scheduler.ROUND_ROBIN), 9, native("iI", 9, 2)),
    (StreamSchedulerValue(3, 7), 1, native("iHH", 1, 3, 7)),
    (InterleavingSupported(), 0, native("iI", 0, 1)),
    (PeerAddressParameters(), 3, paddrparams(0, number=3)),
    (PeerAddressParameters(ADDRESS, heartbeat=False), 0, paddrparams(0x2, address=STORAGE_BYTES)),
    (PeerAddressParameters(heartbeat=True), 0, paddrparams(0x1)),
    (PeerAddressParameters(heartbeat_interval=30), 0, paddrparams(0x1, hb=30000)),
    (PeerAddressParameters(heartbeat_interval=0), 0, paddrparams(0x81)),
    (PeerAddressParameters(path_max_retransmissions=2), 0, paddrparams(0, rxt=2)),
    (
        PeerAddressParameters(path_mtu=1200, path_mtu_discovery=False),
        0,
        paddrparams(0x10, mtu=1200),
    ),
    (PeerAddressParameters(path_mtu_discovery=True), 0, paddrparams(0x8)),
    (PeerAddressParameters(sack_delay=0.1), 0, paddrparams(0x20, sack=100)),
    (PeerAddressParameters(delayed_sack=False), 0, paddrparams(0x40)),
    (PeerAddressParameters(ipv6_flow_label=0), 0, paddrparams(0x100)),
    (PeerAddressParameters(ipv6_flow_label=0xABCDE), 0, paddrparams(0x100, label=0xABCDE)),
    (PeerAddressParameters(dscp=46), 0, paddrparams(0x200, dscp=0xB8)),
    (PeerAddressParameters(demand_heartbeat=True), 0, paddrparams(0x4)),
    (PeerAddressParameters(demand_heartbeat=False), 0, paddrparams(0)),
]


@pytest.mark.parametrize(("value", "number", "data"), SET)
def test_encode_option(value: Option, number: int, data: bytes) -> None:
    assert codec.encode_option(value, number) == data
    spec = codec.option(type(value))
    assert len(data) == spec.layout.size or (spec.tail is not None and len(data) > spec.layout.size)


STATISTICS = AssociationStatistics(0.4, ADDRESS, *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14), 9)

GOT: list[tuple[bytes, Option]] = [
    (native("iIII", 0, 3000, 60000, 1000), RtoInfo(3.0, 60.0, 1.0)),
    (native("iHHIII", 3, 10, 2, 106496, 0, 60000), AssocInfo(10, 60.0, 2, 106496, 0)),
    (native("HHHH", 10, 65535, 8, 60000), InitMsg(10, 65535, 8, 60.0)),
    (native("i", 1), NoDelay(True)),
    (native("i", 0), NoDelay(False)),
    (native("i", 1), ReusePort(True)),
    (native("iI", 3, 1), AsconfSupported(True)),
    (native("iI", 3, 0), AuthSupported(False)),
    (native("iI", 3, 0), ExposePotentiallyFailed(None)),
    (native("iI", 3, 1), ExposePotentiallyFailed(False)),
    (native("iI", 3, 2), ExposePotentiallyFailed(True)),
    (native("I", 0), AutoClose(0)),
    (native("I", 7), Adaptation(7)),
    (
        native("HHHxx", 3, 0, 1) + net32(60) + native("IIIIi", 7, 0, 0, 0, 9),
        DefaultSendParameters(3, 60, 7, True, 0.0),
    ),
    (native("iI", 9, 0), MaxSegment(0)),
    (native("iII", 9, 200, 2), DelayedSack(0.2, 2)),
    (native("iII", 9, 0, 1), DelayedSack(0.0, 1)),
    (native("i", 425984), SendBuffer(425984)),
    (native("i", 425984), ReceiveBuffer(425984)),
    (native("iI", 3, 0xFFFFFFFF), Context(0xFFFFFFFF)),
    (native("i", 1), FragmentInterleave(1)),
    (native("HH", 3, 1) + net32(60) + native("Ii", 7, 9), DefaultSendInfo(3, 60, 7, True)),
    (native("I", 3), AssociationNumber(3)),
    (native("I3i", 3, 7, 8, 1000000), AssociationIds((7, 8, 1000000))),
    (native("I", 0), AssociationIds(())),
    (native("i4x", 9) + STORAGE_BYTES + net16(9899) + bytes(6), UdpEncapsulation(ADDRESS, 9899)),
    (native("i4x", 0) + bytes(128) + native("I4x", 0), PlpmtudProbeInterval(None, 0.0)),
    (native("IHH", 2, 3, 1), HmacIdentifiers((HmacIdentifier.SHA256, HmacIdentifier.SHA1))),
    (native("iHxx", 0, 5), AuthActiveKey(5)),
    (native("iI", 9, 3) + b"\x00\xc1\x80", PeerAuthChunks((0, 0xC1, 0x80))),
    (native("iI", 9, 0), LocalAuthChunks(())),
    (native("iIHxx", 0, 500, 0x10), DefaultPrInfo(lifetime=0.5)),
    (native("iIHxx", 0, 500, 0), DefaultPrInfo()),
    (native("iHHQQ", 9, 0, 0x80, 5, 6), PrAssociationStatus(PrPolicy.ALL, 5, 6)),
    (native("iHHQQ", 9, 3, 0x20, 5, 6), PrStreamStatus(3, PrPolicy.RETRANSMISSIONS, 5, 6)),
    (native("iI", 9, 6), EnableStreamReset(False, True, True)),
    (native("iI", 9, 77), StreamScheduler(Scheduler(77))),
    (native("iHH", 9, 3, 7), StreamSchedulerValue(3, 7)),
    (PATH_BYTES, PATH),
    (
        native("iiIHHHHI", 9, 4, 106496, 1, 2, 3, 4, 1452) + PATH_BYTES,
        Status(ProtocolState.ESTABLISHED, 106496, 1, 2, 3, 4, 1452, PATH, 9),
    ),
    (
        native("i", 9)
        + bytes(struct.calcsize("@il") - struct.calcsize("=i") - struct.calcsize("@l"))
        + STORAGE_BYTES
        + native("Q", 100)
        + native("14Q", *range(1, 15)),
        STATISTICS,
    ),
    (
        paddrparams(0x29, address=STORAGE_BYTES, hb=30000, rxt=5, mtu=1500, sack=200),
        PeerAddressParameters(
            ADDRESS,
            heartbeat=True,
            heartbeat_interval=30.0,
            path_max_retransmissions=5,
            path_mtu=1500,
            path_mtu_discovery=True,
            sack_delay=0.2,
            delayed_sack=True,
        ),
    ),
    (
        paddrparams(0x352, label=0xABCDE, dscp=0xB8),
        PeerAddressParameters(
            heartbeat=False,
            heartbeat_interval=0.0,
            path_mtu_discovery=False,
            delayed_sack=False,
            ipv6_flow_label=0xABCDE,
            dscp=46,
        ),
    ),
    (paddrparams(0x4, hb=5, mtu=1500), PeerAddressParameters(demand_heartbeat=True)),
]


@pytest.mark.parametrize(("data", "value"), GOT)
def test_decode_option(data: bytes, value: Option) -> None:
    assert codec.decode_option(type(value), data) == value
    # Room that was offered and not used, or a struct that a newer kernel made longer.
    assert codec.decode_option(type(value), data + b"rest") == value


def test_a_shorter_struct_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="SCTP_RTOINFO has 16 bytes, 15 were given"):
        codec.decode_option(RtoInfo, bytes(15))


@pytest.mark.parametrize("length", [152, 153])
def test_fields_that_an_older_kernel_lacks_are_none(length: int) -> None:
    data = paddrparams(0x309, hb=1000, mtu=1500, label=0xABCDE, dscp=0xB8)
    assert codec.decode_option(PeerAddressParameters, data[:length]) == PeerAddressParameters(
        heartbeat=True, heartbeat_interval=1.0, path_mtu=1500, path_mtu_discovery=True
    )
    full = codec.decode_option(PeerAddressParameters, data)
    assert (full.ipv6_flow_label, full.dscp) == (0xABCDE, 46)


def test_a_value_out_of_range_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="SCTP_MAXSEG: MaxSegment: size=65536; accepted"):
        codec.decode_option(MaxSegment, native("iI", 9, 65536))


def test_a_path_without_address_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="0 is not the family"):
        codec.decode_option(PeerAddressInfo, bytes(152))
    assert codec.decode_option(AssociationStatistics, bytes(256)).max_rto_address is None


def test_every_option_has_a_row() -> None:
    found = [vars(options)[name] for name in options.__all__]
    kinds = {
        kind for kind in found if isinstance(kind, type) and issubclass(kind, Option) and kind is not Option
    }
    assert {spec.kind for spec in LINUX.options} == kinds
    for kind in kinds:
        names = {field.name for field in dataclasses.fields(kind)}
        assert set(codec.option(kind).attributes) == names
    assert codec.platform is LINUX


def test_option_properties() -> None:
    spec = codec.option(RtoInfo)
    assert (spec.level, spec.number, spec.name) == (132, 0, "SCTP_RTOINFO")
    assert (spec.readable, spec.writable, spec.per_association, spec.per_path) == ((True, True, True, False))
    assert codec.option(PeerAddressParameters).per_path
    assert not codec.option(Status).writable
    assert not codec.option(NoDelay).per_association
    assert (codec.option(ReceiveBuffer).level, codec.option(ReceiveBuffer).number) == (1, 8)


def test_an_option_that_the_stack_lacks() -> None:
    class Other(Option):
        pass

    with pytest.raises(ValueError, match="Linux has no option Other"):
        codec.option(Other)


def test_encode_query() -> None:
    assert codec.encode_query(RtoInfo, 9) == native("iIII", 9, 0, 0, 0)
    assert codec.encode_query(NoDelay, 9) == bytes(4)
    assert codec.encode_query(Status, 9) == native("i", 9) + bytes(172)
    assert codec.encode_query(PeerAddressInfo, 9, ADDRESS) == (native("i", 9) + STORAGE_BYTES + bytes(20))
    assert codec.encode_query(PeerAddressParameters) == bytes(156)
    assert codec.encode_query(PeerAddressParameters(ADDRESS), 9) == native("i", 9) + STORAGE_BYTES + bytes(24)
    assert codec.encode_query(PeerAddressParameters(heartbeat=True), 9) == native("i", 9) + bytes(152)
    other = Address("10.0.0.2", 1)
    assert codec.encode_query(PeerAddressParameters(other), 9, ADDRESS)[4:132] == STORAGE_BYTES


def test_a_query_names_what_it_asks_about() -> None:
    assert codec.encode_query(StreamSchedulerValue(3, 99), 9) == native("iHH", 9, 3, 0)
    assert codec.encode_query(PrStreamStatus(3), 9) == native("iHHQQ", 9, 3, 0x80, 0, 0)
    assert codec.encode_query(PrAssociationStatus, 9) == native("iHHQQ", 9, 0, 0x80, 0, 0)
    assert codec.encode_query(PrAssociationStatus(PrPolicy.LIFETIME), 9)[6:8] == native("H", 0x10)
    for kind in (PrStreamStatus, StreamSchedulerValue):
        name = kind.__name__
        with pytest.raises(
            ValueError, match=rf"{name} is read by a value .* its stream: {name}\(stream=\.\.\.\)"
        ):
            codec.encode_query(kind, 9)


def test_a_query_has_room_for_what_comes() -> None:
    assert codec.encode_query(HmacIdentifiers) == bytes(4 + 32)
    assert codec.encode_query(PeerAuthChunks, 9) == native("i", 9) + bytes(4 + 256)
    assert len(codec.encode_query(AssociationIds)) == 4 + 4 * 65536


@pytest.mark.parametrize("scope", [Scope.CURRENT, Scope.ALL])
def test_linux_reads_of_one_association_or_of_those_to_come(scope: Scope) -> None:
    with pytest.raises(
        ValueError, match=rf"Context of <Scope.{scope.name}: .> cannot be read; accepted: an assoc"
    ):
        codec.encode_query(Context, scope)
    assert codec.encode_query(FragmentInterleave, scope) == bytes(4)


def test_scopes_that_an_option_can_be_set_for() -> None:
    assert codec.encode_option(Context(7), Scope.ALL) == native("iI", 2, 7)
    with pytest.raises(
        ValueError, match=r"RtoInfo cannot be set for <Scope.ALL: 2>; accepted: an association, Scope.FUT"
    ):
        codec.encode_option(RtoInfo(initial=1), Scope.ALL)
    with pytest.raises(
        ValueError, match=r"AddStreams cannot be set for <Scope.CURRENT: 1>; accepted: an association$"
    ):
        codec.encode_option(AddStreams(1), Scope.CURRENT)
    assert codec.encode_option(StreamSchedulerValue(1, 2), Scope.CURRENT) == native("iHH", 1, 1, 2)
    # Not per association: there is nothing to choose.
    assert codec.encode_option(NoDelay(), Scope.ALL) == native("i", 1)


def test_what_a_row_says_of_an_error() -> None:
    spec = codec.option(ResetStreams)
    assert spec.explain(errno.EINVAL) == "SCTP_RESET_STREAMS"
    assert spec.explain(errno.ENOPROTOOPT) == (
        "SCTP_RESET_STREAMS; in Linux since 4.11; "
        "needs ReconfigSupported on both ends and EnableStreamReset on this one"
    )
    assert codec.option(AuthKey).explain(errno.EACCES) == "SCTP_AUTH_KEY; needs AuthSupported on the socket"
    assert codec.option(PlpmtudProbeInterval).explain(errno.ENOPROTOOPT) == (
        "SCTP_PLPMTUD_PROBE_INTERVAL; in Linux since 5.14"
    )


def test_a_count_beyond_the_bytes_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="gaids_number_of_ids says 3 items, 8 bytes were given"):
        codec.decode_option(AssociationIds, native("I2i", 3, 7, 8))


def test_encode_query_refuses() -> None:
    with pytest.raises(ValueError, match=r"RtoInfo is not the option of a path: '10\.0\.0\.1:5000'"):
        codec.encode_query(RtoInfo, 0, ADDRESS)
    for address in (Address((), 1), Address("10.0.0.1/10.0.0.2", 1)):
        with pytest.raises(ValueError, match="accepted: one host"):
            codec.encode_query(PeerAddressInfo, 0, address)
    with pytest.raises(ValueError, match=r"^sctp_rtoinfo: "):
        codec.encode_query(RtoInfo, 2**31)
    specs = tuple(dataclasses.replace(spec, readable=False) for spec in LINUX.options)
    with pytest.raises(ValueError, match="NoDelay cannot be read, only set"):
        Codec(dataclasses.replace(LINUX, options=specs)).encode_query(NoDelay)


REFUSED: list[tuple[Option, str]] = [
    (PATH, "PeerAddressInfo cannot be set"),
    (STATISTICS, "AssociationStatistics cannot be set"),
    (AssocInfo(peer_rwnd=0), "AssocInfo: peer_rwnd=0 cannot be set"),
    (NoDelay(None), "NoDelay: enabled=None; accepted: a value"),
    (MaxSegment(), "MaxSegment: size=None; accepted: a value"),
    (PrStreamStatus(1), "PrStreamStatus cannot be set, only read"),
    (EnableStreamReset(reset_streams=True), "EnableStreamReset: reset_association=None; accepted: a value"),
    (StreamSchedulerValue(3), "StreamSchedulerValue: value=None; accepted: a value"),
    (DefaultSendParameters(stream=3), "DefaultSendParameters: ppid=None; accepted: a value"),
    (
        PeerAddressParameters(heartbeat=False, heartbeat_interval=1.0),
        "heartbeat_interval=1.0 with heartbeat=False would be ignored",
    ),
    (
        PeerAddressParameters(delayed_sack=False, sack_delay=0.1),
        "sack_delay=0.1 with delayed_sack=False would be ignored",
    ),
    (
        PeerAddressParameters(path_mtu=1200, path_mtu_discovery=True),
        "path_mtu=1200 with path_mtu_discovery=True would be ignored; accepted: path_mtu=None or "
        "path_mtu_discovery=False",
    ),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED)
def test_encode_option_refuses(value: Option, reason: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be set|accepted") as caught:
        codec.encode_option(value)
    assert reason in str(caught.value)


def test_merge() -> None:
    current = DefaultSendParameters(1, 2, 3, False, 4.0)
    value = DefaultSendParameters(ppid=60, unordered=True)
    assert codec.option(DefaultSendParameters).needs_merge(value)
    merged = codec.merge(value, current)
    assert merged == DefaultSendParameters(1, 60, 3, True, 4.0)
    assert not codec.option(DefaultSendParameters).needs_merge(merged)
    assert codec.merge(RtoInfo(initial=0.5), RtoInfo(3, 60, 1)) == RtoInfo(0.5, 60, 1)
    merged_bits = codec.merge(EnableStreamReset(add_streams=True), EnableStreamReset(True, False, False))
    assert merged_bits == EnableStreamReset(True, False, True)


def test_merge_leaves_out_what_cannot_be_set() -> None:
    merged = codec.merge(AssocInfo(cookie_life=1), AssocInfo(10, 60.0, 2, 100, 200))
    assert merged == AssocInfo(10, 1)
    assert codec.encode_option(merged) == native("iHHIII", 0, 10, 0, 0, 0, 1000)


def test_merge_refuses_different_options() -> None:
    with pytest.raises(TypeError, match="are different options"):
        codec.merge(NoDelay(), MaxSegment())


@pytest.mark.parametrize(
    ("value", "needed"),
    [
        (RtoInfo(), False),
        (InitMsg(), False),
        (AssocInfo(), False),
        (DelayedSack(), False),
        (PeerAddressParameters(), False),
        (MaxSegment(), True),
        (MaxSegment(0), False),
        (NoDelay(None), True),
        (SendBuffer(), True),
        (DefaultPrInfo(), False),
        (EnableStreamReset(add_streams=True), True),
        (AuthKey(1, b"x"), False),
        (UdpEncapsulation(None, 1), False),
        (UdpEncapsulation(ADDRESS), True),
    ],
)
def test_needs_merge(value: Option, needed: bool) -> None:
    assert codec.option(type(value)).needs_merge(value) is needed


def test_a_host_may_have_longer_durations_than_a_program_can_set() -> None:
    # net.sctp.rto_max can be a day.
    reported = codec.decode_option(RtoInfo, native("iIII", 0, 120_000, 86_400_000, 61_000))
    assert (reported.initial, reported.maximum, reported.minimum) == (120.0, 86_400.0, 61.0)
    merged = codec.merge(RtoInfo(initial=0.5), reported)
    assert (merged.initial, merged.maximum, merged.minimum) == (0.5, 86_400.0, 61.0)
    assert codec.encode_option(merged) == native("iIII", 0, 500, 86_400_000, 61_000)


@given(st.floats(min_value=0, max_value=60, exclude_min=True))
def test_a_positive_duration_is_never_nothing(duration: float) -> None:
    data = codec.encode_option(RtoInfo(initial=duration))
    (milliseconds,) = struct.unpack_from("=I", data, 4)
    assert milliseconds >= 1
    assert abs(milliseconds - duration * 1000) <= 1
