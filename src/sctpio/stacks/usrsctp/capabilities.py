"""What the usrsctp stack offers: what is in its table, and what one of its sockets accepts."""

from contextlib import closing

from ..._abi.usrsctp import USRSCTP
from ..._accelerator import compiled
from ...features import Capabilities, Feature
from ...options import (
    AsconfSupported,
    AuthSupported,
    EcnSupported,
    InterleavingSupported,
    PrSupported,
    ReconfigSupported,
    Scheduler,
    StreamScheduler,
)
from ..probing import sets, switch
from .socket import NAME, UsrsctpStack

# The library does not say which release it is; the tables are those of this one.
RELEASE = "0.9.5"


def ask(stack: UsrsctpStack) -> Capabilities:
    """Return what the stack offers; raises OSError if no socket can be made."""
    with closing(stack.open()) as sock:
        return Capabilities(
            stack=NAME,
            release=RELEASE,
            options=frozenset(spec.kind for spec in USRSCTP.options),
            events=frozenset(row.kind for row in USRSCTP.events),
            schedulers=tuple(scheduler for scheduler in Scheduler if sets(sock, StreamScheduler(scheduler))),
            lacks=tuple(option.name for option in USRSCTP.lacking),
            sysctls={},
            accelerated=compiled is not None,
            authentication=switch(sock, AuthSupported),
            address_reconfiguration=switch(sock, AsconfSupported),
            stream_reconfiguration=switch(sock, ReconfigSupported),
            partial_reliability=switch(sock, PrSupported),
            interleaving=switch(sock, InterleavingSupported),
            potentially_failed=Feature(False, False, "usrsctp does not report this state"),
            udp_encapsulation=Feature(True, True),
            path_mtu_probing=Feature(False, False, "usrsctp has no RFC 8899"),
            ecn=switch(sock, EcnSupported),
            mixed_scopes=Feature(False, False, "usrsctp has no setting for this"),
            buffers=Feature(True, True),
            separate_memory=Feature(True, True),
        )
