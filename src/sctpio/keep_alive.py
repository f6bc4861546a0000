"""`KeepAlive`: the options by which a dead peer is known in time, chosen together from one number."""

from __future__ import annotations

from ._value import dataclass
from .options import AssocInfo, DelayedSack, Option, PeerAddressParameters, RtoInfo

__all__ = ["KeepAlive"]

# Seconds: below this, timers of the kernels and jitter of networks decide, not the options.
LEAST = 1.0
MOST = 600.0

# Unanswered packets after which the peer counts as lost. Linux counts a heartbeat when it is sent and fails
# at the number itself, so that the heartbeats under way on several paths count; usrsctp counts those that
# timed out, and fails beyond it.
STRIKES = {"kernel": 4, "usrsctp": 3}


@dataclass(frozen=True, slots=True)
class KeepAlive(Option):
    """Know within `detect_within` seconds that the peer is dead, whether the association is idle or busy.

    It stands for RtoInfo, AssocInfo(max_retransmissions=...), PeerAddressParameters(heartbeat_interval=...,
    path_max_retransmissions=...) and DelayedSack (RFC 9260 sections 6.3, 8.1 and 8.3), which `parts` returns,
    and is set wherever they are: in the `options` of `listen` and `connect`, or on an association.

    A round trip has to be shorter than the least timeout, detect_within / 15: otherwise data is sent twice
    for nothing, and a living peer may count as dead. Both ends need it for both to know. Raises ValueError
    outside of 1 to 600 seconds.
    """

    detect_within: float

    def __post_init__(self) -> None:
        value = self.detect_within
        if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST <= value <= MOST:
            raise ValueError(f"KeepAlive: detect_within={value!r}; accepted: {LEAST:g} to {MOST:g} seconds")

    def parts(self, stack: str) -> tuple[Option, ...]:
        """Return the options that it stands for on a stack ("kernel", "usrsctp")."""
        unit = self.detect_within / 15
        # A long limit is no reason to wait longer for a packet that was lost on a living path.
        minimum = min(unit, 1.0)
        return (
            RtoInfo(initial=min(2 * unit, 3.0), minimum=minimum, maximum=min(2 * unit, 60.0)),
            AssocInfo(max_retransmissions=STRIKES[stack]),
            PeerAddressParameters(heartbeat_interval=unit / 4, path_max_retransmissions=2),
            # The peer's answer must not wait as long as the timeout.
            DelayedSack(delay=max(0.001, min(0.2, minimum / 4))),
        )
