"""Bytes <-> events, options and addresses, by the table of one stack.

The codec itself has no numbers: they are all in the `Platform` that it is made with. It reads what a kernel
or a peer may have written, so decoding checks every bound, and raises `DecodeError` and nothing else.

Reading an option is `encode_query`, getsockopt, `decode_option`. Setting one is `encode_option`, setsockopt;
where a struct cannot say "leave this field", the current value is read first, and `merge` fills the gaps.
"""

from __future__ import annotations

import dataclasses
import errno
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from ..address import Address
from ..errors import DecodeError
from ..events import Event, UnknownEvent
from ..options import Scope
from ..options.base import Option, as_reported, field_names, read_only_fields
from .columns import Wire
from .layout import Raw
from .platform import EventRow, OptionSpec, Platform
from .sockaddr import SockaddrCodec

__all__ = ["Codec"]

T = TypeVar("T", bound=Option)

_HEADER = struct.Struct("=HHI")


class Codec:
    """Reads and writes the bytes of one stack.

    `scope_to_index` and `index_to_scope` convert IPv6 scope ids to and from interface numbers; by default a
    scope id is the number in decimal. `tick` is the kernel's tick in seconds, the unit of smoothed round-trip
    times on Linux: ``clock_getres(CLOCK_MONOTONIC_COARSE)``.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        scope_to_index: Callable[[str], int] = int,
        index_to_scope: Callable[[int], str] = str,
        tick: float = 0.001,
    ) -> None:
        self.platform = platform
        self._addresses = SockaddrCodec(
            platform.af_inet,
            platform.af_inet6,
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
        """The numbers that subscribe to each event, the preferred one first."""

    # Addresses

    def pack_addresses(self, address: Address) -> bytes:
        """Return every host of an address as an array of sockaddrs, as bindx and connectx take it.

        Raises:
            ValueError: the address is the wildcard, which has no host.
            OSError: this host has no interface of that scope id.
        """
        return self._addresses.pack(address)

    def unpack_addresses(self, data: bytes) -> Address:
        """Return the address in an array of sockaddrs: IPv4-mapped IPv6 as IPv4, and each host once.

        Raises:
            DecodeError: the array is empty or malformed, or the ports differ.
        """
        return self._addresses.unpack_all(data)

    def unpack_address(self, data: bytes) -> Address:
        """Return the address in one sockaddr; what follows it in a sockaddr_storage is ignored.

        Raises:
            DecodeError: it is not an IPv4 or IPv6 sockaddr, or is cut short.
        """
        return self._addresses.unpack(data)

    # Events

    def decode_event(self, data: bytes) -> Event:
        """Return the event that one whole notification is (RFC 6458 section 6.1).

        Its length is the one in its header; what `data` has beyond that is ignored.

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
        """Return the bytes of an event as the stack would write them, for tests and fakes.

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
        """Return the row of an option in the stack's table.

        Raises:
            OSError: (ENOPROTOOPT) the stack has no such option.
            ValueError: it is not an option of this package.
        """
        spec = self._options.get(kind)
        if spec is not None:
            return spec
        if kind in self._lacking:
            raise self._lack(self._lacking[kind].name, "such option")
        raise ValueError(f"{self.platform.name} has no option {kind.__name__}")

    def _lack(self, name: str, what: str) -> OSError:
        """Return the error for what the stack does not have: ENOPROTOOPT, as Linux says of such an option."""
        return OSError(errno.ENOPROTOOPT, f"{name}: the {self.platform.name} stack has no {what}")

    def encode_query(
        self, query: type[Option] | Option, association_id: int = 0, address: Address | None = None
    ) -> bytes:
        """Return the bytes that getsockopt is given: the struct, and space for a tail.

        They say what is asked about: the association, the path (`address`, or that of `query`), and, if
        `query` is a value, the stream or policy in it. An option that is not per association ignores
        `association_id`.

        Raises:
            ValueError: the option cannot be read, or not for that scope; it is not per path; `query` does not
                say which stream or policy is meant; or the address is not one host.
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
        """Return the member that names a path, for a query."""
        name = spec.kind.__name__
        if spec.path_member is None:
            raise ValueError(f"{name} is not the option of a path: {str(address)!r}")
        if len(address.hosts) != 1:
            raise ValueError(f"{name}: {str(address)!r}; accepted: one host")
        return {spec.path_member: self._addresses.pack(address)}

    def decode_option(self, kind: type[T], data: bytes) -> T:
        """Return the option in the bytes that getsockopt gave.

        A longer struct is that of a newer stack, and its rest is ignored. A shorter one is that of an older
        stack: fields that are not in it are None, like those that the stack does not have at all.

        Raises:
            DecodeError: the struct is too short or malformed.
        """
        spec = self.option(kind)
        given = len(data)
        minimum = spec.layout.size if spec.minimum_size is None else spec.minimum_size
        if given < minimum:
            raise DecodeError(f"{spec.name} has {spec.layout.size} bytes, {given} were given")
        values = self._load(spec, bytes(data).ljust(spec.layout.size, b"\0"))
        # A field that is not in the struct was padded with zeros, which must not be taken for its value.
        ends = {m.name: m.offset + m.size for m in spec.layout.members}
        for column in spec.columns:
            if any(ends[member] > given for member in column.members):
                values[column.attribute] = None
        try:
            return as_reported(kind, values)
        except ValueError as error:
            raise DecodeError(f"{spec.name}: {error}") from None

    def encode_option(self, value: Option, association_id: int = 0) -> bytes:
        """Return the bytes that setsockopt is given.

        Raises:
            ValueError: the option, or a field that is not None, cannot be set, or not for that scope; fields
                contradict each other; or a field is None that the struct cannot leave (`merge` first).
            OSError: (ENOPROTOOPT) the stack does not have the option, or a field or value in it.
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
        """Return the bytes that getsockopt would give: `decode_option` backwards, for tests and fakes."""
        return self._dump_option(self.option(type(value)), value, association_id, None)

    def merge(self, value: T, current: T) -> T:
        """Return `value` with the fields that are None filled from `current`, where they can be set.

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
        given = {name: getattr(value, name) for name in field_names(type(value))}
        return as_reported(type(value), given | filled)

    def _load(self, row: EventRow | OptionSpec, data: bytes) -> dict[str, Any]:
        """Return the attributes in a struct and its tail; raises DecodeError."""
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
        """Return the struct and tail of an option's value; fields that are None are not written."""
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
    """Return what a query is about: the attribute of a value, or its default where the query is a type."""
    if not isinstance(query, type):
        return getattr(query, attribute)
    default = query.__dataclass_fields__[attribute].default
    if default is dataclasses.MISSING:
        name = query.__name__
        raise ValueError(f"{name} is read by a value that names its {attribute}: {name}({attribute}=...)")
    return default
