"""Bytes <-> events, options, addresses and records, by the table of one stack.

The codec knows no numbers of its own: they stand in a `Platform` (`LINUX`). It reads what a
kernel or a peer may have sent, so decoding checks every bound and raises `DecodeError` only.
"""

from __future__ import annotations

import dataclasses
import errno
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, cast

from ._layout import Raw
from ._linux import LINUX
from ._linux_structs import (
    ABORT,
    ADDR_OVER,
    EOF,
    MSG_CTRUNC,
    MSG_EOR,
    MSG_NOTIFICATION,
    PR_PRIO,
    PR_RTX,
    PR_TTL,
    SACK_IMMEDIATELY,
    UNORDERED,
)
from ._option import Option, read_only_fields
from ._sockaddr import SockaddrCodec
from ._tables import EventRow, OptionSpec, Platform, Wire
from .address import Address
from .errors import DecodeError
from .events import Event, UnknownEvent
from .options import Scope

__all__ = [
    "ABORT",
    "ADDR_OVER",
    "EOF",
    "LINUX",
    "MSG_CTRUNC",
    "MSG_EOR",
    "MSG_NOTIFICATION",
    "OUTGOING",
    "PR_PRIO",
    "PR_RTX",
    "PR_TTL",
    "RECORD",
    "SACK_IMMEDIATELY",
    "UNORDERED",
    "Codec",
    "OptionSpec",
    "Platform",
]

T = TypeVar("T", bound=Option)

RECORD = struct.Struct("=IIiiIIIIHHHH28s")
"""A received part: offset, length, msg_flags, association_id, ppid (raw), tsn, cumulative_tsn,
context, stream, ssn, flags, source_length, source."""

OUTGOING = struct.Struct("=IIIIHHI")
"""A message to send in a batch: length, ppid (raw), context, PR value, stream, flags, PR policy."""

_HEADER = struct.Struct("=HHI")


class Codec:
    """The bytes of one stack.

    `scope_to_index` and `index_to_scope` convert IPv6 scope ids to and from interface numbers (by
    default they are decimal numbers). `tick` is the kernel's tick in seconds, in which Linux
    reports smoothed round-trip times: ``clock_getres(CLOCK_MONOTONIC_COARSE)``.
    """

    def __init__(
        self,
        platform: Platform = LINUX,
        *,
        scope_to_index: Callable[[str], int] = int,
        index_to_scope: Callable[[int], str] = str,
        tick: float = 0.001,
    ) -> None:
        self.platform = platform
        self._addresses = SockaddrCodec(
            platform.af_inet,
            platform.af_inet6,
            length_byte=platform.length_byte,
            scope_to_index=scope_to_index,
            index_to_scope=index_to_scope,
        )
        self._wire = Wire(self._addresses, tick, platform.name)
        self._rows = {row.number: row for row in platform.events}
        self._options = {spec.kind: spec for spec in platform.options}
        self._lacking = {option.kind: option for option in platform.lacking}
        numbers: dict[type[Event], tuple[int, ...]] = {}
        for row in platform.events:
            numbers[row.kind] = (*numbers.get(row.kind, ()), row.number)
        self.event_numbers: Mapping[type[Event], tuple[int, ...]] = MappingProxyType(numbers)
        """The subscription numbers of each event, the preferred one first."""

    # Addresses

    def pack_addresses(self, address: Address) -> bytes:
        """Pack every host of an address as a sockaddr array, as bindx and connectx take it.

        Raises:
            ValueError: the address is the wildcard, or a scope id is none.
            OSError: `scope_to_index` knows no such interface.
        """
        return self._addresses.pack(address)

    def unpack_addresses(self, data: bytes) -> Address:
        """Read a packed sockaddr array; IPv4-mapped IPv6 becomes IPv4, a host is kept once.

        Raises:
            DecodeError: the array is empty or malformed, or the ports differ.
        """
        return self._addresses.unpack_all(data)

    def unpack_address(self, data: bytes) -> Address:
        """Read one sockaddr, maybe in a longer sockaddr_storage.

        Raises:
            DecodeError: it is not an IPv4 or IPv6 sockaddr, or is cut short.
        """
        return self._addresses.unpack(data)

    # Events

    def decode_event(self, data: bytes) -> Event:
        """Read one whole notification (RFC 6458 section 6.1).

        The length in the notification counts, not that of `data`; what is beyond it is ignored.

        Raises:
            DecodeError: the notification is cut short or malformed.
        """
        if len(data) < _HEADER.size:
            raise DecodeError(f"a notification of {len(data)} bytes is too short")
        number, flags, length = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            raise DecodeError(f"notification {number:#x} says {length} bytes of {len(data)}")
        data = bytes(data[:length])
        row = self._rows.get(number)
        if row is None:
            return UnknownEvent(number, flags, data)
        return row.kind(**self._load(row, data))

    def encode_event(self, event: Event, number: int | None = None) -> bytes:
        """Write a notification as the stack would.

        `number` chooses among the numbers of an event that has several.

        Raises:
            ValueError: the stack has no such event, or a value does not fit.
        """
        if isinstance(event, UnknownEvent):
            return event.raw
        numbers = self.event_numbers.get(type(event))
        if numbers is None or number not in (None, *numbers):
            raise ValueError(f"{self.platform.name} has no such notification: {event!r}")
        row = self._rows[numbers[0] if number is None else number]
        kind_member, _, length_member = row.layout.members[:3]
        raw: Raw = {}
        for column in row.columns:
            column.dump(raw, getattr(event, column.attribute), self._wire)
        tail = b"" if row.tail is None else row.tail.dump(raw, getattr(event, row.tail.attribute))
        raw[kind_member.name] = row.number
        raw[length_member.name] = row.layout.size + len(tail)
        return row.layout.pack(raw) + tail

    # Options

    def option(self, kind: type[Option]) -> OptionSpec:
        """Tell number, name and properties of an option.

        Raises:
            OSError: (ENOPROTOOPT) the stack has no such option.
            ValueError: it is no option.
        """
        spec = self._options.get(kind)
        if spec is not None:
            return spec
        if kind in self._lacking:
            raise self._lack(self._lacking[kind].name, "such option")
        raise ValueError(f"{self.platform.name} has no option {kind.__name__}")

    def _lack(self, name: str, what: str) -> OSError:
        return OSError(errno.ENOPROTOOPT, f"{name}: the {self.platform.name} stack has no {what}")

    def encode_query(
        self, query: type[Option] | Option, association_id: int = 0, address: Address | None = None
    ) -> bytes:
        """Write what getsockopt takes: the struct and room for more, naming what is asked about.

        That is the association, the path, and where `query` is a value what it names (a stream, a policy,
        its own path). An option that is not per association ignores `association_id`.

        Raises:
            ValueError: the option cannot be read, is not per path, is asked about something that `query`
                does not name, or the address is not one host.
        """
        kind = query if isinstance(query, type) else type(query)
        spec = self.option(kind)
        if not spec.readable:
            raise ValueError(f"{kind.__name__} cannot be read, only set")
        raw: Raw = dict(spec.initial)
        if spec.association_member is not None:
            if association_id in (Scope.CURRENT, Scope.ALL):
                raise ValueError(
                    f"{kind.__name__} of {Scope(association_id)!r} cannot be read; accepted: an association, "
                    "Scope.FUTURE"
                )
            raw[spec.association_member] = association_id
        for column in spec.columns:
            if column.attribute in spec.keys:
                column.dump(raw, _key(query, column.attribute), self._wire)
        if address is None and spec.path_member is not None and query is not kind:
            address = _key(query, "address")
        if address is not None:
            raw.update(self._path(spec, address))
        return spec.layout.pack(raw) + bytes(0 if spec.tail is None else spec.tail.space)

    def _path(self, spec: OptionSpec, address: Address) -> Raw:
        name = spec.kind.__name__
        if spec.path_member is None:
            raise ValueError(f"{name} is not the option of a path: {str(address)!r}")
        if len(address.hosts) != 1:
            raise ValueError(f"{name}: {str(address)!r}; accepted: one host")
        return {spec.path_member: self._addresses.pack(address)}

    def decode_option(self, kind: type[T], data: bytes) -> T:
        """Read what getsockopt gave.

        A longer struct is that of a newer stack: the rest is ignored. Of a shorter one of an older
        stack, the fields that are missing are None; so are those that the stack does not have.

        Raises:
            DecodeError: the struct is too short or malformed.
        """
        spec = self.option(kind)
        given = len(data)
        minimum = spec.layout.size if spec.minimum_size is None else spec.minimum_size
        if given < minimum:
            raise DecodeError(f"{spec.name} has {spec.layout.size} bytes, {given} were given")
        values = self._load(spec, bytes(data).ljust(spec.layout.size, b"\0"))
        ends = {m.name: m.offset + m.size for m in spec.layout.members}
        for column in spec.columns:
            if any(ends[member] > given for member in column.members):
                values[column.attribute] = None
        try:
            return cast(T, cast(Any, kind)(**values))
        except ValueError as error:
            raise DecodeError(f"{spec.name}: {error}") from None

    def encode_option(self, value: Option, association_id: int = 0) -> bytes:
        """Write what setsockopt takes.

        Raises:
            ValueError: the option or a field that was given cannot be set, or not for that scope, fields
                contradict each other, or a field is None where the struct cannot leave it (`merge` first).
            OSError: (ENOPROTOOPT) the stack has no such option, or not a field or value that was given.
        """
        spec = self.option(type(value))
        name = type(value).__name__
        fixed = read_only_fields(spec.kind)
        if not spec.writable:
            raise ValueError(f"{name} cannot be set, only read")
        scoped = spec.association_member is not None and association_id in (Scope.CURRENT, Scope.ALL)
        if scoped and association_id not in spec.scopes:
            accepted = ", ".join(["an association", *(f"Scope.{scope.name}" for scope in spec.scopes)])
            raise ValueError(f"{name} cannot be set for {Scope(association_id)!r}; accepted: {accepted}")
        for attribute in spec.absent:
            if getattr(value, attribute) is not None:
                raise self._lack(spec.name, attribute)
        for attribute in fixed:
            if getattr(value, attribute) is not None:
                raise ValueError(f"{name}: {attribute}={getattr(value, attribute)!r} cannot be set")
        for attribute in spec.required:
            if getattr(value, attribute) is None:
                raise ValueError(f"{name}: {attribute}=None; accepted: a value")
        return self._dump_option(spec, value, association_id, spec.prepare)

    def encode_result(self, value: Option, association_id: int = 0) -> bytes:
        """Write what getsockopt would give: `decode_option` backwards, for tests and fakes."""
        return self._dump_option(self.option(type(value)), value, association_id, None)

    def merge(self, value: T, current: T) -> T:
        """Fill the fields that `value` leaves from `current`, except those that cannot be set.

        Raises:
            TypeError: the two are different options.
        """
        if type(value) is not type(current):
            raise TypeError(f"{value!r} and {current!r} are different options")
        fixed = read_only_fields(type(value))
        filled = {
            attribute: getattr(current, attribute)
            for attribute in self.option(type(value)).attributes
            if attribute not in fixed and getattr(value, attribute) is None
        }
        return cast(T, dataclasses.replace(cast(Any, value), **filled))

    def _load(self, row: EventRow | OptionSpec, data: bytes) -> dict[str, Any]:
        raw = row.layout.unpack(data)
        values = {column.attribute: column.load(raw, self._wire) for column in row.columns}
        if row.tail is not None:
            values[row.tail.attribute] = row.tail.load(raw, data[row.layout.size :])
        return values

    def _dump_option(
        self,
        spec: OptionSpec,
        value: Option,
        association_id: int,
        prepare: Callable[[Any, Raw], None] | None,
    ) -> bytes:
        raw: Raw = dict(spec.initial)
        if spec.association_member is not None:
            raw[spec.association_member] = association_id
        for column in spec.columns:
            field = getattr(value, column.attribute)
            if field is not None:
                column.dump(raw, field, self._wire)
        tail = b"" if spec.tail is None else spec.tail.dump(raw, getattr(value, spec.tail.attribute))
        if prepare is not None:
            prepare(value, raw)
        return spec.layout.pack(raw) + tail


def _key(query: type[Option] | Option, attribute: str) -> Any:
    """Give what a query names: the attribute of a value, or what the type says by default."""
    if not isinstance(query, type):
        return getattr(query, attribute)
    default = dataclasses.MISSING
    if dataclasses.is_dataclass(query):
        default = query.__dataclass_fields__[attribute].default
    if default is dataclasses.MISSING:
        name = query.__name__
        raise ValueError(f"{name} is read by a value that names its {attribute}: {name}({attribute}=...)")
    return default
