"""SCTP for asyncio: associations, streams, messages and events, typed.

Start with `listen` and `connect`; `available_stacks()` tells whether this machine has SCTP.
"""

import logging as _logging
import os as _os
from typing import TYPE_CHECKING, Any

from . import errors, events, options
from ._local_endpoint import BroadcastResult
from ._loop.event_stream import EventStream
from .address import Address, AddressLike
from .conn import Conn
from .connecting import connect
from .endpoint import Endpoint, open_endpoint
from .errors import *  # noqa: F403
from .events import *  # noqa: F403
from .features import Capabilities, Feature
from .keep_alive import KeepAlive
from .listener import Listener, Mode, ShutdownResult, listen
from .message import Message
from .options import *  # noqa: F403
from .stacks import available_stacks, capabilities, usrsctp_config
from .statistics import EndpointStatistics, Snapshot, Statistics
from .stream import Stream

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .ppid import Port, Ppid
else:

    def __getattr__(name: str) -> Any:
        # To make the hundred members of these takes as long as a tenth of the rest of the package.
        if name not in ("Port", "Ppid"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import ppid

        return getattr(ppid, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    *errors.__all__,
    *events.__all__,
    *options.__all__,
    "Address",
    "AddressLike",
    "BroadcastResult",
    "Capabilities",
    "Conn",
    "Endpoint",
    "EndpointStatistics",
    "EventStream",
    "Feature",
    "KeepAlive",
    "Listener",
    "Message",
    "Mode",
    "Port",
    "Ppid",
    "ShutdownResult",
    "Snapshot",
    "Statistics",
    "Stream",
    "available_stacks",
    "capabilities",
    "connect",
    "listen",
    "open_endpoint",
    "usrsctp_config",
]

if _os.environ.get("SCTPIO_TRACE"):
    from . import tracing as _tracing

    try:
        _tracing.start_from(_os.environ)
    except (OSError, ValueError) as _error:
        # Nobody's program ends for want of a trace.
        _logging.getLogger("sctpio").warning("there is no trace: %s", _error)
