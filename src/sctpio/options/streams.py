"""Options about streams: partial reliability, reconfiguration, schedulers and interleaving."""

from __future__ import annotations

from typing import Annotated

from .._value import dataclass
from ..events import OpenIntEnum
from .base import (
    U16,
    Boolean,
    Integer,
    Member,
    MillisecondsOrZero,
    Number16,
    Number32,
    Option,
    ReadOnly,
    Several,
    Switch,
    Toggle,
)

__all__ = [
    "AddStreams",
    "DefaultPrInfo",
    "EnableStreamReset",
    "InterleavingSupported",
    "PrAssociationStatus",
    "PrPolicy",
    "PrStreamStatus",
    "PrSupported",
    "ReconfigSupported",
    "ResetAssociation",
    "ResetStreams",
    "Scheduler",
    "StreamScheduler",
    "StreamSchedulerValue",
]


class PrPolicy(OpenIntEnum):
    """When a message is given up (RFC 3758, RFC 7496 section 4).

    LIFETIME: it is older than its lifetime. RETRANSMISSIONS: it was sent again as often as it may be.
    PRIORITY: a message of higher priority needs its space in the send buffer. NONE: never. ALL is for reading
    `PrAssociationStatus` and `PrStreamStatus` only: all policies together.
    """

    NONE = 0
    LIFETIME = 0x10
    RETRANSMISSIONS = 0x20
    PRIORITY = 0x30
    ALL = 0x80


class Scheduler(OpenIntEnum):
    """How the stream that sends next is chosen (enum sctp_sched_type, RFC 8260 section 3).

    FCFS: messages go in the order of the sends, whatever their stream; associations begin with it. PRIORITY:
    the stream with the lowest `StreamSchedulerValue` first. ROUND_ROBIN: streams take turns by messages.
    FAIR_CAPACITY: they take turns by bytes. WEIGHTED_FAIR: by bytes, in proportion to their
    `StreamSchedulerValue`. Linux has the last two since 6.4 (EINVAL before); usrsctp has no WEIGHTED_FAIR.
    """

    FCFS = 0
    PRIORITY = 1
    ROUND_ROBIN = 2
    FAIR_CAPACITY = 3
    WEIGHTED_FAIR = 4


class PrSupported(Toggle):
    """Whether messages may be given up (SCTP_PR_SUPPORTED, RFC 7496 section 4.5; Linux 4.8).

    On by default. Set it before the association is made. Read for an association, it tells whether both ends
    have it.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class DefaultPrInfo(Option):
    """When a message is given up if its send does not say (SCTP_DEFAULT_PRINFO, RFC 6458 8.1.32; Linux 4.8).

    At most one of `lifetime` (seconds), `max_retransmissions` and `priority`, which mean what they mean to
    `Conn.send`; with none of them every message is delivered. A send that is given one of the three goes by
    that; `send_many` takes none, so it always goes by this option. usrsctp has no `priority` (EOPNOTSUPP).
    """

    lifetime: MillisecondsOrZero = None
    max_retransmissions: Number32 = None
    priority: Number32 = None

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        given = (self.lifetime, self.max_retransmissions, self.priority)
        if sum(value is not None for value in given) > 1:
            raise ValueError(f"{self!r}; accepted: one of the three, or none")


@dataclass(frozen=True, slots=True)
class PrAssociationStatus(Option):
    """How many messages were given up (SCTP_PR_ASSOC_STATUS, RFC 7496 section 4.4; Linux 4.8). Read only.

    `policy` is the policy that they were given up by, all policies by default:
    ``get_option(PrAssociationStatus(PrPolicy.LIFETIME))``. `abandoned_unsent` counts those of which nothing
    had been sent, `abandoned_sent` those of which something had.
    """

    policy: Annotated[PrPolicy, Member(PrPolicy)] = PrPolicy.ALL
    abandoned_unsent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None
    abandoned_sent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None


@dataclass(frozen=True, slots=True)
class PrStreamStatus(Option):
    """How many messages of a stream were given up (SCTP_PR_STREAM_STATUS, RFC 7496 4.3; Linux 4.12).

    Read only, and by a value that names the stream: ``get_option(PrStreamStatus(3))``. The other fields are
    those of `PrAssociationStatus`.
    """

    stream: Number16
    policy: Annotated[PrPolicy, Member(PrPolicy)] = PrPolicy.ALL
    abandoned_unsent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None
    abandoned_sent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None


class ReconfigSupported(Toggle):
    """Whether streams can be reset and added (SCTP_RECONFIG_SUPPORTED, RFC 6525; Linux 4.12).

    Set it on both ends before the association is made. Read for an association, it tells whether both ends
    have it. What the peer may then ask for is set by `EnableStreamReset`.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class EnableStreamReset(Option):
    """Which requests the peer is granted (SCTP_ENABLE_STREAM_RESET, RFC 6525 section 6.3.1; Linux 4.11).

    None, by default. On Linux this end can ask only for what it grants too: the rest is ENOPROTOOPT.
    """

    reset_streams: Switch = None
    reset_association: Switch = None
    add_streams: Switch = None


@dataclass(frozen=True, slots=True)
class ResetStreams(Option):
    """Ask for a reset of streams (SCTP_RESET_STREAMS, RFC 6525 section 6.3.2; Linux 4.11). Write only.

    At least one of `incoming` and `outgoing`; an empty `streams` means all streams. The outcome comes as a
    `StreamReset` event, which `Conn.reset_streams` waits for. Setting it is an OSError where resets are not
    enabled (ENOPROTOOPT), while another request is under way (EINPROGRESS, EALREADY on usrsctp), or while a
    stream has data that was not sent yet (EAGAIN).
    """

    incoming: Annotated[bool, Boolean()] = False
    outgoing: Annotated[bool, Boolean()] = False
    streams: Annotated[tuple[int, ...], Several(Integer(0, U16), 0, U16)] = ()

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        if not (self.incoming or self.outgoing):
            raise ValueError(f"{self!r}; accepted: incoming=True, outgoing=True, or both")


@dataclass(frozen=True, slots=True)
class ResetAssociation(Option):
    """Ask for new TSNs and a reset of all streams (SCTP_RESET_ASSOC, RFC 6525 6.3.3; Linux 4.11). Write only.

    The outcome comes as an `AssociationReset` event, which `Conn.reset_association` waits for. The errors are
    those of `ResetStreams`. usrsctp grants such a request of a peer but cannot ask (EOPNOTSUPP).
    """


@dataclass(frozen=True, slots=True)
class AddStreams(Option):
    """Ask for more streams (SCTP_ADD_STREAMS, RFC 6525 section 6.3.4; Linux 4.11). Write only.

    `outbound` and `inbound` are how many to add; a direction has at most 65535. The outcome comes as a
    `StreamChange` event, which `Conn.add_streams` waits for. The errors are those of `ResetStreams`.
    """

    outbound: Annotated[int, Integer(0, U16)] = 0
    inbound: Annotated[int, Integer(0, U16)] = 0

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        if not (self.outbound or self.inbound):
            raise ValueError(f"{self!r}; accepted: outbound or inbound from 1 to {U16}, or both")


@dataclass(frozen=True, slots=True)
class StreamScheduler(Option):
    """How the stream that sends next is chosen (SCTP_STREAM_SCHEDULER, RFC 8260 4.3.2; Linux 4.15)."""

    scheduler: Annotated[Scheduler | None, Member(Scheduler)] = None


@dataclass(frozen=True, slots=True)
class StreamSchedulerValue(Option):
    """A stream's priority or weight (SCTP_STREAM_SCHEDULER_VALUE, RFC 8260 section 4.3.3; Linux 4.15).

    With `Scheduler.PRIORITY` the stream of the lowest value sends first; with `WEIGHTED_FAIR` the value is a
    weight, from 1. With any other scheduler Linux ignores it, and usrsctp says EINVAL. It is read by a value
    that names the stream, ``get_option(StreamSchedulerValue(3))``, and can be set for existing associations
    only.
    """

    stream: Number16
    value: Number16 = None


class InterleavingSupported(Toggle):
    """Whether fragments of large messages are sent interleaved (SCTP_INTERLEAVING_SUPPORTED, RFC 8260 4.3.1).

    Linux 4.16. With it a large message does not hold back those of other streams: fragments are I-DATA
    chunks. Set it on both ends before the association is made, after ``FragmentInterleave(1)`` and with the
    sysctl net.sctp.intl_enable=1; it is EPERM without.
    """

    __slots__ = ()
