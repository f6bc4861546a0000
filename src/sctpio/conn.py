"""One association: `Conn`, and `connect`.

A `Conn` ends in one of these ways, and every later call says which: `EndOfAssociation` (the peer shut
down), `AssociationAbortedError`, `AssociationLostError`, `ClosedError` (closed here).
"""

import errno
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Self, TypeVar, overload

from ._codec import UNORDERED
from ._events import EventStream, open_events
from ._intake import Inbox
from ._link import Link
from ._opening import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Opening, Settings
from ._outgoing import check_numbers, payload, policy_in_stack
from ._reconfig import add_streams, reset_association, reset_streams
from ._resolve import resolve
from .address import Address, AddressLike, split_like
from .errors import EndOfAssociation, StreamOutOfRangeError
from .events import Event, EventsDropped
from .message import Message
from .options import (
    AsconfSupported,
    InitMsg,
    Option,
    PeerAddressInfo,
    PeerPrimaryAddress,
    PrimaryAddress,
    Status,
)
from .stacks.base import RECORDS, Buffer, Head, Outgoing, SendExtras, StackSocket
from .statistics import Statistics
from .stream import Stream

T = TypeVar("T", bound=Option)
E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Event)
G = TypeVar("G", bound=Event)

__all__ = ["Conn", "connect"]

# Messages of one sendmmsg, and messages larger than this go one by one: a batch copies its payload.
BATCH = 64
BATCH_BYTES = 16 * 1024


class Conn:
    """One association on a socket of its own; made by `connect` and by a `Listener`.

    `async for message in conn` gives messages until the peer shuts down. Leaving `async with` closes it:
    gracefully, or at once where an exception leaves the block.
    """

    def __init__(self, link: Link, local: Address | None) -> None:
        self._link = link
        self._association = link.association
        self._local = local

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<sctpio.Conn {state} association={self.association_id} peer={self._association.peer}>"

    def __del__(self) -> None:
        link = getattr(self, "_link", None)
        if link is not None and not link.association.over:
            # What the peer has shut down ends by itself: whether it has yet is a matter of timing.
            if not link.association.inbound_over:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            link.forget()

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
    ) -> "Opening[Conn]":
        """Take over a one-to-one socket with its association: `conn = await Conn.from_fd(descriptor)`.

        It may come from `detach`, another process (`socket.recv_fds`) or another library. The rest is as
        for `connect`. Raises ValueError for a descriptor of another kind, OSError where it cannot be used;
        it then stays the caller's.
        """
        settings = Settings.check(None, (), events, stack, receive_buffer, max_message_size, receive_batch)
        return Opening(partial(_adopt, descriptor, settings))

    # Sending

    async def send(
        self,
        data: Buffer,
        *,
        stream: int = 0,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: float | None = None,
        max_retransmissions: int | None = None,
        priority: int | None = None,
        context: int = 0,
        path: AddressLike | None = None,
        sack_immediately: bool = False,
        auth_key: int | None = None,
    ) -> None:
        """Send one message, waiting while the association's send buffer is full (RFC 6458 3.1.3).

        `ppid` is the number that a packet dissector shows. `lifetime` (seconds), `max_retransmissions` or
        `priority` (at most one of them) let the stack give the message up (RFC 3758, RFC 7496). `context`
        comes back in a SendFailed event. `path` is the peer's address to send to, else the primary one.
        `auth_key` is the number of the shared key to authenticate with (RFC 4895); it has no effect where
        the peer does not want DATA authenticated (`PeerAuthChunks` tells).

        Returns when the stack has taken the message. A cancelled send has sent nothing.

        Raises ValueError for an empty message (RFC 9260 has none) or a number out of range,
        StreamOutOfRangeError, MessageTooLargeError, OSError (EOPNOTSUPP) for what the stack cannot do, or how
        the association ended.
        """
        link = self._link
        sent = None
        if (
            lifetime is None
            and max_retransmissions is None
            and priority is None
            and path is None
            and auth_key is None
            and not sack_immediately
        ):
            sent = link.send_plain(data, stream, ppid, unordered, context)
            if sent:
                return
        arguments = link.prepare(
            data,
            stream,
            ppid,
            unordered,
            lifetime,
            max_retransmissions,
            priority,
            context,
            path,
            sack_immediately,
            auth_key,
        )
        if sent is False or not link.send_now(arguments):
            await link.send_in_turn(arguments)

    async def send_many(
        self, messages: Iterable[Buffer | Message], *, stream: int = 0, ppid: int = 0, unordered: bool = False
    ) -> None:
        """Send messages in order, many with one system call (sendmmsg).

        An item is the bytes of a message, sent with `stream`, `ppid` and `unordered`, or a `Message`, whose
        own `stream`, `ppid`, `unordered` and `context` count. Waits as `send` does, and raises what it
        raises; the messages before the one that failed, or that a cancellation met, are sent.
        """
        self._association.check_alive()
        head = Head(stream, UNORDERED if unordered else 0, ppid, 0)
        self._check_head(head)
        pending: list[Outgoing] = []
        size = 0
        try:
            for item in messages:
                outgoing = (item, head) if type(item) is bytes and item else self._outgoing(item, head)
                added = len(outgoing[0])
                if pending and (len(pending) == BATCH or size + added > BATCH_BYTES):
                    batch, pending, size = pending, [], 0
                    await self._send_batch(batch)
                pending.append(outgoing)
                size += added
        except Exception:
            # What precedes the item that failed is sent.
            await self._send_batch(pending)
            raise
        await self._send_batch(pending)

    def _outgoing(self, item: Buffer | Message, head: Head) -> Outgoing:
        if not isinstance(item, Message):
            return payload(item), head
        own = Head(item.stream, UNORDERED if item.unordered else 0, item.ppid, item.context)
        self._check_head(own)
        return payload(item.data), own

    def _check_head(self, head: Head) -> None:
        check_numbers(head.stream, head.ppid, head.context, self._association.outbound_streams)

    async def _send_batch(self, messages: Sequence[Outgoing]) -> None:
        association = self._association
        while messages:
            association.check_alive()
            taken = 0
            if len(messages) > 1 and not association.senders.queue and not association.default_policy:
                taken = self._link.send_batch(messages)
            if not taken:
                # One message waits for room; the rest follows as a batch.
                extras = SendExtras(*association.default_policy) if association.default_policy else None
                data, head = messages[0]
                await self._link.send((association.id, data, *head, extras))
                taken = 1
            messages = messages[taken:]

    async def flush(self) -> None:
        """Wait until the peer has acknowledged everything that was sent (SCTP_SENDER_DRY_EVENT).

        Cancelling it changes nothing. Raises how the association ended if that comes first,
        ConnectionResetError where the peer restarts meanwhile (the association lives on, what was sent is
        lost), and ReceiveBufferFullError where unread messages keep the answer from being read.
        """
        self._check_open()
        await self._link.flush()

    # Receiving

    async def receive(self) -> Message:
        """Give the next message of all streams that no `Stream` has claimed; wait for it.

        Cancelling loses nothing. What was received before an end is given first, then: EndOfAssociation
        after the peer's graceful shutdown, else how the association ended. ReceiveBufferFullError when
        claimed streams' unread messages fill the buffer, so that none could ever come.
        """
        inbox = self._association.intake.inbox
        while not inbox.messages:
            await self._more(inbox)
        return self._take(inbox)

    async def receive_many(self, limit: int | None = None) -> list[Message]:
        """Give all messages that are buffered, at most `limit`; wait until there is one. As `receive`."""
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit!r}; it takes a number from 1, or None")
        inbox = self._association.intake.inbox
        while not inbox.messages:
            await self._more(inbox)
        messages = self._association.intake.take_all(inbox, limit)
        if not self._link.carrier.reading:
            self._link.carrier.resume()
        return messages

    def _more(self, inbox: Inbox) -> Coroutine[Any, Any, None]:
        """Give what waits until there may be something in an inbox; raises how the association ended."""
        association = self._association
        if association.end is not None or association.inbound_over:
            raise association.outcome()
        intake = association.intake
        if intake.unread_bytes >= intake.limit:
            return intake.wait(inbox.waiters, inbox)
        return inbox.waiters.wait()

    def _take(self, inbox: Inbox) -> Message:
        """Give the oldest message of an inbox."""
        message = self._association.intake.take(inbox)
        if not self._link.carrier.reading:
            self._link.carrier.resume()
        return message

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        # What `receive` does, without a call for it: this is done for every message.
        inbox = self._association.intake.inbox
        while not inbox.messages:
            try:
                await self._more(inbox)
            except EndOfAssociation:
                raise StopAsyncIteration from None
        message = self._association.intake.take(inbox)
        if not self._link.carrier.reading:
            self._link.carrier.resume()
        return message

    def stream(self, sid: int, *, ppid: int = 0) -> "Stream":
        """Give stream `sid` of both directions as one object; `ppid` is what it sends with by default.

        Raises StreamOutOfRangeError for a number that neither direction has.
        """
        limit = max(self.outbound_streams, self.inbound_streams)
        if isinstance(sid, bool) or not isinstance(sid, int) or not 0 <= sid < limit:
            raise StreamOutOfRangeError(sid, limit)
        return Stream(self, sid, ppid)

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
        """Subscribe events of these types and iterate over them.

        Without a type, every event comes but SenderDry (name it: it comes each time that all is
        acknowledged).

        The subscription holds from this call on; the first iterator also gets what the constructor's
        `events=` kept. It ends with the association, however that ends. Raises OSError where the stack
        refuses a type that was named.
        """
        link, association = self._link, self._association
        return open_events(
            self._raw,
            association.hub,
            types,
            owner=self,
            subscribe=link.subscribe,
            unsubscribe=link.unsubscribe,
            wait=association.wait_for_input,
        )

    # Ending

    async def close(self) -> None:
        """Shut down gracefully (RFC 9260 9.2) and wait for it: everything sent is delivered first.

        Tasks that wait in receive or send get ClosedError; messages not read are dropped. Closing again,
        or after the association ended, does nothing. Cancelling it aborts, closes and re-raises. Raises
        AssociationError where the association fails before all was delivered.
        """
        await self._link.close()

    async def abort(self, cause: bytes = b"") -> None:
        """End the association at once with an ABORT (RFC 9260 9.1); unsent data is lost. Does not wait.

        `cause` is for the peer; the kernel's one-to-one sockets have no way to carry it (sendmsg refuses
        SCTP_ABORT there), so they send the ABORT without it, and that is logged.
        """
        self._link.abort(cause=cause)

    async def peel_off(self) -> "Conn":
        """Move the association of a one-to-many socket to a socket of its own, and give this `Conn` again.

        Nothing is lost or reordered; tasks that wait, claimed streams and subscribed events go on. The
        socket that it came from knows it no more (RFC 6458 section 9.2). Does not wait.

        Raises RuntimeError where it has a socket of its own already, OSError (EMFILE and the like), or how
        the association ended.
        """
        self._check_open()
        self._link.peel_off()
        return self

    async def wait_closed(self) -> None:
        """Wait until the association has ended, however. Cancelling changes nothing.

        Raises ReceiveBufferFullError where unread messages keep the end from being seen.
        """
        association = self._association
        while not association.over:
            await association.wait_for_input(association.state_waiters)

    @property
    def is_closed(self) -> bool:
        """Whether the association has ended, here or at the peer."""
        return self._association.over

    def fileno(self) -> int:
        """Give the descriptor, -1 once the association has ended. One-to-many associations share theirs."""
        return -1 if self._association.over else self._raw.fileno()

    def detach(self) -> int:
        """Give the descriptor, with its association, to the caller, and forget it.

        The caller closes it. Raises RuntimeError where received messages would be lost: read them first.
        """
        self._check_open()
        unread, _ = self._association.intake.unread()
        if unread:
            raise RuntimeError(f"{unread} received messages would be lost by detaching: read them first")
        if self._association.has_partial:
            raise RuntimeError("a message of which more is to come would be lost by detaching: read it first")
        return self._link.detach()

    # Knowing

    def get_option(self, kind: type[T] | T, *, path: AddressLike | None = None) -> T:
        """Read a typed option of the association: `conn.get_option(RtoInfo)`.

        An option that is asked about a stream or a policy is read by a value that names it:
        `conn.get_option(StreamSchedulerValue(3))`. `path` is the peer's address that a per-path option is
        asked about; without it PeerAddressInfo means the primary path. Raises OSError, or how the
        association ended.
        """
        self._check_open()
        return self._link.get_option(kind, path)

    def set_option(self, value: Option) -> None:
        """Write a typed option of the association: `conn.set_option(RtoInfo(initial=0.5))`.

        A field that is None stays as it is. Raises OSError, or how the association ended.
        """
        self._check_open()
        self._link.set_option(value)

    def status(self) -> Status:
        """Read the state of the association (SCTP_STATUS)."""
        return self.get_option(Status)

    def path(self, address: AddressLike) -> PeerAddressInfo:
        """Read the state of the path to one address of the peer (SCTP_GET_PEER_ADDR_INFO)."""
        return self.get_option(PeerAddressInfo, path=address)

    def statistics(self) -> Statistics:
        """Count what this `Conn` has done; works also when the association has ended."""
        carrier, association = self._link.carrier, self._association
        unread_messages, unread_bytes = association.intake.unread()
        return Statistics(
            messages_sent=association.messages_sent,
            bytes_sent=association.bytes_sent,
            messages_received=association.messages_received,
            bytes_received=association.bytes_received,
            unread_messages=unread_messages,
            unread_bytes=unread_bytes,
            reading_paused=carrier.paused,
            pauses=carrier.pauses,
            waiting_senders=len(association.senders),
            wakeups=carrier.wakeups,
        )

    @property
    def association_id(self) -> int:
        """The stack's number of the association (sctp_assoc_t)."""
        return self._association.id

    @property
    def outbound_streams(self) -> int:
        """How many streams can be sent on, as negotiated."""
        return self._association.outbound_streams

    @property
    def inbound_streams(self) -> int:
        """How many streams the peer can send on, as negotiated."""
        return self._association.inbound_streams

    @property
    def local_addresses(self) -> Address:
        """The local port and addresses of the association; the last known once it has ended."""
        self._refresh_addresses()
        if self._local is None:
            raise self._association.outcome()
        return self._local

    @property
    def peer_addresses(self) -> Address:
        """The peer's port and addresses; the last known once the association has ended."""
        self._refresh_addresses()
        return self._association.peer

    @property
    def primary_path(self) -> Address:
        """The peer's address that is sent to by default."""
        return self.get_option(PeerAddressInfo).address

    # Changing streams

    async def add_streams(self, *, outbound: int = 0, inbound: int = 0) -> None:
        """Add streams to the association (RFC 6525 6.3.4): `inbound` ones are asked of the peer.

        Both ends need `ReconfigSupported` before the association, and `EnableStreamReset(add_streams=True)`;
        `outbound_streams` and `inbound_streams` then tell the new numbers. Requests go one after another.
        Cancelling it stops the waiting, not the request. Raises ReconfigurationError where the peer denies
        it, ValueError for a number out of range, OSError (ENOPROTOOPT where it is not enabled), or how the
        association ended.
        """
        self._check_open()
        await add_streams(self._link, outbound, inbound)

    async def reset_streams(self, *streams: int, outgoing: bool = True, incoming: bool = False) -> None:
        """Restart the sequence numbers of streams (RFC 6525 6.3.2), of all where none is named.

        What was sent on them is acknowledged first: send nothing on them meanwhile. `incoming` asks the peer
        to reset its own. Both ends need `ReconfigSupported` before the association, and
        `EnableStreamReset(reset_streams=True)`. The rest is as for `add_streams`.
        """
        self._check_open()
        await reset_streams(self._link, streams, outgoing=outgoing, incoming=incoming)

    async def reset_association(self) -> None:
        """Restart the TSNs of both ends and the sequence numbers of all streams (RFC 6525 6.3.3).

        It needs `EnableStreamReset(reset_association=True)`; the rest is as for `reset_streams`. On usrsctp
        it raises OSError (EOPNOTSUPP): that stack can be asked, and cannot ask.
        """
        self._check_open()
        await reset_association(self._link)

    # Changing addresses

    def set_primary(self, path: AddressLike) -> None:
        """Send to this address of the peer by default from now on (SCTP_PRIMARY_ADDR, RFC 6458 8.1.9).

        Raises OSError (EINVAL) for an address that is not the peer's.
        """
        self.set_option(PrimaryAddress(self._link.path(path)))

    def add_local_address(self, address: AddressLike) -> None:
        """Give the association another local address, and tell the peer (ASCONF, RFC 5061).

        The peer confirms it in its own time: it sees a PeerAddressChange. Raises OSError: EADDRNOTAVAIL for
        an address that the host does not have, EINVAL on a socket bound to the wildcard, EOPNOTSUPP where
        one end is without `AsconfSupported` and `AuthSupported`.
        """
        local = self._local_address(address)
        self._check_asconf(f"{local} cannot be added")
        self._raw.bind(local)

    def remove_local_address(self, address: AddressLike) -> None:
        """Take a local address from the association, and tell the peer (ASCONF, RFC 5061).

        Raises OSError: EBUSY for the last one, EINVAL for one that it does not have, EOPNOTSUPP as
        `add_local_address`.
        """
        local = self._local_address(address)
        self._check_asconf(f"{local} cannot be removed")
        self._raw.unbind(local)

    def set_peer_primary(self, address: AddressLike) -> None:
        """Ask the peer to send to this local address by default (RFC 5061 section 4.2.4).

        The peer sees a PeerAddressChange. Raises OSError as `add_local_address`.
        """
        local = self._local_address(address)
        self._check_asconf(f"the peer cannot be asked to prefer {local}")
        self.set_option(PeerPrimaryAddress(local))

    def _local_address(self, address: AddressLike) -> Address:
        """One local host, with the association's port."""
        local = address if isinstance(address, Address) else Address(*split_like(address))
        port = self.local_addresses.port
        if len(local.hosts) != 1 or local.port not in (0, port):
            raise ValueError(
                f"{str(local)!r} is not a local address; it takes one host, and port {port} or 0"
            )
        return Address(local.hosts, port)

    def _check_asconf(self, what: str) -> None:
        if not self.get_option(AsconfSupported).enabled:
            raise OSError(
                errno.EOPNOTSUPP,
                f"{what}: both ends need AsconfSupported() and AuthSupported() before the association",
            )

    def _refresh_addresses(self) -> None:
        raw, identifier = self._raw, self._association.id
        if self._association.over or raw.fileno() < 0:
            return
        try:
            self._local = raw.local_addresses(identifier)
            self._association.peer = raw.peer_addresses(identifier)
        except OSError:
            # It has ended, and the event that tells is still to be read.
            return

    @property
    def _raw(self) -> StackSocket:
        return self._link.carrier.raw

    def _check_open(self) -> None:
        if self._association.end is not None:
            raise self._association.outcome()


def connect(
    remote: AddressLike,
    *,
    local: AddressLike | None = None,
    init: InitMsg | None = None,
    options: Iterable[Option] = (),
    events: Iterable[type[Event]] = (),
    stack: str | None = None,
    receive_buffer: int = RECEIVE_BUFFER,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_batch: int = RECORDS,
) -> Opening[Conn]:
    """Set up an association with a peer: `conn = await connect("10.0.0.1/10.1.0.1:2904")`, or `async with`.

    All hosts of `remote` are the peer's (sctp_connectx). `local` are the addresses and the port to bind,
    else the kernel's choice. `options` are set, and `events` subscribed, before the first packet; those
    events are kept for the first `conn.events()`. `receive_buffer` is how many bytes may be unread before
    reading pauses, `max_message_size` the largest message taken; both in bytes. `receive_batch` is how many
    messages are taken at most before other callbacks of the loop run; fewer while its turns are long.

    Cancelling it closes the socket and stops the INITs; how long to try is the caller's `asyncio.timeout`,
    or InitMsg. Raises OSError: ConnectionRefusedError, TimeoutError, EADDRINUSE and the like; ValueError for
    an address that cannot be read; UnavailableError without SCTP.
    """
    split_like(remote)
    if local is not None:
        split_like(local)
    settings = Settings.check(init, options, events, stack, receive_buffer, max_message_size, receive_batch)
    return Opening(partial(_connect, remote, local, settings))


async def _connect(remote: AddressLike, local: AddressLike | None, settings: Settings) -> Conn:
    bound = None if local is None else (await resolve(local))[0]
    candidates = await resolve(remote)
    for candidate in candidates[:-1]:
        try:
            return await _connect_to(candidate, bound, settings)
        except OSError:
            continue
    return await _connect_to(candidates[-1], bound, settings)


async def _connect_to(remote: Address, local: Address | None, settings: Settings) -> Conn:
    raw = settings.stack.open(remote, *(() if local is None else (local,)))
    try:
        settings.apply(raw)
        if local is not None:
            raw.bind(local)
        sock = settings.new_socket(raw)
        sock.association.peer = remote
        sock.association.id = raw.connect(remote)
    except BaseException:
        raw.close()
        raise
    link = Link(sock.association, sock)
    try:
        sock.start()
        await sock.association.set_up()
    except BaseException:
        link.abort()
        raise
    return Conn(link, _known_local(raw, local))


async def _adopt(descriptor: int, settings: Settings) -> Conn:
    raw = settings.stack.adopt(descriptor)
    settings.apply(raw)
    sock = settings.new_socket(raw)
    sock.association.peer = raw.peer_addresses(0)
    status = raw.get_option(Status, 0, None)
    sock.association.up(status.association_id, status.outbound_streams, status.inbound_streams)
    sock.association.default_policy = policy_in_stack(raw, 0)
    conn = Conn(Link(sock.association, sock), _known_local(raw, None))
    sock.start()
    return conn


def _known_local(raw: StackSocket, local: Address | None) -> Address | None:
    if raw.fileno() < 0:
        return local
    try:
        return raw.local_addresses(0)
    except OSError:
        return local
