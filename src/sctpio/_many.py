"""A one-to-many socket: its associations told apart by their numbers, accepted, connected, peeled off.

The stack gives numbers again. An association is known here from its COMM_UP (or our connect) to the event
that ends it; what comes for a number that is not known, or no longer, reaches nobody's `Conn`.
"""

import asyncio
import contextlib
import errno
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial

from ._association import Association
from ._carrier import Carrier
from ._ending import alive, ended_by
from ._events import EventHub
from ._link import Link, unsubscribe
from ._room import SendRoom
from ._socket import Socket
from ._waiting import Waiters, call
from .address import Address
from .errors import (
    AssociationAbortedError,
    AssociationError,
    AssociationLostError,
    ClosedError,
    MessageTooLargeError,
)
from .events import AssociationChange, AssociationState, ErrorCause, Event, SenderDry
from .message import Message
from .options import InitMsg, RtoInfo, Scope, Status
from .stacks.base import MORE, RECORDS, Outgoing, SendOne, StackSocket

logger = logging.getLogger("sctpio")

# Bytes that one batch takes.
BATCH = 128 * 1024

# Seconds of a pause after which the log tells who stops everybody.
LONG_PAUSE = 1.0

LAST = frozenset(
    {AssociationState.COMM_LOST, AssociationState.SHUTDOWN_COMP, AssociationState.CANT_STR_ASSOC}
)


class Many(Carrier):
    """A socket with any number of associations.

    `most_waiting` of those that peers begin may wait for `accept`; None hands them to the owner at once.
    Where `abort_slow`, an association whose receive buffer is full is aborted, else reading pauses for all.
    """

    def __init__(
        self,
        raw: StackSocket,
        loop: asyncio.AbstractEventLoop,
        *,
        hub: EventHub,
        new_association: Callable[[], Association],
        most_waiting: int | None,
        abort_slow: bool,
        batch: int = RECORDS,
    ) -> None:
        super().__init__(raw, loop, batch)
        self.hub = hub
        self.members: dict[int, Link] = {}
        # Associations that wait for `accept`; None where they belong to the endpoint at once.
        self.arrived: deque[Link] | None = None if most_waiting is None else deque()
        self.refused = 0
        self.closed = False
        self._most_waiting = most_waiting or 0
        self._new_association = new_association
        self._abort_slow = abort_slow
        self._accepting = Waiters(loop)
        self._room = SendRoom(raw, loop, self._watch_room)
        self._full: dict[int, Association] = {}
        # When our own attempts to connect began, until somebody has the association; and who waits for one.
        self._begun: dict[int, float] = {}
        self._wanted: Counter[int] = Counter()
        self._forgotten: set[Association] = set()
        # Whose last event has been read.
        self._ending: list[Link] = []
        self._long_pause: asyncio.TimerHandle | None = None

    # Reading

    def start(self) -> None:
        """Begin to read."""
        self._set_reading(True)

    @property
    def paused(self) -> bool:
        """Whether reading waits for room in an association's receive buffer."""
        return bool(self._full) and not self.reading

    @property
    def paused_by(self) -> tuple[int, ...]:
        """The associations whose unread messages stop the reading."""
        return tuple(self._full) if self.paused else ()

    def read_now(self) -> None:
        """Take what is queued, also where reading is paused."""
        if self.raw.fileno() >= 0:
            self._go_on(len(self._ending), self._read_queued(BATCH))

    def _read(self) -> None:
        if self.raw.fileno() >= 0:
            self._go_on(len(self._ending), self._read_batch(BATCH))

    def _go_on(self, ended: int, state: int) -> None:
        """Decide what comes next, when `ended` associations had ended before what was read now."""
        if state != MORE:
            ended = len(self._ending)
        finished, self._ending = self._ending[:ended], self._ending[ended:]
        for link in finished:
            self._finish(link)
        if self.raw.fileno() < 0:
            return
        if state not in (MORE, -errno.EAGAIN):
            logger.error("reading a one-to-many socket: %s", errno.errorcode.get(-state, state))
        if self._full and self._abort_slow:
            # Whoever reads had no turn yet to do so.
            self.loop.call_soon(call, self._me, type(self)._abort_full)
        if self._full and not self._abort_slow:
            if self._pause():
                self._room.deaf = True
                self._long_pause = self.loop.call_later(LONG_PAUSE, call, self._me, type(self)._complain)
                for association in self._full.values():
                    association.wake_all()
        elif state == MORE:
            self._look_soon()

    def _abort_full(self) -> None:
        full, self._full = self._full, {}
        for identifier, association in full.items():
            link = self.members.get(identifier)
            if link is not None and link.association is association and association.intake.full:
                slow = AssociationAbortedError(b"slow reader", ErrorCause.USER_INITIATED_ABORT)
                self._end(link, slow, b"slow reader")

    def _complain(self) -> None:
        self._long_pause = None
        logger.warning(
            "reading from all %d associations has paused: nobody takes what is unread of %s"
            " (slow_reader='abort' ends such an association instead)",
            len(self.members),
            ", ".join(map(str, self.paused_by)),
        )

    def resume(self) -> None:
        """Read again where a full buffer stopped it and there is room now."""
        if self.reading and not self._full:
            return
        for identifier, association in list(self._full.items()):
            if association.over or association.discarding or not association.intake.full:
                del self._full[identifier]
        if not self._full and not self.reading and self.raw.fileno() >= 0:
            self._room.deaf = False
            if self._long_pause is not None:
                self._long_pause.cancel()
                self._long_pause = None
            self._set_reading(True)
            self.resumed.wake_all()

    def _take_messages(self, messages: list[Message], size: int, whole: bool) -> None:
        for message in messages:
            self._take_message(message)

    def _take_message(self, message: Message) -> None:
        link = self.members.get(message.association_id)
        if link is None or (link.association.over and not link.association.discarding):
            link = self._overlooked(message.association_id)
        if link is None:
            return
        association = link.association
        try:
            association.feed(message)
        except MessageTooLargeError as error:
            self._end(link, error, b"message too large")
            return
        if association.intake.full and not association.discarding:
            self._full[association.id] = association

    def _overlooked(self, identifier: int) -> Link | None:
        """Make up for a COMM_UP that did not come: the stack loses events when it is out of memory."""
        try:
            status = self.raw.get_option(Status, identifier, None)
            peer = self.raw.peer_addresses(identifier)
        except OSError:
            # What was left of an association that has ended.
            return None
        link = self._add(identifier, peer)
        link.association.up(identifier, status.outbound_streams, status.inbound_streams)
        return link if self._arrive(link) else None

    def _take_event(self, event: Event, source: bytes) -> None:
        identifier = getattr(event, "association_id", 0)
        change = event if isinstance(event, AssociationChange) else None
        if change is not None and change.state is AssociationState.COMM_UP and not self._expected(identifier):
            self._arrive(self._add(identifier, self.raw.source(source, identifier)))
        link = self.members.get(identifier)
        if link is None:
            self.hub.publish(event)
            return
        association = link.association
        association.take_event(self._added(event, association))
        if isinstance(event, SenderDry):
            self._room.dry(association)
        if change is not None and change.state in LAST:
            # Not over yet: messages that come back (SendFailed) follow this event.
            self._ending.append(link)

    def _expected(self, identifier: int) -> bool:
        """Whether a COMM_UP is for an association that we began; of another one it is the successor."""
        link = self.members.get(identifier)
        if link is None:
            return False
        return identifier in self._begun or not (link.association.over or link.association.established)

    def _add(self, identifier: int, peer: Address) -> Link:
        predecessor = self.members.get(identifier)
        if predecessor is not None:
            self._finish(predecessor)
        association = self._new_association()
        association.id = identifier
        association.peer = peer
        link = self.members[identifier] = Link(association, self)
        return link

    def _finish(self, link: Link) -> None:
        """An association is over, as its last event told; forget it."""
        association = link.association
        if not association.over:
            lost = association.lost
            end = AssociationLostError("its end was not told")
            association.finish(end if lost is None else self._ended(association, lost))
        self._drop(link)

    def _arrive(self, link: Link) -> bool:
        """A peer began an association."""
        if self.closed or (self.arrived is not None and len(self.arrived) >= self._most_waiting):
            self.refused += 1
            link.abort("the association was not accepted", b"not accepted")
            return False
        if self.arrived is not None:
            self.arrived.append(link)
            self._accepting.wake()
        return True

    # What a Listener or an Endpoint does

    async def accept(self) -> Link:
        """Wait for an association that a peer began; a cancelled wait takes none."""
        first = False
        while not self.arrived:
            if self.closed or self.arrived is None:
                raise ClosedError("the listener is closed")
            await self._accepting.wait(first=first)
            first = True
        return self.arrived.popleft()

    async def connect(self, remote: Address) -> Link:
        """Set up an association and wait for it; cancelling it stops that."""
        began = self.loop.time()
        link = self._add(self.raw.connect(remote), remote)
        self._begun[link.association.id] = began
        await self.come_up(link)
        return link

    async def come_up(self, link: Link) -> None:
        """Wait until an association is up; the last one to give up stops what we began and nobody has yet."""
        association = link.association
        identifier = association.id
        self._wanted[identifier] += 1
        try:
            await association.set_up()
        except BaseException:
            if self._wanted[identifier] == 1 and identifier in self._begun:
                link.abort()
                # It may have come up meanwhile. Not every stack tells the end of what was not up.
                self.read_now()
                self._drop(link)
            raise
        else:
            self._begun.pop(identifier, None)
        finally:
            self._wanted[identifier] -= 1
            if not self._wanted[identifier]:
                del self._wanted[identifier]

    def member(self, association_id: int) -> Link:
        """Give one association; raises AssociationError where there is none of that number."""
        link = self.members.get(association_id)
        if link is None or link.association.over or not link.association.established:
            raise AssociationError(f"there is no association {association_id!r} here")
        return link

    @property
    def established(self) -> list[Link]:
        """The associations that are up."""
        links = self.members.values()
        return [link for link in links if link.association.established and not link.association.over]

    def subscribe(self, kind: type[Event]) -> None:
        """Turn an event on for all associations, those to come included; raises OSError."""
        self.raw.subscribe(kind, True, Scope.ALL)

    def unsubscribe(self, kind: type[Event]) -> None:
        """Turn an event off wherever nobody wants it any more."""
        self.raw.subscribe(kind, False, Scope.FUTURE)
        for link in self.members.values():
            unsubscribe(self, link.association, kind)

    def close(self) -> None:
        """Take no more associations; the descriptor is released with the last one."""
        if self.closed:
            return
        self.closed = True
        if self.raw.fileno() >= 0:
            try:
                self.raw.listen(0)
            except OSError as error:
                # It was not listening.
                logger.debug("listen(0): %s", error)
        for link in self.arrived or ():
            link.abort("the listener was closed", b"not accepted")
        if self.arrived:
            self.arrived.clear()
        self._accepting.wake_all()
        self._close_if_last()

    def abandon(self) -> None:
        """Nobody has the endpoint any more: close, from whichever thread the collector runs in."""
        self.dispose(self._close_abandoned)

    def _close_abandoned(self) -> None:
        if self.arrived is None:
            # No Conn has any of them.
            self._forgotten.update(link.association for link in self.members.values())
        self.close()

    # How associations end

    def _end(self, link: Link, end: Exception, cause: bytes) -> None:
        """Abort an association for a reason of ours; what was received stays readable."""
        logger.warning("association %d is aborted: %s", link.association.id, cause.decode())
        self.raw.abort(link.association.id, cause)
        link.association.discarding = True
        link.association.finish(end)
        self.release(link.association)

    def _drop(self, link: Link) -> None:
        """Forget an association that is over, or has moved."""
        association = link.association
        self._begun.pop(association.id, None)
        if self.members.get(association.id) is link:
            del self.members[association.id]
        self.release(association)

    def _ended(self, association: Association, lost: AssociationChange) -> Exception:
        """Say how it ended. Refused and not answered look the same here but for the time that they take."""
        code = 0
        began = self._begun.get(association.id)
        if (
            lost.state is AssociationState.CANT_STR_ASSOC
            and began is not None
            and not lost.error
            and not lost.info
        ):
            passed = self.loop.time() - began
            code = errno.ETIMEDOUT if passed >= self._patience(association) else errno.ECONNREFUSED
        return ended_by(code, lost, association.peer)

    def _patience(self, association: Association) -> float:
        """Seconds after which the stack gives up an association that nobody answers (RFC 9260 5.1, 6.3.3)."""
        init = self.raw.get_option(InitMsg, 0, None)
        rto = self.raw.get_option(RtoInfo, 0, None).initial or 0
        most = init.max_init_timeout or 60
        attempts = init.max_attempts or 8
        total, timeout = 0.0, min(rto, most)
        for turn in range(1, attempts + 2):
            total += timeout
            # A cycle over all addresses doubles it.
            if turn % len(association.peer.hosts) == 0:
                timeout = min(2 * timeout, most)
        # The clocks of the stack are coarser than ours.
        return 0.9 * total

    def note_failure(self, code: int) -> None:
        """Nothing to latch: this socket has no error of its own."""

    def shut_down(self, association: Association) -> None:
        """Begin the graceful end; raises OSError."""
        self.raw.shutdown(association.id)

    def abort(self, association: Association, cause: bytes) -> bool:
        """Send ABORT now: whether with the cause."""
        return self.raw.abort(association.id, cause)

    def release(self, association: Association) -> None:
        """Give back what an association that is over held; the socket too, if it was the last."""
        self.want_no_room(association)
        self._forgotten.discard(association)
        self.resume()
        self._close_if_last()

    def _close_if_last(self) -> None:
        """Release the descriptor when it is closed and nobody has an association of it any more."""
        if not self.closed or self.raw.fileno() < 0:
            return
        for link in self.members.values():
            if link.association not in self._forgotten and not link.association.over:
                return
        self._unwatch()
        self._room.close()
        if self._long_pause is not None:
            self._long_pause.cancel()
        self.raw.close()
        self.members.clear()

    def forget(self, association: Association) -> None:
        """Nobody has the association any more: end it gracefully, without waiting."""
        association.close_here("the association was forgotten")
        with contextlib.suppress(OSError):
            self.raw.shutdown(association.id)
        self._forgotten.add(association)
        self.resume()
        self._close_if_last()

    def detach(self, association: Association) -> int:
        """Raise: the descriptor carries others too."""
        raise RuntimeError("the association shares its descriptor with others: peel it off first")

    def peel_off(self, association: Association) -> Carrier:
        """Move the association to a socket of its own: what is queued for it moves along, in order."""
        association.check_here()
        while self._notification:
            # Its rest would move without its beginning.
            self._read_batch(BATCH, 1)
        try:
            raw = self.raw.peel_off(association.id)
        except OSError:
            if alive(self.raw, association.id):
                raise
            self.read_now()
            association.check_here()
            raise
        self.members.pop(association.id)
        self._full.pop(association.id, None)
        association.hub.parent = None
        if association.shared:
            association.own_intake()
        waiting = self._room.want_no_more(association)
        sock = Socket(raw, self.loop, association, self.batch)
        if waiting:
            unsubscribe(sock, association, SenderDry)
        self.resume()
        self._close_if_last()
        sock.start()
        return sock

    # Writing

    def _watch_room(self, on: bool) -> None:
        if self.raw.fileno() >= 0:
            self._set_writing(on)

    def sender(self, association: Association) -> SendOne:
        """Give what tries to send one message."""
        return partial(self._room.attempt, association)

    def check_path(self, association: Association, path: Address) -> None:
        """Raise OSError (EINVAL) for another's address: the kernel would send the message there."""
        if self.raw.find_association(path) != association.id:
            if not alive(self.raw, association.id):
                raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
            raise OSError(
                errno.EINVAL, f"{path} is not an address of the peer of association {association.id}"
            )

    def send_batch(self, association: Association, messages: Sequence[Outgoing]) -> int:
        """Try to send messages in order: how many there was room for."""
        return self._room.attempt_batch(association, messages)

    def on_writable(self) -> None:
        """Let a sender try (called by the loop)."""
        self.wakeups += 1
        self._room.on_writable()

    def want_room(self, association: Association) -> None:
        """A task waits to send."""
        self._room.want(association)

    def no_room(self, association: Association) -> None:
        """A sender that was woken found no room."""
        self._room.had_none(association)

    def had_room(self, association: Association) -> None:
        """A sender that was woken has sent."""
        self._room.had(association)

    def want_no_room(self, association: Association) -> None:
        """No task waits to send any more."""
        if self._room.want_no_more(association):
            unsubscribe(self, association, SenderDry)
