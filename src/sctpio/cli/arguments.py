"""Arguments that several commands take, and how their text is read.

A text that cannot be used is an error of `argparse`, which quotes it and says what is accepted.
"""

import argparse
import difflib
import math
import re
from collections.abc import Callable
from typing import Any

from ..address import split
from ..options import InitMsg, Option
from ..ppid import Port, Ppid
from .option_text import OptionTextError, describe, merge

__all__ = [
    "add_common",
    "add_options",
    "address",
    "count",
    "given_options",
    "ppid",
    "seconds",
    "size",
]

_SIZE = re.compile(r"(\d+)([kmg]?)(?:i?b)?", re.IGNORECASE)
_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|)")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes."""
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="tell more; twice: what the library does, too"
    )
    parser.add_argument(
        "--stack",
        choices=("kernel", "usrsctp"),
        help="who speaks SCTP (default: $SCTPIO_STACK, else the kernel where it has SCTP, else usrsctp)",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `-o`, by which any option of the library can be set before the association begins."""
    parser.add_argument(
        "-o",
        "--option",
        dest="option_texts",
        action=_OptionAction,
        default=[],
        metavar="NAME.FIELD=VALUE",
        help="set an option, as in rto_info.initial=0.5; `-o rto_info?` lists its fields, `-o ?` the options",
    )


def given_options(arguments: argparse.Namespace) -> tuple[list[Option], InitMsg | None]:
    """Return the options that `-o` was given, and the one about set-up apart, as the library takes them."""
    options = merge(arguments.option_texts)
    init = next((option for option in options if isinstance(option, InitMsg)), None)
    return [option for option in options if not isinstance(option, InitMsg)], init


class _OptionAction(argparse.Action):
    """Collects options, and answers the question mark."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        texts = [*namespace.option_texts, str(values)]
        try:
            if values.endswith("?"):
                print(describe(values[:-1]))
                parser.exit(0)
            merge(texts)
        except OptionTextError as error:
            parser.error(str(error))
        namespace.option_texts = texts


def _refuse(text: str, accepted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r}; accepted: {accepted}")


def address(text: str) -> str:
    """Read an address as the library has it; its port may be one of the names of `Port`."""
    hosts, colon, port = text.rpartition(":")
    name = port.upper().replace("-", "_")
    if colon and name in Port.__members__:
        text = f"{hosts}:{Port[name]}"
    try:
        split(text)
    except ValueError as error:
        near = (
            difflib.get_close_matches(name, Port.__members__, 1) if colon and name.strip("0123456789") else []
        )
        also = ", or the name of a port, such as 'ngap'" + (
            f"; did you mean {near[0].lower()!r}?" if near else ""
        )
        raise argparse.ArgumentTypeError(f"{error}{also}") from None
    return text


def ppid(text: str) -> int:
    """Read a payload protocol identifier: a number, or a name of `Ppid`."""
    name = text.upper().replace("-", "_")
    if name in Ppid.__members__:
        return int(Ppid[name])
    number = _integer(text)
    if number is None or not 0 <= number <= 0xFFFFFFFF:
        near = difflib.get_close_matches(name, Ppid.__members__, 1)
        meant = f"; did you mean {near[0].lower()!r}?" if near else ""
        raise _refuse(text, f"a number from 0 to 4294967295, or a name such as 'ngap' or 'm3ua'{meant}")
    return number


def _integer(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def count(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers in a range."""

    def read(text: str) -> int:
        number = _integer(text)
        if number is None or not low <= number <= high:
            raise _refuse(text, f"a number from {low} to {high}")
        return number

    return read


def size(text: str) -> int:
    """Read a number of bytes: ``1200``, ``64k``, ``1M`` (powers of 1024)."""
    found = _SIZE.fullmatch(text)
    number = int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[found[2].lower()] if found else 0
    if not 0 < number < 1 << 40:
        raise _refuse(text, "a number of bytes from 1, or one such as '64k' or '1M'")
    return number


def seconds(text: str) -> float:
    """Read a duration above 0: ``1.5``, ``200ms``, ``2m``."""
    found = _SECONDS.fullmatch(text)
    value = float(found[1]) * {"ms": 0.001, "m": 60.0}.get(found[2], 1.0) if found else 0.0
    if not 0 < value < math.inf:
        raise _refuse(text, "seconds above 0, or a duration such as '200ms' or '2m'")
    return value
