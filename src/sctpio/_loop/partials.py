"""Messages that have come only in part, joined as their other parts arrive. Pure.

A stack delivers a large message in parts. Without I-DATA, one message of an association can be open at a
time; with it, one ordered and one unordered message of every stream (RFC 8260). The bytes of all parts
together are bounded, and so is how many messages are open.
"""

from ..errors import ReceivedTooLargeError
from ..message import Message

# Bytes that an open message takes beside its data, and how many may be open with any limits.
OPEN_OVERHEAD = 512
FEW_OPEN = 64


class Partial:
    """One message that has come only in part."""

    __slots__ = ("data", "head")

    def __init__(self, head: Message) -> None:
        self.head = head
        # One buffer, not a list of parts: the peer chooses how small those are, and so what a list would
        # cost.
        self.data = bytearray()


class Partials:
    """The open messages of one association; false if there are none."""

    __slots__ = ("_bytes", "max_message_size", "open")

    def __init__(self, max_message_size: int) -> None:
        self.max_message_size: int = max_message_size
        self.open: dict[tuple[int, bool], Partial] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self.open)

    def join(self, part: Message, spare: int) -> Message | None:
        """Add a message or a part of one; return the message if it is whole now, else None.

        All open messages together may take `max_message_size` plus `spare` bytes, and their number what would
        take as much. Raises ReceivedTooLargeError if this one is larger than `max_message_size`, or all
        together than that.
        """
        size = len(part.data)
        key = (part.stream, part.unordered)
        partial = self.open.get(key)
        if size + (len(partial.data) if partial is not None else 0) > self.max_message_size:
            raise ReceivedTooLargeError(
                f"a message of stream {part.stream} is larger than max_message_size,"
                f" {self.max_message_size} bytes"
            )
        if partial is None and part.complete:
            return part
        most = self.max_message_size + spare
        if self._bytes + size > most:
            raise ReceivedTooLargeError(
                f"messages of {len(self.open)} streams, not yet whole, are larger than max_message_size"
                f" and the receive buffer together, {most} bytes"
            )
        if partial is None:
            if len(self.open) >= max(FEW_OPEN, most // OPEN_OVERHEAD):
                raise ReceivedTooLargeError(
                    f"{len(self.open)} messages are not yet whole; max_message_size and the receive buffer"
                    f" together, {most} bytes, have no space for another"
                )
            partial = self.open[key] = Partial(part)
        partial.data += part.data
        self._bytes += size
        if not part.complete:
            return None
        self._forget(key)
        return _joined(partial, part)

    def drop(self, stream: int) -> None:
        """Drop the open message of a stream, because the peer or the stack has abandoned it.

        Without I-DATA the event that says so names no stream, but then only one message can be open.
        """
        only = len(self.open) <= 1
        for key in [key for key in self.open if only or key[0] == stream]:
            self._forget(key)

    def _forget(self, key: tuple[int, bool]) -> None:
        self._bytes -= len(self.open.pop(key).data)

    def clear(self) -> None:
        """Drop all open messages."""
        self.open.clear()
        self._bytes = 0


def _joined(partial: Partial, last: Message) -> Message:
    head = partial.head
    return Message(
        data=bytes(partial.data),
        stream=head.stream,
        ppid=head.ppid,
        ssn=head.ssn,
        tsn=head.tsn,
        cumulative_tsn=last.cumulative_tsn,
        unordered=head.unordered,
        context=head.context,
        association_id=head.association_id,
        source=head.source,
    )
