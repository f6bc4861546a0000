"""Which addresses an association has: hosts that can be reached, in the best order, and all of them.

A stack sends the first packet to one address of the peer, and announces only those local addresses whose
scope is at least as large: an address of a private network is not told to a peer that was called at a global
one. So the peer's hosts are put in the order that keeps most local ones, and its first host is made the
primary path again afterwards. Local hosts that were named and are left out all the same are told, by a
warning.
"""

import contextlib
import errno
import logging

from ..address import Address, Host, scope_of
from ..options import PrimaryAddress
from ..stacks.base import StackSocket
from .association import Association

logger = logging.getLogger("sctpio")

Told = set[frozenset[Host]]


def as_called(raw: StackSocket, remote: Address) -> Address:
    """Return the hosts of a peer that a socket can reach, in the order in which to call them.

    Raises OSError (EAFNOSUPPORT) if there is none: the stack would try for minutes, in vain.
    """
    hosts = [host for host in remote.hosts if host.version in raw.versions]
    if remote.hosts and not hosts:
        here, there = ("IPv4", "IPv6") if remote.hosts[0].version == 6 else ("IPv6", "IPv4")
        raise OSError(
            errno.EAFNOSUPPORT,
            f"cannot connect to {remote} from {'/'.join(map(str, raw.named)) or 'any address'}: the local"
            f" addresses are {here} only, and the peer's {there}",
        )
    if len(hosts) > 1:
        scopes = [scope_of(host) for host in raw.named or hosts]

        def kept(first: Host) -> int:
            limit = scope_of(first)
            return sum(scope <= limit for scope in scopes)

        best = max(hosts, key=kept)
        if kept(best) > kept(hosts[0]):
            hosts.remove(best)
            hosts.insert(0, best)
    return Address(hosts, remote.port)


def come_home(
    raw: StackSocket, association: Association, remote: Address, called: Address, told: Told
) -> None:
    """Do what is left once an association that was begun here is up; `called` is as `as_called` has it."""
    if len(called.hosts) > 1 and called.hosts[0] != remote.hosts[0] and remote.hosts[0] in called.hosts:
        # The peer may not have that address.
        with contextlib.suppress(OSError):
            first = Address(remote.hosts[0], remote.port)
            raw.set_option(PrimaryAddress(first), association.id)
    tell_missing(raw, association, told)


def tell_missing(raw: StackSocket, association: Association, told: Told) -> None:
    """Warn of local hosts that were named and that an association is without, each set of them once."""
    named = raw.named
    if len(named) < 2:
        return
    try:
        has = set(raw.announced(association.id).hosts)
    except OSError:
        # It has ended already.
        return
    missing = [host for host in named if host not in has]
    if missing and frozenset(missing) not in told:
        told.add(frozenset(missing))
        logger.warning(
            "association %d with %s is without %s of the local addresses %s: %s",
            association.id,
            association.peer,
            "/".join(map(str, missing)),
            "/".join(map(str, named)),
            raw.why_left_out(),
        )


def known_local(raw: StackSocket, local: Address | None) -> Address | None:
    """Return the addresses that a socket is bound to, or `local` where it no longer says."""
    if raw.fileno() < 0:
        return local
    try:
        return raw.local_addresses(0)
    except OSError:
        return local
