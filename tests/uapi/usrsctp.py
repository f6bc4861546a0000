"""What of usrsctp.h is ours: each name of the header with our number for it, or why we have none.

`usrsctp.txt` has the names of usrsctp 0.9.5's header that begin with SCTP_ or SPP_. Numbers and structs are
compared with a compiler's and with what the library does, by test_usrsctp_referee.py.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

from sctpio._abi.linux import structs
from sctpio._abi.usrsctp import USRSCTP, events, options
from sctpio.events import StreamResetFlags
from sctpio.options import HmacIdentifier, Scope
from uapi.inventory import names_of_header

HEADER = Path("/usr/include/usrsctp.h")
PREFIXES = ("SCTP_", "SPP_")


def names_of_usrsctp(text: str) -> set[str]:
    """Find the names of usrsctp.h that are SCTP's."""
    return {name for name in names_of_header(text) if name.startswith(PREFIXES)}


def _enum(numbers: Mapping[enum.IntEnum, int], prefix: str = "SCTP_", **names: str) -> dict[str, int]:
    """Give the stack's numbers of an enum by their C names, which are ours unless `names` says otherwise."""
    return {prefix + names.get(member.name, member.name): number for member, number in numbers.items()}


# What the header does not name, though the stack has it.
UNNAMED = {"SCTP_PR_SCTP_ALL"}

ENUMS = {
    name: number
    for name, number in (
        _enum(events.ASSOCIATION_STATES)
        | _enum(events.ADDRESS_STATES, "SCTP_ADDR_", MADE_PRIMARY="MADE_PRIM")
        | _enum(events.PARTIAL_DELIVERY_STATES, "SCTP_PARTIAL_DELIVERY_")
        | _enum(events.AUTHENTICATION_STATES, "SCTP_AUTH_")
        | _enum(options.PROTOCOL_STATES)
        | _enum(options.PATH_STATES)
        | _enum(options.POLICIES, "SCTP_PR_SCTP_", LIFETIME="TTL", RETRANSMISSIONS="RTX", PRIORITY="BUF")
        | _enum(options.SCHEDULERS, "SCTP_SS_", FCFS="FIRST_COME", FAIR_CAPACITY="FAIR_BANDWITH")
        | {f"SCTP_AUTH_HMAC_ID_{member.name}": member.value for member in HmacIdentifier}
        | {f"SCTP_{scope.name}_ASSOC": scope.value for scope in Scope}
    ).items()
    if name not in UNNAMED
}

# Numbers that are as in Linux, and that the table therefore takes from there.
_AS_IN_LINUX = (
    "SCTP_ENABLE_RESET_STREAM_REQ",
    "SCTP_ENABLE_RESET_ASSOC_REQ",
    "SCTP_ENABLE_CHANGE_ASSOC_REQ",
    "SCTP_STREAM_RESET_INCOMING",
    "SCTP_STREAM_RESET_OUTGOING",
    "SPP_HB_ENABLE",
    "SPP_HB_DISABLE",
    "SPP_HB_DEMAND",
    "SPP_PMTUD_ENABLE",
    "SPP_PMTUD_DISABLE",
    "SPP_HB_TIME_IS_ZERO",
    "SPP_IPV6_FLOWLABEL",
    "SPP_DSCP",
)
FLAGS = {
    "SCTP_UNORDERED": options.UNORDERED,
    "SCTP_DATA_UNSENT": events.DATA_UNSENT,
    "SCTP_DATA_SENT": events.DATA_SENT,
    "SCTP_STREAM_RESET_INCOMING_SSN": StreamResetFlags.INCOMING,
    "SCTP_STREAM_RESET_OUTGOING_SSN": StreamResetFlags.OUTGOING,
    "SCTP_STREAM_RESET_DENIED": StreamResetFlags.DENIED,
    "SCTP_STREAM_RESET_FAILED": StreamResetFlags.FAILED,
    "SCTP_ASSOC_RESET_DENIED": StreamResetFlags.DENIED,
    "SCTP_ASSOC_RESET_FAILED": StreamResetFlags.FAILED,
    "SCTP_STREAM_CHANGE_DENIED": StreamResetFlags.DENIED,
    "SCTP_STREAM_CHANGE_FAILED": StreamResetFlags.FAILED,
} | {name: getattr(structs, name.removeprefix("SCTP_")) for name in _AS_IN_LINUX}

MODELLED: dict[str, int] = (
    {row.name: row.number for row in USRSCTP.events}
    | {spec.name: spec.number for spec in USRSCTP.options if spec.level == 132}
    | dict(USRSCTP.inside)
    | ENUMS
    | FLAGS
)

# Options that the stack's module uses by itself, and for what.
INSIDE = {
    "SCTP_EVENT": "`events=` and `events()` subscribe with it, one type at a time",
    "SCTP_I_WANT_MAPPED_V4_ADDR": "mapped addresses are read as what they mean",
    "SCTP_RECVRCVINFO": "always on: every `Message` says where it belongs",
}

# Options that we have on purpose no type for.
NO_OPTION = {
    "SCTP_EXPLICIT_EOR": "`send` takes whole messages",
    "SCTP_RECVNXTINFO": "nothing is peeked at",
    "SCTP_REUSE_PORT": "only one of the sockets that share a port can listen; it cannot be turned off again",
    "SCTP_NRSACK_SUPPORTED": "of this stack alone: an expired draft",
    "SCTP_PKTDROP_SUPPORTED": "of this stack alone: an expired draft",
    "SCTP_MAX_CWND": "of this stack alone",
    "SCTP_TIMEOUTS": "of this stack alone: counters of timeouts",
}


def _all(why: str, names: str, prefix: str = "SCTP_") -> dict[str, str]:
    """Leave out all these names, for one reason."""
    return {prefix + name: why for name in names.split()}


EXCLUDED = (
    NO_OPTION
    | _all(
        "of the C part: what goes with one message or call, see csrc/sctpio.h",
        """ABORT ADDR_OVER EOF EOR COMPLETE NOTIFICATION SACK_IMMEDIATELY SENDALL BINDX_ADD_ADDR
        BINDX_REM_ADDR SENDV_NOINFO SENDV_SNDINFO SENDV_PRINFO SENDV_AUTHINFO SENDV_SPA SEND_SNDINFO_VALID
        SEND_PRINFO_VALID SEND_AUTHINFO_VALID RECVV_NOINFO RECVV_RCVINFO RECVV_NXTINFO RECVV_RN NO_NEXT_MSG
        NEXT_MSG_AVAIL NEXT_MSG_ISCOMPLETE NEXT_MSG_IS_UNORDERED NEXT_MSG_IS_NOTIFICATION EVENT_READ
        EVENT_WRITE EVENT_ERROR""",
    )
    | _all(
        "the type of a chunk, which `AuthChunk` takes as a number",
        """DATA INITIATION INITIATION_ACK SELECTIVE_ACK HEARTBEAT_REQUEST HEARTBEAT_ACK ABORT_ASSOCIATION
        SHUTDOWN SHUTDOWN_ACK OPERATION_ERROR COOKIE_ECHO COOKIE_ACK ECN_ECHO ECN_CWR SHUTDOWN_COMPLETE
        AUTHENTICATION NR_SELECTIVE_ACK ASCONF_ACK PACKET_DROPPED STREAM_RESET PAD_CHUNK FORWARD_CUM_TSN
        ASCONF""",
    )
    | _all(
        "what the peer can, told as it comes up; each has an option that tells",
        "PR AUTH ASCONF MULTIBUF RE_CONFIG INTERLEAVING MAX",
        "SCTP_ASSOC_SUPPORTS_",
    )
    | _all(
        "congestion control and multipath, for which the header has no option",
        """CC_RFC2581 CC_HSTCP CC_HTCP CC_RTCC CC_OPT_RTCC_SETMODE CC_OPT_USE_DCCC_EC CC_OPT_STEADY_STEP
        CMT_OFF CMT_BASE CMT_RPV1 CMT_RPV2 CMT_MPTCP CMT_MAX""",
    )
    | _all("of the tools to look for faults", "DEBUG_NONE DEBUG_ALL DUMP_OUTBOUND DUMP_INBOUND")
    | _all("an algorithm that the stack refuses", "224 384 512", "SCTP_AUTH_HMAC_ID_SHA")
    | _all("a number of the header's own", "ALIGN_RESV_PAD ALIGN_RESV_PAD_SHORT PACKED")
    | {
        "SCTP_SEND_FAILED": "superseded by SCTP_SEND_FAILED_EVENT; its struct is not in the header",
        "SCTP_NOTIFICATIONS_STOPPED_EVENT": "never sent; subscribing to it is ENOTSUP",
        "SCTP_STREAM_CHANGED_DENIED": "never sent; SCTP_STREAM_CHANGE_DENIED is",
        "SCTP_DATA_LAST_FRAG": "a bit of `SendFailed.flags`",
        "SCTP_DATA_NOT_FRAG": "two bits of `SendFailed.flags`",
        "SCTP_BOUND": "the state of a socket, never that of an association",
        "SCTP_LISTEN": "the state of a socket, never that of an association",
        "SCTP_ENABLE_VALUE_MASK": "all bits of SCTP_ENABLE_STREAM_RESET",
        "SCTP_AUTH_HMAC_ID_RSVD": "no algorithm",
        "SCTP_SS_DEFAULT": "read as `Scheduler.ROUND_ROBIN`, which it is",
        "SCTP_SS_ROUND_ROBIN_PACKET": "read as `Scheduler.ROUND_ROBIN`",
    }
)
