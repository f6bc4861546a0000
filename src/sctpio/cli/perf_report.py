"""What a client of `perf` shows: intervals as they come and the sum, for people or in the shape of iperf3."""

import argparse
import platform
import time
from collections import Counter
from typing import Any

from ..conn import Conn
from .figures import summary, summary_text
from .output import Colour, Output, duration, size
from .perf_flow import Counts, Plan
from .perf_watch import Watch, limited_by

__all__ = ["Report", "rate", "start_of"]


def rate(count: int, messages: int, seconds: float) -> str:
    """Return an amount in a time for people."""
    each = max(seconds, 1e-9)
    bits = 8 * count / each
    for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"):
        if bits < 1000 or unit == "Gbit/s":
            break
        bits /= 1000
    amount = f"{size(count)}, {messages} messages in {duration(seconds)}"
    return f"{amount}: {bits:.3g} {unit}, {messages / each:.0f} messages/s"


def start_of(conns: list[Conn], plan: Plan, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what is known before the test, as iperf3 names it."""
    connected = []
    for number, conn in enumerate(conns):
        local, peer = conn.local_addresses, conn.peer_addresses
        connected.append(
            {
                "socket": number,
                "local_host": "/".join(map(str, local.hosts)),
                "local_port": local.port,
                "remote_host": "/".join(map(str, peer.hosts)),
                "remote_port": peer.port,
            }
        )
    return {
        "connected": connected,
        "system_info": " ".join(platform.uname()[:5]),
        "timestamp": {"timesecs": int(time.time())},
        "stack": conns[0].stack,
        "test_start": {
            "protocol": "SCTP",
            "num_streams": len(conns),
            "sctp_streams": plan.streams,
            "blksize": plan.length,
            "duration": 0 if plan.messages else plan.seconds,
            "blocks": plan.messages,
            "reverse": int(plan.reverse),
            "round_trips": int(plan.round_trips),
            "unordered": int(plan.unordered),
            "one_to_many": int(arguments.one_to_many),
        },
    }


class Report:
    """Collects and shows."""

    def __init__(self, start: dict[str, Any], plan: Plan, output: Output) -> None:
        self._start = start
        self._plan = plan
        self._output = output
        self._intervals: list[dict[str, Any]] = []
        self._began = time.monotonic()
        self._last = 0.0
        self._counted: list[tuple[int, int, int]] = []
        if not output.json:
            for one in start["connected"]:
                here, there = (f"{one[f'{side}_host']}:{one[f'{side}_port']}" for side in ("local", "remote"))
                output.say(f"[{one['socket']}] {here} with {there}, {start['stack']}")

    def last_interval(self, counts: list[Counts], interval: float) -> None:
        """Show what is left, unless that is next to nothing."""
        if time.monotonic() - self._began - self._last > interval / 10:
            self.interval(counts)

    def interval(self, counts: list[Counts]) -> None:
        """Show what came since the last time."""
        then, now = self._last, time.monotonic() - self._began
        self._last = now
        before = self._counted or [(0, 0, 0)] * len(counts)
        self._counted = [(own.bytes, own.messages, len(own.times)) for own in counts]
        rows = []
        for number, (own, old) in enumerate(zip(counts, before, strict=True)):
            amount, messages, times = own.bytes - old[0], own.messages - old[1], own.times[old[2] :]
            row = {"socket": number, **_row(then, now, amount, messages)}
            line = f"[{number}] {then:6.2f}-{now:.2f} s  {rate(amount, messages, now - then)}"
            if self._plan.round_trips:
                row["latency"] = summary(times)
                line += f"; {summary_text(times)}"
            rows.append(row)
            if not self._output.json:
                self._output.say(line)
        amount = sum(row["bytes"] for row in rows)
        messages = sum(row["messages"] for row in rows)
        self._intervals.append({"streams": rows, "sum": _row(then, now, amount, messages)})
        if len(rows) > 1 and not self._output.json:
            self._output.say(f"[sum] {then:4.2f}-{now:.2f} s  {rate(amount, messages, now - then)}")

    def break_off(self, counts: list[Counts]) -> None:
        """Show what this end has counted until it was interrupted; the other end's report is missing."""
        times = [value for own in counts for value in own.times]
        if self._output.json:
            side = "sum_received" if self._plan.reverse else "sum_sent"
            end = {side: _sum(counts), "latency": summary(times)}
            whole = {"start": self._start, "intervals": self._intervals, "end": end}
            self._output.record({**whole, "error": "interrupted"})
        else:
            name = "received" if self._plan.reverse else "sent"
            total = _sum(counts)
            amount = rate(total["bytes"], total["messages"], total["seconds"])
            self._output.say(f"interrupted; {name} {amount}")
            if times:
                self._output.say(f"round trips: {summary_text(times)}")

    def sum_up(
        self,
        counts: list[Counts],
        results: list[tuple[Counts, dict[str, float]]],
        watches: list[Watch],
        here: dict[str, float],
        lost: int | None,
    ) -> None:
        """Show what it came to; `lost` is the number of retransmission timeouts, None if it is not known."""
        theirs = [result[0] for result in results]
        there = {name: max(result[1].get(name, 0.0) for result in results) for name in here}
        senders, receivers = (theirs, counts) if self._plan.reverse else (counts, theirs)
        # Of a sender at the peer nothing can be seen but its processor.
        limit = limited_by([] if self._plan.reverse else watches, here["total"], there["total"])
        if self._plan.round_trips:
            limit = "the round trip: there is one message at a time"
        retransmitted = [None if self._plan.reverse else watch.retransmitted for watch in watches]
        times = [value for own in counts for value in own.times]
        end = {
            "streams": [
                {
                    "socket": number,
                    "sender": _sum([sent]),
                    "receiver": _sum([received]),
                    "paths": watch.paths,
                    "retransmits": again,
                }
                for number, (sent, received, watch, again) in enumerate(
                    zip(senders, receivers, watches, retransmitted, strict=True)
                )
            ],
            "sum_sent": _sum(senders),
            "sum_received": _sum(receivers),
            "sctp_streams": _per_stream(receivers),
            "retransmits": _total(retransmitted),
            "t3_timeouts": lost,
            "latency": summary(times),
            "cpu_utilization_percent": {
                f"{where}_{name}": share
                for where, used in (("host", here), ("remote", there))
                for name, share in used.items()
            },
            "limited_by": limit,
        }
        if self._output.json:
            self._output.record({"start": self._start, "intervals": self._intervals, "end": end})
        else:
            self._say(end, senders, receivers, times)

    def _say(
        self, end: dict[str, Any], senders: list[Counts], receivers: list[Counts], times: list[float]
    ) -> None:
        say, strong = self._output.say, Colour.STRONG
        for name, side in (("sent", senders), ("received", receivers)):
            total = _sum(side)
            amount = rate(total["bytes"], total["messages"], total["seconds"])
            say(f"{self._output.paint(name, strong)} {amount}")
        if times:
            say(f"round trips: {summary_text(times)}")
        for row in end["streams"]:
            for path in row["paths"]:
                times_of = f"srtt {duration(path['srtt'])}, rto {duration(path['rto'])}"
                state = f"{path['state'].name}, {times_of}, cwnd {size(path['cwnd'])}"
                say(f"[{row['socket']}] path {path['address']}: {state}")
        if len(streams := end["sctp_streams"]) > 1:
            say("\n".join(f"stream {row['stream']}: {size(row['bytes'])}" for row in streams))
        again, timers = _known(end["retransmits"]), _known(end["t3_timeouts"])
        say(f"retransmitted chunks: {again}, T3 timeouts: {timers}")
        used = end["cpu_utilization_percent"]
        say(f"processor: {used['host_total']:.0f} % here, {used['remote_total']:.0f} % at the peer")
        say(f"limited by {end['limited_by']}")


def _known(value: int | None) -> str:
    return "not known" if value is None else str(value)


def _row(begin: float, end: float, amount: int, messages: int) -> dict[str, Any]:
    taken = max(end - begin, 1e-9)
    return {
        "start": begin,
        "end": end,
        "seconds": end - begin,
        "bytes": amount,
        "messages": messages,
        "bits_per_second": 8 * amount / taken,
    }


def _sum(counts: list[Counts]) -> dict[str, Any]:
    taken = max(own.seconds for own in counts)
    return _row(0.0, taken, sum(own.bytes for own in counts), sum(own.messages for own in counts))


def _per_stream(counts: list[Counts]) -> list[dict[str, int]]:
    total = sum((own.streams for own in counts), Counter[int]())
    return [{"stream": stream, "bytes": total[stream]} for stream in sorted(total)]


def _total(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
