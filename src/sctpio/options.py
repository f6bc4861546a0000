"""Options: typed values for what can be read and set on a socket, association or path.

``get_option(RtoInfo)`` returns a value, ``set_option(RtoInfo(initial=0.5))`` sets one; a field
that is None leaves what is there. Durations are float seconds, rounded to the unit of the stack,
a positive one never to 0. A value out of range is a ValueError when the option is made.

Each field's rule stands in its annotation. An option is added by one dataclass here and one row
in the table of each stack (`_linux`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, get_args, get_type_hints

from ._rules import Boolean, Integer, Path, ReadOnly, Rule, Seconds
from .address import Address
from .events import OpenIntEnum

__all__ = [
    "Adaptation",
    "AsconfSupported",
    "AssocInfo",
    "AssociationStatistics",
    "AuthSupported",
    "AutoClose",
    "DefaultSendParameters",
    "DelayedSack",
    "ExposePotentiallyFailed",
    "InitMsg",
    "MaxSegment",
    "NoDelay",
    "Option",
    "PathState",
    "PeerAddressInfo",
    "PeerAddressParameters",
    "PeerAddressThresholds",
    "PeerPrimaryAddress",
    "PrimaryAddress",
    "ProtocolState",
    "ReceiveBuffer",
    "ReusePort",
    "RtoInfo",
    "Scope",
    "SendBuffer",
    "Status",
]

_U16 = 0xFFFF
_U32 = 0xFFFFFFFF

Count16 = Annotated[int | None, Integer(1, _U16)]
Number16 = Annotated[int | None, Integer(0, _U16)]
Number32 = Annotated[int | None, Integer(0, _U32)]
Bytes = Annotated[int | None, Integer(1, 0x7FFFFFFF)]
Switch = Annotated[bool | None, Boolean()]
Milliseconds = Annotated[float | None, Seconds(0.001, _U32 / 1000)]
MillisecondsOrZero = Annotated[float | None, Seconds(0, _U32 / 1000)]
SackDelay = Annotated[float | None, Seconds(0, 0.5)]


class Scope(enum.IntEnum):
    """Which associations of an endpoint an option or event is set for (RFC 6458 section 7.2).

    In place of one association's number: FUTURE, those that are still to come; CURRENT, those that are
    there; ALL, both. Each option takes some of these: the rest is an OSError (EINVAL).
    """

    FUTURE = 0
    CURRENT = 1
    ALL = 2


class ProtocolState(OpenIntEnum):
    """The state of an association (enum sctp_sstat_state, RFC 9260 section 4)."""

    EMPTY = 0
    CLOSED = 1
    COOKIE_WAIT = 2
    COOKIE_ECHOED = 3
    ESTABLISHED = 4
    SHUTDOWN_PENDING = 5
    SHUTDOWN_SENT = 6
    SHUTDOWN_RECEIVED = 7
    SHUTDOWN_ACK_SENT = 8


class PathState(OpenIntEnum):
    """The state of a path (enum sctp_spinfo_state, RFC 6458 section 8.2.2)."""

    INACTIVE = 0
    POTENTIALLY_FAILED = 1
    ACTIVE = 2
    UNCONFIRMED = 3
    UNKNOWN = 0xFFFF


_annotations: dict[type[Option], tuple[tuple[tuple[str, Rule], ...], frozenset[str]]] = {}


def _annotated(kind: type[Option]) -> tuple[tuple[tuple[str, Rule], ...], frozenset[str]]:
    """Return the rules of an option's fields, and the names of those that are read only."""
    found = _annotations.get(kind)
    if found is None:
        marks = [
            (name, mark)
            for name, hint in get_type_hints(kind, include_extras=True).items()
            for mark in get_args(hint)[1:]
        ]
        rules = tuple((name, mark) for name, mark in marks if isinstance(mark, Rule))
        fixed = frozenset(name for name, mark in marks if mark is ReadOnly)
        found = _annotations[kind] = (rules, fixed)
    return found


def read_only_fields(kind: type[Option]) -> frozenset[str]:
    """Name the fields of an option that a stack reports but does not take."""
    return _annotated(kind)[1]


@dataclass(frozen=True, slots=True)
class Option:
    """The base of all options; it checks each field by the rule in the field's annotation."""

    def __post_init__(self) -> None:
        kind = type(self)
        for name, rule in _annotated(kind)[0]:
            value = getattr(self, name)
            if value is not None and not rule.accepts(value):
                raise ValueError(f"{kind.__name__}: {name}={value!r}; accepted: {rule}")


@dataclass(frozen=True, slots=True)
class InitMsg(Option):
    """How associations are set up (SCTP_INITMSG, RFC 6458 section 8.1.3).

    The stream counts are what INIT asks for and allows (1 to 65535). `max_attempts` counts
    retransmissions of INIT (1 to 65535); `max_init_timeout` bounds the time between two of them,
    in seconds up to 65.535.
    """

    outbound_streams: Count16 = None
    inbound_streams: Count16 = None
    max_attempts: Count16 = None
    max_init_timeout: Annotated[float | None, Seconds(0.001, _U16 / 1000)] = None


@dataclass(frozen=True, slots=True)
class NoDelay(Option):
    """Whether small messages are sent at once, without Nagle's delay (SCTP_NODELAY, 8.1.5)."""

    enabled: Switch = True


@dataclass(frozen=True, slots=True)
class RtoInfo(Option):
    """The retransmission timeout and its bounds, in seconds (SCTP_RTOINFO, RFC 6458 8.1.1)."""

    initial: Milliseconds = None
    maximum: Milliseconds = None
    minimum: Milliseconds = None


@dataclass(frozen=True, slots=True)
class AssocInfo(Option):
    """Limits of an association (SCTP_ASSOCINFO, RFC 6458 section 8.1.2).

    `max_retransmissions` is the number of retransmissions, over all paths, after which the peer
    counts as lost; `cookie_life` is in seconds. Read only: the number of the peer's addresses,
    and the peer's and the local receive window in bytes.
    """

    max_retransmissions: Count16 = None
    cookie_life: Milliseconds = None
    peer_destinations: Annotated[Number16, ReadOnly] = None
    peer_rwnd: Annotated[Number32, ReadOnly] = None
    local_rwnd: Annotated[Number32, ReadOnly] = None


@dataclass(frozen=True, slots=True)
class PeerAddressInfo(Option):
    """One path, as it is now (SCTP_GET_PEER_ADDR_INFO, RFC 6458 section 8.2.2). Read only.

    `cwnd` and `mtu` are bytes; `srtt` and `rto` are seconds. It is asked for with an address.
    """

    address: Address
    state: PathState
    cwnd: int
    srtt: float
    rto: float
    mtu: int


@dataclass(frozen=True, slots=True)
class Status(Option):
    """An association, as it is now (SCTP_STATUS, RFC 6458 section 8.2.1). Read only.

    `rwnd` is the peer's receive window and `fragmentation_point` the largest message that needs
    no fragments, both in bytes; `unacknowledged` counts chunks sent, `pending` chunks received
    and not yet read.
    """

    state: ProtocolState
    rwnd: int
    unacknowledged: int
    pending: int
    inbound_streams: int
    outbound_streams: int
    fragmentation_point: int
    primary: PeerAddressInfo
    association_id: int


@dataclass(frozen=True, slots=True)
class PeerAddressParameters(Option):
    """How a path is watched and used (SCTP_PEER_ADDR_PARAMS, RFC 6458 section 8.1.12).

    `address` (one host) chooses the path; None is all paths of the association, or of the
    socket's future ones. `heartbeat_interval` is in seconds on top of the path's RTO; giving it
    turns heartbeats on, because a stack ignores it otherwise. `path_max_retransmissions` is the
    number after which the path is inactive. `path_mtu` (bytes) can be set only together with
    ``path_mtu_discovery=False``. `sack_delay` is in seconds up to 0.5; giving it turns delayed
    SACKs on. `ipv6_flow_label` has 20 bits, `dscp` is the code point (0 to 63).
    `demand_heartbeat` sends one heartbeat now, and is never reported.
    """

    address: Annotated[Address | None, Path()] = None
    heartbeat: Switch = None
    heartbeat_interval: MillisecondsOrZero = None
    path_max_retransmissions: Count16 = None
    path_mtu: Annotated[int | None, Integer(1, _U32)] = None
    path_mtu_discovery: Switch = None
    sack_delay: Annotated[float | None, Seconds(0.001, 0.5)] = None
    delayed_sack: Switch = None
    ipv6_flow_label: Annotated[int | None, Integer(0, 0xFFFFF)] = None
    dscp: Annotated[int | None, Integer(0, 63)] = None
    demand_heartbeat: Switch = None

    def __post_init__(self) -> None:
        # Option.__post_init__, not super(): slots=True makes a second class, which breaks super().
        Option.__post_init__(self)
        if self.path_mtu is not None and self.path_mtu_discovery is None:
            raise ValueError(
                f"PeerAddressParameters: path_mtu={self.path_mtu!r} takes effect only with "
                "path_mtu_discovery=False"
            )


@dataclass(frozen=True, slots=True)
class DelayedSack(Option):
    """When received data is acknowledged (SCTP_DELAYED_SACK, RFC 6458 section 8.1.19).

    At the latest `delay` seconds (up to 0.5) after a packet, and with every `frequency`-th
    packet; frequency 1 means at once. A delay of 0 goes only with frequency 1: that is what is
    reported where SACKs are not delayed.
    """

    delay: SackDelay = None
    frequency: Annotated[int | None, Integer(1, _U32)] = None

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        if self.delay == 0 and self.frequency != 1:
            raise ValueError(
                f"DelayedSack: delay={self.delay!r}; accepted: 0.001 to 0.5 seconds, or "
                "frequency=1 for no delay"
            )


@dataclass(frozen=True, slots=True)
class MaxSegment(Option):
    """The largest fragment of a message, in bytes; 0 is what the path allows (SCTP_MAXSEG)."""

    size: Number16 = None


@dataclass(frozen=True, slots=True)
class AutoClose(Option):
    """Seconds after which an idle association is closed, 0 for never (SCTP_AUTOCLOSE, 8.1.8).

    Whole seconds; one-to-many sockets only.
    """

    delay: Annotated[float | None, Seconds(0, _U32)] = None


@dataclass(frozen=True, slots=True)
class Adaptation(Option):
    """The adaptation layer told to future peers (SCTP_ADAPTATION_LAYER, RFC 6458 8.1.10)."""

    indication: Number32 = None


@dataclass(frozen=True, slots=True)
class DefaultSendParameters(Option):
    """What a send uses where it does not say (SCTP_DEFAULT_SEND_PARAM, RFC 6458 8.1.13).

    `lifetime` is in seconds, 0 for no limit (RFC 3758).
    """

    stream: Number16 = None
    ppid: Number32 = None
    context: Number32 = None
    unordered: Switch = None
    lifetime: MillisecondsOrZero = None


@dataclass(frozen=True, slots=True)
class SendBuffer(Option):
    """The bytes that may wait to be acknowledged, and the largest message (SO_SNDBUF).

    Linux clamps what is set to net.core.wmem_max and doubles it: the double is reported.
    """

    size: Bytes = None


@dataclass(frozen=True, slots=True)
class ReceiveBuffer(Option):
    """The bytes that may wait to be read; set it before connect or listen (SO_RCVBUF).

    Linux clamps what is set to net.core.rmem_max and doubles it: the double is reported.
    """

    size: Bytes = None


@dataclass(frozen=True, slots=True)
class AssociationStatistics(Option):
    """Counters of an association since it began (SCTP_GET_ASSOC_STATS, Linux). Read only.

    `max_rto` is the largest timeout, in seconds, since the last time that this was read, and
    `max_rto_address` the path that had it, None where no path is known.
    """

    max_rto: float
    max_rto_address: Address | None
    sacks_received: int
    sacks_sent: int
    packets_sent: int
    packets_received: int
    retransmitted_chunks: int
    out_of_sequence_tsns: int
    duplicate_chunks: int
    gap_acknowledgements: int
    unordered_chunks_sent: int
    unordered_chunks_received: int
    ordered_chunks_sent: int
    ordered_chunks_received: int
    control_chunks_sent: int
    control_chunks_received: int
    association_id: int


@dataclass(frozen=True, slots=True)
class PrimaryAddress(Option):
    """The path that an association sends over by default (SCTP_PRIMARY_ADDR, RFC 6458 8.1.9).

    `address` is one of the peer's, with its port.
    """

    address: Annotated[Address | None, Path()] = None


@dataclass(frozen=True, slots=True)
class PeerPrimaryAddress(Option):
    """Ask the peer to send to one of the local addresses by default (SCTP_SET_PEER_PRIMARY_ADDR, 8.3.1).

    Both ends need `AsconfSupported` (RFC 5061 section 5.1). Write only.
    """

    address: Annotated[Address | None, Path()] = None


@dataclass(frozen=True, slots=True)
class PeerAddressThresholds(Option):
    """How many timeouts make a path suspicious (SCTP_PEER_ADDR_THLDS_V2, RFC 7829 section 7.2; Linux 5.5).

    `address` (one host) chooses the path; None is all of them. After `potentially_failed` timeouts in a
    row data moves to another path, after `path_max_retransmissions` the path is inactive, after
    `change_primary` another path becomes the primary one for good (65535 is never).
    """

    address: Annotated[Address | None, Path()] = None
    path_max_retransmissions: Count16 = None
    potentially_failed: Number16 = None
    change_primary: Number16 = None


@dataclass(frozen=True, slots=True)
class ExposePotentiallyFailed(Option):
    """Whether the potentially-failed state is told (SCTP_EXPOSE_POTENTIALLY_FAILED_STATE, RFC 7829 7.3).

    True adds PeerAddressChange events of that state; False hides it. What a socket reports as None is
    unset: the state is visible to queries, and makes no event.
    """

    enabled: Switch = None


@dataclass(frozen=True, slots=True)
class ReusePort(Option):
    """Let several sockets of one user listen on one port, and share its associations (SO_REUSEPORT).

    Each socket of the port needs it, set before it is bound: `listen(..., options=[ReusePort()])`.
    """

    enabled: Switch = True


@dataclass(frozen=True, slots=True)
class AsconfSupported(Option):
    """Whether addresses can change during an association (SCTP_ASCONF_SUPPORTED, RFC 5061; Linux 5.4).

    Set it on both ends before the association is made, together with `AuthSupported`: RFC 5061 wants such
    changes authenticated. On an association it tells whether both ends have it.
    """

    enabled: Switch = True


@dataclass(frozen=True, slots=True)
class AuthSupported(Option):
    """Whether chunks can be authenticated (SCTP_AUTH_SUPPORTED, RFC 4895; Linux 5.4).

    Set it on both ends before the association is made.
    """

    enabled: Switch = True
