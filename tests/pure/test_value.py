"""`_value.dataclass` beside the standard library's: whatever a user can ask of a value, both say the same."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, assert_type, get_type_hints

import pytest

import sctpio
from sctpio import _value

Both = Callable[..., Callable[[type[Any]], type[Any]]]


def classes(dataclass: Both) -> tuple[type[Any], type[Any], type[Any]]:
    """A base, a class with fields and defaults, and one that adds a field to those and overrides one."""

    @dataclass(frozen=True, slots=True)
    class Base:
        """A base."""

        def __post_init__(self) -> None:
            if getattr(self, "low", 0) < 0:
                raise ValueError("low")

    @dataclass(frozen=True, slots=True)
    class Range(Base):
        """A range."""

        low: int
        high: int | None = None
        name: str = "x"

        @property
        def size(self) -> int:
            return (self.high or 0) - self.low

    @dataclass(frozen=True, slots=True)
    class Named(Range):
        """A range with a name of its own."""

        name: str = "y"
        note: tuple[int, ...] = ()

        def __repr__(self) -> str:
            return f"<{self.name}>"

    return Base, Range, Named


OURS, THEIRS = classes(_value.dataclass), classes(dataclasses.dataclass)


def outcome(question: Callable[[], Any]) -> Any:
    """What it gives, or what it raises, without what tells the two apart."""
    try:
        return question()
    except Exception as error:
        return type(error), str(error)


# Since Python 3.13.
COPY_REPLACE = [vars(copy)[name] for name in ("replace",) if name in vars(copy)]

QUESTIONS: dict[str, Callable[[type[Any], type[Any], type[Any]], Any]] = {
    "signature": lambda b, r, n: [str(inspect.signature(kind)) for kind in (b, r, n)],
    "signature of __init__": lambda b, r, n: str(inspect.signature(r.__init__)),
    "type hints": lambda b, r, n: [get_type_hints(r), get_type_hints(r.__init__)],
    "name of __init__": lambda b, r, n: [r.__init__.__qualname__, r.__init__.__module__],
    "repr": lambda b, r, n: [repr(b()), repr(r(1, name="a")), repr(n(1))],
    "eq": lambda b, r, n: [r(1) == r(1, None), r(1) == r(2), r(1) == n(1), r(1) != n(1), r(1) == 1],
    "hash": lambda b, r, n: [hash(b()), hash(r(1)), hash(n(1, note=(2,))), len({r(1), r(1), n(1)})],
    "unhashable": lambda b, r, n: outcome(lambda: hash(r([]))),
    "order": lambda b, r, n: outcome(lambda: r(1) < r(2))[0],
    "fields": lambda b, r, n: [
        [(f.name, f.type, f.default, f.repr, f.init, f.kw_only) for f in dataclasses.fields(kind)]
        for kind in (b, r, n, n(1))
    ],
    "is_dataclass": lambda b, r, n: [dataclasses.is_dataclass(r), dataclasses.is_dataclass(r(1))],
    "params": lambda b, r, n: repr(r.__dataclass_params__),
    "replace": lambda b, r, n: repr(dataclasses.replace(r(1), high=4)),
    "replace checks": lambda b, r, n: outcome(lambda: dataclasses.replace(r(1), low=-1)),
    "copy.replace": lambda b, r, n: [repr(replace(r(1), high=4)) for replace in COPY_REPLACE],
    "asdict": lambda b, r, n: [dataclasses.asdict(n(1)), dataclasses.astuple(n(1))],
    "copy": lambda b, r, n: [repr(copy.copy(r(1, 2))), repr(copy.deepcopy(r(1, 2)))],
    "state": lambda b, r, n: r(1, 2).__getstate__(),
    "match": lambda b, r, n: [b.__match_args__, r.__match_args__, n.__match_args__],
    "slots": lambda b, r, n: [b.__slots__, r.__slots__, n.__slots__, hasattr(r(1), "__dict__")],
    "missing": lambda b, r, n: outcome(lambda: r()),
    "unknown": lambda b, r, n: outcome(lambda: r(1, size=2)),
    "too many": lambda b, r, n: outcome(lambda: r(1, 2, "a", 4)),
    "post_init": lambda b, r, n: outcome(lambda: n(-1)),
    "assign": lambda b, r, n: outcome(lambda: setattr(r(1), "low", 2)),
    "delete": lambda b, r, n: outcome(lambda: delattr(r(1), "low")),
    "class attribute": lambda b, r, n: outcome(lambda: type(r.low)),
    "property": lambda b, r, n: r(1, 3).size,
    "names": lambda b, r, n: [r.__name__, r.__qualname__, r.__module__, r.__doc__, r.__mro__[1].__name__],
    "help": lambda b, r, n: "low: 'int', high: 'int | None' = None, name: 'str' = 'x'" in pydoc.render_doc(r),
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_the_two_say_the_same(what: str) -> None:
    assert QUESTIONS[what](*OURS) == QUESTIONS[what](*THEIRS)


@pytest.mark.parametrize("what", QUESTIONS)
def test_the_first_question_to_a_class_is_answered_too(what: str) -> None:
    # Nothing is made yet in a class that was never used.
    assert QUESTIONS[what](*classes(_value.dataclass)) == QUESTIONS[what](*THEIRS)


def derived(base: type[Any]) -> list[Any]:
    class Open(base):  # type: ignore[misc]
        pass

    @dataclasses.dataclass(frozen=True)
    class Standard(base):  # type: ignore[misc]
        more: int = 5

    opened = Open(1)
    return [
        outcome(lambda: setattr(opened, "low", 2)),
        outcome(lambda: delattr(opened, "low")),
        opened == Open(1),
        repr(opened).rpartition(".")[2],
        str(inspect.signature(Standard)),
        repr(Standard(1, more=6)).rpartition(".")[2],
        Standard(1) == Standard(1),
        [field.name for field in dataclasses.fields(Standard)],
        outcome(lambda: setattr(Standard(1), "low", 2)),
    ]


def test_what_users_derive() -> None:
    assert derived(OURS[1]) == derived(THEIRS[1])


# Of these two Python 3.11's own is a TypeError.
def test_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'other'"):
        OURS[1](1).other = 2


def test_a_derived_class_may_have_more_attributes() -> None:
    base: Any = OURS[1]

    class Open(base):  # type: ignore[misc]
        pass

    value = Open(1)
    value.extra = 7
    assert value.extra == 7
    del value.extra
    assert not hasattr(value, "extra")


def test_other_arguments_are_refused() -> None:
    other: Both = _value.dataclass
    with pytest.raises(TypeError, match="frozen=True, slots=True"):
        other(frozen=False, slots=True)


def test_type_checkers_see_a_dataclass() -> None:
    """Most of this test is run by mypy: it complains where an `ignore` here is not needed."""
    value = sctpio.RtoInfo(0.5, maximum=60.0)
    assert_type(value.initial, float | None)
    assert_type(dataclasses.replace(value, initial=1.0), sctpio.RtoInfo)
    with pytest.raises(AttributeError):
        value.initial = 2.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        sctpio.RtoInfo(0.5, 60.0, 0.1, 7)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        sctpio.Message()  # type: ignore[call-arg]
    match value:
        case sctpio.RtoInfo(initial, maximum, None):
            assert_type(maximum, float | None)
            assert (initial, maximum) == (0.5, 60.0)


@_value.dataclass(frozen=True, slots=True)
class Range:
    """A value with an attribute that is computed."""

    low: int
    high: int

    @_value.computed
    def numbers(self) -> tuple[int, ...]:
        """The numbers from low to high."""
        return tuple(range(self.low, self.high))


def test_what_is_computed_is_computed_once() -> None:
    value, fresh = Range(1, 4), Range(1, 4)
    assert assert_type(value.numbers, tuple[int, ...]) == (1, 2, 3)
    assert value.numbers is value.numbers
    assert value == fresh
    assert hash(value) == hash(fresh)
    assert repr(value) == repr(fresh)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.numbers = ()  # type: ignore[misc]


def test_what_is_computed_belongs_to_one_value() -> None:
    value = Range(1, 4)
    assert value.numbers == (1, 2, 3)
    changed = dataclasses.replace(value, high=3)
    assert changed.numbers == (1, 2)
    assert pickle.loads(pickle.dumps(value)).numbers == (1, 2, 3)
    assert Range.numbers.__doc__ == "The numbers from low to high."


def test_two_threads_may_use_a_class_first() -> None:
    for _ in range(50):
        _, kind, _ = classes(_value.dataclass)
        barrier, made = threading.Barrier(4), list[Any]()

        def first(kind: type[Any], barrier: threading.Barrier, made: list[Any]) -> None:
            barrier.wait()
            made.append(kind(1, 2))

        threads = [threading.Thread(target=first, args=(kind, barrier, made)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [kind(1, 2)] * 4


PACKAGE = importlib.import_module("sctpio")
VALUES = sorted(
    (kind for name in PACKAGE.__all__ if hasattr(kind := getattr(PACKAGE, name), "_value_fields")),
    key=lambda kind: str(kind.__name__),
)


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_a_value_has_the_fields_of_its_body(kind: type[Any]) -> None:
    names = tuple(field.name for field in dataclasses.fields(kind))
    assert names == kind.__match_args__ == tuple(inspect.signature(kind).parameters)
    # Every annotation can be read, where the class or a base of it stands.
    assert set(names) <= set(get_type_hints(kind))


def test_a_value_of_another_process_is_read_by_one_that_has_made_none() -> None:
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    value = sctpio.RtoInfo(initial=0.5)
    found = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(value), capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == repr(value) == "RtoInfo(initial=0.5, maximum=None, minimum=None)"
