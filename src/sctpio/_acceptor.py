"""The loop room of a listening one-to-one socket: who waits for the next association."""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable

from ._link import Link
from ._socket import Socket
from ._waiting import Waiters, call, sleepers_of
from .errors import ClosedError
from .events import Event
from .options import Status
from .stacks.base import StackSocket


class Acceptor:
    """A listening descriptor; the loop watches it only while a task waits."""

    def __init__(
        self,
        raw: StackSocket,
        loop: asyncio.AbstractEventLoop,
        new_socket: Callable[[StackSocket], Socket],
    ) -> None:
        self.raw = raw
        self._new_socket = new_socket
        self.loop = loop
        self.wakeups = 0
        self._thread = threading.get_ident()
        self.sleepers = sleepers_of(loop)
        self._waiters = Waiters(loop)
        self._reading = False

    @property
    def closed(self) -> bool:
        """Whether the descriptor is gone."""
        return self.raw.fileno() < 0

    async def accept(self) -> Link:
        """Wait for an association; a cancelled wait takes none."""
        first = False
        while not self.closed:
            accepted = self.raw.accept()
            if accepted is not None:
                sock = self._new_socket(accepted[0])
                sock.association.peer = accepted[1]
                return _started(sock)
            self._set_reading(True)
            await self._waiters.wait(first=first)
            first = True
        raise ClosedError("the listener is closed")

    def subscribe(self, kind: type[Event]) -> None:
        """Turn an event on for associations to come; raises OSError."""
        self.raw.subscribe(kind, True, 0)

    def unsubscribe(self, kind: type[Event]) -> None:
        """Turn an event off for associations to come."""
        self.raw.subscribe(kind, False, 0)

    def on_readable(self) -> None:
        """Wake one task (called by the loop)."""
        self.wakeups += 1
        if not len(self._waiters):
            self._set_reading(False)
        else:
            self._waiters.wake()

    def _set_reading(self, on: bool) -> None:
        if on is self._reading:
            return
        self._reading = on
        if on:
            self.loop.add_reader(self.raw.fileno(), call, weakref.ref(self), Acceptor.on_readable)
        else:
            self.loop.remove_reader(self.raw.fileno())

    def close(self) -> None:
        """Stop listening; waiting tasks get ClosedError."""
        if not self.closed:
            self._set_reading(False)
            self.raw.close()
            self._waiters.wake_all()

    def abandon(self) -> None:
        """Release what a forgotten listener held, from whichever thread the collector runs in."""
        if self.closed:
            return
        if self.loop.is_closed():
            self.raw.close()
        elif threading.get_ident() == self._thread:
            self.close()
        else:
            self.loop.call_soon_threadsafe(self.close)


def _started(sock: Socket) -> Link:
    link = Link(sock.association, sock)
    try:
        sock.start()
        if not sock.association.established:
            # Its COMM_UP was lost: the stack drops events when it is out of memory.
            with contextlib.suppress(OSError):
                status = sock.raw.get_option(Status, 0, None)
                sock.association.up(status.association_id, status.outbound_streams, status.inbound_streams)
    except BaseException:
        link.abort()
        raise
    return link
