"""The options of the Linux table: one row each, see `_linux`."""

from __future__ import annotations

from ._layout import STORAGE, Layout, Raw
from ._linux_structs import (
    ASSOC_VALUE,
    INT,
    PADDRINFO,
    PADDRPARAMS,
    SNDRCVINFO,
    SOL_SOCKET,
    SPP_DSCP,
    SPP_HB_DEMAND,
    SPP_HB_DISABLE,
    SPP_HB_ENABLE,
    SPP_HB_TIME_IS_ZERO,
    SPP_IPV6_FLOWLABEL,
    SPP_PMTUD_DISABLE,
    SPP_PMTUD_ENABLE,
    SPP_SACKDELAY_DISABLE,
    SPP_SACKDELAY_ENABLE,
    UNORDERED,
    UNSIGNED,
)
from ._tables import (
    Column,
    OptionSpec,
    Wire,
    bit,
    boolean,
    enumerated,
    network32,
    number,
    record,
    seconds,
    sockaddr,
    switch,
    ticks,
)
from .options import (
    Adaptation,
    AsconfSupported,
    AssociationStatistics,
    AssocInfo,
    AuthSupported,
    AutoClose,
    DefaultSendParameters,
    DelayedSack,
    ExposePotentiallyFailed,
    InitMsg,
    MaxSegment,
    NoDelay,
    Option,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    PeerAddressThresholds,
    PeerPrimaryAddress,
    PrimaryAddress,
    ProtocolState,
    ReceiveBuffer,
    ReusePort,
    RtoInfo,
    SendBuffer,
    Status,
)

__all__ = ["OPTIONS"]


# srtt lies there in ticks (jiffies), rto in milliseconds: net/sctp/socket.c converts only rto.
PEER_ADDRESS_INFO = (
    sockaddr("address", "spinfo_address"),
    enumerated("state", "spinfo_state", PathState),
    number("cwnd", "spinfo_cwnd"),
    ticks("srtt", "spinfo_srtt"),
    seconds("rto", "spinfo_rto"),
    number("mtu", "spinfo_mtu"),
)


def _valid_with(flags: int, column: Column) -> Column:
    """Let a column of PEER_ADDR_PARAMS be None unless one of the flags is there."""

    def load(raw: Raw, wire: Wire) -> object:
        return column.load(raw, wire) if raw["spp_flags"] & flags else None

    members = (*column.members, "spp_flags")
    return Column(column.attribute, members, load, column.dump, leave=True)


def _marked(flag: int, column: Column) -> Column:
    """Let a column of PEER_ADDR_PARAMS have a flag that says that it is there."""

    def dump(raw: Raw, value: object, wire: Wire) -> None:
        column.dump(raw, value, wire)
        raw["spp_flags"] = raw.get("spp_flags", 0) | flag

    valid = _valid_with(flag, column)
    return Column(column.attribute, valid.members, valid.load, dump, leave=True)


def _dscp(attribute: str, member: str) -> Column:
    """The code point: the upper six bits of the traffic class."""

    def load(raw: Raw, wire: Wire) -> int:
        return int(raw[member]) >> 2

    def dump(raw: Raw, value: int, wire: Wire) -> None:
        raw[member] = value << 2

    return Column(attribute, (member,), load, dump)


def _demand(attribute: str, member: str) -> Column:
    """A request: the bit for True, nothing for False."""

    def load(raw: Raw, wire: Wire) -> bool | None:
        return True if raw[member] & SPP_HB_DEMAND else None

    return Column(attribute, (member,), load, bit(attribute, member, SPP_HB_DEMAND).dump, True)


def _prepare_path(value: PeerAddressParameters, raw: Raw) -> None:
    """Add the flags without which the kernel ignores a field, and refuse what it would ignore."""
    flags = 0
    if value.heartbeat_interval is not None:
        flags |= SPP_HB_ENABLE
        if value.heartbeat_interval == 0:
            flags |= SPP_HB_TIME_IS_ZERO
    if value.sack_delay is not None:
        flags |= SPP_SACKDELAY_ENABLE
    conflicts = (
        ("heartbeat_interval", value.heartbeat_interval, "heartbeat", value.heartbeat, True),
        ("sack_delay", value.sack_delay, "delayed_sack", value.delayed_sack, True),
        ("path_mtu", value.path_mtu, "path_mtu_discovery", value.path_mtu_discovery, False),
    )
    for name, given, condition, state, wanted in conflicts:
        if given is not None and state is (not wanted):
            raise ValueError(
                f"PeerAddressParameters: {name}={given!r} with {condition}={state!r} would be "
                f"ignored; accepted: {name}=None or {condition}={wanted!r}"
            )
    raw["spp_flags"] = raw.get("spp_flags", 0) | flags


def _exposure(attribute: str, member: str) -> Column:
    """0 is unset, 1 disabled, 2 enabled."""

    def load(raw: Raw, wire: Wire) -> bool | None:
        return {1: False, 2: True}.get(raw[member])

    def dump(raw: Raw, value: bool, wire: Wire) -> None:
        raw[member] = 2 if value else 1

    return Column(attribute, (member,), load, dump, leave=True)


def _supported(kind: type[Option], name: str, option: int) -> OptionSpec:
    """An extension that is on or off, per association."""
    columns = (boolean("enabled", "assoc_value"),)
    return OptionSpec(kind, name, option, ASSOC_VALUE, columns, association_member="assoc_id")


def _sack_delay(attribute: str, member: str) -> Column:
    """0 is "leave", but next to a frequency of 1 it says that SACKs are not delayed."""
    plain = seconds(attribute, member)

    def load(raw: Raw, wire: Wire) -> object:
        return plain.load(raw, wire) if raw[member] or raw["sack_freq"] == 1 else None

    return Column(attribute, (member, "sack_freq"), load, plain.dump, leave=True)


OPTIONS = (
    OptionSpec(
        RtoInfo,
        "SCTP_RTOINFO",
        0,
        Layout(
            "sctp_rtoinfo",
            ("srto_assoc_id", "i"),
            ("srto_initial", "I"),
            ("srto_max", "I"),
            ("srto_min", "I"),
        ),
        (
            seconds("initial", "srto_initial", leave=True),
            seconds("maximum", "srto_max", leave=True),
            seconds("minimum", "srto_min", leave=True),
        ),
        association_member="srto_assoc_id",
    ),
    OptionSpec(
        AssocInfo,
        "SCTP_ASSOCINFO",
        1,
        Layout(
            "sctp_assocparams",
            ("sasoc_assoc_id", "i"),
            ("sasoc_asocmaxrxt", "H"),
            ("sasoc_number_peer_destinations", "H"),
            ("sasoc_peer_rwnd", "I"),
            ("sasoc_local_rwnd", "I"),
            ("sasoc_cookie_life", "I"),
        ),
        (
            number("max_retransmissions", "sasoc_asocmaxrxt", leave=True),
            seconds("cookie_life", "sasoc_cookie_life", leave=True),
            number("peer_destinations", "sasoc_number_peer_destinations"),
            number("peer_rwnd", "sasoc_peer_rwnd"),
            number("local_rwnd", "sasoc_local_rwnd"),
        ),
        association_member="sasoc_assoc_id",
    ),
    OptionSpec(
        InitMsg,
        "SCTP_INITMSG",
        2,
        Layout(
            "sctp_initmsg",
            ("sinit_num_ostreams", "H"),
            ("sinit_max_instreams", "H"),
            ("sinit_max_attempts", "H"),
            ("sinit_max_init_timeo", "H"),
        ),
        (
            number("outbound_streams", "sinit_num_ostreams", leave=True),
            number("inbound_streams", "sinit_max_instreams", leave=True),
            number("max_attempts", "sinit_max_attempts", leave=True),
            seconds("max_init_timeout", "sinit_max_init_timeo", leave=True),
        ),
    ),
    OptionSpec(NoDelay, "SCTP_NODELAY", 3, INT, (boolean("enabled", "value"),)),
    OptionSpec(AutoClose, "SCTP_AUTOCLOSE", 4, UNSIGNED, (seconds("delay", "value", per=1),)),
    OptionSpec(
        PeerPrimaryAddress,
        "SCTP_SET_PEER_PRIMARY_ADDR",
        5,
        Layout("sctp_setpeerprim", ("sspp_assoc_id", "i"), ("sspp_addr", STORAGE), packed=True),
        (sockaddr("address", "sspp_addr"),),
        association_member="sspp_assoc_id",
        readable=False,
    ),
    OptionSpec(
        PrimaryAddress,
        "SCTP_PRIMARY_ADDR",
        6,
        Layout("sctp_prim", ("ssp_assoc_id", "i"), ("ssp_addr", STORAGE), packed=True),
        (sockaddr("address", "ssp_addr"),),
        association_member="ssp_assoc_id",
    ),
    OptionSpec(
        Adaptation,
        "SCTP_ADAPTATION_LAYER",
        7,
        Layout("sctp_setadaptation", ("ssb_adaptation_ind", "I")),
        (number("indication", "ssb_adaptation_ind"),),
    ),
    OptionSpec(
        PeerAddressParameters,
        "SCTP_PEER_ADDR_PARAMS",
        9,
        PADDRPARAMS,
        (
            sockaddr("address", "spp_address", leave=True),
            switch("heartbeat", "spp_flags", SPP_HB_ENABLE, SPP_HB_DISABLE),
            _valid_with(SPP_HB_ENABLE | SPP_HB_DISABLE, seconds("heartbeat_interval", "spp_hbinterval")),
            number("path_max_retransmissions", "spp_pathmaxrxt", leave=True),
            _valid_with(SPP_PMTUD_ENABLE | SPP_PMTUD_DISABLE, number("path_mtu", "spp_pathmtu", leave=True)),
            switch("path_mtu_discovery", "spp_flags", SPP_PMTUD_ENABLE, SPP_PMTUD_DISABLE),
            seconds("sack_delay", "spp_sackdelay", leave=True),
            switch("delayed_sack", "spp_flags", SPP_SACKDELAY_ENABLE, SPP_SACKDELAY_DISABLE),
            _marked(SPP_IPV6_FLOWLABEL, number("ipv6_flow_label", "spp_ipv6_flowlabel")),
            _marked(SPP_DSCP, _dscp("dscp", "spp_dscp")),
            _demand("demand_heartbeat", "spp_flags"),
        ),
        association_member="spp_assoc_id",
        path_member="spp_address",
        minimum_size=152,
        prepare=_prepare_path,
    ),
    OptionSpec(
        DefaultSendParameters,
        "SCTP_DEFAULT_SEND_PARAM",
        10,
        SNDRCVINFO,
        (
            number("stream", "sinfo_stream"),
            network32("ppid", "sinfo_ppid"),
            number("context", "sinfo_context"),
            bit("unordered", "sinfo_flags", UNORDERED),
            seconds("lifetime", "sinfo_timetolive"),
        ),
        association_member="sinfo_assoc_id",
    ),
    OptionSpec(
        MaxSegment,
        "SCTP_MAXSEG",
        13,
        ASSOC_VALUE,
        (number("size", "assoc_value"),),
        association_member="assoc_id",
    ),
    OptionSpec(
        Status,
        "SCTP_STATUS",
        14,
        Layout(
            "sctp_status",
            ("sstat_assoc_id", "i"),
            ("sstat_state", "i"),
            ("sstat_rwnd", "I"),
            ("sstat_unackdata", "H"),
            ("sstat_penddata", "H"),
            ("sstat_instrms", "H"),
            ("sstat_outstrms", "H"),
            ("sstat_fragmentation_point", "I"),
            ("sstat_primary", PADDRINFO),
        ),
        (
            enumerated("state", "sstat_state", ProtocolState),
            number("rwnd", "sstat_rwnd"),
            number("unacknowledged", "sstat_unackdata"),
            number("pending", "sstat_penddata"),
            number("inbound_streams", "sstat_instrms"),
            number("outbound_streams", "sstat_outstrms"),
            number("fragmentation_point", "sstat_fragmentation_point"),
            record("primary", PeerAddressInfo, PEER_ADDRESS_INFO),
            number("association_id", "sstat_assoc_id"),
        ),
        association_member="sstat_assoc_id",
        writable=False,
    ),
    OptionSpec(
        PeerAddressInfo,
        "SCTP_GET_PEER_ADDR_INFO",
        15,
        PADDRINFO,
        PEER_ADDRESS_INFO,
        association_member="spinfo_assoc_id",
        path_member="spinfo_address",
        writable=False,
    ),
    OptionSpec(
        DelayedSack,
        "SCTP_DELAYED_SACK",
        16,
        Layout("sctp_sack_info", ("sack_assoc_id", "i"), ("sack_delay", "I"), ("sack_freq", "I")),
        (
            _sack_delay("delay", "sack_delay"),
            number("frequency", "sack_freq", leave=True),
        ),
        association_member="sack_assoc_id",
    ),
    OptionSpec(
        PeerAddressThresholds,
        "SCTP_PEER_ADDR_THLDS_V2",
        37,
        Layout(
            "sctp_paddrthlds_v2",
            ("spt_assoc_id", "i"),
            ("spt_address", STORAGE),
            ("spt_pathmaxrxt", "H"),
            ("spt_pathpfthld", "H"),
            ("spt_pathcpthld", "H"),
        ),
        (
            sockaddr("address", "spt_address", leave=True),
            number("path_max_retransmissions", "spt_pathmaxrxt", leave=True),
            number("potentially_failed", "spt_pathpfthld"),
            number("change_primary", "spt_pathcpthld"),
        ),
        association_member="spt_assoc_id",
        path_member="spt_address",
    ),
    OptionSpec(
        AssociationStatistics,
        "SCTP_GET_ASSOC_STATS",
        112,
        Layout(
            "sctp_assoc_stats",
            ("sas_assoc_id", "i"),
            ("sas_obs_rto_ipaddr", STORAGE),
            ("sas_maxrto", "Q"),
            ("sas_isacks", "Q"),
            ("sas_osacks", "Q"),
            ("sas_opackets", "Q"),
            ("sas_ipackets", "Q"),
            ("sas_rtxchunks", "Q"),
            ("sas_outofseqtsns", "Q"),
            ("sas_idupchunks", "Q"),
            ("sas_gapcnt", "Q"),
            ("sas_ouodchunks", "Q"),
            ("sas_iuodchunks", "Q"),
            ("sas_oodchunks", "Q"),
            ("sas_iodchunks", "Q"),
            ("sas_octrlchunks", "Q"),
            ("sas_ictrlchunks", "Q"),
        ),
        (
            ticks("max_rto", "sas_maxrto"),
            sockaddr("max_rto_address", "sas_obs_rto_ipaddr", leave=True),
            number("sacks_received", "sas_isacks"),
            number("sacks_sent", "sas_osacks"),
            number("packets_sent", "sas_opackets"),
            number("packets_received", "sas_ipackets"),
            number("retransmitted_chunks", "sas_rtxchunks"),
            number("out_of_sequence_tsns", "sas_outofseqtsns"),
            number("duplicate_chunks", "sas_idupchunks"),
            number("gap_acknowledgements", "sas_gapcnt"),
            number("unordered_chunks_sent", "sas_ouodchunks"),
            number("unordered_chunks_received", "sas_iuodchunks"),
            number("ordered_chunks_sent", "sas_oodchunks"),
            number("ordered_chunks_received", "sas_iodchunks"),
            number("control_chunks_sent", "sas_octrlchunks"),
            number("control_chunks_received", "sas_ictrlchunks"),
            number("association_id", "sas_assoc_id"),
        ),
        association_member="sas_assoc_id",
        writable=False,
    ),
    _supported(AsconfSupported, "SCTP_ASCONF_SUPPORTED", 128),
    _supported(AuthSupported, "SCTP_AUTH_SUPPORTED", 129),
    OptionSpec(
        ExposePotentiallyFailed,
        "SCTP_EXPOSE_POTENTIALLY_FAILED_STATE",
        131,
        ASSOC_VALUE,
        (_exposure("enabled", "assoc_value"),),
        association_member="assoc_id",
    ),
    OptionSpec(ReusePort, "SO_REUSEPORT", 15, INT, (boolean("enabled", "value"),), level=SOL_SOCKET),
    OptionSpec(SendBuffer, "SO_SNDBUF", 7, INT, (number("size", "value"),), level=SOL_SOCKET),
    OptionSpec(ReceiveBuffer, "SO_RCVBUF", 8, INT, (number("size", "value"),), level=SOL_SOCKET),
)
