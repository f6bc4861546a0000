"""The rows of the Linux table for events: see `platform`."""

from __future__ import annotations

from ...events import (
    AdaptationIndication,
    AddressState,
    AssociationChange,
    AssociationReset,
    AssociationState,
    AuthenticationEvent,
    AuthenticationState,
    PartialDelivery,
    PartialDeliveryState,
    PathError,
    PeerAddressChange,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownEvent,
    StreamChange,
    StreamReset,
    StreamResetFlags,
)
from ..columns import Column, Tail, bit, cause, enumerated, network32, number, sockaddr
from ..layout import STORAGE, Layout, notification
from ..platform import EventRow
from .structs import DATA_SENT, DATA_UNORDERED, SNDINFO, SNDRCVINFO

__all__ = ["EVENTS"]


def _send_failed(name: str, info: str, inner: Layout) -> Layout:
    return notification(name, "ssf", ("ssf_error", "I"), (info, inner), ("ssf_assoc_id", "i"))


def _send_failed_columns(prefix: str, stream: str) -> tuple[Column, ...]:
    return (
        bit("sent", "ssf_flags", DATA_SENT),
        cause("error", "ssf_error"),
        number("stream", stream),
        network32("ppid", f"{prefix}_ppid"),
        number("context", f"{prefix}_context"),
        bit("unordered", f"{prefix}_flags", DATA_UNORDERED),
        number("flags", f"{prefix}_flags"),
        number("association_id", "ssf_assoc_id"),
    )


EVENTS = (
    EventRow(
        "SCTP_ASSOC_CHANGE",
        0x8001,
        AssociationChange,
        notification(
            "sctp_assoc_change",
            "sac",
            ("sac_state", "H"),
            ("sac_error", "H"),
            ("sac_outbound_streams", "H"),
            ("sac_inbound_streams", "H"),
            ("sac_assoc_id", "i"),
        ),
        (
            enumerated("state", "sac_state", AssociationState),
            cause("error", "sac_error"),
            number("outbound_streams", "sac_outbound_streams"),
            number("inbound_streams", "sac_inbound_streams"),
            number("association_id", "sac_assoc_id"),
        ),
        tail=Tail("info"),
        rfc="6458 6.1.1",
        since="2.6",
    ),
    EventRow(
        "SCTP_PEER_ADDR_CHANGE",
        0x8002,
        PeerAddressChange,
        notification(
            "sctp_paddr_change",
            "spc",
            ("spc_aaddr", STORAGE),
            ("spc_state", "i"),
            ("spc_error", "i"),
            ("spc_assoc_id", "i"),
            packed=True,
        ),
        (
            sockaddr("address", "spc_aaddr"),
            enumerated("state", "spc_state", AddressState),
            enumerated("error", "spc_error", PathError),
            number("association_id", "spc_assoc_id"),
        ),
        rfc="6458 6.1.2",
        since="2.6",
    ),
    EventRow(
        "SCTP_SEND_FAILED_EVENT",
        0x800D,
        SendFailed,
        _send_failed("sctp_send_failed_event", "ssfe_info", SNDINFO),
        _send_failed_columns("snd", "snd_sid"),
        tail=Tail("data"),
        rfc="6458 6.1.11",
        since="5.5",
    ),
    EventRow(
        "SCTP_SEND_FAILED",
        0x8003,
        SendFailed,
        _send_failed("sctp_send_failed", "ssf_info", SNDRCVINFO),
        _send_failed_columns("sinfo", "sinfo_stream"),
        tail=Tail("data"),
        rfc="6458 6.1.4",
        since="2.6",
    ),
    EventRow(
        "SCTP_REMOTE_ERROR",
        0x8004,
        RemoteError,
        notification("sctp_remote_error", "sre", ("sre_error", "H"), ("sre_assoc_id", "i")),
        (cause("error", "sre_error"), number("association_id", "sre_assoc_id")),
        tail=Tail("data"),
        rfc="6458 6.1.3",
        since="2.6",
    ),
    EventRow(
        "SCTP_SHUTDOWN_EVENT",
        0x8005,
        ShutdownEvent,
        notification("sctp_shutdown_event", "sse", ("sse_assoc_id", "i")),
        (number("association_id", "sse_assoc_id"),),
        rfc="6458 6.1.5",
        since="2.6",
    ),
    EventRow(
        "SCTP_PARTIAL_DELIVERY_EVENT",
        0x8006,
        PartialDelivery,
        notification(
            "sctp_pdapi_event",
            "pdapi",
            ("pdapi_indication", "I"),
            ("pdapi_assoc_id", "i"),
            ("pdapi_stream", "I"),
            ("pdapi_seq", "I"),
        ),
        (
            enumerated("indication", "pdapi_indication", PartialDeliveryState),
            number("stream", "pdapi_stream"),
            number("sequence", "pdapi_seq"),
            number("association_id", "pdapi_assoc_id"),
        ),
        rfc="6458 6.1.7",
        since="2.6",
    ),
    EventRow(
        "SCTP_ADAPTATION_INDICATION",
        0x8007,
        AdaptationIndication,
        notification("sctp_adaptation_event", "sai", ("sai_adaptation_ind", "I"), ("sai_assoc_id", "i")),
        (
            number("indication", "sai_adaptation_ind"),
            number("association_id", "sai_assoc_id"),
        ),
        rfc="6458 6.1.6",
        since="2.6",
    ),
    EventRow(
        "SCTP_AUTHENTICATION_EVENT",
        0x8008,
        AuthenticationEvent,
        notification(
            "sctp_authkey_event",
            "auth",
            ("auth_keynumber", "H"),
            ("auth_altkeynumber", "H"),
            ("auth_indication", "I"),
            ("auth_assoc_id", "i"),
        ),
        (
            enumerated("indication", "auth_indication", AuthenticationState),
            number("key", "auth_keynumber"),
            number("alternate_key", "auth_altkeynumber"),
            number("association_id", "auth_assoc_id"),
        ),
        rfc="6458 6.1.8",
        since="2.6.24",
    ),
    EventRow(
        "SCTP_SENDER_DRY_EVENT",
        0x8009,
        SenderDry,
        notification("sctp_sender_dry_event", "sender_dry", ("sender_dry_assoc_id", "i")),
        (number("association_id", "sender_dry_assoc_id"),),
        rfc="6458 6.1.9",
        since="2.6.37",
    ),
    EventRow(
        "SCTP_STREAM_RESET_EVENT",
        0x800A,
        StreamReset,
        notification("sctp_stream_reset_event", "strreset", ("strreset_assoc_id", "i")),
        (
            enumerated("flags", "strreset_flags", StreamResetFlags),
            number("association_id", "strreset_assoc_id"),
        ),
        tail=Tail("streams", "H"),
        rfc="6525 6.1.1",
        since="4.11",
    ),
    EventRow(
        "SCTP_ASSOC_RESET_EVENT",
        0x800B,
        AssociationReset,
        notification(
            "sctp_assoc_reset_event",
            "assocreset",
            ("assocreset_assoc_id", "i"),
            ("assocreset_local_tsn", "I"),
            ("assocreset_remote_tsn", "I"),
        ),
        (
            enumerated("flags", "assocreset_flags", StreamResetFlags),
            # Linux writes each of the two into the other's member, at both ends.
            number("local_tsn", "assocreset_remote_tsn"),
            number("remote_tsn", "assocreset_local_tsn"),
            number("association_id", "assocreset_assoc_id"),
        ),
        rfc="6525 6.1.2",
        since="4.12",
    ),
    EventRow(
        "SCTP_STREAM_CHANGE_EVENT",
        0x800C,
        StreamChange,
        notification(
            "sctp_stream_change_event",
            "strchange",
            ("strchange_assoc_id", "i"),
            ("strchange_instrms", "H"),
            ("strchange_outstrms", "H"),
        ),
        (
            enumerated("flags", "strchange_flags", StreamResetFlags),
            number("inbound_streams", "strchange_instrms"),
            number("outbound_streams", "strchange_outstrms"),
            number("association_id", "strchange_assoc_id"),
        ),
        rfc="6525 6.1.3",
        since="4.12",
    ),
)
