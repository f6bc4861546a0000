"""SCTP for asyncio: associations, streams, messages and events, typed.

Start with `listen` and `connect`; `available_stacks()` tells whether this machine has SCTP.
"""

from ._broadcast import BroadcastResult
from ._events import EventStream
from .address import Address, AddressLike
from .conn import Conn, connect
from .endpoint import Endpoint, open_endpoint
from .errors import (
    AssociationAbortedError,
    AssociationError,
    AssociationLostError,
    ClosedError,
    DecodeError,
    EndOfAssociation,
    MessageTooLargeError,
    ReceiveBufferFullError,
    ReconfigurationError,
    StreamOutOfRangeError,
    UnavailableError,
)
from .events import *  # noqa: F403
from .events import __all__ as _event_names
from .features import Capabilities, Feature
from .listener import Listener, Mode, listen
from .message import Message
from .options import *  # noqa: F403
from .options import __all__ as _option_names
from .stacks import available_stacks, capabilities, usrsctp_config
from .statistics import EndpointStatistics, Statistics
from .stream import Stream

__all__ = [
    "Address",
    "AddressLike",
    "AssociationAbortedError",
    "AssociationError",
    "AssociationLostError",
    "BroadcastResult",
    "Capabilities",
    "ClosedError",
    "Conn",
    "DecodeError",
    "EndOfAssociation",
    "Endpoint",
    "EndpointStatistics",
    "EventStream",
    "Feature",
    "Listener",
    "Message",
    "MessageTooLargeError",
    "Mode",
    "ReceiveBufferFullError",
    "ReconfigurationError",
    "Statistics",
    "Stream",
    "StreamOutOfRangeError",
    "UnavailableError",
    "available_stacks",
    "capabilities",
    "connect",
    "listen",
    "open_endpoint",
    "usrsctp_config",
    *_event_names,
    *_option_names,
]
