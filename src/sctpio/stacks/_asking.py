"""Asking a socket what it takes, for `capabilities`."""

from ..features import Feature
from ..options import Option
from .base import StackSocket


def sets(sock: StackSocket, value: Option) -> bool:
    """Tell whether a socket takes an option."""
    try:
        sock.set_option(value, 0)
    except OSError:
        return False
    return True


def switch(sock: StackSocket, kind: type[Option]) -> Feature:
    """Look at an extension that a socket can turn on for itself."""
    try:
        default = bool(getattr(sock.get_option(kind, 0, None), "enabled", False))
        sock.set_option(kind(), 0)
    except OSError as error:
        return Feature(False, False, reason(error))
    return Feature(default, True)


def reason(error: OSError) -> str:
    """Give an error's words."""
    return error.strerror or str(error)
