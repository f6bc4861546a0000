"""`sctpio connect`: netcat for SCTP, the client."""

import argparse

from ..connecting import connect
from .arguments import address, seconds
from .exits import CommandError, Exit, exit_of, refused_is_usage, text_of
from .output import Output
from .sources import messages
from .talk import Talk, add_talk, opening_arguments

EXAMPLES = """
examples:
  sctpio connect 10.0.0.1:5000                       each line that is typed is a message
  sctpio connect 10.50.1.1/10.50.2.1:2904            a peer with two addresses
  sctpio connect 10.0.0.1:ngap --ppid ngap --hex --file ng-setup.hex --replies 1
  sctpio connect 10.0.0.1:5000 --message hello --replies 1 --idle 2 --json
  sctpio connect 10.0.0.1:5000 -o rto_info.initial=0.5 -o init_msg.max_attempts=2 --events
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "address", type=address, help="the peer: host:port, or host/host:port for several hosts"
    )
    parser.add_argument("--local", type=address, metavar="ADDRESS", help="the own addresses and port")
    parser.add_argument(
        "--wait", type=seconds, default=10.0, metavar="SECONDS", help="for the association (default: 10)"
    )
    add_talk(parser)


async def run(arguments: argparse.Namespace, output: Output) -> Exit:
    """Set up an association, and talk."""
    how = opening_arguments(arguments)
    try:
        with refused_is_usage():
            conn = await connect(arguments.address, local=arguments.local, timeout=arguments.wait, **how)
    except OSError as error:
        raise CommandError(exit_of(error), f"{arguments.address}: {text_of(error)}") from None
    async with conn:
        return await Talk(conn, arguments, output).run(messages(arguments), ends=True)
