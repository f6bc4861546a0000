"""What C and Python agree on: the records and constants of csrc/sctpio.h, as Python reads and writes them.

They are the same for both stacks: a stack whose own numbers differ translates them in C. `tests/pure`
compares each number and each layout here with what a compiler makes of the header.
"""

from __future__ import annotations

import struct

__all__ = [
    "ADDR_OVER",
    "EOF",
    "MORE",
    "MSG_CTRUNC",
    "MSG_EOR",
    "MSG_NOTIFICATION",
    "NO_INFO",
    "OUTGOING",
    "PR_PRIO",
    "PR_RTX",
    "PR_TTL",
    "RECORD",
    "RECORDS",
    "SACK_IMMEDIATELY",
    "SEND_ABORT",
    "SEND_EOF",
    "UNORDERED",
]

RECORD = struct.Struct("=IIiiIIIIHHHH28s")
"""A received part (`sctpio_record`): offset, length, msg_flags, association_id, ppid, tsn, cumulative_tsn,
context, stream, ssn, flags, source_length, source."""

OUTGOING = struct.Struct("=IIIIHHI")
"""A message to send in a batch (`sctpio_outgoing`): length, ppid, context, PR value, stream, flags,
PR policy."""

RECORDS = 128
"""The most records that one receive call may bring."""

# How a batch ended (SCTPIO_MORE, SCTPIO_EOF); any other state is a negative errno.
MORE = 0
EOF = 1

# Set in a record's msg_flags: the data came without stream, PPID or association id (SCTPIO_NO_INFO).
NO_INFO = 0x40000000

# A record's msg_flags, as recvmsg gives them on Linux; the usrsctp stack translates its own.
MSG_CTRUNC = 0x8
MSG_EOR = 0x80
MSG_NOTIFICATION = 0x8000

# Flags of a message (enum sctp_sinfo_flags, RFC 6458 section 5.3.4).
UNORDERED = 0x1
ADDR_OVER = 0x2
SEND_ABORT = 0x4
SACK_IMMEDIATELY = 0x8
SEND_EOF = 0x200

# Policies of partial reliability (RFC 3758, RFC 7496).
PR_TTL = 0x10
PR_RTX = 0x20
PR_PRIO = 0x30
