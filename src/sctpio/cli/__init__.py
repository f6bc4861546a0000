"""The command line: `sctpio COMMAND`, or `python -m sctpio COMMAND`.

Each command is a module of this package that has its name, and is found by the table `COMMANDS`, here and
nowhere else. Such a module has

- `EXAMPLES`: a text that ends the help of the command;
- `add_arguments(parser)`: adds what the command takes, beyond what all take (`arguments.add_common`);
- `run(arguments, output)`: does it and returns an `Exit`. It may be a coroutine function; the frame runs it
  on a loop of its own, and Ctrl-C and SIGTERM cancel it.

Only the module of the command that was asked for is imported. What all of them share: `exits` (the statuses,
and which error is which), `arguments` (arguments that several take), `option_text` (options by name) and
`output` (what is written, and how).
"""

import argparse
import asyncio
import difflib
import importlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, NoReturn, Protocol, cast

from .. import __version__
from .arguments import add_common
from .exits import INTERRUPTED, OUTPUT_CLOSED, TERMINATED, CommandError, Exit, exit_of, text_of
from .output import Output, OutputClosedError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "check": "find out what this machine offers, and what stands in the way",
    "listen": "accept associations: netcat for SCTP, the server",
    "connect": "set up an association: netcat for SCTP, the client",
    "perf": "measure throughput or round trips between two hosts",
    "top": "watch the associations of this host, those of all programs",
    "trace": "show what a program on sctpio does, and its packets",
    "metrics": "serve the associations of this host to Prometheus",
    "ping": "measure the round trips to every address of a peer",
}
"""Each command, and what it does in a line. Its module is `sctpio.cli.COMMAND`."""

STATUSES = f"""exit status:
  0 done                                 4 the peer refused, or cannot be reached
  1 something was found, or the peer     5 the association was aborted or lost
    answered wrong                       6 a time limit was reached
  2 usage: an argument cannot be used    {INTERRUPTED} Ctrl-C, {TERMINATED} SIGTERM: before it was done
  3 there is no SCTP here                {OUTPUT_CLOSED} nobody reads the output any more"""


class Command(Protocol):
    """What the module of a command has."""

    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""

    def run(self, arguments: argparse.Namespace, output: Output) -> Exit | Coroutine[Any, Any, Exit]:
        """Do what it is for."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process, and return its status."""
    words = sys.argv[1:] if words is None else words
    _open_closed_streams()
    try:
        try:
            return _run(words)
        finally:
            # Errors of the last write are told here, and not when Python ends.
            sys.stdout.flush()
    except (BrokenPipeError, OutputClosedError):
        _drop_output()
        return OUTPUT_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except asyncio.CancelledError:
        return TERMINATED
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else int(Exit.USAGE)


def _open_closed_streams() -> None:
    """Open those standard streams that were closed to begin with, so that no socket gets their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It gets the lowest number that is free, which is this one.
            os.open(os.devnull, os.O_RDWR)
    # Python has none for those.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _run(words: Sequence[str]) -> int:
    if not words or words[0] not in COMMANDS:
        _without_command(words)
    name, *rest = words
    command = cast(Command, importlib.import_module(f"{__name__}.{name}"))
    parser = argparse.ArgumentParser(
        prog=f"sctpio {name}",
        description=f"{COMMANDS[name][0].upper()}{COMMANDS[name][1:]}.",
        epilog=f"{command.EXAMPLES.strip()}\n\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_common(parser)
    command.add_arguments(parser)
    arguments = parser.parse_args(rest)
    output = Output(json=arguments.json, verbose=arguments.verbose)
    _log(arguments.verbose)
    try:
        done = command.run(arguments, output)
        return int(_on_a_loop(done) if inspect.iscoroutine(done) else cast(Exit, done))
    except (BrokenPipeError, OutputClosedError):
        raise
    except CommandError as error:
        output.note(str(error))
        return int(error.exit)
    except (OSError, EOFError) as error:
        output.note(text_of(error))
        return int(exit_of(error))


def _without_command(words: Sequence[str]) -> NoReturn:
    """Answer words that begin with no command: with help, the version, or what there is."""
    parser = argparse.ArgumentParser(
        prog="sctpio",
        usage="sctpio COMMAND [ARGUMENT ...]",
        description="SCTP on the command line.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<9} {does}" for name, does in COMMANDS.items())
        + "\n\n`sctpio COMMAND --help` has the arguments of each, and examples.\n\n"
        + STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", metavar="COMMAND", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", help="show the version of sctpio, and end")
    known, _ = parser.parse_known_args(words)
    if known.version:
        print(f"sctpio {__version__}")
        parser.exit(0)
    if known.command is None:
        parser.print_help(sys.stderr)
        parser.exit(int(Exit.USAGE))
    near = difflib.get_close_matches(known.command, COMMANDS, 1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    parser.error(f"{known.command!r} is not a command; there are {', '.join(COMMANDS)}{meant}")


def _on_a_loop(work: Coroutine[Any, Any, Exit]) -> Exit:
    async def cancelled_by_sigterm() -> Exit:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(cancelled_by_sigterm())


def _log(verbose: int) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(stream=sys.stderr, format="sctpio: %(message)s", level=logging.WARNING)
    logging.getLogger("sctpio").setLevel(level)


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not complain as it ends."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
