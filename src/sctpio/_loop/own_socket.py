"""A socket with one association: one-to-one, or peeled off.

The kernel reports a socket error once, to the first call that meets it. It is noted here, everything queued
ahead of it is read, and the two together decide how the association ended. Once it is over, the descriptor is
closed at once; messages that were received stay readable.
"""

import asyncio
import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._abi.contract import EOF, MORE
from ..address import Address
from ..errors import EndOfAssociation, ReceivedTooLargeError
from ..events import Event
from ..message import Message
from ..stacks.base import EndWatch, Outgoing, SendOne, StackSocket, alive
from .association import UP, Association, ended_by
from .loop_socket import MOST_STALL_PAUSE, STALL_PAUSE, WATCH_PAUSE, LoopSocket
from .pace import MUCH
from .plain import plain_sender, reading
from .waiting import call

if TYPE_CHECKING:
    from .._fast import PlainSender, Reading

# The state of a batch that left nothing in the socket.
DRAINED = -errno.EAGAIN


class OwnSocket(LoopSocket):
    """A descriptor with one association."""

    wakeups: int

    def __init__(
        self, raw: StackSocket, loop: asyncio.AbstractEventLoop, association: Association, batch: int
    ) -> None:
        super().__init__(raw, loop, batch)
        self.association = association
        # The first errno that may be the only sign of the end; 0 for none.
        self._failure = 0
        self._stalls = 0
        self._stall: asyncio.TimerHandle | None = None
        self._watch: EndWatch | None = None
        # Reads in C, where there is such: see `plain`.
        self._reading = reading(raw)

    # Reading

    def start(self) -> None:
        """Start reading, with the first event (COMM_UP) at once.

        The rest is left to the loop, so that an accepted association can be detached before any message was
        taken.
        """
        self._set_reading(True)
        self._read(most=1)

    def start_again(self) -> None:
        """Begin to read where an association has moved to; what the system refuses now comes later."""
        self._read_again()
        self._read(most=1)

    @property
    def paused(self) -> bool:
        """Whether reading waits for space in the receive buffer."""
        elsewhere = self._watch is not None or self._look_again is not None
        return not self.reading and not elsewhere and not self.association.is_over

    def on_news(self) -> None:
        """Take one batch of a socket whose end is watched (called by the loop)."""
        if self._watch is not None:
            self._watch.acknowledge()
        self.on_readable()

    def read_now(self) -> None:
        """Take all that is queued, even while reading is paused."""
        self._read(queued=True)

    def _read(self, most: int | None = None, queued: bool = False) -> None:
        """Read one batch, or all that is `queued`; everything there is, if the association has failed."""
        association = self.association
        if not self.reading and self.raw.fileno() < 0:
            return
        # Not the property `space`, which costs a call: this runs for every wake-up.
        unread = association.unread
        space = unread.limit - unread.size
        try:
            if queued:
                state = self._read_queued()
            elif self._reading is not None and not self.raw.has_large:
                state = self._read_ordinary(self._reading, space, most)
            else:
                state = self._read_batch(space, most)
            while state == MORE and (self._failure or association.lost is not None):
                state = self._read_batch(space)
        except ReceivedTooLargeError as error:
            association.cut_off(error, keep_unread=True)
            self.abort(association, b"")
            return
        if state < 0 and state != DRAINED:
            self.note_failure(-state)
        if association.lost is not None or self._failure:
            self._failed()
        elif state == EOF:
            self._inbound_ended()
        if association.state is not UP and association.is_over:
            self.release(association)
        elif unread.size >= unread.limit and not association.drops_input:
            if self._pause():
                # A task that waits for another stream might now wait for ever: let it check.
                association.wake_all()
        elif state == MORE and most is None:
            self._look_soon()

    def _read_ordinary(self, reading: "Reading", space: int, most: int | None) -> int:
        """Take one batch, in C as far as it is of ordinary messages, and return the state after it."""
        most = most or self.batch >> self._pace.halvings or 1
        association = self.association
        taken = reading.read(association, self.raw, self._decoder, space, most)
        if not isinstance(taken, int):
            return self._read_batch(space, most, taken)
        state = DRAINED
        if taken < 0:
            state, taken = MORE, ~taken
            self._pace.much()
        elif taken >= MUCH:
            self._pace.much()
        waiters = association.unread.inbox.waiters
        if taken and waiters.queue:
            waiters.wake(taken)
        return state

    def _take_messages(self, messages: list[Message], size: int, whole: bool) -> None:
        self.association.feed_all(messages, size, whole)

    def _take_event(self, event: Event, source: bytes) -> None:
        self.association.take_event(event)

    def resume(self) -> None:
        """End a pause, if the full buffer that caused it has space now."""
        if not self.reading and self.paused and not self.association.unread.full:
            self._read_again()
            self.resumed.wake_all()

    # How it ends

    def note_failure(self, code: int) -> None:
        """Note an errno that may be the only sign of the end, but not EPIPE: something else says why."""
        if code == errno.EPIPE or (code == errno.ENOTCONN and self.association.is_setting_up):
            return
        self._failure = self._failure or code

    def _failed(self) -> None:
        association = self.association
        if association.lost is None and alive(self.raw, association.id):
            # The error did not end the association, but libuv has stopped watching because of it.
            self._failure = 0
            if self.reading:
                self._set_reading(False)
                self._read_again()
            return
        self._read_rest()
        code = self._failure or self.raw.error()
        self._finish(code)

    def _finish(self, code: int) -> None:
        association = self.association
        association.finish(ended_by(code, association.lost, association.peer, self.raw))

    def _read_rest(self) -> None:
        """Read what has come since: once the stack has forgotten an association, its last event is queued."""
        while self._read_batch(self.association.unread.space) == MORE:
            pass

    def _inbound_ended(self) -> None:
        """Act on end of file: the association is over, or will be once our own data is delivered."""
        association = self.association
        if association.is_over:
            return
        if not alive(self.raw, association.id):
            self._read_rest()
            if association.lost is not None:
                self._finish(self._failure or self.raw.error())
            association.finish(EndOfAssociation("the association was shut down"))
            return
        association.shut_down_by_peer()
        if self._watch is None:
            self._set_reading(False)
            try:
                self._watch_end()
            except OSError:
                # Out of descriptors: check from time to time instead.
                self._look_again = self.loop.call_later(MOST_STALL_PAUSE, call, self._me, type(self).look)

    def _watch_end(self) -> None:
        watch = self.raw.watch_end()
        try:
            self.loop.add_reader(watch.fileno(), call, self._me, type(self).on_news)
        except BaseException:
            watch.close()
            raise
        self._watch = watch

    def _unwatch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            self.loop.remove_reader(watch.fileno())
            watch.close()
        super()._unwatch()

    def release(self, association: Association) -> None:
        """Close the descriptor."""
        self._unwatch()
        self.raw.close()

    def forget(self, association: Association) -> None:
        """Close the descriptor. The kernel then ends the association: gracefully, unless data is unread."""
        self.release(association)

    def disown(self, text: str) -> None:
        """Close a forked child's copy of the descriptor; see `forks`."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        self.raw.disown()
        self.association.disown(text)

    def shut_down(self, association: Association) -> None:
        """Begin the graceful end (SHUTDOWN); raises OSError."""
        self.raw.shutdown(association.id)

    def abort(self, association: Association, cause: bytes) -> bool:
        """Send ABORT and close; return whether the ABORT carries the cause."""
        self._unwatch()
        told = self.raw.abort(association.id, cause)
        self.raw.close()
        return told

    def detach(self, association: Association) -> int:
        """Hand over the descriptor: return it, and stop using it."""
        self._unwatch()
        return self.raw.detach()

    def end_apart(self, association: Association) -> LoopSocket:
        """Return this socket, which has no other association."""
        return self

    def peel_off(self, association: Association) -> LoopSocket:
        """Raise RuntimeError: the association has a socket of its own already."""
        raise RuntimeError("the association has a socket of its own already: there is nothing to peel off")

    # Writing

    def sender(self, association: Association) -> SendOne:
        """Return the function that tries to send one message: the stack's own."""
        return self.raw.send

    def plain(self, association: Association) -> "PlainSender | None":
        """Return what sends ordinary messages in C; None where there is no such."""
        return plain_sender(association, self.raw)

    def check_path(self, association: Association, path: Address) -> None:
        """Check nothing: there is one peer, so the stack checks the address itself."""

    def send_batch(self, association: Association, messages: Sequence[Outgoing], bundle: bool) -> int:
        """Try to send messages in order; return how many of them there was space for."""
        return self.raw.send_batch(association.id, messages, bundle)

    def want_space(self, association: Association) -> None:
        """Note that a task waits to send."""
        if self._stall is None and self.raw.fileno() >= 0:
            self._set_writing(True)

    def on_writable(self) -> None:
        """Wake the first sender, which tries again (called by the loop)."""
        self.wakeups += 1
        if self.association.senders.queue:
            self.association.senders.wake_head()
        else:
            self._set_writing(False)

    def had_space(self, association: Association) -> None:
        """Note that a sender that was woken has sent: the next may try."""
        self._stalls = 0
        association.senders.wake_head()

    def no_space(self, association: Association) -> None:
        """Note that it polled as writable and took nothing (the stack is short of memory); retry later."""
        self._set_writing(False)
        pause = min(STALL_PAUSE * 2**self._stalls, MOST_STALL_PAUSE)
        self._stalls = min(self._stalls + 1, 10)
        if self._stall is None:
            self._stall = self.loop.call_later(pause, call, self._me, type(self).after_stall)

    def after_stall(self) -> None:
        """Watch for space again (called by the loop)."""
        self._stall = None
        if self.raw.fileno() < 0 or not self.association.senders.queue:
            return
        try:
            self._set_writing(True)
        except OSError:
            # Those that wait would hear of nothing else.
            self._stall = self.loop.call_later(WATCH_PAUSE, call, self._me, type(self).after_stall)

    def want_no_space(self, association: Association) -> None:
        """Note that no task waits to send any longer."""
        if self.raw.fileno() >= 0:
            self._set_writing(False)
