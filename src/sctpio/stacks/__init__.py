"""Which stacks this machine has, and which one to use."""

import errno
import os

from ..errors import UnavailableError
from ..features import Capabilities
from . import kernel
from .base import Stack
from .udp_ports import usrsctp_config

__all__ = ["available_stacks", "capabilities", "choose", "usrsctp_config"]

ENVIRONMENT = "SCTPIO_STACK"
USRSCTP = "usrsctp"


def _load_usrsctp() -> Stack | UnavailableError:
    try:
        # Only who needs it loads the library.
        from . import usrsctp
    except ImportError as error:
        if error.name != f"{__name__}._usrsctp":
            return UnavailableError(errno.ENOSYS, f"the usrsctp stack cannot be loaded: {error}")
        return UnavailableError(
            errno.ENOSYS,
            "sctpio was built without libusrsctp: `apt install libusrsctp-dev` and install sctpio again",
        )
    return usrsctp.unavailable() or usrsctp.STACK


def available_stacks() -> tuple[str, ...]:
    """Name the stacks that work here, the preferred one first: `("kernel", "usrsctp")` at most.

    The kernel's counts when a socket of it can be made now: loading its module changes the answer.
    """
    stacks = (kernel.NAME,) if kernel.unavailable() is None else ()
    return stacks if isinstance(_load_usrsctp(), UnavailableError) else (*stacks, USRSCTP)


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
    if wanted not in (None, kernel.NAME, USRSCTP):
        source = "stack" if name is not None else f"${ENVIRONMENT}"
        raise ValueError(f"{source} is {wanted!r}; it takes 'kernel' or 'usrsctp'")
    reason = None
    if wanted != USRSCTP:
        reason = kernel.unavailable()
        if reason is None:
            return kernel.STACK
        if wanted == kernel.NAME:
            raise reason
    found = _load_usrsctp()
    if not isinstance(found, UnavailableError):
        return found
    if reason is None:
        raise found
    raise UnavailableError(reason.errno or errno.EPROTONOSUPPORT, f"{reason.strerror}; and {found.strerror}")
