"""Messages to and from any number of associations over one socket, as with UDP: `open_endpoint`."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, Unpack

from ._abi.contract import RECORDS
from ._local_endpoint import BACKLOG, LocalEndpoint, connect_any, open_bound, share
from ._loop import journal
from ._loop.event_stream import EventHub, EventStream
from ._loop.journal import Logger
from ._loop.link import Link
from ._loop.opening import Opening
from ._loop.reading import Reader
from ._loop.resolve import resolve_remote
from ._loop.sending import SendOptions
from ._loop.settings import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Settings
from ._loop.shared_socket import SharedSocket
from ._loop.time_limits import CLOSE_TIMEOUT, CONNECT_TIMEOUT, check_timeout
from ._loop.unread import Unread
from ._loop.waiting import Waiters
from .address import Address, AddressLike, split_like
from .conn import Conn
from .errors import AssociationEnded, ClosedError
from .events import Event
from .message import Message
from .options import InitMsg, Option, Scope
from .stacks.base import Buffer

__all__ = ["Endpoint", "open_endpoint"]

# The most addresses whose association is remembered between sends.
MOST_REMEMBERED = 4096


class Endpoint(LocalEndpoint):
    """A one-to-many socket (RFC 6458 section 3), made by `open_endpoint`.

    `receive` returns the messages of all associations, in the order of their arrival; `send` takes an
    address or the id of an association. Associations come up when peers begin them, or when something is
    sent. Leaving `async with` shuts all of them down gracefully, or aborts them if an exception leaves the
    block.
    """

    def __init__(
        self, shared: SharedSocket, settings: Settings, local: Address, hub: EventHub, unread: Unread
    ) -> None:
        super().__init__(shared, settings, local, hub)
        self._unread = unread
        self._reader = Reader(shared, unread, unread.inbox)
        self._known: dict[Address, Link] = {}

    async def __aexit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None:
            for link in list(self._shared.members.values()):
                link.abort()
        await self.close()

    # Messages

    async def receive(self) -> Message:
        """Wait for the next message of any association, and return it.

        `message.association_id` and `message.source` say where it came from. Cancelling loses no message.
        Raises ClosedError when the endpoint is closed. Here the end of an association is an event, not an
        error.
        """
        reader = self._reader
        first = False
        while not reader.inbox.messages:
            await reader.more(first)
            first = True
        return reader.take(self._shared)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except ClosedError:
            raise StopAsyncIteration from None

    async def send(
        self,
        data: Buffer,
        *,
        to: AddressLike | int,
        stream: int = 0,
        ppid: int | None = None,
        **options: Unpack[SendOptions],
    ) -> None:
        """Send one message to an address, or to the association with an id; the rest is as for `Conn.send`.

        If there is no association with the address, it sets one up first, and waits for that as `connect`
        does. A cancelled send has sent nothing.

        Raises AssociationError if no association has the id, and what `connect` and `Conn.send` raise. A
        message that the stack took and could not deliver comes back as a SendFailed event.
        """
        self._check(Scope.FUTURE)
        if isinstance(to, int):
            await self._shared.member(to).sender.send(data, stream=stream, ppid=ppid, **options)
            return
        link = await self._link_to(to)
        message = link.sender.prepare(data, stream=stream, ppid=ppid, **options)
        try:
            sent = link.sender.send_now(message)
        except AssociationEnded:
            if not link.association.is_over:
                raise
            # The association had ended, and this send was the first to notice: a new one leads to the
            # address.
            link = await self._link_to(to)
            message = link.sender.prepare(data, stream=stream, ppid=ppid, **options)
            sent = link.sender.send_now(message)
        if not sent:
            await link.sender.send_in_turn(message)

    async def connect(self, remote: AddressLike, *, timeout: float | None = CONNECT_TIMEOUT) -> int:
        """Set up an association, wait until it is up, and return its id. Cancelling stops the attempt.

        `timeout` is as for `sctpio.connect`. Raises OSError: ConnectionRefusedError, TimeoutError and others;
        EISCONN or EALREADY if there is an association with that peer, or one is being set up. Raises
        ClosedError if the endpoint is closed.
        """
        check_timeout(timeout)
        self._check(Scope.FUTURE)
        return (await connect_any(self._shared, await resolve_remote(remote), timeout)).association.id

    async def _link_to(self, to: AddressLike) -> Link:
        """Return the association with an address; set it up if there is none."""
        known = self._known.get(to) if isinstance(to, Address) else None
        if known is not None and not known.association.is_over and known.socket is self._door:
            return known
        candidates = await resolve_remote(to)
        link = self._find(candidates)
        if link is None:
            try:
                link = await connect_any(self._shared, candidates, CONNECT_TIMEOUT)
            except OSError as error:
                # The peer may have been faster: there may be one by now.
                link = self._find(candidates) if error.errno in (errno.EISCONN, errno.EALREADY) else None
                if link is None:
                    raise
        await self._shared.come_up(link)
        if isinstance(to, Address):
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[to] = link
        return link

    def _find(self, candidates: list[Address]) -> Link | None:
        shared = self._shared
        for address in candidates:
            for host in address.hosts:
                identifier = shared.raw.find_association(Address((host,), address.port))
                if identifier is not None and identifier not in shared.members:
                    # The event that announces it is yet to be read.
                    shared.read_now()
                link = None if identifier is None else shared.members.get(identifier)
                if link is not None and not link.association.is_over:
                    return link
        return None

    def _all_unread(self) -> Iterable[Unread]:
        return [self._unread]

    async def _wait_for_input(self, waiters: Waiters, ready: Callable[[], object]) -> None:
        await self._unread.wait(waiters, ready)

    # Associations

    @property
    def associations(self) -> tuple[int, ...]:
        """The ids of the associations that are up."""
        return tuple(link.association.id for link in self._shared.established)

    def peer_addresses(self, association_id: int) -> Address:
        """Return the peer's port and addresses; raises AssociationError if there is no such association."""
        return self._raw.peer_addresses(self._shared.member(association_id).association.id)

    async def peel_off(self, association_id: int) -> Conn:
        """Move an association to a socket of its own, and return its `Conn` (RFC 6458 section 9.2).

        Does not wait. Its unread messages move along, in order. Raises AssociationError if there is no such
        association, and OSError (such as EMFILE).
        """
        link = self._shared.member(association_id)
        link.peel_off()
        return Conn(link, self._local)

    async def shutdown(self, association_id: int, *, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Shut an association down gracefully and wait for it, as `Conn.close` does.

        `timeout` is as for `Conn.close`. Cancelling it aborts the association. Raises AssociationError if
        there is no such association, or if it fails before everything was delivered.
        """
        check_timeout(timeout)
        await self._shared.member(association_id).close(timeout)

    async def abort(self, association_id: int, cause: bytes = b"") -> None:
        """End an association at once with an ABORT that carries `cause` (RFC 9260 9.1). Does not wait.

        Raises AssociationError if there is no such association.
        """
        self._shared.member(association_id).abort(cause=cause)

    def events(self, *types: type[Event]) -> EventStream[Any]:
        """Subscribe events of these types, and return an iterator over those of all associations.

        `event.association_id` says which association an event is about. Without types, it yields every
        event except SenderDry. The first iterator also gets the events that `open_endpoint(events=...)`
        kept. It ends when the endpoint is closed. Raises OSError if the stack refuses a type that was
        named.
        """
        return self._open_events(types)

    async def close(self, *, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Shut all associations down gracefully and wait for that; unread messages are dropped.

        Associations that have not ended within `timeout` seconds (None: no limit) are aborted. Tasks in
        `receive` get ClosedError. Closing again does nothing. Cancelling it aborts the associations that are
        left.
        """
        check_timeout(timeout)
        shared = self._shared
        links = [link for link in shared.members.values() if not link.association.is_over]
        for link in links:
            if link.association.is_setting_up:
                link.abort()
        shared.close()
        self._unread.clear()
        self._unread.wake_all()
        try:
            async with asyncio.TaskGroup() as ends:
                for link in links:
                    ends.create_task(_end(link, timeout))
        finally:
            self._hub.end()


def open_endpoint(
    local: AddressLike | None = None,
    *,
    listening: bool = True,
    init: InitMsg | None = None,
    options: Iterable[Option] = (),
    events: Iterable[type[Event]] = (),
    stack: str | None = None,
    receive_buffer: int = RECEIVE_BUFFER,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_batch: int = RECORDS,
    logger: Logger | None = None,
    ppid: int = 0,
) -> Opening[Endpoint]:
    """Open a one-to-many socket: `endpoint = await open_endpoint("10.0.0.1:2904")`, or `async with`.

    `local` is the port and the addresses to bind; None means every address of the host and a free port. If
    `listening`, peers may begin associations. `receive_buffer` is how many bytes of all associations together
    may be unread before reading pauses, and `max_message_size` the largest message that is accepted, both in
    bytes. Events of the types in `events` are kept for the first `endpoint.events()`. `ppid` is that of every
    message that is sent without one. The other arguments and the errors are as for `listen`.
    """
    if local is not None:
        split_like(local)
    settings = Settings.check(
        init=init,
        options=options,
        events=events,
        stack=stack,
        receive_buffer=receive_buffer,
        max_message_size=max_message_size,
        receive_batch=receive_batch,
        logger=logger,
        ppid=ppid,
    )
    return Opening("open_endpoint", partial(_open_endpoint, local, listening, settings))


async def _open_endpoint(local: AddressLike | None, listening: bool, settings: Settings) -> Endpoint:
    raw, bound = await open_bound(
        ":0" if local is None else local, settings, backlog=BACKLOG if listening else 0, one_to_many=True
    )
    loop = asyncio.get_running_loop()
    hub = EventHub(loop, settings.events)
    if listening:
        journal.listening(settings.log, bound, raw)
    unread = Unread(loop, settings.receive_buffer)
    shared = share(raw, settings, hub, unread=unread)
    return Endpoint(shared, settings, bound, hub, unread)


async def _end(link: Link, timeout: float | None) -> None:
    try:
        await link.close(timeout)
    except OSError:
        # The association was lost meanwhile, and an event has said so.
        return
