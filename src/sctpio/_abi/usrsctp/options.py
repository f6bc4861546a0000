"""The rows of the usrsctp table for options, as differences from the Linux rows.

usrsctp.h is wrong about sctp_authchunks: the stack itself has a member with the number of chunks there.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections.abc import Mapping
from typing import Any

from ...options import (
    Adaptation,
    AddStreams,
    AsconfSupported,
    AssociationIds,
    AssociationNumber,
    AssociationStatistics,
    AssocInfo,
    AuthActiveKey,
    AuthChunk,
    AuthDeactivateKey,
    AuthDeleteKey,
    AuthKey,
    AuthSupported,
    AutoAsconf,
    AutoClose,
    Context,
    DefaultPrInfo,
    DefaultSendInfo,
    DefaultSendParameters,
    DelayedSack,
    DisableFragments,
    EcnSupported,
    EnableStreamReset,
    ExposePotentiallyFailed,
    FragmentInterleave,
    HmacIdentifier,
    HmacIdentifiers,
    InitMsg,
    InterleavingSupported,
    LocalAuthChunks,
    MaxBurst,
    MaxSegment,
    NoDelay,
    Option,
    PartialDeliveryPoint,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    PeerAddressThresholds,
    PeerAuthChunks,
    PeerPrimaryAddress,
    PlpmtudProbeInterval,
    PrAssociationStatus,
    PrimaryAddress,
    ProtocolState,
    PrPolicy,
    PrStreamStatus,
    PrSupported,
    ReceiveBuffer,
    ReconfigSupported,
    ResetAssociation,
    ResetStreams,
    ReusePort,
    RtoInfo,
    Scheduler,
    SendBuffer,
    Status,
    StreamScheduler,
    StreamSchedulerValue,
    UdpEncapsulation,
)
from ..columns import Column, Tail, Wire, bit, number, record, renumbered, replaced, seconds, sockaddr
from ..layout import STORAGE, Layout, Raw
from ..linux import LINUX
from ..linux.paths import PEER_ADDRESS_INFO as LINUX_PEER_ADDRESS_INFO
from ..linux.streams import with_policy
from ..platform import Lacking, OptionSpec

__all__ = ["LACKING", "OPTIONS", "PATH_STATES", "POLICIES", "PROTOCOL_STATES", "SCHEDULERS", "UNORDERED"]

UNORDERED = 0x400

PATH_STATES: Mapping[enum.IntEnum, int] = {
    PathState.ACTIVE: 1,
    PathState.INACTIVE: 2,
    PathState.UNCONFIRMED: 0x200,
}
PROTOCOL_STATES: Mapping[enum.IntEnum, int] = {
    ProtocolState.CLOSED: 0,
    ProtocolState.COOKIE_WAIT: 2,
    ProtocolState.COOKIE_ECHOED: 4,
    ProtocolState.ESTABLISHED: 8,
    ProtocolState.SHUTDOWN_SENT: 0x10,
    ProtocolState.SHUTDOWN_RECEIVED: 0x20,
    ProtocolState.SHUTDOWN_ACK_SENT: 0x40,
    ProtocolState.SHUTDOWN_PENDING: 0x80,
}
# usrsctp calls PRIORITY "buffer based", and has ALL without a name for it.
POLICIES: Mapping[enum.IntEnum, int] = {
    PrPolicy.NONE: 0,
    PrPolicy.LIFETIME: 1,
    PrPolicy.PRIORITY: 2,
    PrPolicy.RETRANSMISSIONS: 3,
    PrPolicy.ALL: 0xF,
}
SCHEDULERS: Mapping[enum.IntEnum, int] = {
    Scheduler.FCFS: 5,
    Scheduler.ROUND_ROBIN: 1,
    Scheduler.PRIORITY: 3,
    Scheduler.FAIR_CAPACITY: 4,
}
# Two more that are round robin: the default, and one that changes streams with packets, not messages.
_ROUND_ROBIN_TOO = {0: Scheduler.ROUND_ROBIN, 2: Scheduler.ROUND_ROBIN}

_LINUX = {spec.kind: spec for spec in LINUX.options}


def _row(kind: type[Option], option: int, *columns: Column, **changes: Any) -> OptionSpec:
    """Return a row of Linux with some other columns and other changes."""
    linux = _LINUX[kind]
    columns = replaced(changes.pop("columns", linux.columns), *columns)
    return dataclasses.replace(linux, number=option, columns=columns, since="", **changes)


# In a struct that can name a path, the wildcard address names none; zeros, as on Linux, are refused.
_NO_PATH = struct.pack("=H", LINUX.af_inet).ljust(struct.calcsize(STORAGE), b"\0")


def _path(attribute: str, member: str) -> Column:
    plain = sockaddr(attribute, member, leave=True)

    def load(raw: Raw, wire: Wire) -> object:
        return None if raw[member] == _NO_PATH else plain.load(raw, wire)

    return dataclasses.replace(plain, load=load)


_PADDRINFO = Layout(
    "sctp_paddrinfo",
    ("spinfo_address", STORAGE),
    ("spinfo_assoc_id", "i"),
    ("spinfo_state", "i"),
    ("spinfo_cwnd", "I"),
    ("spinfo_srtt", "I"),
    ("spinfo_rto", "I"),
    ("spinfo_mtu", "I"),
)
# srtt is in milliseconds too; the MTU is without the headers of IP and SCTP.
_PEER_ADDRESS_INFO = replaced(
    LINUX_PEER_ADDRESS_INFO,
    renumbered("state", "spinfo_state", PathState, PATH_STATES),
    seconds("srtt", "spinfo_srtt"),
)


def _prepare_path(value: PeerAddressParameters, raw: Raw) -> None:
    """Do what the Linux row does, and refuse to turn off path MTU discovery without an MTU to use then."""
    _LINUX[PeerAddressParameters].prepare(value, raw)
    if value.path_mtu_discovery is False and not 512 <= (value.path_mtu or 0) <= 65535:
        raise ValueError(
            f"PeerAddressParameters: path_mtu_discovery=False with path_mtu={value.path_mtu!r}; accepted: "
            "path_mtu from 512 to 65535"
        )


# Not EnableStreamReset, as on Linux: here that is only about what the peer may ask for.
_RECONFIG = "ReconfigSupported on both ends"

_POLICY = renumbered("policy", "sprstat_policy", PrPolicy, POLICIES)
_AUTH_CHUNKS = Layout("sctp_authchunks", ("gauth_assoc_id", "i"), ("gauth_number_of_chunks", "I"))

OPTIONS = (
    _row(RtoInfo, 0x1),
    _row(
        AssocInfo,
        0x2,
        layout=Layout(
            "sctp_assocparams",
            ("sasoc_assoc_id", "i"),
            ("sasoc_peer_rwnd", "I"),
            ("sasoc_local_rwnd", "I"),
            ("sasoc_cookie_life", "I"),
            ("sasoc_asocmaxrxt", "H"),
            ("sasoc_number_peer_destinations", "H"),
        ),
    ),
    _row(InitMsg, 0x3),
    _row(NoDelay, 0x4),
    _row(AutoClose, 0x5),
    _row(
        PeerPrimaryAddress,
        0x6,
        layout=Layout("sctp_setpeerprim", ("sspp_addr", STORAGE), ("sspp_assoc_id", "i")),
    ),
    _row(
        PrimaryAddress,
        0x7,
        layout=Layout("sctp_setprim", ("ssp_addr", STORAGE), ("ssp_assoc_id", "i")),
    ),
    _row(Adaptation, 0x8),
    _row(DisableFragments, 0x9),
    _row(
        PeerAddressParameters,
        0xA,
        _path("address", "spp_address"),
        columns=replaced(_LINUX[PeerAddressParameters].columns, without=("sack_delay", "delayed_sack")),
        layout=Layout(
            "sctp_paddrparams",
            ("spp_address", STORAGE),
            ("spp_assoc_id", "i"),
            ("spp_hbinterval", "I"),
            ("spp_pathmtu", "I"),
            ("spp_flags", "I"),
            ("spp_ipv6_flowlabel", "I"),
            ("spp_pathmaxrxt", "H"),
            ("spp_dscp", "B"),
        ),
        minimum_size=None,
        prepare=_prepare_path,
        initial=(("spp_address", _NO_PATH),),
    ),
    _row(MaxSegment, 0xE),
    _row(DelayedSack, 0xF),
    _row(FragmentInterleave, 0x10),
    _row(PartialDeliveryPoint, 0x11),
    _row(AuthChunk, 0x12),
    _row(AuthKey, 0x13),
    _row(
        HmacIdentifiers,
        0x14,
        layout=Layout("sctp_hmacalgo", ("shmac_number_of_idents", "I")),
        tail=Tail("identifiers", "H", count="shmac_number_of_idents", kind=HmacIdentifier, space=32),
    ),
    _row(AuthActiveKey, 0x15),
    _row(AuthDeleteKey, 0x16),
    _row(AutoAsconf, 0x18),
    _row(MaxBurst, 0x19),
    _row(Context, 0x1A),
    _row(AuthDeactivateKey, 0x1D),
    _row(DefaultSendInfo, 0x21, bit("unordered", "snd_flags", UNORDERED)),
    _row(
        DefaultPrInfo,
        0x22,
        with_policy(POLICIES[PrPolicy.LIFETIME], seconds("lifetime", "pr_value")),
        with_policy(POLICIES[PrPolicy.RETRANSMISSIONS], number("max_retransmissions", "pr_value")),
        with_policy(POLICIES[PrPolicy.PRIORITY], number("priority", "pr_value")),
        layout=Layout("sctp_default_prinfo", ("pr_policy", "H"), ("pr_value", "I"), ("pr_assoc_id", "i")),
    ),
    _row(
        UdpEncapsulation,
        0x24,
        _path("address", "sue_address"),
        layout=Layout("sctp_udpencaps", ("sue_address", STORAGE), ("sue_assoc_id", "i"), ("sue_port", "H")),
        initial=(("sue_address", _NO_PATH),),
    ),
    _row(EcnSupported, 0x25),
    _row(PrSupported, 0x26),
    _row(AuthSupported, 0x27),
    _row(AsconfSupported, 0x28),
    _row(ReconfigSupported, 0x29),
    _row(
        Status,
        0x100,
        renumbered("state", "sstat_state", ProtocolState, PROTOCOL_STATES),
        record("primary", PeerAddressInfo, _PEER_ADDRESS_INFO),
        layout=Layout(
            "sctp_status",
            ("sstat_assoc_id", "i"),
            ("sstat_state", "i"),
            ("sstat_rwnd", "I"),
            ("sstat_unackdata", "H"),
            ("sstat_penddata", "H"),
            ("sstat_instrms", "H"),
            ("sstat_outstrms", "H"),
            ("sstat_fragmentation_point", "I"),
            ("sstat_primary", _PADDRINFO),
        ),
    ),
    _row(PeerAddressInfo, 0x101, columns=_PEER_ADDRESS_INFO, layout=_PADDRINFO, needs=""),
    _row(PeerAuthChunks, 0x102, layout=_AUTH_CHUNKS),
    _row(LocalAuthChunks, 0x103, layout=_AUTH_CHUNKS),
    _row(AssociationNumber, 0x104),
    _row(AssociationIds, 0x105),
    _row(PrStreamStatus, 0x107, _POLICY),
    _row(PrAssociationStatus, 0x108, _POLICY),
    _row(EnableStreamReset, 0x900),
    _row(ResetStreams, 0x901, needs=_RECONFIG),
    _row(ResetAssociation, 0x902, needs=_RECONFIG),
    _row(AddStreams, 0x903, needs=_RECONFIG),
    _row(
        StreamScheduler,
        0x1203,
        renumbered("scheduler", "assoc_value", Scheduler, SCHEDULERS, _ROUND_ROBIN_TOO),
        name="SCTP_PLUGGABLE_SS",
    ),
    _row(StreamSchedulerValue, 0x1204, name="SCTP_SS_VALUE"),
    # These two are of the level SOL_SOCKET, with the host's numbers.
    _row(SendBuffer, 7),
    _row(ReceiveBuffer, 8),
)

LACKING = (
    Lacking(
        AssociationStatistics,
        "SCTP_GET_ASSOC_STATS",
        "the stack counts for the whole process, not for each association",
    ),
    Lacking(
        DefaultSendParameters,
        "SCTP_DEFAULT_SEND_PARAM",
        "not in its header; `DefaultSendInfo` and `DefaultPrInfo` are there",
    ),
    Lacking(ExposePotentiallyFailed, "SCTP_EXPOSE_POTENTIALLY_FAILED_STATE", "the state is never shown"),
    Lacking(InterleavingSupported, "SCTP_INTERLEAVING_SUPPORTED", "not in its header"),
    Lacking(PeerAddressThresholds, "SCTP_PEER_ADDR_THLDS_V2", "not in its header"),
    Lacking(PlpmtudProbeInterval, "SCTP_PLPMTUD_PROBE_INTERVAL", "the stack does not probe (RFC 8899)"),
    Lacking(
        ReusePort,
        "SO_REUSEPORT",
        "of the sockets that share a port by its own SCTP_REUSE_PORT, only one can listen",
    ),
)
