"""Where the messages come from that `listen` and `connect` send: arguments, files, standard input.

Standard input is read when the loop finds that it can be, and only after what was read before has been sent:
so a slow peer slows down whoever writes, and nothing blocks the loop.
"""

import argparse
import os
from collections.abc import AsyncIterator
from pathlib import Path

from .exits import CommandError, Exit
from .output import ready

__all__ = ["add_sources", "lines", "messages"]

PIECE = 1 << 16
LONGEST = 16 << 20


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is sent."""
    group = parser.add_argument_group("what is sent", "by default each line of standard input is a message")
    group.add_argument("--message", action="append", metavar="TEXT", help="this, and not standard input")
    group.add_argument(
        "--file",
        action="append",
        metavar="FILE",
        help="the content of a file as one message, and not standard input",
    )
    group.add_argument(
        "--hex", action="store_true", help="what is sent is given in hex, and what comes is shown so"
    )


async def messages(arguments: argparse.Namespace) -> AsyncIterator[bytes]:
    """Yield what is to be sent; an empty line is left out, as SCTP has no empty messages."""
    if arguments.message is None and arguments.file is None:
        async for line in lines(0):
            if line:
                yield _from_hex(line.decode(errors="replace")) if arguments.hex else line
        return
    for text in arguments.message or ():
        yield _from_hex(text) if arguments.hex else os.fsencode(text)
    for name in arguments.file or ():
        data = _content(name)
        yield _from_hex(data.decode(errors="replace")) if arguments.hex else data


def _content(name: str) -> bytes:
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise CommandError(Exit.USAGE, f"{name}: {error.strerror}") from None
    if not data:
        raise CommandError(Exit.USAGE, f"{name} is empty: SCTP has no empty messages")
    return data


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        raise CommandError(
            Exit.USAGE, f"{shown!r} is no hex; accepted: pairs of 0-9 and a-f, as in 01 ff"
        ) from None


async def lines(descriptor: int) -> AsyncIterator[bytes]:
    """Yield the lines that a descriptor has, without their ends, until it ends; it may be closed already."""
    rest = bytearray()
    while data := await _read(descriptor):
        rest += data
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield bytes(line)
        rest = bytearray(last)
        if len(rest) > LONGEST:
            raise CommandError(Exit.USAGE, f"a line is longer than {LONGEST} bytes, the largest message")
    if rest:
        yield bytes(rest)


async def _read(descriptor: int) -> bytes:
    while True:
        try:
            await ready(descriptor)
            return os.read(descriptor, PIECE)
        except BlockingIOError:
            # Somebody else took it, or made the descriptor non-blocking: it is asked again.
            continue
        except OSError:
            # Closed from the start (`<&-`), or a terminal that has hung up.
            return b""
