"""One direction of a relay: which packets wait, and for how long.

`Dice` (in `_faults`) decides what happens to a packet; this does it. A packet waits here because it is
delayed, in a heap by the time when it is due, or because others are to overtake it, in a list.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from ._faults import Counters, Dice, Faults

# The longest that a packet waits to be overtaken, in seconds.
HELD = 0.05

# uvloop's timers may come this much early, in seconds.
RESOLUTION = 0.001

UdpAddress = tuple[Any, ...]


class _Held:
    """A packet that waits to be overtaken."""

    __slots__ = ("data", "overtaking", "timer", "to")

    def __init__(self, data: bytes, to: UdpAddress | None, overtaking: int) -> None:
        self.data = data
        self.to = to
        self.overtaking = overtaking
        self.timer: asyncio.TimerHandle | None = None


class Direction:
    """One direction of a relay: `relay.to_server` or `relay.to_client`.

    `counters` say what happened to its packets so far. `faults` can be set at any time, and count for the
    packets that come from then on.
    """

    def __init__(self, name: str, faults: Faults, seed: int, max_packets: int, max_bytes: int) -> None:
        self.name = name
        self.counters: Counters = Counters()
        self._faults = faults
        self._dice = Dice(f"{seed} {name}")
        self._most_packets = max_packets
        self._most_bytes = max_bytes
        self._cut = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._send: Callable[[bytes, UdpAddress | None], bool] = lambda data, to: False
        self._number = itertools.count()
        self._delayed: list[tuple[float, int, bytes, UdpAddress | None, int]] = []
        self._held: list[_Held] = []
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0
        self._waiting_bytes = 0

    @property
    def faults(self) -> Faults:
        """What happens to the packets of this direction."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = checked(faults)

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes, as between `cut` and `heal`."""
        return self._cut

    @property
    def waiting(self) -> int:
        """How many packets wait, delayed, or to be overtaken."""
        return len(self._delayed) + len(self._held)

    def cut(self) -> None:
        """Let nothing pass from now on, and drop the packets that wait."""
        self._cut = True
        self.counters.cut += self.waiting
        self.drop_waiting()

    def heal(self) -> None:
        """Let packets pass again; `faults` are as before."""
        self._cut = False

    def attach(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[bytes, UdpAddress | None], bool]
    ) -> None:
        """Begin to forward with `send`, which returns False for a packet that it had to drop."""
        self._loop, self._send = loop, send

    def take(self, data: bytes, to: UdpAddress | None = None) -> None:
        """Take a packet for `to`: drop it, forward it, or let it wait."""
        if self._cut:
            self.counters.cut += 1
            return
        for copy in self._dice.roll(data, self._faults, self.counters):
            if not copy.delay:
                self._pass_on(copy.data, to, copy.overtaking)
            elif self._has_space_for(copy.data):
                assert self._loop is not None
                due = self._loop.time() + copy.delay
                heapq.heappush(self._delayed, (due, next(self._number), copy.data, to, copy.overtaking))
                self._waiting_bytes += len(copy.data)
                self._set_timer()

    def drop_waiting(self) -> None:
        """Drop the packets that wait, without counting them."""
        for held in self._held:
            if held.timer is not None:
                held.timer.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._held.clear()
        self._delayed.clear()
        self._waiting_bytes = 0

    def _has_space_for(self, data: bytes) -> bool:
        space = self.waiting < self._most_packets and self._waiting_bytes + len(data) <= self._most_bytes
        if not space:
            self.counters.overflowed += 1
        return space

    def _set_timer(self) -> None:
        assert self._loop is not None
        due = self._delayed[0][0]
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_time)
        self._timer_due = due

    def _on_time(self) -> None:
        assert self._loop is not None
        self._timer = None
        end = self._loop.time() + RESOLUTION
        while self._delayed and self._delayed[0][0] <= end:
            _, _, data, to, overtaking = heapq.heappop(self._delayed)
            self._waiting_bytes -= len(data)
            self._pass_on(data, to, overtaking)
        if self._delayed:
            self._set_timer()

    def _pass_on(self, data: bytes, to: UdpAddress | None, overtaking: int) -> None:
        if overtaking:
            if self._has_space_for(data):
                assert self._loop is not None
                held = _Held(data, to, overtaking)
                held.timer = self._loop.call_later(HELD, self._let_go, held)
                self._held.append(held)
                self._waiting_bytes += len(data)
            return
        self._forward(data, to)
        for held in self._held[:]:
            held.overtaking -= 1
            if not held.overtaking:
                self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        assert held.timer is not None
        held.timer.cancel()
        self._held.remove(held)
        self._waiting_bytes -= len(held.data)
        self._forward(held.data, held.to)

    def _forward(self, data: bytes, to: UdpAddress | None) -> None:
        if self._send(data, to):
            self.counters.forwarded += 1
        else:
            self.counters.overflowed += 1


def checked(faults: Faults) -> Faults:
    """Return the faults; raises TypeError for anything else."""
    if not isinstance(faults, Faults):
        raise TypeError(f"faults is {faults!r}; it takes Faults(loss=0.1)")
    return faults
