from __future__ import annotations

import copy
import errno
import pickle
from collections.abc import Callable

import pytest

from sctpio.errors import (
    AssociationAbortedError,
    AssociationEnded,
    AssociationError,
    AssociationLostError,
    ClosedError,
    DecodeError,
    EndOfAssociation,
    MessageTooLargeError,
    ReceiveBufferFullError,
    ReceivedTooLargeError,
    StreamOutOfRangeError,
    UnavailableError,
)
from sctpio.events import ErrorCause

ERRORS: list[Exception] = [
    UnavailableError("load sctp"),
    UnavailableError(errno.ESOCKTNOSUPPORT, "load sctp"),
    MessageTooLargeError("20 bytes are more than 10"),
    ReceivedTooLargeError("20 bytes are more than 10"),
    AssociationError(),
    AssociationError("gone", errno.EPIPE),
    AssociationAbortedError(),
    AssociationAbortedError(b"bye", ErrorCause.USER_INITIATED_ABORT),
    AssociationAbortedError(error=ErrorCause(999)),
    AssociationLostError(),
    AssociationLostError("nothing came back", errno.EHOSTUNREACH),
    ClosedError(),
    ClosedError("the listener was closed here"),
    EndOfAssociation(),
    EndOfAssociation("over"),
    StreamOutOfRangeError(12, 10),
    DecodeError("short"),
    ReceiveBufferFullError((5, 3), 1024),
]


def attributes(error: Exception) -> object:
    return type(error), str(error), error.args, vars(error), getattr(error, "errno", None)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_copy_is_fresh_and_equal(error: Exception, again: Callable[[Exception], Exception]) -> None:
    with pytest.raises(type(error)):
        raise error
    assert error.__traceback__ is not None
    other = again(error)
    assert other is not error
    assert attributes(other) == attributes(error)
    assert other.__traceback__ is None


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (UnavailableError, (OSError,)),
        (MessageTooLargeError, (OSError,)),
        (ReceivedTooLargeError, (MessageTooLargeError, AssociationEnded)),
        (AssociationEnded, (Exception,)),
        (AssociationError, (ConnectionError, AssociationEnded)),
        (AssociationAbortedError, (AssociationError, ConnectionResetError)),
        (AssociationLostError, (AssociationError,)),
        (ClosedError, (AssociationError,)),
        (EndOfAssociation, (EOFError, AssociationEnded)),
        (StreamOutOfRangeError, (ValueError,)),
        (DecodeError, (ValueError,)),
        (ReceiveBufferFullError, (RuntimeError,)),
    ],
)
def test_the_tree(kind: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    assert kind.__bases__ == bases


def test_one_base_is_that_of_the_ends_and_of_nothing_else() -> None:
    ends = {type(error) for error in ERRORS if isinstance(error, AssociationEnded)}
    assert ends == {
        AssociationAbortedError,
        AssociationError,
        AssociationLostError,
        ClosedError,
        EndOfAssociation,
        ReceivedTooLargeError,
    }


@pytest.mark.parametrize(
    ("error", "number", "text"),
    [
        (UnavailableError("load sctp"), errno.EPROTONOSUPPORT, "load sctp"),
        (UnavailableError(errno.EPERM, "no"), errno.EPERM, "no"),
        (MessageTooLargeError("20 > 10"), errno.EMSGSIZE, "20 > 10"),
        (AssociationError(), errno.ENOTCONN, "the association has ended"),
        (AssociationAbortedError(), errno.ECONNRESET, "the association was aborted (NO_ERROR)"),
        (
            AssociationAbortedError(b"bye", ErrorCause.USER_INITIATED_ABORT),
            errno.ECONNRESET,
            "the association was aborted (USER_INITIATED_ABORT): b'bye'",
        ),
        (
            AssociationLostError("cable cut"),
            errno.ETIMEDOUT,
            "the association was lost: cable cut",
        ),
        (ClosedError(), errno.EBADF, "the association was closed here"),
    ],
)
def test_errno_and_text(error: OSError, number: int, text: str) -> None:
    assert error.errno == number
    assert error.strerror == text
    assert str(error) == f"[Errno {number}] {text}"


def test_what_an_aborted_association_keeps() -> None:
    error = AssociationAbortedError(b"bye", ErrorCause.USER_INITIATED_ABORT)
    assert error.cause == b"bye"
    assert error.error is ErrorCause.USER_INITIATED_ABORT


def test_what_a_lost_association_keeps() -> None:
    assert AssociationLostError("cable cut").reason == "cable cut"
    assert AssociationLostError("x", errno.EHOSTUNREACH).errno == errno.EHOSTUNREACH


def test_what_the_others_keep() -> None:
    full = ReceiveBufferFullError({5, 3}, 1024)
    assert (full.streams, full.limit) == ((3, 5), 1024)
    assert str(full) == "unread messages of stream 3, 5 fill the receive buffer of 1024 bytes"
    stream = StreamOutOfRangeError(12, 10)
    assert (stream.stream, stream.limit) == (12, 10)
    assert str(stream) == "there is no stream 12: the association has 10 streams from 0"
