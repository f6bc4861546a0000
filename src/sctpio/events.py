"""Events: what a stack reports about an association, as typed values (RFC 6458 section 6).

Each event is a frozen class with a field for each number of the notification, and its `str` is a sentence for
people. Numbers are in host order, and payloads are bytes. Nothing that a newer stack sends is lost: a number
without a name becomes a member ``UNKNOWN_<n>`` of its enum, and a whole notification that is not known
becomes an `UnknownEvent`.
"""

from __future__ import annotations

import enum
import struct

from ._open_enum import OpenIntEnum, format_name
from ._value import dataclass
from .address import Address

__all__ = [
    "AdaptationIndication",
    "AddressState",
    "AssociationChange",
    "AssociationEvent",
    "AssociationReset",
    "AssociationState",
    "AuthenticationEvent",
    "AuthenticationState",
    "ErrorCause",
    "Event",
    "EventsDropped",
    "OpenIntEnum",
    "PartialDelivery",
    "PartialDeliveryState",
    "PathError",
    "PeerAddressChange",
    "RemoteError",
    "SendFailed",
    "SenderDry",
    "ShutdownEvent",
    "StreamChange",
    "StreamReset",
    "StreamResetFlags",
    "UnknownEvent",
]


class AssociationState(OpenIntEnum):
    """What happened to an association (enum sctp_sac_state, RFC 6458 section 6.1.1)."""

    COMM_UP = 0
    COMM_LOST = 1
    RESTART = 2
    SHUTDOWN_COMP = 3
    CANT_STR_ASSOC = 4


class ErrorCause(OpenIntEnum):
    """An error cause code on the wire (RFC 9260 section 3.3.10; RFC 5061, 4895; RFC 6951bis)."""

    NO_ERROR = 0
    INVALID_STREAM_IDENTIFIER = 1
    MISSING_MANDATORY_PARAMETER = 2
    STALE_COOKIE = 3
    OUT_OF_RESOURCE = 4
    UNRESOLVABLE_ADDRESS = 5
    UNRECOGNIZED_CHUNK_TYPE = 6
    INVALID_MANDATORY_PARAMETER = 7
    UNRECOGNIZED_PARAMETERS = 8
    NO_USER_DATA = 9
    COOKIE_RECEIVED_WHILE_SHUTTING_DOWN = 10
    RESTART_WITH_NEW_ADDRESSES = 11
    USER_INITIATED_ABORT = 12
    PROTOCOL_VIOLATION = 13
    NEW_ENCAPSULATION_PORT = 14
    DELETE_LAST_ADDRESS = 0xA0
    RESOURCE_SHORTAGE = 0xA1
    DELETE_SOURCE_ADDRESS = 0xA2
    ILLEGAL_ASCONF_ACK = 0xA3
    NO_AUTHORIZATION = 0xA4
    UNSUPPORTED_HMAC = 0x105


class AddressState(OpenIntEnum):
    """What happened to a peer's address (enum sctp_spc_state, RFC 6458 section 6.1.2)."""

    AVAILABLE = 0
    UNREACHABLE = 1
    REMOVED = 2
    ADDED = 3
    MADE_PRIMARY = 4
    CONFIRMED = 5
    POTENTIALLY_FAILED = 6


class PathError(OpenIntEnum):
    """Why the state of a peer's address changed (enum sctp_sn_error of Linux)."""

    FAILED_THRESHOLD = 0
    RECEIVED_SACK = 1
    HEARTBEAT_SUCCESS = 2
    RESPONSE_TO_USER_REQ = 3
    INTERNAL_ERROR = 4
    SHUTDOWN_GUARD_EXPIRES = 5
    PEER_FAULTY = 6


class PartialDeliveryState(OpenIntEnum):
    """What happened to a partial delivery (RFC 6458 section 6.1.7)."""

    ABORTED = 0


class AuthenticationState(OpenIntEnum):
    """What happened to a shared key (RFC 6458 section 6.1.8)."""

    NEW_KEY = 0
    FREE_KEY = 1
    NO_AUTH = 2


class StreamResetFlags(enum.IntFlag):
    """Which direction was reset, and with what outcome (RFC 6525 section 6.1).

    INCOMING and OUTGOING are those of the end that gets the event. DENIED: the peer does not grant the
    request. FAILED: it could not be carried out. `AssociationReset` and `StreamChange` have only these two.
    """

    INCOMING = 0x1
    OUTGOING = 0x2
    DENIED = 0x4
    FAILED = 0x8

    def __str__(self) -> str:
        return self.name or "0"

    def __format__(self, spec: str) -> str:
        return format_name(str(self), self._value_, spec)


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events.

    All but `UnknownEvent` and `EventsDropped` name the association of the socket that they are about.
    """


@dataclass(frozen=True, slots=True)
class AssociationChange(Event):
    """An association has come up or ended (SCTP_ASSOC_CHANGE, RFC 6458 section 6.1.1).

    `state` says which; `error` is the cause of an end. `outbound_streams` and `inbound_streams` are the
    numbers of streams that were agreed on. `info` holds the error causes of the peer's ABORT as they were on
    the wire, without the chunk's header; usrsctp keeps 508 bytes of them.
    """

    state: AssociationState
    error: ErrorCause
    outbound_streams: int
    inbound_streams: int
    association_id: int
    info: bytes = b""

    @property
    def cause(self) -> bytes:
        """The reason that the peer's application gave for its ABORT, b"" if it gave none.

        It is the content of the User-Initiated Abort cause (RFC 9260 section 3.3.10.12), as far as `info` has
        it.
        """
        rest = self.info
        while len(rest) >= 4:
            code, length = struct.unpack_from("!HH", rest)
            if length < 4:
                return b""
            if code == ErrorCause.USER_INITIATED_ABORT:
                return rest[4:length]
            rest = rest[(length + 3) & ~3 :]
        return b""

    def __str__(self) -> str:
        sentence = _CHANGES.get(self.state, f"association {{0}}: {self.state}{{2}}")
        streams = f"{self.outbound_streams} outbound and {self.inbound_streams} inbound streams"
        why = _in_brackets(self.error) + (f": {self.cause!r}" if self.cause else "")
        aborted = self.error or self.info
        return sentence.format(self.association_id, streams, why, "aborted" if aborted else "lost")


@dataclass(frozen=True, slots=True)
class PeerAddressChange(Event):
    """A peer's address changed its state (SCTP_PEER_ADDR_CHANGE, RFC 6458 section 6.1.2).

    `address` has one host. `error` means something only where `state` is about reachability; on usrsctp it is
    always FAILED_THRESHOLD.
    """

    address: Address
    state: AddressState
    error: PathError
    association_id: int

    def __str__(self) -> str:
        what = _PATHS.get(self.state, f"is in state {self.state}")
        return f"path {self.address} of association {self.association_id} {what}{_in_brackets(self.error)}"


@dataclass(frozen=True, slots=True)
class RemoteError(Event):
    """The peer sent an ERROR chunk (SCTP_REMOTE_ERROR, RFC 6458 section 6.1.3).

    `data` is the content of the error cause as it was on the wire, on Linux with its padding. For a chunk
    with several causes Linux has an event for each, usrsctp one for the first.
    """

    error: ErrorCause
    association_id: int
    data: bytes

    def __str__(self) -> str:
        return f"the peer of association {self.association_id} reports an error: {self.error}"


@dataclass(frozen=True, slots=True)
class SendFailed(Event):
    """A message, or a fragment of one, could not be delivered (RFC 6458 sections 6.1.4 and 6.1.11).

    `data` is the payload, and `sent` tells whether it was ever put on the wire. `flags` are the flags of its
    DATA chunk (RFC 9260 section 3.3.1): 0x3 means that this is a whole message, 0x4 that it was unordered.
    usrsctp does not set the latter for data that was in no chunk yet.
    """

    data: bytes
    sent: bool
    error: ErrorCause
    stream: int
    ppid: int
    context: int
    unordered: bool
    flags: int
    association_id: int

    def __repr__(self) -> str:
        from .ppid import fields_by_name

        return fields_by_name(self, self.__match_args__)

    def __str__(self) -> str:
        from .ppid import ppid_text

        return (
            f"a message of {len(self.data)} bytes on stream {self.stream} of association"
            f" {self.association_id}, PPID {ppid_text(self.ppid)}, was"
            f" {'sent, but not acknowledged' if self.sent else 'not sent'}{_in_brackets(self.error)}"
        )


@dataclass(frozen=True, slots=True)
class ShutdownEvent(Event):
    """The peer shuts down, so nothing more can be sent (SCTP_SHUTDOWN_EVENT, RFC 6458 section 6.1.5)."""

    association_id: int

    def __str__(self) -> str:
        return f"the peer shuts association {self.association_id} down"


@dataclass(frozen=True, slots=True)
class AdaptationIndication(Event):
    """The peer has named its adaptation layer (SCTP_ADAPTATION_INDICATION, RFC 6458 section 6.1.6)."""

    indication: int
    association_id: int

    def __str__(self) -> str:
        return f"the peer of association {self.association_id} has adaptation layer {self.indication}"


@dataclass(frozen=True, slots=True)
class PartialDelivery(Event):
    """A message was broken off after parts of it (SCTP_PARTIAL_DELIVERY_EVENT, RFC 6458 section 6.1.7).

    `stream` and `sequence` name the message with I-DATA (RFC 8260), and are 0 without.
    """

    indication: PartialDeliveryState
    stream: int
    sequence: int
    association_id: int

    def __str__(self) -> str:
        return (
            f"a message on stream {self.stream} of association {self.association_id} was broken off"
            f" ({self.indication})"
        )


@dataclass(frozen=True, slots=True)
class AuthenticationEvent(Event):
    """A shared key is new or free, or the peer has no AUTH (SCTP_AUTHENTICATION_EVENT, RFC 6458 6.1.8).

    `key` is the number of the key, `alternate_key` another number that the stack may give with it.
    """

    indication: AuthenticationState
    key: int
    alternate_key: int
    association_id: int

    def __str__(self) -> str:
        sentence = _KEYS.get(self.indication, f"key {{1}} of association {{0}}: {self.indication}")
        return sentence.format(self.association_id, self.key)


@dataclass(frozen=True, slots=True)
class SenderDry(Event):
    """Everything that was sent has been acknowledged (SCTP_SENDER_DRY_EVENT, RFC 6458 section 6.1.9)."""

    association_id: int

    def __str__(self) -> str:
        return f"everything that was sent on association {self.association_id} is acknowledged"


@dataclass(frozen=True, slots=True)
class StreamReset(Event):
    """Streams were reset (SCTP_STREAM_RESET_EVENT, RFC 6525 section 6.1.1).

    `streams` are their numbers; an empty tuple means all streams of the direction that `flags` names.
    """

    flags: StreamResetFlags
    streams: tuple[int, ...]
    association_id: int

    def __str__(self) -> str:
        sides = [
            side for side in (StreamResetFlags.INCOMING, StreamResetFlags.OUTGOING) if side in self.flags
        ]
        which = " and ".join(map(str, sides)).lower() + " " if sides else ""
        numbers = " " + ", ".join(map(str, self.streams)) if self.streams else ""
        return (
            f"{'' if self.streams else 'all '}{which}streams{numbers} of association"
            f" {self.association_id} were {_done('reset', self.flags)}"
        )


@dataclass(frozen=True, slots=True)
class AssociationReset(Event):
    """The association was reset: TSNs and all streams (SCTP_ASSOC_RESET_EVENT, RFC 6525 section 6.1.2).

    `local_tsn` is the next TSN that this end sends, `remote_tsn` the next one of the peer.
    """

    flags: StreamResetFlags
    local_tsn: int
    remote_tsn: int
    association_id: int

    def __str__(self) -> str:
        return f"association {self.association_id} was {_done('reset', self.flags)}"


@dataclass(frozen=True, slots=True)
class StreamChange(Event):
    """Streams were added (SCTP_STREAM_CHANGE_EVENT, RFC 6525 section 6.1.3).

    The numbers are those of the added streams, not of all. Linux gives them also where `flags` says DENIED or
    FAILED and so none were added.
    """

    flags: StreamResetFlags
    inbound_streams: int
    outbound_streams: int
    association_id: int

    def __str__(self) -> str:
        return (
            f"association {self.association_id}: {self.outbound_streams} outbound and"
            f" {self.inbound_streams} inbound streams were {_done('added', self.flags)}"
        )


@dataclass(frozen=True, slots=True)
class UnknownEvent(Event):
    """A notification that this version does not know; `raw` is all of it, with its header."""

    type: int
    flags: int
    raw: bytes

    def __str__(self) -> str:
        return f"an event of unknown type {self.type:#x}, {len(self.raw)} bytes"


@dataclass(frozen=True, slots=True)
class EventsDropped(Event):
    """The buffer of this iterator of events was full: `count` events are missing at this place."""

    count: int

    def __str__(self) -> str:
        return f"{self.count} events are missing here, because nobody took them in time"


AssociationEvent = (
    AssociationChange
    | PeerAddressChange
    | RemoteError
    | SendFailed
    | ShutdownEvent
    | AdaptationIndication
    | PartialDelivery
    | AuthenticationEvent
    | SenderDry
    | StreamReset
    | AssociationReset
    | StreamChange
)
"""Every event that has an `association_id`; for annotations and `isinstance`."""


# The sentences

_CHANGES = {
    AssociationState.COMM_UP: "association {0} is up, with {1}",
    AssociationState.RESTART: "the peer has restarted association {0}, with {1}",
    AssociationState.COMM_LOST: "association {0} was {3}{2}",
    AssociationState.SHUTDOWN_COMP: "association {0} was shut down",
    AssociationState.CANT_STR_ASSOC: "association {0} could not be set up{2}",
}
_KEYS = {
    AuthenticationState.NEW_KEY: "key {1} of association {0} is in use now",
    AuthenticationState.FREE_KEY: "key {1} of association {0} is no longer in use",
    AuthenticationState.NO_AUTH: "the peer of association {0} has no authentication",
}
_PATHS = {
    AddressState.AVAILABLE: "is available",
    AddressState.UNREACHABLE: "is unreachable",
    AddressState.REMOVED: "was removed",
    AddressState.ADDED: "was added",
    AddressState.MADE_PRIMARY: "is the primary path now",
    AddressState.CONFIRMED: "is confirmed",
    AddressState.POTENTIALLY_FAILED: "has potentially failed",
}


def _in_brackets(error: OpenIntEnum) -> str:
    """Return what is known of the reason, to follow a sentence: a stack says 0 also where it knows none."""
    return f" ({error})" if error else ""


def _done(what: str, flags: StreamResetFlags) -> str:
    """Return what was done, or that it was not."""
    if flags & StreamResetFlags.DENIED:
        return f"not {what} (the peer denied it)"
    return f"not {what} (it failed)" if flags & StreamResetFlags.FAILED else what
