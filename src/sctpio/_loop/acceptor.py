"""Associations that peers have begun, until somebody accepts them.

An `Acceptor` is a listening one-to-one socket: the stack queues the associations, and each that is accepted
gets a socket of its own. On a one-to-many socket the associations are simply there; `Arrivals` is the queue
of those that nobody has accepted yet.
"""

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Callable

from ..errors import ClosedError
from ..events import Event
from ..options import Status
from ..stacks.base import StackSocket
from .forks import keep_from_children
from .homing import Told, tell_missing
from .link import Link
from .loop_socket import give_back
from .own_socket import OwnSocket
from .per_loop import of_loop
from .waiting import Sleepers, Waiters, call, check_loop

CLOSED = "the listener is closed"


class Acceptor:
    """A listening descriptor, which the loop watches only while a task waits.

    One that is `shared`, such as systemd's, goes on listening for others after it was closed here.
    """

    def __init__(
        self,
        raw: StackSocket,
        loop: asyncio.AbstractEventLoop,
        new_socket: Callable[[StackSocket], OwnSocket],
        *,
        shared: bool = False,
    ) -> None:
        self.raw = raw
        self._shared = shared
        self._new_socket = new_socket
        self.loop = loop
        self.wakeups: int = 0
        self.sleepers: Sleepers = of_loop(loop, Sleepers)
        self._waiters = Waiters(loop)
        self._reading = False
        self.why_closed: str | None = None
        self._told: Told = set()
        keep_from_children(self)

    @property
    def closed(self) -> bool:
        """Whether the descriptor is closed."""
        return self.raw.fileno() < 0

    async def accept(self) -> Link:
        """Wait for an association and return it; a cancelled wait takes none."""
        first = False
        while not self.closed:
            check_loop(self.loop)
            accepted = self.raw.accept()
            if accepted is not None:
                sock = self._new_socket(accepted[0])
                sock.association.peer = accepted[1]
                link = _started(sock)
                tell_missing(sock.raw, sock.association, self._told)
                return link
            self._set_reading(True)
            await self._waiters.wait(lambda: self.closed, first=first)
            first = True
        raise ClosedError(self.why_closed or CLOSED)

    def subscribe(self, kind: type[Event]) -> None:
        """Subscribe an event for future associations; raises OSError."""
        self.raw.subscribe(kind, True, 0)

    def unsubscribe(self, kind: type[Event]) -> None:
        """Unsubscribe an event for future associations."""
        self.raw.subscribe(kind, False, 0)

    def on_readable(self) -> None:
        """Wake one task, which then accepts (called by the loop)."""
        self.wakeups += 1
        if self._waiters.queue:
            self._waiters.wake()
        else:
            self._set_reading(False)

    def _set_reading(self, on: bool) -> None:
        if on is self._reading:
            return
        if on:
            self.loop.add_reader(self.raw.fileno(), call, weakref.ref(self), Acceptor.on_readable)
        else:
            self.loop.remove_reader(self.raw.fileno())
        self._reading = on

    def close(self) -> None:
        """Stop listening, and abort what nobody has accepted; waiting tasks get ClosedError."""
        if not self.closed:
            self._set_reading(False)
            if not self._shared:
                with contextlib.suppress(OSError):
                    self._refuse_waiting()
                    # Closing alone ends nothing while another process has a copy of the descriptor.
                    self.raw.listen(0)
            self.raw.close()
            self._waiters.wake_all()

    def _refuse_waiting(self) -> None:
        """Abort the associations that nobody has accepted: closed with it, they would end gracefully."""
        while (accepted := self.raw.accept()) is not None:
            accepted[0].abort(0, b"")
            accepted[0].close()

    def disown(self, text: str) -> None:
        """Close a forked child's copy of the descriptor; see `forks`."""
        self.why_closed = text
        self.raw.disown()

    def abandon(self) -> None:
        """Close a listener that was forgotten unclosed (called in any thread, by a finalizer)."""
        if not self.closed:
            give_back(self.loop, self.raw, self.close)


def _started(sock: OwnSocket) -> Link:
    link = Link(sock.association, sock, at_shared_port=True)
    try:
        sock.start()
        if sock.association.is_setting_up:
            # Its COMM_UP was lost: the stack drops events when it is out of memory.
            with contextlib.suppress(OSError):
                status = sock.raw.get_option(Status, 0, None)
                sock.association.up(status.association_id, status.outbound_streams, status.inbound_streams)
    except BaseException:
        link.abort()
        raise
    return link


class Arrivals:
    """Associations of a one-to-many socket that wait to be accepted, at most `most` of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._most = most
        self._links: deque[Link] = deque()
        self._waiters = Waiters(loop)
        self._closed = False

    def __len__(self) -> int:
        return len(self._links)

    def put(self, link: Link) -> bool:
        """Add an association; return False if too many wait already."""
        if len(self._links) >= self._most:
            return False
        self._links.append(link)
        self._waiters.wake()
        return True

    async def take(self) -> Link:
        """Wait for an association and return it; a cancelled wait takes none."""
        first = False
        while not self._links:
            if self._closed:
                raise ClosedError(CLOSED)
            await self._waiters.wait(lambda: self._links or self._closed, first=first)
            first = True
        return self._links.popleft()

    def close(self) -> list[Link]:
        """Stop, and return the associations that nobody has accepted; waiting tasks get ClosedError."""
        self._closed = True
        rest = list(self._links)
        self._links.clear()
        self._waiters.wake_all()
        return rest
