"""`async for conn in connect(...)`: one association after another with the same peer.

Attempts that fail are repeated with pauses that double, with jitter, so that the clients of a server that
restarts do not all come back at once. An association that has lived for a while starts the pauses afresh; one
that ended at once does not. The log has a line when the peer cannot be reached, and one when it can again.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, Self, TypeVar

from ..errors import AssociationError, UnavailableError
from . import journal
from .journal import Logger

# Seconds: the first pause, the longest, and how long an association has to live for the first to follow
# again.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
STABLE = 10.0

# Reasons that may go away while nobody changes the program.
PASSING = frozenset(
    {
        errno.EADDRINUSE,
        errno.EADDRNOTAVAIL,
        errno.EAGAIN,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)


class Closable(Protocol):
    """What is opened again and again."""

    @property
    def is_closed(self) -> bool: ...
    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Reconnecting(Generic[C]):
    """The iterator; `remote` is for the log."""

    def __init__(self, open_it: Callable[[], Awaitable[C]], remote: str, log: Logger) -> None:
        self._open_it = open_it
        self._remote = remote
        self._log = log
        self._last: C | None = None
        self._up_since = 0.0
        self._pause = 0.0
        self._failures = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> C:
        await self._leave()
        loop = asyncio.get_running_loop()
        while True:
            # Half of it is jitter. (The module random would cost each import two milliseconds.)
            await asyncio.sleep(self._pause * (0.5 + os.urandom(1)[0] / 510))
            try:
                opened = await self._open_it()
            except OSError as error:
                if not is_passing(error):
                    raise
                if not self._failures:
                    self._write("%s cannot be reached, trying on: %s", error, level=logging.WARNING)
                self._failures += 1
                self._wait_longer()
            else:
                if self._failures:
                    self._write("%s is reached again, after %d attempts", self._failures + 1)
                    self._failures = 0
                self._last, self._up_since = opened, loop.time()
                return opened

    async def _leave(self) -> None:
        """Close the association that the last turn of the loop had, unless it is closed."""
        last, self._last = self._last, None
        if last is None:
            return
        if asyncio.get_running_loop().time() - self._up_since >= STABLE:
            self._pause = 0.0
        self._wait_longer()
        if not last.is_closed:
            try:
                await last.close()
            except AssociationError as error:
                self._write("the last association with %s: %s", error)

    def _write(self, text: str, what: object, level: int = logging.INFO) -> None:
        journal.write(self._log, text, self._remote, what, level=level, peer=self._remote)

    def _wait_longer(self) -> None:
        self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)


def is_passing(error: OSError) -> bool:
    """Return whether an attempt that failed so may succeed later, with nothing changed here."""
    if isinstance(error, UnavailableError):
        return False
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return isinstance(error, TimeoutError) or error.errno in PASSING
