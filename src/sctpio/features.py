"""What this host's stack offers: a value to look at before something is used."""

from __future__ import annotations

from collections.abc import Mapping

from ._dataclass import dataclass
from .events import Event
from .options import Option, Scheduler

__all__ = ["Capabilities", "Feature"]


@dataclass(frozen=True, slots=True)
class Feature:
    """An extension of SCTP as this host has it.

    `default` tells that associations have it unless a socket says otherwise, `possible` that a socket can
    have it if it says so; `needs` names what stands in the way, "" where nothing does.
    """

    default: bool
    possible: bool
    needs: str = ""

    def __bool__(self) -> bool:
        return self.possible


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a stack offers on this host, as found by asking it.

    `options` and `events` are those that the stack has, `lacks` the stack's names of those that it has not,
    with what brings them. `sysctls` are the settings of this host that matter here, by their names.
    """

    stack: str
    release: str
    options: frozenset[type[Option]]
    events: frozenset[type[Event]]
    schedulers: tuple[Scheduler, ...]
    lacks: tuple[str, ...]
    sysctls: Mapping[str, int]
    authentication: Feature
    """RFC 4895"""
    address_reconfiguration: Feature
    """RFC 5061"""
    stream_reconfiguration: Feature
    """RFC 6525"""
    partial_reliability: Feature
    """RFC 3758, RFC 7496"""
    interleaving: Feature
    """RFC 8260"""
    potentially_failed: Feature
    """RFC 7829"""
    udp_encapsulation: Feature
    """RFC 6951"""
    path_mtu_probing: Feature
    """RFC 8899"""
    ecn: Feature
    """RFC 9260 appendix A"""
