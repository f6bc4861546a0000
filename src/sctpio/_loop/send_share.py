"""The send buffer that the associations of one socket share: who may send, and who waits for space.

The kernel has one send buffer for such a socket (unless net.sctp.sndbuf_policy is 1), and its EPOLLOUT is
about that buffer alone. Two rules keep a peer that acknowledges nothing from stopping everybody, and the loop
from spinning:

- An association may have only its share of the buffer unacknowledged, counted from its last SENDER_DRY.
  Shares are equal parts of what the waiting associations do not hold; one part stays free. So the first
  association that stalls holds half of the buffer, the next a quarter.
- A waiting association is woken by its own SENDER_DRY. If the stack itself had no space for it, or its peer
  had none, it is also woken by EPOLLOUT, in turn, and by a timer with growing pauses: with sndbuf_policy 1 an
  association may have space while EPOLLOUT is off, and nothing tells that a peer has space again.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Sequence

from .._abi.contract import SACK_IMMEDIATELY
from ..events import SenderDry
from ..options import SendBuffer
from ..stacks.base import Buffer, Outgoing, SendExtras, StackSocket
from .association import Association
from .loop_socket import STALL_PAUSE
from .per_loop import of_loop
from .waiting import Sleepers, call

# Bytes that the kernel counts for a message on top of its data, which it rounds up to a power of two
# (measured: 942 bytes for 1 byte of data, 2505 for 1400 in one chunk, 8192 for 5000).
MESSAGE_COST = 1000

# The most seconds between two looks at waiting associations; the pause doubles with each look up to this.
MOST_PAUSE = 0.25

# The most associations that one look wakes.
MOST_WOKEN = 64


def cost(size: int) -> int:
    """Return how many bytes of the send buffer a message of `size` bytes takes: an upper estimate."""
    return MESSAGE_COST + 2 * size


class SendShare:
    """The send buffer of a one-to-many socket. `watch(on)` starts or stops watching for EPOLLOUT."""

    def __init__(
        self, raw: StackSocket, loop: asyncio.AbstractEventLoop, watch: Callable[[bool], None]
    ) -> None:
        self.raw = raw
        self.loop = loop
        self.sleepers = of_loop(loop, Sleepers)
        # Set while reading is paused: no SENDER_DRY is seen then, so shares are not enforced.
        self.deaf = False
        self.looks = 0
        self._watch = watch
        self._buffer = 0
        # The waiting associations, the longest first, with the bytes that each had unacknowledged when it
        # began to wait.
        self._waiting: dict[Association, int] = {}
        self._held = 0
        # How many of them had nothing unacknowledged, and will want their share.
        self._ready = 0
        # Those of them that the stack itself had no space for.
        self._refused: set[Association] = set()
        # The association that was woken because the socket polled as writable.
        self._woken: Association | None = None
        # Whether the socket then took nothing, as its peer has no space, or the stack no memory. If so, it is
        # not watched until something was sent.
        self._lied = False
        self._pause = STALL_PAUSE
        self._timer: asyncio.TimerHandle | None = None

    # Sending

    def attempt(
        self,
        association: Association,
        association_id: int,
        data: Buffer,
        stream: int,
        flags: int,
        ppid: int,
        context: int,
        extras: SendExtras | None,
    ) -> bool:
        """Send one message if it is within the share and the stack has space; return whether it was sent."""
        size = cost(len(data))
        left = self._left(association)
        if left < size and association.unconfirmed:
            self._refused.discard(association)
            return False
        if left < 2 * size:
            # Probably the last for now: the peer should acknowledge without waiting for more.
            flags |= SACK_IMMEDIATELY
        if not self.raw.send(association_id, data, stream, flags, ppid, context, extras):
            self._refused.add(association)
            return False
        association.unconfirmed += size
        return True

    def attempt_batch(self, association: Association, messages: Sequence[Outgoing], bundle: bool) -> int:
        """Send messages in order while they are within the share and the stack has space; return how many."""
        left = self._left(association)
        count = 0
        for data, _ in messages:
            left -= cost(len(data))
            if left < 0 and (count or association.unconfirmed):
                break
            count += 1
        if count < len(messages) and count:
            last, head = messages[count - 1]
            messages = [*messages[: count - 1], (last, head._replace(flags=head.flags | SACK_IMMEDIATELY))]
        taken = self.raw.send_batch(association.id, messages, bundle) if count else 0
        association.unconfirmed += sum(cost(len(data)) for data, _ in messages[:taken])
        return taken

    def _left(self, association: Association) -> int:
        """Return how many more bytes the association may have unacknowledged."""
        if self.deaf or not self.raw.shares_send_buffer:
            return 1 << 62
        if not self._buffer:
            self._buffer = self.raw.get_option(SendBuffer, 0, None).size or 0
        own = self._waiting.get(association, -1)
        parts = 2 + self._ready - (own == 0)
        return (self._buffer - self._held + max(own, 0)) // parts - association.unconfirmed

    def _count(self, association: Association) -> None:
        """Record again what a waiting association has unacknowledged, and move it behind the others."""
        self._discount(association)
        self._waiting[association] = association.unconfirmed
        self._held += association.unconfirmed
        self._ready += association.unconfirmed == 0

    def _discount(self, association: Association) -> bool:
        """Remove an association from the waiting ones; return whether it was among them."""
        held = self._waiting.pop(association, None)
        if held is not None:
            self._held -= held
            self._ready -= held == 0
        return held is not None

    # Waiting

    def want(self, association: Association) -> None:
        """Note that a task of the association waits for space."""
        if association not in self._waiting:
            self._count(association)
            association.dry_wanted += 1
            # The event comes at once if everything is acknowledged already. If the association is over,
            # another event says so.
            with contextlib.suppress(OSError):
                self.raw.subscribe(SenderDry, True, association.id)
            self._buffer = 0
        if association in self._refused and not self._lied:
            self._watch(True)
        self._look_in(self._pause if association in self._refused else MOST_PAUSE)

    def want_no_more(self, association: Association) -> bool:
        """Note that no task of the association waits any longer; return whether one did."""
        if not self._discount(association):
            return False
        self._refused.discard(association)
        association.dry_wanted -= 1
        if not self._refused:
            self._watch(False)
        if not self._waiting:
            self.close()
        return True

    def had(self, association: Association) -> None:
        """Note that a sender that was woken has sent: wake the next."""
        self._pause = STALL_PAUSE
        self._woken = None
        self._lied = False
        self._refused.discard(association)
        self._count(association)
        association.senders.wake_head()

    def had_none(self, association: Association) -> None:
        """Note that a sender that was woken found no space."""
        if self._woken is association and association in self._refused:
            self._lied = True
            self._watch(False)
        self._woken = None
        self._count(association)

    def dry(self, association: Association) -> None:
        """Note that all messages of the association are acknowledged (SENDER_DRY): wake a sender."""
        if association in self._waiting:
            self._count(association)
            association.senders.wake_head()

    def on_writable(self) -> None:
        """Wake a sender of the association that has waited longest among those the stack had no space for."""
        for association in self._waiting:
            if association in self._refused:
                self._woken = association
                association.senders.wake_head()
                return
        self._watch(False)

    def _look_in(self, pause: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= self.loop.time() + pause:
                return
            self._timer.cancel()
        self._timer = self.loop.call_later(pause, call, weakref.ref(self), SendShare.look)

    def look(self) -> None:
        """Wake waiting senders, as perhaps nothing else does (called by the loop)."""
        self._timer = None
        self.looks += 1
        self._pause = min(2 * self._pause, MOST_PAUSE)
        for association in list(self._waiting)[:MOST_WOKEN]:
            association.senders.wake_head()
        if self._waiting:
            self._look_in(self._pause if self._refused else MOST_PAUSE)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
