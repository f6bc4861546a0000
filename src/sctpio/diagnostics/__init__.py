"""The SCTP associations and endpoints of this host, those of other programs too.

`associations()` and `endpoints()` tell what this host's kernel has now, `counters()` what it has counted
since it started. `host` asks the kernel; `wire` and `proc` read its answers; `values` are what comes out.
"""

from .host import associations, counters, endpoints
from .values import Counters, HostAssociation, HostEndpoint, HostPath, Owner

__all__ = [
    "Counters",
    "HostAssociation",
    "HostEndpoint",
    "HostPath",
    "Owner",
    "associations",
    "counters",
    "endpoints",
]
