"""The table of usrsctp 0.9.5 (usrsctp.h): events and options.

Its numbers are those of FreeBSD. Most structs and all meanings are those of RFC 6458, as on Linux, so each
row is the Linux row with its differences. `tests/pure/abi/usrsctp/test_referee.py` compares numbers and
structs with what a compiler makes of usrsctp.h, and with what the library itself accepts and gives.

Sockaddrs are those of the host. Only the usrsctp stack imports this, because it is of no use without that.
"""

from __future__ import annotations

from ..linux import LINUX
from ..platform import Platform
from .events import EVENTS
from .options import LACKING, OPTIONS

__all__ = ["USRSCTP"]

USRSCTP = Platform(
    name="usrsctp",
    af_inet=LINUX.af_inet,
    af_inet6=LINUX.af_inet6,
    events=EVENTS,
    options=OPTIONS,
    inside={"SCTP_I_WANT_MAPPED_V4_ADDR": 0xD, "SCTP_EVENT": 0x1E, "SCTP_RECVRCVINFO": 0x1F},
    lacking=LACKING,
)
