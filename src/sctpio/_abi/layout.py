"""C structs: where a compiler puts their members, reading and writing them, and byte order.

A `Layout` is given names and types and computes the offsets by the rules of a C compiler, so a row of a table
is as short as the struct in the header. The tests compare every offset with a compiler's. Numbers are in
native byte order; the few that the API has in network order go through `swap16` and `swap32`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from ..errors import DecodeError

__all__ = ["STORAGE", "Layout", "Member", "Raw", "notification", "swap16", "swap32"]

STORAGE = "128s"
"""The code of a struct sockaddr_storage: 128 bytes, aligned like a long."""

Raw: TypeAlias = dict[str, Any]
"""A struct as it is read and before it is written: the value of each scalar member by its name."""


@lru_cache(maxsize=1024)
def swap32(value: int) -> int:
    """Convert a 32-bit number between host and network order; both ways are the same function."""
    return int.from_bytes(value.to_bytes(4, sys.byteorder), "big")


@lru_cache(maxsize=1024)
def swap16(value: int) -> int:
    """Convert a 16-bit number between host and network order; both ways are the same function."""
    return int.from_bytes(value.to_bytes(2, sys.byteorder), "big")


class Member(NamedTuple):
    """A scalar member: its name, its path in C (``info.snd_sid``), its offset and its size in bytes."""

    name: str
    path: str
    offset: int
    size: int


def _alignment(kind: str | Layout) -> int:
    if isinstance(kind, Layout):
        return kind.alignment
    code = "l" if kind == STORAGE else kind
    return struct.calcsize(f"@c{code}") - struct.calcsize(f"@{code}")


class Layout:
    """A C struct, or a scalar as a struct of one member.

    A member is a name and a code of the `struct` module, `STORAGE`, or another Layout. The members of an
    inner struct are reached by their own names. `packed` means ``__attribute__((packed, aligned(4)))``.
    """

    __slots__ = ("_names", "_struct", "alignment", "body", "members", "name", "size")

    name: str
    alignment: int
    body: str
    members: tuple[Member, ...]
    size: int

    def __init__(self, name: str, *members: tuple[str, str | Layout], packed: bool = False) -> None:
        self.name = name
        self.alignment = 4 if packed else max(_alignment(kind) for _, kind in members)
        body, offset, found = "", 0, list[Member]()
        for member, kind in members:
            padding = 0 if packed else -offset % _alignment(kind)
            offset += padding
            if isinstance(kind, Layout):
                code, size = kind.body, kind.size
                found += [
                    Member(m.name, f"{member}.{m.path}", offset + m.offset, m.size) for m in kind.members
                ]
            else:
                code, size = kind, struct.calcsize(f"={kind}")
                found.append(Member(member, member, offset, size))
            body += "x" * padding + code
            offset += size
        self.body = body + "x" * (-offset % self.alignment)
        self.members = tuple(found)
        self._names = tuple(m.name for m in found)
        self._struct = struct.Struct("=" + self.body)
        self.size = self._struct.size

    def __repr__(self) -> str:
        return f"<Layout {self.name} {self.size} bytes>"

    def unpack(self, data: bytes) -> Raw:
        """Return the members of the struct at the start of `data`.

        Raises:
            DecodeError: `data` is shorter than the struct.
        """
        if len(data) < self.size:
            raise DecodeError(f"{self.name} has {self.size} bytes, {len(data)} were given")
        return dict(zip(self._names, self._struct.unpack_from(data), strict=True))

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """Return the bytes of the struct; members that `values` does not name are zero.

        Raises:
            ValueError: a value does not fit its member.
        """
        filled = (values.get(m.name, b"" if m.size == struct.calcsize(STORAGE) else 0) for m in self.members)
        try:
            return self._struct.pack(*filled)
        except struct.error as error:
            raise ValueError(f"{self.name}: {error}") from None


def notification(name: str, prefix: str, *members: tuple[str, str | Layout], packed: bool = False) -> Layout:
    """Return the layout of a notification: type, flags and length, then its own members."""
    head = ((f"{prefix}_type", "H"), (f"{prefix}_flags", "H"), (f"{prefix}_length", "I"))
    return Layout(name, *head, *members, packed=packed)
