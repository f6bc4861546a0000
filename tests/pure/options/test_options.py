from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import options
from sctpio._abi.codec import Codec
from sctpio._abi.linux import LINUX
from sctpio.address import Address
from sctpio.options import (
    Adaptation,
    AddStreams,
    AssocInfo,
    AuthActiveKey,
    AuthChunk,
    AuthKey,
    AutoClose,
    Context,
    DefaultPrInfo,
    DefaultSendParameters,
    DelayedSack,
    EnableStreamReset,
    ExposePotentiallyFailed,
    FragmentInterleave,
    HmacIdentifier,
    HmacIdentifiers,
    InitMsg,
    MaxBurst,
    MaxSegment,
    NoDelay,
    Option,
    PartialDeliveryPoint,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    PeerAddressThresholds,
    PlpmtudProbeInterval,
    PrAssociationStatus,
    PrimaryAddress,
    ProtocolState,
    PrPolicy,
    PrStreamStatus,
    ReceiveBuffer,
    ResetAssociation,
    ResetStreams,
    RtoInfo,
    Scheduler,
    Scope,
    SendBuffer,
    Status,
    StreamScheduler,
    StreamSchedulerValue,
    UdpEncapsulation,
)
from sctpio.options.base import Rule, Toggle, as_reported, read_only_fields

ADDRESS = Address("10.0.0.1", 5000)

ACCEPTED: list[tuple[type[Any], dict[str, Any]]] = [
    (InitMsg, {}),
    (InitMsg, {"outbound_streams": 1, "inbound_streams": 65535, "max_attempts": 1}),
    (InitMsg, {"max_init_timeout": 65.535}),
    (InitMsg, {"max_init_timeout": 0.0001}),
    (NoDelay, {"enabled": False}),
    (RtoInfo, {"initial": 60, "maximum": 600.0, "minimum": 0.001}),
    (AssocInfo, {"max_retransmissions": 65535, "cookie_life": 3600, "peer_rwnd": 0}),
    (PeerAddressParameters, {"address": ADDRESS}),
    (PeerAddressParameters, {"heartbeat_interval": 0}),
    (PeerAddressParameters, {"heartbeat_interval": 3600}),
    (PeerAddressParameters, {"path_mtu": 1200, "path_mtu_discovery": False}),
    (PeerAddressParameters, {"sack_delay": 0.5, "ipv6_flow_label": 0xFFFFF, "dscp": 63}),
    (DelayedSack, {"delay": 0, "frequency": 1}),
    (DelayedSack, {"delay": 0.5}),
    (DelayedSack, {"frequency": 2}),
    (MaxSegment, {"size": 0}),
    (AutoClose, {"delay": 0}),
    (AutoClose, {"delay": 4294967295}),
    (Adaptation, {"indication": 4294967295}),
    (DefaultSendParameters, {"stream": 65535, "ppid": 0, "context": 1, "lifetime": 0}),
    (SendBuffer, {"size": 2147483647}),
    (ReceiveBuffer, {"size": 1}),
    (PrimaryAddress, {"address": ADDRESS}),
    (PeerAddressThresholds, {"potentially_failed": 0, "change_primary": 65535}),
    (ExposePotentiallyFailed, {"enabled": False}),
    (FragmentInterleave, {"level": 2}),
    (MaxBurst, {"packets": 0}),
    (Context, {"value": 4294967295}),
    (UdpEncapsulation, {"address": ADDRESS, "port": 0}),
    (PlpmtudProbeInterval, {"interval": 0}),
    (PlpmtudProbeInterval, {"interval": 5.0}),
    (PlpmtudProbeInterval, {"interval": 3600.0}),
    (AuthChunk, {"chunk": 0}),
    (AuthChunk, {"chunk": 0xC1}),
    (HmacIdentifiers, {"identifiers": (HmacIdentifier.SHA1,)}),
    (HmacIdentifiers, {"identifiers": (HmacIdentifier(4), HmacIdentifier.SHA1)}),
    (AuthKey, {"number": 0, "key": b"x" * 65535}),
    (DefaultPrInfo, {"lifetime": 0}),
    (DefaultPrInfo, {"max_retransmissions": 0}),
    (PrAssociationStatus, {"policy": PrPolicy.LIFETIME}),
    (PrStreamStatus, {"stream": 65535}),
    (EnableStreamReset, {"add_streams": False}),
    (ResetStreams, {"incoming": True, "streams": (0, 65535)}),
    (AddStreams, {"inbound": 1}),
    (StreamScheduler, {"scheduler": Scheduler(99)}),
    (StreamSchedulerValue, {"stream": 0, "value": 65535}),
]

REFUSED: list[tuple[type[Any], str, Any, str]] = [
    (InitMsg, "outbound_streams", 0, "an int from 1 to 65535"),
    (InitMsg, "outbound_streams", True, "an int from 1 to 65535"),
    (InitMsg, "inbound_streams", 65536, "an int from 1 to 65535"),
    (InitMsg, "max_attempts", 1.0, "an int from 1 to 65535"),
    (InitMsg, "max_init_timeout", 65.536, "seconds from 0.001 to 65.535"),
    (InitMsg, "max_init_timeout", 0, "seconds from 0.001 to 65.535"),
    (NoDelay, "enabled", 1, "True or False"),
    (RtoInfo, "initial", math.nan, "seconds from 0.001 to 60"),
    (RtoInfo, "initial", math.inf, "seconds from 0.001 to 60"),
    (RtoInfo, "maximum", -1.0, "seconds from 0.001 to 600"),
    (RtoInfo, "minimum", True, "seconds from 0.001 to 60"),
    (RtoInfo, "minimum", "1", "seconds from 0.001 to 60"),
    (RtoInfo, "minimum", 4294967.2955, "seconds from 0.001 to 60"),
    (AssocInfo, "max_retransmissions", 0, "an int from 1 to 65535"),
    (AssocInfo, "cookie_life", 0.0, "seconds from 0.001 to 3600"),
    (AssocInfo, "local_rwnd", -1, "an int from 0 to 4294967295"),
    (PeerAddressParameters, "address", "10.0.0.1:5000", "an Address of one host"),
    (PeerAddressParameters, "address", Address("10.0.0.1/10.0.0.2", 1), "an Address of one host"),
    (PeerAddressParameters, "address", Address((), 1), "an Address of one host"),
    (PeerAddressParameters, "heartbeat", 1, "True or False"),
    (PeerAddressParameters, "heartbeat_interval", -0.1, "seconds from 0 to 3600"),
    (PeerAddressParameters, "heartbeat_interval", False, "seconds from 0 to 3600"),
    (PeerAddressParameters, "path_max_retransmissions", 0, "an int from 1 to 65535"),
    (PeerAddressParameters, "path_mtu", 0, "an int from 1 to 4294967295"),
    (PeerAddressParameters, "sack_delay", 0.501, "seconds from 0.001 to 0.5"),
    (PeerAddressParameters, "sack_delay", 0, "seconds from 0.001 to 0.5"),
    (PeerAddressParameters, "ipv6_flow_label", 0x100000, "an int from 0 to 1048575"),
    (PeerAddressParameters, "dscp", 64, "an int from 0 to 63"),
    (PeerAddressParameters, "demand_heartbeat", 0, "True or False"),
    (DelayedSack, "delay", 0.6, "seconds from 0 to 0.5"),
    (DelayedSack, "frequency", 0, "an int from 1 to 4294967295"),
    (MaxSegment, "size", 65536, "an int from 0 to 65535"),
    (AutoClose, "delay", 4294967296, "seconds from 0 to 4294967295"),
    (Adaptation, "indication", -1, "an int from 0 to 4294967295"),
    (DefaultSendParameters, "stream", 65536, "an int from 0 to 65535"),
    (DefaultSendParameters, "ppid", 4294967296, "an int from 0 to 4294967295"),
    (DefaultSendParameters, "unordered", 0, "True or False"),
    (DefaultSendParameters, "lifetime", -1, "seconds from 0 to 4294967.295"),
    (SendBuffer, "size", 0, "an int from 1 to 2147483647"),
    (ReceiveBuffer, "size", 2147483648, "an int from 1 to 2147483647"),
    (FragmentInterleave, "level", 3, "an int from 0 to 2"),
    (PartialDeliveryPoint, "size", -1, "an int from 0 to 4294967295"),
    (UdpEncapsulation, "port", 65536, "an int from 0 to 65535"),
    (PlpmtudProbeInterval, "interval", 4.999, "0, or seconds from 5 to 3600"),
    (PlpmtudProbeInterval, "interval", -1, "seconds from 0 to 3600"),
    (AuthChunk, "chunk", 256, "an int from 0 to 255 but 1, 2, 14, 15"),
    (AuthChunk, "chunk", 15, "an int from 0 to 255 but 1, 2, 14, 15"),
    (HmacIdentifiers, "identifiers", (), "a tuple of 1 to 4 times a HmacIdentifier (SHA1, SHA256)"),
    (HmacIdentifiers, "identifiers", (1,), "a tuple of 1 to 4 times a HmacIdentifier (SHA1, SHA256)"),
    (
        HmacIdentifiers,
        "identifiers",
        [HmacIdentifier.SHA1],
        "a tuple of 1 to 4 times a HmacIdentifier (SHA1, SHA256)",
    ),
    (HmacIdentifiers, "identifiers", (HmacIdentifier.SHA256,), "what has HmacIdentifier.SHA1"),
    (AuthActiveKey, "number", 65536, "an int from 0 to 65535"),
    (
        PrAssociationStatus,
        "policy",
        0x10,
        "a PrPolicy (NONE, LIFETIME, RETRANSMISSIONS, PRIORITY, ALL)",
    ),
    (AddStreams, "outbound", 65536, "an int from 0 to 65535"),
    (ResetStreams, "streams", (65536,), "a tuple of 0 to 65535 times an int from 0 to 65535"),
    (
        StreamScheduler,
        "scheduler",
        1,
        "a Scheduler (FCFS, PRIORITY, ROUND_ROBIN, FAIR_CAPACITY, WEIGHTED_FAIR)",
    ),
]


@pytest.mark.parametrize(("kind", "values"), ACCEPTED)
def test_accepted(kind: type[Any], values: dict[str, Any]) -> None:
    option = kind(**values)
    for name, value in values.items():
        assert getattr(option, name) == value


@pytest.mark.parametrize(("kind", "name", "value", "accepted"), REFUSED)
def test_refused(kind: type[Any], name: str, value: Any, accepted: str) -> None:
    with pytest.raises(ValueError, match="accepted") as caught:
        kind(**{name: value})
    assert str(caught.value) == f"{kind.__name__}: {name}={value!r}; accepted: {accepted}"


def test_a_path_mtu_needs_discovery_to_be_off() -> None:
    with pytest.raises(ValueError, match="path_mtu=1200 takes effect only with path_mtu_discovery=Fa"):
        PeerAddressParameters(path_mtu=1200)


@pytest.mark.parametrize("frequency", [None, 2])
def test_a_sack_delay_of_zero_is_a_frequency_of_one(frequency: int | None) -> None:
    with pytest.raises(ValueError, match=r"DelayedSack: delay=0.0; accepted: .*frequency=1"):
        DelayedSack(delay=0.0, frequency=frequency)


def test_a_key_is_never_shown() -> None:
    assert repr(AuthKey(5, b"secret")) == "AuthKey(number=5)"
    for key, shown in ((b"", "<0 bytes>"), (b"secret" * 20000, "<120000 bytes>"), ("secret", "<str>")):
        with pytest.raises(ValueError, match="accepted") as caught:
            AuthKey(5, key)  # type: ignore[arg-type]
        assert str(caught.value) == f"AuthKey: key={shown}; accepted: 1 to 65535 bytes"


@pytest.mark.parametrize(
    ("kind", "values", "accepted"),
    [
        (DefaultPrInfo, {"lifetime": 1, "priority": 1}, "one of the three, or none"),
        (ResetStreams, {"streams": (1,)}, "incoming=True, outgoing=True, or both"),
        (AddStreams, {}, "outbound or inbound from 1 to 65535, or both"),
    ],
)
def test_fields_that_need_or_exclude_each_other(
    kind: type[Any], values: dict[str, Any], accepted: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\(.*\); accepted: {accepted}$"):
        kind(**values)


def test_scopes() -> None:
    assert [(scope.name, scope.value) for scope in Scope] == [("FUTURE", 0), ("CURRENT", 1), ("ALL", 2)]


@pytest.mark.parametrize(
    ("kind", "field", "value", "longest", "meant"),
    [
        (InitMsg, "max_init_timeout", 3000, 65.535, 3),
        (RtoInfo, "initial", 200, 60, 0.2),
        (RtoInfo, "initial", 61.0, 60, 0.061),
        (RtoInfo, "minimum", 1000, 60, 1),
        (RtoInfo, "maximum", 60_000, 600, 60),
        (AssocInfo, "cookie_life", 60_000, 3600, 60),
        (PeerAddressParameters, "heartbeat_interval", 30_000, 3600, 30),
        (PeerAddressParameters, "sack_delay", 200, 0.5, 0.2),
        (DelayedSack, "delay", 200, 0.5, 0.2),
        (PlpmtudProbeInterval, "interval", 5000, 3600, 5),
    ],
)
def test_milliseconds_are_told_from_seconds(
    kind: type[Any], field: str, value: float, longest: float, meant: float
) -> None:
    with pytest.raises(ValueError, match="seconds") as caught:
        kind(**{field: value})
    assert str(caught.value).startswith(f"{kind.__name__}: {field}={value!r}; accepted: seconds from 0")
    assert str(caught.value).endswith(f" to {longest:g}; {value:g} milliseconds are {meant:g} seconds")


def test_nothing_is_guessed_where_milliseconds_are_too_much_as_well() -> None:
    with pytest.raises(ValueError, match="accepted: seconds from 0 to 0.5$"):
        DelayedSack(delay=501)
    with pytest.raises(ValueError, match="accepted: seconds from 0.001 to 60$"):
        RtoInfo(initial=61.5)


def test_a_stack_may_report_what_a_program_could_not_set() -> None:
    long = {"initial": 3.0, "maximum": 86400.0, "minimum": 4294967.295}
    reported = as_reported(RtoInfo, long)
    assert type(reported) is RtoInfo
    assert dataclasses.asdict(reported) == long
    assert copy.copy(reported) == reported
    with pytest.raises(ValueError, match="seconds from 0.001 to 600"):
        dataclasses.replace(reported, initial=1.0)
    for bad in (-1.0, 4294967.296):
        with pytest.raises(ValueError, match="seconds from 0.001 to 60"):
            as_reported(RtoInfo, long | {"minimum": bad})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: RtoInfo(inital=0.5),  # type: ignore[call-arg]
            "RtoInfo has no field 'inital'; accepted: initial, maximum, minimum",
        ),
        (lambda: NoDelay(on=True), "NoDelay has no field 'on'; accepted: enabled"),  # type: ignore[call-arg]
        (
            lambda: ResetAssociation(all=True),  # type: ignore[call-arg]
            "ResetAssociation has no field 'all'; accepted: none",
        ),
        (
            lambda: dataclasses.replace(RtoInfo(), maximal=2.0),  # type: ignore[call-arg]
            "RtoInfo has no field 'maximal'; accepted: initial, maximum, minimum",
        ),
    ],
)
def test_an_unknown_field_is_told_which_there_are(make: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == text


@given(st.floats())
def test_a_duration_is_positive_and_bounded(value: float) -> None:
    valid = 0 < value <= 60
    try:
        RtoInfo(initial=value)
    except ValueError:
        assert not valid
    else:
        assert valid


def concrete() -> list[type[Option]]:
    found = [vars(options)[name] for name in options.__all__]
    return [
        kind for kind in found if isinstance(kind, type) and issubclass(kind, Option) and kind is not Option
    ]


@pytest.mark.parametrize("kind", concrete())
def test_every_option_is_a_frozen_value(kind: type[Option]) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__dict__" not in dir(kind)


def can_be_left(kind: type[Option]) -> bool:
    spec = Codec(LINUX).option(kind)
    return spec.readable and spec.writable and not spec.keys and kind is not HmacIdentifiers


@pytest.mark.parametrize("kind", [kind for kind in concrete() if can_be_left(kind)])
def test_every_field_that_can_be_set_can_be_left(kind: type[Any]) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    option = kind(**dict.fromkeys(names))
    assert all(getattr(option, name) is None for name in names)
    # Named without a value, what is on or off is turned on.
    default = True if issubclass(kind, Toggle) else None
    assert [f.default for f in dataclasses.fields(kind)] == [default for _ in names]


@pytest.mark.parametrize("kind", concrete())
def test_every_field_that_can_be_set_has_a_rule(kind: type[Any]) -> None:
    if Codec(LINUX).option(kind).writable:
        hints = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            assert any(isinstance(mark, Rule) for mark in hints[field.name].__metadata__), field.name


def test_read_only_fields() -> None:
    assert read_only_fields(AssocInfo) == {"peer_destinations", "peer_rwnd", "local_rwnd"}
    assert read_only_fields(RtoInfo) == frozenset()


def test_states() -> None:
    assert PathState(0xFFFF) is PathState.UNKNOWN
    assert PathState(2) is PathState.ACTIVE
    assert ProtocolState(4) is ProtocolState.ESTABLISHED
    assert ProtocolState(9).name == "UNKNOWN_9"


def test_order_of_the_fields_of_a_report() -> None:
    path = PeerAddressInfo(ADDRESS, PathState.ACTIVE, 4380, 0.001, 3.0, 1500)
    status = Status(ProtocolState.ESTABLISHED, 106496, 1, 2, 3, 4, 1452, path, 5)
    assert (path.cwnd, path.srtt, path.rto, path.mtu) == (4380, 0.001, 3.0, 1500)
    assert (status.rwnd, status.unacknowledged, status.pending) == (106496, 1, 2)
    assert (status.inbound_streams, status.outbound_streams) == (3, 4)
    assert (status.fragmentation_point, status.association_id) == (1452, 5)


def test_the_base_of_rules_decides_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Rule().accepts(1)
    assert Rule().show("x") == "'x'"
