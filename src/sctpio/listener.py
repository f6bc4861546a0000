"""Taking associations from peers: `listen` and `Listener`."""

import asyncio
import enum
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Unpack

from ._acceptor import Acceptor
from ._broadcast import BroadcastResult, broadcast
from ._events import EventHub, EventStream
from ._local import LocalEndpoint, connect_any, open_bound
from ._many import Many
from ._opening import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Opening, Settings
from ._outgoing import SendOptions, policy_in_stack
from ._resolve import resolve
from ._waiting import Waiters
from .address import AddressLike, split_like
from .conn import Conn
from .errors import AssociationError, ClosedError
from .events import Event
from .options import InitMsg, Option, Scope
from .stacks.base import RECORDS, Buffer

__all__ = ["Listener", "Mode", "listen"]

logger = logging.getLogger("sctpio")

# The kernel takes the smaller of this and net.core.somaxconn.
BACKLOG = 65535

# Associations of a one-to-many socket that may wait for `accept`, where no backlog is given.
MOST_UNACCEPTED = 4096

# Out of one of these, a server waits a little (seconds) for others to give some back.
SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
SCARCE_PAUSE = 0.1


class Mode(enum.Enum):
    """How a listening endpoint maps associations to sockets (RFC 6458 sections 3 and 4)."""

    ONE_TO_ONE = "one-to-one"
    ONE_TO_MANY = "one-to-many"


class Listener(LocalEndpoint):
    """A listening endpoint, made by `listen`.

    `async for conn in listener` gives associations until the listener is closed. Leaving `async with`
    closes it; the associations that were taken live on.
    """

    async def accept(self) -> Conn:
        """Give the next association; wait for it.

        It may have ended already; what its peer sent before is there to be received. Cancelling loses no
        association. Raises ClosedError when the listener is closed, OSError (EMFILE and the like) where
        the kernel cannot give a descriptor.
        """
        link = await self._door.accept()
        if self._settings.policy_changed:
            # It may have begun before the change.
            link.association.default_policy = policy_in_stack(link.carrier.raw, link.association.id)
        return Conn(link, self._local)

    def __aiter__(self) -> AsyncIterator[Conn]:
        return self

    async def __anext__(self) -> Conn:
        try:
            return await self.accept()
        except ClosedError:
            raise StopAsyncIteration from None

    async def serve(self, handler: Callable[[Conn], Awaitable[object]]) -> None:
        """Run `await handler(conn)` in a task for every association, until the listener is closed.

        The association is closed when its handler returns, aborted when it raises; the error is logged and
        the server lives. Out of descriptors, it logs that and tries again shortly. When the listener is
        closed it waits for the handlers that run; cancelling it cancels them.
        """
        async with asyncio.TaskGroup() as handlers:
            while True:
                try:
                    conn = await self.accept()
                except ClosedError:
                    return
                except OSError as error:
                    if error.errno not in SCARCE:
                        raise
                    logger.error("no association can be taken now: %s", error)
                    await asyncio.sleep(SCARCE_PAUSE)
                else:
                    handlers.create_task(_handle(handler, conn))

    async def connect(self, remote: AddressLike) -> Conn:
        """Set up an association from the listening port (one-to-many only).

        Cancelling it stops that. Raises OSError: ConnectionRefusedError, TimeoutError, EISCONN or EALREADY
        where there is, or will be, an association with that peer; RuntimeError on a one-to-one listener.
        """
        many = self._many
        self._check(Scope.FUTURE)
        return Conn(await connect_any(many, await resolve(remote)), self._local)

    async def broadcast(
        self,
        data: Buffer,
        *,
        timeout: float | None = 1.0,
        stream: int = 0,
        ppid: int = 0,
        **options: Unpack[SendOptions],
    ) -> BroadcastResult:
        """Send one message to every association (one-to-many only), and tell which of them took it.

        The arguments are those of `Conn.send`. An association without room for it holds up no other one; it
        has failed with BlockingIOError if it gets none within `timeout` seconds (None: however long it
        takes). Without associations the result is empty. Cancelling it leaves sent what was sent.
        """
        many = self._many
        self._check(Scope.FUTURE)
        return await broadcast(many.established, data, timeout, stream=stream, ppid=ppid, **options)

    def events(self, *types: type[Event]) -> EventStream[Any]:
        """Iterate over the events of the associations that this listener takes, from now on.

        Subscribes them on the listening socket, so associations have them from their first moment. Ends
        when the listener is closed. Raises OSError where the stack refuses a type that was named.
        """
        return self._open_events(types, _wait)

    async def close(self) -> None:
        """Stop listening. Does not wait; tasks in `accept` get ClosedError. Closing again does nothing.

        Associations that nobody has accepted are aborted. A one-to-many socket stays for those that were.
        """
        self._door.close()
        self._hub.end()


def listen(
    local: AddressLike,
    *,
    mode: Mode = Mode.ONE_TO_ONE,
    backlog: int | None = None,
    slow_reader: str = "pause",
    init: InitMsg | None = None,
    options: Iterable[Option] = (),
    events: Iterable[type[Event]] = (),
    stack: str | None = None,
    receive_buffer: int = RECEIVE_BUFFER,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_batch: int = RECORDS,
) -> Opening[Listener]:
    """Listen for associations: `listener = await listen("10.0.0.1/10.1.0.1:2904")`, or `async with`.

    All hosts of `local` are bound (a host name means its first address), port 0 takes a free one, ":2904"
    every address of the host. `options` are set before bind, and associations start with them; `events` are
    subscribed before listen, and each `Conn` keeps them for its first `events()`. `receive_buffer` and
    `max_message_size` (bytes) hold for each association; `receive_batch` is how many messages a socket gives
    at most before other callbacks of the loop run; fewer while its turns are long, as with a thousand of
    them busy. `backlog` is how many may wait for `accept`, None
    as many as the kernel allows.

    With `mode=Mode.ONE_TO_MANY` all associations share one socket; then `slow_reader` says what happens when
    one of them has `receive_buffer` bytes unread: "pause" stops reading from all until some are read,
    "abort" ends that association. `backlog` is then 4096 by default; more are aborted.

    Raises OSError (EADDRINUSE, EADDRNOTAVAIL and the like), ValueError for an address that cannot be read,
    UnavailableError without SCTP.
    """
    split_like(local)
    if not isinstance(mode, Mode):
        raise TypeError(f"mode is {mode!r}; it takes a Mode")
    if slow_reader not in ("pause", "abort"):
        raise ValueError(f"slow_reader is {slow_reader!r}; it takes 'pause' or 'abort'")
    if slow_reader == "abort" and mode is Mode.ONE_TO_ONE:
        raise ValueError("slow_reader='abort' is for Mode.ONE_TO_MANY: else a slow reader stops nobody else")
    if backlog is not None and (isinstance(backlog, bool) or not 0 < backlog <= BACKLOG):
        raise ValueError(f"backlog is {backlog!r}; it takes a number from 1 to {BACKLOG}")
    settings = Settings.check(init, options, events, stack, receive_buffer, max_message_size, receive_batch)
    if mode is Mode.ONE_TO_ONE:
        return Opening(partial(_listen, local, backlog or BACKLOG, settings))
    return Opening(partial(_listen_many, local, backlog, slow_reader == "abort", settings))


async def _listen(local: AddressLike, backlog: int, settings: Settings) -> Listener:
    raw, bound = await open_bound(local, settings, backlog=backlog)
    loop = asyncio.get_running_loop()
    hub = EventHub(loop)
    acceptor = Acceptor(raw, loop, lambda accepted: settings.new_socket(accepted, hub))
    return Listener(acceptor, settings, bound, hub)


async def _listen_many(
    local: AddressLike, backlog: int | None, abort_slow: bool, settings: Settings
) -> Listener:
    raw, bound = await open_bound(local, settings, backlog=BACKLOG, one_to_many=True)
    loop = asyncio.get_running_loop()
    hub = EventHub(loop)
    many = Many(
        raw,
        loop,
        hub=hub,
        new_association=lambda: settings.new_association(hub),
        most_waiting=backlog or MOST_UNACCEPTED,
        abort_slow=abort_slow,
        batch=settings.receive_batch,
    )
    many.start()
    return Listener(many, settings, bound, hub)


async def _handle(handler: Callable[[Conn], Awaitable[object]], conn: Conn) -> None:
    try:
        async with conn:
            await handler(conn)
    except AssociationError as error:
        logger.warning("association %d with %s: %s", conn.association_id, conn.peer_addresses, error)
    except Exception:
        logger.exception("the handler of association %d failed", conn.association_id)


async def _wait(waiters: Waiters) -> None:
    await waiters.wait()
