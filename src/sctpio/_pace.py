"""How much one socket gives before the loop's others have their turn, where many have much at once."""

import asyncio

# Seconds that a turn of the loop may take before batches get smaller.
LONG_TURN = 0.05

# How often a batch is halved: to begin with, and at most (128 messages become 16, and 8).
FIRST_HALVINGS = 3
MOST_HALVINGS = 4

# Messages of one callback from which on it matters how many sockets have as many.
MUCH = 16


class Pace:
    """The size of all batches of a loop.

    A turn takes a batch of every socket that is readable. With a thousand of them full ones would keep other
    tasks waiting for seconds, and who is served seldom is served unevenly. So batches begin small, grow while
    turns are short, and get smaller as soon as one was long.
    """

    __slots__ = ("_began", "_loop", "halvings")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began: float | None = None
        self.halvings = FIRST_HALVINGS

    def much(self) -> None:
        """A socket had much to give: see how long this turn takes."""
        if self._began is None:
            self._began = self._loop.time()
            self._loop.call_soon(self._turn_over)

    def _turn_over(self) -> None:
        assert self._began is not None
        took = self._loop.time() - self._began
        self._began = None
        if took > LONG_TURN:
            while took > LONG_TURN and self.halvings < MOST_HALVINGS:
                self.halvings += 1
                took /= 2
        elif took < LONG_TURN / 4 and self.halvings:
            self.halvings -= 1


def pace_of(loop: asyncio.AbstractEventLoop) -> Pace:
    """Give the pace of a loop."""
    found: Pace | None = vars(loop).get("_sctpio_pace")
    if found is None:
        found = vars(loop)["_sctpio_pace"] = Pace(loop)
    return found
