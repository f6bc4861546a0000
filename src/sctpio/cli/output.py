"""What a command writes: lines for people, JSON for programs, bytes as they are.

Standard output has the result and nothing else; notes go to standard error. Whatever comes from a peer goes
through `escaped` before it reaches a terminal. Colour is for terminals, unless $NO_COLOR is set.

`Output.put` and `Output.data` write without blocking the loop, and wait while the reader is slow: so a
command that copies what it receives slows its peer down, and can be interrupted.
"""

import asyncio
import dataclasses
import enum
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ..address import Address

__all__ = ["Colour", "Output", "OutputClosedError", "duration", "escaped", "payload_fields", "size"]

# A pipe that is writable takes this much without blocking (POSIX: PIPE_BUF).
PIECE = 4096


class OutputClosedError(Exception):
    """Nobody reads standard output any more."""


class Colour(enum.Enum):
    """Colours of a terminal, by what they say."""

    GOOD = "32"
    BAD = "31"
    WARNING = "33"
    FAINT = "2"
    STRONG = "1"


def escaped(text: bytes | str) -> str:
    """Return text from a peer for a terminal: what is not printable becomes ``\\x1b`` and the like."""
    if isinstance(text, bytes):
        # Bytes that are no UTF-8 become lone surrogates, and those are shown as the bytes that they were.
        text = text.decode(errors="surrogateescape")
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def payload_fields(data: bytes) -> dict[str, Any]:
    """Return the fields that say in JSON what a message holds: its text is None where it is no UTF-8."""
    text = None
    with suppress(UnicodeDecodeError):
        text = data.decode()
    return {"size": len(data), "text": text, "hex": data.hex()}


def duration(seconds: float) -> str:
    """Return a duration for people: ``0.153 ms``, ``12.4 ms``, ``1.53 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes for people: ``512 bytes``, ``1.5 MiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return (
        f"{count:.0f} {unit}"
        if unit == "bytes"
        else f"{count:.3g} {unit}"
        if count < 100
        else f"{count:.0f} {unit}"
    )


class Output:
    """Standard output and standard error of a command.

    `json` says that standard output has JSON alone. `terminal` tells whether it is a terminal, and `colours`
    whether colours may be used.
    """

    def __init__(self, *, json: bool, verbose: int = 0) -> None:
        self.json = json
        self.verbose = verbose
        self.terminal: bool = _is_terminal(1)
        # One at a time: a descriptor has one callback of the loop, and what is written stays in one piece.
        self._writing = asyncio.Lock()
        self.colours: bool = self.terminal and not json and not os.environ.get("NO_COLOR")

    def say(self, text: str) -> None:
        """Write a line at once. It may block while the reader is slow: see `put`."""
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise OutputClosedError from None

    def record(self, value: Any) -> None:
        """Write a value as a line of JSON at once; see `json_text`."""
        self.say(json_text(value))

    def note(self, text: str) -> None:
        """Write a line to standard error."""
        with suppress(OSError, ValueError):
            sys.stderr.write(f"sctpio: {text}\n")
            sys.stderr.flush()

    def paint(self, text: str, colour: Colour) -> str:
        """Return text in a colour, where there are colours."""
        return f"\x1b[{colour.value}m{text}\x1b[0m" if self.colours else text

    async def put(self, text: str) -> None:
        """Write a line; wait while the reader is slow, without blocking the loop."""
        await self.data(f"{text}\n".encode(errors="backslashreplace"))

    async def put_record(self, value: Any) -> None:
        """Write a line of JSON as `put` does."""
        await self.put(json_text(value))

    async def data(self, data: bytes) -> None:
        """Write bytes as they are; wait while the reader is slow, without blocking the loop.

        If it is cancelled, some of them may have been written.
        """
        async with self._writing:
            sys.stdout.flush()
            left = memoryview(data)
            while left:
                await ready(1, writing=True)
                try:
                    left = left[os.write(1, left[:PIECE]) :]
                except BlockingIOError:
                    # Somebody else made it non-blocking; it is asked again.
                    continue
                except BrokenPipeError:
                    raise OutputClosedError from None


async def ready(descriptor: int, *, writing: bool = False) -> None:
    """Wait until a descriptor can be read, or written, without blocking; at once for a regular file.

    Its mode is left alone: a terminal's is shared with other programs. One task may wait for a descriptor.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    add: Callable[..., None] = loop.add_writer if writing else loop.add_reader
    remove = loop.remove_writer if writing else loop.remove_reader
    try:
        add(descriptor, _resolve, waiter)
    except PermissionError:
        # epoll knows no regular files: they never block.
        await asyncio.sleep(0)
        return
    try:
        await waiter
    finally:
        remove(descriptor)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def json_text(value: Any) -> str:
    """Return a value as a line of JSON: addresses as their text, enums by name, bytes in hex.

    Everything beyond ASCII is escaped, so it is safe on a terminal too.
    """
    return json.dumps(_plain(value), allow_nan=False).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {
            str(key.name if isinstance(key, enum.Enum) else key): _plain(item) for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, Address):
        return str(value)
    if hasattr(value, "__match_args__") or dataclasses.is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name in value.__match_args__}
    return str(value)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
