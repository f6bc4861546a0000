"""Accepting associations from peers: `listen` and `Listener`."""

import asyncio
import contextlib
import enum
import logging
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from ._abi.contract import RECORDS
from ._local_endpoint import BACKLOG, LocalEndpoint, connect_any, open_bound, share
from ._loop import journal
from ._loop.acceptor import Acceptor
from ._loop.event_stream import EventHub, EventStream
from ._loop.journal import Logger
from ._loop.link import Link
from ._loop.opening import Opening
from ._loop.resolve import resolve_remote
from ._loop.settings import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Settings
from ._loop.shared_socket import SharedSocket
from ._loop.time_limits import CONNECT_TIMEOUT, check_timeout
from ._value import dataclass
from .address import Address, AddressLike, split_like
from .conn import Conn
from .errors import AssociationEnded, AssociationError, ClosedError, EndOfAssociation, ReceivedTooLargeError
from .events import Event
from .options import InitMsg, Option, Scope
from .stacks.base import StackSocket
from .statistics import EndpointStatistics

__all__ = ["Listener", "Mode", "ShutdownResult", "listen"]

logger: logging.Logger = logging.getLogger("sctpio")

ONLY_MANY = "slow_reader='abort' is for Mode.ONE_TO_MANY: else a slow reader stops nobody else"

# The most associations of a one-to-many socket that wait for `accept`, by default.
MOST_UNACCEPTED = 4096

# Seconds that a server which ends gives its handlers and peers.
SHUTDOWN_TIMEOUT = 10.0

# Seconds for which `serve` leaves its socket alone after it could not accept an association.
PAUSE = 0.1


class Mode(enum.Enum):
    """How a listening endpoint maps associations to sockets (RFC 6458 sections 3 and 4)."""

    ONE_TO_ONE = "one-to-one"
    ONE_TO_MANY = "one-to-many"


@dataclass(frozen=True, slots=True)
class ShutdownResult:
    """How many associations ended how when a listener was shut down.

    `finished` ended gracefully while they were drained: their handlers closed them, or their peers. Those
    that did not were `shut_down` from here, or `aborted` when the time was over. `lost` were aborted by their
    peers, or did not answer any more.
    """

    finished: int = 0
    shut_down: int = 0
    aborted: int = 0
    lost: int = 0

    def __str__(self) -> str:
        counts = ((getattr(self, name), name.replace("_", " ")) for name in self.__match_args__)
        return ", ".join(f"{count} {name}" for count, name in counts)

    @classmethod
    def of(cls, conns: list[Conn], finished: set[Conn]) -> "ShutdownResult":
        """Count; `finished` are those that ended while they were drained."""
        counts = Counter(_how(conn, conn in finished) for conn in conns)
        return cls(**counts)


def _how(conn: Conn, finished: bool) -> str:
    match conn._association.over_by:
        case ClosedError():
            return "aborted"
        case AssociationError():
            return "lost"
        case _:
            return "finished" if finished else "shut_down"


class Listener(LocalEndpoint):
    """A listening endpoint, made by `listen`.

    `async for conn in listener` yields associations until the listener is closed. Leaving `async with` closes
    it; associations that were accepted live on.
    """

    def __init__(
        self, door: Acceptor | SharedSocket, settings: Settings, local: Address, hub: EventHub
    ) -> None:
        super().__init__(door, settings, local, hub)
        # Weak: whoever forgets a Conn is still told so.
        self._conns: weakref.WeakSet[Conn] = weakref.WeakSet()
        # The handlers that `serve` runs.
        self._handlers: dict[asyncio.Task[Any], Conn] = {}

    async def accept(self) -> Conn:
        """Wait for the next association and return it.

        It may have ended already; the messages that its peer sent before can still be received. Cancelling
        loses no association. Raises ClosedError when the listener is closed, and OSError (such as EMFILE) if
        there is no descriptor for the association.
        """
        return self._conn(await self._door.accept())

    def _conn(self, link: Link) -> Conn:
        conn = Conn(link, self._local)
        self._conns.add(conn)
        return conn

    def __aiter__(self) -> AsyncIterator[Conn]:
        return self

    async def __anext__(self) -> Conn:
        try:
            return await self.accept()
        except ClosedError:
            raise StopAsyncIteration from None

    async def serve(
        self,
        handler: Callable[[Conn], Awaitable[object]],
        *,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
    ) -> None:
        """Run `await handler(conn)` in a task for each association, until the listener is closed.

        The association is closed when its handler returns, and aborted when it raises; the error is logged,
        and the server carries on. That its peer ended the association is no error of the handler: `receive`
        raises how, and there is at most one line about it. If an association cannot be accepted, as when
        descriptors run out, that is logged and tried again shortly.

        When the listener is closed, it waits for the handlers that still run. Cancelling it (Ctrl-C does)
        drains as `shutdown(timeout=shutdown_timeout)` does and re-raises; cancelling it again aborts what is
        left at once.
        """
        check_timeout(shutdown_timeout, "shutdown_timeout")
        async with asyncio.TaskGroup() as group:
            try:
                await self._accept_all(handler, group)
                while self._handlers:
                    await asyncio.wait(list(self._handlers))
            except asyncio.CancelledError:
                await self.shutdown(timeout=shutdown_timeout)
                raise

    async def _accept_all(
        self, handler: Callable[[Conn], Awaitable[object]], group: asyncio.TaskGroup
    ) -> None:
        while True:
            try:
                conn = await self.accept()
            except ClosedError:
                return
            except OSError as error:
                # There are no descriptors, no memory or no watches left, or this one association was
                # unfit: no reason to abandon the others.
                logger.error("no association can be taken now: %s", error)
                await asyncio.sleep(PAUSE)
            else:
                group.create_task(self._handle(handler, conn))

    async def _handle(self, handler: Callable[[Conn], Awaitable[object]], conn: Conn) -> None:
        association = conn._association
        task = asyncio.current_task()
        assert task is not None
        # Here, as an eager task runs before its creator has it.
        self._handlers[task] = conn
        try:
            async with conn:
                try:
                    await handler(conn)
                except Exception as error:
                    # That its own association has ended is no error of the handler.
                    if not (association.is_read_out() and _says_end(error)):
                        logger.exception("the handler of association %d failed", association.id)
                        await conn.abort()
                    elif not isinstance(how := association.outcome(), EndOfAssociation):
                        raise how from None
        except (AssociationError, ReceivedTooLargeError) as error:
            # One line is enough.
            if not journal.writes(association.log):
                logger.warning("association %d with %s: %s", association.id, conn.peer_addresses, error)
        finally:
            del self._handlers[task]

    def statistics(self) -> EndpointStatistics:
        """Return counts of what the associations do together; see `Conn.statistics` for each of them."""
        if isinstance(self._door, SharedSocket):
            return super().statistics()
        conns = self.connections
        each = [conn.statistics() for conn in conns]
        return EndpointStatistics(
            associations=len(each),
            unaccepted=0,
            refused=0,
            unread_messages=sum(one.unread_messages for one in each),
            unread_bytes=sum(one.unread_bytes for one in each),
            reading_paused=any(one.reading_paused for one in each),
            paused_by=tuple(
                conn.association_id for conn, one in zip(conns, each, strict=True) if one.reading_paused
            ),
            pauses=sum(one.pauses for one in each),
            waiting_senders=sum(one.waiting_senders for one in each),
            send_wait_oldest=max((one.send_wait_oldest for one in each), default=0.0),
            wakeups=self._door.wakeups + sum(one.wakeups for one in each),
        )

    @classmethod
    def from_fd(
        cls,
        descriptor: int,
        *,
        slow_reader: str = "pause",
        options: Iterable[Option] = (),
        events: Iterable[type[Event]] = (),
        stack: str | None = None,
        receive_buffer: int = RECEIVE_BUFFER,
        max_message_size: int = MAX_MESSAGE_SIZE,
        receive_batch: int = RECORDS,
        logger: Logger | None = None,
        ppid: int = 0,
    ) -> "Opening[Listener]":
        """Take over a socket that listens already: `listener = await Listener.from_fd(3)`.

        It may come from systemd (socket activation), from a parent process, or from another library. Whether
        it is one-to-one or one-to-many is the socket's own matter (SOCK_STREAM or SOCK_SEQPACKET). The other
        arguments are as for `listen`. Closing a one-to-one listener closes this descriptor alone: if others
        have copies of it, as systemd does, the socket goes on listening for them.

        Raises ValueError for another kind of descriptor, and OSError if it cannot be used (EOPNOTSUPP on
        usrsctp); the descriptor then still belongs to the caller.
        """
        settings = Settings.check(
            options=options,
            events=events,
            stack=stack,
            receive_buffer=receive_buffer,
            max_message_size=max_message_size,
            receive_batch=receive_batch,
            logger=logger,
            ppid=ppid,
        )
        check_slow_reader(slow_reader)
        return Opening("Listener.from_fd", partial(_adopt, descriptor, slow_reader == "abort", settings))

    @property
    def connections(self) -> tuple[Conn, ...]:
        """The associations that came or were made here, and have not ended."""
        return tuple(conn for conn in self._conns if not conn.is_closed)

    async def shutdown(self, *, timeout: float | None = SHUTDOWN_TIMEOUT) -> "ShutdownResult":
        """Stop listening, let the handlers finish, and end all associations; return how many ended how.

        Each association is drained: once what has come is read, `receive` raises EndOfAssociation and `async
        for` ends, while sending still works. So a handler answers what it has, and closes as it always does.
        Associations that are left after half of `timeout` seconds are shut down (SHUTDOWN), and what is left
        at the end of it is aborted. Handlers in `serve` that still run then are cancelled, also those whose
        association has ended. None waits without limit.

        A handler that calls this is not waited for. Cancelling it aborts what is left at once.
        """
        check_timeout(timeout)
        await self.close()
        caller = asyncio.current_task()
        own = self._handlers.get(caller)  # type: ignore[arg-type]
        conns = [conn for conn in self.connections if conn is not own]
        half = None if timeout is None else timeout / 2
        finished: set[Conn] = set()
        try:
            for conn in conns:
                conn._link.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(half):
                    for conn in conns:
                        await conn._association.wait_closed()
                    while handlers := self._handlers.keys() - {caller}:
                        await asyncio.wait(handlers)
            finished = {conn for conn in conns if conn.is_closed}
            async with asyncio.TaskGroup() as ends:
                for conn in conns:
                    if conn not in finished:
                        ends.create_task(_shut_down(conn, half))
        finally:
            for conn in conns:
                if not conn.is_closed:
                    conn.abort_nowait(b"the server is shut down")
            for task in self._handlers.keys() - {caller}:
                task.cancel()
        result = ShutdownResult.of(conns, finished)
        journal.write(self._settings.log, "%s is shut down: %s", self._local, result)
        return result

    async def connect(self, remote: AddressLike, *, timeout: float | None = CONNECT_TIMEOUT) -> Conn:
        """Set up an association from the listening port, and wait until it is up (one-to-many only).

        `timeout` is as for `sctpio.connect`. Cancelling it stops the attempt. Raises OSError
        (ConnectionRefusedError, TimeoutError and others; EISCONN or EALREADY if there is an association with
        that peer, or one is being set up), ClosedError, and RuntimeError on a one-to-one listener.
        """
        check_timeout(timeout)
        shared = self._shared
        self._check(Scope.FUTURE)
        return self._conn(await connect_any(shared, await resolve_remote(remote), timeout))

    def events(self, *types: type[Event]) -> EventStream[Any]:
        """Subscribe events of these types, and return an iterator over them.

        It yields the events of all associations, those to come included. They are subscribed on the
        listening socket, so that new associations report them from their first moment. Without types, it
        yields every event except SenderDry. It ends when the listener is closed. Raises OSError if the
        stack refuses a type that was named.
        """
        return self._open_events(types)

    async def close(self) -> None:
        """Stop listening. Does not wait; tasks in `accept` get ClosedError. Closing again does nothing.

        Associations that nobody has accepted are aborted. A one-to-many socket stays open for those that were
        accepted.
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
    logger: Logger | None = None,
    ppid: int = 0,
) -> Opening[Listener]:
    """Listen for associations: `listener = await listen("10.0.0.1/10.1.0.1:2904")`, or `async with`.

    All hosts of `local` are bound (a host name means its first address). Port 0 means any free port, and
    ":2904" every address of the host. `options` are set before bind, and associations start with them.
    `events` are subscribed before listen, and each `Conn` keeps them for its first `events()`.
    `receive_buffer` and `max_message_size` (bytes) apply to each association. `receive_batch` is the most
    messages that are taken from a socket before other callbacks of the loop run; while its turns are long,
    as with a thousand busy sockets, fewer. `backlog` is how many associations may wait for `accept`; None
    means as many as the stack allows. `ppid` is that of every message that its associations send without
    one.

    `logger` takes the lines about associations instead of the logger "sctpio.association".

    With `mode=Mode.ONE_TO_MANY`, all associations share one socket. `slow_reader` then says what happens
    when one of them has `receive_buffer` bytes unread: "pause" stops reading from all of them until some
    are read, and "abort" ends that association. `backlog` is 4096 by default then, and associations beyond
    it are aborted.

    Raises OSError (EADDRINUSE, EADDRNOTAVAIL and others), ValueError for an address that cannot be parsed,
    and UnavailableError if there is no SCTP.
    """
    split_like(local)
    if not isinstance(mode, Mode):
        raise TypeError(f"mode is {mode!r}; it takes a Mode")
    check_slow_reader(slow_reader)
    if slow_reader == "abort" and mode is Mode.ONE_TO_ONE:
        raise ValueError(ONLY_MANY)
    if backlog is not None and (isinstance(backlog, bool) or not 0 < backlog <= BACKLOG):
        raise ValueError(f"backlog is {backlog!r}; it takes a number from 1 to {BACKLOG}")
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
    if mode is Mode.ONE_TO_ONE:
        return Opening("listen", partial(_listen, local, backlog or BACKLOG, settings))
    return Opening("listen", partial(_listen_many, local, backlog, slow_reader == "abort", settings))


def check_slow_reader(slow_reader: str) -> None:
    """Raise ValueError unless it is one of the two."""
    if slow_reader not in ("pause", "abort"):
        raise ValueError(f"slow_reader is {slow_reader!r}; it takes 'pause' or 'abort'")


async def _listen(local: AddressLike, backlog: int, settings: Settings) -> Listener:
    raw, bound = await open_bound(local, settings, backlog=backlog)
    return _one_to_one(raw, bound, settings)


def _one_to_one(raw: StackSocket, bound: Address, settings: Settings, *, shared: bool = False) -> Listener:
    loop = asyncio.get_running_loop()
    hub = EventHub(loop)
    journal.listening(settings.log, bound, raw)
    acceptor = Acceptor(raw, loop, lambda accepted: settings.new_socket(accepted, hub), shared=shared)
    return Listener(acceptor, settings, bound, hub)


async def _listen_many(
    local: AddressLike, backlog: int | None, abort_slow: bool, settings: Settings
) -> Listener:
    raw, bound = await open_bound(local, settings, backlog=BACKLOG, one_to_many=True)
    return _one_to_many(raw, bound, backlog, abort_slow, settings)


def _one_to_many(
    raw: StackSocket, bound: Address, backlog: int | None, abort_slow: bool, settings: Settings
) -> Listener:
    hub = EventHub(asyncio.get_running_loop())
    journal.listening(settings.log, bound, raw)
    shared = share(raw, settings, hub, most_waiting=backlog or MOST_UNACCEPTED, abort_slow=abort_slow)
    return Listener(shared, settings, bound, hub)


async def _adopt(descriptor: int, abort_slow: bool, settings: Settings) -> Listener:
    raw, many = settings.stack.adopt_listener(descriptor)
    try:
        if abort_slow and not many:
            raise ValueError(ONLY_MANY)
        settings.apply(raw)
        bound = raw.local_addresses(0)
    except BaseException:
        # It stays the caller's.
        raw.detach()
        raise
    if many:
        return _one_to_many(raw, bound, None, abort_slow, settings)
    return _one_to_one(raw, bound, settings, shared=True)


def _says_end(error: Exception) -> bool:
    """Return whether it says that an association has ended, and nothing else, in groups of any depth."""
    if isinstance(error, ExceptionGroup):
        return all(map(_says_end, error.exceptions))
    return isinstance(error, AssociationEnded)


async def _shut_down(conn: Conn, seconds: float | None) -> None:
    try:
        await conn.close(timeout=seconds)
    except AssociationError as error:
        logger.warning("association %d with %s: %s", conn.association_id, conn.peer_addresses, error)
