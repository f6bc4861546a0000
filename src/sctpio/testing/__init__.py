"""For tests of programs that use sctpio: associations on any machine, and a network that misbehaves.

`connected` gives both ends of an association in this process. A `Relay` between them loses, delays, reorders,
duplicates or corrupts packets (`Faults`), or cuts the line, and does the same again for the same seed::

    async with Relay(Faults(loss=0.1)) as relay, connected(relay=relay, options=QUICK) as (client, server):
        ...

The package pytest_sctpio has the same as fixtures: `sctp_pair`, `sctp_listener`, `sctp_relay` and
`sctp_relayed_pair`.
"""

from ._connected import QUICK, Pair, RelayedPair, connected
from ._direction import Direction
from ._faults import Counters, Faults
from ._relay import Relay

__all__ = ["QUICK", "Counters", "Direction", "Faults", "Pair", "Relay", "RelayedPair", "connected"]
