"""Options of streams: partial reliability, reconfiguration, schedulers, interleaving."""

from __future__ import annotations

from typing import Annotated

from ._dataclass import dataclass
from ._option import U16, MillisecondsOrZero, Number16, Number32, Option, Switch, Toggle
from ._rules import Boolean, Integer, Member, ReadOnly, Several
from .events import OpenIntEnum

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
    """What ends the attempts to deliver a message (RFC 3758, RFC 7496 section 4).

    ALL is for the status options only: the sum of all policies.
    """

    NONE = 0
    LIFETIME = 0x10
    RETRANSMISSIONS = 0x20
    PRIORITY = 0x30
    ALL = 0x80


class Scheduler(OpenIntEnum):
    """Which stream sends next (enum sctp_sched_type, RFC 8260 section 3).

    FAIR_CAPACITY and WEIGHTED_FAIR are in Linux since 6.4: an older kernel says EINVAL. usrsctp has no
    WEIGHTED_FAIR. An association begins with FCFS.
    """

    FCFS = 0
    PRIORITY = 1
    ROUND_ROBIN = 2
    FAIR_CAPACITY = 3
    WEIGHTED_FAIR = 4


class PrSupported(Toggle):
    """Whether messages may be given up (SCTP_PR_SUPPORTED, RFC 7496 section 4.5; Linux 4.8).

    On by default. Set it before the association is made: on one it tells whether both ends have it.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class DefaultPrInfo(Option):
    """The reliability of a send that does not say (SCTP_DEFAULT_PRINFO, RFC 6458 8.1.32; Linux 4.8).

    At most one of `lifetime` (seconds), `max_retransmissions` and `priority`, as `send` takes them; none of
    them is full reliability. `send` with one of these goes by that one, `send_many` by what is set here.
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

    `policy` chooses whose: ``get_option(PrAssociationStatus(PrPolicy.LIFETIME))``; all of them by default.
    The counters tell those that had not been sent at all from those that had been, at least once.
    """

    policy: Annotated[PrPolicy, Member(PrPolicy)] = PrPolicy.ALL
    abandoned_unsent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None
    abandoned_sent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None


@dataclass(frozen=True, slots=True)
class PrStreamStatus(Option):
    """How many messages of a stream were given up (SCTP_PR_STREAM_STATUS, RFC 7496 4.3; Linux 4.12).

    Read only. It is read by value: ``get_option(PrStreamStatus(3))``. The other fields are as in
    `PrAssociationStatus`.
    """

    stream: Number16
    policy: Annotated[PrPolicy, Member(PrPolicy)] = PrPolicy.ALL
    abandoned_unsent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None
    abandoned_sent: Annotated[int | None, Integer(0, 2**64 - 1), ReadOnly] = None


class ReconfigSupported(Toggle):
    """Whether streams can be reset and added (SCTP_RECONFIG_SUPPORTED, RFC 6525; Linux 4.12).

    Set it on both ends before the association is made; on an association it tells whether both have it. What
    the peer may ask for is `EnableStreamReset`.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class EnableStreamReset(Option):
    """What this end and its peer may ask for (SCTP_ENABLE_STREAM_RESET, RFC 6525 section 6.3.1; Linux 4.11).

    Nothing, by default: what is not enabled is denied to the peer, and on Linux cannot be asked for here
    either (ENOPROTOOPT).
    """

    reset_streams: Switch = None
    reset_association: Switch = None
    add_streams: Switch = None


@dataclass(frozen=True, slots=True)
class ResetStreams(Option):
    """Ask for a reset of streams (SCTP_RESET_STREAMS, RFC 6525 section 6.3.2; Linux 4.11). Write only.

    One or both directions; an empty `streams` is all of them. How it went comes as a `StreamReset` event. Not
    enabled is ENOPROTOOPT; with a request under way it is EINPROGRESS, with unsent data on a stream EAGAIN.
    usrsctp says EALREADY with a request under way.
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

    How it went comes as an `AssociationReset` event. Errors as with `ResetStreams`; usrsctp can be asked and
    cannot ask (EOPNOTSUPP).
    """


@dataclass(frozen=True, slots=True)
class AddStreams(Option):
    """Ask for more streams (SCTP_ADD_STREAMS, RFC 6525 section 6.3.4; Linux 4.11). Write only.

    How many to add; 65535 are the most that a direction can have. How it went comes as a `StreamChange`
    event. Errors as with `ResetStreams`.
    """

    outbound: Annotated[int, Integer(0, U16)] = 0
    inbound: Annotated[int, Integer(0, U16)] = 0

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        if not (self.outbound or self.inbound):
            raise ValueError(f"{self!r}; accepted: outbound or inbound from 1 to {U16}, or both")


@dataclass(frozen=True, slots=True)
class StreamScheduler(Option):
    """Which stream sends next (SCTP_STREAM_SCHEDULER, RFC 8260 section 4.3.2; Linux 4.15)."""

    scheduler: Annotated[Scheduler | None, Member(Scheduler)] = None


@dataclass(frozen=True, slots=True)
class StreamSchedulerValue(Option):
    """What the scheduler knows of a stream (SCTP_STREAM_SCHEDULER_VALUE, RFC 8260 4.3.3; Linux 4.15).

    `Scheduler.PRIORITY`: a lower value goes first. `WEIGHTED_FAIR`: the weight, from 1. The others ignore it
    without a word on Linux, and are EINVAL on usrsctp. It is read by value:
    ``get_option(StreamSchedulerValue(3))``. Of associations that there are, never of those to come.
    """

    stream: Number16
    value: Number16 = None


class InterleavingSupported(Toggle):
    """Whether large messages of several streams go mixed (SCTP_INTERLEAVING_SUPPORTED, RFC 8260 4.3.1).

    Linux 4.16; by I-DATA chunks. Set it on both ends before the association is made. It needs
    ``FragmentInterleave(1)``, set before, and the sysctl net.sctp.intl_enable=1: else EPERM.
    """

    __slots__ = ()
