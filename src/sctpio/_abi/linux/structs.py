"""What several rows of the Linux table use: flags, structs, and the rows of options that are on or off."""

from __future__ import annotations

from ...options import Option
from ..columns import boolean
from ..layout import STORAGE, Layout
from ..platform import FUTURE_ONLY, OptionSpec

SOL_SOCKET = 1

# ssf_flags, enum sctp_ssf_flags: whether the message was ever put on the wire.
DATA_SENT = 0x1
# The U bit of a DATA chunk (RFC 9260 section 3.3.1): a failed send has the flags of its chunk.
DATA_UNORDERED = 0x4

SPP_HB_ENABLE = 0x1
SPP_HB_DISABLE = 0x2
SPP_HB_DEMAND = 0x4
SPP_PMTUD_ENABLE = 0x8
SPP_PMTUD_DISABLE = 0x10
SPP_SACKDELAY_ENABLE = 0x20
SPP_SACKDELAY_DISABLE = 0x40
SPP_HB_TIME_IS_ZERO = 0x80
SPP_IPV6_FLOWLABEL = 0x100
SPP_DSCP = 0x200

ENABLE_RESET_STREAM_REQ = 0x1
ENABLE_RESET_ASSOC_REQ = 0x2
ENABLE_CHANGE_ASSOC_REQ = 0x4

STREAM_RESET_INCOMING = 0x1
STREAM_RESET_OUTGOING = 0x2

SNDINFO = Layout(
    "sctp_sndinfo",
    ("snd_sid", "H"),
    ("snd_flags", "H"),
    ("snd_ppid", "I"),
    ("snd_context", "I"),
    ("snd_assoc_id", "i"),
)
INT = Layout("int", ("value", "i"))
UNSIGNED = Layout("unsigned int", ("value", "I"))
ASSOC_VALUE = Layout("sctp_assoc_value", ("assoc_id", "i"), ("assoc_value", "I"))
SNDRCVINFO = Layout(
    "sctp_sndrcvinfo",
    ("sinfo_stream", "H"),
    ("sinfo_ssn", "H"),
    ("sinfo_flags", "H"),
    ("sinfo_ppid", "I"),
    ("sinfo_context", "I"),
    ("sinfo_timetolive", "I"),
    ("sinfo_tsn", "I"),
    ("sinfo_cumtsn", "I"),
    ("sinfo_assoc_id", "i"),
)
PADDRINFO = Layout(
    "sctp_paddrinfo",
    ("spinfo_assoc_id", "i"),
    ("spinfo_address", STORAGE),
    ("spinfo_state", "i"),
    ("spinfo_cwnd", "I"),
    ("spinfo_srtt", "I"),
    ("spinfo_rto", "I"),
    ("spinfo_mtu", "I"),
    packed=True,
)
PADDRPARAMS = Layout(
    "sctp_paddrparams",
    ("spp_assoc_id", "i"),
    ("spp_address", STORAGE),
    ("spp_hbinterval", "I"),
    ("spp_pathmaxrxt", "H"),
    ("spp_pathmtu", "I"),
    ("spp_sackdelay", "I"),
    ("spp_flags", "I"),
    ("spp_ipv6_flowlabel", "I"),
    ("spp_dscp", "B"),
    packed=True,
)


def toggle(
    kind: type[Option], name: str, number: int, *, rfc: str, since: str, level: int = 132
) -> OptionSpec:
    """Return the row of an option that is on or off for a socket."""
    return OptionSpec(
        kind, name, number, INT, (boolean("enabled", "value"),), level=level, rfc=rfc, since=since
    )


def extension(
    kind: type[Option], name: str, number: int, *, rfc: str, since: str, needs: str = ""
) -> OptionSpec:
    """Return the row of an extension that the associations of a socket will have or not have."""
    return OptionSpec(
        kind,
        name,
        number,
        ASSOC_VALUE,
        (boolean("enabled", "assoc_value"),),
        association_member="assoc_id",
        rfc=rfc,
        since=since,
        scopes=FUTURE_ONLY,
        needs=needs,
    )
