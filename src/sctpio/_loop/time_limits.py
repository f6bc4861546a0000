"""Time limits of what waits for a peer: setting an association up, and shutting it down.

A peer that is dead, or was never there, answers nothing, and a stack by itself goes on trying for minutes. So
`connect` and `close` have limits by default, and the errors say what was waited for.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from ..address import Address
from ..stacks.base import StackSocket

T = TypeVar("T")

# Seconds.
CONNECT_TIMEOUT = 10.0
# Longer, because a path that fails meanwhile costs some ten seconds with the default timers.
CLOSE_TIMEOUT = 30.0


def check_timeout(timeout: float | None, name: str = "timeout") -> None:
    """Raise ValueError unless a time limit is a number of seconds above 0, or None."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"{name} is {timeout!r}; it takes seconds above 0, or None for no limit")


async def first_that_answers(
    candidates: Sequence[Address],
    attempt: Callable[[Address, float | None], Awaitable[T]],
    timeout: float | None,
) -> T:
    """Return what the first successful attempt returns; raises what the last one raised.

    `timeout` is for all together. Each gets an equal share of what is left of it, as its own limit, so that
    one that does not answer leaves time for the next.
    """
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    for left in range(len(candidates), 1, -1):
        share = None if end is None else (end - loop.time()) / left
        try:
            return await attempt(candidates[-left], share)
        except OSError:
            continue
    return await attempt(candidates[-1], None if end is None else end - loop.time())


@asynccontextmanager
async def answer_within(seconds: float | None, remote: Address, raw: StackSocket) -> AsyncIterator[None]:
    """Limit the time of setting up an association; TimeoutError (ETIMEDOUT) when it is over.

    Whatever OSError comes from within names the stack.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except OSError as error:
        if limit.expired() and error.errno is None:
            how = raw.transport(no_answer=True)
            text = f"no answer within {seconds:.3g} s (no association with {remote}; {how})"
            raise TimeoutError(errno.ETIMEDOUT, text) from error.__cause__
        if error.errno is None or raw.stack in str(error):
            raise
        named = OSError(error.errno, f"{error.strerror} ({raw.transport()})")
        # A class of this package says more than its errno does.
        if type(named) is not type(error):
            raise
        raise named from error.__cause__
