"""The rows of the usrsctp table for events, as differences from the Linux rows.

usrsctp.h is wrong about two structs. These are what the stack itself declares (netinet/sctp_uio.h) and
writes: sctp_pdapi_event has 16-bit numbers, and sctp_authkey_event has a second key.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections.abc import Mapping
from typing import Any

from ..._value import dataclass
from ...events import AddressState, AssociationState, AuthenticationState, ErrorCause, PartialDeliveryState
from ..columns import Column, Tail, Wire, enumerated, number, renumbered, replaced
from ..layout import STORAGE, Layout, Raw, notification
from ..linux.events import EVENTS as LINUX_EVENTS
from ..linux.structs import SNDINFO
from ..platform import EventRow

__all__ = [
    "ADDRESS_STATES",
    "ASSOCIATION_STATES",
    "AUTHENTICATION_STATES",
    "DATA_SENT",
    "DATA_UNSENT",
    "EVENTS",
    "PARTIAL_DELIVERY_STATES",
]

DATA_UNSENT = 0x1
DATA_SENT = 0x2

ASSOCIATION_STATES: Mapping[enum.IntEnum, int] = {
    AssociationState.COMM_UP: 1,
    AssociationState.COMM_LOST: 2,
    AssociationState.RESTART: 3,
    AssociationState.SHUTDOWN_COMP: 4,
    AssociationState.CANT_STR_ASSOC: 5,
}
ADDRESS_STATES: Mapping[enum.IntEnum, int] = {
    AddressState.AVAILABLE: 1,
    AddressState.UNREACHABLE: 2,
    AddressState.REMOVED: 3,
    AddressState.ADDED: 4,
    AddressState.MADE_PRIMARY: 5,
    AddressState.CONFIRMED: 6,
}
PARTIAL_DELIVERY_STATES: Mapping[enum.IntEnum, int] = {PartialDeliveryState.ABORTED: 1}
AUTHENTICATION_STATES: Mapping[enum.IntEnum, int] = {
    AuthenticationState.NEW_KEY: 1,
    AuthenticationState.NO_AUTH: 2,
    AuthenticationState.FREE_KEY: 3,
}

_TLV = struct.Struct("!HH")
_CHUNK = struct.Struct("!BBH")
_ABORT, _ERROR = 6, 9
_ENDS = (
    ASSOCIATION_STATES[AssociationState.COMM_LOST],
    ASSOCIATION_STATES[AssociationState.CANT_STR_ASSOC],
)


@dataclass(frozen=True, slots=True)
class _AbortTail(Tail):
    """The error causes in an ABORT chunk, of which the stack keeps 512 bytes.

    When an association comes up, a list of the peer's features is in their place. It is left out, because
    each feature has an option that says whether the association has it.
    """

    def load(self, raw: Raw, data: bytes) -> bytes:
        return data[_CHUNK.size :] if raw["sac_state"] in _ENDS else b""

    def dump(self, raw: Raw, value: Any) -> bytes:
        if not value or raw["sac_state"] not in _ENDS:
            return b""
        return _CHUNK.pack(_ABORT, 0, _CHUNK.size + len(value)) + bytes(value)


@dataclass(frozen=True, slots=True)
class _ErrorTail(Tail):
    """The content of the first cause in an ERROR chunk, of which the stack keeps 512 bytes."""

    def load(self, raw: Raw, data: bytes) -> bytes:
        causes = data[_CHUNK.size :]
        if len(causes) < _TLV.size:
            return b""
        _, length = _TLV.unpack_from(causes)
        return causes[_TLV.size : length]

    def dump(self, raw: Raw, value: Any) -> bytes:
        cause = _TLV.pack(raw["sre_error"], _TLV.size + len(value)) + bytes(value)
        return _CHUNK.pack(_ERROR, 0, _CHUNK.size + len(cause)) + cause


def _sent(attribute: str, member: str) -> Column:
    """Whether a message was put on the wire: one of two numbers."""

    def load(raw: Raw, wire: Wire) -> bool:
        return bool(raw[member] & DATA_SENT)

    def dump(raw: Raw, value: bool, wire: Wire) -> None:
        raw[member] = DATA_SENT if value else DATA_UNSENT

    return Column(attribute, (member,), load, dump)


def _one_too_many(attribute: str, member: str) -> Column:
    """A TSN in place of which the stack has the next one."""

    def load(raw: Raw, wire: Wire) -> int:
        return (int(raw[member]) - 1) % (1 << 32)

    def dump(raw: Raw, value: int, wire: Wire) -> None:
        raw[member] = (value + 1) % (1 << 32)

    return Column(attribute, (member,), load, dump)


_LINUX = {row.name: row for row in LINUX_EVENTS}


def _row(
    name: str, event: int, *columns: Column, layout: Layout | None = None, tail: Tail | None = None
) -> EventRow:
    """Return a row of Linux with some other columns, another struct or another tail."""
    linux = _LINUX[name]
    return dataclasses.replace(
        linux,
        number=event,
        layout=layout or linux.layout,
        columns=replaced(linux.columns, *columns),
        tail=tail or linux.tail,
        since="",
    )


EVENTS = (
    _row(
        "SCTP_ASSOC_CHANGE",
        0x1,
        renumbered("state", "sac_state", AssociationState, ASSOCIATION_STATES),
        enumerated("error", "sac_error", ErrorCause),
        tail=_AbortTail("info"),
    ),
    # spc_error is always 0.
    _row(
        "SCTP_PEER_ADDR_CHANGE",
        0x2,
        renumbered("state", "spc_state", AddressState, ADDRESS_STATES),
        layout=notification(
            "sctp_paddr_change",
            "spc",
            ("spc_aaddr", STORAGE),
            ("spc_state", "I"),
            ("spc_error", "I"),
            ("spc_assoc_id", "i"),
        ),
    ),
    _row("SCTP_REMOTE_ERROR", 0x3, enumerated("error", "sre_error", ErrorCause), tail=_ErrorTail("data")),
    _row("SCTP_SHUTDOWN_EVENT", 0x5),
    _row("SCTP_ADAPTATION_INDICATION", 0x6),
    _row(
        "SCTP_PARTIAL_DELIVERY_EVENT",
        0x7,
        renumbered("indication", "pdapi_indication", PartialDeliveryState, PARTIAL_DELIVERY_STATES),
        layout=notification(
            "sctp_pdapi_event",
            "pdapi",
            ("pdapi_indication", "I"),
            ("pdapi_stream", "H"),
            ("pdapi_seq", "H"),
            ("pdapi_assoc_id", "i"),
        ),
    ),
    _row(
        "SCTP_AUTHENTICATION_EVENT",
        0x8,
        renumbered("indication", "auth_indication", AuthenticationState, AUTHENTICATION_STATES),
    ),
    _row("SCTP_STREAM_RESET_EVENT", 0x9),
    _row("SCTP_SENDER_DRY_EVENT", 0xA),
    _row(
        "SCTP_ASSOC_RESET_EVENT",
        0xC,
        number("local_tsn", "assocreset_local_tsn"),
        _one_too_many("remote_tsn", "assocreset_remote_tsn"),
    ),
    _row("SCTP_STREAM_CHANGE_EVENT", 0xD),
    _row(
        "SCTP_SEND_FAILED_EVENT",
        0xE,
        _sent("sent", "ssfe_flags"),
        enumerated("error", "ssfe_error", ErrorCause),
        number("association_id", "ssfe_assoc_id"),
        layout=notification(
            "sctp_send_failed_event",
            "ssfe",
            ("ssfe_error", "I"),
            ("ssfe_info", SNDINFO),
            ("ssfe_assoc_id", "i"),
        ),
    ),
)
