"""Taking associations from peers: `listen` and `Listener`."""

import asyncio
import enum
import errno
import logging
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Self, TypeVar

from ._acceptor import Acceptor
from ._events import EventHub, EventStream
from ._opening import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Opening, Settings, open_events
from ._resolve import resolve
from ._waiting import Waiters
from .address import Address, AddressLike, split_like
from .conn import Conn
from .errors import AssociationError, ClosedError
from .events import Event
from .options import InitMsg, Option, Status
from .stacks.base import ALWAYS_SUBSCRIBED, StackSocket

T = TypeVar("T", bound=Option)

__all__ = ["Listener", "Mode", "listen"]

logger = logging.getLogger("sctpio")

# The kernel takes the smaller of this and net.core.somaxconn.
BACKLOG = 65535

# Out of one of these, a server waits a little (seconds) for others to give some back.
SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
SCARCE_PAUSE = 0.1


class Mode(enum.Enum):
    """How a listening endpoint maps associations to sockets (RFC 6458 sections 3 and 4)."""

    ONE_TO_ONE = "one-to-one"
    ONE_TO_MANY = "one-to-many"


class Listener:
    """A listening endpoint, made by `listen`.

    `async for conn in listener` gives associations until the listener is closed. Leaving `async with`
    closes it; the associations that were taken live on.
    """

    def __init__(self, acceptor: Acceptor, settings: Settings, local: Address) -> None:
        self._acceptor = acceptor
        self._settings = settings
        self._local = local
        self._hub = EventHub(acceptor.loop)

    def __repr__(self) -> str:
        return f"<sctpio.Listener {'closed' if self._acceptor.closed else 'open'} {self._local}>"

    def __del__(self) -> None:
        acceptor = getattr(self, "_acceptor", None)
        if acceptor is not None and not acceptor.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            acceptor.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def accept(self) -> Conn:
        """Give the next association; wait for it.

        It may have ended already; what its peer sent before is there to be received. Cancelling loses no
        association. Raises ClosedError when the listener is closed, OSError (EMFILE and the like) where
        the kernel cannot give a descriptor.
        """
        raw, peer = await self._acceptor.accept()
        sock = self._settings.new_socket(raw, self._hub)
        try:
            sock.start()
            if not sock.association.established:
                _ask_status(sock.association.up, raw)
        except BaseException:
            sock.abort()
            raise
        return Conn(sock, local=self._local, peer=peer)

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

    def events(self, *types: type[Event]) -> EventStream[Any]:
        """Iterate over the events of the associations that this listener takes, from now on.

        Subscribes them on the listening socket, so associations have them from their first moment. Ends
        when the listener is closed. Raises OSError where the stack refuses a type that was named.
        """
        raw = self._acceptor.raw
        return open_events(
            raw,
            self._hub,
            types,
            owner=self,
            subscribe=partial(self._subscribe, on=True),
            unsubscribe=partial(self._subscribe, on=False),
            wait=_wait,
        )

    def _subscribe(self, kind: type[Event], *, on: bool) -> None:
        kept = issubclass(kind, (*ALWAYS_SUBSCRIBED, *self._settings.events)) or self._hub.wanted(kind)
        if not self._acceptor.closed and (on or not kept):
            self._acceptor.raw.subscribe(kind, on, 0)

    def get_option(self, kind: type[T]) -> T:
        """Read the value that coming associations start with."""
        self._check_open()
        return self._acceptor.raw.get_option(kind, 0, None)

    def set_option(self, value: Option) -> None:
        """Set the value that coming associations start with; a field that is None stays as it is."""
        self._check_open()
        self._acceptor.raw.set_option(value, 0)

    @property
    def local_addresses(self) -> Address:
        """The port and the addresses that peers can reach; every address of the host for a wildcard."""
        return self._local

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._local.port

    def fileno(self) -> int:
        """Give the descriptor, -1 once closed."""
        return self._acceptor.raw.fileno()

    async def close(self) -> None:
        """Stop listening. Does not wait; tasks in `accept` get ClosedError. Closing again does nothing."""
        self._acceptor.close()
        self._hub.end()

    def _check_open(self) -> None:
        if self._acceptor.closed:
            raise ClosedError("the listener is closed")


def listen(
    local: AddressLike,
    *,
    mode: Mode = Mode.ONE_TO_ONE,
    backlog: int | None = None,
    init: InitMsg | None = None,
    options: Iterable[Option] = (),
    events: Iterable[type[Event]] = (),
    stack: str | None = None,
    receive_buffer: int = RECEIVE_BUFFER,
    max_message_size: int = MAX_MESSAGE_SIZE,
) -> Opening[Listener]:
    """Listen for associations: `listener = await listen("10.0.0.1/10.1.0.1:2904")`, or `async with`.

    All hosts of `local` are bound (a host name means its first address), port 0 takes a free one, ":2904"
    every address of the host. `options` are set before bind, and associations start with them; `events` are
    subscribed before listen, and each `Conn` keeps them for its first `events()`. `receive_buffer` and
    `max_message_size` (bytes) hold for each association. `backlog` is how many may wait for `accept`, None
    as many as the kernel allows.

    Raises OSError (EADDRINUSE, EADDRNOTAVAIL and the like), ValueError for an address that cannot be read,
    UnavailableError without SCTP.
    """
    split_like(local)
    if not isinstance(mode, Mode):
        raise TypeError(f"mode is {mode!r}; it takes a Mode")
    if mode is not Mode.ONE_TO_ONE:
        raise NotImplementedError("this version listens with Mode.ONE_TO_ONE only")
    if backlog is not None and (isinstance(backlog, bool) or not 0 < backlog <= BACKLOG):
        raise ValueError(f"backlog is {backlog!r}; it takes a number from 1 to {BACKLOG}")
    settings = Settings.check(init, options, events, stack, receive_buffer, max_message_size)
    return Opening(partial(_listen, local, backlog or BACKLOG, settings))


async def _listen(local: AddressLike, backlog: int, settings: Settings) -> Listener:
    address = (await resolve(local))[0]
    raw = settings.stack.open(address)
    try:
        if address.port:
            # A server that starts again while old associations linger can have its port.
            raw.reuse_address()
        settings.apply(raw)
        raw.bind(address)
        raw.listen(backlog)
        bound = raw.local_addresses(0)
    except OSError as error:
        raw.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    except BaseException:
        raw.close()
        raise
    return Listener(Acceptor(raw, asyncio.get_running_loop()), settings, bound)


async def _handle(handler: Callable[[Conn], Awaitable[object]], conn: Conn) -> None:
    try:
        async with conn:
            await handler(conn)
    except AssociationError as error:
        logger.warning("association %d with %s: %s", conn.association_id, conn.peer_addresses, error)
    except Exception:
        logger.exception("the handler of association %d failed", conn.association_id)


def _ask_status(up: Callable[[int, int, int], None], raw: StackSocket) -> None:
    try:
        status = raw.get_option(Status, 0, None)
    except OSError:
        # It has ended already.
        return
    up(status.association_id, status.outbound_streams, status.inbound_streams)


async def _wait(waiters: Waiters) -> None:
    await waiters.wait()
