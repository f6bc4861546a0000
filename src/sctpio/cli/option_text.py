"""Options by name: ``rto_info.initial=0.5`` is ``RtoInfo(initial=0.5)``.

Names are those of the classes in `sctpio.options`, in lower case with underscores, and fields are theirs.
What a field accepts is in its rule there; here its text is turned into a value. An option that is on or off
needs no value (``no_delay``), and takes one (``no_delay=off``). Several texts about one option make one
value.
"""

import difflib
import enum
import inspect
import re
from collections.abc import Iterable
from typing import Any

from .. import options
from ..address import Address
from ..options import Option
from ..options.base import (
    Boolean,
    Integer,
    Member,
    Path,
    Rule,
    Seconds,
    Secret,
    Several,
    Toggle,
    field_rules,
    read_only_fields,
)

__all__ = ["OptionTextError", "describe", "merge", "settable"]

# These are asked of an association that is up, or only read.
_LATER = (
    options.AddStreams,
    options.PeerPrimaryAddress,
    options.PrAssociationStatus,
    options.PrimaryAddress,
    options.PrStreamStatus,
    options.ResetAssociation,
    options.ResetStreams,
)

_SWITCH = {
    **dict.fromkeys(("on", "yes", "true", "1"), True),
    **dict.fromkeys(("off", "no", "false", "0"), False),
}


class OptionTextError(ValueError):
    """A text is no option; the message quotes it, and says what is accepted."""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def settable() -> dict[str, type[Option]]:
    """Return the options that can be set before an association begins, by name."""
    found = {}
    for name in options.__all__:
        kind = getattr(options, name)
        if (
            isinstance(kind, type)
            and issubclass(kind, Option)
            and kind not in (Option, *_LATER)
            and _fields(kind)
        ):
            found[_snake(name)] = kind
    return found


def _fields(kind: type[Option]) -> dict[str, Rule]:
    """Return the fields that can be set."""
    fixed = read_only_fields(kind)
    return {name: rule for name, rule in field_rules(kind) if name not in fixed}


def merge(texts: Iterable[str]) -> list[Option]:
    """Return the options that texts make, in the order in which each was named first.

    Raises:
        OptionTextError: one of them is no option.
    """
    values: dict[type[Option], dict[str, Any]] = {}
    last: dict[type[Option], str] = {}
    for text in texts:
        kind, field, value = _read(text)
        values.setdefault(kind, {})[field] = value
        last[kind] = text
    made = []
    for kind, fields in values.items():
        try:
            made.append(kind(**fields))
        except (ValueError, TypeError) as error:
            raise OptionTextError(f"{last[kind]!r}: {error}") from None
    return made


def _read(text: str) -> tuple[type[Option], str, Any]:
    path, equals, value = text.partition("=")
    name, dot, field = path.strip().partition(".")
    kind = _kind(name, text)
    fields = _fields(kind)
    if not dot and issubclass(kind, Toggle):
        field = "enabled"
        value = value if equals else "on"
    elif not dot and len(fields) == 1:
        (field,) = fields
    elif not equals or not field:
        raise OptionTextError(
            f"{text!r} is not an option; accepted: {name}.FIELD=VALUE, where FIELD is {_or(fields)}"
        )
    if field not in fields:
        raise OptionTextError(f"{text!r}: {name} has no field {field!r}; accepted: {_or(fields)}")
    try:
        return kind, field, _value(fields[field], value.strip())
    except ValueError:
        raise OptionTextError(
            f"{text!r}: {value!r} is no {field}; accepted: {accepted(fields[field])}"
        ) from None


def _kind(name: str, text: str) -> type[Option]:
    known = settable()
    wanted = name.lower().replace("-", "_")
    found = known.get(wanted) or known.get(_snake(name))
    if found is None:
        near = [each for each in known if wanted and each.startswith(wanted)]
        near = near or difflib.get_close_matches(wanted, known, 3)
        meant = f"; did you mean {_or(near)}?" if near else ""
        raise OptionTextError(
            f"{text!r} is not an option; accepted: NAME.FIELD=VALUE, as in rto_info.initial=0.5, and "
            f"`-o ?` lists the names{meant}"
        )
    return found


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)


def _value(rule: Rule, text: str) -> Any:
    """Return the value that a text stands for; raises ValueError. The range is checked by the option."""
    match rule:
        case Boolean():
            if text.lower() not in _SWITCH:
                raise ValueError
            return _SWITCH[text.lower()]
        case Integer():
            return int(text, 0)
        case Seconds():
            return (
                float(text.removesuffix("ms")) / 1000
                if text.endswith("ms")
                else float(text.removesuffix("s"))
            )
        case Member(kind):
            return _member(kind, text)
        case Path():
            return Address.parse(text if text.rpartition(":")[1] else f"{text}:0")
        case Several(item):
            return tuple(_value(item, part.strip()) for part in text.split(","))
        case Secret():
            return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
    raise ValueError


def _member(kind: type[enum.IntEnum], text: str) -> enum.IntEnum:
    try:
        return kind[text.upper().replace("-", "_")]
    except KeyError:
        return kind(int(text, 0))


def accepted(rule: Rule) -> str:
    """Return what a field accepts, as it is written on a command line."""
    match rule:
        case Boolean():
            return "on or off"
        case Integer(low, high, besides):
            but = f" but {', '.join(map(str, besides))}" if besides else ""
            return f"a number from {low} to {high}{but}"
        case Member(kind):
            return _or(member.lower() for member in kind.__members__)
        case Path():
            return "an address, host:port"
        case Several(item, least, most):
            return f"{least} to {most}, separated by commas, each {accepted(item)}"
        case Secret(least, most):
            return f"{least} to {most} bytes: text, or hex after 0x"
    return f"{rule}, or with a unit: 500ms"


def describe(name: str) -> str:
    """Return the fields of an option for people, with units and ranges; the empty name lists all options.

    Raises:
        OptionTextError: there is no such option.
    """
    if not name:
        known = settable()
        width = max(map(len, known))
        return "\n".join(f"{name:<{width}}  {_summary(kind)}" for name, kind in sorted(known.items()))
    kind = _kind(name.partition(".")[0], f"{name}?")
    fields = _fields(kind)
    width = max(map(len, fields))
    lines = [f"{_snake(kind.__name__)}: {_summary(kind)}"]
    lines += [f"  .{field:<{width}}  {accepted(rule)}" for field, rule in fields.items()]
    rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")[2].strip()
    return "\n".join([*lines, *(["", rest.replace("``", "").replace("`", "")] if rest else [])])


def _summary(kind: type[Option]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]
