"""What `listen` and `connect` do with an association: send what they are given, show what comes, and end it.

A `Talk` has one association. It ends when the peer ends it, when `--replies` have come, or when nothing
happens for `--idle`. If neither was given, a client ends it by a graceful shutdown once everything was sent.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from typing import Any

from .._loop.time_limits import CLOSE_TIMEOUT
from ..conn import Conn
from ..errors import (
    AssociationAbortedError,
    AssociationEnded,
    ClosedError,
    EndOfAssociation,
    StreamOutOfRangeError,
)
from ..events import AssociationChange, PeerAddressChange
from ..message import Message
from ..options import InitMsg
from ..ppid import Ppid, ppid_text
from .arguments import add_options, count, given_options, ppid, seconds
from .exits import CommandError, Exit, refused_is_usage, text_of
from .output import Output, escaped, payload_fields
from .sources import add_sources

__all__ = ["GOODBYE", "Talk", "add_talk", "opening_arguments", "send", "show_record"]

# How many outbound streams the stacks ask for by themselves; and how many for a server that sends back on the
# stream of each message.
DEFAULT_STREAMS = 10
ECHO_STREAMS = 1024

GOODBYE = 2.0
"""For how long, in seconds, an interrupted command waits for a graceful end."""


def add_talk(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of both commands."""
    add_sources(parser)
    group = parser.add_argument_group("how it is sent")
    group.add_argument(
        "--stream", type=count(0, 65534), default=0, metavar="N", help="on this stream (default: 0)"
    )
    group.add_argument(
        "--ppid", type=ppid, default=0, help="with this PPID, by number or by name (default: 0)"
    )
    group.add_argument("--unordered", action="store_true", help="outside the order of the stream")
    group.add_argument(
        "--lifetime",
        type=seconds,
        metavar="SECONDS",
        help="given up when it is not delivered by then (RFC 3758)",
    )
    group = parser.add_argument_group("what is shown")
    group.add_argument(
        "--raw", action="store_true", help="the bytes of messages as they are, and nothing else"
    )
    group.add_argument("--events", action="store_true", help="the events of the association, too")
    group = parser.add_argument_group("when it ends")
    group.add_argument(
        "--replies", type=count(1, 1 << 62), metavar="N", help="after so many messages have come"
    )
    group.add_argument(
        "--idle", type=seconds, metavar="SECONDS", help="after so long without a message in either direction"
    )
    add_options(parser)


def opening_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `listen` and `connect` of the library take from the arguments of either command."""
    options, init = given_options(arguments)
    wanted = ECHO_STREAMS if getattr(arguments, "echo", False) else arguments.stream + 1
    if wanted > DEFAULT_STREAMS and (init is None or init.outbound_streams is None):
        given = {} if init is None else {name: getattr(init, name) for name in InitMsg.__match_args__}
        init = InitMsg(**{**given, "outbound_streams": wanted})
    return {
        "options": options,
        "init": init,
        "stack": arguments.stack,
        "ppid": arguments.ppid,
        # From the first moment; the rest is subscribed when the association is up.
        "events": (AssociationChange, PeerAddressChange) if arguments.events else (),
    }


async def show_record(output: Output, kind: str, conn: Conn | None = None, **fields: Any) -> None:
    """Write a record about an association, or about none, as a line of JSON."""
    about = {} if conn is None else {"association": conn.association_id, "peer": conn.peer_addresses}
    await output.put_record({"type": kind, **about, **fields})


async def send(conn: Conn, data: bytes, arguments: argparse.Namespace) -> None:
    """Send a message in the way that the arguments say."""
    with refused_is_usage():
        try:
            await conn.send(
                data, stream=arguments.stream, unordered=arguments.unordered, lifetime=arguments.lifetime
            )
        except StreamOutOfRangeError as error:
            raise CommandError(Exit.USAGE, f"--stream {arguments.stream}: {error}") from None


class Talk:
    """The talk with one peer; `named` says that what is shown names the peer."""

    def __init__(
        self, conn: Conn, arguments: argparse.Namespace, output: Output, *, named: bool = False
    ) -> None:
        self._conn = conn
        self._arguments = arguments
        self._output = output
        self._prefix = f"{conn.peer_addresses} " if named else ""
        self._received = 0
        self._all_sent = False
        self._end: Exception | None = None
        self._limit = asyncio.timeout(arguments.idle)

    async def run(self, source: AsyncIterator[bytes] | None, *, ends: bool) -> Exit:
        """Talk to the end; raises how the association ended, if not well.

        Without a `source` nothing is sent. `ends` says that the end of the source is a reason to shut down.
        """
        await self._show_up()
        receiving = asyncio.create_task(self._receive())
        sending = asyncio.create_task(self._send(source))
        showing = [asyncio.create_task(self._show_events())] if self._arguments.events else []
        try:
            return await self._watch(receiving, sending, ends=ends)
        except asyncio.CancelledError:
            await self._conn.close(timeout=GOODBYE)
            raise
        finally:
            await _settle(sending, receiving, cancel=True)
            await _settle(*showing, cancel=not self._conn.is_closed)
            if self._output.json:
                await show_record(self._output, "end", self._conn, **_end(self._end or self._conn.end))

    async def _watch(
        self, receiving: "asyncio.Task[None]", sending: "asyncio.Task[None]", *, ends: bool
    ) -> Exit:
        """Wait for the first of the ends."""
        arguments = self._arguments
        try:
            async with self._limit:
                await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
                if sending.done() and not receiving.done():
                    await self._sent(sending, ends=ends)
                await receiving
        except TimeoutError:
            if not self._limit.expired():
                raise
            await self._conn.close()
            due = arguments.replies is not None and self._received < arguments.replies
            return Exit.DONE if self._all_sent and not due else Exit.TIME_LIMIT
        if arguments.replies is not None and self._received < arguments.replies:
            text = (
                f"{self._received} of {arguments.replies} messages came before the peer ended the association"
            )
            raise CommandError(Exit.FOUND, text)
        self._end = self._conn.end
        await self._conn.close()
        return Exit.DONE

    async def _sent(self, sending: "asyncio.Task[None]", *, ends: bool) -> None:
        """Go on after everything was sent, or could not be."""
        try:
            await sending
        except AssociationEnded:
            # What has been received is read first, and then that says how.
            return
        except BaseException:
            await self._conn.close()
            raise
        if ends and self._arguments.replies is None and self._arguments.idle is None:
            await self._conn.shutdown()
            self._limit.reschedule(asyncio.get_running_loop().time() + CLOSE_TIMEOUT)

    async def _send(self, source: AsyncIterator[bytes] | None) -> None:
        if source is not None:
            async for data in source:
                await send(self._conn, data, self._arguments)
                self._alive()
        self._all_sent = True

    async def _receive(self) -> None:
        arguments = self._arguments
        async for message in self._conn:
            self._received += 1
            self._alive()
            await self._show(message)
            if getattr(arguments, "echo", False):
                await self._send_back(message)
            if self._received == arguments.replies:
                return

    async def _send_back(self, message: Message) -> None:
        try:
            await self._conn.send(
                message.data, stream=message.stream, ppid=message.ppid, unordered=message.unordered
            )
        except StreamOutOfRangeError as error:
            text = f"nothing is sent back: {error} (-o init_msg.outbound_streams=N asks for more)"
            raise CommandError(Exit.FOUND, text) from None

    def _alive(self) -> None:
        if self._arguments.idle is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._arguments.idle)

    async def _show_up(self) -> None:
        if self._output.json:
            conn = self._conn
            streams = {"outbound_streams": conn.outbound_streams, "inbound_streams": conn.inbound_streams}
            about = {"local": conn.local_addresses, "stack": conn.stack}
            await show_record(self._output, "up", conn, **about, **streams)

    async def _show(self, message: Message) -> None:
        output, arguments = self._output, self._arguments
        if output.json:
            await show_record(output, "message", self._conn, **_fields(message))
        elif arguments.raw and not output.terminal:
            await output.data(message.data)
        else:
            payload = message.data.hex(" ") if arguments.hex else escaped(message.data)
            head = "" if arguments.raw else f"{self._prefix}{_head(message, verbose=bool(output.verbose))}: "
            await output.put(f"{head}{payload}")

    async def _show_events(self) -> None:
        async for event in self._conn.events():
            if self._output.json:
                names: tuple[str, ...] = type(event).__match_args__
                fields = {name: getattr(event, name) for name in names if name != "association_id"}
                await show_record(self._output, "event", self._conn, event=type(event).__name__, **fields)
            else:
                await self._output.put(f"{self._prefix}event: {escaped(str(event))}")


def _head(message: Message, *, verbose: bool) -> str:
    head = f"stream {message.stream}, PPID {ppid_text(message.ppid)}"
    if message.unordered:
        head += ", unordered"
    if verbose:
        head += f", TSN {message.tsn}, SSN {message.ssn}, {len(message.data)} bytes, from {message.source}"
    return head


def _fields(message: Message) -> dict[str, Any]:
    names = ("stream", "ppid", "ssn", "tsn", "cumulative_tsn", "unordered", "context", "source")
    named = Ppid(message.ppid)
    name = None if named.name.startswith("UNKNOWN_") else named.name
    return (
        {name: getattr(message, name) for name in names} | {"ppid_name": name} | payload_fields(message.data)
    )


def _end(end: Exception | None) -> dict[str, str]:
    """Return how an association ended: a word, and a sentence."""
    if isinstance(end, AssociationAbortedError):
        return {"how": "aborted", "text": str(end.strerror)}
    if isinstance(end, EndOfAssociation):
        return {"how": "shut down", "text": str(end)}
    if end is None or isinstance(end, ClosedError):
        return {"how": "closed", "text": "the association was closed here"}
    return {"how": "lost", "text": text_of(end)}


async def _settle(*tasks: "asyncio.Task[None]", cancel: bool) -> None:
    """Wait for tasks whose results no longer matter."""
    for task in tasks:
        if cancel:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
