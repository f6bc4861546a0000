"""The text of /proc/net/sctp (net/sctp/proc.c). Pure.

A line that is cut or of another shape is left out; columns after the known ones are ignored.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from ..address import Host
from .values import Counters

__all__ = ["AssociationLine", "EndpointLine", "Path", "associations", "counters", "endpoints", "paths"]

# The style of a one-to-many socket (enum sctp_socket_type), but for the first that never was.
ONE_TO_MANY = 0


class AssociationLine(NamedTuple):
    """What `assocs` has of an association: among others, an address of each end, without scope."""

    id: int
    local: Host
    port: int
    peer: Host
    peer_port: int


class EndpointLine(NamedTuple):
    """What `eps` has of a socket."""

    port: int
    inode: int
    one_to_many: bool


class Path(NamedTuple):
    """What `remaddr` has of a path; `rto` is in ticks of the kernel's clock."""

    host: Host
    heartbeat: bool
    rto: int
    state: int


def associations(text: str) -> list[AssociationLine]:
    """Read `assocs`."""
    found = []
    for words in _lines(text):
        try:
            local, peer = _host(words[13]), _host(words[words.index("<->") + 1].removeprefix("*"))
            found.append(AssociationLine(int(words[6]), local, int(words[11]), peer, int(words[12])))
        except (ValueError, IndexError):
            continue
    return found


def endpoints(text: str) -> list[EndpointLine]:
    """Read `eps`."""
    found = []
    for words in _lines(text):
        try:
            found.append(EndpointLine(int(words[5]), int(words[7]), int(words[2]) == ONE_TO_MANY))
        except (ValueError, IndexError):
            continue
    return found


def paths(text: str) -> dict[int, list[Path]]:
    """Read `remaddr`: the paths by association id, which is unique on a host."""
    found: dict[int, list[Path]] = {}
    for words in _lines(text):
        try:
            path = Path(_host(words[0]), words[2] == "1", int(words[3]), int(words[7]))
            found.setdefault(int(words[1]), []).append(path)
        except (ValueError, IndexError):
            continue
    return found


def counters(text: str) -> Counters:
    """Read `snmp`."""
    found = Counters()
    for line in text.splitlines():
        name, _, number = (word.strip() for word in line.partition("\t"))
        try:
            # What int alone reads, such as "-1" or "1_000", is no counter.
            if name and number.isdecimal():
                found[name] = int(number)
        except ValueError:
            # Digits beyond number.
            continue
    return found


def _lines(text: str) -> Iterable[list[str]]:
    return (line.split() for line in text.splitlines()[1:])


# Thousands of associations share a few hosts, and to read an address takes longer than all else of its line.
@lru_cache(maxsize=4096)
def _host(text: str) -> Host:
    host = ip_address(text)
    return host.ipv4_mapped or host if isinstance(host, IPv6Address) else host
