"""What a `Listener` and an `Endpoint` have in common: a port of this host, its options and its events."""

import warnings
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Self, TypeVar

from ._acceptor import Acceptor
from ._events import EventHub, EventStream, open_events
from ._intake import Intake
from ._link import Link
from ._many import Many
from ._opening import Settings
from ._outgoing import Policy, default_policy
from ._resolve import resolve
from ._waiting import Waiters
from .address import Address, AddressLike, split_like
from .errors import ClosedError
from .events import Event
from .options import DefaultPrInfo, Option, Scope
from .stacks.base import ALWAYS_SUBSCRIBED, StackSocket
from .statistics import EndpointStatistics

T = TypeVar("T", bound=Option)


class LocalEndpoint:
    """A port and the addresses of this host that peers reach."""

    def __init__(self, door: Acceptor | Many, settings: Settings, local: Address, hub: EventHub) -> None:
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
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            door.abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Take no more associations."""
        raise NotImplementedError

    def _open_events(
        self, types: tuple[type[Event], ...], wait: Callable[[Waiters], Coroutine[Any, Any, None]]
    ) -> EventStream[Any]:
        return open_events(
            self._raw,
            self._hub,
            types,
            owner=self,
            subscribe=self._subscribe,
            unsubscribe=self._unsubscribe,
            wait=wait,
        )

    def _subscribe(self, kind: type[Event]) -> None:
        if not self._door.closed:
            self._door.subscribe(kind)

    def _unsubscribe(self, kind: type[Event]) -> None:
        kept = issubclass(kind, (*ALWAYS_SUBSCRIBED, *self._settings.events)) or self._hub.wanted(kind)
        if not self._door.closed and not kept:
            self._door.unsubscribe(kind)

    def get_option(
        self, kind: type[T] | T, *, association: int = Scope.FUTURE, path: AddressLike | None = None
    ) -> T:
        """Read a typed option: what coming associations start with, or the value of one `association`.

        `kind` and `path` are as for `Conn.get_option`. Raises ValueError for CURRENT and ALL,
        AssociationError for an association that is not there, OSError.
        """
        self._check(association)
        if association not in tuple(Scope):
            return self._many.member(association).get_option(kind, path)
        return self._raw.get_option(kind, association, None if path is None else Address(*split_like(path)))

    def set_option(self, value: Option, *, association: int = Scope.FUTURE) -> None:
        """Set a typed option for coming associations; a field that is None stays as it is.

        `association` is one association's id, or a `Scope`. Raises ValueError for a scope that the option
        does not take, AssociationError for an association that is not there, OSError.
        """
        self._check(association)
        if association not in tuple(Scope):
            self._many.member(association).set_option(value)
            return
        self._raw.set_option(value, association)
        if isinstance(value, DefaultPrInfo):
            self._remember(default_policy([value]), Scope(association))

    def _remember(self, policy: Policy | None, scope: Scope) -> None:
        if scope is not Scope.CURRENT:
            self._settings.default_policy = policy
            self._settings.policy_changed = True
        if scope is not Scope.FUTURE and isinstance(self._door, Many):
            for link in self._door.members.values():
                link.association.default_policy = policy

    @property
    def local_addresses(self) -> Address:
        """The port and the addresses that peers can reach; every address of the host for a wildcard."""
        return self._local

    @property
    def port(self) -> int:
        """The port of this host."""
        return self._local.port

    def fileno(self) -> int:
        """Give the descriptor, -1 once closed."""
        return -1 if self._door.closed else self._raw.fileno()

    def statistics(self) -> EndpointStatistics:
        """Count what the associations of a one-to-many socket do together.

        Raises RuntimeError where each association has a socket, and statistics, of its own.
        """
        many = self._many
        associations = [link.association for link in many.established]
        unread = [intake.unread() for intake in self._intakes()]
        return EndpointStatistics(
            associations=len(associations),
            unaccepted=len(many.arrived or ()),
            refused=many.refused,
            unread_messages=sum(count for count, _ in unread),
            unread_bytes=sum(size for _, size in unread),
            reading_paused=many.paused,
            paused_by=many.paused_by,
            pauses=many.pauses,
            waiting_senders=sum(len(association.senders) for association in associations),
            wakeups=many.wakeups,
        )

    def _intakes(self) -> Iterable[Intake]:
        return [link.association.intake for link in self._many.established]

    @property
    def _raw(self) -> StackSocket:
        return self._door.raw

    @property
    def _many(self) -> Many:
        if not isinstance(self._door, Many):
            raise RuntimeError("each association of this listener has a socket of its own: listen(mode=...)")
        return self._door

    def _check(self, association: int) -> None:
        if self._door.closed:
            raise ClosedError(f"the {type(self).__name__.lower()} is closed")
        if association not in tuple(Scope):
            self._many.member(association)


async def open_bound(
    local: AddressLike, settings: Settings, *, backlog: int, one_to_many: bool = False
) -> tuple[StackSocket, Address]:
    """Open a socket, bind it and listen (unless the backlog is 0): the socket, and what it is bound to."""
    address = (await resolve(local))[0]
    raw = settings.stack.open(address, one_to_many=one_to_many)
    try:
        if address.port:
            # A server that starts again while old associations linger can have its port.
            raw.reuse_address()
        settings.apply(raw)
        raw.bind(address)
        if backlog:
            raw.listen(backlog)
        return raw, raw.local_addresses(0)
    except OSError as error:
        raw.close()
        what = "listen on" if backlog else "bind"
        raise OSError(error.errno, f"cannot {what} {address}: {error.strerror}") from error
    except BaseException:
        raw.close()
        raise


async def connect_any(many: Many, candidates: list[Address]) -> Link:
    """Connect with what an address can mean, one after another."""
    for candidate in candidates[:-1]:
        try:
            return await many.connect(candidate)
        except OSError:
            continue
    return await many.connect(candidates[-1])
