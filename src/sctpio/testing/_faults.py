"""What a relay does to packets, drawn from a seed: pure."""

import math
import random
from dataclasses import dataclass, fields
from typing import NamedTuple

# A packet that is reordered lets 1 to this many others pass.
MOST_OVERTAKING = 4


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to the packets of one direction.

    `loss`, `duplicate`, `reorder` and `corrupt` are probabilities from 0 to 1, each drawn for every packet.
    `delay` is in seconds; a packet takes up to `jitter` seconds more, drawn for each, so that packets
    overtake each other. One that is reordered lets 1 to 4 others pass, or waits 50 ms where none come. A
    corrupt one has one bit changed: its receiver drops it (RFC 9260 section 6.8).

    Raises ValueError for a number out of range, TypeError for what is no number.
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
    """Packets of one direction since the relay began.

    Each that was `received`, or made by being `duplicated`, was `forwarded`, is still waiting, or was
    dropped: `lost` by chance, `cut` off, `overflowed` where too much waited, `strayed` where it was no
    SCTP packet, or for a client that is not known here.
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
        """How many were not forwarded, and will not be."""
        return self.lost + self.cut + self.overflowed + self.strayed

    def __str__(self) -> str:
        said = (f"{getattr(self, field.name)} {field.name}" for field in fields(self))
        return ", ".join(each for each in said if not each.startswith("0 ")) or "nothing"


class Copy(NamedTuple):
    """A packet to be forwarded: after `delay` seconds, and when `overtaking` others have passed."""

    data: bytes
    delay: float
    overtaking: int = 0


class Dice:
    """The decisions of one direction.

    Each packet takes the same number of draws whatever the faults are, so what the n-th one meets depends on
    the seed, n and the faults alone.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def roll(self, data: bytes, faults: Faults, counters: Counters) -> tuple[Copy, ...]:
        """Decide what becomes of a packet: the copies to forward, none where it is lost."""
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
    """Change one bit."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
