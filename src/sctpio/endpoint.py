"""Messages to and from any number of associations over one socket, as with UDP: `open_endpoint`."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any, Unpack

from ._broadcast import BroadcastResult, broadcast
from ._events import EventHub, EventStream
from ._intake import Intake
from ._link import Link
from ._local import LocalEndpoint, connect_any, open_bound
from ._many import Many
from ._opening import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Opening, Settings
from ._outgoing import SendOptions
from ._resolve import resolve
from .address import Address, AddressLike, split_like
from .conn import Conn
from .errors import AssociationError, ClosedError, EndOfAssociation
from .events import Event
from .message import Message
from .options import InitMsg, Option, Scope
from .stacks.base import RECORDS, Buffer

__all__ = ["Endpoint", "open_endpoint"]

BACKLOG = 65535

# Addresses whose association is remembered between sends.
MOST_REMEMBERED = 4096


class Endpoint(LocalEndpoint):
    """A one-to-many socket (RFC 6458 section 3), made by `open_endpoint`.

    `receive` gives the messages of all associations, in the order of their arrival; `send` names an address
    or an association. Associations come up as peers begin them or as something is sent. Leaving
    `async with` shuts all of them down; an exception that leaves it aborts them.
    """

    def __init__(self, many: Many, settings: Settings, local: Address, hub: EventHub, intake: Intake) -> None:
        super().__init__(many, settings, local, hub)
        self._intake = intake
        self._known: dict[Address, Link] = {}

    async def __aexit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None:
            for link in list(self._many.members.values()):
                link.abort()
        await self.close()

    # Messages

    async def receive(self) -> Message:
        """Give the next message of any association; wait for it.

        `message.association_id` and `message.source` tell whose it is. Cancelling loses nothing. Raises
        ClosedError when the endpoint is closed. The end of an association is an event, not an error here.
        """
        inbox = self._intake.inbox
        while not inbox.messages:
            self._check(Scope.FUTURE)
            await self._intake.wait(inbox.waiters, inbox)
        message = self._intake.take(inbox)
        self._many.resume()
        return message

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
        ppid: int = 0,
        **options: Unpack[SendOptions],
    ) -> None:
        """Send one message to an association's id, or to an address; the rest is as for `Conn.send`.

        Where there is no association with that address, one is set up first, without blocking the loop.
        A cancelled send has sent nothing.

        Raises AssociationError where no association has that id, and what `connect` and `Conn.send` raise.
        What the stack took and could not deliver comes as a SendFailed event.
        """
        self._check(Scope.FUTURE)
        if isinstance(to, int):
            link = self._many.member(to)
            await link.send(link.prepare(data, stream, ppid, **options))
            return
        link = await self._link_to(to)
        message = link.prepare(data, stream, ppid, **options)
        try:
            sent = link.send_now(message)
        except (AssociationError, EndOfAssociation):
            if not link.association.over:
                raise
            # It had ended, and only this send found out: to the address leads another one.
            link = await self._link_to(to)
            message = link.prepare(data, stream, ppid, **options)
            sent = link.send_now(message)
        if not sent:
            await link.send_in_turn(message)

    async def connect(self, remote: AddressLike) -> int:
        """Set up an association, and give its id. Cancelling it stops that.

        Raises OSError: ConnectionRefusedError, TimeoutError, EISCONN or EALREADY where there is, or will be,
        an association with that peer.
        """
        self._check(Scope.FUTURE)
        return (await connect_any(self._many, await resolve(remote))).association.id

    async def broadcast(
        self,
        data: Buffer,
        *,
        timeout: float | None = 1.0,
        stream: int = 0,
        ppid: int = 0,
        **options: Unpack[SendOptions],
    ) -> BroadcastResult:
        """Send one message to every association, and tell which took it; see `Listener.broadcast`."""
        self._check(Scope.FUTURE)
        links = self._many.established
        return await broadcast(links, data, timeout, stream=stream, ppid=ppid, **options)

    async def _link_to(self, to: AddressLike) -> Link:
        """Find the association with an address, or set it up."""
        known = self._known.get(to) if isinstance(to, Address) else None
        if known is not None and not known.association.over and known.carrier is self._door:
            return known
        candidates = await resolve(to)
        link = self._find(candidates)
        if link is None:
            try:
                link = await connect_any(self._many, candidates)
            except OSError as error:
                # The peer may have been faster.
                link = self._find(candidates) if error.errno in (errno.EISCONN, errno.EALREADY) else None
                if link is None:
                    raise
        await self._many.come_up(link)
        if isinstance(to, Address):
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[to] = link
        return link

    def _find(self, candidates: list[Address]) -> Link | None:
        many = self._many
        for address in candidates:
            for host in address.hosts:
                identifier = many.raw.find_association(Address((host,), address.port))
                if identifier is not None and identifier not in many.members:
                    # The event that tells of it is still to be read.
                    many.read_now()
                link = None if identifier is None else many.members.get(identifier)
                if link is not None and not link.association.over:
                    return link
        return None

    def _intakes(self) -> Iterable[Intake]:
        return [self._intake]

    # Associations

    @property
    def associations(self) -> tuple[int, ...]:
        """The ids of the associations that are up."""
        return tuple(link.association.id for link in self._many.established)

    def peer_addresses(self, association_id: int) -> Address:
        """The peer's port and addresses of one association; raises AssociationError where it is not there."""
        return self._raw.peer_addresses(self._many.member(association_id).association.id)

    async def peel_off(self, association_id: int) -> Conn:
        """Move an association to a socket of its own (RFC 6458 section 9.2). Does not wait.

        Messages of it that were not read move along, in order. Raises AssociationError where there is no
        such association, OSError (EMFILE and the like).
        """
        link = self._many.member(association_id)
        link.peel_off()
        return Conn(link, self._local)

    async def shutdown(self, association_id: int) -> None:
        """Shut an association down gracefully (RFC 9260 9.2) and wait for it, as `Conn.close` does."""
        await self._many.member(association_id).close()

    async def abort(self, association_id: int, cause: bytes = b"") -> None:
        """End an association at once with an ABORT that carries `cause` (RFC 9260 9.1). Does not wait."""
        self._many.member(association_id).abort(cause=cause)

    def events(self, *types: type[Event]) -> EventStream[Any]:
        """Iterate over the events of all associations, from now on; `event.association_id` tells whose.

        Without a type, every event comes but SenderDry. What `open_endpoint(events=)` named is kept for the
        first iterator. Ends when the endpoint is closed. Raises OSError where the stack refuses a type that
        was named.
        """
        return self._open_events(types, self._intake.wait)

    async def close(self) -> None:
        """Shut all associations down gracefully and wait for it; messages that were not read are dropped.

        Tasks in `receive` get ClosedError. Closing again does nothing. Cancelling it aborts what is left.
        """
        many = self._many
        links = [link for link in many.members.values() if not link.association.over]
        for link in links:
            if not link.association.established:
                link.abort()
        many.close()
        self._intake.clear()
        self._intake.wake_all()
        try:
            async with asyncio.TaskGroup() as ends:
                for link in links:
                    ends.create_task(_end(link))
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
) -> Opening[Endpoint]:
    """Open a one-to-many socket: `endpoint = await open_endpoint("10.0.0.1:2904")`, or `async with`.

    `local` are the addresses and the port to bind, None any address of the host and a free port. Where
    `listening`, peers may begin associations. `receive_buffer` is how many bytes may be unread, of all
    associations together, before reading pauses; `max_message_size` the largest message taken; both in
    bytes. The rest is as for `listen`, and so are the errors.
    """
    if local is not None:
        split_like(local)
    settings = Settings.check(init, options, events, stack, receive_buffer, max_message_size, receive_batch)
    return Opening(partial(_open_endpoint, local, listening, settings))


async def _open_endpoint(local: AddressLike | None, listening: bool, settings: Settings) -> Endpoint:
    raw, bound = await open_bound(
        ":0" if local is None else local, settings, backlog=BACKLOG if listening else 0, one_to_many=True
    )
    loop = asyncio.get_running_loop()
    hub = EventHub(loop, settings.events)
    intake = Intake(loop, settings.receive_buffer)
    many = Many(
        raw,
        loop,
        hub=hub,
        new_association=lambda: settings.new_association(hub, intake),
        most_waiting=None,
        abort_slow=False,
        batch=settings.receive_batch,
    )
    many.start()
    return Endpoint(many, settings, bound, hub, intake)


async def _end(link: Link) -> None:
    try:
        await link.close()
    except OSError:
        # It was lost meanwhile: the event told that.
        return
