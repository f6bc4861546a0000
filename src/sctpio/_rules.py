"""The rules that say which values a field of an option accepts; `str()` says it in words."""

from __future__ import annotations

from dataclasses import dataclass

from .address import Address

__all__ = ["Boolean", "Integer", "Path", "ReadOnly", "Rule", "Seconds"]


class ReadOnly:
    """Marks a field that a stack reports but does not take."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The base of all rules."""

    def accepts(self, value: object) -> bool:
        """Tell whether the value is of the right type and in range."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Boolean(Rule):
    """True or False, and no number."""

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "True or False"


@dataclass(frozen=True, slots=True)
class Integer(Rule):
    """An int from `low` to `high`, and no bool."""

    low: int
    high: int

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"an int from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Seconds(Rule):
    """A duration of 0 (where `low` is 0) or more than 0, up to `high` seconds.

    A positive duration below `low`, the unit, is accepted: it is rounded up.
    """

    low: float
    high: float

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
