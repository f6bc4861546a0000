"""What all options share: the base class `Option`, and the rules for what a field accepts.

A rule is part of a field's annotation: ``size: Annotated[int | None, Integer(1, 9)]``. `Option` checks
each field by its rule when a value is made; None is always accepted. `str()` of a rule says in words what it
accepts, for the error. The names after the rules (`Count16`, `Switch`, ...) are the common annotations.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from .._value import dataclass
from ..address import Address

__all__ = [
    "U16",
    "U32",
    "Boolean",
    "Bytes",
    "Count16",
    "HourAtMost",
    "HourAtMostOrZero",
    "Integer",
    "Member",
    "Milliseconds",
    "MillisecondsOrZero",
    "MinuteAtMost",
    "Number16",
    "Number32",
    "Option",
    "Path",
    "ReadOnly",
    "Rule",
    "SackDelay",
    "Scope",
    "Seconds",
    "Secret",
    "Several",
    "Switch",
    "TenMinutesAtMost",
    "Toggle",
    "as_reported",
    "field_names",
    "field_rules",
    "read_only_fields",
]


T = TypeVar("T", bound="Option")


class Scope(enum.IntEnum):
    """Which associations of an endpoint an option is set for, in place of one's id (RFC 6458 section 7.2).

    FUTURE are those that have not begun yet, CURRENT those that exist, ALL both. An option that does not take
    one of them is a ValueError, and so is reading any option for CURRENT or ALL.
    """

    FUTURE = 0
    CURRENT = 1
    ALL = 2


class ReadOnly:
    """Marks a field, in its annotation, that a stack reports and that cannot be set."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The base of all rules."""

    def accepts(self, value: object) -> bool:
        """Tell whether a value is of the right type and in range."""
        raise NotImplementedError

    def show(self, value: object) -> str:
        """Return a value that was refused as the error quotes it."""
        return repr(value)

    def hint(self, value: object) -> str:
        """Return what a value that was refused may have meant, to follow the error; "" for no idea."""
        return ""


@dataclass(frozen=True, slots=True)
class Boolean(Rule):
    """True or False; 1 and 0 are refused."""

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "True or False"


@dataclass(frozen=True, slots=True)
class Integer(Rule):
    """An int from `low` to `high` that is none of `besides`; a bool is refused."""

    low: int
    high: int
    besides: tuple[int, ...] = ()

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and value not in self.besides

    def __str__(self) -> str:
        besides = f" but {', '.join(map(str, self.besides))}" if self.besides else ""
        return f"an int from {self.low} to {self.high}{besides}"


@dataclass(frozen=True, slots=True)
class Seconds(Rule):
    """A duration in seconds: positive and up to `high`, or 0 where `low` is 0.

    `unit` is what the stack counts in. A positive duration below `low` is accepted, because it is rounded up.
    `longest` is the most that a program has a use for, where the stack takes more: what is longer was meant
    as milliseconds, or will be felt as a hang. A stack may report more (see `as_reported`).
    """

    low: float
    high: float
    unit: float = 0.001
    longest: float | None = None

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return 0 < value <= self._most or value == self.low == 0

    def hint(self, value: object) -> str:
        if not isinstance(value, (int, float)) or self.unit != 0.001 or value % 1:
            return ""
        meant = f"; {value:g} milliseconds are {value / 1000:g} seconds"
        return meant if self._most < value <= 1000 * self._most else ""

    def only_reported(self, value: float | None) -> bool:
        """Tell whether a value is longer than a program has a use for, but not longer than a stack takes."""
        return value is not None and self._most < value <= self.high

    @property
    def _most(self) -> float:
        return self.high if self.longest is None else self.longest

    def __str__(self) -> str:
        return f"seconds from {self.low:g} to {self._most:.12g}"


@dataclass(frozen=True, slots=True)
class Path(Rule):
    """An Address of one host: a path, or one of the local addresses."""

    def accepts(self, value: object) -> bool:
        return isinstance(value, Address) and len(value.hosts) == 1

    def __str__(self) -> str:
        return "an Address of one host"


@dataclass(frozen=True, slots=True)
class Member(Rule):
    """A member of an enum, including those without a name (see `OpenIntEnum`)."""

    kind: type[enum.IntEnum]

    def accepts(self, value: object) -> bool:
        return isinstance(value, self.kind)

    def __str__(self) -> str:
        return f"a {self.kind.__name__} ({', '.join(self.kind.__members__)})"


@dataclass(frozen=True, slots=True)
class Several(Rule):
    """A tuple of `least` to `most` items, each accepted by the rule `item`."""

    item: Rule
    least: int
    most: int

    def accepts(self, value: object) -> bool:
        if not isinstance(value, tuple) or not self.least <= len(value) <= self.most:
            return False
        return all(self.item.accepts(item) for item in value)

    def __str__(self) -> str:
        return f"a tuple of {self.least} to {self.most} times {self.item}"


@dataclass(frozen=True, slots=True)
class Secret(Rule):
    """From `least` to `most` bytes that no error may quote."""

    least: int
    most: int

    def accepts(self, value: object) -> bool:
        return isinstance(value, bytes) and self.least <= len(value) <= self.most

    def show(self, value: object) -> str:
        return f"<{len(value)} bytes>" if isinstance(value, bytes) else f"<{type(value).__name__}>"

    def __str__(self) -> str:
        return f"{self.least} to {self.most} bytes"


U16 = 0xFFFF
U32 = 0xFFFFFFFF

Count16 = Annotated[int | None, Integer(1, U16)]
Number16 = Annotated[int | None, Integer(0, U16)]
Number32 = Annotated[int | None, Integer(0, U32)]
Bytes = Annotated[int | None, Integer(1, 0x7FFFFFFF)]
Switch = Annotated[bool | None, Boolean()]
Milliseconds = Annotated[float | None, Seconds(0.001, U32 / 1000)]
MillisecondsOrZero = Annotated[float | None, Seconds(0, U32 / 1000)]
# RFC 9260 section 16 has 60 seconds for the largest RTO and for a cookie's life, and 30 for heartbeats.
MinuteAtMost = Annotated[float | None, Seconds(0.001, U32 / 1000, longest=60)]
TenMinutesAtMost = Annotated[float | None, Seconds(0.001, U32 / 1000, longest=600)]
HourAtMost = Annotated[float | None, Seconds(0.001, U32 / 1000, longest=3600)]
HourAtMostOrZero = Annotated[float | None, Seconds(0, U32 / 1000, longest=3600)]
SackDelay = Annotated[float | None, Seconds(0, 0.5)]

# The rules of an option's fields, by name; which of them are read only; the durations with a `longest`.
_Annotated = tuple[tuple[tuple[str, Rule], ...], frozenset[str], tuple[tuple[str, Seconds], ...]]

# Reading annotations is slow (`get_type_hints` compiles each), so it is done once for a class.
_annotations: dict[type[Option], _Annotated] = {}


def _annotated(kind: type[Option]) -> _Annotated:
    """Return what the annotations of an option's fields say."""
    found = _annotations.get(kind)
    if found is None:
        marks = [
            (name, mark)
            for name, hint in get_type_hints(kind, include_extras=True).items()
            for mark in get_args(hint)[1:]
        ]
        rules = tuple((name, mark) for name, mark in marks if isinstance(mark, Rule))
        fixed = frozenset(name for name, mark in marks if mark is ReadOnly)
        bounded = [(name, rule) for name, rule in rules if isinstance(rule, Seconds) and rule.longest]
        found = _annotations[kind] = (rules, fixed, tuple(bounded))
    return found


def as_reported(kind: type[T], values: dict[str, Any]) -> T:
    """Return an option with the values that a stack has.

    It is checked like any other, but a duration may be longer than a program could set: the host's settings
    are somebody else's.
    """
    try:
        return kind(**values)
    except ValueError:
        bounded = _annotated(kind)[2]
        long = {name: values[name] for name, rule in bounded if rule.only_reported(values[name])}
        if not long:
            raise
    made = kind(**{**values, **dict.fromkeys(long)})
    for name, value in long.items():
        object.__setattr__(made, name, value)
    return made


def field_names(kind: type[Option]) -> tuple[str, ...]:
    """Return the names of an option's fields."""
    return kind.__match_args__


def field_rules(kind: type[Option]) -> tuple[tuple[str, Rule], ...]:
    """Return the names of the fields that can be checked, each with its rule."""
    return _annotated(kind)[0]


def read_only_fields(kind: type[Option]) -> frozenset[str]:
    """Return the names of the fields that a stack reports and that cannot be set."""
    return _annotated(kind)[1]


@dataclass(frozen=True, slots=True)
class Option:
    """The base of all options. It checks each field by the rule in the field's annotation.

    Raises:
        ValueError: a field does not accept its value; the text says what it accepts.
        TypeError: there is no such field; the text says which there are.
    """

    _names_its_fields = True

    def __post_init__(self) -> None:
        kind = type(self)
        for name, rule in _annotated(kind)[0]:
            value = getattr(self, name)
            if value is not None and not rule.accepts(value):
                raise ValueError(
                    f"{kind.__name__}: {name}={rule.show(value)}; accepted: {rule}{rule.hint(value)}"
                )

    def parts(self, stack: str) -> tuple[Option, ...]:
        """Return the options that are set for this one: itself, unless it stands for several."""
        return (self,)


@dataclass(frozen=True, slots=True)
class Toggle(Option):
    """The base of options that are on or off: ``NoDelay()`` is on, ``NoDelay(False)`` is off."""

    enabled: Switch = True
