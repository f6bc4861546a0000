"""The errors that sctpio raises itself.

::

    OSError
     +-- UnavailableError           no SCTP stack to be had on this machine
     +-- MessageTooLargeError       EMSGSIZE: a message beyond a limit
     +-- ReconfigurationError       EPERM, EIO: the peer denied a change of streams, or it failed
     +-- ConnectionError
          +-- AssociationError      the association has ended other than gracefully
               +-- AssociationAbortedError   (and ConnectionResetError) ABORT, by either side
               +-- AssociationLostError      no path to the peer answers any more
               +-- ClosedError               closed here
    EOFError
     +-- EndOfAssociation           the association has ended gracefully
    ValueError
     +-- StreamOutOfRangeError      the association has no such stream
     +-- DecodeError                bytes that are not what they should be
    RuntimeError
     +-- ReceiveBufferFullError     a receive that could never be served

Any other failing system call is the plain OSError subclass of its errno. Every class here can be
pickled and copied: `copy.copy(error)` is a fresh instance with the same attributes and no
traceback, to be raised in another task.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

from .events import ErrorCause, StreamResetFlags

__all__ = [
    "AssociationAbortedError",
    "AssociationError",
    "AssociationLostError",
    "ClosedError",
    "DecodeError",
    "EndOfAssociation",
    "MessageTooLargeError",
    "ReceiveBufferFullError",
    "ReconfigurationError",
    "StreamOutOfRangeError",
    "UnavailableError",
]

_Reduced = tuple[type[Any], tuple[Any, ...]]


class UnavailableError(OSError):
    """This machine has no usable SCTP stack; the text says what to load or install.

    It is made of an errno and a text, or of the text alone (errno is then EPROTONOSUPPORT).
    """

    def __init__(self, number: int | str, message: str | None = None) -> None:
        if isinstance(number, str):
            super().__init__(errno.EPROTONOSUPPORT, number)
        else:
            super().__init__(number, message)

    def __reduce__(self) -> _Reduced:
        return type(self), (self.errno, self.strerror)


class MessageTooLargeError(OSError):
    """A message is larger than a limit, which the text names; errno is EMSGSIZE."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EMSGSIZE, message)

    def __reduce__(self) -> _Reduced:
        return type(self), (self.strerror,)


class ReconfigurationError(OSError):
    """The peer has denied a request (EPERM), or it could not be carried out (EIO); RFC 6525 section 4.4.

    `request` names it, `flags` are those of the event that answered.
    """

    def __init__(self, request: str, flags: StreamResetFlags) -> None:
        denied = bool(flags & StreamResetFlags.DENIED)
        super().__init__(
            errno.EPERM if denied else errno.EIO,
            f"{request}: the peer has denied it" if denied else f"{request}: it failed",
        )
        self.request = request
        self.flags = flags

    def __reduce__(self) -> _Reduced:
        return type(self), (self.request, self.flags)


class AssociationError(ConnectionError):
    """The association has ended other than gracefully; the base of the ways that it can."""

    def __init__(self, message: str = "the association has ended", number: int = errno.ENOTCONN) -> None:
        super().__init__(number, message)

    def __reduce__(self) -> _Reduced:
        return type(self), (self.strerror, self.errno)


class AssociationAbortedError(AssociationError, ConnectionResetError):
    """The association was ended by an ABORT chunk (RFC 9260 section 9.1); errno is ECONNRESET.

    `cause` is the upper-layer reason that the aborting side gave, b"" where it gave none. `error`
    is the error cause code in the ABORT.
    """

    def __init__(self, cause: bytes = b"", error: ErrorCause = ErrorCause.NO_ERROR) -> None:
        text = f"the association was aborted ({error.name})"
        super().__init__(f"{text}: {cause!r}" if cause else text, errno.ECONNRESET)
        self.cause = cause
        self.error = error

    def __reduce__(self) -> _Reduced:
        return type(self), (self.cause, self.error)


class AssociationLostError(AssociationError):
    """No path to the peer answers any more; `reason` says what was seen. errno is ETIMEDOUT
    unless the stack gave another."""

    def __init__(self, reason: str = "no path to the peer answers", number: int = errno.ETIMEDOUT) -> None:
        super().__init__(f"the association was lost: {reason}", number)
        self.reason = reason

    def __reduce__(self) -> _Reduced:
        return type(self), (self.reason, self.errno)


class ClosedError(AssociationError):
    """The object was closed here; errno is EBADF."""

    def __init__(self, message: str = "the association was closed here") -> None:
        super().__init__(message, errno.EBADF)

    def __reduce__(self) -> _Reduced:
        return type(self), (self.strerror,)


class EndOfAssociation(EOFError):  # noqa: N818 -- named like EOF and StopIteration: no failure
    """The peer has ended the association gracefully, and every message was received."""

    def __init__(self, message: str = "the association has ended gracefully") -> None:
        super().__init__(message)


class StreamOutOfRangeError(ValueError):
    """Stream `stream` does not exist: the association has `limit` streams, 0 to `limit` - 1."""

    def __init__(self, stream: int, limit: int) -> None:
        super().__init__(f"there is no stream {stream}: the association has {limit} streams from 0")
        self.stream = stream
        self.limit = limit

    def __reduce__(self) -> _Reduced:
        return type(self), (self.stream, self.limit)


class DecodeError(ValueError):
    """Bytes from a stack or the network are not what they should be."""


class ReceiveBufferFullError(RuntimeError):
    """A receive could never be served: unread messages of other streams fill the buffer.

    `streams` are the numbers of those streams, ascending; `limit` is the buffer's size in bytes.
    """

    def __init__(self, streams: Iterable[int], limit: int) -> None:
        self.streams: tuple[int, ...] = tuple(sorted(streams))
        self.limit = limit
        names = ", ".join(map(str, self.streams))
        super().__init__(f"unread messages of stream {names} fill the receive buffer of {limit} bytes")

    def __reduce__(self) -> _Reduced:
        return type(self), (self.streams, self.limit)
