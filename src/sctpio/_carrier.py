"""What every socket on the loop has: its readers and writers, and batches turned into messages and events.

A carrier is a descriptor that carries one association (`_socket`) or many (`_many`). The rules for both:

- The loop holds a carrier only weakly; `_waiting` keeps the tasks that wait for it.
- One reader callback per descriptor. It takes batches until the socket is empty, a batch's size is reached
  (then other callbacks run first), or unread messages fill a receive buffer (then reading pauses).
- The life of an association comes from its events.
"""

import asyncio
import dataclasses
import logging
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from ._association import Association
from ._codec import MSG_CTRUNC, MSG_EOR, MSG_NOTIFICATION, UNORDERED
from ._pace import MUCH, pace_of
from ._waiting import Waiters, call, sleepers_of
from .address import Address
from .errors import DecodeError
from .events import Event, StreamChange, UnknownEvent
from .message import Message, Received
from .options import ReceiveBuffer
from .stacks.base import MORE, NO_INFO, RECORDS, Outgoing, SendOne, StackSocket

logger = logging.getLogger("sctpio")

# A notification is at most 64 KiB; more without an end is not one.
MOST_NOTIFICATION = 256 * 1024

# Seconds to leave a socket alone that says it is writable and takes nothing, and the most.
STALL_PAUSE = 0.001
MOST_STALL_PAUSE = 0.05

# Bytes of a receive buffer that a batch takes at least: many tiny messages, and what the stack adds to each.
LEAST_BATCH = 32 * 1024

# Any: what is frozen for everybody else is filled here.
new: Callable[[type[Received]], Any] = object.__new__


class Carrier(ABC):
    """A descriptor and the loop that watches it."""

    def __init__(self, raw: StackSocket, loop: asyncio.AbstractEventLoop, batch: int) -> None:
        self.raw = raw
        self.loop = loop
        # Messages and events that one callback takes at most.
        self.batch = batch
        self._pace = pace_of(loop)
        self.wakeups = 0
        self.pauses = 0
        # Tasks that wait until a pause of the reading is over.
        self.resumed = Waiters(loop)
        self.sleepers = sleepers_of(loop)
        self._thread = threading.get_ident()
        # Any: of the subclass.
        self._me: weakref.ref[Any] = weakref.ref(self)
        self.reading = False
        self._writing = False
        self._look_again: asyncio.Handle | None = None
        self._notification = bytearray()
        # Of the last message: as it came, its association, and decoded.
        self._last_source: tuple[bytes, int, Address | None] = (b"", -1, None)

    # The loop

    def _set_reading(self, on: bool) -> None:
        if on is self.reading:
            return
        self.reading = on
        if on:
            self.loop.add_reader(self.raw.fileno(), call, self._me, type(self).on_readable)
        else:
            self.loop.remove_reader(self.raw.fileno())

    def _set_writing(self, on: bool) -> None:
        if on is self._writing:
            return
        self._writing = on
        if on:
            self.loop.add_writer(self.raw.fileno(), call, self._me, type(self).on_writable)
        else:
            self.loop.remove_writer(self.raw.fileno())

    def on_readable(self) -> None:
        """Take what the socket has (called by the loop)."""
        # What it asked for itself comes next turn: one batch in each, not two.
        if self._look_again is None:
            self.wakeups += 1
            self._read()

    def look(self) -> None:
        """Take what the socket has, as was asked for (called by the loop)."""
        self.wakeups += 1
        self._look_again = None
        self._read()

    def _look_soon(self) -> None:
        """Read on when other callbacks have run. Not left to poll: where an error is pending, libuv stops
        watching before all is read."""
        if self._look_again is None:
            self._look_again = self.loop.call_soon(call, self._me, type(self).look)

    def _forget_to_look(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None

    def _pause(self) -> bool:
        """Stop reading; False where it was stopped already."""
        self._forget_to_look()
        if not self.reading:
            return False
        self._set_reading(False)
        self.pauses += 1
        return True

    def _unwatch(self) -> None:
        """Leave the loop. Before the descriptor is closed: the loop would keep its number for the next."""
        self._forget_to_look()
        if self.raw.fileno() >= 0:
            self._set_reading(False)
            self._set_writing(False)

    def dispose(self, release: Callable[[], None]) -> None:
        """Release what a forgotten object held, from whichever thread the collector runs in."""
        if self.raw.fileno() < 0:
            return
        if self.loop.is_closed():
            self.raw.close()
        elif threading.get_ident() == self._thread:
            release()
        else:
            self.loop.call_soon_threadsafe(release)

    # Batches

    def _read_batch(self, room: int, most: int | None = None) -> int:
        """Take what one call gives: runs of messages, and events in their places between them."""
        state, records, arena = self.raw.receive(room, most or self.batch >> self._pace.halvings or 1)
        messages: list[Message] = []
        size, whole = 0, True
        last, last_identifier, address = self._last_source
        for (
            offset,
            length,
            msg_flags,
            identifier,
            ppid,
            tsn,
            cumulative_tsn,
            context,
            stream,
            ssn,
            flags,
            source_length,
            source,
        ) in records:
            data = arena[offset : offset + length]
            if msg_flags != MSG_EOR:
                if msg_flags & MSG_NOTIFICATION:
                    if messages:
                        self._take_messages(messages, size, whole)
                        messages, size, whole = [], 0, True
                    self._take_notification(data, msg_flags, source[:source_length])
                    continue
                if msg_flags & (NO_INFO | MSG_CTRUNC):
                    logger.error(
                        "a message came without its stream and PPID; it is given as stream %d", stream
                    )
                whole = whole and msg_flags & MSG_EOR != 0
            if source != last or identifier != last_identifier:
                address = self.raw.source(source[:source_length], identifier) if source_length else None
                last, last_identifier = source, identifier
            size += length
            message = new(Received)
            message.data = data
            message.stream = stream
            message.ppid = ppid
            message.ssn = ssn
            message.tsn = tsn
            message.cumulative_tsn = cumulative_tsn
            message.unordered = flags & UNORDERED != 0
            message.context = context
            message.association_id = identifier
            message.source = address
            message.complete = msg_flags & MSG_EOR != 0
            message.__class__ = Message
            messages.append(message)
        self._last_source = last, last_identifier, address
        if messages:
            if state == MORE or len(messages) >= MUCH:
                self._pace.much()
            self._take_messages(messages, size, whole)
        return state

    def _read_queued(self, room: int) -> int:
        """Read all that is queued now; no more than the stack can hold, as peers may go on sending."""
        try:
            most = self.raw.get_option(ReceiveBuffer, 0, None).size or 0
        except OSError:
            most = 0
        state = MORE
        for _ in range(2 + most // LEAST_BATCH):
            state = self._read_batch(room, RECORDS)
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
            event = self.raw.codec.decode_event(data)
        except DecodeError as error:
            logger.error("a notification that cannot be read is given as UnknownEvent: %s", error)
            event = UnknownEvent(type=0, flags=0, raw=data)
        self._take_event(event, source)

    def _added(self, event: Event, association: Association) -> Event:
        """Let a StreamChange have the streams that were added, where the stack says how many there are."""
        if not isinstance(event, StreamChange) or not self.raw.codec.platform.stream_totals:
            return event
        return dataclasses.replace(
            event,
            outbound_streams=max(0, event.outbound_streams - association.outbound_streams),
            inbound_streams=max(0, event.inbound_streams - association.inbound_streams),
        )

    @abstractmethod
    def _take_messages(self, messages: list[Message], size: int, whole: bool) -> None:
        """Take messages of `size` bytes in all, in order; some are parts of one, unless all are `whole`."""

    @abstractmethod
    def _take_event(self, event: Event, source: bytes) -> None:
        """Take an event; `source` is the peer's primary address as the stack wrote it."""

    @abstractmethod
    def _read(self) -> None:
        """Take a batch, and decide what comes next."""

    # For an association that it carries (`_link`)

    @abstractmethod
    def on_writable(self) -> None:
        """Let a sender try (called by the loop)."""

    @property
    @abstractmethod
    def paused(self) -> bool:
        """Whether reading waits for room in a receive buffer."""

    @abstractmethod
    def resume(self) -> None:
        """Read again where a full buffer stopped it and there is room now."""

    @abstractmethod
    def read_now(self) -> None:
        """Take what is queued, also where reading is paused."""

    @abstractmethod
    def sender(self, association: Association) -> SendOne:
        """Give what tries to send one message of an association."""

    @abstractmethod
    def check_path(self, association: Association, path: Address) -> None:
        """Raise OSError for a path that would not lead to the peer: EINVAL, or EPIPE where it has ended."""

    @abstractmethod
    def send_batch(self, association: Association, messages: Sequence[Outgoing]) -> int:
        """Try to send messages in order: how many there was room for."""

    @abstractmethod
    def want_room(self, association: Association) -> None:
        """A task waits to send: wake the association's senders when there may be room."""

    @abstractmethod
    def no_room(self, association: Association) -> None:
        """A sender that was woken found no room."""

    @abstractmethod
    def had_room(self, association: Association) -> None:
        """A sender that was woken has sent."""

    @abstractmethod
    def want_no_room(self, association: Association) -> None:
        """No task waits to send any more."""

    @abstractmethod
    def note_failure(self, code: int) -> None:
        """A call gave an errno that may be the association's only word of its end."""

    @abstractmethod
    def shut_down(self, association: Association) -> None:
        """Begin the graceful end; raises OSError."""

    @abstractmethod
    def abort(self, association: Association, cause: bytes) -> bool:
        """End it at once: whether the peer is told the cause."""

    @abstractmethod
    def release(self, association: Association) -> None:
        """Give back what an association that is over held."""

    @abstractmethod
    def forget(self, association: Association) -> None:
        """Nobody has the association any more: end it gracefully, without waiting."""

    @abstractmethod
    def detach(self, association: Association) -> int:
        """Give the descriptor away."""

    @abstractmethod
    def peel_off(self, association: Association) -> "Carrier":
        """Move the association to a carrier of its own."""
