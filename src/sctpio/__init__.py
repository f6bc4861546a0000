"""SCTP for asyncio: associations, streams, messages and events, typed.

Start with `listen` and `connect`; `available_stacks()` tells whether this machine has SCTP.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # isort: off
    from ._broadcast import BroadcastResult as BroadcastResult
    from ._events import EventStream as EventStream
    from .address import Address as Address, AddressLike as AddressLike
    from .conn import Conn as Conn, connect as connect
    from .endpoint import Endpoint as Endpoint, open_endpoint as open_endpoint
    from .errors import *  # noqa: F403
    from .events import *  # noqa: F403
    from .features import Capabilities as Capabilities, Feature as Feature
    from .listener import Listener as Listener, Mode as Mode, listen as listen
    from .message import Message as Message
    from .options import *  # noqa: F403
    from .stacks import (
        available_stacks as available_stacks,
        capabilities as capabilities,
        usrsctp_config as usrsctp_config,
    )
    from .statistics import EndpointStatistics as EndpointStatistics, Statistics as Statistics
    from .stream import Stream as Stream

    # isort: on
else:
    # A module is loaded when the first of its names is used: few programs use all, and asyncio alone takes
    # as long as the rest. What type checkers read above says the same.
    _NAMES = {
        "_broadcast": ("BroadcastResult",),
        "_events": ("EventStream",),
        "address": ("Address", "AddressLike"),
        "conn": ("Conn", "connect"),
        "endpoint": ("Endpoint", "open_endpoint"),
        "features": ("Capabilities", "Feature"),
        "listener": ("Listener", "Mode", "listen"),
        "message": ("Message",),
        "stacks": ("available_stacks", "capabilities", "usrsctp_config"),
        "statistics": ("EndpointStatistics", "Statistics"),
        "stream": ("Stream",),
    }
    # All that these name as theirs.
    _WHOLE = ("errors", "events", "options")

    _HOMES = {name: module for module, names in _NAMES.items() for name in names}

    def _load(module):
        from importlib import import_module

        return import_module(f"{__name__}.{module}")

    def __getattr__(name):
        if name == "__all__":
            value = sorted([*_HOMES, *(each for module in _WHOLE for each in _load(module).__all__)])
        elif name in _HOMES:
            value = getattr(_load(_HOMES[name]), name)
        elif name in _WHOLE or (name in _NAMES and not name.startswith("_")):
            return _load(name)
        else:
            homes = [] if name.startswith("_") else [_load(module) for module in _WHOLE]
            home = next((module for module in homes if name in module.__all__), None)
            if home is None:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            value = getattr(home, name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__getattr__("__all__")})
