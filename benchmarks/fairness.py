"""Fairness: what each of many flooding associations gets of one server, and what another task there waits.

A client process floods all of its associations with 64-byte messages; the server, one loop in a process of
its own, has a task for each association and counts, until a number of messages came in all. Beside them a
task of the server sleeps 1 ms again and again, and notes by how much it woke too late, without the flood and
with it.

    python benchmarks/fairness.py                 # usrsctp on this host, the kernel in a guest; and record
    python benchmarks/fairness.py --quick         # less of it (1 minute), not recorded
    python benchmarks/fairness.py --report PAGE   # what was recorded: the block of a page
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop
from head_of_line import arguments_of, in_guest, quantile, write_block

from sctpio import (
    AssociationError,
    Conn,
    EndOfAssociation,
    Mode,
    Option,
    ReceiveBuffer,
    connect,
    listen,
    usrsctp_config,
)
from sctpio._loop.waiting import call as reading

HERE = Path(__file__).resolve()
RESULTS = HERE.parent / "results" / "fairness.json"
MARK = "fairness"

DATA = bytes(64)
SLEEP = 0.001
# Messages of each association: some batches, or a share would be a matter of who came first.
EACH = 500
IDLE = 2.0  # seconds of the loop without the flood
SCTP_PORT = 5002
# A sender that finds room does not suspend: the clients' tasks let each other run after so many messages.
TURN = 5
# One-to-many associations share the receive buffer; one-to-one ones get a part of it each. A small message
# takes many times its size there: of 1000 associations with the default, 2 GiB were not enough.
RECEIVE_BUFFER = 4 * 1024 * 1024
LEAST_RECEIVE_BUFFER = 16 * 1024
GUEST_MEMORY = 3072  # MiB
CONNECTING = 20
SPREAD = ("p50", "p99", "max")

LOOPS: dict[str, Callable[..., Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@dataclass(frozen=True)
class Case:
    """What is measured; `messages` is how many end it."""

    stack: str
    mode: str
    loop: str
    associations: int
    messages: int


def cases(stack: str, quick: bool) -> list[Case]:
    """List the cases of a stack: system calls in the guest are slow."""
    flood = 20_000 if stack == "kernel" else 200_000
    most = 100 if quick else 1000
    return [
        Case(stack, mode.value, loop, count, max(flood, EACH * count) // (4 if quick else 1))
        for mode in Mode
        for loop in LOOPS
        for count in (1, most)
    ]


# --- the client


async def flood(count: int) -> None:
    """Connect, and when told to, send for ever on all associations."""
    conns: list[Conn] = []
    while len(conns) < count:
        together = min(CONNECTING, count - len(conns))
        conns += await asyncio.gather(*(connect(("127.0.0.1", SCTP_PORT)) for _ in range(together)))
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def send_for_ever(conn: Conn) -> None:
        with contextlib.suppress(AssociationError, EndOfAssociation):
            while True:
                for _ in range(TURN):
                    await conn.send(DATA)
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for conn in conns:
            tasks.create_task(send_for_ever(conn))


# --- the server


class Callbacks:
    """How long each callback of asyncio's own loop took, by what it was: it holds the loop for that long."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def watch(self) -> None:
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            kind = "reading" if handle._callback is reading else "other"  # type: ignore[attr-defined]
            began = time.perf_counter()
            run(handle)
            self.seconds[kind].append(time.perf_counter() - began)

        asyncio.Handle._run = timed  # type: ignore[assignment, method-assign]


async def woken_late(until: asyncio.Event) -> list[float]:
    """Sleep again and again: by how many seconds each sleep took too long."""
    loop = asyncio.get_running_loop()
    found = []
    while not until.is_set():
        began = loop.time()
        await asyncio.sleep(SLEEP)
        found.append(loop.time() - began - SLEEP)
    return found


async def serve(case: Case, client: subprocess.Popen[str], callbacks: Callbacks) -> dict[str, Any]:
    """Take the flood: what was measured."""
    assert client.stdin is not None
    assert client.stdout is not None
    mode = Mode(case.mode)
    size = RECEIVE_BUFFER
    if mode is Mode.ONE_TO_ONE:
        size = max(LEAST_RECEIVE_BUFFER, size // case.associations)
    options: list[Option] = [ReceiveBuffer(size)]
    counts = [0] * case.associations
    enough, left = asyncio.Event(), case.messages

    async def count_messages(number: int, conn: Conn) -> None:
        nonlocal left
        async for _ in conn:
            counts[number] += 1
            left -= 1
            if not left:
                enough.set()

    async with listen(("127.0.0.1", SCTP_PORT), mode=mode, options=options) as listener:
        print("listening", file=client.stdin, flush=True)
        conns = [await listener.accept() for _ in range(case.associations)]
        assert await asyncio.to_thread(client.stdout.readline) == "connected\n"
        readers = [asyncio.create_task(count_messages(*each)) for each in enumerate(conns)]
        rest = asyncio.Event()
        asyncio.get_running_loop().call_later(IDLE, rest.set)
        idle = await woken_late(rest)
        callbacks.seconds.clear()
        began = time.perf_counter()
        print("go", file=client.stdin, flush=True)
        flooded = await woken_late(enough)
        seconds = time.perf_counter() - began
        got = list(counts)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for conn in conns:
            await conn.abort()
    mean = sum(got) / len(got)
    return {
        **asdict(case),
        "seconds": round(seconds, 2),
        "messages_per_second": round(sum(got) / seconds),
        "least": min(got),
        "mean": round(mean, 1),
        "most": max(got),
        "least_of_mean": round(min(got) / mean, 3),
        "jain": round(sum(got) ** 2 / (len(got) * sum(each**2 for each in got)), 4),
        "woken_late_ms": {"idle": spread(idle), "flood": spread(flooded)},
        "callback_ms": {kind: spread(found) for kind, found in callbacks.seconds.items()},
    }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    found = {"p50": quantile(ordered, 0.5), "p99": quantile(ordered, 0.99), "max": ordered[-1]}
    return {name: round(1000 * value, 3) for name, value in found.items()} | {"count": len(ordered)}


# --- the orchestra


def free_udp_ports() -> list[int]:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        one.bind(("", 0))
        other.bind(("", 0))
        return [one.getsockname()[1], other.getsockname()[1]]


def be_client(case: Case, ports: Sequence[int]) -> None:
    prepare(case, ports)
    sys.stdin.readline()
    LOOPS["uvloop"](flood(case.associations))


def be_server(case: Case, ports: Sequence[int]) -> None:
    """Measure one case, and print it."""
    prepare(case, ports[::-1])
    command = [sys.executable, str(HERE), "--client", json.dumps([asdict(case), ports])]
    callbacks = Callbacks()
    if case.loop == "asyncio":
        callbacks.watch()
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        try:
            print(json.dumps(LOOPS[case.loop](serve(case, client, callbacks))))
        finally:
            client.kill()


def prepare(case: Case, ports: Sequence[int]) -> None:
    descriptors = 3 * case.associations + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    os.environ["SCTPIO_STACK"] = case.stack
    if case.stack == "usrsctp":
        usrsctp_config(udp_port=ports[0], remote_udp_port=ports[1])


def measure(stack: str, quick: bool) -> dict[str, Any]:
    """Measure all cases of a stack, here."""
    began = time.monotonic()
    found = []
    for case in cases(stack, quick):
        command = [sys.executable, str(HERE), "--server", json.dumps([asdict(case), free_udp_ports()])]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True, timeout=900)
        found.append(json.loads(done.stdout))
        print(" | ".join(shares(found[-1]) + delays(found[-1])[4:]), flush=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": {
            "kernel": os.uname().release,
            "guest": os.environ.get("SCTPIO_GUEST"),
            "processors": os.cpu_count(),
            "memory_mib": memory >> 20,
            "python": sys.version.split()[0],
        },
        "client_turn": TURN,
        "receive_buffer_bytes": [LEAST_RECEIVE_BUFFER, RECEIVE_BUFFER],
        "seconds": round(time.monotonic() - began, 1),
        "cases": found,
    }


# --- reporting


def named(case: dict[str, Any]) -> list[str]:
    return [case["stack"], case["mode"], case["loop"], str(case["associations"])]


def shares(case: dict[str, Any]) -> list[str]:
    """Describe a case in the columns of the first table."""
    counts = [f"{case['least']}", f"{case['mean']:.0f}", f"{case['most']}"]
    return [
        *named(case),
        f"{case['messages_per_second']}",
        *counts,
        f"{case['least_of_mean']:.2f}",
        f"{case['jain']:.3f}",
    ]


def delays(case: dict[str, Any]) -> list[str]:
    """Describe a case in the columns of the second table."""
    late, callbacks = case["woken_late_ms"], case["callback_ms"].get("reading")
    found = [" / ".join(f"{late[when][name]:.1f}" for name in SPREAD) for when in ("idle", "flood")]
    held = " / ".join(f"{callbacks[name]:.1f}" for name in SPREAD) if callbacks else ""
    return [*named(case), *found, held]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = "| :--- | :--- | :--- |" + " ---: |" * (len(heads) - 3)
    return [f"| {' | '.join(heads)} |", marks, *(f"| {' | '.join(row)} |" for row in rows)]


def tables(results: dict[str, Any]) -> str:
    """Write what was recorded as Markdown."""
    places = [
        f"{stack}: Linux {place['machine']['kernel']}"
        f" ({place['machine']['guest'] or 'bare host'}, {place['machine']['processors']} CPU,"
        f" {place['machine']['memory_mib']} MiB), Python {place['machine']['python']},"
        f" {place['seconds']:.0f} s in all"
        for stack, place in results.items()
    ]
    found = [case for place in results.values() for case in place["cases"]]
    names = ["stack", "server", "loop", "associations"]
    return "\n".join(
        [
            f"{'; '.join(places)}. One client process, one server process.",
            "",
            "Messages received of each association when the total was reached, and Jain's index of them (1:"
            " all the same):",
            "",
            *table(
                [*names, "messages/s", "slowest", "mean", "fastest", "slowest of mean", "Jain"],
                [shares(case) for case in found],
            ),
            "",
            f"By how many ms another task of the server's loop, sleeping {SLEEP * 1000:.0f} ms each time,"
            " woke too late; and how long one reading callback held the loop (asyncio; p50 / p99 / most):",
            "",
            *table([*names, "idle", "flood", "one callback"], [delays(case) for case in found]),
        ]
    )


def main() -> int:
    parser = arguments_of(__doc__, "100 associations, fewer messages")
    parser.add_argument("--stack", choices=("usrsctp", "kernel"), help="only this one")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client or options.server:
        asked, ports = json.loads(options.client or options.server)
        (be_client if options.client else be_server)(Case(**asked), ports)
        return 0
    if options.report:
        write_block(options.report, MARK, tables(json.loads(RESULTS.read_text())))
        return 0
    in_a_guest = "SCTPIO_GUEST" in os.environ
    if options.stack != "kernel" and not in_a_guest:
        record("usrsctp", measure("usrsctp", options.quick), options.quick)
    if options.stack != "usrsctp" and not in_a_guest:
        return in_guest(HERE, sys.argv[1:], memory=GUEST_MEMORY)
    if in_a_guest:
        subprocess.run(["ip", "link", "set", "lo", "mtu", "1500"], check=True)
        subprocess.run(["sysctl", "-q", "-w", f"net.core.rmem_max={RECEIVE_BUFFER}"], check=True)
        record("kernel", measure("kernel", options.quick), options.quick)
    return 0


def record(stack: str, found: dict[str, Any], quick: bool) -> None:
    """Keep what was measured, beside what the other stack's run has left."""
    print(f"{stack}: {found['seconds']} s")
    if not quick:
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(results | {stack: found}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
