"""One stream of an association, both directions as one object: `Stream`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Unpack

from ._intake import Inbox
from ._outgoing import SendOptions
from .errors import EndOfAssociation, StreamOutOfRangeError
from .message import Message
from .options import StreamSchedulerValue
from .stacks.base import Buffer

if TYPE_CHECKING:
    from .conn import Conn

__all__ = ["Stream"]


class Stream:
    """Stream `id` of a `Conn`, outbound and inbound.

    The first read claims the inbound stream: its messages, those already buffered included, come here from
    then on, and not to `conn.receive()`. All `Stream` objects of one number share them.
    """

    def __init__(self, conn: Conn, sid: int, ppid: int = 0) -> None:
        self._conn = conn
        self.id = sid
        self.ppid = ppid
        self._inbox: Inbox | None = None

    def __repr__(self) -> str:
        return f"<sctpio.Stream {self.id} of {self._conn!r}>"

    async def send(self, data: Buffer, *, ppid: int | None = None, **options: Unpack[SendOptions]) -> None:
        """Send one message on this stream; the options are those of `Conn.send`."""
        await self._conn.send(data, stream=self.id, ppid=self.ppid if ppid is None else ppid, **options)

    async def receive(self) -> Message:
        """Give the next message of this stream; wait for it. As `Conn.receive`.

        Raises StreamOutOfRangeError where the peer has no such outbound stream.
        """
        inbox = self._claim()
        while not inbox.messages:
            await self._conn._more(inbox)
        return self._conn._take(inbox)

    async def reset(self) -> None:
        """Restart the sequence numbers of the outbound stream; see `Conn.reset_streams`."""
        await self._conn.reset_streams(self.id)

    @property
    def priority(self) -> int:
        """What the scheduler knows of the outbound stream (RFC 8260 4.3.3): its priority or its weight.

        With `Scheduler.PRIORITY` a lower value goes first; with `WEIGHTED_FAIR` it is the weight, from 1. The
        other schedulers ignore it. Raises OSError, or how the association ended; ValueError for a value that
        is not from 0 to 65535.
        """
        return self._conn.get_option(StreamSchedulerValue(self.id)).value or 0

    @priority.setter
    def priority(self, value: int) -> None:
        self._conn.set_option(StreamSchedulerValue(self.id, value))

    def __aiter__(self) -> AsyncIterator[Message]:
        self._claim()
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except EndOfAssociation:
            raise StopAsyncIteration from None

    def _claim(self) -> Inbox:
        if self._inbox is None:
            limit = self._conn.inbound_streams
            if self.id >= limit:
                raise StreamOutOfRangeError(self.id, limit)
            self._inbox = self._conn._association.intake.claim(self.id)
        return self._inbox
