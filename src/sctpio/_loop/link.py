"""One association on the socket that carries it: flushing, events, options, ending.

`Conn` and `Endpoint` act on an association through a `Link`, whatever kind of socket carries it. The `Link`
stays the same when the association is peeled off: tasks that wait in it continue on the new socket. `sending`
has the part that sends.
"""

import asyncio
import contextlib
import copy
import errno
import logging
from collections.abc import Callable, Iterator

from ..address import Address, AddressLike, split_like
from ..errors import AssociationError, AssociationLostError, ClosedError
from ..events import Event, SenderDry
from ..options import AsconfSupported, Option, PeerAddressInfo, Status
from ..stacks.base import ALWAYS_SUBSCRIBED, StackSocket, T, alive
from . import journal, observing
from .association import Association
from .event_stream import EventHub
from .loop_socket import LoopSocket
from .sending import Sender, check_has_effect, path_of
from .waiting import Waiters, check_loop

logger = logging.getLogger("sctpio")


class Link:
    """An association, its socket, and what can be done with the two.

    `at_shared_port` says that its port is that of a listener or of an endpoint, and not one for itself.
    """

    __slots__ = ("__weakref__", "association", "at_shared_port", "sender", "socket")

    def __init__(self, association: Association, socket: LoopSocket, *, at_shared_port: bool = False) -> None:
        self.association: Association = association
        self.at_shared_port: bool = at_shared_port
        self.socket: LoopSocket = socket
        self.sender: Sender = Sender(association, socket)
        observing.note(self)

    @property
    def raw(self) -> StackSocket:
        """The stack's socket."""
        return self.socket.raw

    @property
    def hub(self) -> EventHub:
        """The hub that hands out the association's events."""
        return self.association.hub

    async def wait_for_input(self, waiters: Waiters, ready: Callable[[], object]) -> None:
        """Wait until woken, unless `ready()` is true; see `Unread.wait`."""
        await self.association.unread.wait(waiters, ready)

    async def flush(self) -> None:
        """Wait until the peer has acknowledged all that was sent before; see `Conn.flush`."""
        association = self.association
        # An older answer may be queued; it would say nothing about what was sent since.
        await self.catch_up()
        association.check_here()
        before, restarts = association.dry_count, association.restarts

        def answered() -> bool:
            return (
                association.dry_count != before
                or association.end is not None
                or association.restarts != restarts
            )

        association.dry_wanted += 1
        try:
            # Subscribing anew makes the stack answer at once if everything is acknowledged already.
            with self._unless_ended():
                self.raw.subscribe(SenderDry, False, association.id)
                self.raw.subscribe(SenderDry, True, association.id)
            while association.dry_count == before:
                association.check_here()
                if association.restarts != restarts:
                    raise ConnectionResetError(
                        errno.ECONNRESET, "the peer has restarted: what it had not acknowledged is lost"
                    )
                await self.wait_for_input(association.state_waiters, answered)
        finally:
            association.dry_wanted -= 1
            self.unsubscribe(SenderDry)

    async def catch_up(self) -> None:
        """Take all that the stack has queued; wait first while reading is paused."""
        association = self.association
        check_loop(association.loop)

        def caught_up() -> bool:
            return not self.socket.paused or association.end is not None

        while not caught_up():
            await association.unread.wait(self.socket.resumed, caught_up)
        self.socket.read_now()

    # Events

    def subscribe(self, kind: type[Event]) -> None:
        """Subscribe an event; raises OSError if the stack refuses."""
        association = self.association
        if association.is_over:
            return
        try:
            self.raw.subscribe(kind, True, association.id)
        except OSError:
            # If the association has ended, the event that says so is yet to be read: that is no error.
            if alive(self.raw, association.id):
                raise

    def unsubscribe(self, kind: type[Event]) -> None:
        """Unsubscribe an event, unless somebody still wants it."""
        unsubscribe(self.socket, self.association, kind)

    # Options

    def get_option(self, query: type[T] | T, path: AddressLike | None) -> T:
        """Read an option; without `path`, PeerAddressInfo is that of the primary path."""
        identifier = self.association.id
        with self._unless_ended():
            if path is None and query is PeerAddressInfo:
                path = self.raw.get_option(Status, identifier, None).primary.address
            where = None if path is None else path_of(path, self.association.peer.port)
            value = self.raw.get_option(query, identifier, where)
        if isinstance(value, Option):
            observing.option(self.association, value, was_set=False)
        return value

    def set_option(self, value: Option) -> None:
        """Write an option."""
        check_has_effect(value)
        with self._unless_ended():
            for part in value.parts(self.raw.stack):
                self.raw.set_option(part, self.association.id)
                observing.option(self.association, part, was_set=True)

    @contextlib.contextmanager
    def _unless_ended(self) -> Iterator[None]:
        """Raise how the association ended in place of the stack's refusal, if that is the reason for it."""
        try:
            yield
        except OSError as error:
            if alive(self.raw, self.association.id):
                raise
            raise self.sender.failed(OSError(errno.EPIPE, error.strerror)) from None

    # Addresses

    def path(self, path: AddressLike) -> Address:
        """Return the peer's address that a caller named as a path; raises ValueError."""
        return path_of(path, self.association.peer.port)

    def change_local_address(
        self, change: Callable[[Address], None], address: AddressLike, what: str
    ) -> None:
        """Change one local address; the stack informs the peer (ASCONF, RFC 5061).

        `what` is for the error: what cannot be done with the address.
        """
        local = address if isinstance(address, Address) else Address(*split_like(address))
        port = self.raw.local_addresses(self.association.id).port
        if len(local.hosts) != 1 or local.port not in (0, port):
            raise ValueError(
                f"{str(local)!r} is not a local address; it takes one host, and port {port} or 0"
            )
        local = Address(local.hosts, port)
        if not self.get_option(AsconfSupported, None).enabled:
            raise OSError(
                errno.EOPNOTSUPP,
                f"{what.format(local)}: both ends need AsconfSupported() and AuthSupported() before the"
                " association",
            )
        change(local)

    # How it ends

    def drain(self) -> None:
        """Let readers end when they have read what has come so far."""
        if not self.association.is_over:
            # Also while reading is paused: the peer takes for delivered what the stack has.
            self.socket.read_now()
            self.association.drain()

    def shut_down(self) -> None:
        """Begin the graceful end, and go on reading; see `Conn.shutdown`."""
        association = self.association
        check_loop(association.loop)
        if association.shut_down_here():
            try:
                self.socket.shut_down(association)
            except OSError as error:
                self.sender.failed(error)

    async def close(self, timeout: float | None) -> None:
        """Shut down gracefully and wait; see `Conn.close`."""
        association = self.association
        if association.is_over:
            self.socket.release(association)
            return
        check_loop(association.loop)
        if not association.is_closing:
            self.shut_down()
            association.close_here()
            self.socket.resume()
            self.socket.resumed.wake_all()
            if self.socket.paused:
                self.end_apart()
        try:
            async with asyncio.timeout(timeout):
                await association.wait_closed()
        except TimeoutError:
            # It may have ended in the same turn of the loop.
            if not association.is_over:
                text = f"what was sent was not acknowledged within {timeout:.3g} s of closing"
                self.abort(f"the association was aborted: {text}")
                raise AssociationLostError(f"{text} ({self.raw.transport()})") from None
        except asyncio.CancelledError:
            self.abort("the association was aborted: its close was cancelled")
            raise
        # If it was aborted meanwhile, not everything was delivered.
        over_by = association.over_by
        if isinstance(over_by, AssociationError):
            raise copy.copy(over_by)

    def abort(self, text: str = "the association was aborted here", cause: bytes = b"") -> None:
        """End the association at once."""
        association = self.association
        if not association.is_over:
            if not self.socket.abort(association, cause):
                logger.warning("the ABORT of association %d goes without the cause %r", association.id, cause)
            association.cut_off(ClosedError(text))
            self.socket.resumed.wake_all()
        self.socket.release(association)

    def detach(self) -> int:
        """Hand over the descriptor, and the association with it."""
        descriptor = self.socket.detach(self.association)
        self.association.cut_off(ClosedError("the association was detached"))
        return descriptor

    def peel_off(self) -> None:
        """Move the association to a socket of its own; tasks that wait continue there."""
        shared, association = self.socket, self.association
        check_loop(association.loop)
        self._move_to(shared.peel_off(association))
        association.senders.wake_head()
        shared.resumed.wake_all()

    def end_apart(self) -> None:
        """Make sure that the association is seen to end even while others pause the reading.

        If no descriptor is left for that, its end is seen when reading goes on.
        """
        with contextlib.suppress(OSError):
            self._move_to(self.socket.end_apart(self.association))

    def _move_to(self, socket: LoopSocket) -> None:
        self.socket = socket
        self.sender.move_to(socket)

    def forget(self) -> None:
        """Release what a forgotten object held (called in any thread, by a finalizer)."""
        socket, association = self.socket, self.association
        socket.dispose(lambda: socket.forget(association))


def unsubscribe(socket: LoopSocket, association: Association, kind: type[Event]) -> None:
    """Unsubscribe an event of an association, unless somebody still wants it."""
    kept = (
        kind in ALWAYS_SUBSCRIBED
        or (kind is SenderDry and association.dry_wanted)
        or kind in journal.followed(association.log)
    )
    if not association.is_over and not kept and not association.hub.wanted(kind):
        with contextlib.suppress(OSError):
            socket.raw.subscribe(kind, False, association.id)
