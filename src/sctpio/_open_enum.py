"""`OpenIntEnum`: named numbers that a peer or a newer stack may have more of, printed by their names."""

from __future__ import annotations

import enum
from typing import Self

__all__ = ["OpenIntEnum", "format_name"]


def format_name(name: str, number: int, spec: str) -> str:
    """Format a named number: the name, unless the format is one of numbers."""
    try:
        return format(name, spec)
    except ValueError:
        return format(number, spec)


class OpenIntEnum(enum.IntEnum):
    """An IntEnum that accepts every int: one without a name becomes ``UNKNOWN_<n>``.

    Such a member is made anew each time, so compare it with ``==`` and not with ``is``. `str` and f-strings
    give the name, and the number where the format asks for one: ``f"{state}"``, ``f"{state:d}"``.
    `json.dumps` writes any IntEnum as its number: give it ``state.name`` for the name.
    """

    def __str__(self) -> str:
        return self._name_

    def __format__(self, spec: str) -> str:
        return format_name(self._name_, self._value_, spec)

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = int(value)
        return member

    def __reduce_ex__(self, proto: object) -> tuple[type[Self], tuple[int]]:
        # By value, because Python 3.11.2 copies a member by its name, and no class attribute has this one.
        return type(self), (self._value_,)
