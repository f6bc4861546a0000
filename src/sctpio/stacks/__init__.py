"""Which stacks this machine has, and which one to use.

A stack (`base.Stack`) makes sockets that all behave alike, whoever speaks SCTP: `kernel` is the one of Linux,
`usrsctp` one in user space. `native` is what the sockets of both have in common. Above this package nothing
knows which stack it has; below it, `_abi` reads and writes the bytes of either.
"""

import errno
import logging
import os
from collections.abc import Callable
from typing import NamedTuple

from ..errors import UnavailableError
from ..features import Capabilities
from .base import Stack
from .kernel import capabilities as kernel_capabilities
from .kernel import socket as kernel_socket
from .usrsctp.udp_ports import usrsctp_config

__all__ = ["available_stacks", "capabilities", "choose", "usrsctp_config"]

logger: logging.Logger = logging.getLogger("sctpio.stack")

ENVIRONMENT = "SCTPIO_STACK"
KERNEL, USRSCTP = "kernel", "usrsctp"


class _Known(NamedTuple):
    """A stack that is part of this build.

    `unavailable()` returns the reason why it cannot be used here, None if it can; `ask()` returns what it
    offers.
    """

    unavailable: Callable[[], UnavailableError | None]
    stack: Stack
    ask: Callable[[], Capabilities]


# Every stack that a name is accepted for, the preferred one first; an error where it is not in this build.
_known: dict[str, _Known | UnavailableError] = {
    KERNEL: _Known(
        lambda: kernel_socket.unavailable(),
        kernel_socket.STACK,
        lambda: kernel_capabilities.ask(kernel_socket.STACK),
    )
}
try:
    from .usrsctp import capabilities as usrsctp_capabilities
    from .usrsctp import socket as usrsctp_socket
except ImportError as _error:
    if _error.name == f"{__name__}._usrsctp":
        _text = "sctpio was built without libusrsctp: `apt install libusrsctp-dev` and install sctpio again"
    else:
        _text = f"the usrsctp stack cannot be loaded: {_error}"
    _known[USRSCTP] = UnavailableError(errno.ENOSYS, _text)
else:
    _known[USRSCTP] = _Known(
        lambda: usrsctp_socket.unavailable(),
        usrsctp_socket.STACK,
        lambda: usrsctp_capabilities.ask(usrsctp_socket.STACK),
    )


# The stacks that the log has named.
_said: set[str] = set()


def _find(name: str) -> _Known | UnavailableError:
    """Return the stack of a name, or the reason why it cannot be used now."""
    known = _known[name]
    if isinstance(known, UnavailableError):
        # A new instance each time: a raised error collects tracebacks.
        return UnavailableError(known.errno or errno.ENOSYS, known.strerror)
    return known.unavailable() or known


def available_stacks() -> tuple[str, ...]:
    """Return the names of the stacks that work here, the preferred one first.

    At most ``("kernel", "usrsctp")``. The kernel's is among them if it can make a socket now, so loading its
    module changes the answer.
    """
    return tuple(name for name in _known if not isinstance(_find(name), UnavailableError))


def capabilities(stack: str | None = None) -> Capabilities:
    """Return what a stack offers on this host: options, events, extensions, and what stands in their way.

    `stack` is as for `listen`. The stack is asked with sockets that are made for it and closed again.

    Raises:
        ValueError: no stack has that name.
        UnavailableError: the stack cannot be used here.
        OSError: no socket can be made.
    """
    return _choose(stack).ask()


def choose(name: str | None) -> Stack:
    """Return the stack called `name`; None means `$SCTPIO_STACK`, else the kernel's, else usrsctp.

    Raises:
        ValueError: no stack has that name.
        UnavailableError: that stack, or each of the two, cannot be used here; the text says why.
    """
    stack = _choose(name).stack
    if stack.name not in _said and logger.isEnabledFor(logging.INFO):
        _said.add(stack.name)
        logger.info("SCTP is %s", _why(name, stack.name))
    return stack


def _why(asked: str | None, name: str) -> str:
    """Return what a stack is, and why it is used."""
    what = "the kernel's" if name == KERNEL else "usrsctp's, in user space and over UDP"
    if asked is not None:
        return f"{what}, as stack={asked!r} asks for"
    if os.environ.get(ENVIRONMENT):
        return f"{what}, as ${ENVIRONMENT} asks for"
    missing = None if name == KERNEL else _find(KERNEL)
    return f"{what}: {missing.strerror}" if isinstance(missing, UnavailableError) else what


def _choose(name: str | None) -> _Known:
    wanted = name if name is not None else os.environ.get(ENVIRONMENT) or None
    if wanted not in (None, *_known):
        source = "stack" if name is not None else f"${ENVIRONMENT}"
        raise ValueError(f"{source} is {wanted!r}; it takes 'kernel' or 'usrsctp'")
    reasons = []
    for candidate in _known if wanted is None else [wanted]:
        found = _find(candidate)
        if not isinstance(found, UnavailableError):
            return found
        reasons.append(found)
    if len(reasons) == 1:
        raise reasons[0]
    raise UnavailableError(
        reasons[0].errno or errno.EPROTONOSUPPORT, "; and ".join(str(reason.strerror) for reason in reasons)
    )
