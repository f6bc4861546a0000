"""Counters: what a `Conn`, a `Listener` or an `Endpoint` has done since it was opened. Sizes are in bytes."""

from ._dataclass import dataclass

__all__ = ["EndpointStatistics", "Statistics"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counters of a `Conn`.

    `unread_*` is what was received and not read; `pauses` how often reading stopped because that filled
    the receive buffer; `wakeups` how often the loop called. The associations of a one-to-many socket are
    read together: `reading_paused`, `pauses` and `wakeups` are those of the socket.
    """

    messages_sent: int
    bytes_sent: int
    messages_received: int
    bytes_received: int
    unread_messages: int
    unread_bytes: int
    reading_paused: bool
    pauses: int
    waiting_senders: int
    wakeups: int


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """Counters of a one-to-many `Listener` or an `Endpoint`, over all of its associations.

    `unaccepted` associations wait for `accept`; `refused` were aborted because too many waited. `paused_by`
    are the ids of those whose unread messages stop the reading.
    """

    associations: int
    unaccepted: int
    refused: int
    unread_messages: int
    unread_bytes: int
    reading_paused: bool
    paused_by: tuple[int, ...]
    pauses: int
    waiting_senders: int
    wakeups: int
