"""`sctpio ping`: whether each address of a peer answers, and how fast.

Two ways. By set-up: an association with one address alone, timed until it is up, and shut down gracefully;
any SCTP server answers that. By heartbeats (`--heartbeat`): one association with all addresses, and in each
round a heartbeat on every path. A stack does not tell the time of one heartbeat, but how it has changed the
smoothed round-trip time of the path; those that are not answered cost the path its state.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from .._loop.resolve import resolve
from ..address import Address
from ..conn import Conn
from ..connecting import connect
from ..errors import AssociationEnded, UnavailableError
from ..options import PathState, PeerAddressInfo, PeerAddressParameters
from .arguments import add_options, address, count, given_options, seconds
from .exits import CommandError, Exit, exit_of, refused_is_usage, text_of
from .figures import summary, summary_text
from .output import Colour, Output, duration

EXAMPLES = """
examples:
  sctpio ping 10.0.0.1:5000                            until Ctrl-C
  sctpio ping 10.50.1.1/10.50.2.1:2904 --count 5       each address by itself
  sctpio ping 10.50.1.1/10.50.2.1:m3ua --heartbeat     every path of one association
  sctpio ping 10.0.0.1:5000 --count 100 --interval 10ms --json | tail -1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "address", type=address, help="the peer: host:port, or host/host:port for several hosts"
    )
    parser.add_argument(
        "--count", type=count(1, 1 << 31), metavar="N", help="how many rounds (default: no end)"
    )
    parser.add_argument(
        "--interval", type=seconds, default=1.0, metavar="SECONDS", help="from round to round (default: 1)"
    )
    parser.add_argument(
        "--heartbeat", action="store_true", help="by heartbeats on one association, not by associations"
    )
    parser.add_argument("--local", type=address, metavar="ADDRESS", help="the own addresses and port")
    parser.add_argument(
        "--wait", type=seconds, default=2.0, metavar="SECONDS", help="for each answer (default: 2)"
    )
    add_options(parser)


async def run(arguments: argparse.Namespace, output: Output) -> Exit:
    """Ping, and sum up."""
    with refused_is_usage():
        found = await resolve(arguments.address)
    peer = Address(tuple(dict.fromkeys(host for each in found for host in each.hosts)), found[0].port)
    if not peer.hosts:
        raise CommandError(Exit.USAGE, f"{arguments.address} names no host; accepted: host:port")
    pinger = (Heartbeats if arguments.heartbeat else SetUps)(peer, arguments, output)
    try:
        async for sequence in _rounds(arguments):
            await pinger.round(sequence)
    except asyncio.CancelledError:
        # Being interrupted is how it usually ends.
        return pinger.sum_up()
    except AssociationEnded:
        pinger.sum_up()
        raise
    else:
        return pinger.sum_up()
    finally:
        await pinger.close()


async def _rounds(arguments: argparse.Namespace) -> AsyncIterator[int]:
    sequence = 0
    begin = time.monotonic()
    while arguments.count is None or sequence < arguments.count:
        if sequence:
            # A round that took longer than the interval is followed at once.
            await asyncio.sleep(max(begin + sequence * arguments.interval - time.monotonic(), 0))
        sequence += 1
        yield sequence


class Pinger:
    """What both ways share: what was asked and answered, for each address."""

    def __init__(self, peer: Address, arguments: argparse.Namespace, output: Output) -> None:
        self.peer = peer
        self.arguments = arguments
        self.output = output
        self.sent: dict[Address, int] = {Address(host, peer.port): 0 for host in peer.hosts}
        self.times: dict[Address, list[float]] = {path: [] for path in self.sent}
        self.failure: OSError | None = None
        options, init = given_options(arguments)
        self.how: dict[str, Any] = {"options": options, "init": init, "stack": arguments.stack}

    async def round(self, sequence: int) -> None:
        """Ask each address once."""
        raise NotImplementedError

    async def close(self) -> None:
        """End what is left."""

    def tell(self, path: Address, sequence: int, took: float | None, text: str, **fields: Any) -> None:
        """Count and show what became of one question; `took` is None where there was no answer."""
        self.sent[path] += 1
        if took is not None:
            self.times[path].append(took)
        if self.output.json:
            common = {"type": "answer", "address": path, "sequence": sequence, "answered": took is not None}
            self.output.record({**common, "time": took, **fields})
        else:
            shown = text if took is not None else self.output.paint(text, Colour.BAD)
            self.output.say(f"{path} seq {sequence}: {shown}")

    def sum_up(self) -> Exit:
        """Show the figures of each address, and return what they come to."""
        for path, sent in self.sent.items():
            times = self.times[path]
            loss = 100 * (sent - len(times)) / sent if sent else 0.0
            if self.output.json:
                fields = {"sent": sent, "answered": len(times), "loss_percent": loss}
                self.output.record({"type": "summary", "address": path, **fields, "seconds": summary(times)})
            else:
                head = f"{path}: {sent} sent, {len(times)} answered, {loss:.3g} % lost"
                self.output.say(f"{head}; {figures}" if (figures := summary_text(times)) else head)
        answered = sum(map(len, self.times.values()))
        if not answered and self.failure is not None:
            return exit_of(self.failure)
        return Exit.DONE if answered == sum(self.sent.values()) else Exit.FOUND


class SetUps(Pinger):
    """By an association with each address, again and again."""

    failure: OSError | None

    async def round(self, sequence: int) -> None:
        """Set an association up with each address, and shut it down."""
        for path in self.sent:
            began = time.perf_counter()
            try:
                with refused_is_usage():
                    conn = await connect(
                        path, local=self.arguments.local, timeout=self.arguments.wait, **self.how
                    )
            except UnavailableError:
                raise
            except OSError as error:
                self.failure = error
                self.tell(path, sequence, None, f"no answer: {text_of(error)}", error=text_of(error))
                continue
            took = time.perf_counter() - began
            ended = await self._end(conn)
            over = "not shut down in time" if ended is None else f"shut down in {duration(ended)}"
            self.tell(path, sequence, took, f"up in {duration(took)}, {over}", end=ended)

    async def _end(self, conn: Conn) -> float | None:
        """Shut down; return how long that took, None if the peer did not do its part."""
        began = time.perf_counter()
        try:
            await conn.close(timeout=self.arguments.wait)
        except AssociationEnded:
            return None
        return time.perf_counter() - began


class Heartbeats(Pinger):
    """By heartbeats on the paths of one association."""

    _conn: Conn | None = None

    async def round(self, sequence: int) -> None:
        """Have a heartbeat sent on each path, and look at the path when there was time to answer."""
        conn = self._conn
        if conn is None:
            with refused_is_usage():
                conn = self._conn = await connect(
                    self.peer, local=self.arguments.local, timeout=self.arguments.wait, **self.how
                )
            # Paths that the peer has named itself are asked, too.
            for known in conn.paths():
                self.sent.setdefault(known.address, 0)
                self.times.setdefault(known.address, [])
        for path in self.sent:
            if self._look(conn, path) is not None:
                conn.set_option(PeerAddressParameters(path, demand_heartbeat=True))
        await asyncio.sleep(min(self.arguments.interval / 2, self.arguments.wait))
        for path in self.sent:
            info = self._look(conn, path)
            if info is None:
                self.tell(path, sequence, None, "not an address of this association", state=None)
                continue
            answered = info.state is PathState.ACTIVE
            text = f"{info.state.name}, srtt {duration(info.srtt)}, rto {duration(info.rto)}"
            fields = {"state": info.state, "rto": info.rto, "cwnd": info.cwnd, "mtu": info.mtu}
            self.tell(path, sequence, info.srtt if answered else None, text, **fields)

    def _look(self, conn: Conn, path: Address) -> PeerAddressInfo | None:
        try:
            return conn.path(path)
        except AssociationEnded:
            raise
        except OSError:
            # The peer does not have this address, or hides that it has failed.
            return None

    async def close(self) -> None:
        """Shut the association down."""
        if self._conn is not None:
            with suppress(AssociationEnded):
                await self._conn.close(timeout=self.arguments.wait)
