"""Options about the addresses of both ends: paths, primary addresses, address changes, UDP encapsulation."""

from __future__ import annotations

from typing import Annotated

from .._value import dataclass
from ..address import Address
from ..events import OpenIntEnum
from .base import U32, Count16, HourAtMostOrZero, Integer, Number16, Option, Path, Seconds, Switch, Toggle

__all__ = [
    "AsconfSupported",
    "AutoAsconf",
    "ExposePotentiallyFailed",
    "PathState",
    "PeerAddressInfo",
    "PeerAddressParameters",
    "PeerAddressThresholds",
    "PeerPrimaryAddress",
    "PlpmtudProbeInterval",
    "PrimaryAddress",
    "UdpEncapsulation",
]


class PathState(OpenIntEnum):
    """The state of a path (enum sctp_spinfo_state, RFC 6458 section 8.2.2)."""

    INACTIVE = 0
    POTENTIALLY_FAILED = 1
    ACTIVE = 2
    UNCONFIRMED = 3
    UNKNOWN = 0xFFFF


@dataclass(frozen=True, slots=True)
class PeerAddressInfo(Option):
    """One path, as it is now (SCTP_GET_PEER_ADDR_INFO, RFC 6458 section 8.2.2). Read only.

    `cwnd` is the congestion window and `mtu` the largest packet, both in bytes; usrsctp's `mtu` leaves out
    the headers of IP and SCTP. `srtt` (smoothed round-trip time) and `rto` (retransmission timeout) are in
    seconds. It is read with the path's address.
    """

    address: Address
    state: PathState
    cwnd: int
    srtt: float
    rto: float
    mtu: int


@dataclass(frozen=True, slots=True)
class PeerAddressParameters(Option):
    """How a path is watched and used (SCTP_PEER_ADDR_PARAMS, RFC 6458 section 8.1.12).

    `address` (one host) chooses the path; None means all paths of the association, or of those that the
    socket will have. `heartbeat_interval` is in seconds, up to 3600, on top of the path's RTO; giving it
    turns heartbeats on, because a stack ignores it otherwise. `path_max_retransmissions` is the number of
    timeouts in a row after which the path is inactive. `path_mtu` (bytes) can be set only together with
    ``path_mtu_discovery=False``. `sack_delay` is in seconds, up to 0.5; giving it turns delayed SACKs on.
    `ipv6_flow_label` has 20 bits, and `dscp` is the code point, 0 to 63. `demand_heartbeat` sends one
    heartbeat now and is never reported.

    usrsctp does not have `sack_delay` and `delayed_sack` here (use `DelayedSack`), nor `ipv6_flow_label` on
    IPv4 sockets. It takes ``path_mtu_discovery=False`` only together with a `path_mtu` from 512 to 65535,
    which leaves out the headers of IP and SCTP.
    """

    address: Annotated[Address | None, Path()] = None
    heartbeat: Switch = None
    heartbeat_interval: HourAtMostOrZero = None
    path_max_retransmissions: Count16 = None
    path_mtu: Annotated[int | None, Integer(1, U32)] = None
    path_mtu_discovery: Switch = None
    sack_delay: Annotated[float | None, Seconds(0.001, 0.5)] = None
    delayed_sack: Switch = None
    ipv6_flow_label: Annotated[int | None, Integer(0, 0xFFFFF)] = None
    dscp: Annotated[int | None, Integer(0, 63)] = None
    demand_heartbeat: Switch = None

    def __post_init__(self) -> None:
        # Not super(): see `_value`.
        Option.__post_init__(self)
        if self.path_mtu is not None and self.path_mtu_discovery is None:
            raise ValueError(
                f"PeerAddressParameters: path_mtu={self.path_mtu!r} takes effect only with "
                "path_mtu_discovery=False"
            )


@dataclass(frozen=True, slots=True)
class PrimaryAddress(Option):
    """The path that an association sends over by default (SCTP_PRIMARY_ADDR, RFC 6458 8.1.9).

    `address` is one of the peer's addresses, with its port.
    """

    address: Annotated[Address | None, Path()] = None


@dataclass(frozen=True, slots=True)
class PeerPrimaryAddress(Option):
    """Ask the peer to send to a local address by default (SCTP_SET_PEER_PRIMARY_ADDR, RFC 6458 8.3.1).

    Both ends need `AsconfSupported` (RFC 5061 section 5.1). Write only.
    """

    address: Annotated[Address | None, Path()] = None


@dataclass(frozen=True, slots=True)
class PeerAddressThresholds(Option):
    """After how many timeouts a path is left (SCTP_PEER_ADDR_THLDS_V2, RFC 7829 section 7.2; Linux 5.5).

    `address` (one host) chooses the path; None means all of them. The others count timeouts in a row: after
    `potentially_failed` data goes over another path meanwhile, after `path_max_retransmissions` the path is
    inactive, and after `change_primary` another path becomes the primary one for good (65535: never).
    """

    address: Annotated[Address | None, Path()] = None
    path_max_retransmissions: Count16 = None
    potentially_failed: Number16 = None
    change_primary: Number16 = None


@dataclass(frozen=True, slots=True)
class ExposePotentiallyFailed(Option):
    """Whether a path shows that it has potentially failed (RFC 7829 7.3; Linux 5.5).

    True: as a state and by PeerAddressChange events. False: not at all, and `PeerAddressInfo` of such a path
    is EACCES. A socket on which it was never set reports None: as a state, without events. The uapi calls it
    SCTP_EXPOSE_POTENTIALLY_FAILED_STATE.
    """

    enabled: Switch = None


class AsconfSupported(Toggle):
    """Whether addresses can change during an association (SCTP_ASCONF_SUPPORTED, RFC 5061; Linux 5.4).

    Set it on both ends before the association is made, together with `AuthSupported`: RFC 5061 demands that
    such changes are authenticated. Read for an association, it tells whether both ends have it.
    """

    __slots__ = ()


class AutoAsconf(Toggle):
    """Whether peers are told of addresses that come and go on this host (SCTP_AUTO_ASCONF, RFC 6458 8.1.23).

    For sockets that are bound to every address of the host, and before they connect or listen; EINVAL
    otherwise. It needs `AsconfSupported`.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class UdpEncapsulation(Option):
    """The peer's UDP port for SCTP over UDP (SCTP_REMOTE_UDP_ENCAPS_PORT, RFC 6951 section 6.1; Linux 5.11).

    `address` (one host) chooses the path; None means all of them, or those of associations that have not
    begun. `port` is from 0 to 65535, and 0 turns encapsulation off. The host's own port is the sysctl
    net.sctp.udp_port on Linux, and chosen by `usrsctp_config` on usrsctp.
    """

    address: Annotated[Address | None, Path()] = None
    port: Number16 = None


@dataclass(frozen=True, slots=True)
class PlpmtudProbeInterval(Option):
    """How often a path is probed for a larger MTU (SCTP_PLPMTUD_PROBE_INTERVAL, RFC 8899; Linux 5.14).

    `address` (one host) chooses the path; None means all of them, or those of associations that have not
    begun. `interval` is in seconds: from 5 to 3600, or 0 for never.
    """

    address: Annotated[Address | None, Path()] = None
    interval: HourAtMostOrZero = None

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        if self.interval and self.interval < 5:
            raise ValueError(
                f"PlpmtudProbeInterval: interval={self.interval!r}; accepted: 0, or seconds from 5 to 3600"
            )
