"""`Opening`: what `listen`, `connect` and `open_endpoint` return, to `await` or to use in `async with`."""

import warnings
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, Self, TypeVar


class _Closable(Protocol):
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: object) -> None: ...


C = TypeVar("C", bound=_Closable)


class Opening(Coroutine[Any, Any, C]):
    """An object about to be opened: `await` it, or use it with `async with`, once.

    It is a coroutine, so that `create_task` and `gather` take it too. If it is never awaited, it issues a
    RuntimeWarning, as coroutines do; whoever takes it for what is opened gets an AttributeError that says so.
    """

    def __init__(self, name: str, open_it: Callable[[], Coroutine[Any, Any, C]]) -> None:
        self._name = name
        self._open_it = open_it
        self._coroutine: Coroutine[Any, Any, C] | None = None
        self._used = False
        self._opened: C | None = None

    def _begin(self) -> Coroutine[Any, Any, C]:
        self._used = True
        if self._coroutine is None:
            self._coroutine = self._open_it()
        return self._coroutine

    def __del__(self) -> None:
        if not getattr(self, "_used", True):
            warnings.warn(f"{self._name}(...) was never awaited", RuntimeWarning, stacklevel=2, source=self)

    def __await__(self) -> Generator[Any, Any, C]:
        return self._begin().__await__()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(self._not_awaited(name))

    def _not_awaited(self, name: str) -> str:
        return (
            f"{self._name}(...) has no {name!r} before it is awaited: `opened = await {self._name}(...)`, or"
            f" `async with {self._name}(...) as opened`"
        )

    def send(self, value: Any, /, **options: Any) -> Any:
        """Resume, as a coroutine does; raises TypeError for what is meant for the `send` of a `Conn`."""
        if options or (value is not None and self._coroutine is None):
            raise TypeError(self._not_awaited("send"))
        return self._begin().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise inside, as a coroutine does."""
        return self._begin().throw(*error)

    def close(self) -> None:
        """Close, as a coroutine does."""
        self._used = True
        if self._coroutine is not None:
            self._coroutine.close()

    async def __aenter__(self) -> C:
        self._opened = await self
        return await self._opened.__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._opened is not None
        await self._opened.__aexit__(*exc_info)
