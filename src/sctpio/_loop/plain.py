"""An ordinary message is checked, sent and counted by one call into C, where the accelerator is used.

It does what `Sender.send_plain` and the kernel's `send` do in Python, and leaves to them what is out of the
ordinary: this is for a socket of one association of the kernel's. Nothing runs in between, so a message that
was sent is counted.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from .._accelerator import compiled
from ..stacks.base import Buffer, StackSocket
from .association import UP, Association

if TYPE_CHECKING:
    from .._fast import Layout

# Takes data, stream, ppid, unordered and context. Returns True if it was sent, False if there is no space or
# tasks wait, a negative errno, or None for what is to be sent in Python.
PlainSend: TypeAlias = Callable[[Buffer, int, int, bool, int], int | None]


def plain_sender(association: Association, raw: StackSocket) -> PlainSend | None:
    """Return what sends ordinary messages; None without the accelerator, or where the stack has no such."""
    call = raw.plain_call()
    if compiled is None or call is None:
        return None
    return compiled.plain_sender(
        _of_association(),
        _of_allowance(call.allowance),
        association,
        UP,
        association.senders.queue,
        raw,
        call.allowances,
        call.address,
    ).send


@cache
def _of_association() -> "Layout":
    assert compiled is not None
    return compiled.layout(Association, "association")


@cache
def _of_allowance(kind: type) -> "Layout":
    assert compiled is not None
    return compiled.layout(kind, "allowance")
