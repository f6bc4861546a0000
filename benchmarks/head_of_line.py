"""Head-of-line blocking: independent request streams over one TCP connection and over one SCTP association.

Both ends are processes of their own, in two network namespaces of a guest, joined by veth; netem delays and
loses packets, both ways. The requests are sent at fixed times (the same ones for each contender), whatever
became of earlier ones; a latency counts from the time at which a request was due until its answer is here.

    python benchmarks/head_of_line.py                 # measure in a guest (6 minutes), and record
    python benchmarks/head_of_line.py --quick         # less of it (1 minute), not recorded
    python benchmarks/head_of_line.py --report PAGE   # what was recorded: the block of a page, and its plot
"""

import argparse
import asyncio
import ctypes
import fcntl
import json
import math
import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sctpio import Conn, DelayedSack, InitMsg, Option, ReceiveBuffer, RtoInfo, SendBuffer, connect, listen

HERE = Path(__file__).resolve()
GUEST = HERE.parents[1] / "tests" / "guest" / "run"
RESULTS = HERE.parent / "results" / "head_of_line.json"
PLOT = "images/head_of_line.svg"  # beside the page
MARK = "head-of-line"

# What is under way fits into the congestion window that a fast retransmission leaves SCTP (4 MTU, RFC 9260
# 7.2.3): else waiting for that window is what is measured.
STREAMS = 16
RATE = 500  # requests a second, of all streams together
REQUEST, ANSWER = 200, 200  # bytes
DELAY = 20  # ms, each way
LOSSES = (0, 1, 2, 5)  # per cent of the packets, each way
# Requests of one case: rounds in which the contenders take turns, each with a schedule of its own.
ROUNDS, REQUESTS = 3, 3400
QUICK_ROUNDS, QUICK_REQUESTS, QUICK_LOSSES = 1, 2000, (0, 2)
# Requests that are not counted: windows open, the round trip is learnt.
WARM_UP = 100

PER_CENT = (50, 90, 99, 99.9)
TICKS = (50, 100, 200, 500, 1000, 2000)

# A request is late that took half a round trip longer than the network needs.
LATE = 2 * DELAY * 1.5 / 1000

NAMESPACE, HOST, PEER = "hol", "10.79.0.1", "10.79.0.2"
BUFFER = 1024 * 1024  # TCP takes as much by itself, and more

# What Linux has for TCP: the least RTO, and the longest delay of an acknowledgement at this pace.
TUNED = (RtoInfo(minimum=0.2), DelayedSack(delay=0.04, frequency=2))
BUFFERS = (SendBuffer(BUFFER), ReceiveBuffer(BUFFER))

HEADER = struct.Struct("!IH")  # of a message over TCP: length and stream
NUMBER = struct.Struct("!I")  # at the head of a request, and of its answer


@dataclass(frozen=True)
class Contender:
    """A way to carry the streams, and the port where the server speaks it."""

    port: int
    options: tuple[Option, ...] = ()
    unordered: bool = False


CONTENDERS = {
    "TCP": Contender(7000),
    "SCTP": Contender(7001),
    "SCTP, timers as TCP's": Contender(7002, TUNED),
    "SCTP, timers as TCP's, unordered": Contender(7002, TUNED, unordered=True),
}


# --- a message of a stream, there and back


class OverTcp:
    """Streams over one connection: each message has its length and its stream in front."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes, stream: int, _unordered: bool) -> None:
        self.writer.write(HEADER.pack(len(data), stream) + data)
        await self.writer.drain()

    async def receive(self) -> tuple[bytes, int, bool] | None:
        """Give a message, its stream and whether it is unordered; None at the end."""
        try:
            length, stream = HEADER.unpack(await self.reader.readexactly(HEADER.size))
            return await self.reader.readexactly(length), stream, False
        except asyncio.IncompleteReadError:
            return None

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class OverSctp:
    """The streams of an association."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn

    async def send(self, data: bytes, stream: int, unordered: bool) -> None:
        await self.conn.send(data, stream=stream, unordered=unordered)

    async def receive(self) -> tuple[bytes, int, bool] | None:
        """Give a message, its stream and whether it is unordered; None at the end."""
        async for message in self.conn:
            return message.data, message.stream, message.unordered
        return None

    async def close(self) -> None:
        await self.conn.close()


Channel = OverTcp | OverSctp


async def open_channel(contender: Contender) -> Channel:
    if contender.port == CONTENDERS["TCP"].port:
        return OverTcp(*await asyncio.open_connection(PEER, contender.port))
    options = BUFFERS + contender.options
    return OverSctp(
        await connect((PEER, contender.port), init=InitMsg(outbound_streams=STREAMS), options=options)
    )


async def answer_all(channel: Channel) -> None:
    """Answer each request on its stream, as soon as it is here."""
    padding = bytes(ANSWER - NUMBER.size)
    while (request := await channel.receive()) is not None:
        data, stream, unordered = request
        await channel.send(data[: NUMBER.size] + padding, stream, unordered)


async def serve() -> None:
    """Be the server of all contenders."""
    init = InitMsg(inbound_streams=STREAMS, outbound_streams=STREAMS)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as servers:
        tcp = CONTENDERS["TCP"].port
        for port, options in {each.port: each.options for each in CONTENDERS.values()}.items():
            if port == tcp:
                await asyncio.start_server(lambda r, w: answer_all(OverTcp(r, w)), PEER, port)
            else:
                listener = await stack.enter_async_context(
                    listen((PEER, port), init=init, options=BUFFERS + options)
                )
                servers.create_task(listener.serve(lambda conn: answer_all(OverSctp(conn))))
        print("ready", flush=True)


# --- the client


@dataclass(frozen=True)
class Due:
    """A request: seconds after the start at which it is due, and its stream."""

    at: float
    stream: int


def schedule(count: int, seed: int) -> list[Due]:
    """Requests at random times (Poisson), on random streams."""
    chance = random.Random(seed)
    at, all_due = 0.0, []
    for _ in range(count):
        at += chance.expovariate(RATE)
        all_due.append(Due(at, chance.randrange(STREAMS)))
    return all_due


async def exchange(channel: Channel, requests: Sequence[Due], unordered: bool) -> list[float]:
    """Send requests when they are due: the latency of each, in seconds."""
    loop = asyncio.get_running_loop()
    latencies = [math.nan] * len(requests)
    last = [-1] * STREAMS
    start = loop.time() + 0.1
    padding = bytes(REQUEST - NUMBER.size)

    async def collect() -> None:
        for _ in requests:
            answer = await channel.receive()
            assert answer is not None
            data, stream, _ = answer
            (number,) = NUMBER.unpack_from(data)
            latencies[number] = loop.time() - start - requests[number].at
            assert requests[number].stream == stream
            assert unordered or number > last[stream], "a stream's answers in order"
            last[stream] = number

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(collect())
        for number, due in enumerate(requests):
            pause = start + due.at - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            await channel.send(NUMBER.pack(number) + padding, due.stream, unordered)
    return latencies[WARM_UP:]


# --- the network


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def one_packet_at_a_time(interface: str) -> None:
    """Turn off TSO and GSO: netem would delay and lose many packets as one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in (0x1F, 0x24):  # ETHTOOL_STSO, ETHTOOL_SGSO
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
            request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
            fcntl.ioctl(any_socket, 0x8946, request)  # SIOCETHTOOL


def build_network() -> None:
    run("ip", "netns", "add", NAMESPACE)
    run(*f"ip link add hol0 type veth peer name hol1 netns {NAMESPACE}".split())
    run(*f"ip address add {HOST}/24 dev hol0".split())
    run(*f"ip -n {NAMESPACE} address add {PEER}/24 dev hol1".split())
    run("ip", "link", "set", "hol0", "up")
    run(*f"ip -n {NAMESPACE} link set hol1 up".split())


def impair(loss: float) -> None:
    rule = f"netem limit 100000 delay {DELAY}ms loss {loss}%".split()
    run("tc", "qdisc", "replace", "dev", "hol0", "root", *rule)
    run("tc", "-n", NAMESPACE, "qdisc", "replace", "dev", "hol1", "root", *rule)


def counters(server: int) -> dict[str, int]:
    """Read what both stacks count of retransmissions, of both namespaces together."""
    found = {"fast retransmissions": 0, "timeouts": 0, "retransmitted": 0}
    for process in (os.getpid(), server):
        net = Path(f"/proc/{process}/net")
        sctp = {name: int(n) for name, n in map(str.split, (net / "sctp/snmp").read_text().splitlines())}
        tcp: dict[str, int] = {}
        for file in ("snmp", "netstat"):
            lines = (net / file).read_text().splitlines()
            for names, values in zip(lines[::2], lines[1::2], strict=True):
                numbers = map(int, values.split()[1:])
                tcp |= dict(zip((names.split()[0] + n for n in names.split()[1:]), numbers, strict=True))
        fast, lost = tcp["TcpExt:TCPFastRetrans"], tcp["TcpExt:TCPTimeouts"]
        found["fast retransmissions"] += fast + sctp["SctpFastRetransmits"]
        found["timeouts"] += lost + sctp["SctpT3RtxExpireds"]
        found["retransmitted"] += (
            tcp["Tcp:RetransSegs"] + sctp["SctpFastRetransmits"] + sctp["SctpT3Retransmits"]
        )
    return found


# --- measuring


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 2)


def next_late_share(schedules: Sequence[Sequence[Due]], rounds: Sequence[Sequence[float]]) -> float | None:
    """Of the late requests that one of another stream follows, tell how many had that one late, too.

    As many as are late at all, where the streams do not wait for each other.
    """
    pairs = [
        latencies[number + 1] > LATE
        for requests, latencies in zip(schedules, rounds, strict=True)
        for number, (this, following) in enumerate(pairwise(requests[WARM_UP:]))
        if latencies[number] > LATE and this.stream != following.stream
    ]
    return sum(pairs) / len(pairs) if len(pairs) >= 10 else None


def summary(
    schedules: Sequence[Sequence[Due]],
    rounds: Sequence[Sequence[float]],
    counted: dict[str, int],
    cpu: float,
) -> dict[str, Any]:
    """Describe the latencies of a case."""
    pooled = sorted(latency for each in rounds for latency in each)
    percentiles = {
        str(per_cent): {
            "all": milliseconds(quantile(pooled, per_cent / 100)),
            "rounds": [milliseconds(quantile(sorted(each), per_cent / 100)) for each in rounds],
        }
        for per_cent in PER_CENT
    }
    tail = [10 ** (-step / 20) for step in range(int(20 * math.log10(len(pooled))) + 1)]
    return {
        "requests": len(pooled),
        "percentiles_ms": percentiles,
        "max_ms": milliseconds(pooled[-1]),
        "late_share": sum(latency > LATE for latency in pooled) / len(pooled),
        "next_late_share": next_late_share(schedules, rounds),
        "counters": counted,
        "client_cpu_share": round(cpu, 2),
        # For the plot: this share of the requests took that long or longer.
        "tail_share": [round(share, 6) for share in tail],
        "tail_ms": [milliseconds(quantile(pooled, 1 - share)) for share in tail],
    }


async def measure(contender: Contender, requests: Sequence[Due]) -> list[float]:
    channel = await open_channel(contender)
    try:
        return await exchange(channel, requests, contender.unordered)
    finally:
        await channel.close()


def measure_case(
    loss: int, contenders: Sequence[str], schedules: Sequence[Sequence[Due]], server: int
) -> list[dict[str, Any]]:
    """Measure the contenders, in turns, at one rate of loss."""
    impair(loss)
    latencies: dict[str, list[list[float]]] = {name: [] for name in contenders}
    counted = {name: dict.fromkeys(counters(server), 0) for name in contenders}
    cpu = dict.fromkeys(contenders, 0.0)
    for requests in schedules:
        for name in contenders:
            before, used = counters(server), time.process_time()
            latencies[name].append(asyncio.run(measure(CONTENDERS[name], requests)))
            cpu[name] += (time.process_time() - used) / requests[-1].at / len(schedules)
            for key, value in counters(server).items():
                counted[name][key] += value - before[key]
    cases = []
    for name in contenders:
        case = {"loss_percent": loss, "contender": name}
        cases.append(case | summary(schedules, latencies[name], counted[name], cpu[name]))
        print("  ".join(row(cases[-1])), flush=True)
    return cases


def measure_all(quick: bool) -> dict[str, Any]:
    rounds, count, losses = (
        (QUICK_ROUNDS, QUICK_REQUESTS, QUICK_LOSSES) if quick else (ROUNDS, REQUESTS, LOSSES)
    )
    build_network()
    one_packet_at_a_time("hol0")
    run("sysctl", "-q", "-w", f"net.core.rmem_max={BUFFER}", f"net.core.wmem_max={BUFFER}")
    began = time.monotonic()
    schedules = [schedule(WARM_UP + count, seed) for seed in range(rounds)]
    command = ("ip", "netns", "exec", NAMESPACE, sys.executable, str(HERE), "--serve")
    cases = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        for loss in losses:
            # Without loss nothing waits for anything: one way of ordering is enough.
            contenders = [name for name, each in CONTENDERS.items() if loss or not each.unordered]
            cases += measure_case(loss, contenders, schedules, server.pid)
        server.terminate()
    return {
        "machine": {
            "kernel": os.uname().release,
            "guest": os.environ["SCTPIO_GUEST"],
            "processors": os.cpu_count(),
            "python": sys.version.split()[0],
        },
        "parameters": {
            "streams": STREAMS,
            "requests_per_second": RATE,
            "request_bytes": REQUEST,
            "answer_bytes": ANSWER,
            "delay_ms_each_way": DELAY,
            "rounds": rounds,
            "requests_per_round": count,
            "seeds": list(range(rounds)),
            "late_ms": milliseconds(LATE),
            "send_and_receive_buffer_bytes": BUFFER,
        },
        "seconds": round(time.monotonic() - began, 1),
        "cases": cases,
    }


# --- reporting


def row(case: dict[str, Any]) -> list[str]:
    """Describe a case in the columns of the table."""
    cells = [f"{case['loss_percent']} %", case["contender"]]
    for per_cent in PER_CENT:
        value = case["percentiles_ms"][str(per_cent)]
        cell = f"{value['all']:.0f}"
        if per_cent >= 99:
            cell += f" ({min(value['rounds']):.0f} to {max(value['rounds']):.0f})"
        cells.append(cell)
    found = case["counters"]
    return [
        *cells,
        f"{100 * case['late_share']:.1f} %",
        "" if case["next_late_share"] is None else f"{100 * case['next_late_share']:.0f} %",
        str(found["fast retransmissions"]),
        str(found["timeouts"]),
    ]


def tables(results: dict[str, Any]) -> str:
    """Write what was recorded as Markdown."""
    machine, asked = results["machine"], results["parameters"]
    heads = [
        "loss",
        "carried by",
        *(f"p{each}" for each in PER_CENT),
        "late",
        "next, too",
        "fast",
        "timeouts",
    ]
    lines = [
        f"Linux {machine['kernel']} ({machine['guest']}, {machine['processors']} CPU), Python"
        f" {machine['python']}. {asked['streams']} streams, {asked['requests_per_second']} requests a second"
        f" in all, of {asked['request_bytes']} bytes, answers of {asked['answer_bytes']}; the loss each way,"
        f" and {asked['delay_ms_each_way']} ms. In each row {asked['rounds']} rounds of"
        f" {asked['requests_per_round']} requests, contenders in turns, {results['seconds'] / 60:.1f} minutes"
        " in all. Milliseconds from when a request was due until its answer was there; in brackets the lowest"
        " and the highest of the rounds.",
        "",
        f"*Late*: longer than {asked['late_ms']:.0f} ms. *Next, too*: of the late requests that are followed"
        " by one of another stream, how many had that one late, too; as many as are late at all, where"
        " streams do not wait for each other. *Fast* and *timeouts*: fast retransmissions and expired"
        " retransmission timers, as the kernel counts them.",
        "",
        f"| {' | '.join(heads)} |",
        "| ---: | :--- |" + " ---: |" * (len(heads) - 2),
        *(f"| {' | '.join(row(case))} |" for case in results["cases"]),
        "",
        f"![Share of the requests that took longer, by time]({PLOT})",
    ]
    return "\n".join(lines)


def plot(results: dict[str, Any], file: Path) -> None:
    """Draw, for each rate of loss, which share of the requests took how long or longer."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": MARK, "font.size": 9})
    from matplotlib import pyplot

    losses = sorted({case["loss_percent"] for case in results["cases"]})
    figure, panels = pyplot.subplots(
        1, len(losses), figsize=(3 * len(losses), 3.6), sharex=True, sharey=True, squeeze=False
    )
    for panel, loss in zip(panels[0], losses, strict=True):
        for number, name in enumerate(CONTENDERS):
            for case in results["cases"]:
                if (case["loss_percent"], case["contender"]) == (loss, name):
                    panel.step(case["tail_ms"], case["tail_share"], label=name, color=f"C{number}", lw=1.3)
        panel.set(xscale="log", yscale="log", title=f"{loss} % loss", xlabel="ms")
        panel.set_xticks(TICKS, [str(tick) for tick in TICKS])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("share of the requests\nthat took longer")
    panels[0][0].set_yticks([1, 0.1, 0.01, 0.001], ["100 %", "10 %", "1 %", "0.1 %"])
    handles, labels = panels[0][-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})


def write_block(page: Path, mark: str, text: str) -> None:
    """Put a text between `<!-- mark -->` and `<!-- /mark -->` of a page."""
    before, begin, rest = page.read_text().partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not begin or not end:
        sys.exit(f"{page} has no <!-- {mark} --> and <!-- /{mark} -->")
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def in_guest(script: Path, arguments: Sequence[str], memory: int = 1024) -> int:
    """Run a benchmark in a guest with so many MiB: its exit status."""
    guest = [str(GUEST), "--memory", str(memory), "--timeout", "1800"]
    command = [*guest, sys.executable, str(script), *arguments]
    return subprocess.run(command, check=False).returncode


def arguments_of(description: str | None, quick: str) -> argparse.ArgumentParser:
    """Make the parser of a benchmark that has a page of its own; `quick` is what --quick leaves out."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{quick}; not recorded")
    parser.add_argument(
        "--report", type=Path, metavar="PAGE", help="measure nothing: write the recorded figures"
    )
    return parser


def main() -> int:
    parser = arguments_of(__doc__, "one round, two rates of loss")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        one_packet_at_a_time("hol1")
        asyncio.run(serve())
    elif options.report:
        results = json.loads(RESULTS.read_text())
        write_block(options.report, MARK, tables(results))
        plot(results, options.report.parent / PLOT)
    elif "SCTPIO_GUEST" not in os.environ:
        return in_guest(HERE, sys.argv[1:])
    else:
        results = measure_all(options.quick)
        print(f"{results['seconds']} s")
        if not options.quick:
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
