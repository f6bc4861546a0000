"""The decorator that makes this package's values: what `dataclass(frozen=True, slots=True)` makes, sooner.

The standard decorator writes and compiles seven methods for each class when the module is imported. That
takes half a millisecond a class, this package has about 120 of them, and a program uses a few. Here the class
is ready at once:

- `__init__`, `__dataclass_fields__`, `__dataclass_params__` and `__replace__` are made when they are first
  looked up (`_Later`), the last three by the standard decorator itself. So `inspect.signature`,
  `dataclasses.fields`, `replace` and `asdict` work.
- All other methods are the same functions in every class (`_Methods`).

Rules for whoever writes such a class: every field is an annotation of the class body, with or without a
default; there is no `field()` and there are no other arguments than these two; a method that needs its base
names it (`Option.__post_init__(self)`), because the class is made a second time, with slots, which breaks
`super()` without arguments. `computed` is for an attribute that follows from the fields. A class that has the
attribute `_names_its_fields` says in the error for an unknown argument which there are.

Type checkers know all of this by `typing.dataclass_transform`. `tests/pure/test_value.py` puts the same
questions to classes made by this decorator and by the standard one, and compares the answers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, cast, dataclass_transform, overload

__all__ = ["computed", "dataclass"]

C = TypeVar("C", bound=type)
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def dataclass(*, frozen: bool, slots: bool) -> Callable[[C], C]:
    """Return the decorator; see `dataclasses.dataclass`.

    Raises:
        TypeError: an argument is not True. They are there so that the place of use says what it makes.
    """
    if not (frozen and slots):
        raise TypeError("dataclass: accepted: frozen=True, slots=True; others are those of `dataclasses`")
    return _value_class


class computed(Generic[T]):  # noqa: N801 -- used as a decorator, like `property`
    """A property that is computed when it is first asked for, and kept in a slot of the value.

    `functools.cached_property` cannot do it: a value has no `__dict__`. What is kept is no field: it takes no
    part in `==`, `repr` or pickling. Two threads may compute it twice; either result will do.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.slot: str = f"_computed_{name}"

    @overload
    def __get__(self, value: None, owner: type) -> Self: ...
    @overload
    def __get__(self, value: object, owner: type) -> T: ...
    def __get__(self, value: object | None, owner: type) -> Self | T:
        if value is None:
            return self
        try:
            found: T = getattr(value, self.slot)
        except AttributeError:
            found = self._compute(value)
            object.__setattr__(value, self.slot, found)
        return found


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
    """Compile `__init__`, which fills the slots and then calls `__post_init__` if there is one.

    It sets each field by its slot's own descriptor, because the class's `__setattr__` refuses. If the class
    has `_names_its_fields`, it takes any name, to refuse it with a text of its own; its signature is then
    that of `__wrapped__`, by the rules of `functools.wraps`.
    """
    names = hasattr(cls, "_names_its_fields")
    parameters = ["self", *(f"{name}=default_{name}" if name in defaults else name for name in annotations)]
    shown = ", ".join(parameters)
    lines = [f"set_{name}(self, {name})" for name in annotations]
    if names:
        lines.insert(0, "if _others: refuse(self, _others)")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    outer = {f"set_{name}": getattr(cls, name).__set__ for name in annotations}
    outer |= {f"default_{name}": value for name, value in defaults.items()}
    source = (
        f"def make({', '.join(['refuse', *outer])}):\n"
        f" def __init__({shown}{', **_others' if names else ''}):\n  "
        + "\n  ".join(lines or ["pass"])
        + (f"\n def plain({shown}): pass\n __init__.__wrapped__ = plain" if names else "")
        + "\n return __init__"
    )
    made: dict[str, Any] = {}
    # Its globals are those of the class, where `get_type_hints` looks up the annotations.
    exec(source, vars(sys.modules[cls.__module__]), made)
    init = made["make"](_refuse_names, **outer)
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {**annotations, "return": None}
    if names:
        init.__wrapped__.__annotations__ = init.__annotations__
    return init


def _refuse_names(value: Any, unknown: dict[str, Any]) -> None:
    name, accepted = next(iter(unknown)), ", ".join(value.__match_args__) or "none"
    raise TypeError(f"{type(value).__name__} has no field {name!r}; accepted: {accepted}")


def _standard(name: str) -> Callable[[type, dict[str, Any], dict[str, Any]], Any]:
    """Return the maker of an attribute that is taken from a standard dataclass of the same fields."""

    def make(cls: type, annotations: dict[str, Any], defaults: dict[str, Any]) -> Any:
        # Imported here: the module takes as long to import as a fifth of this package.
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
    """The methods that are the same in every class; `_value_class` copies those that a body does not have."""

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
    """Raise FrozenInstanceError, unless a class that a user derived has the attribute besides the fields."""
    if name in value.__match_args__ or "__dataclass_fields__" in vars(type(value)):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot {what} field {name!r}")


def _value_class(plain: C) -> C:
    """Make the class a second time, with slots in place of the defaults that its body has.

    A default is a class attribute, and a class with a slot of that name cannot have one: defaults go to
    `_value_fields`, where `_init` and a derived class find them.
    """
    body = {name: value for name, value in vars(plain).items() if name not in ("__dict__", "__weakref__")}
    own = plain.__annotations__
    inherited, defaults = getattr(plain, "_value_fields", ({}, {}))
    annotations = {**inherited, **own}
    defaults = defaults | {name: body.pop(name) for name in own if name in body}
    kept = [value.slot for value in body.values() if isinstance(value, computed)]
    for name, make in _LATER.items():
        body[name] = _Later(make, annotations, defaults)
    for name, method in _METHODS.items():
        body.setdefault(name, method)
    body["__slots__"] = (*(name for name in own if name not in inherited), *kept)
    body["__qualname__"] = plain.__qualname__
    body["__match_args__"] = tuple(annotations)
    body["_value_fields"] = (annotations, defaults)
    made: Any = type(plain)(plain.__name__, plain.__bases__, body)
    return cast(C, made)
