"""The table of the Linux kernel's uapi (include/uapi/linux/sctp.h): events and options.

The numbers have never changed since they were given out; `tests/pure/test_referee.py` compares
them, and every struct, with a compiler's view of the system's header. To add an option, write its
dataclass in `options`, its row in `_linux_options`, or the modules of its subject beside these.
"""

from __future__ import annotations

from ._linux_auth import OPTIONS as AUTH
from ._linux_events import EVENTS
from ._linux_options import OPTIONS
from ._linux_paths import OPTIONS as PATHS
from ._linux_streams import OPTIONS as STREAMS
from ._tables import Platform

__all__ = ["LINUX"]

LINUX = Platform(
    name="Linux",
    af_inet=2,
    af_inet6=10,
    length_byte=False,
    events=EVENTS,
    options=(*OPTIONS, *PATHS, *AUTH, *STREAMS),
    inside={"SCTP_I_WANT_MAPPED_V4_ADDR": 12, "SCTP_RECVRCVINFO": 32, "SCTP_EVENT": 127},
)
