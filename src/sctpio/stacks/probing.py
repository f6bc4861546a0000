"""How `capabilities` finds out what a socket accepts: by setting it, never by a version number."""

from ..features import Feature
from ..options import Option
from .base import StackSocket


def sets(sock: StackSocket, value: Option) -> bool:
    """Tell whether an option can be set on a socket."""
    try:
        sock.set_option(value, 0)
    except OSError:
        return False
    return True


def switch(sock: StackSocket, kind: type[Option]) -> Feature:
    """Return what a socket says of an extension: its default, and whether it can be turned on."""
    try:
        default = bool(getattr(sock.get_option(kind, 0, None), "enabled", False))
        sock.set_option(kind(), 0)
    except OSError as error:
        return Feature(False, False, reason(error))
    return Feature(default, True)


def reason(error: OSError) -> str:
    """Return the text of an error, without its number."""
    return error.strerror or str(error)
