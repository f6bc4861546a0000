"""The loop room of a listening socket: who waits for the next association."""

import asyncio
import threading
import weakref

from ._waiting import Waiters
from .address import Address
from .errors import ClosedError
from .stacks.base import StackSocket


class Acceptor:
    """A listening descriptor; the loop watches it only while a task waits."""

    def __init__(self, raw: StackSocket, loop: asyncio.AbstractEventLoop) -> None:
        self.raw = raw
        self.loop = loop
        self.wakeups = 0
        self._thread = threading.get_ident()
        self._waiters = Waiters(loop)
        self._reading = False

    @property
    def closed(self) -> bool:
        """Whether the descriptor is gone."""
        return self.raw.fileno() < 0

    async def accept(self) -> tuple[StackSocket, Address]:
        """Wait for an association; a cancelled wait takes none."""
        first = False
        while not self.closed:
            accepted = self.raw.accept()
            if accepted is not None:
                return accepted
            self._set_reading(True)
            await self._waiters.wait(first=first)
            first = True
        raise ClosedError("the listener is closed")

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
            self.loop.add_reader(self.raw.fileno(), _on_readable, weakref.ref(self))
        else:
            self.loop.remove_reader(self.raw.fileno())

    def close(self) -> None:
        """Stop listening; waiting tasks get ClosedError."""
        if not self.closed:
            self._set_reading(False)
            self.raw.close()
            self._waiters.wake_all()

    def dispose(self) -> None:
        """Release what a forgotten listener held, from whichever thread the collector runs in."""
        if self.closed:
            return
        if self.loop.is_closed():
            self.raw.close()
        elif threading.get_ident() == self._thread:
            self.close()
        else:
            self.loop.call_soon_threadsafe(self.close)


def _on_readable(reference: "weakref.ref[Acceptor]") -> None:
    acceptor = reference()
    if acceptor is not None:
        acceptor.on_readable()
