"""Reading: taking messages from an inbox, and waiting until it has some.

`Conn`, `Stream` and `Endpoint` have a `Reader` each. If its inbox has a message, that is taken without
suspending; otherwise it waits, or raises how the association ended. Taking from a full buffer lets the socket
read again.
"""

from collections.abc import Coroutine
from typing import Any, Protocol

from ..errors import StreamOutOfRangeError
from ..message import Message
from .association import Association
from .loop_socket import LoopSocket
from .unread import MESSAGE_OVERHEAD, Inbox, Unread


class Ending(Protocol):
    """The source of messages: an association, or an endpoint with many of them."""

    def check_alive(self) -> None:
        """Raise how the source ended, if it has."""


class Reader:
    """Takes messages from one inbox."""

    __slots__ = ("_source", "_unread", "inbox")

    def __init__(self, source: Ending, unread: Unread, inbox: Inbox) -> None:
        self._source = source
        self._unread = unread
        self.inbox = inbox

    def _is_ready(self) -> bool:
        """Return whether there is a message; raise how the source ended, as `check_alive` does."""
        if self.inbox.messages:
            return True
        self._source.check_alive()
        return False

    def more(self, first: bool) -> Coroutine[Any, Any, None]:
        """Return an awaitable that waits until there may be a message; raises how the source ended.

        `first` is for a task that was woken and found nothing, because another task was faster: it stays at
        the head of the queue.

        Cancelling loses nothing. Raises ReceiveBufferFullError if unread messages of other streams fill the
        buffer and nobody takes them.
        """
        unread, inbox = self._unread, self.inbox
        # Returned rather than awaited here: one coroutine less for every wake-up.
        if unread.size < unread.limit:
            return inbox.waiters.wait(self._is_ready, first)
        self._source.check_alive()
        return unread.wait(inbox.waiters, self._is_ready, inbox, first)

    def take(self, socket: LoopSocket) -> Message:
        """Remove and return the oldest message; raises IndexError if there is none."""
        # What `Unread.take` does, because a call would take a tenth of a message.
        unread, inbox = self._unread, self.inbox
        if inbox.fresh:
            inbox.note_reader()
        message = inbox.messages.popleft()
        unread.size -= len(message.data) + MESSAGE_OVERHEAD
        if not socket.reading:
            self._unread.note_taken()
            socket.resume()
        return message

    def take_all(self, socket: LoopSocket, limit: int | None) -> list[Message]:
        """Remove and return the oldest messages, at most `limit` of them."""
        messages = self._unread.take_all(self.inbox, limit)
        if not socket.reading:
            self._unread.note_taken()
            socket.resume()
        return messages


def reader_of(association: Association) -> Reader:
    """Return a reader of all streams that no `Stream` has claimed."""
    unread = association.unread
    return Reader(association, unread, unread.inbox)


def claim(association: Association, stream: int) -> Reader:
    """Claim an inbound stream: return a reader that alone gets its messages from now on.

    Raises StreamOutOfRangeError if the peer has no such outbound stream.
    """
    limit = association.inbound_streams
    if stream >= limit:
        raise StreamOutOfRangeError(stream, limit)
    return Reader(association, association.unread, association.unread.claim(stream))
