"""Events: what a stack tells about an association, typed (RFC 6458 section 6).

Everything here is a frozen value. Numbers are in host order and payloads are bytes. A number that
this version does not know stays what it is: an unregistered member ``UNKNOWN_<n>`` of its enum, or
an `UnknownEvent`.
"""

from __future__ import annotations

import enum
import struct
from typing import Self

from ._dataclass import dataclass
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


class OpenIntEnum(enum.IntEnum):
    """An IntEnum that takes every int: one without a name becomes ``UNKNOWN_<n>``.

    Such a member is made anew each time and remembered nowhere, so compare with ``==``.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = int(value)
        return member

    def __reduce_ex__(self, proto: object) -> tuple[type[Self], tuple[int]]:
        # By value: Python 3.11.2 copies by name, which a member without one does not have.
        return type(self), (self._value_,)


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
    """Why a peer's address changed its state (enum sctp_sn_error)."""

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
    """Which direction was reset, and how it went (RFC 6525 section 6.1).

    DENIED and FAILED are also used by `AssociationReset` and `StreamChange`.
    """

    INCOMING = 0x1
    OUTGOING = 0x2
    DENIED = 0x4
    FAILED = 0x8


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events."""


@dataclass(frozen=True, slots=True)
class AssociationChange(Event):
    """An association has come up or ended (SCTP_ASSOC_CHANGE, RFC 6458 section 6.1.1).

    `error` is the cause of an end. The stream counts are the negotiated ones. `info` holds the
    error causes of the peer's ABORT as they were on the wire, without the chunk header; usrsctp
    keeps 508 bytes of them.
    """

    state: AssociationState
    error: ErrorCause
    outbound_streams: int
    inbound_streams: int
    association_id: int
    info: bytes = b""

    @property
    def cause(self) -> bytes:
        """The reason that the peer's upper layer gave for its ABORT, b"" where there is none.

        It is the content of the User-Initiated Abort cause (RFC 9260 section 3.3.10.12), or what `info` has
        of it.
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


@dataclass(frozen=True, slots=True)
class PeerAddressChange(Event):
    """A peer's address changed its state (SCTP_PEER_ADDR_CHANGE, RFC 6458 section 6.1.2).

    `error` means something only where the state is about reachability, and is always
    FAILED_THRESHOLD on usrsctp.
    """

    address: Address
    state: AddressState
    error: PathError
    association_id: int


@dataclass(frozen=True, slots=True)
class RemoteError(Event):
    """The peer sent an ERROR chunk (SCTP_REMOTE_ERROR, RFC 6458 section 6.1.3).

    `data` is the content of the error cause as it was on the wire; on Linux with its padding. Of a
    chunk with several causes Linux tells each, usrsctp the first.
    """

    error: ErrorCause
    association_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SendFailed(Event):
    """A message, or a fragment of one, could not be delivered (RFC 6458 sections 6.1.4, 6.1.11).

    `data` is the payload. `sent` tells whether it was ever put on the wire. `flags` is the number
    that the stack gave: the flags of the DATA chunk (RFC 9260 section 3.3.1), in which 0x3 means
    that this is a whole message and 0x4 that it was unordered. usrsctp does not tell the latter of
    what was in no chunk yet.
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


@dataclass(frozen=True, slots=True)
class ShutdownEvent(Event):
    """The peer shuts down: send no more (SCTP_SHUTDOWN_EVENT, RFC 6458 section 6.1.5)."""

    association_id: int


@dataclass(frozen=True, slots=True)
class AdaptationIndication(Event):
    """The peer's adaptation layer (SCTP_ADAPTATION_INDICATION, RFC 6458 section 6.1.6)."""

    indication: int
    association_id: int


@dataclass(frozen=True, slots=True)
class PartialDelivery(Event):
    """A partial delivery ended early (SCTP_PARTIAL_DELIVERY_EVENT, RFC 6458 section 6.1.7).

    `stream` and `sequence` are 0 unless I-DATA is in use (RFC 8260).
    """

    indication: PartialDeliveryState
    stream: int
    sequence: int
    association_id: int


@dataclass(frozen=True, slots=True)
class AuthenticationEvent(Event):
    """A shared key is new or free, or the peer has no AUTH (RFC 6458 section 6.1.8)."""

    indication: AuthenticationState
    key: int
    alternate_key: int
    association_id: int


@dataclass(frozen=True, slots=True)
class SenderDry(Event):
    """Everything that was sent has been acknowledged (SCTP_SENDER_DRY_EVENT, section 6.1.9)."""

    association_id: int


@dataclass(frozen=True, slots=True)
class StreamReset(Event):
    """Streams were reset (SCTP_STREAM_RESET_EVENT, RFC 6525 section 6.1.1).

    An empty `streams` means all streams of the direction.
    """

    flags: StreamResetFlags
    streams: tuple[int, ...]
    association_id: int


@dataclass(frozen=True, slots=True)
class AssociationReset(Event):
    """The association's TSNs were reset (SCTP_ASSOC_RESET_EVENT, RFC 6525 section 6.1.2).

    This end sends with `local_tsn` next, the peer with `remote_tsn`.
    """

    flags: StreamResetFlags
    local_tsn: int
    remote_tsn: int
    association_id: int


@dataclass(frozen=True, slots=True)
class StreamChange(Event):
    """Streams were added (SCTP_STREAM_CHANGE_EVENT, RFC 6525 section 6.1.3).

    The counts are the added streams; they are given also where `flags` says DENIED or FAILED.
    """

    flags: StreamResetFlags
    inbound_streams: int
    outbound_streams: int
    association_id: int


@dataclass(frozen=True, slots=True)
class UnknownEvent(Event):
    """An event that this version does not know; `raw` is all of it, header included."""

    type: int
    flags: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class EventsDropped(Event):
    """The iterator's buffer was full: `count` events were lost at this place."""

    count: int


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
