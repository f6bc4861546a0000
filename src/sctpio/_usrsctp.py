"""The table of usrsctp 0.9.5 (usrsctp.h): events and options.

Its numbers are those of FreeBSD; most structs and all meanings are those of RFC 6458, as in the Linux table,
so each row is the Linux one with what is otherwise. `tests/pure/test_usrsctp_referee.py` compares numbers
and structs with a compiler's view of usrsctp.h, and with what the library itself takes and gives.

Sockaddrs are the host's. Imported by the usrsctp stack alone.
"""

from __future__ import annotations

from ._linux import LINUX
from ._tables import Platform
from ._usrsctp_events import EVENTS
from ._usrsctp_options import LACKING, OPTIONS

__all__ = ["USRSCTP"]

USRSCTP = Platform(
    name="usrsctp",
    af_inet=LINUX.af_inet,
    af_inet6=LINUX.af_inet6,
    length_byte=LINUX.length_byte,
    events=EVENTS,
    options=OPTIONS,
    inside={"SCTP_I_WANT_MAPPED_V4_ADDR": 0xD, "SCTP_EVENT": 0x1E, "SCTP_RECVRCVINFO": 0x1F},
    lacking=LACKING,
    stream_totals=True,
)
