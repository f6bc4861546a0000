"""What the usrsctp stack offers: what its header has, and what a socket of it says."""

from .._usrsctp import USRSCTP
from ..features import Capabilities, Feature
from ..options import (
    AsconfSupported,
    AuthSupported,
    EcnSupported,
    InterleavingSupported,
    Option,
    PrSupported,
    ReconfigSupported,
    Scheduler,
    StreamScheduler,
)
from .usrsctp import NAME, UsrsctpSocket, UsrsctpStack

# The library does not tell its own; the tables are of this one.
RELEASE = "0.9.5"


def ask(stack: UsrsctpStack) -> Capabilities:
    """Ask a socket; raises OSError where none can be made."""
    sock = stack.open()
    try:
        return Capabilities(
            stack=NAME,
            release=RELEASE,
            options=frozenset(spec.kind for spec in USRSCTP.options),
            events=frozenset(row.kind for row in USRSCTP.events),
            schedulers=tuple(scheduler for scheduler in Scheduler if _sets(sock, StreamScheduler(scheduler))),
            lacks=tuple(option.name for option in USRSCTP.lacking),
            sysctls={},
            authentication=_switch(sock, AuthSupported),
            address_reconfiguration=_switch(sock, AsconfSupported),
            stream_reconfiguration=_switch(sock, ReconfigSupported),
            partial_reliability=_switch(sock, PrSupported),
            interleaving=_switch(sock, InterleavingSupported),
            potentially_failed=Feature(False, False, "usrsctp does not tell"),
            udp_encapsulation=Feature(True, True),
            path_mtu_probing=Feature(False, False, "usrsctp has no RFC 8899"),
            ecn=_switch(sock, EcnSupported),
        )
    finally:
        sock.close()


def _sets(sock: UsrsctpSocket, value: Option) -> bool:
    try:
        sock.set_option(value, 0)
    except OSError:
        return False
    return True


def _switch(sock: UsrsctpSocket, kind: type[Option]) -> Feature:
    """Look at an extension that a socket can turn on for itself."""
    try:
        default = bool(getattr(sock.get_option(kind, 0, None), "enabled", False))
        sock.set_option(kind(), 0)
    except OSError as error:
        return Feature(False, False, error.strerror or str(error))
    return Feature(default, True)
