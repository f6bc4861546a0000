"""How long messages waited for space in the send buffer: the last of them, and those that wait now."""

import itertools
import time
from array import array

# How many of the last waits are kept: enough for a percentile of 99, in 4 KiB.
KEPT = 512


class Waits:
    """The waits of one association; `number` is how many have ended."""

    __slots__ = ("_now", "_recent", "_tokens", "number")

    def __init__(self) -> None:
        self._tokens = itertools.count()
        # When each of those that wait now began, the oldest first.
        self._now: dict[int, float] = {}
        self._recent = array("d")
        self.number: int = 0

    def token(self) -> int:
        """Return what stands for one wait."""
        return next(self._tokens)

    def begin(self, token: int) -> None:
        """Note that a message begins to wait."""
        self._now[token] = time.monotonic()

    def end(self, token: int) -> None:
        """Note that a message was sent, or given up; it may have been interrupted before it began to wait."""
        began = self._now.pop(token, None)
        if began is None:
            return
        waited = time.monotonic() - began
        if len(self._recent) < KEPT:
            self._recent.append(waited)
        else:
            self._recent[self.number % KEPT] = waited
        self.number += 1

    def oldest(self) -> float:
        """Return how long the message that has waited longest has waited, 0.0 if none waits."""
        # Copied in one step: another thread may ask.
        began = next(iter(tuple(self._now.values())), None)
        return 0.0 if began is None else time.monotonic() - began

    def percentile(self, percent: int) -> float | None:
        """Return the wait that so many percent of the last waits did not exceed, None if there was none."""
        if not self._recent:
            return None
        ordered = sorted(self._recent)
        return ordered[-(-len(ordered) * percent // 100) - 1]
