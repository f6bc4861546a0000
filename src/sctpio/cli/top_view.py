"""What `sctpio top` shows: which associations, in which order, at which rates, in which words. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ..address import Address, split
from ..diagnostics.values import HostAssociation
from ..options import PathState
from .output import duration, escaped

__all__ = ["COLUMNS", "SORTS", "Filter", "Look", "Row", "cells", "look_of", "sort_rows"]

# What a path's state is called here: short, and as `Conn` events have it.
PATH_WORDS = {
    PathState.ACTIVE: "up",
    PathState.INACTIVE: "down",
    PathState.POTENTIALLY_FAILED: "failing",
    PathState.UNCONFIRMED: "unconfirmed",
}


@dataclass(frozen=True)
class Row:
    """An association, and what it did since the look before: packets and retransmitted chunks a second.

    The rates are None at the first look at it. `ended` says that it was there at the look before and is not
    any more; its figures are those of then.
    """

    association: HostAssociation
    sent_rate: float | None = None
    received_rate: float | None = None
    retransmitted_rate: float | None = None
    ended: bool = False


@dataclass(frozen=True)
class Look:
    """All associations at one moment (seconds of a clock that does not jump)."""

    at: float
    rows: tuple[Row, ...]

    @property
    def alive(self) -> dict[tuple[int, ...], HostAssociation]:
        """The associations that are there, by what tells each from all others."""
        return {row.association.key: row.association for row in self.rows if not row.ended}


@dataclass(frozen=True)
class Filter:
    """Lets through associations that have a host, a port, or both, at either end."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Read ``10.0.0.1``, ``:5000`` or ``10.0.0.1:5000``; raises ValueError."""
        try:
            return cls(str(ip_address(text.strip("[]"))), 0)
        except ValueError:
            pass
        try:
            hosts, port = split(text)
            [host] = hosts or [""]
            return cls(str(ip_address(host)) if host else "", port)
        except ValueError:
            raise ValueError(
                f"{text!r}; accepted: an IP address, ':PORT', or both as '10.0.0.1:5000' or '[::1]:5000'"
            ) from None

    def passes(self, one: HostAssociation) -> bool:
        """Return whether an association is wanted."""
        return any(
            (not self.port or end.port == self.port)
            and (not self.host or self.host in {str(host) for host in end.hosts})
            for end in (one.local, one.peer)
        )


def look_of(
    associations: Iterable[HostAssociation], at: float, before: Look | None, filters: Sequence[Filter]
) -> Look:
    """Return a look, with the rates since the one before and what has ended since."""
    wanted = [one for one in associations if not filters or any(each.passes(one) for each in filters)]
    known = {} if before is None else before.alive
    passed = 0.0 if before is None else at - before.at
    rows = [_row(one, known.get(one.key), passed) for one in wanted]
    here = {one.key for one in wanted}
    rows += [Row(one, ended=True) for key, one in known.items() if key not in here]
    return Look(at, tuple(rows))


def _row(now: HostAssociation, before: HostAssociation | None, seconds: float) -> Row:
    if before is None or seconds <= 0:
        return Row(now)
    return Row(
        now,
        (now.packets_sent - before.packets_sent) / seconds,
        (now.packets_received - before.packets_received) / seconds,
        (now.retransmitted - before.retransmitted) / seconds,
    )


def _address_key(address: Address) -> tuple[list[bytes], int]:
    # By number, not by text: 10.0.0.2 comes before 10.0.0.10.
    return [host.packed for host in address.hosts], address.port


def _by_local(row: Row) -> tuple[object, ...]:
    return row.association.local.port, _address_key(row.association.peer)


def _total(row: Row) -> float:
    return (row.sent_rate or 0.0) + (row.received_rate or 0.0)


SORTS: Mapping[str, tuple[Callable[[Row], object], bool]] = {
    "local": (_by_local, False),
    "peer": (lambda row: _address_key(row.association.peer), False),
    "state": (lambda row: row.association.state.name, False),
    "owner": (lambda row: _owner(row.association), False),
    "rate": (_total, True),
    "rtt": (lambda row: row.association.rtt or 0.0, True),
    "rto": (lambda row: row.association.rto, True),
    "cwnd": (lambda row: row.association.cwnd, True),
    "flight": (lambda row: row.association.in_flight, True),
    "window": (lambda row: row.association.peer_rwnd, False),
    "retransmitted": (lambda row: row.association.retransmitted, True),
    "queues": (lambda row: row.association.send_queue + row.association.receive_queue, True),
}
"""What rows can be sorted by, and whether the largest comes first."""


def sort_rows(rows: Iterable[Row], by: str) -> list[Row]:
    """Return rows in order; equal ones by their local port."""
    key, largest_first = SORTS[by]
    ordered = sorted(rows, key=_by_local)
    if key is not _by_local:
        # mypy cannot say that the values of one key compare.
        ordered.sort(key=key, reverse=largest_first)  # type: ignore[arg-type]
    return ordered


COLUMNS = (
    "STATE", "LOCAL", "PEER", "PATHS", "STREAMS", "RTT", "RTO", "CWND", "FLIGHT", "RWND",
    "OUT/S", "IN/S", "RTX", "SENDQ", "RECVQ", "OWNER",
)  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    """Return the words of a row, a column each."""
    one = row.association
    return (
        "ended" if row.ended else one.state.name.lower(),
        str(one.local),
        _peer(one),
        paths(one),
        f"{one.outbound_streams}/{one.inbound_streams}",
        "-" if one.rtt is None else duration(one.rtt),
        duration(one.rto),
        str(one.cwnd),
        str(one.in_flight),
        str(one.peer_rwnd),
        _rate(row.sent_rate),
        _rate(row.received_rate),
        str(one.retransmitted)
        + ("" if not row.retransmitted_rate else f" (+{row.retransmitted_rate:.0f}/s)"),
        str(one.send_queue),
        str(one.receive_queue),
        _owner(one),
    )


def _peer(one: HostAssociation) -> str:
    """Return the peer's addresses, the primary path's with a star."""
    text = str(one.peer)
    if one.primary is None or len(one.peer.hosts) < 2:
        return text
    hosts, _, port = text.rpartition(":")
    shown = [f"{part}*" if part.strip("[]") == str(one.primary) else part for part in hosts.split("/")]
    return f"{'/'.join(shown)}:{port}"


def paths(one: HostAssociation) -> str:
    """Return the states of the paths: ``2 up``, or ``1 up, 10.0.1.2 down``."""
    good = sum(path.state == PathState.ACTIVE for path in one.paths)
    others = [
        f"{path.host} {PATH_WORDS.get(path.state, path.state.name.lower())}"
        for path in one.paths
        if path.state != PathState.ACTIVE
    ]
    return ", ".join(([f"{good} up"] if good else []) + others)


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.0f}"


def _owner(one: HostAssociation) -> str:
    # A process chooses its name itself.
    return ", ".join(f"{escaped(owner.name)}[{owner.pid}]" for owner in one.owners) or "-"
