"""Options about sockets and associations: set-up, timers, acknowledgements, buffers, defaults of a send."""

from __future__ import annotations

from typing import Annotated

from .._value import dataclass
from ..address import Address
from ..events import OpenIntEnum
from .base import (
    U16,
    U32,
    Bytes,
    Count16,
    HourAtMost,
    Integer,
    MillisecondsOrZero,
    MinuteAtMost,
    Number16,
    Number32,
    Option,
    ReadOnly,
    SackDelay,
    Seconds,
    Switch,
    TenMinutesAtMost,
    Toggle,
)
from .paths import PeerAddressInfo

__all__ = [
    "Adaptation",
    "AssocInfo",
    "AssociationIds",
    "AssociationNumber",
    "AssociationStatistics",
    "AutoClose",
    "Context",
    "DefaultSendInfo",
    "DefaultSendParameters",
    "DelayedSack",
    "DisableFragments",
    "EcnSupported",
    "FragmentInterleave",
    "InitMsg",
    "MaxBurst",
    "MaxSegment",
    "NoDelay",
    "PartialDeliveryPoint",
    "ProtocolState",
    "ReceiveBuffer",
    "ReusePort",
    "RtoInfo",
    "SendBuffer",
    "Status",
]


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


@dataclass(frozen=True, slots=True)
class InitMsg(Option):
    """How associations are set up (SCTP_INITMSG, RFC 6458 section 8.1.3).

    `outbound_streams` are the streams that this end asks for, and `inbound_streams` the most that it lets the
    peer have, each from 1 to 65535; the association has what both ends agree to. INIT is sent again up to
    `max_attempts` times (1 to 65535), at most `max_init_timeout` seconds apart (up to 65.535).
    """

    outbound_streams: Count16 = None
    inbound_streams: Count16 = None
    max_attempts: Count16 = None
    max_init_timeout: Annotated[float | None, Seconds(0.001, U16 / 1000)] = None


class NoDelay(Toggle):
    """Whether small messages are sent at once, without Nagle's delay (SCTP_NODELAY, RFC 6458 8.1.5).

    On by default in this package.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RtoInfo(Option):
    """The retransmission timeout (RTO) and its bounds, in seconds (SCTP_RTOINFO, RFC 6458 section 8.1.1).

    Paths begin with `initial`; what is then measured is kept between `minimum` and `maximum`. `initial` and
    `minimum` are at most 60 seconds, `maximum` 600: the stacks count in milliseconds and take 49 days.
    """

    initial: MinuteAtMost = None
    maximum: TenMinutesAtMost = None
    minimum: MinuteAtMost = None


@dataclass(frozen=True, slots=True)
class AssocInfo(Option):
    """Limits of an association (SCTP_ASSOCINFO, RFC 6458 section 8.1.2).

    After `max_retransmissions` in a row, over all paths, the peer counts as lost (1 to 65535). `cookie_life`
    is how long a peer may take to set up an association, in seconds, up to 3600. Read only:
    `peer_destinations`, the number of the peer's addresses, and `peer_rwnd` and `local_rwnd`, the receive
    windows in bytes.
    """

    max_retransmissions: Count16 = None
    cookie_life: HourAtMost = None
    peer_destinations: Annotated[Number16, ReadOnly] = None
    peer_rwnd: Annotated[Number32, ReadOnly] = None
    local_rwnd: Annotated[Number32, ReadOnly] = None


@dataclass(frozen=True, slots=True)
class Status(Option):
    """An association, as it is now (SCTP_STATUS, RFC 6458 section 8.2.1). Read only.

    `rwnd` is the peer's receive window and `fragmentation_point` the largest message that is sent in one
    piece, both in bytes. `unacknowledged` is the number of DATA chunks that were sent and not acknowledged.
    `pending` tells of what has come and cannot be delivered yet: on Linux the number of DATA chunks that are
    missing before others, on usrsctp the bytes that wait for them. What is unread counts nowhere here: see
    `Statistics`.
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
class DelayedSack(Option):
    """When received data is acknowledged (SCTP_DELAYED_SACK, RFC 6458 section 8.1.19).

    A SACK is sent `delay` seconds (up to 0.5) after a packet, and at once for every `frequency`-th packet. A
    frequency of 1 means for every packet: with it a delay of 0 is accepted, and reported.
    """

    delay: SackDelay = None
    frequency: Annotated[int | None, Integer(1, U32)] = None

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        if self.delay == 0 and self.frequency != 1:
            raise ValueError(
                f"DelayedSack: delay={self.delay!r}; accepted: 0.001 to 0.5 seconds, or "
                "frequency=1 for no delay"
            )


@dataclass(frozen=True, slots=True)
class MaxSegment(Option):
    """The largest fragment of a message, in bytes; 0 for what the path allows (SCTP_MAXSEG, RFC 6458 8.1.16).

    For an association usrsctp reports the actual size, also where 0 was set.
    """

    size: Number16 = None


@dataclass(frozen=True, slots=True)
class AutoClose(Option):
    """After how many seconds an idle association is closed (SCTP_AUTOCLOSE, RFC 6458 section 8.1.8).

    Whole seconds, 0 for never. One-to-many sockets only.
    """

    delay: Annotated[float | None, Seconds(0, U32, 1)] = None


@dataclass(frozen=True, slots=True)
class Adaptation(Option):
    """The adaptation layer that peers of future associations are told of (SCTP_ADAPTATION_LAYER, 8.1.10).

    They get an `AdaptationIndication` event with the number, 0 to 4294967295.
    """

    indication: Number32 = None


@dataclass(frozen=True, slots=True)
class DefaultSendParameters(Option):
    """How a message is sent that does not say (SCTP_DEFAULT_SEND_PARAM, RFC 6458 section 8.1.13; deprecated).

    `lifetime` is in seconds, 0 for no limit (RFC 3758). The messages of this package say everything but the
    lifetime, so setting the rest is a ValueError, as it is for `DefaultSendInfo`. usrsctp has
    `DefaultSendInfo` and `DefaultPrInfo` only.
    """

    stream: Number16 = None
    ppid: Number32 = None
    context: Number32 = None
    unordered: Switch = None
    lifetime: MillisecondsOrZero = None


@dataclass(frozen=True, slots=True)
class SendBuffer(Option):
    """The size of the send buffer in bytes (SO_SNDBUF).

    That is how much may wait to be acknowledged, and also the largest message. Linux limits what is set to
    the sysctl net.core.wmem_max, and doubles it: reading gives the double. Where it is set, Linux is also
    given what the peer has no space for yet. usrsctp takes it as it is.
    """

    size: Bytes = None


@dataclass(frozen=True, slots=True)
class ReceiveBuffer(Option):
    """The size of the receive buffer in bytes (SO_RCVBUF); set it before connect or listen.

    It bounds the receive window, which the peer is told when the association is made. Linux limits what is
    set to the sysctl net.core.rmem_max, and doubles it: reading gives the double. usrsctp takes it as it is.
    """

    size: Bytes = None


@dataclass(frozen=True, slots=True)
class AssociationStatistics(Option):
    """Counters of an association since it began (SCTP_GET_ASSOC_STATS, Linux). Read only.

    `max_rto` is the largest retransmission timeout since this was read last, in seconds, and
    `max_rto_address` the path that had it, None if there was none. The rest are numbers of chunks and
    packets. usrsctp has no such counters.
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


class ReusePort(Toggle):
    """Whether several sockets of one user may listen on one port and share its associations (SO_REUSEPORT).

    Each of these sockets needs it, and before it is bound: `listen(..., options=[ReusePort()])`. Not on
    usrsctp.
    """

    __slots__ = ()


class DisableFragments(Toggle):
    """Whether a message that does not fit one packet is refused (SCTP_DISABLE_FRAGMENTS, RFC 6458 8.1.11).

    Sending one is an OSError (EMSGSIZE) then.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Context(Option):
    """The number that received messages carry as their context (SCTP_CONTEXT, RFC 6458 8.1.25).

    From 0 to 4294967295; the peer never sees it. It is not the `context` of `send`, which failed messages
    carry.
    """

    value: Number32 = None


@dataclass(frozen=True, slots=True)
class FragmentInterleave(Option):
    """Whether parts of several messages may arrive interleaved (SCTP_FRAGMENT_INTERLEAVE, RFC 6458 8.1.20).

    `level` 0: no. 1: parts of messages of different associations. 2: of different streams too. Linux keeps
    only whether it is 0, so it reports 2 as 1; whether streams are interleaved is decided by
    `InterleavingSupported`. Messages are put together whatever the level is.
    """

    level: Annotated[int | None, Integer(0, 2)] = None


@dataclass(frozen=True, slots=True)
class PartialDeliveryPoint(Option):
    """From which size a message arrives in parts (SCTP_PARTIAL_DELIVERY_POINT, RFC 6458 section 8.1.21).

    In bytes, 0 for what the stack finds best; more than half of what `ReceiveBuffer` reports is EINVAL. The
    parts are put together again: this only decides when the stack begins to hand out a message.
    """

    size: Number32 = None


@dataclass(frozen=True, slots=True)
class MaxBurst(Option):
    """How many packets may be sent at once (SCTP_MAX_BURST, RFC 6458 section 8.1.24); 0 for no limit."""

    packets: Number32 = None


@dataclass(frozen=True, slots=True)
class DefaultSendInfo(Option):
    """How a message is sent that does not say (SCTP_DEFAULT_SNDINFO, RFC 6458 section 8.1.31; Linux 3.17).

    The messages of this package always say, so setting it is a ValueError: the ``ppid=`` of `connect`,
    `listen` and `open_endpoint` is a default, and a `Stream` has one of its own. A descriptor that was taken
    over may have one that is read. `DefaultSendParameters` is an older form of it.
    """

    stream: Number16 = None
    ppid: Number32 = None
    context: Number32 = None
    unordered: Switch = None


class EcnSupported(Toggle):
    """Whether routers may mark packets instead of dropping them (SCTP_ECN_SUPPORTED, RFC 9260; Linux 5.4).

    Set it before the association is made. Read for an association, it tells whether both ends have it.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AssociationNumber(Option):
    """How many associations a one-to-many socket has (SCTP_GET_ASSOC_NUMBER, RFC 6458 8.2.5). Read only."""

    count: int


@dataclass(frozen=True, slots=True)
class AssociationIds(Option):
    """The associations of a one-to-many socket, by id (SCTP_GET_ASSOC_ID_LIST, RFC 6458 8.2.6). Read only.

    With more than 65536 of them, reading is an OSError (EINVAL).
    """

    ids: tuple[int, ...]
