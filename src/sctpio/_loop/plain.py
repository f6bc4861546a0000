"""Ordinary messages are checked, sent and counted by one call into C, where the accelerator is used.

It does what `Sender.send_plain`, `Sender.send_many` and the kernel's socket do in Python, and leaves to them
what is out of the ordinary: this is for a socket of one association of the kernel's. What was sent is
counted, as no signal handler runs in between.
"""

from collections import deque
from functools import cache
from typing import TYPE_CHECKING

from .._accelerator import compiled
from ..stacks.base import StackSocket
from .association import UP, Association
from .partials import Partials
from .unread import NOTHING, Inbox, Unread

if TYPE_CHECKING:
    from .._fast import Layout, PlainSender, Reading


def plain_sender(association: Association, raw: StackSocket) -> "PlainSender | None":
    """Return what sends ordinary messages; None without the accelerator, or where the stack has no such.

    Its `send` returns True if the message was sent, False if there is no space or tasks wait, a negative
    errno, or None for what is to be sent in Python. Its `send_many` takes a list, and where to begin in it.
    It returns how many messages from there one call has sent, 0 if what is there is to be sent in Python, or
    a negative errno.
    """
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
        call.batch_address,
    )


def reading(raw: StackSocket) -> "Reading | None":
    """Return what reads ordinary messages; None without the accelerator, or where the stack has no such.

    Its `read` takes an association, its socket with its decoder, and what `StackSocket.receive` takes. It
    receives a batch. If that is ordinary messages alone, they are put into the inbox, and it returns their
    number: n if nothing is left behind them, ~n if there may be more. Waking those who wait is left to the
    caller. Any other batch is returned as `receive` returns it. None means that nothing was received, because
    messages of this association go another way now.
    """
    call = raw.plain_call()
    return None if compiled is None or call is None else _reading(call.receive_address)


@cache
def _reading(address: int) -> "Reading":
    assert compiled is not None
    return compiled.reading(
        _of_association(),
        compiled.layout(Unread, "unread"),
        compiled.layout(Inbox, "inbox"),
        compiled.layout(Partials, "partials"),
        UP,
        deque,
        NOTHING,
        address,
    )


@cache
def _of_association() -> "Layout":
    assert compiled is not None
    return compiled.layout(Association, "association")


@cache
def _of_allowance(kind: type) -> "Layout":
    assert compiled is not None
    return compiled.layout(kind, "allowance")
