"""The errors that sctpio raises itself, where no error of Python says enough.

::

    OSError
     +-- UnavailableError           this machine has no SCTP stack that can be used
     +-- MessageTooLargeError       EMSGSIZE: a message is larger than a limit
          +-- ReceivedTooLargeError (and AssociationEnded) the peer's was, so the association was aborted
     +-- ReconfigurationError       EPERM, EIO: a change of streams was denied, or failed
     +-- ConnectionError
          +-- AssociationError      (and AssociationEnded) the association has ended, and not gracefully
               +-- AssociationAbortedError   (and ConnectionResetError) by an ABORT
               +-- AssociationLostError      no path to the peer answers any more
               +-- ClosedError               closed here
    EOFError
     +-- EndOfAssociation           (and AssociationEnded) the association has ended gracefully
    ValueError
     +-- StreamOutOfRangeError      the association has no such stream
     +-- DecodeError                bytes from a stack are malformed
    RuntimeError
     +-- ReceiveBufferFullError     a receive would wait for ever

`AssociationEnded` is what every end of an association is, graceful or not: one `except` around sending and
receiving is enough. Any other failing system call is the plain OSError, or the subclass that Python has for
its errno. Every class here can be pickled and copied. How an association ended is remembered and raised by
each later call, so that is a copy each time (`copy.copy(error)`): an instance that is raised twice collects
both tracebacks.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

from .events import ErrorCause, StreamResetFlags

__all__ = [
    "AssociationAbortedError",
    "AssociationEnded",
    "AssociationError",
    "AssociationLostError",
    "ClosedError",
    "DecodeError",
    "EndOfAssociation",
    "MessageTooLargeError",
    "ReceiveBufferFullError",
    "ReceivedTooLargeError",
    "ReconfigurationError",
    "StreamOutOfRangeError",
    "UnavailableError",
]

_Reduced = tuple[type[Any], tuple[Any, ...]]


class AssociationEnded(Exception):  # noqa: N818 -- some ends are no failure
    """An association has ended, in whatever way: the base of all exceptions that say how.

    What is raised is always one of its subclasses, which are an OSError too, or, for a graceful end, an
    EOFError.
    """


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


class ReceivedTooLargeError(MessageTooLargeError, AssociationEnded):
    """The peer sent more than `max_message_size` allows, so the association was aborted here; errno is
    EMSGSIZE."""


class ReconfigurationError(OSError):
    """A request to change streams was denied by the peer (EPERM), or failed (EIO); see RFC 6525 section 4.4.

    `request` names it, and `flags` are those of the event that answered it.
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


class AssociationError(ConnectionError, AssociationEnded):
    """The association has ended, and not gracefully: the base of the errors that say how. errno is ENOTCONN
    unless they say otherwise."""

    def __init__(self, message: str = "the association has ended", number: int = errno.ENOTCONN) -> None:
        super().__init__(number, message)

    def __reduce__(self) -> _Reduced:
        return type(self), (self.strerror, self.errno)


class AssociationAbortedError(AssociationError, ConnectionResetError):
    """The association was ended by an ABORT chunk (RFC 9260 section 9.1); errno is ECONNRESET.

    `cause` is the reason that the application of the aborting end gave, b"" if it gave none. `error` is the
    error cause code in the ABORT.
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


class EndOfAssociation(EOFError, AssociationEnded):  # noqa: N818 -- named like EOF and StopIteration: no failure
    """The association has ended gracefully, and every message was received.

    `async for` ends without raising it.
    """

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
    """Bytes from a stack or the network are malformed; the text says what was expected."""


class ReceiveBufferFullError(RuntimeError):
    """A receive would wait for ever: unread messages of other streams fill the receive buffer.

    Nothing more is read from the socket until they are taken. `streams` are the numbers of those streams,
    ascending, and `limit` is the size of the buffer in bytes.
    """

    def __init__(self, streams: Iterable[int], limit: int) -> None:
        self.streams: tuple[int, ...] = tuple(sorted(streams))
        self.limit = limit
        names = ", ".join(map(str, self.streams))
        super().__init__(f"unread messages of stream {names} fill the receive buffer of {limit} bytes")

    def __reduce__(self) -> _Reduced:
        return type(self), (self.streams, self.limit)
