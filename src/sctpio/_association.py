"""One association as its owner's tasks see it: parts joined to messages, its life, how it ended.

It knows no descriptor: a carrier (`_socket`, `_many`) feeds it what the stack received.
"""

import asyncio
import copy

from ._events import EventHub
from ._intake import Intake
from ._waiting import Waiters
from .address import Address
from .errors import ClosedError, EndOfAssociation, MessageTooLargeError
from .events import (
    AssociationChange,
    AssociationState,
    Event,
    PartialDelivery,
    SenderDry,
    ShutdownEvent,
    StreamChange,
    StreamResetFlags,
)
from .message import Message


class Partial:
    """A message of which more is to come."""

    __slots__ = ("data", "head")

    def __init__(self, head: Message) -> None:
        self.head = head
        # One buffer and no list of parts: how small those are is the peer's choice.
        self.data = bytearray()


class Association:
    """The state of one association.

    `end` is how it ended, for every later call; `over` tells that the stack is done with it, `over_by` how;
    `inbound_over` that the peer will send nothing more. `intake` holds what is unread; where `shared`, that
    of other associations too. `unconfirmed` are bytes sent since the peer last had acknowledged everything.
    """

    __slots__ = (
        "__weakref__",
        "_partial_bytes",
        "_partials",
        "_reconfiguring",
        "bytes_received",
        "bytes_sent",
        "closing",
        "default_policy",
        "discarding",
        "dry_count",
        "dry_wanted",
        "end",
        "established",
        "hub",
        "id",
        "inbound_over",
        "inbound_streams",
        "intake",
        "loop",
        "lost",
        "max_message_size",
        "messages_received",
        "messages_sent",
        "outbound_streams",
        "over",
        "over_by",
        "peer",
        "restarts",
        "senders",
        "shared",
        "shut_down_by_peer",
        "state_waiters",
        "unconfirmed",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        intake: Intake,
        max_message_size: int,
        hub: EventHub,
        shared: bool = False,
    ) -> None:
        self.loop = loop
        self.hub = hub
        self.intake = intake
        self.shared = shared
        self.max_message_size = max_message_size
        self.id = 0
        self.peer = Address((), 0)
        self.outbound_streams = 0
        self.inbound_streams = 0
        self.established = False
        self.end: Exception | None = None
        self.over = False
        self.over_by: Exception | None = None
        self.inbound_over = False
        self.shut_down_by_peer = False
        self.closing = False
        self.discarding = False
        self.dry_count = 0
        self.restarts = 0
        self.dry_wanted = 0
        self.unconfirmed = 0
        self.messages_sent = 0
        self.bytes_sent = 0
        self.messages_received = 0
        self.bytes_received = 0
        self.lost: AssociationChange | None = None
        self.state_waiters = Waiters(loop)
        self.senders = Waiters(loop)
        self.default_policy: tuple[int, int] | None = None
        self._partials: dict[tuple[int, bool], Partial] = {}
        self._partial_bytes = 0
        self._reconfiguring: asyncio.Lock | None = None

    # What comes in

    def feed_all(self, messages: list[Message], size: int, whole: bool) -> None:
        """Take messages of `size` bytes in all; some are parts of one, unless all are `whole`."""
        if not whole or self._partials or size > self.max_message_size or self.discarding:
            for message in messages:
                self.feed(message)
            return
        self.messages_received += len(messages)
        self.bytes_received += size
        self.intake.put_all(messages, size)

    def feed(self, message: Message) -> None:
        """Take a message, or a part of one (`complete` False: more will come)."""
        if self.discarding:
            return
        size = len(message.data)
        if not self._partials and message.complete and size <= self.max_message_size:
            self._deliver(message)
            return
        key = (message.stream, message.unordered)
        partial = self._partials.get(key)
        if size + (len(partial.data) if partial is not None else 0) > self.max_message_size:
            raise MessageTooLargeError(
                f"a message of stream {message.stream} is larger than max_message_size,"
                f" {self.max_message_size} bytes"
            )
        if partial is None and message.complete:
            self._deliver(message)
            return
        # With I-DATA every stream can have one under way.
        most = self.max_message_size + self.intake.limit
        if self._partial_bytes + size > most:
            raise MessageTooLargeError(
                f"messages of {len(self._partials)} streams, not yet whole, are larger than max_message_size"
                f" and the receive buffer together, {most} bytes"
            )
        if partial is None:
            partial = self._partials[key] = Partial(message)
        partial.data += message.data
        self._partial_bytes += size
        if message.complete:
            self._forget_partial(key)
            self._deliver(_joined(partial, message))

    def _deliver(self, message: Message) -> None:
        self.messages_received += 1
        self.bytes_received += len(message.data)
        self.intake.put(message)

    @property
    def has_partial(self) -> bool:
        """Whether a part of a message came, and not yet the rest."""
        return bool(self._partials)

    def take_event(self, event: Event) -> None:
        """Follow the association's life, then hand the event on."""
        match event:
            case AssociationChange():
                self._change(event)
            case ShutdownEvent():
                self.shut_down_by_peer = True
                self.inbound_ended()
            case PartialDelivery():
                self._drop_partial(event.stream)
            case StreamChange() if not event.flags & (StreamResetFlags.DENIED | StreamResetFlags.FAILED):
                self.outbound_streams += event.outbound_streams
                self.inbound_streams += event.inbound_streams
            case SenderDry():
                self.dry_count += 1
                self.unconfirmed = 0
                self.state_waiters.wake_all()
        self.hub.publish(event)

    def _change(self, event: AssociationChange) -> None:
        match event.state:
            case AssociationState.COMM_UP | AssociationState.RESTART:
                self._forget_partials()
                if event.state is AssociationState.RESTART:
                    self.restarts += 1
                    self.unconfirmed = 0
                if not self.over:
                    self.up(event.association_id, event.outbound_streams, event.inbound_streams)
            case AssociationState.COMM_LOST | AssociationState.CANT_STR_ASSOC:
                self.lost = event
            case AssociationState.SHUTDOWN_COMP:
                self.finish(EndOfAssociation("the association was shut down"))

    def own_intake(self) -> None:
        """From here on, unread messages are the association's own; those in the shared intake move along."""
        intake = Intake(self.loop, self.intake.limit)
        self.intake.move(self.id, intake)
        self.intake, self.shared = intake, False

    def up(self, identifier: int, outbound: int, inbound: int) -> None:
        """The association exists."""
        self.id = identifier
        self.outbound_streams = outbound
        self.inbound_streams = inbound
        self.established = True
        self.state_waiters.wake_all()

    async def set_up(self) -> None:
        """Wait until the association exists; raises why it does not."""
        while not self.established:
            self.check_alive()
            await self.wait_for_input(self.state_waiters)

    def _drop_partial(self, stream: int) -> None:
        """Forget a broken-off message. Without I-DATA the event names no stream, but only one can be open."""
        only = len(self._partials) <= 1
        for key in [key for key in self._partials if only or key[0] == stream]:
            self._forget_partial(key)

    def _forget_partial(self, key: tuple[int, bool]) -> None:
        self._partial_bytes -= len(self._partials.pop(key).data)

    def _forget_partials(self) -> None:
        self._partials.clear()
        self._partial_bytes = 0

    @property
    def reconfiguring(self) -> asyncio.Lock:
        """Held while a request to change streams is under way."""
        if self._reconfiguring is None:
            self._reconfiguring = asyncio.Lock()
        return self._reconfiguring

    async def wait_for_input(self, waiters: Waiters) -> None:
        """Suspend until something came in; see `Intake.wait`. The intake can change meanwhile."""
        await self.intake.wait(waiters)

    # How it ends

    def inbound_ended(self) -> None:
        """The peer sends nothing more (its SHUTDOWN came)."""
        if not self.inbound_over:
            self.inbound_over = True
            self.wake_all()

    def finish(self, end: Exception) -> None:
        """The stack is done with the association. The first end given stays.

        So does the peer's SHUTDOWN: an ABORT can follow it where packets change places (who has forgotten the
        association answers a late SACK with one, RFC 9260 section 8.4). `over_by` tells `close` of it.
        """
        if self.over:
            return
        if self.end is None:
            self.end = EndOfAssociation("the peer shut down") if self.shut_down_by_peer else end
        self.over_by = end
        self.over = self.inbound_over = True
        self._forget_partials()
        self.hub.end()
        self.wake_all()

    def close_here(self, text: str = "the association was closed here") -> None:
        """The owner closes: readers and senders end now, what comes in is dropped."""
        if self.end is None:
            self.end = ClosedError(text)
        self.discarding = True
        self._forget_partials()
        if not self.shared:
            self.intake.clear()
        self.wake_all()

    def check_here(self) -> None:
        """Raise how the association ended, if it did; it may still be in its graceful end by the peer."""
        if self.end is not None:
            raise self.outcome()

    async def wait_over(self) -> None:
        """Wait until the stack is done with the association."""
        while not self.over:
            await self.wait_for_input(self.state_waiters)

    def wake_all(self) -> None:
        """Every waiting task looks again."""
        self.state_waiters.wake_all()
        self.senders.wake_all()
        self.intake.wake_all()
        self.hub.wake_all()

    def outcome(self) -> Exception:
        """Give a fresh copy of how the association ended: each raise has its own traceback."""
        return copy.copy(self.end) if self.end is not None else EndOfAssociation("the peer shut down")

    def check_alive(self) -> None:
        """Raise how the association ended, if it did."""
        if self.end is not None or self.inbound_over:
            raise self.outcome()


def _joined(partial: Partial, last: Message) -> Message:
    head = partial.head
    return Message(
        data=bytes(partial.data),
        stream=head.stream,
        ppid=head.ppid,
        ssn=head.ssn,
        tsn=head.tsn,
        cumulative_tsn=last.cumulative_tsn,
        unordered=head.unordered,
        context=head.context,
        association_id=head.association_id,
        source=head.source,
    )
