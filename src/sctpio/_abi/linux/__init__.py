"""The table of the Linux kernel's uapi (include/uapi/linux/sctp.h): events and options.

Numbers and structs of a uapi never change once they are out, so the table is the same for every kernel; a
newer one may have longer structs and more rows. `tests/pure/abi/linux/test_referee.py` compares all of it
with what a compiler makes of the system's header. The rows are in a module for each subject, like the
dataclasses in `options`; `structs` is what several rows use.
"""

from __future__ import annotations

from ..platform import Platform
from .association import OPTIONS
from .auth import OPTIONS as AUTH
from .events import EVENTS
from .paths import OPTIONS as PATHS
from .streams import OPTIONS as STREAMS

__all__ = ["LINUX"]

LINUX = Platform(
    name="Linux",
    af_inet=2,
    af_inet6=10,
    events=EVENTS,
    options=(*OPTIONS, *PATHS, *AUTH, *STREAMS),
    inside={"SCTP_I_WANT_MAPPED_V4_ADDR": 12, "SCTP_RECVRCVINFO": 32, "SCTP_EVENT": 127},
)
