"""Options: typed values for what can be read and set on a socket, association or path.

``get_option(RtoInfo)`` returns a value, ``set_option(RtoInfo(initial=0.5))`` sets one; a field
that is None leaves what is there. Durations are float seconds, rounded to the unit of the stack,
a positive one never to 0. A value out of range is a ValueError when the option is made. What is on or
off has one field, ``enabled``: ``NoDelay()`` is on, ``NoDelay(False)`` is off. Options that are asked
about something (a stream, a policy) are read by a value that names it:
``get_option(StreamSchedulerValue(stream=3))``.

Each field's rule stands in its annotation. An option is added by one dataclass here, or in the `_options_*`
module of its subject, and one row in the table of each stack (`_linux`, `_usrsctp`). What a stack does not
have, an option, a field or a value, is an OSError (ENOPROTOOPT) that names it.
"""

from __future__ import annotations

import enum
from typing import Annotated

from ._dataclass import dataclass
from ._option import (
    U16,
    U32,
    Bytes,
    Count16,
    Milliseconds,
    MillisecondsOrZero,
    Number16,
    Number32,
    Option,
    SackDelay,
    Switch,
    Toggle,
)
from ._options_auth import (
    AuthActiveKey,
    AuthChunk,
    AuthDeactivateKey,
    AuthDeleteKey,
    AuthKey,
    AuthSupported,
    HmacIdentifier,
    HmacIdentifiers,
    LocalAuthChunks,
    PeerAuthChunks,
)
from ._options_paths import (
    AsconfSupported,
    AutoAsconf,
    ExposePotentiallyFailed,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    PeerAddressThresholds,
    PeerPrimaryAddress,
    PlpmtudProbeInterval,
    PrimaryAddress,
    UdpEncapsulation,
)
from ._options_streams import (
    AddStreams,
    DefaultPrInfo,
    EnableStreamReset,
    InterleavingSupported,
    PrAssociationStatus,
    PrPolicy,
    PrStreamStatus,
    PrSupported,
    ReconfigSupported,
    ResetAssociation,
    ResetStreams,
    Scheduler,
    StreamScheduler,
    StreamSchedulerValue,
)
from ._rules import Integer, ReadOnly, Seconds
from .address import Address
from .events import OpenIntEnum

__all__ = [
    "Adaptation",
    "AddStreams",
    "AsconfSupported",
    "AssocInfo",
    "AssociationIds",
    "AssociationNumber",
    "AssociationStatistics",
    "AuthActiveKey",
    "AuthChunk",
    "AuthDeactivateKey",
    "AuthDeleteKey",
    "AuthKey",
    "AuthSupported",
    "AutoAsconf",
    "AutoClose",
    "Context",
    "DefaultPrInfo",
    "DefaultSendInfo",
    "DefaultSendParameters",
    "DelayedSack",
    "DisableFragments",
    "EcnSupported",
    "EnableStreamReset",
    "ExposePotentiallyFailed",
    "FragmentInterleave",
    "HmacIdentifier",
    "HmacIdentifiers",
    "InitMsg",
    "InterleavingSupported",
    "LocalAuthChunks",
    "MaxBurst",
    "MaxSegment",
    "NoDelay",
    "Option",
    "PartialDeliveryPoint",
    "PathState",
    "PeerAddressInfo",
    "PeerAddressParameters",
    "PeerAddressThresholds",
    "PeerAuthChunks",
    "PeerPrimaryAddress",
    "PlpmtudProbeInterval",
    "PrAssociationStatus",
    "PrPolicy",
    "PrStreamStatus",
    "PrSupported",
    "PrimaryAddress",
    "ProtocolState",
    "ReceiveBuffer",
    "ReconfigSupported",
    "ResetAssociation",
    "ResetStreams",
    "ReusePort",
    "RtoInfo",
    "Scheduler",
    "Scope",
    "SendBuffer",
    "Status",
    "StreamScheduler",
    "StreamSchedulerValue",
    "UdpEncapsulation",
]


class Scope(enum.IntEnum):
    """Which associations of an endpoint an option or event is set for (RFC 6458 section 7.2).

    In place of one association's number: FUTURE, those that are still to come; CURRENT, those that are
    there; ALL, both. Each option takes some of these, none can be read of CURRENT or ALL: a ValueError.
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
    max_init_timeout: Annotated[float | None, Seconds(0.001, U16 / 1000)] = None


class NoDelay(Toggle):
    """Whether small messages are sent at once, without Nagle's delay (SCTP_NODELAY, 8.1.5)."""

    __slots__ = ()


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
class DelayedSack(Option):
    """When received data is acknowledged (SCTP_DELAYED_SACK, RFC 6458 section 8.1.19).

    At the latest `delay` seconds (up to 0.5) after a packet, and with every `frequency`-th
    packet; frequency 1 means at once. A delay of 0 goes only with frequency 1: that is what is
    reported where SACKs are not delayed.
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
    """The largest fragment of a message, in bytes; 0 is what the path allows (SCTP_MAXSEG).

    On an association usrsctp reports what the fragments are, also where that is what the path allows.
    """

    size: Number16 = None


@dataclass(frozen=True, slots=True)
class AutoClose(Option):
    """Seconds after which an idle association is closed, 0 for never (SCTP_AUTOCLOSE, 8.1.8).

    Whole seconds; one-to-many sockets only.
    """

    delay: Annotated[float | None, Seconds(0, U32, 1)] = None


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

    Linux clamps what is set to net.core.wmem_max and doubles it: the double is reported. usrsctp takes it as
    it is.
    """

    size: Bytes = None


@dataclass(frozen=True, slots=True)
class ReceiveBuffer(Option):
    """The bytes that may wait to be read; set it before connect or listen (SO_RCVBUF).

    Linux clamps what is set to net.core.rmem_max and doubles it: the double is reported. usrsctp takes it as
    it is.
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


class ReusePort(Toggle):
    """Let several sockets of one user listen on one port, and share its associations (SO_REUSEPORT).

    Each socket of the port needs it, set before it is bound: `listen(..., options=[ReusePort()])`.
    """

    __slots__ = ()


class DisableFragments(Toggle):
    """Refuse a message that needs more than one packet (SCTP_DISABLE_FRAGMENTS, RFC 6458 8.1.11).

    Sending such a message is then an OSError (EMSGSIZE).
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Context(Option):
    """The number that received messages carry as their context (SCTP_CONTEXT, RFC 6458 8.1.25).

    From 0 to 4294967295, in host order; the peer never sees it. It does not change what `send` takes.
    """

    value: Number32 = None


@dataclass(frozen=True, slots=True)
class FragmentInterleave(Option):
    """Whether parts of several messages may be delivered mixed (SCTP_FRAGMENT_INTERLEAVE, RFC 6458 8.1.20).

    `level` 0: not; 1: parts of messages of different associations; 2: of different streams too. Linux keeps
    no more than whether it is 0, reports 2 as 1, and mixes streams where `InterleavingSupported` is on.
    """

    level: Annotated[int | None, Integer(0, 2)] = None


@dataclass(frozen=True, slots=True)
class PartialDeliveryPoint(Option):
    """The size of a message that is delivered in parts (SCTP_PARTIAL_DELIVERY_POINT, RFC 6458 8.1.21).

    In bytes; at most half of what `ReceiveBuffer` reports, else EINVAL; 0 leaves it to the stack. Messages
    are whole all the same: the parts are put together.
    """

    size: Number32 = None


@dataclass(frozen=True, slots=True)
class MaxBurst(Option):
    """The packets that may leave at once (SCTP_MAX_BURST, RFC 6458 8.1.24), 0 for no limit."""

    packets: Number32 = None


@dataclass(frozen=True, slots=True)
class DefaultSendInfo(Option):
    """What a send without information of its own uses (SCTP_DEFAULT_SNDINFO, RFC 6458 8.1.31; Linux 3.17).

    `conn.send` always says; this is for a descriptor that is given away. See `DefaultSendParameters` for the
    deprecated form that has a lifetime.
    """

    stream: Number16 = None
    ppid: Number32 = None
    context: Number32 = None
    unordered: Switch = None


class EcnSupported(Toggle):
    """Whether congestion may be marked instead of dropping packets (SCTP_ECN_SUPPORTED, RFC 9260; Linux 5.4).

    Set it before the association is made; on an association it tells whether both ends have it.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AssociationNumber(Option):
    """How many associations a one-to-many socket has (SCTP_GET_ASSOC_NUMBER, RFC 6458 8.2.5). Read only."""

    count: int


@dataclass(frozen=True, slots=True)
class AssociationIds(Option):
    """The associations of a one-to-many socket (SCTP_GET_ASSOC_ID_LIST, RFC 6458 8.2.6). Read only.

    Up to 65536 of them: with more, reading is an OSError (EINVAL).
    """

    ids: tuple[int, ...]
