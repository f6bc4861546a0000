"""Attempts to connect from a one-to-many socket: when each began, and how many tasks wait for it.

Several tasks may wait for the same association, as when they send to one address. The attempt is stopped when
the last of them is cancelled, unless the association has come up and one of them has it.
"""

import errno
from collections import Counter

from ..events import AssociationChange, AssociationState
from ..options import InitMsg, RtoInfo
from ..stacks.base import StackSocket
from .association import Association, ended_by


class Attempts:
    """The attempts of one socket, by the ids of their associations."""

    def __init__(self, raw: StackSocket) -> None:
        self._raw = raw
        self._begun: dict[int, float] = {}
        self._waiting: Counter[int] = Counter()

    def begin(self, identifier: int, now: float) -> None:
        """Note that an attempt began at the loop's time `now`."""
        self._begun[identifier] = now

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._begun

    def forget(self, identifier: int) -> None:
        """Forget an attempt: its association is over, or somebody has it."""
        self._begun.pop(identifier, None)

    def enter(self, identifier: int) -> None:
        """Note that one more task waits for an association."""
        self._waiting[identifier] += 1

    def leave(self, identifier: int) -> bool:
        """Note that one task fewer waits; return whether it was the last of an attempt that still runs."""
        self._waiting[identifier] -= 1
        if self._waiting[identifier]:
            return False
        del self._waiting[identifier]
        return identifier in self._begun

    def ended(self, association: Association, lost: AssociationChange, now: float) -> Exception:
        """Return how an association ended.

        On this kind of socket, a refused attempt and an unanswered one differ only in the time that they
        take.
        """
        code = 0
        began = self._begun.get(association.id)
        if (
            lost.state is AssociationState.CANT_STR_ASSOC
            and began is not None
            and not lost.error
            and not lost.info
        ):
            code = errno.ETIMEDOUT if now - began >= self._patience(association) else errno.ECONNREFUSED
        return ended_by(code, lost, association.peer, self._raw)

    def _patience(self, association: Association) -> float:
        """Return the seconds after which the stack gives up on a silent peer (RFC 9260 5.1, 6.3.3)."""
        init = self._raw.get_option(InitMsg, 0, None)
        rto = self._raw.get_option(RtoInfo, 0, None).initial or 0
        most = init.max_init_timeout or 60
        attempts = init.max_attempts or 8
        total, timeout = 0.0, min(rto, most)
        for turn in range(1, attempts + 2):
            total += timeout
            # It doubles each time that all addresses were tried.
            if turn % len(association.peer.hosts) == 0:
                timeout = min(2 * timeout, most)
        # The stack's clock is coarser than the loop's.
        return 0.9 * total
