"""`sctpio trace`: what a program on sctpio does, as it happens; what the kernel's paths do; the packets.

The program is traced by itself (`tracing`): this command sets its environment, runs it and ends with its
status. `--pcap` adds the packets (`capture`). `--kernel` reads trace points of the kernel (`trace_points`),
whatever program the associations belong to.
"""

import argparse
import os
import signal
import subprocess
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from ..errors import UnavailableError
from ..stacks import choose
from . import capture, trace_points
from .arguments import count
from .exits import CommandError, Exit, text_of
from .output import Output

EXAMPLES = """
examples:
  sctpio trace python server.py              a line for each message, event and state, on standard error
  sctpio trace --to trace.txt ./server.py    the same, into a file
  sctpio trace --json --to trace.jsonl --bytes 0 ./server.py
  sctpio trace --pcap trace.pcap python server.py && tshark -r trace.pcap
  sudo sctpio trace --kernel                 cwnd, flight and windows of every path, until Ctrl-C
  sudo sctpio trace --kernel :38412          those of associations with this port
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "--to", default="-", metavar="FILE", help="append to a file instead of standard error"
    )
    parser.add_argument(
        "--bytes", type=count(0, 1 << 24), default=32, metavar="N", help="of each message (default: 32)"
    )
    parser.add_argument("--pcap", metavar="FILE", help="write the packets there, too: for tshark, Wireshark")
    parser.add_argument(
        "--kernel", action="store_true", help="follow the kernel's trace points; as root, until Ctrl-C"
    )
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="COMMAND ...",
        help="the program and its arguments; with --kernel, ports as ':5000' to choose by",
    )


def run(arguments: argparse.Namespace, output: Output) -> Exit | Coroutine[Any, Any, Exit]:
    """Run the program, or follow the kernel."""
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if arguments.kernel:
        if arguments.to != "-" or arguments.pcap is not None:
            raise CommandError(
                Exit.USAGE, "--to and --pcap are of a program; --kernel writes standard output"
            )
        return trace_points.follow(trace_points.ports_of(words), output)
    if not words:
        raise CommandError(Exit.USAGE, "name the program to trace, or give --kernel")
    if arguments.to != "-":
        _check_writable(arguments.to)
    environment = dict(os.environ)
    environment |= {
        "SCTPIO_TRACE": arguments.to if arguments.to == "-" else os.path.abspath(arguments.to),
        "SCTPIO_TRACE_FORMAT": "json" if arguments.json else "text",
        "SCTPIO_TRACE_BYTES": str(arguments.bytes),
    }
    if arguments.stack:
        environment["SCTPIO_STACK"] = arguments.stack
    with _packets(arguments, environment):
        raise SystemExit(_status(words, environment))


def _check_writable(path: str) -> None:
    """Say here that a trace cannot be written: the program would fail as it imports sctpio."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise CommandError(Exit.USAGE, f"--to {path}: {error.strerror}") from None


@contextmanager
def _packets(arguments: argparse.Namespace, environment: dict[str, str]) -> Iterator[None]:
    """Have the packets of the stack written meanwhile, if they are wanted."""
    if arguments.pcap is None:
        with nullcontext():
            yield
        return
    try:
        stack = choose(arguments.stack).name
    except UnavailableError as error:
        raise CommandError(Exit.NO_SCTP, text_of(error)) from None
    # Also where the program has no packets to show, it is a capture that can be read.
    try:
        capture.create(arguments.pcap)
    except OSError as error:
        raise CommandError(Exit.USAGE, f"--pcap {arguments.pcap}: {error.strerror}") from None
    if stack == "usrsctp":
        environment["SCTPIO_PCAP"] = os.path.abspath(arguments.pcap)
        yield
    else:
        with capture.kernel_packets(arguments.pcap):
            yield


def _status(words: list[str], environment: dict[str, str]) -> int:
    """Run a program, and return its status as a shell has it. Ctrl-C is the program's."""
    try:
        process = subprocess.Popen(words, env=environment)
    except OSError as error:
        raise CommandError(Exit.USAGE, f"{words[0]!r} cannot be run: {error.strerror}") from None
    before = (
        signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    )
    try:
        status = process.wait()
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    return status if status >= 0 else 128 - status
