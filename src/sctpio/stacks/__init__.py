"""Which stacks this machine has, and which one to use."""

import os

from ..errors import UnavailableError
from ..features import Capabilities
from . import kernel
from .base import Stack

__all__ = ["available_stacks", "capabilities", "choose"]

ENVIRONMENT = "SCTPIO_STACK"


def available_stacks() -> tuple[str, ...]:
    """Name the stacks that work here, the preferred one first: `("kernel",)` or `()`.

    A stack counts when a socket of it can be made now; loading the kernel's module changes the answer.
    """
    return (kernel.NAME,) if kernel.unavailable() is None else ()


def capabilities(stack: str | None = None) -> Capabilities:
    """Ask what a stack offers on this host: options, events, extensions, and what stands in their way.

    `stack` is as for `listen`. Raises ValueError for a name that no stack has, UnavailableError, OSError.
    """
    return choose(stack).capabilities()


def choose(name: str | None) -> Stack:
    """Give the stack called `name`; None means `$SCTPIO_STACK`, else the kernel's.

    Raises ValueError for a name that no stack has, UnavailableError when that stack does not work here.
    """
    wanted = name if name is not None else os.environ.get(ENVIRONMENT) or kernel.NAME
    if wanted == "usrsctp":
        raise UnavailableError("the usrsctp stack is not part of this version; stack='kernel' is")
    if wanted != kernel.NAME:
        source = "stack" if name is not None else f"${ENVIRONMENT}"
        raise ValueError(f"{source} is {wanted!r}; it takes 'kernel' or 'usrsctp'")
    reason = kernel.unavailable()
    if reason is not None:
        raise reason
    return kernel.STACK
