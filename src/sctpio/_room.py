"""Who may send on a socket that many associations share, and who waits for room there.

The kernel gives such a socket one send buffer (unless net.sctp.sndbuf_policy is 1), and its EPOLLOUT speaks
for that buffer alone. Two rules keep one stalled peer from stopping everybody, and the loop from spinning:

- An association may have half of what those that wait for room leave of the buffer, counted from its last
  SENDER_DRY. So the first that stalls holds half of it, the next a quarter, and something always remains.
- Who waits is woken by EPOLLOUT (in turn), by its own SENDER_DRY, and by a timer that grows slower: with
  sndbuf_policy 1 an association may have room while EPOLLOUT is off.
"""

import asyncio
import weakref
from collections.abc import Callable, Sequence

from ._association import Association
from ._carrier import STALL_PAUSE, call
from ._codec import SACK_IMMEDIATELY
from .events import SenderDry
from .options import SendBuffer
from .stacks.base import Buffer, Outgoing, SendExtras, StackSocket

# What the kernel counts for a chunk beside its data, and the data of a chunk, roughly.
CHUNK_COST = 1200
CHUNK_DATA = 1400

# Seconds between looks at associations that wait, when nothing told of room: at most this, doubled each time.
MOST_PAUSE = 0.25

# Associations that one look wakes.
MOST_WOKEN = 64


def cost(size: int) -> int:
    """Bytes of the send buffer that a message of `size` bytes takes, rather too many than too few."""
    return size + CHUNK_COST * (1 + size // CHUNK_DATA)


class SendRoom:
    """The send buffer of a one-to-many socket. `watch` turns the loop's watching for EPOLLOUT on and off."""

    def __init__(
        self, raw: StackSocket, loop: asyncio.AbstractEventLoop, watch: Callable[[bool], None]
    ) -> None:
        self.raw = raw
        self.loop = loop
        # While reading is paused no SENDER_DRY is heard: what an association may have is not limited then.
        self.deaf = False
        self.looks = 0
        self._watch = watch
        self._buffer = 0
        # Who waits, the longest first, with the bytes that each held when it began to.
        self._waiting: dict[Association, int] = {}
        self._held = 0
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
        for message in messages:
            left -= cost(len(message.data))
            if left < 0 and (count or association.unconfirmed):
                break
            count += 1
        if count < len(messages) and count:
            last = messages[count - 1]
            messages = [*messages[: count - 1], last._replace(flags=last.flags | SACK_IMMEDIATELY)]
        taken = self.raw.send_batch(association.id, messages) if count else 0
        association.unconfirmed += sum(cost(len(message.data)) for message in messages[:taken])
        return taken

    def _left(self, association: Association) -> int:
        """How many bytes more the association may have under way."""
        if self.deaf or not self.raw.shares_send_buffer:
            return 1 << 62
        if not self._buffer:
            self._buffer = self.raw.get_option(SendBuffer, 0, None).size or 0
        others = self._held - self._waiting.get(association, 0)
        return (self._buffer - others) // 2 - association.unconfirmed

    # Waiting

    def want(self, association: Association) -> None:
        """A task of the association waits for room."""
        if association not in self._waiting:
            self._waiting[association] = association.unconfirmed
            self._held += association.unconfirmed
            association.dry_wanted += 1
            # Answered at once where everything is acknowledged already.
            self.raw.subscribe(SenderDry, True, association.id)
            self._buffer = 0
        if association in self._refused and not self._lied:
            self._watch(True)
        if self._timer is None:
            self._timer = self.loop.call_later(self._pause, call, weakref.WeakMethod(self.look))

    def want_no_more(self, association: Association) -> bool:
        """No task of the association waits any more: whether one did."""
        if association not in self._waiting:
            return False
        self._held -= self._waiting.pop(association)
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
        self._turn(association)
        association.senders.wake()

    def had_none(self, association: Association) -> None:
        """A sender that was woken found no room."""
        if self._woken is association and association in self._refused:
            self._lied = True
            self._watch(False)
        self._woken = None
        self._turn(association)

    def dry(self, association: Association) -> None:
        """The association's messages are all acknowledged."""
        if association in self._waiting:
            self._turn(association)
            association.senders.wake()

    def _turn(self, association: Association) -> None:
        """Count anew what a waiting association holds, and put it behind the others."""
        if association in self._waiting:
            self._held += association.unconfirmed - self._waiting.pop(association)
            self._waiting[association] = association.unconfirmed

    def on_writable(self) -> None:
        """The socket has room: who the stack refused tries, the one that has waited longest."""
        for association in self._waiting:
            if association in self._refused:
                self._woken = association
                association.senders.wake()
                return
        self._watch(False)

    def look(self) -> None:
        """Let those that wait try again, as nothing else may tell them (called by the loop)."""
        self._timer = None
        self._lied = False
        self.looks += 1
        if not self._waiting:
            return
        self._pause = min(2 * self._pause, MOST_PAUSE)
        for association in list(self._waiting)[:MOST_WOKEN]:
            association.senders.wake()
        self._timer = self.loop.call_later(self._pause, call, weakref.WeakMethod(self.look))

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
