"""The life of one association, as its owner's tasks see it, and how it ended.

An `Association` knows no descriptor. The socket that carries it (`own_socket`, `shared_socket`) feeds it
what the stack received, in order, and reports the steps of its life. The tasks of its owner wait on it and
ask about its state. Rules:

- Its whole life is in `state`, which only `_step` changes, by the table `STEPS`. A step that the table does
  not list for a state changes nothing: the first end stays the end.
- `end` is what later calls raise; it is set before the state that it belongs to. `over_by` is how the stack
  ended the association, for the tasks that wait for that. The two differ after a graceful end begun here.
- Other modules ask (`is_setting_up`, `is_over`, `check_alive`, ...) and report (`up`, `finish`, ...). None of
  them writes these fields.
"""

import asyncio
import copy
import enum
import errno
import os

from ..address import Address
from ..errors import (
    AssociationAbortedError,
    AssociationLostError,
    ClosedError,
    EndOfAssociation,
)
from ..events import (
    AssociationChange,
    AssociationState,
    ErrorCause,
    Event,
    PartialDelivery,
    PeerAddressChange,
    SenderDry,
    ShutdownEvent,
    StreamChange,
    StreamResetFlags,
)
from ..message import Message
from ..stacks.base import StackSocket
from . import journal
from .event_stream import EventHub
from .journal import Logger
from .partials import Partials
from .unread import Unread
from .waiting import Waiters
from .waits import Waits


class State(enum.Enum):
    """Where an association is in its life."""

    SETTING_UP = enum.auto()
    UP = enum.auto()
    # Its owner is to finish: nothing new is waited for, and what it sends is still taken.
    DRAINING = enum.auto()
    # Shut down here: nothing more is sent, and what still comes can be read.
    SHUTTING_DOWN = enum.auto()
    # The peer sends nothing more; what we sent is still being delivered.
    SHUT_DOWN_BY_PEER = enum.auto()
    # Closed here, gracefully: what we sent is still being delivered, what comes in is dropped.
    CLOSING = enum.auto()
    # Ended here, at once. Whatever the stack still holds of it is dropped.
    CUT_OFF = enum.auto()
    # The stack is done with it, and everything that it had received was read from the socket.
    OVER = enum.auto()
    # The stack is done with it, and it was never up.
    FAILED = enum.auto()


# Looked up once here: it is compared with for every message.
UP = State.UP


class Step(enum.Enum):
    """What happens to an association."""

    ESTABLISH = enum.auto()
    PEER_SHUTDOWN = enum.auto()
    DRAIN = enum.auto()
    SHUT_DOWN = enum.auto()
    CLOSE = enum.auto()
    CUT = enum.auto()
    FINISH = enum.auto()


# An ABORT can follow the peer's SHUTDOWN when packets are reordered: an endpoint that has forgotten the
# association answers a late SACK with one (RFC 9260 section 8.4). So an association that the peer has shut
# down counts as ended gracefully, whatever comes after.
STEPS: dict[State, dict[Step, State]] = {
    State.SETTING_UP: {
        Step.ESTABLISH: State.UP,
        Step.PEER_SHUTDOWN: State.SHUT_DOWN_BY_PEER,
        Step.CLOSE: State.CLOSING,
        Step.CUT: State.CUT_OFF,
        Step.FINISH: State.FAILED,
    },
    State.UP: {
        Step.PEER_SHUTDOWN: State.SHUT_DOWN_BY_PEER,
        Step.DRAIN: State.DRAINING,
        Step.SHUT_DOWN: State.SHUTTING_DOWN,
        Step.CLOSE: State.CLOSING,
        Step.CUT: State.CUT_OFF,
        Step.FINISH: State.OVER,
    },
    State.DRAINING: {
        Step.PEER_SHUTDOWN: State.SHUT_DOWN_BY_PEER,
        Step.SHUT_DOWN: State.SHUTTING_DOWN,
        Step.CLOSE: State.CLOSING,
        Step.CUT: State.CUT_OFF,
        Step.FINISH: State.OVER,
    },
    State.SHUTTING_DOWN: {
        Step.CLOSE: State.CLOSING,
        Step.CUT: State.CUT_OFF,
        Step.FINISH: State.OVER,
    },
    State.SHUT_DOWN_BY_PEER: {
        Step.CLOSE: State.CLOSING,
        Step.CUT: State.CUT_OFF,
        Step.FINISH: State.OVER,
    },
    State.CLOSING: {
        Step.CUT: State.CUT_OFF,
        Step.FINISH: State.OVER,
    },
    State.CUT_OFF: {},
    State.OVER: {},
    State.FAILED: {},
}

ENDED = frozenset({State.CUT_OFF, State.OVER, State.FAILED})

# What a call fails with when the association has ended; the first may be the only sign of the end.
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


class Association:
    """The state of one association.

    `unread` holds its unread messages and, if `shared`, those of other associations too. `lost` is the
    event that announced its end, until the socket has acted on it. `ppid` is that of messages sent without
    one. `unconfirmed` are the bytes sent since
    everything was last known to be acknowledged (SENDER_DRY); `dry_wanted` counts those who wait for that
    event. `waits` is None until a message has waited for space.
    """

    __slots__ = (
        "__weakref__",
        "_reconfiguring",
        "bytes_received",
        "bytes_sent",
        "dry_count",
        "dry_wanted",
        "end",
        "hub",
        "id",
        "inbound_streams",
        "log",
        "loop",
        "lost",
        "messages_received",
        "messages_sent",
        "outbound_streams",
        "over_by",
        "partials",
        "peer",
        "ppid",
        "restarts",
        "senders",
        "shared",
        "stack",
        "state",
        "state_waiters",
        "unconfirmed",
        "unread",
        "waits",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        unread: Unread,
        max_message_size: int,
        hub: EventHub,
        shared: bool = False,
        stack: str = "",
        log: Logger = journal.logger,
        ppid: int = 0,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.stack: str = stack
        self.log: Logger = log
        self.state: State = State.SETTING_UP
        self.end: Exception | None = None
        self.over_by: Exception | None = None
        self.lost: AssociationChange | None = None
        self.hub: EventHub = hub
        self.unread: Unread = unread
        self.shared: bool = shared
        self.partials: Partials = Partials(max_message_size)
        self.id: int = 0
        self.peer: Address = Address((), 0)
        self.ppid: int = ppid
        self.outbound_streams: int = 0
        self.inbound_streams: int = 0
        self.dry_count: int = 0
        self.dry_wanted: int = 0
        self.restarts: int = 0
        self.unconfirmed: int = 0
        self.messages_sent: int = 0
        self.bytes_sent: int = 0
        self.messages_received: int = 0
        self.bytes_received: int = 0
        self.state_waiters: Waiters = Waiters(loop)
        self.senders: Waiters = Waiters(loop)
        self.waits: Waits | None = None
        self._reconfiguring: asyncio.Lock | None = None

    # Its life: questions

    @property
    def is_setting_up(self) -> bool:
        """Whether it is not up yet."""
        return self.state is State.SETTING_UP

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and nothing more will come from the stack."""
        return self.state is not UP and self.state in ENDED

    @property
    def is_there(self) -> bool:
        """Whether it is up, or ending gracefully."""
        return self.state is UP or not (self.is_setting_up or self.is_over)

    @property
    def is_inbound_over(self) -> bool:
        """Whether nothing more will come from the peer."""
        return self.state is State.SHUT_DOWN_BY_PEER or self.is_over

    @property
    def is_closing(self) -> bool:
        """Whether a graceful end that was begun here is under way."""
        return self.state is State.CLOSING

    @property
    def is_ending(self) -> bool:
        """Whether a graceful end is under way, whoever began it: it needs nobody any longer."""
        return self.state in (State.SHUTTING_DOWN, State.CLOSING) or self.is_inbound_over

    @property
    def drops_input(self) -> bool:
        """Whether messages that still come are dropped."""
        return self.state is not UP and (self.state is State.CLOSING or self.state is State.CUT_OFF)

    @property
    def was_cut_off(self) -> bool:
        """Whether it was ended here, at once."""
        return self.state is State.CUT_OFF

    def has_ended(self) -> bool:
        """Return whether it has ended; the peer's SHUTDOWN counts as an end."""
        return self.state is not UP and (self.end is not None or self.is_inbound_over)

    def is_read_out(self) -> bool:
        """Return whether nobody is to wait for messages any longer: `check_alive` raises."""
        return self.state is not UP and (self.state is State.DRAINING or self.has_ended())

    def takes_nothing(self) -> bool:
        """Return whether nothing can be sent any longer: `check_sending` raises."""
        return self.state is not UP and (self.state is State.SHUTTING_DOWN or self.has_ended())

    def check_alive(self) -> None:
        """Raise how it ended, for whoever would wait for a message."""
        # The state first: this is asked for with every message, and a call costs more.
        if self.state is not UP and self.is_read_out():
            raise self.outcome()

    def check_sending(self) -> None:
        """Raise how it ended, for whoever would send."""
        if self.state is not UP and self.takes_nothing():
            raise self.outcome()

    def check_here(self) -> None:
        """Raise how it ended, if it has; the peer's SHUTDOWN does not count as an end yet."""
        if self.end is not None:
            raise self.outcome()

    def outcome(self) -> Exception:
        """Return the exception for how it ended: a new copy, as each raise adds to the traceback."""
        if self.end is not None:
            return copy.copy(self.end)
        if self.state is State.DRAINING:
            return EndOfAssociation("the listener is shutting down")
        if self.state is State.SHUTTING_DOWN:
            return ClosedError("the association was shut down here")
        return EndOfAssociation("the peer shut down")

    # Its life: steps

    def _step(self, step: Step, end: Exception | None = None, over_by: Exception | None = None) -> bool:
        """Go to the state that the table lists for a step; return False if it lists none."""
        while True:
            before = self.state
            after = STEPS[before].get(step)
            if after is None:
                return False
            # A signal handler may have taken a step meanwhile. From here on there is no call, so nothing can
            # come between.
            if self.state is before:
                if self.end is None:
                    self.end = end
                self.over_by = over_by
                self.state = after
                return True

    def up(self, identifier: int, outbound: int, inbound: int) -> None:
        """Report that the association is up, with this id and these numbers of streams."""
        self.id = identifier
        self.outbound_streams = outbound
        self.inbound_streams = inbound
        if self._step(Step.ESTABLISH):
            journal.came_up(self)
        self.state_waiters.wake_all()

    def shut_down_by_peer(self) -> None:
        """Report that the peer's SHUTDOWN came: nothing more will come from it."""
        if self._step(Step.PEER_SHUTDOWN):
            self.wake_all()

    def drain(self) -> None:
        """Report that its owner is to finish: readers end when they have read what is there."""
        if self._step(Step.DRAIN):
            self.wake_all()

    def shut_down_here(self) -> bool:
        """Report that its owner shuts it down and reads on; return False if it was ending already."""
        if not self._step(Step.SHUT_DOWN):
            return False
        self.wake_all()
        return True

    def close_here(self, text: str = "the association was closed here") -> None:
        """Report that its owner closes it: readers and senders end now, and input is dropped."""
        if self._step(Step.CLOSE, ClosedError(text)):
            self._drop_input()
            self.wake_all()

    def cut_off(self, end: Exception, *, keep_unread: bool = False) -> None:
        """Report that it was ended here, at once; with `keep_unread`, unread messages stay readable."""
        was_up = self.is_there
        if self._step(Step.CUT, end, end):
            if was_up:
                journal.ended(self, end)
            if keep_unread:
                self.partials.clear()
            else:
                self._drop_input()
            self.hub.end()
            self.wake_all()

    def finish(self, end: Exception) -> None:
        """Report that the stack is done with it; `end` is how it ended."""
        graceful, was_up = self.state is State.SHUT_DOWN_BY_PEER, self.is_there
        if self._step(Step.FINISH, EndOfAssociation("the peer shut down") if graceful else end, end):
            if was_up:
                journal.ended(self, end)
            self.partials.clear()
            self.hub.end()
            self.wake_all()

    def disown(self, text: str) -> None:
        """Report that it belongs to the process from which this one was forked. Wakes nobody."""
        end = ClosedError(text)
        self._step(Step.CUT, end, end)
        # The parent has them.
        self.partials.clear()
        self.unread.clear()

    def _drop_input(self) -> None:
        self.partials.clear()
        if not self.shared:
            self.unread.clear()

    # Waiting

    async def set_up(self) -> None:
        """Wait until the association is up; raises how the attempt ended otherwise."""
        while self.is_setting_up:
            await self.unread.wait(self.state_waiters, lambda: not self.is_setting_up)
        # An association that was up and has ended since can still be read.
        if self.state in (State.FAILED, State.CLOSING, State.CUT_OFF):
            raise self.outcome()

    async def wait_closed(self) -> None:
        """Wait for the end of a close that was begun here; unread messages cannot hold it up."""
        while not self.is_over:
            await self.state_waiters.wait(lambda: self.is_over)

    async def wait_over(self) -> None:
        """Wait until the stack is done with the association.

        Raises ReceiveBufferFullError if unread messages keep that from being seen.
        """
        while not self.is_over:
            await self.unread.wait(self.state_waiters, lambda: self.is_over)

    def wake_all(self) -> None:
        """Wake every waiting task: each checks again whether to wait."""
        self.state_waiters.wake_all()
        self.senders.wake_all()
        self.unread.wake_all()
        self.hub.wake_all()

    # What comes in

    def feed_all(self, messages: list[Message], size: int, whole: bool) -> None:
        """Take messages of `size` bytes together; unless `whole`, some are only parts."""
        partials = self.partials
        if whole and self.state is UP and not partials.open and size <= partials.max_message_size:
            self.messages_received += len(messages)
            self.bytes_received += size
            self.unread.put_all(messages, size)
        else:
            for message in messages:
                self.feed(message)

    def feed(self, part: Message) -> None:
        """Take one message, or a part of one if it is not `complete`."""
        if self.drops_input:
            return
        message = self.partials.join(part, self.unread.limit)
        if message is not None:
            self.messages_received += 1
            self.bytes_received += len(message.data)
            self.unread.put(message)

    def take_event(self, event: Event) -> None:
        """Note what an event says of the association's life, then publish the event."""
        match event:
            case AssociationChange():
                self._change(event)
            case ShutdownEvent():
                self.shut_down_by_peer()
            case PartialDelivery():
                self.partials.drop(event.stream)
            case PeerAddressChange():
                journal.path_changed(self, event)
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
                self.partials.clear()
                if event.state is AssociationState.RESTART:
                    journal.restarted(self)
                    self.restarts += 1
                    self.unconfirmed = 0
                if not self.is_over:
                    self.up(event.association_id, event.outbound_streams, event.inbound_streams)
            case AssociationState.COMM_LOST | AssociationState.CANT_STR_ASSOC:
                self.lost = event
            case AssociationState.SHUTDOWN_COMP:
                self.finish(EndOfAssociation("the association was shut down"))

    def own_unread(self) -> None:
        """Stop sharing an `Unread`: make one of its own, and move its messages there."""
        own = Unread(self.loop, self.unread.limit)
        self.unread.move(self.id, own)
        self.unread, self.shared = own, False

    @property
    def reconfiguring(self) -> asyncio.Lock:
        """The lock that a request to change streams holds until it is answered."""
        if self._reconfiguring is None:
            self._reconfiguring = asyncio.Lock()
        return self._reconfiguring


def ended_by(code: int, lost: AssociationChange | None, peer: Address, raw: StackSocket) -> Exception:
    """Return how an association with `peer` ended, from the socket's error and its last event.

    `raw` is its socket, which says over what it ran.
    """
    cause = b"" if lost is None else lost.cause
    error = ErrorCause.NO_ERROR if lost is None else lost.error
    if lost is not None and lost.state is AssociationState.CANT_STR_ASSOC:
        if code in (errno.ECONNRESET, errno.ENOPROTOOPT):
            # Refused late: the peer accepted our INIT, and refused our COOKIE ECHO. Or refused by a host that
            # has no SCTP (ICMP: protocol unreachable).
            code = errno.ECONNREFUSED
        code = code or (errno.ECONNREFUSED if lost.info or error else errno.ETIMEDOUT)
        how = raw.transport(no_answer=True)
        return OSError(code, f"{os.strerror(code)} (no association with {peer}; {how})")
    aborted = code in (errno.ECONNRESET, errno.ECONNABORTED) or error or (lost is not None and lost.info)
    if aborted and code != errno.ETIMEDOUT:
        return AssociationAbortedError(cause, error)
    if not code:
        # A one-to-many socket has no error, and the event is the same for both.
        code, why = errno.ETIMEDOUT, "the peer does not answer any more, or has aborted without a cause"
    else:
        why = os.strerror(code)
    return AssociationLostError(f"{why} ({raw.transport()})", code)
