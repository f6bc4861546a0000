"""Metrics for Prometheus: of this host's kernel (`HostCollector`) and of this process (`ProcessCollector`).

Both are collectors of prometheus_client (``pip install 'sctpio[metrics]'``), for a registry::

    from prometheus_client import REGISTRY, start_http_server
    from sctpio.metrics import ProcessCollector

    REGISTRY.register(ProcessCollector())
    start_http_server(9100)

How many series there are is bounded: associations are summed up by `listener`, the local port that a listener
or an endpoint has, and "outgoing" for all others. `per_association=True` adds the labels `local`, `peer` and
`id`, and with them a series for each association that ever was: for a host with few. Counters of associations
that have ended stay in the sums. What the names mean is in docs/observability.md.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from . import diagnostics
from ._loop import observing
from ._loop.association import State
from .diagnostics.values import HostAssociation
from .events import Event
from .message import Message
from .observer import Observed, Sent, observe
from .options import Option

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "sctpio.metrics needs prometheus_client: pip install 'sctpio[metrics]'", name=_error.name
    ) from None

if TYPE_CHECKING:
    from ._loop.link import Link

__all__ = ["HostCollector", "ProcessCollector"]

Labels: TypeAlias = tuple[str, ...]

OUTGOING = "outgoing"
DETAIL = ("local", "peer", "id")


@dataclass(frozen=True)
class Family:
    """One metric of associations: its name, what it is, and how it is read of one of them.

    Of several associations it is the sum, for a gauge with `largest` the largest.
    """

    name: str
    text: str
    read: Callable[[HostAssociation], float]
    counter: bool = False
    largest: bool = False


HOST_FAMILIES = (
    Family("sctp_assoc_send_queue_bytes", "Bytes in the send buffer.", lambda one: one.send_queue),
    Family("sctp_assoc_receive_queue_bytes", "Bytes that nobody has read.", lambda one: one.receive_queue),
    Family("sctp_assoc_unacknowledged_chunks", "DATA chunks in flight.", lambda one: one.unacknowledged),
    Family("sctp_assoc_in_flight_bytes", "Bytes in flight, primary path.", lambda one: one.in_flight),
    Family("sctp_assoc_cwnd_bytes", "Congestion window, primary path.", lambda one: one.cwnd),
    Family("sctp_assoc_peer_rwnd_bytes", "Window that the peer has left.", lambda one: one.peer_rwnd),
    Family("sctp_assoc_rtt_seconds", "Round trip, largest.", lambda one: one.rtt or 0.0, largest=True),
    Family("sctp_assoc_rto_seconds", "Retransmission timeout, largest.", lambda one: one.rto, largest=True),
    Family("sctp_assoc_packets_sent", "Packets sent.", lambda one: one.packets_sent, True),
    Family("sctp_assoc_packets_received", "Packets received.", lambda one: one.packets_received, True),
    Family("sctp_assoc_chunks_sent", "DATA chunks sent.", lambda one: one.chunks_sent, True),
    Family("sctp_assoc_chunks_received", "DATA chunks received.", lambda one: one.chunks_received, True),
    Family("sctp_assoc_retransmitted_chunks", "DATA chunks sent again.", lambda one: one.retransmitted, True),
    Family("sctp_assoc_duplicate_chunks", "DATA chunks received again.", lambda one: one.duplicates, True),
)


class HostCollector(Collector):
    """The associations, paths and counters of this host's kernel, those of all programs.

    A scrape reads them anew (`sctpio.diagnostics`); it raises UnavailableError where the kernel has no SCTP.
    """

    def __init__(self, *, per_association: bool = False) -> None:
        self._detailed = per_association
        self._last: dict[tuple[int, ...], tuple[Labels, HostAssociation]] = {}
        self._ended: dict[tuple[Labels, str], float] = defaultdict(float)
        # The HTTP server has a thread for each scrape; what has ended is added once.
        self._one_at_a_time = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: so that it can be registered where there is no SCTP yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read everything, for a scrape; in any thread."""
        with self._one_at_a_time:
            metrics = list(self._read())
        yield from metrics

    def _read(self) -> Iterator[Metric]:
        ports = {end.local.port for end in diagnostics.endpoints(owners=False) if end.listening}
        now: dict[tuple[int, ...], tuple[Labels, HostAssociation]] = {}
        for one in diagnostics.associations(owners=False):
            listener = str(one.local.port) if one.local.port in ports else OUTGOING
            now[one.key] = self._last.get(one.key, (self._labels(one, listener), one))[0], one
        if not self._detailed:
            self._keep_ended(now)
        self._last = now
        names = ("listener", *DETAIL) if self._detailed else ("listener",)
        yield from self._counts(now.values())
        yield from _families(names, now.values(), self._ended)
        yield from self._paths(names, now.values())
        yield from _snmp(diagnostics.counters())

    def _labels(self, one: HostAssociation, listener: str) -> Labels:
        return (listener, str(one.local), str(one.peer), str(one.id)) if self._detailed else (listener,)

    def _keep_ended(self, now: Mapping[tuple[int, ...], object]) -> None:
        for key, (labels, one) in self._last.items():
            if key not in now:
                for family in HOST_FAMILIES:
                    if family.counter:
                        self._ended[labels, family.name] += family.read(one)

    @staticmethod
    def _counts(found: Iterable[tuple[Labels, HostAssociation]]) -> Iterator[Metric]:
        counted: dict[Labels, int] = defaultdict(int)
        for labels, one in found:
            counted[labels[0], one.state.name.lower()] += 1
        yield _metric(GaugeMetricFamily, "sctp_assoc_count", "Associations.", ("listener", "state"), counted)

    def _paths(self, names: Labels, found: Iterable[tuple[Labels, HostAssociation]]) -> Iterator[Metric]:
        counted: dict[Labels, int] = defaultdict(int)
        rto: dict[Labels, float] = {}
        for labels, one in found:
            for path in one.paths:
                counted[labels[0], path.state.name.lower()] += 1
                if self._detailed and path.rto is not None:
                    rto[(*labels, str(path.host), path.state.name.lower())] = path.rto
        yield _metric(GaugeMetricFamily, "sctp_remaddr_count", "Paths.", ("listener", "state"), counted)
        if self._detailed:
            names = (*names, "host", "state")
            text = "Retransmission timeout of a path."
            yield _metric(GaugeMetricFamily, "sctp_remaddr_rto_seconds", text, names, rto)


def _families(
    names: Labels, found: Iterable[tuple[Labels, HostAssociation]], ended: Mapping[tuple[Labels, str], float]
) -> Iterator[Metric]:
    found = list(found)
    for family in HOST_FAMILIES:
        values: dict[Labels, float] = {
            labels: value for (labels, name), value in ended.items() if name == family.name
        }
        for labels, one in found:
            value, before = family.read(one), values.get(labels, 0.0)
            values[labels] = max(before, value) if family.largest else before + value
        kind = CounterMetricFamily if family.counter else GaugeMetricFamily
        yield _metric(kind, family.name, family.text, names, values)


def _snmp(counters: Mapping[str, int]) -> Iterator[Metric]:
    for name, value in counters.items():
        words = "".join(f"_{c.lower()}" if c.isupper() else c for c in _acronyms(name.removeprefix("Sctp")))
        kind = GaugeMetricFamily if name == "SctpCurrEstab" else CounterMetricFamily
        yield kind(f"sctp_snmp{words}", f"{name} of /proc/net/sctp/snmp.", value=value)


def _acronyms(name: str) -> str:
    """Return a name in which each word has one capital letter."""
    return name.replace("SCTP", "Sctp")


def _metric(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    text: str,
    names: Labels,
    values: Mapping[Labels, float],
) -> Metric:
    made = kind(name, text, labels=names)
    for labels, value in sorted(values.items()):
        made.add_metric(labels, value)
    return made


@dataclass
class Sums:
    """What the associations of one listener have done that have ended."""

    counts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    ends: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    opened: int = 0


COUNTERS = {
    "messages_sent": "Messages that the stack has taken.",
    "bytes_sent": "Bytes of those.",
    "messages_received": "Messages received, whole.",
    "bytes_received": "Bytes of those.",
}
ENDED = (State.CUT_OFF, State.OVER)


class ProcessCollector(Collector):
    """The associations of this process, on whichever stack: what they do, and how those ended that have.

    It is told of each association that comes up or ends, and of no message: sending and receiving cost what
    they did. `close` ends that.
    """

    def __init__(self, *, per_association: bool = False) -> None:
        self._detailed = per_association
        self._listeners: dict[int, str] = {}
        self._sums: dict[str, Sums] = defaultdict(Sums)
        self._observation = observe(self, messages=False)

    def close(self) -> None:
        """Count nothing more."""
        self._observation.close()

    # What it is told (`Observer`)

    def state(self, association: Observed, state: State, end: Exception | None) -> None:
        """Count an association that is up now, or has ended."""
        link = observing.living.get(association.number)
        if link is None:
            return
        if state is State.UP:
            self._listeners[association.number] = listener = _listener_of(link)
            self._sums[listener].opened += 1
        elif state in ENDED and association.number in self._listeners:
            sums = self._sums[self._listeners.pop(association.number)]
            sums.ends[type(end).__name__] += 1
            for name in COUNTERS:
                sums.counts[name] += getattr(link.association, name)

    def event(self, association: Observed, event: Event) -> None:
        """Do nothing."""

    def option(self, association: Observed, option: Option, *, was_set: bool) -> None:
        """Do nothing."""

    def message_sent(self, association: Observed, message: Sent) -> None:
        """Do nothing."""

    def message_received(self, association: Observed, message: Message) -> None:
        """Do nothing."""

    # A scrape

    def describe(self) -> Iterable[Metric]:
        """Return nothing; `collect` tells all."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read everything, for a scrape; in any thread."""
        found = [(self._labels(link), link) for link in observing.associations() if link.association.is_there]
        names = ("listener", *DETAIL) if self._detailed else ("listener",)
        counted: dict[Labels, float] = defaultdict(float)
        for labels, link in found:
            counted[labels[0], link.association.stack] += 1
        yield _metric(
            GaugeMetricFamily, "sctpio_associations", "Associations.", ("listener", "stack"), counted
        )
        sums = dict(self._sums)
        opened: dict[Labels, float] = {(listener,): float(each.opened) for listener, each in sums.items()}
        yield _metric(CounterMetricFamily, "sctpio_associations_opened", "Came up.", ("listener",), opened)
        ends: dict[Labels, float] = {
            (listener, how): float(n) for listener, each in sums.items() for how, n in dict(each.ends).items()
        }
        text = "Ended, by the error that says how."
        yield _metric(CounterMetricFamily, "sctpio_associations_ended", text, ("listener", "end"), ends)
        for name, text in COUNTERS.items():
            values: dict[Labels, float] = defaultdict(float)
            if not self._detailed:
                values |= {(listener,): each.counts[name] for listener, each in sums.items()}
            for labels, link in found:
                values[labels] += getattr(link.association, name)
            yield _metric(CounterMetricFamily, f"sctpio_{name}", text, names, values)
        yield from _now(names, found)

    def _labels(self, link: "Link") -> Labels:
        association = link.association
        number = observing.observed(association).number
        listener = self._listeners.get(number) or self._listeners.setdefault(number, _listener_of(link))
        if not self._detailed:
            return (listener,)
        return listener, listener, str(association.peer), str(number)


def _now(names: Labels, found: Iterable[tuple[Labels, "Link"]]) -> Iterator[Metric]:
    unread: dict[Labels, float] = defaultdict(float)
    waiting: dict[Labels, float] = defaultdict(float)
    oldest: dict[Labels, float] = defaultdict(float)
    slow: dict[Labels, float] = defaultdict(float)
    for labels, link in found:
        association = link.association
        unread[labels] += association.unread.count()[1]
        waiting[labels] += len(association.senders)
        waits = association.waits
        if waits is not None:
            oldest[labels] = max(oldest[labels], waits.oldest())
            slow[labels] = max(slow[labels], waits.percentile(99) or 0.0)
    for name, text, values in (
        ("sctpio_unread_bytes", "Bytes received that nobody has read.", unread),
        ("sctpio_waiting_senders", "Tasks that wait for space in a send buffer.", waiting),
        ("sctpio_send_wait_oldest_seconds", "How long the first of them has waited, largest.", oldest),
        ("sctpio_send_wait_p99_seconds", "99th percentile of the last waits, largest.", slow),
    ):
        yield _metric(GaugeMetricFamily, name, text, names, values)


def _listener_of(link: "Link") -> str:
    if not link.at_shared_port:
        return OUTGOING
    try:
        return str(link.raw.bound_port())
    except OSError:
        # It ends just now.
        return OUTGOING
