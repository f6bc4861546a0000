"""For test-suites: both ends of an association on any machine, a relay that loses, delays and reorders.

    async with Relay(Faults(loss=0.1)) as relay, connected(relay=relay, options=QUICK) as (client, server):
        ...

The same as pytest fixtures: `sctp_pair`, `sctp_listener`, `sctp_relay`, `sctp_relayed_pair`.
"""

from ._connected import QUICK, Pair, RelayedPair, connected
from ._direction import Direction
from ._faults import Counters, Faults
from ._relay import Relay

__all__ = ["QUICK", "Counters", "Direction", "Faults", "Pair", "Relay", "RelayedPair", "connected"]
