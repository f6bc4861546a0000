"""The rules that say which values a field of an option accepts; `str()` says it in words."""

from __future__ import annotations

import enum

from ._dataclass import dataclass
from .address import Address

__all__ = ["Boolean", "Integer", "Member", "Path", "ReadOnly", "Rule", "Seconds", "Secret", "Several"]


class ReadOnly:
    """Marks a field that a stack reports but does not take."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The base of all rules."""

    def accepts(self, value: object) -> bool:
        """Tell whether the value is of the right type and in range."""
        raise NotImplementedError

    def show(self, value: object) -> str:
        """Quote a value that was refused."""
        return repr(value)


@dataclass(frozen=True, slots=True)
class Boolean(Rule):
    """True or False, and no number."""

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "True or False"


@dataclass(frozen=True, slots=True)
class Integer(Rule):
    """An int from `low` to `high`, none of `besides`, and no bool."""

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
    """A duration of 0 (where `low` is 0) or more than 0, up to `high` seconds.

    `unit` is what it is rounded to. A positive duration below `low` is accepted: it is rounded up.
    """

    low: float
    high: float
    unit: float = 0.001

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return 0 < value <= self.high or value == self.low == 0

    def __str__(self) -> str:
        return f"seconds from {self.low:g} to {self.high:.12g}"


@dataclass(frozen=True, slots=True)
class Path(Rule):
    """An Address of one host."""

    def accepts(self, value: object) -> bool:
        return isinstance(value, Address) and len(value.hosts) == 1

    def __str__(self) -> str:
        return "an Address of one host"


@dataclass(frozen=True, slots=True)
class Member(Rule):
    """A member of an enum, also one that has no name."""

    kind: type[enum.IntEnum]

    def accepts(self, value: object) -> bool:
        return isinstance(value, self.kind)

    def __str__(self) -> str:
        return f"a {self.kind.__name__} ({', '.join(self.kind.__members__)})"


@dataclass(frozen=True, slots=True)
class Several(Rule):
    """A tuple of `least` to `most` items of one rule."""

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
    """Bytes that nothing may show."""

    least: int
    most: int

    def accepts(self, value: object) -> bool:
        return isinstance(value, bytes) and self.least <= len(value) <= self.most

    def show(self, value: object) -> str:
        return f"<{len(value)} bytes>" if isinstance(value, bytes) else f"<{type(value).__name__}>"

    def __str__(self) -> str:
        return f"{self.least} to {self.most} bytes"
