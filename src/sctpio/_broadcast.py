"""One message to many associations, with an answer for each."""

import asyncio
import contextlib
import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Unpack

from ._link import Arguments, Link
from ._outgoing import SendOptions, payload
from .errors import EndOfAssociation, StreamOutOfRangeError
from .stacks.base import Buffer

__all__ = ["BroadcastResult", "broadcast"]


@dataclass(frozen=True, slots=True)
class BroadcastResult:
    """Which associations took a message: the ids of those `reached`, and of the others why not.

    "Reached" is what `send` promises: the stack has taken the message for that association.
    """

    reached: tuple[int, ...] = ()
    failed: dict[int, Exception] = field(default_factory=dict)


async def broadcast(
    links: Iterable[Link],
    data: Buffer,
    timeout: float | None,
    *,
    stream: int = 0,
    ppid: int = 0,
    **options: Unpack[SendOptions],
) -> BroadcastResult:
    """Send to each association; see `Listener.broadcast`."""
    data = payload(data)
    reached: dict[int, None] = {}
    failed: dict[int, Exception] = {}

    async def finish(link: Link, message: Arguments) -> None:
        identifier = link.association.id
        try:
            await link.send(message)
        except (OSError, EndOfAssociation) as error:
            failed[identifier] = error
        else:
            del failed[identifier]
            reached[identifier] = None

    waiting: list[tuple[Link, Arguments]] = []
    for link in list(links):
        identifier = link.association.id
        try:
            message = link.prepare(data, stream, ppid, **options)
            if link.send_now(message):
                reached[identifier] = None
            else:
                waiting.append((link, message))
                failed[identifier] = BlockingIOError(errno.EAGAIN, f"no room to send within {timeout} s")
        except (OSError, EndOfAssociation, StreamOutOfRangeError) as error:
            failed[identifier] = error
    if waiting:
        # All wait at once, so that one without room holds up no other one.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as tasks:
                for link, message in waiting:
                    tasks.create_task(finish(link, message))
    return BroadcastResult(tuple(reached), failed)
