"""One association: `Conn`.

A `Conn` ends in one of four ways, and every later call raises that way: `EndOfAssociation` (the peer shut it
down), `AssociationAbortedError` (the peer aborted it), `AssociationLostError` (the peer no longer answers) or
`ClosedError` (closed or aborted here). The class checks arguments and states what the methods promise; the
work is done in `_loop`.
"""

import warnings
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any, Self, TypeVar, overload

from ._abi.contract import RECORDS, UNORDERED
from ._loop.event_stream import EventStream, open_events
from ._loop.homing import known_local
from ._loop.journal import Logger
from ._loop.link import Link
from ._loop.opening import Opening
from ._loop.reading import reader_of
from ._loop.reconfig import add_streams, reset_association, reset_streams
from ._loop.settings import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Settings
from ._loop.time_limits import CLOSE_TIMEOUT, check_timeout
from .address import Address, AddressLike
from .errors import EndOfAssociation, StreamOutOfRangeError
from .events import Event, EventsDropped
from .message import Message
from .options import (
    Option,
    PeerAddressInfo,
    PeerPrimaryAddress,
    PrimaryAddress,
    Status,
)
from .stacks.base import Buffer, Head
from .statistics import Snapshot, Statistics
from .stream import Stream

T = TypeVar("T", bound=Option)
E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Event)
G = TypeVar("G", bound=Event)

__all__ = ["Conn"]


class Conn:
    """One association, made by `connect`, by a `Listener`, or by peeling one off.

    `async for message in conn` yields messages until the peer shuts the association down. Leaving `async
    with` closes it gracefully, or aborts it if an exception leaves the block.
    """

    def __init__(self, link: Link, local: Address | None) -> None:
        self._link = link
        self._association = link.association
        self._sender = link.sender
        self._reader = reader_of(link.association)
        self._local = local

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<sctpio.Conn {state} association={self.association_id} peer={self._association.peer}>"

    def __del__(self) -> None:
        link = getattr(self, "_link", None)
        if link is None or link.association.is_over:
            return
        # An association that is being shut down ends by itself: whether it already has is a matter of timing.
        unclosed = not link.association.is_ending
        # Before the warning, which may be turned into an exception.
        link.forget()
        if unclosed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if exc_info[0] is None:
            await self.close()
        else:
            await self.abort()

    @classmethod
    def from_fd(
        cls,
        descriptor: int,
        *,
        events: Iterable[type[Event]] = (),
        stack: str | None = None,
        receive_buffer: int = RECEIVE_BUFFER,
        max_message_size: int = MAX_MESSAGE_SIZE,
        receive_batch: int = RECORDS,
        logger: Logger | None = None,
        ppid: int = 0,
    ) -> "Opening[Conn]":
        """Take over a one-to-one socket with its association: `conn = await Conn.from_fd(descriptor)`.

        The descriptor may come from `detach`, from another process (`socket.recv_fds`) or from another
        library. The other arguments are as for `connect`. Raises ValueError for another kind of descriptor,
        and OSError if it cannot be used; the descriptor then still belongs to the caller.
        """
        settings = Settings.check(
            events=events,
            stack=stack,
            receive_buffer=receive_buffer,
            max_message_size=max_message_size,
            receive_batch=receive_batch,
            logger=logger,
            ppid=ppid,
        )
        return Opening("Conn.from_fd", partial(_adopt, descriptor, settings))

    # Sending

    async def send(
        self,
        data: Buffer,
        *,
        stream: int = 0,
        ppid: int | None = None,
        unordered: bool = False,
        lifetime: float | None = None,
        max_retransmissions: int | None = None,
        priority: int | None = None,
        context: int = 0,
        path: AddressLike | None = None,
        sack_immediately: bool = False,
        auth_key: int | None = None,
    ) -> None:
        """Send one message; wait while the send buffer is full (RFC 6458 3.1.3) or the peer has no space.

        `ppid` is the number that a packet dissector shows, such as `Ppid.NGAP`; None means that of `connect`
        or `listen`. At most one of `lifetime` (seconds),
        `max_retransmissions` and `priority` lets the stack abandon the message (RFC 3758, RFC 7496).
        `context` comes back in a SendFailed event. `path` is the address of the peer to send to, instead of
        the primary one. `sack_immediately` asks the peer to acknowledge without delay (RFC 7053).
        `auth_key` is the number of the shared key to authenticate with (RFC 4895); it has no effect unless
        the peer requires DATA to be authenticated (see `PeerAuthChunks`).

        Returns when the stack has taken the message; a bytearray can then be changed. A cancelled send has
        sent nothing.

        Raises ValueError for an empty message (RFC 9260 has none) or a number out of range,
        StreamOutOfRangeError, MessageTooLargeError, OSError (EOPNOTSUPP) for what the stack cannot do, or how
        the association ended.
        """
        sender = self._sender
        if ppid is None:
            ppid = sender.association.ppid
        sent = None
        if (
            lifetime is None
            and max_retransmissions is None
            and priority is None
            and path is None
            and auth_key is None
            and not sack_immediately
        ):
            sent = sender.send_plain(data, stream, ppid, unordered, context)
            if sent:
                return
        arguments = sender.prepare(
            data,
            stream=stream,
            ppid=ppid,
            unordered=unordered,
            lifetime=lifetime,
            max_retransmissions=max_retransmissions,
            priority=priority,
            context=context,
            path=path,
            sack_immediately=sack_immediately,
            auth_key=auth_key,
        )
        if sent is False or not sender.send_now(arguments):
            await sender.send_in_turn(arguments)

    async def send_many(
        self,
        messages: Iterable[Buffer | Message],
        *,
        stream: int = 0,
        ppid: int | None = None,
        unordered: bool = False,
        bundle: bool = True,
    ) -> None:
        """Send messages in order, many of them with one system call (sendmmsg) and in one packet.

        An item is the bytes of a message, sent with `stream`, `ppid` and `unordered`, or a `Message`, sent
        with its own `stream`, `ppid`, `unordered` and `context`. Waits as `send` does, and raises what it
        raises. After an error or a cancellation, the messages before that point are sent and no others.

        Small messages share packets (RFC 9260 section 6.10), and none of them waits for a packet to fill
        once this returns, fails or is cancelled. With `bundle` False each begins a packet of its own, unless
        `NoDelay` is off or the association may not send at once.
        """
        if ppid is None:
            ppid = self._association.ppid
        await self._sender.send_many(messages, Head(stream, UNORDERED if unordered else 0, ppid, 0), bundle)

    async def flush(self) -> None:
        """Wait until the peer has acknowledged everything that was sent (SCTP_SENDER_DRY_EVENT).

        Cancelling it changes nothing. Raises how the association ended if that comes first;
        ConnectionResetError if the peer restarts meanwhile (the association lives on, what was sent is lost);
        ReceiveBufferFullError if unread messages keep the answer from being read.
        """
        self._check_open()
        await self._link.flush()

    # Receiving

    async def receive(self) -> Message:
        """Wait for the next message on any stream that no `Stream` has claimed, and return it.

        Cancelling loses no message. When the association has ended, messages received before that are
        returned first; then it raises EndOfAssociation after a graceful shutdown by the peer, or how else
        the association ended. Raises ReceiveBufferFullError if unread messages of claimed streams fill the
        buffer, so that no other message could ever come.
        """
        reader = self._reader
        first = False
        while not reader.inbox.messages:
            await reader.more(first)
            first = True
        return reader.take(self._link.socket)

    async def receive_many(self, limit: int | None = None) -> list[Message]:
        """Wait until there is a message, then return all there are, at most `limit`.

        Cancelling and errors are as for `receive`.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit!r}; it takes a number from 1, or None")
        reader = self._reader
        first = False
        while not reader.inbox.messages:
            await reader.more(first)
            first = True
        return reader.take_all(self._link.socket, limit)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        reader = self._reader
        first = False
        while not reader.inbox.messages:
            try:
                await reader.more(first)
            except EndOfAssociation:
                raise StopAsyncIteration from None
            first = True
        return reader.take(self._link.socket)

    def stream(self, sid: int, *, ppid: int | None = None) -> "Stream":
        """Return stream number `sid`, both directions as one object; it sends with `ppid` by default.

        None means that of `connect` or `listen`.

        Raises StreamOutOfRangeError if neither direction has a stream of that number.
        """
        limit = max(self.outbound_streams, self.inbound_streams)
        if isinstance(sid, bool) or not isinstance(sid, int) or not 0 <= sid < limit:
            raise StreamOutOfRangeError(sid, limit)
        return Stream(self._link, sid, self._association.ppid if ppid is None else ppid, owner=self)

    # Events

    @overload
    def events(self) -> EventStream[Event]: ...
    @overload
    def events(self, first: type[E], /) -> EventStream[E | EventsDropped]: ...
    @overload
    def events(self, first: type[E], second: type[F], /) -> EventStream[E | F | EventsDropped]: ...
    @overload
    def events(
        self, first: type[E], second: type[F], third: type[G], /
    ) -> EventStream[E | F | G | EventsDropped]: ...
    @overload
    def events(self, *types: type[Event]) -> EventStream[Event]: ...
    def events(self, *types: type[Event]) -> EventStream[Any]:
        """Subscribe events of these types, and return an iterator over them (RFC 6458 section 6).

        Without types, it yields every event except SenderDry, which comes each time that everything is
        acknowledged and has to be named.

        The subscription begins with this call, not with the first iteration; the first iterator also gets the
        events that the constructor's `events=` kept. It ends when the association has ended, in whatever way.
        Raises OSError if the stack refuses a type that was named.
        """
        return open_events(self._link, types, owner=self)

    # Ending

    async def close(self, *, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Shut down gracefully (RFC 9260 9.2): wait until everything that was sent is delivered.

        Tasks that wait in `receive` or `send` get ClosedError, and unread messages are dropped; `shutdown`
        leaves them to be read. If the peer has not acknowledged everything within `timeout` seconds (None: no
        limit), the association is aborted, and AssociationLostError says so. Leaving `async with` closes with
        the default limit.

        Closing again, or after the association has ended, does nothing. Cancelling it aborts the association
        and re-raises. Raises AssociationError if the association fails before everything was delivered.
        """
        check_timeout(timeout)
        await self._link.close(timeout)

    async def shutdown(self) -> None:
        """Begin the graceful end (RFC 9260 9.2), and leave what the peer still sends to be read.

        Nothing more can be sent: that raises ClosedError. What was sent is delivered, `receive` and `async
        for` go on with what comes until the association has ended, and `wait_closed` waits for that. Does not
        wait. If a graceful end is under way, or the association has ended, it does nothing.
        """
        self._link.shut_down()

    async def abort(self, cause: bytes = b"") -> None:
        """End the association at once with an ABORT (RFC 9260 9.1), without waiting; unsent data is lost.

        `cause` is sent to the peer. The kernel's one-to-one sockets cannot send it (sendmsg refuses
        SCTP_ABORT on them): the ABORT then goes without it, and a warning is logged.
        """
        self._link.abort(cause=cause)

    def abort_nowait(self, cause: bytes = b"") -> None:
        """Do the same as `abort`, from code that cannot await: a callback of the loop.

        A signal handler may be one (`loop.add_signal_handler`). Handlers of the signal module run in the
        middle of what the loop does: they use `loop.call_soon_threadsafe(conn.abort_nowait)`.
        """
        self._link.abort(cause=cause)

    async def peel_off(self) -> "Conn":
        """Move the association from its one-to-many socket to one of its own, and return this same `Conn`.

        No message is lost or reordered. Waiting tasks, claimed streams and subscriptions carry on. The
        association no longer belongs to the socket that it came from (RFC 6458 section 9.2). Does not wait.

        Raises RuntimeError if it has a socket of its own already, OSError (such as EMFILE), or how the
        association ended.
        """
        self._check_open()
        self._link.peel_off()
        return self

    async def wait_closed(self) -> None:
        """Wait until the association has ended, in whatever way. Cancelling it changes nothing.

        Raises ReceiveBufferFullError if unread messages keep the end from being seen.
        """
        await self._association.wait_over()

    @property
    def is_closed(self) -> bool:
        """Whether the association has ended, in whatever way."""
        return self._association.is_over

    @property
    def end(self) -> Exception | None:
        """How the association has ended, as the exception that calls raise; None while it lives.

        It is an `AssociationEnded`, and a new copy each time. A peer's shutdown is an end from when it is
        seen, EndOfAssociation: what was received before can still be read, and `is_closed` follows when the
        shutdown is complete. After `close` or `abort` here it is ClosedError.
        """
        return self._association.outcome() if self._association.has_ended() else None

    def fileno(self) -> int:
        """Return the descriptor, -1 once the association has ended; one-to-many associations share theirs."""
        return -1 if self._association.is_over else self._link.raw.fileno()

    def detach(self) -> int:
        """Hand over the descriptor, with the association in it, to the caller, who has to close it.

        This `Conn` is closed then. The events that it had subscribed are switched off: a plain reader gets
        messages and nothing else (on the kernel; a descriptor of usrsctp cannot be read). One that was peeled
        off never reads as ended then, unless its reader subscribes SCTP_ASSOC_CHANGE.

        Raises RuntimeError if received messages would be lost (read them first) or the descriptor carries
        other associations too (peel it off first), or how the association ended.
        """
        self._check_open()
        unread, _ = self._association.unread.count()
        if unread:
            raise RuntimeError(f"{unread} received messages would be lost by detaching: read them first")
        if self._association.partials:
            raise RuntimeError("a message of which more is to come would be lost by detaching: read it first")
        return self._link.detach()

    # Options and statistics

    def get_option(self, kind: type[T] | T, *, path: AddressLike | None = None) -> T:
        """Read an option of the association, by its type: `conn.get_option(RtoInfo)`.

        An option of one stream or one policy is read by a value that names it:
        `conn.get_option(StreamSchedulerValue(3))`. `path` is the peer's address, for an option of one path;
        without it, PeerAddressInfo is that of the primary path. Raises OSError (ENOPROTOOPT if the stack
        lacks the option), or how the association ended.
        """
        self._check_open()
        return self._link.get_option(kind, path)

    def set_option(self, value: Option) -> None:
        """Set an option of the association, by a value: `conn.set_option(RtoInfo(initial=0.5))`.

        Fields that are None stay as they are. Raises ValueError for one that would have no effect, OSError
        (ENOPROTOOPT if the stack lacks the option), or how the association ended.
        """
        self._check_open()
        self._link.set_option(value)

    def status(self) -> Status:
        """Read the state of the association (SCTP_STATUS)."""
        return self.get_option(Status)

    def path(self, address: AddressLike) -> PeerAddressInfo:
        """Read the state of the path to one address of the peer (SCTP_GET_PEER_ADDR_INFO)."""
        return self.get_option(PeerAddressInfo, path=address)

    def paths(self) -> tuple[PeerAddressInfo, ...]:
        """Read the state of every path: one for each address of the peer, the first one given first."""
        self._refresh_addresses()
        peer = self._association.peer
        return tuple(self.path(Address((host,), peer.port)) for host in peer.hosts)

    def snapshot(self) -> Snapshot:
        """Return everything that is known of the association now; this works after it has ended, too."""
        association = self._association
        status: Status | None = None
        paths: tuple[PeerAddressInfo, ...] = ()
        try:
            if not association.is_over:
                status, paths = self.status(), self.paths()
        except (OSError, EOFError):
            # It ends just now.
            status, paths = None, ()
        primary = None if status is None else status.primary
        end = None if not association.is_over else str(association.outcome())
        counts = self.statistics()
        return Snapshot(
            association_id=association.id,
            stack=self.stack,
            state=None if status is None else status.state,
            end=end,
            local=self._local,
            peer=association.peer,
            outbound_streams=association.outbound_streams,
            inbound_streams=association.inbound_streams,
            rwnd=None if status is None else status.rwnd,
            unacknowledged=None if status is None else status.unacknowledged,
            pending=None if status is None else status.pending,
            primary=None if primary is None else primary.address,
            cwnd=None if primary is None else primary.cwnd,
            srtt=None if primary is None else primary.srtt,
            rto=None if primary is None else primary.rto,
            paths=paths,
            **{name: getattr(counts, name) for name in Statistics.__match_args__},
        )

    def statistics(self) -> Statistics:
        """Return counts of what this `Conn` has done; this works after the association has ended, too."""
        socket, association = self._link.socket, self._association
        unread_messages, unread_bytes = association.unread.count()
        waits = association.waits
        return Statistics(
            messages_sent=association.messages_sent,
            bytes_sent=association.bytes_sent,
            messages_received=association.messages_received,
            bytes_received=association.bytes_received,
            unread_messages=unread_messages,
            unread_bytes=unread_bytes,
            reading_paused=socket.paused,
            pauses=socket.pauses,
            waiting_senders=len(association.senders),
            send_wait_p50=None if waits is None else waits.percentile(50),
            send_wait_p99=None if waits is None else waits.percentile(99),
            send_wait_oldest=0.0 if waits is None else waits.oldest(),
            wakeups=socket.wakeups,
        )

    @property
    def stack(self) -> str:
        """Which stack carries it, "kernel" or "usrsctp"."""
        return self._link.raw.stack

    @property
    def association_id(self) -> int:
        """The stack's number of the association (sctp_assoc_t)."""
        return self._association.id

    @property
    def outbound_streams(self) -> int:
        """How many streams can be sent on, as the ends have negotiated."""
        return self._association.outbound_streams

    @property
    def inbound_streams(self) -> int:
        """How many streams the peer can send on, as the ends have negotiated."""
        return self._association.inbound_streams

    @property
    def local_addresses(self) -> Address:
        """The local port and addresses of the association; the last known ones once it has ended."""
        self._refresh_addresses()
        if self._local is None:
            raise self._association.outcome()
        return self._local

    @property
    def peer_addresses(self) -> Address:
        """The peer's port and addresses; the last known ones once the association has ended."""
        self._refresh_addresses()
        return self._association.peer

    @property
    def primary_path(self) -> Address:
        """The address of the peer that messages are sent to by default; raises as `get_option` does."""
        return self.get_option(PeerAddressInfo).address

    # Changing streams

    async def add_streams(self, *, outbound: int = 0, inbound: int = 0) -> None:
        """Add streams to the association (RFC 6525 6.3.4), and wait for the peer's answer.

        `outbound` streams are added here; the peer is asked to add `inbound` ones. Both ends need
        `ReconfigSupported` before the association is made, and `EnableStreamReset(add_streams=True)`. The
        properties `outbound_streams` and `inbound_streams` then have the new numbers. Requests are made one
        at a time. Cancelling it stops the waiting, not the request.

        Raises ReconfigurationError if the peer denies it, ValueError for a number out of range, OSError
        (ENOPROTOOPT if it is not enabled), or how the association ended.
        """
        self._check_open()
        await add_streams(self._link, outbound, inbound)

    async def reset_streams(self, *streams: int, outgoing: bool = True, incoming: bool = False) -> None:
        """Restart the sequence numbers of these streams, or of all if none is named (RFC 6525 6.3.2).

        Everything sent on them is acknowledged first, so send nothing on them meanwhile. `incoming` asks the
        peer to reset its own outbound streams. Both ends need `ReconfigSupported` before the association is
        made, and `EnableStreamReset(reset_streams=True)`. Waiting, cancelling and errors are as for
        `add_streams`.
        """
        self._check_open()
        await reset_streams(self._link, streams, outgoing=outgoing, incoming=incoming)

    async def reset_association(self) -> None:
        """Restart the TSNs of both ends and the sequence numbers of all streams (RFC 6525 6.3.3).

        It needs `EnableStreamReset(reset_association=True)`; the rest is as for `reset_streams`. On usrsctp
        it raises OSError (EOPNOTSUPP): that stack can answer such a request, but not make one.
        """
        self._check_open()
        await reset_association(self._link)

    # Changing addresses

    def set_primary(self, path: AddressLike) -> None:
        """Make this address of the peer the one to send to by default (SCTP_PRIMARY_ADDR, RFC 6458 8.1.9).

        Raises OSError (EINVAL) for an address that is not the peer's, or how the association ended.
        """
        self.set_option(PrimaryAddress(self._link.path(path)))

    def add_local_address(self, address: AddressLike) -> None:
        """Add a local address to the association, and inform the peer (ASCONF, RFC 5061).

        Does not wait: the peer confirms it in its own time, and sees a PeerAddressChange. Raises OSError:
        EADDRNOTAVAIL for an address that this host does not have, EINVAL on a socket that is bound to the
        wildcard, EOPNOTSUPP unless both ends have `AsconfSupported` and `AuthSupported`.
        """
        self._check_open()
        self._link.change_local_address(self._link.raw.bind, address, "{} cannot be added")

    def remove_local_address(self, address: AddressLike) -> None:
        """Remove a local address from the association, and inform the peer (ASCONF, RFC 5061).

        Does not wait. Raises OSError: EBUSY for the last address, EINVAL for one that the association does
        not have, EOPNOTSUPP as `add_local_address` does.
        """
        self._check_open()
        self._link.change_local_address(self._link.raw.unbind, address, "{} cannot be removed")

    def set_peer_primary(self, address: AddressLike) -> None:
        """Ask the peer to send to this local address by default (RFC 5061 section 4.2.4).

        Does not wait: the peer sees a PeerAddressChange. Raises OSError as `add_local_address` does.
        """
        self._check_open()
        self._link.change_local_address(
            lambda local: self.set_option(PeerPrimaryAddress(local)),
            address,
            "the peer cannot be asked to prefer {}",
        )

    def _refresh_addresses(self) -> None:
        raw, identifier = self._link.raw, self._association.id
        if self._association.is_over or raw.fileno() < 0:
            return
        try:
            self._local = raw.local_addresses(identifier)
            self._association.peer = raw.peer_addresses(identifier)
        except OSError:
            # The association has ended, and the event that says so is yet to be read.
            return

    def _check_open(self) -> None:
        self._association.check_here()


async def _adopt(descriptor: int, settings: Settings) -> Conn:
    raw = settings.stack.adopt(descriptor)
    sock = settings.new_socket(raw)
    association = sock.association
    try:
        settings.apply(raw)
        association.peer = raw.peer_addresses(0)
        status = raw.get_option(Status, 0, None)
        association.up(status.association_id, status.outbound_streams, status.inbound_streams)
        local = known_local(raw, None)
        sock.start()
    except BaseException:
        # It stays the caller's.
        sock.detach(association)
        raise
    return Conn(Link(association, sock), local)
