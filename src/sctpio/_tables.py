"""What a stack's table is made of: columns, event rows, option rows, and the platform.

A column says how one attribute of an event or option lies in a struct. A stack's table (`_linux`)
is one `Platform` value; another stack brings another, and `_codec` reads either.
"""

from __future__ import annotations

import enum
import errno
import struct
from collections.abc import Callable, Mapping
from typing import Any

from ._dataclass import dataclass
from ._layout import Layout, Raw, swap16, swap32
from ._option import Option, field_names, read_only_fields
from ._sockaddr import SockaddrCodec
from .errors import DecodeError
from .events import ErrorCause, Event
from .options import Scope

__all__ = [
    "EVERY_SCOPE",
    "FUTURE_ONLY",
    "Column",
    "EventRow",
    "Lacking",
    "OptionSpec",
    "Platform",
    "Tail",
    "Wire",
    "bit",
    "boolean",
    "cause",
    "enumerated",
    "network16",
    "network32",
    "number",
    "record",
    "renumbered",
    "replaced",
    "seconds",
    "sockaddr",
    "switch",
    "ticks",
]


@dataclass(frozen=True, slots=True)
class Wire:
    """What columns need besides the struct: sockaddrs, the kernel's tick in seconds, the stack's name."""

    addresses: SockaddrCodec
    tick: float
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute, the struct members that it is read from, and the two directions.

    Several columns may share a member: `dump` adds bits. `leave` says that the struct can express
    None ("leave as it is") by what is there without a dump: zero.
    """

    attribute: str
    members: tuple[str, ...]
    load: Callable[[Raw, Wire], Any]
    dump: Callable[[Raw, Any, Wire], None]
    leave: bool = False


def _column(
    attribute: str,
    member: str,
    load: Callable[[Any], Any],
    dump: Callable[[Any], Any],
    leave: bool = False,
) -> Column:
    def read(raw: Raw, wire: Wire) -> Any:
        value = raw[member]
        return None if leave and not value else load(value)

    def write(raw: Raw, value: Any, wire: Wire) -> None:
        raw[member] = dump(value)

    return Column(attribute, (member,), read, write, leave)


def number(attribute: str, member: str, *, leave: bool = False) -> Column:
    """An int as it is."""
    return _column(attribute, member, int, int, leave)


def boolean(attribute: str, member: str) -> Column:
    """A bool in a number of its own."""
    return _column(attribute, member, bool, int)


def enumerated(attribute: str, member: str, kind: type[enum.IntEnum | enum.IntFlag]) -> Column:
    """A member of an enum, by its number."""
    return _column(attribute, member, kind, int)


def renumbered(
    attribute: str,
    member: str,
    kind: type[enum.IntEnum],
    numbers: Mapping[enum.IntEnum, int],
    also: Mapping[int, enum.IntEnum] | None = None,
) -> Column:
    """A member of an enum for which the stack has numbers of its own; `also` are more that it may give.

    A number that the stack does not have is kept, as that of a newer stack, unless it would become another
    member by that: then it is a DecodeError. A member that the stack does not have is an OSError
    (ENOPROTOOPT).
    """
    members = {theirs: ours for ours, theirs in numbers.items()} | dict(also or {})
    known = {int(ours) for ours in kind}

    def load(raw: Raw, wire: Wire) -> enum.IntEnum:
        theirs = raw[member]
        if theirs in members:
            return members[theirs]
        if theirs in known:
            raise DecodeError(f"{member} is {theirs}, which {wire.stack} does not have")
        return kind(theirs)

    def dump(raw: Raw, value: enum.IntEnum, wire: Wire) -> None:
        if int(value) in known and value not in numbers:
            raise OSError(errno.ENOPROTOOPT, f"the {wire.stack} stack has no {kind.__name__}.{value.name}")
        raw[member] = numbers.get(value, int(value))

    return Column(attribute, (member,), load, dump)


def network32(attribute: str, member: str) -> Column:
    """A 32-bit number that lies in network order."""
    return _column(attribute, member, swap32, swap32)


def network16(attribute: str, member: str) -> Column:
    """A 16-bit number that lies in network order."""
    return _column(attribute, member, swap16, swap16)


def cause(attribute: str, member: str) -> Column:
    """An error cause in network order, 16 bits, maybe widened to 32.

    A number beyond 16 bits was never in network order and is kept.
    """

    def swap(value: int) -> int:
        return swap16(value) if value <= 0xFFFF else value

    return _column(attribute, member, lambda value: ErrorCause(swap(value)), swap)


def seconds(attribute: str, member: str, per: int = 1000, *, leave: bool = False) -> Column:
    """A duration of which one second has `per` units; a positive one is never rounded to 0."""

    def load(value: int) -> float:
        return value / per

    def dump(value: float) -> int:
        return max(round(value * per), 1 if value > 0 else 0)

    return _column(attribute, member, load, dump, leave)


def ticks(attribute: str, member: str) -> Column:
    """A duration in ticks of the kernel's clock (jiffies)."""

    def load(raw: Raw, wire: Wire) -> float:
        return float(raw[member] * wire.tick)

    def dump(raw: Raw, value: float, wire: Wire) -> None:
        raw[member] = round(value / wire.tick)

    return Column(attribute, (member,), load, dump)


def bit(attribute: str, member: str, mask: int) -> Column:
    """One bit: True or False."""

    def load(raw: Raw, wire: Wire) -> bool:
        return bool(raw[member] & mask)

    def dump(raw: Raw, value: bool, wire: Wire) -> None:
        raw[member] = raw.get(member, 0) | (mask if value else 0)

    return Column(attribute, (member,), load, dump)


def switch(attribute: str, member: str, on: int, off: int) -> Column:
    """Two bits: `on` for True, `off` for False, neither for None."""

    def load(raw: Raw, wire: Wire) -> bool | None:
        return bool(raw[member] & on) if raw[member] & (on | off) else None

    def dump(raw: Raw, value: bool, wire: Wire) -> None:
        raw[member] = raw.get(member, 0) | (on if value else off)

    return Column(attribute, (member,), load, dump, leave=True)


def sockaddr(attribute: str, member: str, *, leave: bool = False) -> Column:
    """A sockaddr_storage; with `leave` one that is no address is None."""

    def load(raw: Raw, wire: Wire) -> Any:
        try:
            return wire.addresses.unpack(raw[member])
        except DecodeError:
            if leave:
                return None
            raise

    def dump(raw: Raw, value: Any, wire: Wire) -> None:
        raw[member] = wire.addresses.pack(value)

    return Column(attribute, (member,), load, dump, leave)


def record(attribute: str, kind: type[Any], columns: tuple[Column, ...]) -> Column:
    """An inner value of its own type, from the members of an inner struct."""

    def load(raw: Raw, wire: Wire) -> Any:
        return kind(**{column.attribute: column.load(raw, wire) for column in columns})

    def dump(raw: Raw, value: Any, wire: Wire) -> None:
        for column in columns:
            column.dump(raw, getattr(value, column.attribute), wire)

    return Column(attribute, tuple(m for column in columns for m in column.members), load, dump)


def replaced(
    columns: tuple[Column, ...], *others: Column, without: tuple[str, ...] = ()
) -> tuple[Column, ...]:
    """Give the columns with others of the same attributes in their places, some left out."""
    by_attribute = {column.attribute: column for column in others}
    return tuple(by_attribute.get(c.attribute, c) for c in columns if c.attribute not in without)


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows a struct and becomes one attribute: bytes, or a tuple of numbers.

    `code` is the `struct` code of a number, "" for bytes; `kind` is what a number becomes. `count` names the
    member that says how many items there are; without one they go on to the end. `space` is the room in bytes
    that a query offers.
    """

    attribute: str
    code: str = ""
    count: str | None = None
    kind: Callable[[int], int] = int
    space: int = 0

    def load(self, raw: Raw, data: bytes) -> bytes | tuple[int, ...]:
        """Read the items.

        Raises:
            DecodeError: there are fewer than the count says, or they end within one.
        """
        size = struct.calcsize(f"={self.code}") if self.code else 1
        if self.count is not None:
            if raw[self.count] * size > len(data):
                raise DecodeError(f"{self.count} says {raw[self.count]} items, {len(data)} bytes were given")
            data = data[: raw[self.count] * size]
        if not self.code:
            return data
        if len(data) % size:
            raise DecodeError(f"{self.attribute} end within a number")
        return tuple(self.kind(n) for n in struct.unpack(f"={len(data) // size}{self.code}", data))

    def dump(self, raw: Raw, value: Any) -> bytes:
        """Write the items, and their count into the struct."""
        if self.count is not None:
            raw[self.count] = len(value)
        return struct.pack(f"={len(value)}{self.code}", *value) if self.code else bytes(value)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One notification: its number and name, the event it becomes, and its struct.

    The first three members of the struct are type, flags and length. `rfc` is the section that
    specifies it, `since` the release that brought it, "" where that does not matter.
    """

    name: str
    number: int
    kind: type[Event]
    layout: Layout
    columns: tuple[Column, ...]
    rfc: str
    since: str
    tail: Tail | None = None


# For associations to come, and besides for those that there are.
FUTURE_ONLY = (Scope.FUTURE,)
EVERY_SCOPE = tuple(Scope)

# What a kernel says where it has an option, but not as the socket, the peer or a sysctl is.
_LACKING = frozenset({errno.ENOPROTOOPT, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP})


def _no_preparation(value: Any, raw: Raw) -> None:
    """Prepare nothing: the columns say all."""


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One option: its name and number, the type it becomes, and its struct.

    `rfc` is the section that specifies it, `since` the release that brought it ("" where that does not
    matter), `scopes` what may be set besides one association, and `needs` says in words without what the
    stack refuses it.
    `association_member`, `path_member` and `keys` (attributes) are where a query names what it asks
    about. `minimum_size` is the size of an older, shorter form of the struct that a stack may give.
    `prepare` checks and completes what the columns of a value that is to be set have written. `initial` is
    what members hold that no column writes, where that is not zero.
    """

    kind: type[Option]
    name: str
    number: int
    layout: Layout
    columns: tuple[Column, ...]
    rfc: str
    since: str
    association_member: str | None = None
    path_member: str | None = None
    keys: tuple[str, ...] = ()
    tail: Tail | None = None
    level: int = 132
    readable: bool = True
    writable: bool = True
    minimum_size: int | None = None
    prepare: Callable[[Any, Raw], None] = _no_preparation
    scopes: tuple[Scope, ...] = ()
    needs: str = ""
    initial: tuple[tuple[str, Any], ...] = ()

    @property
    def per_association(self) -> bool:
        """Tell whether the option can be that of one association."""
        return self.association_member is not None

    @property
    def per_path(self) -> bool:
        """Tell whether the option can be that of one path."""
        return self.path_member is not None

    def needs_merge(self, value: Option) -> bool:
        """Tell whether the value leaves something that the struct cannot leave.

        Then read the current value, `Codec.merge` the two, and set the result.
        """
        return any(getattr(value, attribute) is None for attribute in self.required)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Name what the struct and its tail hold."""
        tail = () if self.tail is None else (self.tail.attribute,)
        return (*(column.attribute for column in self.columns), *tail)

    @property
    def absent(self) -> tuple[str, ...]:
        """Name the fields of the option that the stack does not have."""
        return tuple(name for name in field_names(self.kind) if name not in self.attributes)

    @property
    def required(self) -> tuple[str, ...]:
        """Name what can be set and cannot be left."""
        free = {column.attribute for column in self.columns if column.leave} | read_only_fields(self.kind)
        return tuple(attribute for attribute in self.attributes if attribute not in free)

    def explain(self, code: int) -> str:
        """Say which option an errno is about, and what it may lack."""
        words = [self.name]
        if self.since and code == errno.ENOPROTOOPT:
            words.append(f"in Linux since {self.since}")
        if self.needs and code in _LACKING:
            words.append(f"needs {self.needs}")
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class Lacking:
    """An option that a stack does not have: its name elsewhere, and what is there instead, or why not."""

    kind: type[Option]
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Platform:
    """The numbers and structs of one stack on one system.

    Of two rows of the same event, the first is the preferred one. Each option is either in `options` or in
    `lacking`; `inside` are the numbers of those that are no `Option`, because the stack's module sets them.
    `stream_totals` tells that a StreamChange has the counts after the change instead of the added ones: who
    knows the counts before it has to subtract them.
    """

    name: str
    af_inet: int
    af_inet6: int
    length_byte: bool
    events: tuple[EventRow, ...]
    options: tuple[OptionSpec, ...]
    inside: Mapping[str, int]
    lacking: tuple[Lacking, ...] = ()
    stream_totals: bool = False

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Every struct of the table, each once."""
        rows: tuple[EventRow | OptionSpec, ...] = (*self.events, *self.options)
        return tuple({row.layout.name: row.layout for row in rows}.values())
