"""A socket on the loop: when it is watched, and how batches become messages and events.

A loop socket is a descriptor that carries one association (`own_socket`) or many (`shared_socket`). Rules for
both:

- The loop refers to it only weakly, so that one that was forgotten unclosed is noticed. `waiting` keeps the
  tasks that wait for it alive.
- It has one reader callback. That takes one batch and, if there is more, asks to be called again; other
  callbacks run in between. Reading pauses while unread messages fill a receive buffer.
- The life of an association is known from its events.
- A flag that mirrors what the loop watches changes only after the call that can fail.
"""

import asyncio
import logging
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._abi.contract import MORE, MSG_EOR, RECORDS
from ..address import Address
from ..errors import DecodeError
from ..events import Event, UnknownEvent
from ..message import Message
from ..options import ReceiveBuffer
from ..stacks.base import LARGE, LARGE_SIZE, Batch, Outgoing, SendOne, StackSocket
from ..stacks.native import ARENA, LEAST_ARENA
from .association import Association
from .forks import keep_from_children
from .pace import MUCH, Pace
from .per_loop import of_loop
from .records import decoder, notification
from .waiting import Sleepers, Waiters, call

if TYPE_CHECKING:
    from .._fast import PlainSender

logger = logging.getLogger("sctpio")

# The most that is collected of one notification, in bytes. None is larger than 64 KiB.
MOST_NOTIFICATION = 256 * 1024

# Seconds for which a socket is left alone that polls as writable and takes nothing: at first, and at most.
STALL_PAUSE = 0.001
MOST_STALL_PAUSE = 0.05

# Seconds until the loop is asked again to watch a socket, after the system refused.
WATCH_PAUSE = 0.05

# The most that one batch takes, in bytes.
BATCH_BYTES = 128 * 1024

# The least that a batch takes of the stack's receive buffer, in bytes: tiny messages, with the stack's
# overhead.
LEAST_BATCH = 32 * 1024


class LoopSocket(ABC):
    """A descriptor and the loop that watches it."""

    def __init__(self, raw: StackSocket, loop: asyncio.AbstractEventLoop, batch: int) -> None:
        self.raw = raw
        self.loop = loop
        # The most messages and events that one callback takes.
        self.batch = batch
        self._pace = of_loop(loop, Pace)
        self.wakeups: int = 0
        self.pauses: int = 0
        # Tasks that wait until reading goes on after a pause.
        self.resumed: Waiters = Waiters(loop)
        self.sleepers: Sleepers = of_loop(loop, Sleepers)
        # Typed as Any because it refers to the subclass.
        self._me: weakref.ref[Any] = weakref.ref(self)
        self.reading: bool = False
        self._writing = False
        self._look_again: asyncio.Handle | None = None
        self._notification = bytearray()
        self._decoder = decoder(raw.source)
        keep_from_children(self)

    # The loop

    def _set_reading(self, on: bool) -> None:
        if on is self.reading:
            return
        if on:
            self._watch_for(self.loop.add_reader, type(self).on_readable)
        else:
            self.loop.remove_reader(self.raw.fileno())
        self.reading = on

    def _set_writing(self, on: bool) -> None:
        if on is self._writing:
            return
        if on:
            self._watch_for(self.loop.add_writer, type(self).on_writable)
        else:
            self.loop.remove_writer(self.raw.fileno())
        self._writing = on

    def _watch_for(self, add: Callable[..., None], method: Callable[[Any], None]) -> None:
        loop, fd = self.loop, self.raw.fileno()
        try:
            add(fd, call, self._me, method)
        except RuntimeError:
            # A pending error makes uvloop call both callbacks once and close its watcher. That stays in the
            # way of a new one until both callbacks are removed.
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            if self.reading:
                loop.add_reader(fd, call, self._me, type(self).on_readable)
            if self._writing:
                loop.add_writer(fd, call, self._me, type(self).on_writable)
            add(fd, call, self._me, method)

    def on_readable(self) -> None:
        """Take one batch (called by the loop when the socket is readable)."""
        # If `look` is scheduled, it takes this turn's batch: one batch in each turn, not two.
        if self._look_again is None:
            self.wakeups += 1
            self._read()

    def look(self) -> None:
        """Take one batch, as `_look_soon` has scheduled (called by the loop)."""
        self.wakeups += 1
        self._look_again = None
        self._read()

    def _look_soon(self) -> None:
        """Read another batch after other callbacks have run.

        Polling would not do: while an error is pending, libuv stops watching before everything is read.
        """
        if self._look_again is None:
            self._look_again = self.loop.call_soon(call, self._me, type(self).look)

    def _forget_to_look(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None

    def _read_again(self) -> None:
        """Watch the socket again: now or, if the system refuses, a little later."""
        try:
            self._set_reading(True)
        except OSError as error:
            logger.warning("a socket cannot be watched, and is tried again in %g s: %s", WATCH_PAUSE, error)
            if self._look_again is None:
                self._look_again = self.loop.call_later(WATCH_PAUSE, call, self._me, type(self).watch_later)

    def watch_later(self) -> None:
        """Watch the socket again, after the system refused (called by the loop)."""
        self._look_again = None
        self.resume()

    def _pause(self) -> bool:
        """Pause reading; return False if it was paused already."""
        self._forget_to_look()
        if not self.reading:
            return False
        self._set_reading(False)
        self.pauses += 1
        return True

    def _unwatch(self) -> None:
        """Leave the loop. Do so before closing: the next descriptor may get the same number."""
        self._forget_to_look()
        if self.raw.fileno() >= 0:
            self._set_reading(False)
            self._set_writing(False)

    def dispose(self, release: Callable[[], None]) -> None:
        """Release what a forgotten object held (called in any thread, by a finalizer); see `give_back`."""
        if self.raw.fileno() >= 0:
            give_back(self.loop, self.raw, release)

    @abstractmethod
    def disown(self, text: str) -> None:
        """Close a forked child's copy of the descriptor; see `forks`."""

    # Batches

    def _read_batch(self, space: int, most: int | None = None, batch: Batch | None = None) -> int:
        """Take one batch, which may have been received, and return the state after it.

        Events keep their places among the messages.
        """
        most = most or self.batch >> self._pace.halvings or 1
        while True:
            state, count, records, arena = batch or self.raw.receive(space, most)
            batch, done = None, 0
            while done < count:
                messages, size, whole, lacking, done = self._decoder.messages(records, done, count, arena)
                if messages:
                    if state in (MORE, LARGE) or len(messages) >= MUCH:
                        self._pace.much()
                    if size >= LARGE_SIZE:
                        self.raw.has_large = True
                    if lacking:
                        logger.error(
                            "a message came without its stream and PPID, %d of %d", lacking, len(messages)
                        )
                    self._take_messages(messages, size, whole)
                if done < count:
                    self._take_notification(*notification(records, done, arena))
                    done += 1
            if state != LARGE:
                return state
            # All together is to be no more than an arena takes.
            space, most = min(space, ARENA) - len(arena), most - 1
            if space < LEAST_ARENA or not most or self.raw.fileno() < 0:
                return MORE

    def _read_queued(self) -> int:
        """Read all that is queued now, whatever space there is for it, but no more than the stack can hold:
        peers may keep sending.
        """
        try:
            most = self.raw.get_option(ReceiveBuffer, 0, None).size or 0
        except OSError:
            most = 0
        state = MORE
        for _ in range(2 + most // LEAST_BATCH):
            state = self._read_batch(BATCH_BYTES, RECORDS)
            if state != MORE:
                break
        return state

    def _take_notification(self, data: bytes, msg_flags: int, source: bytes) -> None:
        ended = msg_flags & MSG_EOR
        if self._notification or not ended:
            self._notification += data
            if not ended and len(self._notification) < MOST_NOTIFICATION:
                return
            data = bytes(self._notification)
            self._notification.clear()
        try:
            event = self.raw.decode_event(data)
        except DecodeError as error:
            logger.error("a notification that cannot be read is given as UnknownEvent: %s", error)
            event = UnknownEvent(type=0, flags=0, raw=data)
        self._take_event(event, source)

    @abstractmethod
    def _take_messages(self, messages: list[Message], size: int, whole: bool) -> None:
        """Take messages of `size` bytes together, in order; unless `whole`, some are only parts."""

    @abstractmethod
    def _take_event(self, event: Event, source: bytes) -> None:
        """Take an event; `source` is the peer's primary address, as the stack's bytes."""

    @abstractmethod
    def _read(self) -> None:
        """Take one batch, and decide whether to read on, to pause or to end."""

    # On behalf of one association (called by `link`, `sending` and `reading`)

    @abstractmethod
    def on_writable(self) -> None:
        """Wake a sender, which tries again (called by the loop)."""

    @property
    @abstractmethod
    def paused(self) -> bool:
        """Whether reading waits for space in a receive buffer."""

    @abstractmethod
    def resume(self) -> None:
        """End a pause, if the full buffer that caused it has space now."""

    @abstractmethod
    def read_now(self) -> None:
        """Take all that is queued, even while reading is paused."""

    @abstractmethod
    def sender(self, association: Association) -> SendOne:
        """Return the function that tries to send one message of an association."""

    def plain(self, association: Association) -> "PlainSender | None":
        """Return what sends ordinary messages in C; None where there is no such."""
        return None

    @abstractmethod
    def check_path(self, association: Association, path: Address) -> None:
        """Raise OSError unless the path leads to the peer: EINVAL, or EPIPE if the association has ended."""

    @abstractmethod
    def send_batch(self, association: Association, messages: Sequence[Outgoing], bundle: bool) -> int:
        """Try to send messages in order; return how many of them there was space for."""

    @abstractmethod
    def want_space(self, association: Association) -> None:
        """Note that a task waits to send: the association's senders are woken when there may be space."""

    @abstractmethod
    def no_space(self, association: Association) -> None:
        """Note that a sender that was woken found no space."""

    @abstractmethod
    def had_space(self, association: Association) -> None:
        """Note that a sender that was woken has sent."""

    @abstractmethod
    def want_no_space(self, association: Association) -> None:
        """Note that no task waits to send any longer."""

    @abstractmethod
    def note_failure(self, code: int) -> None:
        """Note an errno that may be the only sign of the association's end."""

    @abstractmethod
    def shut_down(self, association: Association) -> None:
        """Begin the graceful end (SHUTDOWN); raises OSError."""

    @abstractmethod
    def abort(self, association: Association, cause: bytes) -> bool:
        """End it at once (ABORT); return whether the ABORT carries the cause."""

    @abstractmethod
    def release(self, association: Association) -> None:
        """Release what an association that is over still holds."""

    @abstractmethod
    def forget(self, association: Association) -> None:
        """End an association that was forgotten unclosed: gracefully, without waiting."""

    @abstractmethod
    def detach(self, association: Association) -> int:
        """Hand over the descriptor: return it, and stop using it."""

    @abstractmethod
    def end_apart(self, association: Association) -> "LoopSocket":
        """Return a socket on which a closing association is seen to end whatever the others do."""

    @abstractmethod
    def peel_off(self, association: Association) -> "LoopSocket":
        """Move the association to a socket of its own, and return that."""


def give_back(loop: asyncio.AbstractEventLoop, raw: StackSocket, release: Callable[[], None]) -> None:
    """Let the loop release what a finalizer found; the garbage collector may run it in any thread.

    It is never released at once while the loop runs: a finalizer can run between any two bytecodes of what
    the loop is doing. If the loop is closed before its turn comes, the raw socket is dropped with the
    callback, and closes its descriptor.
    """
    if loop.is_closed():
        raw.close()
        return
    try:
        if loop.is_running():
            loop.call_soon_threadsafe(release)
        else:
            release()
    except RuntimeError:
        # The loop was closed just now.
        raw.close()
