"""The size of a batch: how much is read from one socket before the loop's other callbacks run."""

import asyncio

# Seconds that a turn of the loop may take before batches get smaller.
LONG_TURN = 0.05

# How many times a batch is halved, at first and at most (128 messages become 16, then 8).
FIRST_HALVINGS = 3
MOST_HALVINGS = 4

# While turns are short and batches full, so many batches with much go unmeasured for each that is measured: a
# measurement costs as much as a message.
UNMEASURED = 15

# A callback that read this many messages counts as having had much: others like it may make a turn long.
MUCH = 16


class Pace:
    """The size of all batches on a loop.

    Each turn of the loop takes a batch from every readable socket. With a thousand of them, full batches
    would keep other tasks waiting for seconds, and turns that are rare are also shared unevenly. So batches
    start small, grow while turns are short, and shrink as soon as one was long.
    """

    __slots__ = ("_began", "_loop", "_unmeasured", "halvings")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began: float | None = None
        # How many more batches with much go unmeasured.
        self._unmeasured = 0
        self.halvings = FIRST_HALVINGS

    def much(self) -> None:
        """Note that a socket had many messages: measure how long this turn takes, now and then at least."""
        if self._unmeasured:
            self._unmeasured -= 1
        elif self._began is None:
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
        elif took < LONG_TURN / 4:
            if self.halvings:
                self.halvings -= 1
            else:
                self._unmeasured = UNMEASURED
