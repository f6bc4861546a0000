"""Options: typed values for what can be read and set on a socket, an association or a path.

``get_option(RtoInfo)`` returns a value and ``set_option(RtoInfo(initial=0.5))`` sets one. The rules are the
same for all of them:

- A field that is None is left as it is.
- Durations are float seconds. They are rounded to the unit of the stack, a positive one never to 0.
- A value out of range is a ValueError when the option is made; the text says what is accepted.
- An option that is on or off has one field, ``enabled``: ``NoDelay()`` is on, ``NoDelay(False)`` is off.
- An option about a stream or a policy is read by a value that names it:
  ``get_option(StreamSchedulerValue(stream=3))``.
- An option, a field or a value that the stack does not have is an OSError (ENOPROTOOPT) that names it.

Each option names its uapi constant and the section that specifies it; "Linux 4.8" there means that older
kernels do not have it.

To add an option, write its dataclass in the module of its subject, with each field's rule in its annotation,
and its row in the table of each stack (`_abi.linux`, `_abi.usrsctp`).
"""

from .association import (
    Adaptation,
    AssociationIds,
    AssociationNumber,
    AssociationStatistics,
    AssocInfo,
    AutoClose,
    Context,
    DefaultSendInfo,
    DefaultSendParameters,
    DelayedSack,
    DisableFragments,
    EcnSupported,
    FragmentInterleave,
    InitMsg,
    MaxBurst,
    MaxSegment,
    NoDelay,
    PartialDeliveryPoint,
    ProtocolState,
    ReceiveBuffer,
    ReusePort,
    RtoInfo,
    SendBuffer,
    Status,
)
from .auth import (
    AuthActiveKey,
    AuthChunk,
    AuthDeactivateKey,
    AuthDeleteKey,
    AuthKey,
    AuthSupported,
    HmacIdentifier,
    HmacIdentifiers,
    LocalAuthChunks,
    PeerAuthChunks,
)
from .base import (
    Option,
    Scope,
)
from .paths import (
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
from .streams import (
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
    StreamScheduler,
    StreamSchedulerValue,
)

__all__ = [
    "Adaptation",
    "AddStreams",
    "AsconfSupported",
    "AssocInfo",
    "AssociationIds",
    "AssociationNumber",
    "AssociationStatistics",
    "AuthActiveKey",
    "AuthChunk",
    "AuthDeactivateKey",
    "AuthDeleteKey",
    "AuthKey",
    "AuthSupported",
    "AutoAsconf",
    "AutoClose",
    "Context",
    "DefaultPrInfo",
    "DefaultSendInfo",
    "DefaultSendParameters",
    "DelayedSack",
    "DisableFragments",
    "EcnSupported",
    "EnableStreamReset",
    "ExposePotentiallyFailed",
    "FragmentInterleave",
    "HmacIdentifier",
    "HmacIdentifiers",
    "InitMsg",
    "InterleavingSupported",
    "LocalAuthChunks",
    "MaxBurst",
    "MaxSegment",
    "NoDelay",
    "Option",
    "PartialDeliveryPoint",
    "PathState",
    "PeerAddressInfo",
    "PeerAddressParameters",
    "PeerAddressThresholds",
    "PeerAuthChunks",
    "PeerPrimaryAddress",
    "PlpmtudProbeInterval",
    "PrAssociationStatus",
    "PrPolicy",
    "PrStreamStatus",
    "PrSupported",
    "PrimaryAddress",
    "ProtocolState",
    "ReceiveBuffer",
    "ReconfigSupported",
    "ResetAssociation",
    "ResetStreams",
    "ReusePort",
    "RtoInfo",
    "Scheduler",
    "Scope",
    "SendBuffer",
    "Status",
    "StreamScheduler",
    "StreamSchedulerValue",
    "UdpEncapsulation",
]
