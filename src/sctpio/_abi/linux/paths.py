"""The rows of the Linux table for options about the addresses of both ends: see `platform`."""

from __future__ import annotations

from ...options import (
    AsconfSupported,
    AutoAsconf,
    ExposePotentiallyFailed,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    PeerAddressThresholds,
    PeerPrimaryAddress,
    PlpmtudProbeInterval,
    PrimaryAddress,
    UdpEncapsulation,
)
from ..columns import Column, Wire, bit, enumerated, network16, number, seconds, sockaddr, switch, ticks
from ..layout import STORAGE, Layout, Raw
from ..platform import FUTURE_ONLY, OptionSpec
from .structs import (
    ASSOC_VALUE,
    PADDRINFO,
    PADDRPARAMS,
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
    extension,
    toggle,
)

__all__ = ["OPTIONS", "PEER_ADDRESS_INFO"]


# srtt is in ticks (jiffies) and rto in milliseconds: net/sctp/socket.c converts only the latter.
PEER_ADDRESS_INFO = (
    sockaddr("address", "spinfo_address"),
    enumerated("state", "spinfo_state", PathState),
    number("cwnd", "spinfo_cwnd"),
    ticks("srtt", "spinfo_srtt"),
    seconds("rto", "spinfo_rto"),
    number("mtu", "spinfo_mtu"),
)


def _valid_with(flags: int, column: Column) -> Column:
    """Return a column of PEER_ADDR_PARAMS that reads None unless one of the flags is set."""

    def load(raw: Raw, wire: Wire) -> object:
        return column.load(raw, wire) if raw["spp_flags"] & flags else None

    members = (*column.members, "spp_flags")
    return Column(column.attribute, members, load, column.dump, leave=True)


def _marked(flag: int, column: Column) -> Column:
    """Return a column of PEER_ADDR_PARAMS that has a value with one flag only, and sets that too."""

    def dump(raw: Raw, value: object, wire: Wire) -> None:
        column.dump(raw, value, wire)
        raw["spp_flags"] = raw.get("spp_flags", 0) | flag

    valid = _valid_with(flag, column)
    return Column(column.attribute, valid.members, valid.load, dump, leave=True)


def _dscp(attribute: str, member: str) -> Column:
    """The code point (DSCP): the upper six bits of the traffic class."""

    def load(raw: Raw, wire: Wire) -> int:
        return int(raw[member]) >> 2

    def dump(raw: Raw, value: int, wire: Wire) -> None:
        raw[member] = value << 2

    return Column(attribute, (member,), load, dump)


def _demand(attribute: str, member: str) -> Column:
    """A bit that asks for something: set for True, and otherwise read as None."""

    def load(raw: Raw, wire: Wire) -> bool | None:
        return True if raw[member] & SPP_HB_DEMAND else None

    return Column(attribute, (member,), load, bit(attribute, member, SPP_HB_DEMAND).dump, True)


def _prepare_path(value: PeerAddressParameters, raw: Raw) -> None:
    """Add the flags without which the kernel ignores a field.

    Raises:
        ValueError: a field would be ignored because of another one.
    """
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
    """A member that is 0 where it was never set, 1 for False and 2 for True."""

    def load(raw: Raw, wire: Wire) -> bool | None:
        return {1: False, 2: True}.get(raw[member])

    def dump(raw: Raw, value: bool, wire: Wire) -> None:
        raw[member] = 2 if value else 1

    return Column(attribute, (member,), load, dump, leave=True)


OPTIONS = (
    OptionSpec(
        PeerPrimaryAddress,
        "SCTP_SET_PEER_PRIMARY_ADDR",
        5,
        Layout("sctp_setpeerprim", ("sspp_assoc_id", "i"), ("sspp_addr", STORAGE), packed=True),
        (sockaddr("address", "sspp_addr"),),
        association_member="sspp_assoc_id",
        readable=False,
        rfc="6458 8.3.1",
        since="2.6",
        needs="AsconfSupported on both ends",
    ),
    OptionSpec(
        PrimaryAddress,
        "SCTP_PRIMARY_ADDR",
        6,
        Layout("sctp_prim", ("ssp_assoc_id", "i"), ("ssp_addr", STORAGE), packed=True),
        (sockaddr("address", "ssp_addr"),),
        association_member="ssp_assoc_id",
        rfc="6458 8.1.9",
        since="2.6",
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
        rfc="6458 8.1.12",
        since="2.6",
        scopes=FUTURE_ONLY,
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
        rfc="6458 8.2.2",
        since="2.6",
        needs="ExposePotentiallyFailed not to be off while the path is in that state",
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
        rfc="7829 7.2",
        since="5.5",
        scopes=FUTURE_ONLY,
    ),
    OptionSpec(
        ExposePotentiallyFailed,
        "SCTP_EXPOSE_POTENTIALLY_FAILED_STATE",
        131,
        ASSOC_VALUE,
        (_exposure("enabled", "assoc_value"),),
        association_member="assoc_id",
        rfc="7829 7.3",
        since="5.5",
        scopes=FUTURE_ONLY,
    ),
    toggle(AutoAsconf, "SCTP_AUTO_ASCONF", 30, rfc="6458 8.1.23", since="3.1"),
    extension(AsconfSupported, "SCTP_ASCONF_SUPPORTED", 128, rfc="5061", since="5.4"),
    OptionSpec(
        UdpEncapsulation,
        "SCTP_REMOTE_UDP_ENCAPS_PORT",
        132,
        Layout("sctp_udpencaps", ("sue_assoc_id", "i"), ("sue_address", STORAGE), ("sue_port", "H")),
        (sockaddr("address", "sue_address", leave=True), network16("port", "sue_port")),
        association_member="sue_assoc_id",
        path_member="sue_address",
        rfc="6951 6.1",
        since="5.11",
        scopes=FUTURE_ONLY,
    ),
    OptionSpec(
        PlpmtudProbeInterval,
        "SCTP_PLPMTUD_PROBE_INTERVAL",
        133,
        Layout("sctp_probeinterval", ("spi_assoc_id", "i"), ("spi_address", STORAGE), ("spi_interval", "I")),
        (sockaddr("address", "spi_address", leave=True), seconds("interval", "spi_interval")),
        association_member="spi_assoc_id",
        path_member="spi_address",
        rfc="8899",
        since="5.14",
        scopes=FUTURE_ONLY,
    ),
)
