"""What `Listener` and `Endpoint` have in common: a local port, options, events, broadcasts, statistics.

A local endpoint has a door through which associations come: an `Acceptor` if each has a socket of its own, a
`SharedSocket` if all share one. The functions at the end open such sockets and connect from them.
"""

import asyncio
import contextlib
import errno
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, Unpack

from ._loop import journal
from ._loop.acceptor import Acceptor
from ._loop.event_stream import EventHub, EventStream, open_events
from ._loop.link import Link
from ._loop.resolve import resolve
from ._loop.sending import Arguments, SendOptions, check_has_effect, payload
from ._loop.settings import Settings
from ._loop.shared_socket import SharedSocket
from ._loop.time_limits import answer_within, first_that_answers
from ._loop.unread import Unread
from ._loop.waiting import Waiters
from .address import Address, AddressLike, split_like
from .errors import ClosedError, EndOfAssociation, StreamOutOfRangeError
from .events import Event
from .options import Option, Scope
from .stacks.base import ALWAYS_SUBSCRIBED, Buffer, StackSocket
from .statistics import EndpointStatistics

T = TypeVar("T", bound=Option)

# The kernel takes the smaller of this and net.core.somaxconn.
BACKLOG = 65535


@dataclass(frozen=True, slots=True)
class BroadcastResult:
    """Which associations a message has `reached`, by id, and for the others (`failed`) the reason.

    "Reached" means what `send` promises: the stack has taken the message for that association.
    """

    reached: tuple[int, ...] = ()
    failed: dict[int, Exception] = field(default_factory=dict)


class LocalEndpoint:
    """A port of this host, with the addresses at which peers reach it."""

    def __init__(
        self, door: Acceptor | SharedSocket, settings: Settings, local: Address, hub: EventHub
    ) -> None:
        self._door = door
        self._settings = settings
        self._local = local
        self._hub = hub

    def __repr__(self) -> str:
        state = "closed" if self._door.closed else "open"
        return f"<sctpio.{type(self).__name__} {state} {self._local}>"

    def __del__(self) -> None:
        door = getattr(self, "_door", None)
        if door is not None and not door.closed:
            text = f"unclosed {self!r}"
            # Before the warning, which may be turned into an exception.
            door.abandon()
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop taking associations."""
        raise NotImplementedError

    def _open_events(self, types: tuple[type[Event], ...]) -> EventStream[Any]:
        return open_events(_Source(self), types, owner=self)

    async def _wait_for_input(self, waiters: Waiters, ready: Callable[[], object]) -> None:
        await waiters.wait(ready)

    def get_option(
        self, kind: type[T] | T, *, association: int = Scope.FUTURE, path: AddressLike | None = None
    ) -> T:
        """Read an option, by its type: what future associations start with, or that of one `association`.

        `kind` and `path` are as for `Conn.get_option`. Raises ValueError for CURRENT and ALL,
        AssociationError if there is no such association, ClosedError, and OSError (ENOPROTOOPT if the stack
        lacks the option).
        """
        self._check(association)
        if association not in tuple(Scope):
            return self._shared.member(association).get_option(kind, path)
        return self._raw.get_option(kind, association, None if path is None else Address(*split_like(path)))

    def set_option(self, value: Option, *, association: int = Scope.FUTURE) -> None:
        """Set an option, by a value: for future associations, or for those that `association` names.

        `association` is the id of one association, or a `Scope`. Fields that are None stay as they are.
        Raises ValueError for a scope that the option does not take, or a value that would have no effect,
        AssociationError if there is no such association, ClosedError, and OSError (ENOPROTOOPT if the stack
        lacks the option).
        """
        self._check(association)
        if association not in tuple(Scope):
            self._shared.member(association).set_option(value)
            return
        check_has_effect(value)
        for part in value.parts(self.stack):
            self._raw.set_option(part, association)

    async def broadcast(
        self,
        data: Buffer,
        *,
        timeout: float | None = 1.0,
        stream: int = 0,
        ppid: int | None = None,
        **options: Unpack[SendOptions],
    ) -> BroadcastResult:
        """Send one message to every association of a one-to-many socket; return which of them it reached.

        The other arguments are those of `Conn.send`. An association without space holds up no other; if it
        has none within `timeout` seconds (None: no limit), it counts as failed with BlockingIOError.
        Without associations, the result is empty. Cancelling it does not take back what was sent.

        Raises ValueError for an argument out of range, ClosedError, and RuntimeError if each association
        has a socket of its own.
        """
        links = self._shared.established
        self._check(Scope.FUTURE)
        data = payload(data)
        reached: dict[int, None] = {}
        failed: dict[int, Exception] = {}

        async def finish(link: Link, message: Arguments) -> None:
            identifier = link.association.id
            try:
                await link.sender.send_prepared(message)
            except (OSError, EndOfAssociation) as error:
                failed[identifier] = error
            else:
                del failed[identifier]
                reached[identifier] = None

        waiting: list[tuple[Link, Arguments]] = []
        for link in links:
            identifier = link.association.id
            try:
                message = link.sender.prepare(data, stream=stream, ppid=ppid, **options)
                if link.sender.send_now(message):
                    reached[identifier] = None
                else:
                    waiting.append((link, message))
                    failed[identifier] = BlockingIOError(errno.EAGAIN, f"no space to send within {timeout} s")
            except (OSError, EndOfAssociation, StreamOutOfRangeError) as error:
                failed[identifier] = error
        if waiting:
            # All wait at the same time, so that one without space holds up no other.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout), asyncio.TaskGroup() as tasks:
                    for link, message in waiting:
                        tasks.create_task(finish(link, message))
        return BroadcastResult(tuple(reached), failed)

    @property
    def local_addresses(self) -> Address:
        """The local port and addresses; for a wildcard, every address of the host."""
        return self._local

    @property
    def stack(self) -> str:
        """Which stack carries it, "kernel" or "usrsctp"."""
        return self._raw.stack

    @property
    def port(self) -> int:
        """The local port."""
        return self._local.port

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return -1 if self._door.closed else self._raw.fileno()

    def statistics(self) -> EndpointStatistics:
        """Return counts of what the associations do together."""
        shared = self._shared
        associations = [link.association for link in shared.established]
        unread = [each.count() for each in self._all_unread()]
        return EndpointStatistics(
            associations=len(associations),
            unaccepted=0 if shared.arrivals is None else len(shared.arrivals),
            refused=shared.refused,
            unread_messages=sum(count for count, _ in unread),
            unread_bytes=sum(size for _, size in unread),
            reading_paused=shared.paused,
            paused_by=shared.paused_by,
            pauses=shared.pauses,
            waiting_senders=sum(len(association.senders) for association in associations),
            send_wait_oldest=max((each.waits.oldest() for each in associations if each.waits), default=0.0),
            wakeups=shared.wakeups,
        )

    def _all_unread(self) -> Iterable[Unread]:
        return [link.association.unread for link in self._shared.established]

    @property
    def _raw(self) -> StackSocket:
        return self._door.raw

    @property
    def _shared(self) -> SharedSocket:
        if not isinstance(self._door, SharedSocket):
            raise RuntimeError("each association of this listener has a socket of its own: listen(mode=...)")
        return self._door

    def _check(self, association: int) -> None:
        if self._door.closed:
            raise ClosedError(self._door.why_closed or f"the {type(self).__name__.lower()} is closed")
        if association not in tuple(Scope):
            self._shared.member(association)


class _Source:
    """A local endpoint as the source of its events (see `EventSource`)."""

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self._endpoint = endpoint

    @property
    def raw(self) -> StackSocket:
        return self._endpoint._raw

    @property
    def hub(self) -> EventHub:
        return self._endpoint._hub

    def subscribe(self, kind: type[Event]) -> None:
        door = self._endpoint._door
        if not door.closed:
            door.subscribe(kind)

    def unsubscribe(self, kind: type[Event]) -> None:
        door = self._endpoint._door
        settings = self._endpoint._settings
        kept = issubclass(kind, (*ALWAYS_SUBSCRIBED, *settings.events, *journal.followed(settings.log)))
        if not door.closed and not kept and not self.hub.wanted(kind):
            door.unsubscribe(kind)

    async def wait_for_input(self, waiters: Waiters, ready: Callable[[], object]) -> None:
        await self._endpoint._wait_for_input(waiters, ready)


async def open_bound(
    local: AddressLike, settings: Settings, *, backlog: int, one_to_many: bool = False
) -> tuple[StackSocket, Address]:
    """Open a socket, bind it and listen (unless `backlog` is 0); return it and its address."""
    address = (await resolve(local))[0]
    raw = settings.stack.open(address, one_to_many=one_to_many)
    try:
        # Lets a server that restarts have its port while old associations linger, also one that it was given.
        raw.reuse_address()
        settings.apply_new(raw)
        raw.bind(address)
        if backlog:
            raw.listen(backlog)
        return raw, raw.local_addresses(0)
    except OSError as error:
        raw.close()
        what = "listen on" if backlog else "bind"
        raise OSError(
            error.errno, f"cannot {what} {address}: {error.strerror} ({raw.transport()})"
        ) from error
    except BaseException:
        raw.close()
        raise


def share(
    raw: StackSocket,
    settings: Settings,
    hub: EventHub,
    *,
    unread: Unread | None = None,
    most_waiting: int | None = None,
    abort_slow: bool = False,
) -> SharedSocket:
    """Return the loop's side of a one-to-many socket, which starts reading; see `SharedSocket`.

    Its associations share `unread`, or have a receive buffer each.
    """
    shared = SharedSocket(
        raw,
        asyncio.get_running_loop(),
        hub=hub,
        new_association=lambda: settings.new_association(hub, unread),
        most_waiting=most_waiting,
        abort_slow=abort_slow,
        batch=settings.receive_batch,
    )
    shared.start()
    return shared


async def connect_any(shared: SharedSocket, candidates: list[Address], timeout: float | None) -> Link:
    """Connect to the first candidate that answers; raises what the last one raised."""

    async def attempt(remote: Address, seconds: float | None) -> Link:
        async with answer_within(seconds, remote, shared.raw):
            return await shared.connect(remote)

    return await first_that_answers(candidates, attempt, timeout)
