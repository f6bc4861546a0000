"""The seed of relays that are given none, and which relays there were: for the report of a failed test."""

import os
import random
from collections import deque
from functools import cache
from typing import Protocol

ENVIRONMENT = "SCTPIO_TEST_SEED"


class Told(Protocol):
    """What a report tells of."""

    @property
    def is_open(self) -> bool:
        """Whether it is in use."""


# Of the test that runs; bounded, as nobody may ever ask.
recent: deque[Told] = deque(maxlen=16)


@cache
def _chosen() -> int:
    return random.SystemRandom().randrange(2**32)


def default_seed() -> int:
    """Give `$SCTPIO_TEST_SEED`, else one that this process chose for all; raises ValueError."""
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return _chosen()
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"${ENVIRONMENT} is {text!r}; it takes a number from 0")
    return int(text)


def forget() -> None:
    """Forget the relays that are closed: another test begins."""
    still_open = [each for each in recent if each.is_open]
    recent.clear()
    recent.extend(still_open)


def report() -> str:
    """Say what the relays did, and with which seed; "" where there were none."""
    return "\n".join(str(each) for each in recent)
