"""The table of a stack: a row for each event and each option, and the `Platform` that holds them all.

A row says which struct an event or option comes in, and its columns say how each attribute lies there
(`columns`). Each stack has one `Platform` (`linux.LINUX`, `usrsctp.USRSCTP`), and `codec` reads any of them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any

from .._value import computed, dataclass
from ..events import Event
from ..options import Option, Scope
from ..options.base import field_names, read_only_fields
from .columns import Column, Tail
from .layout import Layout, Raw

__all__ = ["EVERY_SCOPE", "FUTURE_ONLY", "EventRow", "Lacking", "OptionSpec", "Platform"]


@dataclass(frozen=True, slots=True)
class EventRow:
    """A notification: its name and number in the uapi, the event that it becomes, and its struct.

    The first three members of the struct are type, flags and length. `rfc` is the section that specifies the
    notification, and `since` the Linux release that brought it, "" on a stack of one release.
    """

    name: str
    number: int
    kind: type[Event]
    layout: Layout
    columns: tuple[Column, ...]
    rfc: str
    since: str
    tail: Tail | None = None


# What `OptionSpec.scopes` mostly is.
FUTURE_ONLY = (Scope.FUTURE,)
EVERY_SCOPE = tuple(Scope)

# The errnos of an option that the kernel has but does not take as the socket, the peer or a sysctl is now.
_LACKING = frozenset({errno.ENOPROTOOPT, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP})


def _no_preparation(value: Any, raw: Raw) -> None:
    """Do nothing: the columns have written everything."""


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """An option: its name, level and number in the uapi, the type of its values, and its struct.

    For errors and the manual: `rfc` is the section that specifies it, `since` the Linux release that brought
    it ("" on a stack of one release), and `needs` says what the stack refuses it without.

    For queries: `association_member` and `path_member` are the members that name the association and the
    path, None if it is not per association or path; `keys` are further attributes that a query names.
    `minimum_size` is the size of an older, shorter form of the struct that getsockopt may give.

    For setting: `scopes` are accepted besides the id of one association. `prepare` checks and completes what
    the columns have written. `initial` are the members that are not zero where no column writes them.
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
        """Whether an association can have a value of its own."""
        return self.association_member is not None

    @property
    def per_path(self) -> bool:
        """Whether a path can have a value of its own."""
        return self.path_member is not None

    def needs_merge(self, value: Option) -> bool:
        """Tell whether a field of the value is None that the struct cannot leave.

        If so, read the current value, `Codec.merge` the two, and set the result.
        """
        return any(getattr(value, attribute) is None for attribute in self.required)

    @computed
    def attributes(self) -> tuple[str, ...]:
        """The attributes that the struct and its tail have."""
        tail = () if self.tail is None else (self.tail.attribute,)
        return (*(column.attribute for column in self.columns), *tail)

    @computed
    def absent(self) -> tuple[str, ...]:
        """The fields of the option that the stack does not have."""
        return tuple(name for name in field_names(self.kind) if name not in self.attributes)

    @computed
    def required(self) -> tuple[str, ...]:
        """The attributes that can be set and cannot be left as they are."""
        free = {column.attribute for column in self.columns if column.leave} | read_only_fields(self.kind)
        return tuple(attribute for attribute in self.attributes if attribute not in free)

    def explain(self, code: int) -> str:
        """Return the text for an errno: the option's name, and what may be missing."""
        words = [self.name]
        if self.since and code == errno.ENOPROTOOPT:
            words.append(f"in Linux since {self.since}")
        if self.needs and code in _LACKING:
            words.append(f"needs {self.needs}")
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class Lacking:
    """An option that a stack does not have: its name on Linux, and why, or what there is instead."""

    kind: type[Option]
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Platform:
    """The numbers and structs of one stack on one system.

    `af_inet` and `af_inet6` are the numbers of the address families. If an event has two rows, the first is
    preferred. Each option of this package is in `options` or in `lacking`. `inside` are the numbers of the
    options that are set by `stacks.native` itself and so are no `Option`.
    """

    name: str
    af_inet: int
    af_inet6: int
    events: tuple[EventRow, ...]
    options: tuple[OptionSpec, ...]
    inside: Mapping[str, int]
    lacking: tuple[Lacking, ...] = ()

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """All structs of the table, each once."""
        rows: tuple[EventRow | OptionSpec, ...] = (*self.events, *self.options)
        return tuple({row.layout.name: row.layout for row in rows}.values())
