"""What every way of opening a socket shares: `await` or `async with`, the settings, the defaults."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from ._association import Association
from ._events import EventHub, check_types, subscribable
from ._intake import Intake
from ._outgoing import Policy, default_policy
from ._socket import Socket
from .events import Event
from .options import InitMsg, Option
from .stacks import choose
from .stacks.base import RECORDS, Stack, StackSocket

RECEIVE_BUFFER = 1024 * 1024
MAX_MESSAGE_SIZE = 16 * 1024 * 1024


class _Closable(Protocol):
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: object) -> None: ...


C = TypeVar("C", bound=_Closable)


class Opening(Coroutine[Any, Any, C]):
    """An object about to be opened: `await` it, or use it with `async with`, once.

    It is a coroutine, so `create_task` and `gather` take it too.
    """

    def __init__(self, open_it: Callable[[], Coroutine[Any, Any, C]]) -> None:
        self._open_it = open_it
        self._coroutine: Coroutine[Any, Any, C] | None = None
        self._opened: C | None = None

    def _begin(self) -> Coroutine[Any, Any, C]:
        if self._coroutine is None:
            self._coroutine = self._open_it()
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, C]:
        return self._begin().__await__()

    def send(self, value: Any, /) -> Any:
        """Go on, as a coroutine does."""
        return self._begin().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise inside, as a coroutine does."""
        return self._begin().throw(*error)

    def close(self) -> None:
        """Give it up, as a coroutine does."""
        if self._coroutine is not None:
            self._coroutine.close()

    async def __aenter__(self) -> C:
        self._opened = await self
        return await self._opened.__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._opened is not None
        await self._opened.__aexit__(*exc_info)


@dataclass(slots=True)
class Settings:
    """What the constructors take, checked before any descriptor exists."""

    init: InitMsg | None
    options: tuple[Option, ...]
    events: tuple[type[Event], ...]
    stack: Stack
    receive_buffer: int
    max_message_size: int
    receive_batch: int = RECORDS
    default_policy: Policy | None = None
    policy_changed: bool = False

    @classmethod
    def check(
        cls,
        init: InitMsg | None,
        options: Iterable[Option],
        events: Iterable[type[Event]],
        stack: str | None,
        receive_buffer: int,
        max_message_size: int,
        receive_batch: int,
    ) -> Self:
        """Check the arguments of a constructor; raises ValueError, TypeError or UnavailableError."""
        if init is not None and not isinstance(init, InitMsg):
            raise TypeError(f"init is {init!r}; it takes an InitMsg")
        options = tuple(options)
        for option in options:
            if not isinstance(option, Option):
                raise TypeError(
                    f"options has {option!r}; it takes option values such as RtoInfo(initial=0.5)"
                )
        for name, size in (("receive_buffer", receive_buffer), ("max_message_size", max_message_size)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} is {size!r}; it takes a number of bytes from 1")
        if isinstance(receive_batch, bool) or receive_batch not in range(1, RECORDS + 1):
            raise ValueError(f"receive_batch is {receive_batch!r}; it takes a number from 1 to {RECORDS}")
        return cls(
            init,
            options,
            check_types(tuple(events)),
            choose(stack),
            receive_buffer,
            max_message_size,
            receive_batch,
            default_policy(options),
        )

    def apply(self, raw: StackSocket) -> None:
        """Set the options and subscribe the events on a new socket."""
        if self.init is not None:
            raw.set_option(self.init, 0)
        for option in self.options:
            raw.set_option(option, 0)
        for kind in subscribable(raw, self.events):
            raw.subscribe(kind, True, 0)

    def new_association(self, parent: EventHub | None = None, intake: Intake | None = None) -> Association:
        """Make the state of an association that is, or will be.

        Where it shares an `intake`, its events are for the parent's iterators too.
        """
        loop = asyncio.get_running_loop()
        association = Association(
            loop,
            intake=intake or Intake(loop, self.receive_buffer),
            max_message_size=self.max_message_size,
            hub=EventHub(loop, () if intake else self.events, parent),
            shared=intake is not None,
        )
        association.default_policy = self.default_policy
        return association

    def new_socket(self, raw: StackSocket, parent: EventHub | None = None) -> Socket:
        """Make the loop's side of a socket that has, or will have, one association."""
        return Socket(raw, asyncio.get_running_loop(), self.new_association(parent), self.receive_batch)
