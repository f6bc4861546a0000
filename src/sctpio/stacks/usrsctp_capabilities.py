"""What the usrsctp stack offers: what its header has, and what a socket of it says."""

from contextlib import closing

from .._usrsctp import USRSCTP
from ..features import Capabilities, Feature
from ..options import (
    AsconfSupported,
    AuthSupported,
    EcnSupported,
    InterleavingSupported,
    PrSupported,
    ReconfigSupported,
    Scheduler,
    StreamScheduler,
)
from ._asking import sets, switch
from .usrsctp import NAME, UsrsctpStack

# The library does not tell its own; the tables are of this one.
RELEASE = "0.9.5"


def ask(stack: UsrsctpStack) -> Capabilities:
    """Ask a socket; raises OSError where none can be made."""
    with closing(stack.open()) as sock:
        return Capabilities(
            stack=NAME,
            release=RELEASE,
            options=frozenset(spec.kind for spec in USRSCTP.options),
            events=frozenset(row.kind for row in USRSCTP.events),
            schedulers=tuple(scheduler for scheduler in Scheduler if sets(sock, StreamScheduler(scheduler))),
            lacks=tuple(option.name for option in USRSCTP.lacking),
            sysctls={},
            authentication=switch(sock, AuthSupported),
            address_reconfiguration=switch(sock, AsconfSupported),
            stream_reconfiguration=switch(sock, ReconfigSupported),
            partial_reliability=switch(sock, PrSupported),
            interleaving=switch(sock, InterleavingSupported),
            potentially_failed=Feature(False, False, "usrsctp does not tell"),
            udp_encapsulation=Feature(True, True),
            path_mtu_probing=Feature(False, False, "usrsctp has no RFC 8899"),
            ecn=switch(sock, EcnSupported),
        )
