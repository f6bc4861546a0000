"""`dataclass(frozen=True, slots=True)` as in `dataclasses`, without its work at import.

The standard one writes and compiles seven methods of each class, about half a millisecond of a program's
start, and most of this package's values are never made by one program. Here `__init__` and what `fields`
and `replace` look at are made when they are first used, and the other methods are shared by all classes.
Type checkers read the standard one, and `tests/pure/test_dataclass.py` compares the two. What this one does
not know: `field()`, other arguments than these, and `super()` without arguments in a method.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Decorate a class; see `dataclasses.dataclass`."""
        if not (frozen and slots):
            raise TypeError("dataclass: accepted: frozen=True, slots=True; others are those of `dataclasses`")
        return _value_class


class _Later:
    """An attribute of a class that is made when it is first looked up, and then takes this one's place."""

    def __init__(self, make: Callable[[type, dict[str, Any], dict[str, Any]], Any], *arguments: Any) -> None:
        self._make, self._arguments = make, arguments

    def __set_name__(self, cls: type, name: str) -> None:
        self._cls, self._name = cls, name

    def __get__(self, instance: object, owner: type) -> Any:
        # Two threads may make it twice: either one will do.
        made = self._make(self._cls, *self._arguments)
        setattr(self._cls, self._name, made)
        return made.__get__(instance, owner) if callable(made) else made


def _init(cls: type, annotations: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """Compile `__init__`, which sets the slots and leaves the rest to `__post_init__`."""
    parameters = ["self", *(f"{name}=default_{name}" if name in defaults else name for name in annotations)]
    lines = [f"set_{name}(self, {name})" for name in annotations]
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    outer = {f"set_{name}": getattr(cls, name).__set__ for name in annotations}
    outer |= {f"default_{name}": value for name, value in defaults.items()}
    source = (
        f"def make({', '.join(outer)}):\n def __init__({', '.join(parameters)}):\n  "
        + "\n  ".join(lines or ["pass"])
        + "\n return __init__"
    )
    made: dict[str, Any] = {}
    # Its globals are those of the class, where `get_type_hints` looks up the annotations.
    exec(source, vars(sys.modules[cls.__module__]), made)
    init = made["make"](**outer)
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {**annotations, "return": None}
    return init


def _standard(name: str) -> Callable[[type, dict[str, Any], dict[str, Any]], Any]:
    """Give the maker of an attribute that is taken from a standard dataclass of the same fields."""

    def make(cls: type, annotations: dict[str, Any], defaults: dict[str, Any]) -> Any:
        import dataclasses

        body = {"__annotations__": annotations, "__module__": cls.__module__, "__doc__": "", **defaults}
        return getattr(dataclasses.dataclass(frozen=True, slots=True)(type(cls.__name__, (), body)), name)

    return make


_LATER = {
    "__init__": _init,
    "__dataclass_fields__": _standard("__dataclass_fields__"),
    "__dataclass_params__": _standard("__dataclass_params__"),
}
if sys.version_info >= (3, 13):
    _LATER["__replace__"] = _standard("__replace__")


def _values(value: Any) -> tuple[Any, ...]:
    return tuple([getattr(value, name) for name in value.__match_args__])


class _Methods:
    """What all the classes have in common."""

    __match_args__: tuple[str, ...]

    def __repr__(self) -> str:
        fields = [f"{name}={getattr(self, name)!r}" for name in self.__match_args__]
        return f"{type(self).__qualname__}({', '.join(fields)})"

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))

    def __setattr__(self, name: str, value: object) -> None:
        _refuse(self, name, "assign to")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        _refuse(self, name, "delete")
        object.__delattr__(self, name)

    def __getstate__(self) -> list[Any]:
        return list(_values(self))

    def __setstate__(self, state: list[Any]) -> None:
        for name, value in zip(self.__match_args__, state, strict=True):
            object.__setattr__(self, name, value)


_METHODS = {name: method for name, method in vars(_Methods).items() if callable(method)}


def _refuse(value: Any, name: str, what: str) -> None:
    """Raise unless it is an attribute that a class derived from one of these has besides."""
    if name in value.__match_args__ or "__dataclass_fields__" in vars(type(value)):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot {what} field {name!r}")


def _value_class(plain: type) -> type:
    """Make the class anew, with slots in place of the defaults that its body has."""
    body = {name: value for name, value in vars(plain).items() if name not in ("__dict__", "__weakref__")}
    own = plain.__annotations__
    inherited, defaults = getattr(plain, "_value_fields", ({}, {}))
    annotations = {**inherited, **own}
    defaults = defaults | {name: body.pop(name) for name in own if name in body}
    for name, make in _LATER.items():
        body[name] = _Later(make, annotations, defaults)
    for name, method in _METHODS.items():
        body.setdefault(name, method)
    body["__slots__"] = tuple(name for name in own if name not in inherited)
    body["__qualname__"] = plain.__qualname__
    body["__match_args__"] = tuple(annotations)
    body["_value_fields"] = (annotations, defaults)
    return type(plain)(plain.__name__, plain.__bases__, body)
