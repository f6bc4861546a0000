"""`sctpio listen`: netcat for SCTP, the server.

Without `--keep` it takes one association, and its status is how that ended. With `--keep` it takes any
number; what is sent goes to all that are up, at the pace of the slowest.
"""

import argparse
import asyncio
import logging
import os
import shlex
from asyncio.subprocess import PIPE

from ..conn import Conn
from ..errors import AssociationEnded, EndOfAssociation
from ..listener import Listener, listen
from .arguments import address, seconds
from .exits import CommandError, Exit, exit_of, refused_is_usage, text_of
from .output import Output
from .sources import LONGEST, messages
from .talk import GOODBYE, Talk, add_talk, opening_arguments, send, show_record

EXAMPLES = """
examples:
  sctpio listen 127.0.0.1:5000              one association; lines in, messages out
  sctpio listen :5000 --keep --echo         any number of them, each message sent back
  sctpio listen 10.50.1.1/10.50.2.1:2904 --ppid m3ua --verbose --events
  sctpio listen :5000 --keep --exec 'tr -u a-z A-Z'
  sctpio listen :ngap --json --wait 30 --replies 1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "address", type=address, help="what to listen on: host:port, host/host:port, or :port for all hosts"
    )
    parser.add_argument(
        "--keep", action="store_true", help="take one association after another, several at a time"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--echo", action="store_true", help="send each message back, with its stream and PPID")
    what.add_argument(
        "--exec",
        metavar="COMMAND",
        help="run a program for each association: it reads messages as lines, and its lines are sent",
    )
    parser.add_argument(
        "--wait", type=seconds, metavar="SECONDS", help="for the first association (default: no limit)"
    )
    add_talk(parser)


async def run(arguments: argparse.Namespace, output: Output) -> Exit:
    """Listen, and talk with who comes."""
    if not output.json:
        # The lines of the library's log say who comes, and how it ends.
        logging.getLogger("sctpio.association").setLevel(logging.INFO)
    with refused_is_usage():
        try:
            listener = await listen(arguments.address, **opening_arguments(arguments))
        except OSError as error:
            raise CommandError(exit_of(error), f"{arguments.address}: {text_of(error)}") from None
    server = Server(listener, arguments, output)
    async with listener:
        try:
            if output.json:
                await show_record(output, "listening", address=listener.local_addresses)
            return await server.run()
        except asyncio.CancelledError:
            # Being interrupted is how it ends.
            await listener.shutdown(timeout=GOODBYE)
            return Exit.DONE


class Server:
    """Takes associations, and has a talk with each."""

    def __init__(self, listener: Listener, arguments: argparse.Namespace, output: Output) -> None:
        self._listener = listener
        self._arguments = arguments
        self._output = output

    async def run(self) -> Exit:
        """Return how it went: with `--keep`, never."""
        arguments = self._arguments
        try:
            async with asyncio.timeout(arguments.wait):
                first = await self._listener.accept()
        except TimeoutError:
            raise CommandError(Exit.TIME_LIMIT, f"no association came within {arguments.wait:g} s") from None
        if not arguments.keep:
            await self._listener.close()
            return await self._talk(first)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._one_of_many(first))
                if not self._answers_by_itself:
                    group.create_task(self._send_to_all())
                async for conn in self._listener:
                    group.create_task(self._one_of_many(conn))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        return Exit.DONE

    @property
    def _answers_by_itself(self) -> bool:
        return bool(self._arguments.echo or self._arguments.exec)

    async def _talk(self, conn: Conn) -> Exit:
        arguments = self._arguments
        async with conn:
            if arguments.exec:
                return await _run_program(conn, arguments)
            source = None if arguments.keep or self._answers_by_itself else messages(arguments)
            return await Talk(conn, arguments, self._output, named=arguments.keep).run(source, ends=False)

    async def _one_of_many(self, conn: Conn) -> None:
        """Talk with one of many: how it ends is told, and no reason for the others to end."""
        try:
            await self._talk(conn)
        except (CommandError, AssociationEnded, OSError) as error:
            self._note(conn, error)

    def _note(self, conn: Conn, error: Exception) -> None:
        # The log has said how an association has ended.
        if not isinstance(error, AssociationEnded):
            self._output.note(f"{conn.peer_addresses}: {text_of(error)}")

    async def _send_to_all(self) -> None:
        async for data in messages(self._arguments):
            for conn in self._listener.connections:
                try:
                    await send(conn, data, self._arguments)
                except (CommandError, AssociationEnded, OSError) as error:
                    self._note(conn, error)


async def _run_program(conn: Conn, arguments: argparse.Namespace) -> Exit:
    """Connect an association with a program: messages are its lines, its lines are messages."""
    command = arguments.exec
    try:
        words = shlex.split(command)
        program = await asyncio.create_subprocess_exec(
            *words,
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST,
            env=os.environ
            | {"SCTPIO_PEER": str(conn.peer_addresses), "SCTPIO_LOCAL": str(conn.local_addresses)},
        )
    except (OSError, ValueError) as error:
        raise CommandError(Exit.USAGE, f"--exec {command!r}: {error}") from None
    assert program.stdin is not None
    assert program.stdout is not None
    feeding = asyncio.create_task(_feed(conn, program.stdin))
    try:
        async for line in program.stdout:
            if text := line.rstrip(b"\n"):
                await send(conn, text, arguments)
        await conn.close()
    except EndOfAssociation:
        # What the program still had to say, nobody waits for.
        return Exit.DONE
    except ValueError:
        why = f"--exec {command!r}: it has written a line longer than {LONGEST} bytes"
        raise CommandError(Exit.FOUND, why) from None
    else:
        return Exit.DONE
    finally:
        feeding.cancel()
        if program.returncode is None:
            program.terminate()
        await program.wait()


async def _feed(conn: Conn, into: asyncio.StreamWriter) -> None:
    try:
        async for message in conn:
            into.write(message.data + b"\n")
            await into.drain()
    except (AssociationEnded, ConnectionError):
        pass
    finally:
        into.close()
