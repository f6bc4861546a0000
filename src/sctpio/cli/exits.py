"""How a command ends: its status, and which error is which."""

import enum
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import AssociationEnded, UnavailableError

__all__ = [
    "INTERRUPTED",
    "OUTPUT_CLOSED",
    "TERMINATED",
    "CommandError",
    "Exit",
    "exit_of",
    "refused_is_usage",
    "text_of",
]

# What a shell shows for a program that a signal has ended: SIGINT, SIGTERM, SIGPIPE.
INTERRUPTED, TERMINATED, OUTPUT_CLOSED = 130, 143, 141


class Exit(enum.IntEnum):
    """The status of a command that came to its end."""

    DONE = 0
    FOUND = 1
    """A check found something, or the peer answered wrong."""
    USAGE = 2
    """An argument cannot be used: it is unreadable, or this machine does not have what it names."""
    NO_SCTP = 3
    UNREACHABLE = 4
    """The peer refused the association, or cannot be reached."""
    LOST = 5
    """The association was aborted or lost."""
    TIME_LIMIT = 6


class CommandError(Exception):
    """A command cannot go on; the text says why, and is all that is printed."""

    def __init__(self, exit: Exit, text: str) -> None:  # noqa: A002 -- as sys.exit and Exit have it
        super().__init__(text)
        self.exit = exit


# Of the address or the option that was given, not of the peer.
_LOCAL = (
    errno.EACCES,
    errno.EPERM,
    errno.EADDRINUSE,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EINVAL,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EMSGSIZE,
)
_FAR = (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


def exit_of(error: BaseException) -> Exit:
    """Return the status that an error of the library, or of the system, stands for."""
    if isinstance(error, UnavailableError):
        return Exit.NO_SCTP
    if isinstance(error, AssociationEnded):
        return Exit.LOST
    if isinstance(error, TimeoutError):
        return Exit.TIME_LIMIT
    if isinstance(error, socket.gaierror):
        return Exit.UNREACHABLE
    if isinstance(error, OSError):
        if error.errno in _FAR:
            return Exit.UNREACHABLE
        if error.errno in _LOCAL:
            return Exit.USAGE
    return Exit.FOUND


def text_of(error: BaseException) -> str:
    """Return the text of an error without the number in front, which is for programs."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


@contextmanager
def refused_is_usage() -> Iterator[None]:
    """Around calls whose arguments came from the command line: a value that the library refuses is usage."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise CommandError(Exit.USAGE, str(error)) from error
