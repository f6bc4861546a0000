"""The seed of relays that are given none, and the relays of the current test, for its report if it fails.

The pytest plugin (pytest_sctpio) calls `forget` before each test and `report` after one that failed.
"""

import os
import random
from collections import deque
from functools import cache
from typing import Protocol

ENVIRONMENT = "SCTPIO_TEST_SEED"


class Told(Protocol):
    """What a report is about: a relay."""

    @property
    def is_open(self) -> bool:
        """Whether it is still in use."""


# The relays of the current test. Bounded, because without the plugin nobody ever empties it.
recent: deque[Told] = deque(maxlen=16)


@cache
def _chosen() -> int:
    return random.SystemRandom().randrange(2**32)


def default_seed() -> int:
    """Return `$SCTPIO_TEST_SEED`, else one that this process chose once.

    Raises:
        ValueError: the variable is not a number.
    """
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return _chosen()
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"${ENVIRONMENT} is {text!r}; it takes a number from 0")
    return int(text)


def forget() -> None:
    """Forget the relays that are closed, because another test begins."""
    still_open = [each for each in recent if each.is_open]
    recent.clear()
    recent.extend(still_open)


def report() -> str:
    """Return what the relays did and with which seeds, a line each."""
    return "\n".join(str(each) for each in recent)
