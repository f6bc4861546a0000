"""A one-to-many socket: its associations, by their ids; accepting, connecting and peeling them off.

The stack reuses association ids. So an association is known here from its COMM_UP (or our own connect) to
its last event, and what arrives for an unknown id reaches nobody's `Conn`. Three parts have rules of their
own: `Arrivals` keeps the associations that peers began until they are accepted, `Attempts` those that we
began until they are up, and `SendShare` divides the send buffer. All associations are read together, so a
full receive buffer of one stops the reading for all, or ends that association, as the owner chose.
"""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial

from .._abi.contract import MORE, RECORDS
from ..address import Address
from ..errors import (
    AssociationAbortedError,
    AssociationError,
    AssociationLostError,
    ClosedError,
    ReceivedTooLargeError,
)
from ..events import AssociationChange, AssociationState, ErrorCause, Event, SenderDry
from ..message import Message
from ..options import Scope, Status
from ..stacks.base import Outgoing, SendOne, StackSocket, alive
from .acceptor import CLOSED, Arrivals
from .association import Association
from .attempts import Attempts
from .event_stream import EventHub
from .homing import Told, as_called, come_home, tell_missing
from .link import Link, unsubscribe
from .loop_socket import BATCH_BYTES, LoopSocket
from .own_socket import OwnSocket
from .send_share import SendShare
from .waiting import call, check_loop

logger = logging.getLogger("sctpio")

# Seconds that a pause lasts before the log names the associations that cause it.
LONG_PAUSE = 1.0

LAST = frozenset(
    {AssociationState.COMM_LOST, AssociationState.SHUTDOWN_COMP, AssociationState.CANT_STR_ASSOC}
)


class SharedSocket(LoopSocket):
    """A socket with any number of associations.

    At most `most_waiting` associations that peers began may wait for `accept`; None means that the owner has
    them at once. With `abort_slow`, an association whose receive buffer is full is aborted; otherwise reading
    pauses for all.
    """

    wakeups: int

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
        self.arrivals: Arrivals | None = None if most_waiting is None else Arrivals(loop, most_waiting)
        self.refused: int = 0
        self.closed: bool = False
        self.why_closed: str | None = None
        self._new_association = new_association
        self._abort_slow = abort_slow
        self._attempts = Attempts(raw)
        self._share = SendShare(raw, loop, self._watch_space)
        # Associations whose receive buffer is full.
        self._full: dict[int, Association] = {}
        # Those that were forgotten unclosed: they are ending, and nobody waits for that.
        self._forgotten: set[Association] = set()
        # Those whose last event was read, but perhaps not yet the messages behind it.
        self._ending: list[Link] = []
        self._long_pause: asyncio.TimerHandle | None = None
        self._told: Told = set()

    # Reading

    def start(self) -> None:
        """Start reading."""
        self._set_reading(True)

    @property
    def paused(self) -> bool:
        """Whether reading waits for space in an association's receive buffer."""
        return bool(self._full) and not self.reading

    @property
    def paused_by(self) -> tuple[int, ...]:
        """The ids of the associations whose unread messages pause the reading; empty if it is not paused."""
        return tuple(self._full) if self.paused else ()

    def read_now(self) -> None:
        """Take all that is queued, even while reading is paused."""
        if self.raw.fileno() >= 0:
            self._go_on(len(self._ending), self._read_queued())

    def _read(self) -> None:
        if self.raw.fileno() >= 0:
            self._go_on(len(self._ending), self._read_batch(BATCH_BYTES))

    def _go_on(self, ended: int, state: int) -> None:
        """Decide what follows a batch; the first `ended` in `_ending` had ended before it."""
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
            # Not at once: the reader has had no turn yet.
            self.loop.call_soon(call, self._me, type(self)._abort_full)
        if self._full and not self._abort_slow:
            self._pause_for_full()
        elif state == MORE:
            self._look_soon()

    def _pause_for_full(self) -> None:
        if self._pause():
            self._share.deaf = True
            self._long_pause = self.loop.call_later(LONG_PAUSE, call, self._me, type(self)._complain)
            for association in self._full.values():
                association.wake_all()
            for link in list(self.members.values()):
                if link.association.is_closing:
                    link.end_apart()

    def _abort_full(self) -> None:
        full, self._full = self._full, {}
        for identifier, association in full.items():
            link = self.members.get(identifier)
            if link is not None and link.association is association and association.unread.full:
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
        """End a pause, if the full buffers that caused it have space now."""
        if self.reading and not self._full:
            return
        for identifier, association in list(self._full.items()):
            if association.is_over or association.drops_input or not association.unread.full:
                del self._full[identifier]
        if not self._full and not self.reading and self.raw.fileno() >= 0:
            self._share.deaf = False
            self._forget_to_complain()
            self._read_again()
            self.resumed.wake_all()

    def _forget_to_complain(self) -> None:
        if self._long_pause is not None:
            self._long_pause.cancel()
            self._long_pause = None

    def _take_messages(self, messages: list[Message], size: int, whole: bool) -> None:
        for message in messages:
            self._take_message(message)

    def _take_message(self, message: Message) -> None:
        link = self.members.get(message.association_id)
        if link is None or (link.association.is_over and not link.association.was_cut_off):
            link = self._overlooked(message.association_id)
        if link is None:
            return
        association = link.association
        try:
            association.feed(message)
        except ReceivedTooLargeError as error:
            self._end(link, error, b"message too large")
            return
        if association.unread.full and not association.drops_input:
            self._full[association.id] = association

    def _overlooked(self, identifier: int) -> Link | None:
        """Add an association whose COMM_UP was lost: the stack drops events when it is out of memory."""
        try:
            status = self.raw.get_option(Status, identifier, None)
            peer = self.raw.peer_addresses(identifier)
        except OSError:
            # The message is a remnant of an association that has ended.
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
        association.take_event(event)
        if isinstance(event, SenderDry):
            self._share.dry(association)
        if change is not None and change.state in LAST:
            # It is not over yet: SendFailed events with undelivered messages follow this one.
            self._ending.append(link)

    def _expected(self, identifier: int) -> bool:
        """Return whether a COMM_UP is for an association being set up here, or else for a new owner."""
        link = self.members.get(identifier)
        return link is not None and (identifier in self._attempts or link.association.is_setting_up)

    def _add(self, identifier: int, peer: Address) -> Link:
        predecessor = self.members.get(identifier)
        if predecessor is not None:
            self._finish(predecessor)
        association = self._new_association()
        association.id = identifier
        association.peer = peer
        link = self.members[identifier] = Link(association, self, at_shared_port=True)
        return link

    def _finish(self, link: Link) -> None:
        """Finish and forget an association whose last event was read."""
        association = link.association
        if not association.is_over:
            lost = association.lost
            association.finish(
                AssociationLostError("the stack did not say how it ended")
                if lost is None
                else self._attempts.ended(association, lost, self.loop.time())
            )
        self._drop(link)

    def _arrive(self, link: Link) -> bool:
        """Offer an association that a peer began to `accept`; return False if it was refused."""
        if not self.closed and (self.arrivals is None or self.arrivals.put(link)):
            tell_missing(self.raw, link.association, self._told)
            return True
        self.refused += 1
        link.abort("the association was not accepted", b"not accepted")
        return False

    # What a Listener or an Endpoint does

    async def accept(self) -> Link:
        """Wait for an association that a peer began, and return it; a cancelled wait takes none."""
        if self.arrivals is None or (self.closed and not len(self.arrivals)):
            raise ClosedError(self.why_closed or CLOSED)
        check_loop(self.loop)
        return await self.arrivals.take()

    async def connect(self, remote: Address) -> Link:
        """Set up an association, wait until it is up, and return it. Cancelling stops the attempt."""
        check_loop(self.loop)
        began = self.loop.time()
        called = as_called(self.raw, remote)
        link = self._add(self.raw.connect(called), remote)
        self._attempts.begin(link.association.id, began)
        await self.come_up(link)
        come_home(self.raw, link.association, remote, called, self._told)
        return link

    async def come_up(self, link: Link) -> None:
        """Wait until an association is up. The attempt stops if every task that waits here is cancelled."""
        association = link.association
        identifier = association.id
        self._attempts.enter(identifier)
        try:
            await association.set_up()
        except BaseException:
            if self._attempts.leave(identifier):
                link.abort()
                # It may have come up meanwhile. Not every stack reports the end of an attempt.
                self.read_now()
                self._drop(link)
            raise
        self._attempts.leave(identifier)
        self._attempts.forget(identifier)

    def member(self, association_id: int) -> Link:
        """Return the association with this id; raises AssociationError if there is none."""
        link = self.members.get(association_id)
        if link is None or not link.association.is_there:
            raise AssociationError(f"there is no association {association_id!r} here")
        return link

    @property
    def established(self) -> list[Link]:
        """The associations that are up."""
        return [link for link in self.members.values() if link.association.is_there]

    def check_alive(self) -> None:
        """Raise ClosedError if it was closed."""
        if self.closed:
            raise ClosedError(self.why_closed or "the endpoint is closed")

    def subscribe(self, kind: type[Event]) -> None:
        """Subscribe an event for all associations, present and future; raises OSError."""
        self.raw.subscribe(kind, True, Scope.ALL)

    def unsubscribe(self, kind: type[Event]) -> None:
        """Unsubscribe an event for every association where nobody wants it any longer."""
        self.raw.subscribe(kind, False, Scope.FUTURE)
        for link in self.members.values():
            unsubscribe(self, link.association, kind)

    def close(self) -> None:
        """Stop taking associations; the descriptor is closed when the last one ends."""
        if self.closed:
            return
        self.closed = True
        if self.raw.fileno() >= 0:
            try:
                self.raw.listen(0)
            except OSError as error:
                # It was not listening.
                logger.debug("listen(0): %s", error)
        # Associations that have come up since the last batch are nobody's, and are aborted.
        self.read_now()
        for link in () if self.arrivals is None else self.arrivals.close():
            link.abort("the listener was closed", b"not accepted")
        self._close_if_last()

    def abandon(self) -> None:
        """Close a socket that was forgotten unclosed (called in any thread, by a finalizer)."""
        self.dispose(self._close_abandoned)

    def _close_abandoned(self) -> None:
        if self.arrivals is None:
            # There is no `accept`, so no `Conn` has any of them.
            self._forgotten.update(link.association for link in self.members.values())
        self.close()

    def disown(self, text: str) -> None:
        """Close a forked child's copy of the descriptor; see `forks`."""
        self.closed = True
        self.why_closed = text
        self.raw.disown()
        for link in self.members.values():
            link.association.disown(text)

    # How associations end

    def _end(self, link: Link, end: Exception, cause: bytes) -> None:
        """Abort an association for a reason of our own; what was received stays readable."""
        logger.warning("association %d is aborted: %s", link.association.id, cause.decode())
        self.raw.abort(link.association.id, cause)
        link.association.cut_off(end, keep_unread=True)
        self.release(link.association)

    def _drop(self, link: Link) -> None:
        """Forget an association that is over, or has moved."""
        association = link.association
        self._attempts.forget(association.id)
        if self.members.get(association.id) is link:
            del self.members[association.id]
        self.release(association)

    def note_failure(self, code: int) -> None:
        """Note nothing: errors of a one-to-many socket are not an association's."""

    def shut_down(self, association: Association) -> None:
        """Begin the graceful end (SHUTDOWN); raises OSError."""
        self.raw.shutdown(association.id)

    def abort(self, association: Association, cause: bytes) -> bool:
        """Send ABORT now; return whether it carries the cause."""
        return self.raw.abort(association.id, cause)

    def release(self, association: Association) -> None:
        """Release what an association that is over still holds; if it was the last, the descriptor too."""
        self.want_no_space(association)
        self._forgotten.discard(association)
        self.resume()
        self._close_if_last()

    def _close_if_last(self) -> None:
        """Close the descriptor if the owner closed it and no association is left."""
        if not self.closed or self.raw.fileno() < 0:
            return
        for link in self.members.values():
            if link.association not in self._forgotten and not link.association.is_over:
                return
        self._unwatch()
        self._share.close()
        self._forget_to_complain()
        self.raw.close()
        self.members.clear()

    def forget(self, association: Association) -> None:
        """End an association that was forgotten unclosed: gracefully, without waiting."""
        association.close_here("the association was forgotten")
        with contextlib.suppress(OSError):
            self.raw.shutdown(association.id)
        self._forgotten.add(association)
        self.resume()
        self._close_if_last()

    def detach(self, association: Association) -> int:
        """Raise RuntimeError: the descriptor carries other associations too."""
        raise RuntimeError("the association shares its descriptor with others: peel it off first")

    def peel_off(self, association: Association) -> LoopSocket:
        """Move an association to a socket of its own; whatever is queued for it moves along, in order."""
        association.check_here()
        sock = self._branch_off(association)
        association.hub.parent = None
        if association.shared:
            association.own_unread()
        sock.start_again()
        return sock

    def end_apart(self, association: Association) -> LoopSocket:
        """Move a closing association to a socket of its own: its end is seen even while reading is paused.

        Its received messages and its events still belong here. Raises OSError.
        """
        sock = self._branch_off(association)
        sock.start_again()
        return sock

    def _branch_off(self, association: Association) -> OwnSocket:
        while self._notification:
            # The rest of a notification that was read in part would move without its beginning.
            self._read_batch(BATCH_BYTES, 1)
        try:
            raw = self.raw.peel_off(association.id)
        except OSError:
            if alive(self.raw, association.id):
                raise
            self.read_now()
            association.check_here()
            raise AssociationError(f"association {association.id} has ended") from None
        self.members.pop(association.id)
        self._full.pop(association.id, None)
        waiting = self._share.want_no_more(association)
        sock = OwnSocket(raw, self.loop, association, self.batch)
        if waiting:
            unsubscribe(sock, association, SenderDry)
        self.resume()
        self._close_if_last()
        return sock

    # Writing

    def _watch_space(self, on: bool) -> None:
        if self.raw.fileno() >= 0:
            self._set_writing(on)

    def sender(self, association: Association) -> SendOne:
        """Return the function that tries to send one message, within the association's share."""
        return partial(self._share.attempt, association)

    def check_path(self, association: Association, path: Address) -> None:
        """Raise OSError (EINVAL) for an address of another peer: the kernel would send the message there."""
        if self.raw.find_association(path) != association.id:
            if not alive(self.raw, association.id):
                raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
            raise OSError(
                errno.EINVAL, f"{path} is not an address of the peer of association {association.id}"
            )

    def send_batch(self, association: Association, messages: Sequence[Outgoing], bundle: bool) -> int:
        """Try to send messages in order; return how many of them there was space for."""
        return self._share.attempt_batch(association, messages, bundle)

    def on_writable(self) -> None:
        """Wake a sender, which tries again (called by the loop)."""
        self.wakeups += 1
        self._share.on_writable()

    def want_space(self, association: Association) -> None:
        """Note that a task waits to send."""
        self._share.want(association)

    def no_space(self, association: Association) -> None:
        """Note that a sender that was woken found no space."""
        self._share.had_none(association)

    def had_space(self, association: Association) -> None:
        """Note that a sender that was woken has sent."""
        self._share.had(association)

    def want_no_space(self, association: Association) -> None:
        """Note that no task waits to send any longer."""
        if self._share.want_no_more(association):
            unsubscribe(self, association, SenderDry)
