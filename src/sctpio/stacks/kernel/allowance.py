"""How much a peer can take now: more is not handed to the kernel, which would send it in vain.

Linux sends a chunk into a closed window as soon as nothing else is under way (RFC 9260 6.1, rule A). The
receiver drops it, and if too little follows to show the gap, only a timeout of a second brings it back. And a
window is told in bytes of data, while a receiver on Linux counts 232 more for each chunk: small messages fill
its memory while the window is still open, and what comes then is dropped as well.

So a message goes to the kernel only if the peer can take it. A peer that has read everything can take its
first window. Messages use that up; when it is used up, the kernel is asked what the window is now, and what
it has not sent yet. A small message uses more than its data, so that the peer's memory lasts as well.

A peer tells of free window in steps, so it may have more than it told. While nothing is unacknowledged one
message may go in any case if the window that is known takes it: its SACK brings the news. If the news is that
the peer has not read, small messages wait longer and longer before the next, as each takes of its memory.
"""

import struct
import time
from typing import Protocol

from ..._abi.contract import SACK_IMMEDIATELY

# What Linux counts for a chunk that was received, beside its data: sizeof(struct sk_buff).
CHUNK_COST = 232

# The most bytes that are handed to the kernel before a sender has to wait for the loop's next turn. Else
# one that floods would let nobody read in its process, until the window of a peer there is closed.
BURST = 256 * 1024

# As many messages as take some milliseconds, within these limits: a reader takes fewer while turns are long.
LEAST_MESSAGES, MOST_MESSAGES = 8, 1024
TURN = 0.005
# Who takes longer for that is no flood: the loop has had turns in between.
NO_FLOOD = 0.1

# Seconds after which a peer that told of no space is sent a message nevertheless, as what told of space may
# have been lost. From then on the kernel repeats it.
PATIENCE = 3.0

# Seconds between two messages that go for the news, at first. The pause doubles up to PATIENCE.
NEWS_PAUSE = 0.005

SCTP_STATUS, SCTP_GET_ASSOC_STATS = 14, 112
# association id, state, window, unacknowledged, pending, streams in and out, fragmentation point
STATUS = struct.Struct("=iiIHHHHI")
STATUS_SIZE = 176
# How many DATA chunks were sent, unordered and ordered.
COUNT = struct.Struct("=Q")
UNORDERED_AT, ORDERED_AT, STATISTICS_SIZE = 208, 224, 256


class Asked(Protocol):
    """The socket that is asked. `batches` grows with each turn of the loop that reads from it."""

    batches: int

    def ask(self, number: int, association_id: int, size: int) -> bytes | None: ...


# What each small message takes, by its size: see `cost`.
SMALL_COSTS = tuple([(size + CHUNK_COST + 1) // 2 for size in range(CHUNK_COST)])


def cost(size: int) -> int:
    """Return how much a message of `size` bytes takes of what a peer can take, in bytes of its window.

    The peer's memory is twice its window; so it is data that counts, or half of what takes its memory.
    """
    return size if size >= CHUNK_COST else SMALL_COSTS[size]


class Allowance:
    """What the peer of one association can take; `left` of it may be used before the kernel is asked."""

    __slots__ = (
        "_batches",
        "_chunks_before",
        "_each",
        "_granted",
        "_granted_at",
        "_is_turn_over",
        "_messages",
        "_news_at",
        "_news_pause",
        "_ratio",
        "_refused_at",
        "_window",
        "bytes",
        "chunks",
        "fragment",
        "left",
    )

    def __init__(self, window: int, fragment: int) -> None:
        # The largest window that the peer told of, as a rule the first one.
        self._window = window
        self.fragment: int = max(1, fragment)
        self.left: int = 0
        self._granted = 0
        self._is_turn_over = False
        # Bytes handed to the kernel since it was asked last.
        self.bytes: int = 0
        # Chunks handed to the kernel since the association began, and how many of them when it was asked.
        self.chunks: int = 0
        self._chunks_before = 0
        # What a chunk had of late: how many bytes, and how much of `left` it took for each of them.
        self._each = self._ratio = 1.0
        self._refused_at = 0.0
        # When the next message may go for the news, and how long the one after it waits.
        self._news_at, self._news_pause = 0.0, NEWS_PAUSE
        # The messages of a burst; when it began, and what `batches` was then.
        self._messages = 64
        self._granted_at = 0.0
        self._batches = 0

    def took(self, size: int, cost: int, count: int = 1) -> None:
        """Note that the kernel has taken so many messages of this size."""
        self.left -= count * cost
        self.bytes += count * size
        self.chunks += count if size <= self.fragment else count * -(-size // self.fragment)

    def admits(self, sock: Asked, association_id: int, size: int, cost: int) -> bool:
        """Tell whether a message may go now; the kernel is asked if `left` is used up."""
        return self.left >= cost or self.allows(sock, association_id, size, cost)

    def sack_flag(self, cost: int) -> int:
        """Return the flag of a message that was admitted: the next like it may have to wait for its SACK."""
        return SACK_IMMEDIATELY if self.left < 2 * cost else 0

    def allows(self, sock: Asked, association_id: int, size: int, cost: int) -> bool:
        """Tell whether a message may go although `left` is used up: ask the kernel for more.

        Once after each burst it may not, so that its sender waits for a turn, unless there was one already.
        """
        if self.bytes and not self._is_turn_over and sock.batches == self._batches:
            took = time.monotonic() - self._granted_at
            if took < NO_FLOOD:
                self._is_turn_over = True
                self._pace(took)
                return False
        self._is_turn_over = False
        status = sock.ask(SCTP_STATUS, association_id, STATUS_SIZE)
        statistics = sock.ask(SCTP_GET_ASSOC_STATS, association_id, STATISTICS_SIZE)
        if status is None or statistics is None:
            # It is over, as sending will tell, or Linux is older than 3.8.
            return True
        _, _, window, unacknowledged, _, _, _, fragment = STATUS.unpack_from(status)
        sent = sum(COUNT.unpack_from(statistics, at)[0] for at in (UNORDERED_AT, ORDERED_AT))
        self._renew(window, unacknowledged, sent)
        self.left = self._granted = min(self.left, BURST, self._messages * cost)
        self.fragment = fragment or self.fragment
        if self.left >= cost:
            self._news_at, self._news_pause = 0.0, NEWS_PAUSE
        elif not unacknowledged and window >= min(size, self._window // 2) and self._needs_news(size):
            self.left = self._granted = cost
        if self.left >= cost:
            self._refused_at = 0.0
            self._granted_at = time.monotonic()
            self._batches = sock.batches
            return True
        # While something is unacknowledged the kernel itself repeats it.
        return not unacknowledged and self._is_patience_over()

    def _pace(self, took: float) -> None:
        """Choose how many messages the next burst has, as the last one took so many seconds."""
        if took > TURN:
            self._messages = max(LEAST_MESSAGES, self._messages // 2)
        elif took < TURN / 4:
            self._messages = min(MOST_MESSAGES, self._messages * 2)

    def _renew(self, window: int, unacknowledged: int, sent: int) -> None:
        """Grant what the peer can take, from the kernel's numbers."""
        if self.bytes:
            self._ratio = max(1.0, (self._granted - self.left) / self.bytes)
            self._each = self.bytes / max(1, self.chunks - self._chunks_before)
        if not unacknowledged:
            # Then nothing waits to be sent either: begin anew, as chunks may be smaller than thought.
            self.chunks = sent
        queued = max(0, self.chunks - sent) * self._each
        self._window = max(self._window, window)
        unread = self._window - window
        self.left = int(self._window - self._ratio * (unread + queued))
        self.bytes, self._chunks_before = 0, self.chunks

    def _needs_news(self, size: int) -> bool:
        """Tell whether a message may go for the news; large ones always, as few of them fill the window."""
        if size >= self._window // 8:
            return True
        now = time.monotonic()
        if now < self._news_at:
            return False
        self._news_at = now + self._news_pause
        self._news_pause = min(2 * self._news_pause, PATIENCE)
        return True

    def _is_patience_over(self) -> bool:
        now = time.monotonic()
        if not self._refused_at:
            self._refused_at = now
        if now - self._refused_at < PATIENCE:
            return False
        self._refused_at = 0.0
        return True
