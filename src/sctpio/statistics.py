"""Counters: what a `Conn`, a `Listener` or an `Endpoint` has done since it was opened.

Each value is a snapshot. Sizes are in bytes.
"""

from ._value import dataclass
from .address import Address
from .options import PathState, PeerAddressInfo, ProtocolState

__all__ = ["EndpointStatistics", "Snapshot", "Statistics"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The counters of a `Conn`.

    `messages_*` and `bytes_*` count what was sent and received so far. `unread_*` is what was received and
    not read yet; when it fills the receive buffer, reading from the socket stops: `reading_paused` says
    whether that is so now, `pauses` how often it was. `waiting_senders` are tasks that wait for space in the
    send buffer; `send_wait_oldest` is how long the first of them has waited so far (seconds, 0.0 if none
    waits), and `send_wait_p50` and `send_wait_p99` are the median and the 99th percentile of the last 512
    waits, however they ended, None if no message ever waited. `wakeups` is how often the event loop called
    because of the socket. `reading_paused`, `pauses` and `wakeups` are those of the socket: on a one-to-many
    socket all its associations share them.
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
    send_wait_p50: float | None
    send_wait_p99: float | None
    send_wait_oldest: float
    wakeups: int


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """The counters of a `Listener` or an `Endpoint`, over all associations that it has now.

    `associations` are up, `unaccepted` of them wait for `accept`, and `refused` counts those that were
    aborted because too many waited; where each has a socket of its own the stack keeps those queues, and does
    not tell. `paused_by` are the ids of the associations whose unread messages stop
    the reading for all. The rest is as in `Statistics`.
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
    send_wait_oldest: float
    wakeups: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is known of an association at one moment, as one flat value; made by `Conn.snapshot`.

    What only a living association has is None once it has ended: `state` (RFC 9260 section 4), the peer's
    receive window `rwnd` (bytes), `unacknowledged` and `pending` (DATA chunks; see `Status`), the `primary`
    path and its figures `cwnd` (bytes), `srtt` and `rto` (seconds), and `paths`, which is empty then.
    `paths_active` counts those that can be used. `end` says how it ended, None while it lives. `local` and
    `peer` are the last known addresses. The rest is as in `Statistics`.
    """

    association_id: int
    stack: str
    state: ProtocolState | None
    end: str | None
    local: Address | None
    peer: Address
    outbound_streams: int
    inbound_streams: int
    rwnd: int | None
    unacknowledged: int | None
    pending: int | None
    primary: Address | None
    cwnd: int | None
    srtt: float | None
    rto: float | None
    paths: tuple[PeerAddressInfo, ...]
    messages_sent: int
    bytes_sent: int
    messages_received: int
    bytes_received: int
    unread_messages: int
    unread_bytes: int
    reading_paused: bool
    pauses: int
    waiting_senders: int
    send_wait_p50: float | None
    send_wait_p99: float | None
    send_wait_oldest: float
    wakeups: int

    @property
    def paths_active(self) -> int:
        """How many paths can be used now."""
        return sum(path.state is PathState.ACTIVE for path in self.paths)
