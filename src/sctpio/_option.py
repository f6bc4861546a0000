"""What all options share: the base that checks a value's fields, and the ranges that many fields have."""

from __future__ import annotations

from typing import Annotated, get_args, get_type_hints

from ._dataclass import dataclass
from ._rules import Boolean, Integer, ReadOnly, Rule, Seconds

__all__ = [
    "U16",
    "U32",
    "Bytes",
    "Count16",
    "Milliseconds",
    "MillisecondsOrZero",
    "Number16",
    "Number32",
    "Option",
    "SackDelay",
    "Switch",
    "Toggle",
    "field_names",
    "read_only_fields",
]

U16 = 0xFFFF
U32 = 0xFFFFFFFF

Count16 = Annotated[int | None, Integer(1, U16)]
Number16 = Annotated[int | None, Integer(0, U16)]
Number32 = Annotated[int | None, Integer(0, U32)]
Bytes = Annotated[int | None, Integer(1, 0x7FFFFFFF)]
Switch = Annotated[bool | None, Boolean()]
Milliseconds = Annotated[float | None, Seconds(0.001, U32 / 1000)]
MillisecondsOrZero = Annotated[float | None, Seconds(0, U32 / 1000)]
SackDelay = Annotated[float | None, Seconds(0, 0.5)]

_annotations: dict[type[Option], tuple[tuple[tuple[str, Rule], ...], frozenset[str]]] = {}


def _annotated(kind: type[Option]) -> tuple[tuple[tuple[str, Rule], ...], frozenset[str]]:
    """Return the rules of an option's fields, and the names of those that are read only."""
    found = _annotations.get(kind)
    if found is None:
        marks = [
            (name, mark)
            for name, hint in get_type_hints(kind, include_extras=True).items()
            for mark in get_args(hint)[1:]
        ]
        rules = tuple((name, mark) for name, mark in marks if isinstance(mark, Rule))
        fixed = frozenset(name for name, mark in marks if mark is ReadOnly)
        found = _annotations[kind] = (rules, fixed)
    return found


def field_names(kind: type[Option]) -> tuple[str, ...]:
    """Name the fields of an option."""
    return kind.__match_args__


def read_only_fields(kind: type[Option]) -> frozenset[str]:
    """Name the fields of an option that a stack reports but does not take."""
    return _annotated(kind)[1]


@dataclass(frozen=True, slots=True)
class Option:
    """The base of all options; it checks each field by the rule in the field's annotation."""

    def __post_init__(self) -> None:
        kind = type(self)
        for name, rule in _annotated(kind)[0]:
            value = getattr(self, name)
            if value is not None and not rule.accepts(value):
                raise ValueError(f"{kind.__name__}: {name}={rule.show(value)}; accepted: {rule}")


@dataclass(frozen=True, slots=True)
class Toggle(Option):
    """The base of options that are on or off; named without a value, they are on."""

    enabled: Switch = True
