"""Who may send on a socket that many associations share, and who waits for room there.

The kernel gives such a socket one send buffer (unless net.sctp.sndbuf_policy is 1), and its EPOLLOUT speaks
for that buffer alone. Two rules keep one stalled peer from stopping everybody, and the loop from spinning:

- An association may have under way, counted from its last SENDER_DRY, an equal part of what those that wait
  leave of the buffer; one part stays free. So the first that stalls holds half of it, the next a quarter.
- Who waits is woken by its own SENDER_DRY; whom the stack refused also by EPOLLOUT, in turn, and by a timer
  that grows slower: with sndbuf_policy 1 an association may have room while EPOLLOUT is off.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Sequence

from ._association import Association
from ._carrier import STALL_PAUSE
from ._codec import SACK_IMMEDIATELY
from ._waiting import call, sleepers_of
from .events import SenderDry
from .options import SendBuffer
from .stacks.base import Buffer, Outgoing, SendExtras, StackSocket

# What the kernel counts for a message beside its data, which it rounds up to powers of two (measured:
# 942 bytes for 1, 2505 for 1400 in one chunk, 8192 for 5000).
MESSAGE_COST = 1000

# Seconds between looks at associations that wait, when nothing told of room: at most this, doubled each time.
MOST_PAUSE = 0.25

# Associations that one look wakes.
MOST_WOKEN = 64


def cost(size: int) -> int:
    """Bytes of the send buffer that a message of `size` bytes takes, rather too many than too few."""
    return MESSAGE_COST + 2 * size


class SendRoom:
    """The send buffer of a one-to-many socket. `watch` turns the loop's watching for EPOLLOUT on and off."""

    def __init__(
        self, raw: StackSocket, loop: asyncio.AbstractEventLoop, watch: Callable[[bool], None]
    ) -> None:
        self.raw = raw
        self.loop = loop
        self.sleepers = sleepers_of(loop)
        # While reading is paused no SENDER_DRY is heard: what an association may have is not limited then.
        self.deaf = False
        self.looks = 0
        self._watch = watch
        self._buffer = 0
        # Who waits, the longest first, with the bytes that each held when it began to.
        self._waiting: dict[Association, int] = {}
        self._held = 0
        # How many of them hold nothing, and will want their part.
        self._ready = 0
        # Those of them that the stack itself had no room for.
        self._refused: set[Association] = set()
        # Who was woken because the socket was writable; and that it said so and took nothing (memory
        # pressure in the stack): not watched then until the next look.
        self._woken: Association | None = None
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
        """Send one message, if the association may have it under way and the stack has room."""
        size = cost(len(data))
        left = self._left(association)
        if left < size and association.unconfirmed:
            self._refused.discard(association)
            return False
        if left < 2 * size:
            # Probably the last for now: the peer need not wait for more before it acknowledges.
            flags |= SACK_IMMEDIATELY
        if not self.raw.send(association_id, data, stream, flags, ppid, context, extras):
            self._refused.add(association)
            return False
        association.unconfirmed += size
        return True

    def attempt_batch(self, association: Association, messages: Sequence[Outgoing]) -> int:
        """Send messages in order: how many the association may have under way and the stack had room for."""
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
        taken = self.raw.send_batch(association.id, messages) if count else 0
        association.unconfirmed += sum(cost(len(data)) for data, _ in messages[:taken])
        return taken

    def _left(self, association: Association) -> int:
        """How many bytes more the association may have under way."""
        if self.deaf or not self.raw.shares_send_buffer:
            return 1 << 62
        if not self._buffer:
            self._buffer = self.raw.get_option(SendBuffer, 0, None).size or 0
        own = self._waiting.get(association, -1)
        parts = 2 + self._ready - (own == 0)
        return (self._buffer - self._held + max(own, 0)) // parts - association.unconfirmed

    def _count(self, association: Association) -> None:
        """Count anew what an association holds that waits, and put it behind the others."""
        self._discount(association)
        self._waiting[association] = association.unconfirmed
        self._held += association.unconfirmed
        self._ready += association.unconfirmed == 0

    def _discount(self, association: Association) -> bool:
        """Count an association no more: whether it waited."""
        held = self._waiting.pop(association, None)
        if held is not None:
            self._held -= held
            self._ready -= held == 0
        return held is not None

    # Waiting

    def want(self, association: Association) -> None:
        """A task of the association waits for room."""
        if association not in self._waiting:
            self._count(association)
            association.dry_wanted += 1
            # Answered at once where everything is acknowledged already; where it is over, an event tells.
            with contextlib.suppress(OSError):
                self.raw.subscribe(SenderDry, True, association.id)
            self._buffer = 0
        if association in self._refused and not self._lied:
            self._watch(True)
        self._look_in(self._pause if association in self._refused else MOST_PAUSE)

    def want_no_more(self, association: Association) -> bool:
        """No task of the association waits any more: whether one did."""
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
        """A sender that was woken has sent: the next may try."""
        self._pause = STALL_PAUSE
        self._woken = None
        self._refused.discard(association)
        self._count(association)
        association.senders.wake_head()

    def had_none(self, association: Association) -> None:
        """A sender that was woken found no room."""
        if self._woken is association and association in self._refused:
            self._lied = True
            self._watch(False)
        self._woken = None
        self._count(association)

    def dry(self, association: Association) -> None:
        """The association's messages are all acknowledged."""
        if association in self._waiting:
            self._count(association)
            association.senders.wake_head()

    def on_writable(self) -> None:
        """The socket has room: who the stack refused tries, the one that has waited longest."""
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
        self._timer = self.loop.call_later(pause, call, weakref.ref(self), SendRoom.look)

    def look(self) -> None:
        """Let those that wait try again, as nothing else may tell them (called by the loop)."""
        self._timer = None
        self._lied = False
        self.looks += 1
        self._pause = min(2 * self._pause, MOST_PAUSE)
        for association in list(self._waiting)[:MOST_WOKEN]:
            association.senders.wake_head()
        if self._waiting:
            self._look_in(self._pause if self._refused else MOST_PAUSE)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
