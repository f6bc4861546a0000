"""What of linux/sctp.h is ours: each name of the header with our number for it, or why we have none.

`names.txt` has the names of the newest header that was looked at (Linux 7.2), `usrsctp.txt` those of usrsctp
0.9.5's header. Names alone: numbers and structs are compared with a compiler's, by the two test_referee.py.
"""

from __future__ import annotations

import enum
import re
from pathlib import Path

from sctpio._abi import contract
from sctpio._abi.linux import LINUX, structs
from sctpio.events import (
    AddressState,
    AssociationState,
    AuthenticationState,
    PartialDeliveryState,
    PathError,
    StreamResetFlags,
)
from sctpio.options import HmacIdentifier, PathState, ProtocolState, PrPolicy, Scheduler, Scope

HERE = Path(__file__).parent
C_HEADER = HERE.parents[1] / "csrc" / "kernel" / "uapi.h"
SYSTEM_HEADER = Path("/usr/include/linux/sctp.h")

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
MACRO = re.compile(r"^\s*#\s*define\s+([A-Z]\w*)", re.MULTILINE)
ENUM = re.compile(r"\benum\b[^;{]*\{([^}]*)\}")
ENUMERATOR = re.compile(r"(?:^|,)\s*([A-Z]\w*)\s*(?=[=,]|\Z)")


def read_names(name: str) -> set[str]:
    """Read a list of names, one a line."""
    return set((HERE / name).read_text(encoding="ascii").split())


def names_of_header(text: str) -> set[str]:
    """Find the macros and the enumerators of a C header; its include guard is none."""
    text = COMMENT.sub(" ", text)
    names = set(MACRO.findall(text))
    plain = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    for body in ENUM.findall(plain):
        names.update(ENUMERATOR.findall(" ".join(body.split())))
    return {name for name in names if not name.startswith("_")}


def _enum(kind: type[enum.Enum], prefix: str = "SCTP_", **names: str) -> dict[str, int]:
    """Give an enum's numbers by their C names, which are ours unless `names` says otherwise."""
    return {prefix + names.get(name, name): member.value for name, member in kind.__members__.items()}


def _c_header() -> dict[str, int]:
    """Read the numbers that the C part declares for itself."""
    found = re.findall(r"\bUAPI_(\w+) = (\d+)", C_HEADER.read_text(encoding="ascii"))
    return {f"SCTP_{name}": int(number) for name, number in found}


FLAGS = {
    "SCTP_UNORDERED": contract.UNORDERED,
    "SCTP_ADDR_OVER": contract.ADDR_OVER,
    "SCTP_ABORT": contract.SEND_ABORT,
    "SCTP_SACK_IMMEDIATELY": contract.SACK_IMMEDIATELY,
    "SCTP_EOF": contract.SEND_EOF,
    "SCTP_NOTIFICATION": contract.MSG_NOTIFICATION,
    "MSG_NOTIFICATION": contract.MSG_NOTIFICATION,
    "SCTP_DATA_SENT": structs.DATA_SENT,
    "SCTP_ENABLE_RESET_STREAM_REQ": structs.ENABLE_RESET_STREAM_REQ,
    "SCTP_ENABLE_RESET_ASSOC_REQ": structs.ENABLE_RESET_ASSOC_REQ,
    "SCTP_ENABLE_CHANGE_ASSOC_REQ": structs.ENABLE_CHANGE_ASSOC_REQ,
    "SCTP_STREAM_RESET_INCOMING": structs.STREAM_RESET_INCOMING,
    "SCTP_STREAM_RESET_OUTGOING": structs.STREAM_RESET_OUTGOING,
    "SCTP_ASSOC_RESET_DENIED": StreamResetFlags.DENIED,
    "SCTP_ASSOC_RESET_FAILED": StreamResetFlags.FAILED,
    "SCTP_STREAM_CHANGE_DENIED": StreamResetFlags.DENIED,
    "SCTP_STREAM_CHANGE_FAILED": StreamResetFlags.FAILED,
} | {name: getattr(structs, name) for name in dir(structs) if name.startswith("SPP_")}

ENUMS = (
    _enum(AssociationState)
    | _enum(AddressState, "SCTP_ADDR_", MADE_PRIMARY="MADE_PRIM")
    | _enum(PathError)
    | _enum(PartialDeliveryState, "SCTP_PARTIAL_DELIVERY_")
    | _enum(AuthenticationState, "SCTP_AUTH_")
    | _enum(StreamResetFlags, "SCTP_STREAM_RESET_", INCOMING="INCOMING_SSN", OUTGOING="OUTGOING_SSN")
    | _enum(ProtocolState)
    | _enum(PathState)
    | _enum(HmacIdentifier, "SCTP_AUTH_HMAC_ID_")
    | _enum(PrPolicy, "SCTP_PR_SCTP_", LIFETIME="TTL", RETRANSMISSIONS="RTX", PRIORITY="PRIO")
    | _enum(Scheduler, "SCTP_SS_", PRIORITY="PRIO", ROUND_ROBIN="RR", FAIR_CAPACITY="FC", WEIGHTED_FAIR="WFQ")
    | {f"SCTP_{scope.name}_ASSOC": scope.value for scope in Scope}
)

# Options and control messages that the stack uses by itself, and for what.
INSIDE = {
    "SCTP_EVENT": "`events=` and `events()` subscribe with it, one type at a time",
    "SCTP_I_WANT_MAPPED_V4_ADDR": "always off, and mapped addresses are read as what they mean",
    "SCTP_RECVRCVINFO": "always on: every `Message` says where it belongs",
    "SCTP_SOCKOPT_BINDX_ADD": "`listen`, `connect(local=...)`, `add_local_address`",
    "SCTP_SOCKOPT_BINDX_REM": "`remove_local_address`",
    "SCTP_SOCKOPT_CONNECTX3": "`connect`",
    "SCTP_SOCKOPT_PEELOFF": "where SCTP_SOCKOPT_PEELOFF_FLAGS is missing",
    "SCTP_SOCKOPT_PEELOFF_FLAGS": "an association gets a socket of its own",
    "SCTP_GET_PEER_ADDRS": "`peer_addresses`",
    "SCTP_GET_LOCAL_ADDRS": "`local_addresses`",
    "SCTP_SNDINFO": "`send`",
    "SCTP_RCVINFO": "`Message`",
    "SCTP_PRINFO": "`send` with `lifetime`, `max_retransmissions` or `priority`",
    "SCTP_AUTHINFO": "the key of one message",
    "SCTP_SNDRCV": "where the kernel has no SCTP_PRINFO",
}

# Options that we have on purpose no type for.
NO_OPTION = {
    "SCTP_EVENTS": "superseded by SCTP_EVENT: its struct grows with the kernel, and a longer one is refused",
    "SCTP_PEER_ADDR_THLDS": "superseded by SCTP_PEER_ADDR_THLDS_V2",
    "SCTP_RECVNXTINFO": "the kernel then drops the error that ended an association",
    "SCTP_REUSE_PORT": "on Linux it does not let two sockets listen on a port; `ReusePort` is SO_REUSEPORT",
    "SCTP_SOCKOPT_CONNECTX": "superseded by SCTP_SOCKOPT_CONNECTX3",
    "SCTP_SOCKOPT_CONNECTX_OLD": "superseded by SCTP_SOCKOPT_CONNECTX3",
    "SCTP_SENDMSG_CONNECT": "no option: the number by which security modules know sendmsg",
}

_ALIAS = "another name of {}"
EXCLUDED = NO_OPTION | {
    "SCTP_DELAYED_ACK": _ALIAS.format("SCTP_DELAYED_SACK"),
    "SCTP_DELAYED_ACK_TIME": _ALIAS.format("SCTP_DELAYED_SACK"),
    "SCTP_EXPOSE_PF_STATE": _ALIAS.format("SCTP_EXPOSE_POTENTIALLY_FAILED_STATE"),
    "SCTP_ADDR_PF": _ALIAS.format("SCTP_ADDR_POTENTIALLY_FAILED"),
    "SCTP_PF": _ALIAS.format("SCTP_POTENTIALLY_FAILED"),
    "SCTP_AUTH_NEWKEY": _ALIAS.format("SCTP_AUTH_NEW_KEY"),
    "SCTP_AUTHENTICATION_INDICATION": _ALIAS.format("SCTP_AUTHENTICATION_EVENT"),
    "SCTP_ASSOC_CHANGE_DENIED": _ALIAS.format("SCTP_STREAM_CHANGE_DENIED"),
    "SCTP_ASSOC_CHANGE_FAILED": _ALIAS.format("SCTP_STREAM_CHANGE_FAILED"),
    "SCTP_SS_DEFAULT": _ALIAS.format("SCTP_SS_FCFS"),
    "SCTP_SS_MAX": "the last scheduler of a kernel",
    "SCTP_PR_SCTP_MAX": "the last policy",
    "SCTP_PR_SCTP_MASK": "all bits of the policies",
    "SCTP_ENABLE_STRRESET_MASK": "all bits of SCTP_ENABLE_STREAM_RESET",
    "SPP_HB": "both bits of a switch",
    "SPP_PMTUD": "both bits of a switch",
    "SPP_SACKDELAY": "both bits of a switch",
    "SCTP_SN_TYPE_BASE": "where the numbers of notifications begin",
    "SCTP_SN_TYPE_MAX": "where the numbers of notifications end",
    "SCTP_DATA_IO_EVENT": "no notification: turns on SCTP_SNDRCV, which SCTP_RCVINFO supersedes",
    "SCTP_DATA_UNSENT": "0, where SCTP_DATA_SENT is not set",
    "SCTP_PR_INDEX": "macro that computes",
    "SCTP_PR_POLICY": "macro that computes",
    "SCTP_PR_SET_POLICY": "macro that computes",
    "SCTP_PR_TTL_ENABLED": "macro that computes",
    "SCTP_PR_RTX_ENABLED": "macro that computes",
    "SCTP_PR_PRIO_ENABLED": "macro that computes",
    "SCTP_BINDX_ADD_ADDR": "argument of a library call, not of the kernel",
    "SCTP_BINDX_REM_ADDR": "argument of a library call, not of the kernel",
    "SCTP_SENDALL": "stops midway without telling whom it reached",
    "SCTP_INIT": "for associations that a send makes; `InitMsg` is the option",
    "SCTP_NXTINFO": "goes with SCTP_RECVNXTINFO",
    "SCTP_DSTADDRV4": "for associations that a send makes; `connect` takes all addresses",
    "SCTP_DSTADDRV6": "for associations that a send makes; `connect` takes all addresses",
}

MODELLED: dict[str, int] = (
    {row.name: row.number for row in LINUX.events}
    | {spec.name: spec.number for spec in LINUX.options if spec.level == 132}
    | dict(LINUX.inside)
    | {name: number for name, number in _c_header().items() if name in INSIDE}
    | FLAGS
    | ENUMS
)
