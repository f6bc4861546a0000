"""How an association ended: what errors and events say of it."""

import errno
import os

from .address import Address
from .errors import AssociationAbortedError, AssociationLostError
from .events import AssociationChange, AssociationState, ErrorCause
from .options import Status
from .stacks.base import StackSocket

# What a call gives when the association is no more; the first of them may be the only one.
ENDINGS = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESHUTDOWN,
        errno.ETIMEDOUT,
    }
)


def alive(raw: StackSocket, association_id: int) -> bool:
    """Ask the stack whether an association is still there (EINVAL once it is not)."""
    try:
        raw.get_option(Status, association_id, None)
    except OSError:
        return False
    return True


def ended_by(code: int, lost: AssociationChange | None, peer: Address) -> Exception:
    """Say how an association with `peer` ended, from the socket's error and the event that told of it."""
    cause = b"" if lost is None else lost.cause
    error = ErrorCause.NO_ERROR if lost is None else lost.error
    if lost is not None and lost.state is AssociationState.CANT_STR_ASSOC:
        if code == errno.ECONNRESET:
            # Refused late: the peer took our INIT, and not our COOKIE ECHO.
            code = errno.ECONNREFUSED
        code = code or (errno.ECONNREFUSED if lost.info or error else errno.ETIMEDOUT)
        return OSError(code, f"{os.strerror(code)} (no association with {peer})")
    aborted = code in (errno.ECONNRESET, errno.ECONNABORTED) or error or (lost is not None and lost.info)
    if aborted and code != errno.ETIMEDOUT:
        return AssociationAbortedError(cause, error)
    code = code or errno.ETIMEDOUT
    return AssociationLostError(os.strerror(code), code)
