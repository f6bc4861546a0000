"""A socket of one association: one-to-one, or peeled off.

A socket error is given once by the kernel, to whoever asks first: it is latched here, what was queued ahead
of it is read, then both decide how the association ended. When it is over, the descriptor is released at
once; what was received stays readable.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence

from ._association import Association
from ._carrier import MOST_STALL_PAUSE, STALL_PAUSE, Carrier
from ._ending import alive, ended_by
from ._waiting import call
from .address import Address
from .errors import EndOfAssociation, MessageTooLargeError
from .events import Event
from .message import Message
from .stacks.base import EOF, MORE, EndWatch, Outgoing, SendOne, StackSocket

# The state of a batch after which nothing is left.
DRAINED = -errno.EAGAIN


class Socket(Carrier):
    """A descriptor of one association."""

    def __init__(
        self, raw: StackSocket, loop: asyncio.AbstractEventLoop, association: Association, batch: int
    ) -> None:
        super().__init__(raw, loop, batch)
        self.association = association
        self._failure = 0
        self._stalls = 0
        self._stall: asyncio.TimerHandle | None = None
        self._watch: EndWatch | None = None

    # Reading

    def start(self) -> None:
        """Begin to read: the first event at once (it tells that the association is up), the rest by the loop.

        So an accepted association can be detached before a message of it was taken.
        """
        self._set_reading(True)
        self._read(most=1)

    @property
    def paused(self) -> bool:
        """Whether reading waits for room in the receive buffer."""
        elsewhere = self._watch is not None or self._look_again is not None
        return not self.reading and not elsewhere and not self.association.over

    def on_news(self) -> None:
        """Take what is new on a socket whose end is watched (called by the loop)."""
        if self._watch is not None:
            self._watch.acknowledge()
        self.on_readable()

    def read_now(self) -> None:
        """Take what is queued, also where reading is paused."""
        self._read(queued=True)

    def _read(self, *, most: int | None = None, queued: bool = False) -> None:
        """Read a batch, or all that is queued; all there is, where the association has failed."""
        association = self.association
        if not self.reading and self.raw.fileno() < 0:
            return
        # Attributes and not properties, which cost a call: this is done for every wake-up.
        intake = association.intake
        room = intake.limit - intake.unread_bytes
        try:
            state = self._read_queued(room) if queued else self._read_batch(room, most)
            while state == MORE and (self._failure or association.lost is not None):
                state = self._read_batch(room)
        except MessageTooLargeError as error:
            association.finish(error)
            self.abort(association, b"")
            return
        if state < 0 and state != DRAINED:
            self.note_failure(-state)
        if association.lost is not None or self._failure:
            self._failed()
        elif state == EOF:
            self._inbound_ended()
        if association.over:
            self.release(association)
        elif intake.unread_bytes >= intake.limit and not association.discarding:
            if self._pause():
                # Whoever waits for another stream may now wait for ever: let it see.
                association.wake_all()
        elif state == MORE and most is None:
            self._look_soon()

    def _take_messages(self, messages: list[Message], size: int, whole: bool) -> None:
        self.association.feed_all(messages, size, whole)

    def _take_event(self, event: Event, source: bytes) -> None:
        self.association.take_event(self._added(event, self.association))

    def resume(self) -> None:
        """Read again where a full buffer stopped it and there is room now."""
        if not self.reading and self.paused and not self.association.intake.full:
            self._set_reading(True)
            self.resumed.wake_all()

    # How it ends

    def note_failure(self, code: int) -> None:
        """Latch what may be the only word of the end. EPIPE is no news: others tell why."""
        if code == errno.EPIPE or (code == errno.ENOTCONN and not self.association.established):
            return
        self._failure = self._failure or code

    def _failed(self) -> None:
        association = self.association
        if association.lost is None and alive(self.raw, association.id):
            # An error that did not end the association. libuv has stopped watching because of it.
            self._failure = 0
            if self.reading:
                self._set_reading(False)
                self._set_reading(True)
            return
        self._read_rest()
        code = self._failure or self.raw.error()
        association.finish(ended_by(code, association.lost, association.peer))

    def _read_rest(self) -> None:
        """Read what came since: when the stack has no such association, the event that tells is queued."""
        while self._read_batch(self.association.intake.room) == MORE:
            pass

    def _inbound_ended(self) -> None:
        """The socket reads as ended: the association is over, or ends when our own data is delivered."""
        association = self.association
        association.inbound_ended()
        if association.over:
            return
        if not alive(self.raw, association.id):
            self._read_rest()
            if association.lost is not None:
                association.finish(
                    ended_by(self._failure or self.raw.error(), association.lost, association.peer)
                )
            association.finish(EndOfAssociation("the association was shut down"))
        elif self._watch is None:
            self._set_reading(False)
            try:
                self._watch = self.raw.watch_end()
            except OSError:
                # Out of descriptors: look now and then.
                self._look_again = self.loop.call_later(MOST_STALL_PAUSE, call, self._me, type(self).look)
                return
            self.loop.add_reader(self._watch.fileno(), call, self._me, type(self).on_news)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self.loop.remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        super()._unwatch()

    def release(self, association: Association) -> None:
        """Close the descriptor."""
        self._unwatch()
        self.raw.close()

    def forget(self, association: Association) -> None:
        """Close the descriptor: the kernel ends the association gracefully unless data is unread."""
        self.release(association)

    def dispose(self, release: Callable[[], None]) -> None:
        """Release what a forgotten object held, from whichever thread the collector runs in."""
        if self.loop.is_closed() and self._watch is not None:
            self._watch.close()
            self._watch = None
        super().dispose(release)

    def shut_down(self, association: Association) -> None:
        """Begin the graceful end; raises OSError."""
        self.raw.shutdown(association.id)

    def abort(self, association: Association, cause: bytes) -> bool:
        """Send ABORT and close: whether the peer is told the cause."""
        self._unwatch()
        told = self.raw.abort(association.id, cause)
        self.raw.close()
        return told

    def detach(self, association: Association) -> int:
        """Give the descriptor away."""
        self._unwatch()
        return self.raw.detach()

    def peel_off(self, association: Association) -> Carrier:
        """Raise: there is nothing to peel it off from."""
        raise RuntimeError("the association has a socket of its own already: there is nothing to peel off")

    # Writing

    def sender(self, association: Association) -> SendOne:
        """Give what tries to send one message: the stack's call itself."""
        return self.raw.send

    def check_path(self, association: Association, path: Address) -> None:
        """Nothing to check: the stack itself looks among the addresses of the only peer."""

    def send_batch(self, association: Association, messages: Sequence[Outgoing]) -> int:
        """Try to send messages in order: how many there was room for."""
        return self.raw.send_batch(association.id, messages)

    def want_room(self, association: Association) -> None:
        """A task waits to send."""
        if self._stall is None:
            self._set_writing(True)

    def on_writable(self) -> None:
        """Let the first sender try (called by the loop)."""
        self.wakeups += 1
        if not len(self.association.senders):
            self._set_writing(False)
        else:
            self.association.senders.wake_head()

    def had_room(self, association: Association) -> None:
        """A sender that was woken has sent: the next may try."""
        self._stalls = 0
        association.senders.wake_head()

    def no_room(self, association: Association) -> None:
        """Writable, yet nothing was taken (memory pressure in the stack): look again later, do not spin."""
        self._set_writing(False)
        pause = min(STALL_PAUSE * 2**self._stalls, MOST_STALL_PAUSE)
        self._stalls = min(self._stalls + 1, 10)
        if self._stall is None:
            self._stall = self.loop.call_later(pause, call, self._me, type(self).after_stall)

    def after_stall(self) -> None:
        """Watch for room again."""
        self._stall = None
        if self.raw.fileno() >= 0 and len(self.association.senders):
            self._set_writing(True)

    def want_no_room(self, association: Association) -> None:
        """No task waits to send any more."""
        if self.raw.fileno() >= 0:
            self._set_writing(False)
