"""What `perf` looks at while it runs: what holds the sender back, and the kernel's counters.

`Watch` samples an association: a sender can wait for the peer's receive window, for the congestion window, or
for space in its own send buffer, and the counters tell which. `timeouts` is from /proc/net/sctp/snmp, which
counts for the whole network namespace.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

from ..conn import Conn
from ..errors import AssociationEnded
from ..options import AssociationStatistics

__all__ = ["Watch", "limited_by", "retransmissions", "timeouts"]

PAUSE = 0.05
BUSY = 90.0
"""From which share of a processor, in percent, a program counts as being limited by it."""

WINDOW = "the peer's receive window"
CONGESTION = "the congestion window (the path: its rate, its delay or its losses)"
BUFFER = "the send buffer (a larger one: -o send_buffer=BYTES)"


class Watch:
    """Samples one association that sends messages of `length` bytes, until it is cancelled."""

    def __init__(self, conn: Conn, length: int) -> None:
        self._conn = conn
        self._length = length
        self.seen: Counter[str] = Counter()
        self.paths: list[dict[str, Any]] = []
        self.retransmitted: int | None = None

    async def run(self) -> None:
        """Look again and again; ends with the association."""
        with suppress(AssociationEnded):
            while True:
                self.look()
                await asyncio.sleep(PAUSE)

    def look(self) -> None:
        """Look once."""
        conn = self._conn
        with suppress(OSError):
            status = conn.status()
            self.paths = [
                {name: getattr(path, name) for name in path.__match_args__} for path in conn.paths()
            ]
            self.retransmitted = retransmissions(conn)
            self.seen[self._held_back_by(status.rwnd, status.unacknowledged, status.primary.cwnd)] += 1

    def _held_back_by(self, rwnd: int, chunks: int, cwnd: int) -> str:
        in_flight = chunks * min(self._length, 1400)
        if rwnd < max(self._length, 1500):
            return WINDOW
        if in_flight >= 0.8 * cwnd:
            return CONGESTION
        return BUFFER if self._conn.statistics().waiting_senders else ""


def limited_by(watches: list[Watch], here: float, there: float) -> str:
    """Return what limited a test, for people; the shares are of one processor, in percent."""
    busy = [where for where, share in (("here", here), ("at the peer", there)) if share >= BUSY]
    if busy:
        return f"the processor {' and '.join(busy)}"
    seen = sum((watch.seen for watch in watches), Counter[str]())
    reason, count = seen.most_common(1)[0] if seen else ("", 0)
    if reason and count > sum(seen.values()) / 2:
        return reason
    return "nothing that the counters show"


def retransmissions(conn: Conn) -> int | None:
    """Return how many chunks of an association were sent again; None where the stack does not count them."""
    try:
        return conn.get_option(AssociationStatistics).retransmitted_chunks
    except OSError:
        return None


def timeouts() -> int | None:
    """Return how often the kernel's retransmission timers (T3) have run out; None if that is not counted."""
    try:
        with open("/proc/net/sctp/snmp") as counters:
            for line in counters:
                name, _, value = line.partition("\t")
                if name.strip() == "SctpT3RtxExpireds":
                    return int(value)
    except (OSError, ValueError):
        pass
    return None
