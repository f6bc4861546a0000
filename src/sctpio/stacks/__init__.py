"""Which stacks this machine has, and which one to use."""

import errno
import os

from ..errors import UnavailableError
from ..features import Capabilities
from .base import Stack
from .udp_ports import usrsctp_config

__all__ = ["available_stacks", "capabilities", "choose", "usrsctp_config"]

ENVIRONMENT = "SCTPIO_STACK"
KERNEL, USRSCTP = "kernel", "usrsctp"

# Only who needs a stack loads it.


def _load_kernel() -> Stack | UnavailableError:
    from . import kernel

    return kernel.unavailable() or kernel.STACK


def _load_usrsctp() -> Stack | UnavailableError:
    try:
        from . import usrsctp
    except ImportError as error:
        if error.name != f"{__name__}._usrsctp":
            return UnavailableError(errno.ENOSYS, f"the usrsctp stack cannot be loaded: {error}")
        return UnavailableError(
            errno.ENOSYS,
            "sctpio was built without libusrsctp: `apt install libusrsctp-dev` and install sctpio again",
        )
    return usrsctp.unavailable() or usrsctp.STACK


_LOADERS = {KERNEL: _load_kernel, USRSCTP: _load_usrsctp}


def available_stacks() -> tuple[str, ...]:
    """Name the stacks that work here, the preferred one first: `("kernel", "usrsctp")` at most.

    The kernel's counts when a socket of it can be made now: loading its module changes the answer.
    """
    return tuple(name for name, load in _LOADERS.items() if not isinstance(load(), UnavailableError))


def capabilities(stack: str | None = None) -> Capabilities:
    """Ask what a stack offers on this host: options, events, extensions, and what stands in their way.

    `stack` is as for `listen`. Raises ValueError for a name that no stack has, UnavailableError, OSError.
    """
    return choose(stack).capabilities()


def choose(name: str | None) -> Stack:
    """Give the stack called `name`; None means `$SCTPIO_STACK`, else the kernel's, else usrsctp.

    Raises ValueError for a name that no stack has, UnavailableError when that stack does not work here.
    """
    wanted = name if name is not None else os.environ.get(ENVIRONMENT) or None
    if wanted not in (None, *_LOADERS):
        source = "stack" if name is not None else f"${ENVIRONMENT}"
        raise ValueError(f"{source} is {wanted!r}; it takes 'kernel' or 'usrsctp'")
    reasons = []
    for load in _LOADERS.values() if wanted is None else [_LOADERS[wanted]]:
        found = load()
        if not isinstance(found, UnavailableError):
            return found
        reasons.append(found)
    if len(reasons) == 1:
        raise reasons[0]
    raise UnavailableError(
        reasons[0].errno or errno.EPROTONOSUPPORT, "; and ".join(str(reason.strerror) for reason in reasons)
    )
