"""What happens to the packets of a relay: probabilities, the draws from a seed, and counters. Pure."""

import math
import random
from dataclasses import dataclass, fields
from typing import NamedTuple

# A packet that is reordered is overtaken by 1 to this many others.
MOST_OVERTAKING = 4


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to the packets of one direction.

    `loss`, `duplicate`, `reorder` and `corrupt` are probabilities from 0 to 1, drawn for each packet. `delay`
    is in seconds, and a packet is delayed by up to `jitter` seconds more, drawn for each: so packets overtake
    each other. A packet that is reordered is overtaken by 1 to 4 others, or goes on after 50 ms if fewer
    come. A corrupt packet has one bit changed, for which its receiver drops it (RFC 9260 section 6.8).

    Raises:
        ValueError: a number is out of range.
        TypeError: it is not a number.
    """

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{field.name} is {value!r}; it takes a number")
            if field.name in ("delay", "jitter"):
                if not (math.isfinite(value) and value >= 0):
                    raise ValueError(f"{field.name} is {value!r}; it takes seconds from 0")
            elif not 0 <= value <= 1:
                raise ValueError(f"{field.name} is {value!r}; it takes a probability from 0 to 1")


@dataclass(slots=True)
class Counters:
    """The packets of one direction since the relay was opened.

    Each packet that was `received`, and each copy that was `duplicated`, was `forwarded`, is still waiting,
    or was dropped. Dropped packets were `lost` by chance, `cut` because nothing passed, `overflowed` because
    too many waited, or `strayed`: not SCTP, or for a client that has never sent anything.
    """

    received: int = 0
    forwarded: int = 0
    lost: int = 0
    cut: int = 0
    overflowed: int = 0
    strayed: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0

    @property
    def dropped(self) -> int:
        """How many were dropped, for whatever reason."""
        return self.lost + self.cut + self.overflowed + self.strayed

    def __str__(self) -> str:
        said = (f"{getattr(self, field.name)} {field.name}" for field in fields(self))
        return ", ".join(each for each in said if not each.startswith("0 ")) or "nothing"


class Copy(NamedTuple):
    """A packet to forward after `delay` seconds, and once `overtaking` others have overtaken it."""

    data: bytes
    delay: float
    overtaking: int = 0


class Dice:
    """Decides what happens to each packet of one direction, by chance and so that it can be repeated.

    Each packet takes the same number of draws, whatever the faults are. So what happens to the n-th packet
    depends only on the seed, on n and on the faults.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def roll(self, data: bytes, faults: Faults, counters: Counters) -> tuple[Copy, ...]:
        """Return the copies of a packet to forward, none if it is lost; counts what happened."""
        draw = self._random.random
        lost, twice, late, corrupt = draw(), draw(), draw(), draw()
        bit, jitter, jitter_of_second, overtaking = draw(), draw(), draw(), draw()
        if lost < faults.loss:
            counters.lost += 1
            return ()
        if corrupt < faults.corrupt:
            counters.corrupted += 1
            data = flipped(data, int(bit * len(data) * 8))
        held = 0
        if late < faults.reorder:
            counters.reordered += 1
            held = 1 + int(overtaking * MOST_OVERTAKING)
        first = Copy(data, faults.delay + faults.jitter * jitter, held)
        if twice >= faults.duplicate:
            return (first,)
        counters.duplicated += 1
        return first, Copy(data, faults.delay + faults.jitter * jitter_of_second)


def flipped(data: bytes, bit: int) -> bytes:
    """Return the data with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
