"""What a stack offers on this host: the values that `sctpio.capabilities` returns."""

from __future__ import annotations

from collections.abc import Mapping

from ._value import dataclass
from .events import Event
from .options import Option, Scheduler

__all__ = ["Capabilities", "Feature"]


@dataclass(frozen=True, slots=True)
class Feature:
    """An extension of SCTP, as this host has it; true if it is `possible`.

    `default` tells whether associations have it unless an option turns it off, `possible` whether an option
    can turn it on. `needs` names what stands in the way, "" if nothing does.
    """

    default: bool
    possible: bool
    needs: str = ""

    def __bool__(self) -> bool:
        return self.possible


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a stack offers on this host, as found out by asking it.

    `stack` is its name and `release` its version: the kernel's, or usrsctp's. `options` and `events` are the
    types that it has, `schedulers` those that it can use, and `lacks` names what it does not have, with what
    brings that. `sysctls` are the kernel's settings under net.sctp that matter here, by name.
    `accelerated` tells whether the accelerator is used, which makes received messages in C and sends ordinary
    ones: this build has it, and SCTPIO_FAST=0 does not turn it off. The rest are extensions, each with the
    RFC that specifies it.
    """

    stack: str
    release: str
    options: frozenset[type[Option]]
    events: frozenset[type[Event]]
    schedulers: tuple[Scheduler, ...]
    lacks: tuple[str, ...]
    sysctls: Mapping[str, int]
    accelerated: bool
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
    mixed_scopes: Feature
    """Whether private IPv4 addresses are announced to a peer that is called at a global or unique-local IPv6
    address, as an association over both needs (no RFC; see the manual's page on several addresses)."""
    buffers: Feature
    """No RFC; kernel buffers as large as `receive_buffer` is by default"""
    separate_memory: Feature
    """No RFC; a receive memory for each association of a one-to-many socket"""
