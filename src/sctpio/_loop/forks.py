"""Forked children: a child leaves its parent's objects alone.

A fork copies every descriptor, and shares the set that the loop polls: a child that ended an association, or
took a socket off the loop, would do so to its parent. A copy that is merely kept open does harm as well: the
parent's abort, and the end of its listening, take effect only when the last copy is closed. So a child closes
its copies at once, and every later use of such an object there raises a ClosedError that names its owner.
Descriptors that were detached stay open.
"""

import contextlib
import os
import weakref
from typing import Protocol


class Inherited(Protocol):
    """An object with a descriptor that a fork copies."""

    def disown(self, text: str) -> None:
        """Close this process's copy of the descriptor, and no more; later calls raise ClosedError(text)."""


_known: "weakref.WeakSet[Inherited]" = weakref.WeakSet()


def keep_from_children(owner: Inherited) -> None:
    """Register an object: children forked from now on close their copy of its descriptor."""
    _known.add(owner)


def _disown_all() -> None:
    text = f"this object belongs to process {os.getppid()}, from which this one was forked"
    for owner in list(_known):
        # One whose descriptor somebody else has closed is no reason to keep the others' open.
        with contextlib.suppress(OSError):
            owner.disown(text)


os.register_at_fork(after_in_child=_disown_all)
