"""The rows of the Linux table for options about streams and partial reliability: see `platform`."""

from __future__ import annotations

from ...options import (
    AddStreams,
    DefaultPrInfo,
    EnableStreamReset,
    InterleavingSupported,
    PrAssociationStatus,
    PrPolicy,
    PrStreamStatus,
    PrSupported,
    ReconfigSupported,
    ResetAssociation,
    ResetStreams,
    Scheduler,
    Scope,
    StreamScheduler,
    StreamSchedulerValue,
)
from ..columns import Column, Tail, Wire, bit, enumerated, number, seconds
from ..contract import PR_PRIO, PR_RTX, PR_TTL
from ..layout import Layout, Raw
from ..platform import EVERY_SCOPE, OptionSpec
from .structs import (
    ASSOC_VALUE,
    ENABLE_CHANGE_ASSOC_REQ,
    ENABLE_RESET_ASSOC_REQ,
    ENABLE_RESET_STREAM_REQ,
    STREAM_RESET_INCOMING,
    STREAM_RESET_OUTGOING,
    extension,
)

__all__ = ["OPTIONS", "with_policy"]

_RECONFIG = "ReconfigSupported on both ends and EnableStreamReset on this one"

_PR_STATUS = Layout(
    "sctp_prstatus",
    ("sprstat_assoc_id", "i"),
    ("sprstat_sid", "H"),
    ("sprstat_policy", "H"),
    ("sprstat_abandoned_unsent", "Q"),
    ("sprstat_abandoned_sent", "Q"),
)
_PR_COUNTERS = (
    enumerated("policy", "sprstat_policy", PrPolicy),
    number("abandoned_unsent", "sprstat_abandoned_unsent"),
    number("abandoned_sent", "sprstat_abandoned_sent"),
)


def with_policy(policy: int, column: Column) -> Column:
    """Return a column of sctp_default_prinfo that has a value only with one policy, and writes that too."""

    def load(raw: Raw, wire: Wire) -> object:
        return column.load(raw, wire) if raw["pr_policy"] == policy else None

    def dump(raw: Raw, value: object, wire: Wire) -> None:
        column.dump(raw, value, wire)
        raw["pr_policy"] = policy

    return Column(column.attribute, (*column.members, "pr_policy"), load, dump, leave=True)


OPTIONS = (
    extension(PrSupported, "SCTP_PR_SUPPORTED", 113, rfc="7496 4.5", since="4.8"),
    OptionSpec(
        DefaultPrInfo,
        "SCTP_DEFAULT_PRINFO",
        114,
        Layout("sctp_default_prinfo", ("pr_assoc_id", "i"), ("pr_value", "I"), ("pr_policy", "H")),
        (
            with_policy(PR_TTL, seconds("lifetime", "pr_value")),
            with_policy(PR_RTX, number("max_retransmissions", "pr_value")),
            with_policy(PR_PRIO, number("priority", "pr_value")),
        ),
        association_member="pr_assoc_id",
        rfc="6458 8.1.32",
        since="4.8",
        scopes=EVERY_SCOPE,
    ),
    OptionSpec(
        PrAssociationStatus,
        "SCTP_PR_ASSOC_STATUS",
        115,
        _PR_STATUS,
        _PR_COUNTERS,
        association_member="sprstat_assoc_id",
        keys=("policy",),
        writable=False,
        rfc="7496 4.4",
        since="4.8",
    ),
    OptionSpec(
        PrStreamStatus,
        "SCTP_PR_STREAM_STATUS",
        116,
        _PR_STATUS,
        (number("stream", "sprstat_sid"), *_PR_COUNTERS),
        association_member="sprstat_assoc_id",
        keys=("stream", "policy"),
        writable=False,
        rfc="7496 4.3",
        since="4.12",
    ),
    extension(ReconfigSupported, "SCTP_RECONFIG_SUPPORTED", 117, rfc="6525", since="4.12"),
    OptionSpec(
        EnableStreamReset,
        "SCTP_ENABLE_STREAM_RESET",
        118,
        ASSOC_VALUE,
        (
            bit("reset_streams", "assoc_value", ENABLE_RESET_STREAM_REQ),
            bit("reset_association", "assoc_value", ENABLE_RESET_ASSOC_REQ),
            bit("add_streams", "assoc_value", ENABLE_CHANGE_ASSOC_REQ),
        ),
        association_member="assoc_id",
        rfc="6525 6.3.1",
        since="4.11",
        scopes=EVERY_SCOPE,
    ),
    OptionSpec(
        ResetStreams,
        "SCTP_RESET_STREAMS",
        119,
        Layout("sctp_reset_streams", ("srs_assoc_id", "i"), ("srs_flags", "H"), ("srs_number_streams", "H")),
        (
            bit("incoming", "srs_flags", STREAM_RESET_INCOMING),
            bit("outgoing", "srs_flags", STREAM_RESET_OUTGOING),
        ),
        association_member="srs_assoc_id",
        tail=Tail("streams", "H", count="srs_number_streams"),
        readable=False,
        rfc="6525 6.3.2",
        since="4.11",
        needs=_RECONFIG,
    ),
    OptionSpec(
        ResetAssociation,
        "SCTP_RESET_ASSOC",
        120,
        Layout("sctp_assoc_t", ("assoc_id", "i")),
        (),
        association_member="assoc_id",
        readable=False,
        rfc="6525 6.3.3",
        since="4.11",
        needs=_RECONFIG,
    ),
    OptionSpec(
        AddStreams,
        "SCTP_ADD_STREAMS",
        121,
        Layout("sctp_add_streams", ("sas_assoc_id", "i"), ("sas_instrms", "H"), ("sas_outstrms", "H")),
        (number("outbound", "sas_outstrms"), number("inbound", "sas_instrms")),
        association_member="sas_assoc_id",
        readable=False,
        rfc="6525 6.3.4",
        since="4.11",
        needs=_RECONFIG,
    ),
    OptionSpec(
        StreamScheduler,
        "SCTP_STREAM_SCHEDULER",
        123,
        ASSOC_VALUE,
        (enumerated("scheduler", "assoc_value", Scheduler),),
        association_member="assoc_id",
        rfc="8260 4.3.2",
        since="4.15",
        scopes=EVERY_SCOPE,
    ),
    OptionSpec(
        StreamSchedulerValue,
        "SCTP_STREAM_SCHEDULER_VALUE",
        124,
        Layout("sctp_stream_value", ("assoc_id", "i"), ("stream_id", "H"), ("stream_value", "H")),
        (number("stream", "stream_id"), number("value", "stream_value")),
        association_member="assoc_id",
        keys=("stream",),
        rfc="8260 4.3.3",
        since="4.15",
        scopes=(Scope.CURRENT,),
    ),
    extension(
        InterleavingSupported,
        "SCTP_INTERLEAVING_SUPPORTED",
        125,
        rfc="8260 4.3.1",
        since="4.16",
        needs="FragmentInterleave and the sysctl net.sctp.intl_enable=1",
    ),
)
