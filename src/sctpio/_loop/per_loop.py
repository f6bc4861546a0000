"""Objects of which each loop has one. The loop itself holds them, so they go when it goes."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def of_loop(loop: asyncio.AbstractEventLoop, make: Callable[[asyncio.AbstractEventLoop], T]) -> T:
    """Return the loop's own object of a kind; it is made the first time that it is asked for."""
    kept: dict[object, T] = vars(loop).setdefault("_sctpio", {})
    try:
        return kept[make]
    except KeyError:
        # One atomic step: a finalizer may ask for the object while it is being made.
        return kept.setdefault(make, make(loop))
