"""The loop room: when a socket is read and written, and what happens when it ends.

Everything that touches the event loop's readers and writers is here. The rules:

- The loop holds a socket only weakly; `_waiting` keeps the tasks that wait for it.
- One reader callback per socket. It takes batches until the socket is empty, a batch's size is reached
  (then other callbacks run first), or the receive buffer is full (then reading pauses).
- The life of an association comes from its events. A socket error is given once by the kernel, to whoever
  asks first: it is latched here, what was queued ahead of it is read, then both decide how it ended.
- When an association is over, its descriptor is released at once; what was received stays readable.
"""

import asyncio
import contextlib
import copy
import errno
import logging
import os
import threading
import weakref
from collections.abc import Callable

from ._association import Association
from ._codec import MSG_CTRUNC, MSG_EOR, MSG_NOTIFICATION, UNORDERED, ntohl
from .errors import (
    AssociationAbortedError,
    AssociationError,
    AssociationLostError,
    ClosedError,
    DecodeError,
    EndOfAssociation,
    MessageTooLargeError,
)
from .events import (
    AssociationChange,
    AssociationState,
    ErrorCause,
    Event,
    SenderDry,
    UnknownEvent,
)
from .message import Message
from .options import SendBuffer, Status
from .stacks.base import ALWAYS_SUBSCRIBED, EOF, MORE, NO_INFO, EndWatch, RawRecord, StackSocket

logger = logging.getLogger("sctpio")

# What a call gives when the association is no more; the first of them may be the only one.
ENDINGS = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESHUTDOWN,
        errno.ETIMEDOUT,
    }
)

# A notification is at most 64 KiB; more without an end is not one.
MOST_NOTIFICATION = 256 * 1024

# Seconds to leave a socket alone that says it is writable and takes nothing, and the most.
STALL_PAUSE = 0.001
MOST_STALL_PAUSE = 0.05


class Socket:
    """A descriptor of one association, and the loop that watches it."""

    def __init__(self, raw: StackSocket, loop: asyncio.AbstractEventLoop, association: Association) -> None:
        self.raw = raw
        self.loop = loop
        self.association = association
        self.wakeups = 0
        self.pauses = 0
        self.messages_sent = 0
        self.bytes_sent = 0
        self._thread = threading.get_ident()
        self._reading = False
        self._writing = False
        self._closing = False
        self._failure = 0
        self._stalls = 0
        self._stall: asyncio.TimerHandle | None = None
        self._flushing = 0
        self._watch: EndWatch | None = None
        self._look_again: asyncio.Handle | None = None
        self._notification = bytearray()

    # Reading

    def start(self) -> None:
        """Begin to read: the first event at once (it tells that the association is up), the rest by the loop.

        So an accepted association can be detached before a message of it was taken.
        """
        self._set_reading(True)
        self._read(most=1)

    def _set_reading(self, on: bool) -> None:
        if on is self._reading:
            return
        self._reading = on
        if on:
            self.loop.add_reader(self.raw.fileno(), _on_readable, weakref.ref(self))
        else:
            self.loop.remove_reader(self.raw.fileno())

    @property
    def paused(self) -> bool:
        """Whether reading waits for room in the receive buffer."""
        elsewhere = self._watch is not None or self._look_again is not None
        return not self._reading and not elsewhere and not self.association.over

    def on_readable(self) -> None:
        """Take what the socket has (called by the loop)."""
        self.wakeups += 1
        self._forget_to_look()
        if self._watch is not None:
            self._watch.acknowledge()
        self._read()

    def _read(self, *, to_the_end: bool = False, most: int | None = None) -> None:
        """Read a batch; all there is when the association has failed or `to_the_end` asks for it."""
        association = self.association
        if self.raw.fileno() < 0:
            return
        try:
            state = self._read_batch(most)
            while state == MORE and (to_the_end or self._failure or association.lost is not None):
                state = self._read_batch()
        except MessageTooLargeError as error:
            association.finish(error)
            self._unwatch()
            self.raw.abort()
            return
        if state not in (MORE, EOF, -errno.EAGAIN):
            self._latch(-state)
        if association.lost is not None or self._failure:
            self._failed()
        elif state == EOF:
            self._inbound_ended()
        if association.over:
            self._release()
        elif association.full and not association.discarding:
            self._pause()
        elif state == MORE and most is None and self._look_again is None:
            # Not left to poll: where an error is pending, libuv stops watching before all is read.
            self._look_again = self.loop.call_soon(_on_readable, weakref.ref(self))

    def _read_batch(self, most: int | None = None) -> int:
        state, records, arena = self.raw.receive(self.association.room, most)
        for record in records:
            data = arena[record[0] : record[0] + record[1]]
            if record[2] & MSG_NOTIFICATION:
                self._take_notification(data, record[2])
            else:
                self._take_data(data, record)
        return state

    def _take_data(self, data: bytes, record: RawRecord) -> None:
        (_, _, msg_flags, identifier, ppid, tsn, cumulative_tsn, context, stream, ssn, flags, length, raw) = (
            record
        )
        if msg_flags & (NO_INFO | MSG_CTRUNC):
            logger.error("a message came without its stream and PPID; it is given as stream %d", stream)
        self.association.feed(
            Message(
                data,
                stream,
                ntohl(ppid),
                ssn,
                tsn,
                cumulative_tsn,
                flags & UNORDERED != 0,
                context,
                identifier,
                self.raw.source(raw[:length], identifier) if length else None,
                msg_flags & MSG_EOR != 0,
            )
        )

    def _take_notification(self, data: bytes, msg_flags: int) -> None:
        if self._notification or not msg_flags & MSG_EOR:
            self._notification += data
            if not msg_flags & MSG_EOR and len(self._notification) < MOST_NOTIFICATION:
                return
            data = bytes(self._notification)
            self._notification.clear()
        try:
            event = self.raw.codec.decode_event(data)
        except DecodeError as error:
            logger.error("a notification that cannot be read is given as UnknownEvent: %s", error)
            event = UnknownEvent(type=0, flags=0, raw=data)
        self.association.take_event(event)

    def _forget_to_look(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None

    def _pause(self) -> None:
        self._forget_to_look()
        if self._reading:
            self._set_reading(False)
            self.pauses += 1
            # Whoever waits for another stream may now wait for ever: let it see.
            self.association.wake_all()

    def resume(self) -> None:
        """Read again where a full buffer stopped it and there is room now."""
        if not self._reading and self.paused and not self.association.full:
            self._set_reading(True)

    # How it ends

    def _latch(self, code: int) -> None:
        if code == errno.ENOTCONN and not self.association.established:
            return
        self._failure = self._failure or code

    def _alive(self) -> bool:
        """Ask the stack whether the association is still there (EINVAL once it is not)."""
        try:
            self.raw.get_option(Status, self.association.id, None)
        except OSError:
            return False
        return True

    def _failed(self) -> None:
        association = self.association
        if association.lost is None and self._failure not in (0, errno.EPIPE) and self._alive():
            # An error that did not end the association. libuv has stopped watching because of it.
            self._failure = 0
            if self._reading:
                self._set_reading(False)
                self._set_reading(True)
            return
        code = self._failure or self.raw.error()
        association.finish(ended_by(code, association.lost))

    def _inbound_ended(self) -> None:
        """The socket reads as ended: the association is over, or ends when our own data is delivered."""
        association = self.association
        association.inbound_ended()
        if association.over:
            return
        if not self._alive():
            # The event that says so may have come since the socket was read.
            while self._read_batch() == MORE:
                pass
            if association.lost is not None:
                association.finish(ended_by(self._failure or self.raw.error(), association.lost))
            association.finish(EndOfAssociation("the association was shut down"))
        elif self._watch is None:
            self._set_reading(False)
            try:
                self._watch = self.raw.watch_end()
            except OSError:
                # Out of descriptors: look now and then.
                self._look_again = self.loop.call_later(MOST_STALL_PAUSE, _on_readable, weakref.ref(self))
                return
            self.loop.add_reader(self._watch.fileno(), _on_readable, weakref.ref(self))

    def _unwatch(self) -> None:
        """Leave the loop. Before the descriptor is closed: the loop would keep its number for the next."""
        self._forget_to_look()
        if self._watch is not None:
            self.loop.remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        if self.raw.fileno() >= 0:
            self._set_reading(False)
            self._set_writing(False)

    def _release(self) -> None:
        self._unwatch()
        self.raw.close()

    async def close(self) -> None:
        """Shut down gracefully and wait; see `Conn.close`."""
        association = self.association
        if association.over:
            self._release()
            return
        if not self._closing:
            self._closing = True
            association.close_here()
            try:
                self.raw.shutdown()
            except OSError as error:
                self.send_failed(error)
            if self.paused:
                self._set_reading(True)
        try:
            while not self.association.over:
                await association.state_waiters.wait()
        except asyncio.CancelledError:
            self.abort("the association was aborted: its close was cancelled")
            raise
        if isinstance(association.over_by, AssociationError) and not isinstance(
            association.over_by, ClosedError
        ):
            raise copy.copy(association.over_by)

    def abort(self, text: str = "the association was aborted here", cause: bytes = b"") -> None:
        """End the association at once."""
        if self.association.over:
            self._release()
            return
        if cause:
            logger.warning("a one-to-one socket sends its ABORT without the cause %r", cause)
        self._unwatch()
        self.raw.abort()
        self.association.close_here(text)
        self.association.finish(ClosedError(text))

    def detach(self) -> int:
        """Give the descriptor away; the association lives on in it."""
        self._unwatch()
        descriptor = self.raw.detach()
        text = "the association was detached"
        self.association.close_here(text)
        self.association.finish(ClosedError(text))
        return descriptor

    def dispose(self) -> None:
        """Release what a forgotten object held, from whichever thread the collector runs in."""
        if self.raw.fileno() < 0:
            return
        if self.loop.is_closed():
            if self._watch is not None:
                self._watch.close()
                self._watch = None
            self.raw.close()
        elif threading.get_ident() == self._thread:
            self._release()
        else:
            self.loop.call_soon_threadsafe(self._release)

    # Writing

    def _set_writing(self, on: bool) -> None:
        if on is self._writing:
            return
        self._writing = on
        if on:
            self.loop.add_writer(self.raw.fileno(), _on_writable, weakref.ref(self))
        else:
            self.loop.remove_writer(self.raw.fileno())

    def on_writable(self) -> None:
        """Let the first sender try (called by the loop)."""
        self.wakeups += 1
        if not len(self.association.senders):
            self._set_writing(False)
        else:
            self.association.senders.wake()

    async def send(self, attempt: Callable[[], bool], size: int) -> None:
        """Wait for room in turn, and attempt again until it succeeds."""
        association = self.association
        first = False
        try:
            while True:
                if self._stall is None:
                    self._set_writing(True)
                await association.senders.wait(first=first)
                association.check_alive()
                try:
                    sent = attempt()
                except OSError as error:
                    raise self.send_failed(error, size) from None
                if sent:
                    self._stalls = 0
                    return
                first = True
                self._stalled()
        finally:
            if not len(association.senders) and self.raw.fileno() >= 0:
                self._set_writing(False)

    def _stalled(self) -> None:
        """Writable, yet nothing was taken (memory pressure in the stack): look again later, do not spin."""
        self._set_writing(False)
        pause = min(STALL_PAUSE * 2**self._stalls, MOST_STALL_PAUSE)
        self._stalls = min(self._stalls + 1, 10)
        if self._stall is None:
            self._stall = self.loop.call_later(pause, _after_stall, weakref.ref(self))

    def after_stall(self) -> None:
        """Watch for room again."""
        self._stall = None
        if self.raw.fileno() >= 0 and len(self.association.senders):
            self._set_writing(True)

    def send_failed(self, error: OSError, message_size: int = 0) -> Exception:
        """Tell what a failed send means; where it ended the association, all that is queued is read first."""
        association = self.association
        code = error.errno or 0
        if code == errno.EMSGSIZE:
            size = self.raw.get_option(SendBuffer, association.id, None).size
            return MessageTooLargeError(
                f"the message of {message_size} bytes is larger than the send buffer of {size} bytes takes;"
                " set SendBuffer before the association is made"
            )
        if code not in ENDINGS:
            return error
        if code != errno.EPIPE:
            self._latch(code)
        self._read(to_the_end=True)
        if not association.over and not self._alive():
            association.finish(ended_by(code, association.lost))
            self._release()
        if association.end is None and not association.inbound_over:
            return error
        return association.outcome()

    async def flush(self) -> None:
        """Wait until the peer has acknowledged all that was sent before; see `Conn.flush`."""
        association = self.association
        while association.full and not association.over:
            await association.wait_for_input(association.state_waiters)
        # An older answer may be queued: it says nothing of what was sent since.
        self._read(to_the_end=True)
        if association.end is not None:
            raise association.outcome()
        before = association.dry_count
        self._flushing += 1
        try:
            # Subscribing makes the stack answer at once where everything is acknowledged already.
            self.raw.subscribe(SenderDry, False, association.id)
            self.raw.subscribe(SenderDry, True, association.id)
            while association.dry_count == before:
                if association.end is not None:
                    raise association.outcome()
                await association.wait_for_input(association.state_waiters)
        finally:
            self._flushing -= 1
            self.unsubscribe(SenderDry)

    # Events

    def subscribe(self, kind: type[Event]) -> None:
        """Turn an event on; raises OSError where the stack refuses."""
        if self.raw.fileno() >= 0:
            self.raw.subscribe(kind, True, self.association.id)

    def unsubscribe(self, kind: type[Event]) -> None:
        """Turn an event off that nobody wants any more."""
        kept = kind in ALWAYS_SUBSCRIBED or (kind is SenderDry and self._flushing)
        if self.raw.fileno() >= 0 and not kept and not self.association.hub.wanted(kind):
            with contextlib.suppress(OSError):
                self.raw.subscribe(kind, False, self.association.id)


def _on_readable(reference: "weakref.ref[Socket]") -> None:
    sock = reference()
    if sock is not None:
        sock.on_readable()


def _on_writable(reference: "weakref.ref[Socket]") -> None:
    sock = reference()
    if sock is not None:
        sock.on_writable()


def _after_stall(reference: "weakref.ref[Socket]") -> None:
    sock = reference()
    if sock is not None:
        sock.after_stall()


def ended_by(code: int, lost: AssociationChange | None) -> Exception:
    """Say how an association ended, from the socket's error and the event that told of the end."""
    cause = b"" if lost is None else lost.cause
    error = ErrorCause.NO_ERROR if lost is None else lost.error
    if lost is not None and lost.state is AssociationState.CANT_STR_ASSOC:
        code = code or (errno.ECONNREFUSED if lost.info or error else errno.ETIMEDOUT)
        return OSError(code, f"{os.strerror(code)} (the association could not be set up)")
    aborted = code in (errno.ECONNRESET, errno.ECONNABORTED) or error or (lost is not None and lost.info)
    if aborted and code != errno.ETIMEDOUT:
        return AssociationAbortedError(cause, error)
    code = code or errno.ETIMEDOUT
    return AssociationLostError(os.strerror(code), code)
