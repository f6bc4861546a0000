"""`Stream`: one stream number of an association, both directions as one object."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

from ._loop.link import Link
from ._loop.reading import Reader, claim
from ._loop.reconfig import reset_streams
from ._loop.sending import SendOptions
from .errors import EndOfAssociation
from .message import Message
from .options import StreamSchedulerValue
from .stacks.base import Buffer

__all__ = ["Stream"]


class Stream:
    """Stream `id` of a `Conn`, outbound and inbound; made by `Conn.stream`.

    The first read claims the inbound stream: from then on its messages, including those already buffered,
    come here and not to `conn.receive()`. All `Stream` objects with the same number share them.
    """

    def __init__(self, link: Link, sid: int, ppid: int = 0, *, owner: object) -> None:
        self._link = link
        # Keeps the Conn alive as long as one of its streams is.
        self._owner = owner
        self.id = sid
        self.ppid = ppid
        self._reader: Reader | None = None

    def __repr__(self) -> str:
        from .ppid import ppid_text

        ppid = f" ppid={ppid_text(self.ppid)}" if self.ppid else ""
        return f"<sctpio.Stream {self.id}{ppid} of {self._owner!r}>"

    async def send(self, data: Buffer, *, ppid: int | None = None, **options: Unpack[SendOptions]) -> None:
        """Send one message on this stream; waiting, options, cancelling and errors are as for `Conn.send`."""
        await self._link.sender.send(
            data, stream=self.id, ppid=self.ppid if ppid is None else ppid, **options
        )

    async def receive(self) -> Message:
        """Wait for the next message of this stream and return it; the rest is as for `Conn.receive`.

        Raises StreamOutOfRangeError if the peer has no such outbound stream.
        """
        reader = self._claim()
        first = False
        while not reader.inbox.messages:
            await reader.more(first)
            first = True
        return reader.take(self._link.socket)

    async def reset(self) -> None:
        """Restart the sequence numbers of the outbound stream; see `Conn.reset_streams`."""
        self._link.association.check_here()
        await reset_streams(self._link, (self.id,), outgoing=True, incoming=False)

    @property
    def priority(self) -> int:
        """The outbound stream's value for the scheduler, from 0 to 65535 (RFC 8260 4.3.3).

        With `Scheduler.PRIORITY`, streams with a lower value are sent first; with `WEIGHTED_FAIR` it is the
        weight, from 1. Other schedulers ignore it. Raises OSError, or how the association ended; setting it
        raises ValueError for a value out of range.
        """
        self._link.association.check_here()
        return self._link.get_option(StreamSchedulerValue(self.id), None).value or 0

    @priority.setter
    def priority(self, value: int) -> None:
        self._link.association.check_here()
        self._link.set_option(StreamSchedulerValue(self.id, value))

    def __aiter__(self) -> AsyncIterator[Message]:
        self._claim()
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except EndOfAssociation:
            raise StopAsyncIteration from None

    def _claim(self) -> Reader:
        if self._reader is None:
            self._reader = claim(self._link.association, self.id)
        return self._reader
