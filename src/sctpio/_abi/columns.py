"""Columns: how an attribute of an event or option lies in a struct.

A row of a stack's table (`platform`) has a column for each attribute, made by one of the functions here:
``seconds("delay", "sack_delay")`` reads the member sack_delay, in milliseconds, as the attribute delay, in
seconds. A `Tail` is what follows a struct: bytes, or a list of numbers.
"""

from __future__ import annotations

import enum
import errno
import struct
from collections.abc import Callable, Mapping
from typing import Any

from .._value import dataclass
from ..errors import DecodeError
from ..events import ErrorCause
from .layout import Raw, swap16, swap32
from .sockaddr import SockaddrCodec

__all__ = [
    "Column",
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
    """What columns need besides the struct.

    `addresses` reads and writes sockaddrs, `tick` is the kernel's tick in seconds, and `stack` the name for
    errors.
    """

    addresses: SockaddrCodec
    tick: float
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute: the struct members that it is read from, how it is read and how it is written.

    Several columns may share a member, as bits of it: then `dump` adds to what is there. `leave` says that
    the struct can express None, "leave it as it is": by what is there when nothing was written, which is
    zero.
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
    """An int, as it is; with `leave`, 0 is None."""
    return _column(attribute, member, int, int, leave)


def boolean(attribute: str, member: str) -> Column:
    """A bool that has a member of its own."""
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
    """A member of an enum for which the stack has numbers of its own.

    `numbers` are these; `also` are further numbers that the stack may give, with the members that they mean.
    A number in neither is taken for that of a newer stack and kept, unless it is the number of a member here:
    that would be another meaning, so it is a DecodeError. Writing a member that the stack does not have is an
    OSError (ENOPROTOOPT).
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
    """A 32-bit number that is in network order in the struct."""
    return _column(attribute, member, swap32, swap32)


def network16(attribute: str, member: str) -> Column:
    """A 16-bit number that is in network order in the struct."""
    return _column(attribute, member, swap16, swap16)


def cause(attribute: str, member: str) -> Column:
    """An error cause: 16 bits in network order, also where the member has 32 bits.

    A number of more than 16 bits did not come from the wire, so it is not swapped.
    """

    def swap(value: int) -> int:
        return swap16(value) if value <= 0xFFFF else value

    return _column(attribute, member, lambda value: ErrorCause(swap(value)), swap)


def seconds(attribute: str, member: str, per: int = 1000, *, leave: bool = False) -> Column:
    """A duration in units of which a second has `per`; a positive one is never rounded to 0."""

    def load(value: int) -> float:
        return value / per

    def dump(value: float) -> int:
        return max(round(value * per), 1 if value > 0 else 0)

    return _column(attribute, member, load, dump, leave)


def ticks(attribute: str, member: str) -> Column:
    """A duration in ticks of the kernel's clock (jiffies); see `Wire.tick`."""

    def load(raw: Raw, wire: Wire) -> float:
        return float(raw[member] * wire.tick)

    def dump(raw: Raw, value: float, wire: Wire) -> None:
        raw[member] = round(value / wire.tick)

    return Column(attribute, (member,), load, dump)


def bit(attribute: str, member: str, mask: int) -> Column:
    """One bit of a member: True or False."""

    def load(raw: Raw, wire: Wire) -> bool:
        return bool(raw[member] & mask)

    def dump(raw: Raw, value: bool, wire: Wire) -> None:
        raw[member] = raw.get(member, 0) | (mask if value else 0)

    return Column(attribute, (member,), load, dump)


def switch(attribute: str, member: str, on: int, off: int) -> Column:
    """Two bits of a member: `on` for True, `off` for False, neither for None."""

    def load(raw: Raw, wire: Wire) -> bool | None:
        return bool(raw[member] & on) if raw[member] & (on | off) else None

    def dump(raw: Raw, value: bool, wire: Wire) -> None:
        raw[member] = raw.get(member, 0) | (on if value else off)

    return Column(attribute, (member,), load, dump, leave=True)


def sockaddr(attribute: str, member: str, *, leave: bool = False) -> Column:
    """An address in a sockaddr_storage; with `leave`, what is no address is None."""

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
    """A value of its own type, from the members of an inner struct."""

    def load(raw: Raw, wire: Wire) -> Any:
        return kind(**{column.attribute: column.load(raw, wire) for column in columns})

    def dump(raw: Raw, value: Any, wire: Wire) -> None:
        for column in columns:
            column.dump(raw, getattr(value, column.attribute), wire)

    return Column(attribute, tuple(m for column in columns for m in column.members), load, dump)


def replaced(
    columns: tuple[Column, ...], *others: Column, without: tuple[str, ...] = ()
) -> tuple[Column, ...]:
    """Return the columns with `others` in place of those of the same attributes, and some left out."""
    by_attribute = {column.attribute: column for column in others}
    return tuple(by_attribute.get(c.attribute, c) for c in columns if c.attribute not in without)


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows a struct and becomes one attribute: bytes, or a tuple of numbers.

    `code` is the code of a number in the `struct` module, "" for bytes, and `kind` what a number becomes.
    `count` names the member that has the number of items; without it they go on to the end. `space` is how
    many bytes a query offers for them.
    """

    attribute: str
    code: str = ""
    count: str | None = None
    kind: Callable[[int], int] = int
    space: int = 0

    def load(self, raw: Raw, data: bytes) -> bytes | tuple[int, ...]:
        """Return the items.

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
        """Return the bytes of the items, and write their count into the struct."""
        if self.count is not None:
            raw[self.count] = len(value)
        return struct.pack(f"={len(value)}{self.code}", *value) if self.code else bytes(value)
