"""The C accelerator (csrc/fast): used where it was built, unless SCTPIO_FAST=0 turns it off.

It makes what is slow in Python faster, and changes nothing else. SCTPIO_FAST=1 insists on it: importing this
package then fails where it was not built. The variable is read once, when the package is imported.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ._fast import Decoder, Layout, PlainSender, Reading

__all__ = ["ENVIRONMENT", "compiled"]

ENVIRONMENT = "SCTPIO_FAST"


class Compiled(NamedTuple):
    """What the compiled module has."""

    layout: "type[Layout]"
    decoder: "type[Decoder]"
    plain_sender: "type[PlainSender]"
    reading: "type[Reading]"
    # Takes the address of sctpio_receive, a descriptor, the size of the next message, and memory for its
    # record; returns the state, the number of records (0 or 1, or a negative errno), and the message.
    receive_own: Callable[[int, int, int, Any], tuple[int, int, bytes]]


def _load() -> Compiled | None:
    asked = os.environ.get(ENVIRONMENT, "")
    if asked not in ("", "0", "1"):
        raise ValueError(f"{ENVIRONMENT} is {asked!r}; it takes 0 (off), 1 (on), or nothing (on if built)")
    if asked == "0":
        return None
    try:
        from ._fast import Decoder, Layout, PlainSender, Reading, receive_own
    except ImportError as error:
        if asked:
            raise ImportError(f"{ENVIRONMENT} is 1, but the accelerator cannot be loaded: {error}") from error
        return None
    return Compiled(Layout, Decoder, PlainSender, Reading, receive_own)


# None where it is not used.
compiled = _load()
