"""What is known of the associations and endpoints of a host; pure values.

Durations are float seconds, sizes are bytes. What a source does not tell is None.
"""

from .._value import dataclass
from ..address import Address, Host
from ..options import PathState, ProtocolState

__all__ = ["Counters", "HostAssociation", "HostEndpoint", "HostPath", "Owner"]


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that has a socket open: its id and its name (/proc/PID/comm)."""

    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class HostPath:
    """One path of an association.

    `rto` is its retransmission timeout, and `heartbeat` says whether its heartbeat timer runs; both are None,
    and `state` is UNKNOWN, where /proc/net/sctp does not list the association (any more).
    """

    host: Host
    state: PathState
    primary: bool
    rto: float | None
    heartbeat: bool | None


@dataclass(frozen=True, slots=True)
class HostAssociation:
    """One association of this host's kernel, whoever it belongs to.

    `id` is its association id; `tag` and `peer_tag` are the verification
    tags (RFC 9260 section 3.1). `rtt`, `rto`, `cwnd`, `ssthresh` and `in_flight` are those of the primary
    path, the first of them None before anything was measured. `peer_rwnd` is the window that the peer has
    left, `rwnd` the one of this end. `unacknowledged` and `pending` are DATA chunks that wait for an
    acknowledgement and for being sent. `send_queue` and `receive_queue` are bytes in the buffers. The counts
    since the association began: packets, DATA chunks of messages (`chunks_*`), control chunks, retransmitted
    DATA chunks, duplicates received, and gaps that the peer reported. `inode` and `uid` are of the socket;
    `inode` is 0 before it is accepted. `owners` are the processes that have it open, as far as this one may
    see.
    """

    id: int
    state: ProtocolState
    local: Address
    peer: Address
    paths: tuple[HostPath, ...]
    outbound_streams: int
    inbound_streams: int
    rtt: float | None
    rto: float
    cwnd: int
    ssthresh: int
    in_flight: int
    rwnd: int
    peer_rwnd: int
    unacknowledged: int
    pending: int
    send_queue: int
    receive_queue: int
    packets_sent: int
    packets_received: int
    chunks_sent: int
    chunks_received: int
    control_sent: int
    control_received: int
    retransmitted: int
    duplicates: int
    gaps: int
    tag: int
    peer_tag: int
    inode: int
    uid: int
    owners: tuple[Owner, ...]

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What tells this association from every other of the host, those before it included."""
        return self.local.port, self.peer.port, self.tag, self.peer_tag

    @property
    def primary(self) -> Host | None:
        """The primary path's address."""
        return next((path.host for path in self.paths if path.primary), None)


@dataclass(frozen=True, slots=True)
class HostEndpoint:
    """One SCTP socket of this host's kernel that listens, or has no association.

    `local` has its addresses, the wildcard as the address 0.0.0.0 or ::. `one_to_many` says which style of
    socket it is, None where /proc/net/sctp does not list it. `unaccepted` associations wait for `accept`,
    at most `backlog` of them, while it is `listening`.
    """

    local: Address
    listening: bool
    one_to_many: bool | None
    unaccepted: int
    backlog: int
    inode: int
    uid: int
    owners: tuple[Owner, ...]


class Counters(dict[str, int]):
    """The counters of /proc/net/sctp/snmp by their names, such as ``SctpT3Retransmits`` (RFC 3873).

    A kernel may have more or fewer of them than another.
    """
