"""Floods at default settings beside tuned ones: does the kernel fall silent, and does it drop what it took?

    stalls.py [KERNEL...] [--only WORDS] [--seconds S]    in guests; without --only it records stalls.json
    stalls.py --report docs/stalls.md                     writes the tables of a page anew

A cell floods one association for some seconds. It counts what the reader had by then, and what the kernel
counted meanwhile in the namespaces of both ends: timeouts of retransmissions (SctpT3Retransmits), and chunks
that the receiver had no memory or no window for (SctpInDataChunkDiscards). The settings:

    before    each default of this package turned off by an option: what a plain socket has
    default   no option, as root, whom rmem_max and wmem_max do not bind
    user      no option, in a process without CAP_NET_ADMIN
    tuned     what an expert sets: rmem_max and wmem_max raised, buffers of 4 MiB, a path MTU of 1500 on lo
"""

import argparse
import asyncio
import ctypes
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import sctpio
from sctpio import Conn, Mode, Option, PeerAddressParameters, ReceiveBuffer, SendBuffer

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("stalls.json")
BEGIN, END = "<!-- begin stalls -->", "<!-- end stalls -->"

SIZES = (16, 64, 256, 1024, 8192, 65536, 200_000)
PLACES = ("lo", "veth", "veth 20 ms", "veth 20 ms 1 %")
PROCESSES = (1, 2)
MODES = ("one", "many")
READERS = ("at once", "1 ms", "pause")
SETTINGS = ("before", "default", "user", "tuned")

CLONE_NEWNET = 0x40000000
FAR = "stalls"
HERE, THERE = "10.79.0.1", "10.79.0.2"
COUNTERS = ("SctpT3Retransmits", "SctpInDataChunkDiscards", "SctpFastRetransmits")
LARGE = 4 << 20
# The kernel doubles it: what a socket has by itself.
PLAIN = 212_992 // 2
# Seconds that a reader of the kind "pause" takes nothing, after its first messages.
PAUSE = 2.0


@dataclass(frozen=True)
class Cell:
    """What is measured at a time."""

    place: str
    size: int
    processes: int
    mode: str
    reader: str
    setting: str

    @property
    def name(self) -> str:
        return f"{self.place}, {self.size} B, {self.processes}p, {self.mode}, {self.reader}, {self.setting}"


# A place: namespaces and counters


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def build() -> None:
    """Make the far namespace."""
    run("ip", "netns", "add", FAR)
    run("ip", "link", "add", "s0", "type", "veth", "peer", "name", "s1", "netns", FAR)
    run("ip", "address", "add", f"{HERE}/24", "dev", "s0")
    run("ip", "link", "set", "s0", "up")
    run("ip", "-n", FAR, "address", "add", f"{THERE}/24", "dev", "s1")
    run("ip", "-n", FAR, "link", "set", "s1", "up")
    run("ip", "-n", FAR, "link", "set", "lo", "up")


def shape(place: str) -> None:
    """Give both ends of the link the delay, in all 20 ms there and back, and the loss of a place."""
    rule = ["delay", "10ms", "limit", "100000"] if "ms" in place else []
    rule += ["loss", "1%"] if "%" in place else []
    for interface, where in (("s0", ()), ("s1", ("-n", FAR))):
        subprocess.run(["tc", *where, "qdisc", "del", "dev", interface, "root"], stderr=subprocess.DEVNULL)
        if rule:
            run("tc", *where, "qdisc", "add", "dev", interface, "root", "netem", *rule)


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Be in the receiver's namespace (this thread only)."""
    if place == "lo":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{FAR}", os.O_RDONLY)
    try:
        assert libc.setns(other, CLONE_NEWNET) == 0
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)
        os.close(other)


def counted() -> dict[str, int]:
    found = dict.fromkeys(COUNTERS, 0)
    for place in ("lo", "veth"):
        with inside(place):
            for line in Path("/proc/thread-self/net/sctp/snmp").read_text().splitlines():
                name, value = line.split()
                if name in found:
                    found[name] += int(value)
    return found


def limits(setting: str) -> None:
    """Set the sysctls of a setting."""
    size = 4 * LARGE if setting == "tuned" else 2 * PLAIN
    for name in ("rmem_max", "wmem_max"):
        Path(f"/proc/sys/net/core/{name}").write_text(str(size))


def become_plain() -> None:
    """Give up CAP_NET_ADMIN, so that the sysctls bind this process."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0
    for index in range(3):
        sets[index] &= ~(1 << 12)
    assert libc.capset(header, sets) == 0


# A cell


def options(cell: Cell) -> list[Option]:
    if cell.setting in ("default", "user"):
        return []
    if cell.setting == "before":
        return [
            ReceiveBuffer(PLAIN),
            SendBuffer(PLAIN),
            PeerAddressParameters(path_mtu_discovery=True),
        ]
    chosen: list[Option] = [ReceiveBuffer(LARGE), SendBuffer(LARGE)]
    if cell.place == "lo":
        chosen.append(PeerAddressParameters(path_mtu=1500, path_mtu_discovery=False))
    return chosen


def opening(cell: Cell) -> Any:
    """Listen in the receiver's namespace: nothing of it waits."""
    mode = Mode.ONE_TO_MANY if cell.mode == "many" else Mode.ONE_TO_ONE
    host = "127.0.0.1" if cell.place == "lo" else THERE
    steps = sctpio.listen(f"{host}:0", mode=mode, options=options(cell)).__await__()
    with inside(cell.place):
        try:
            next(steps)
        except StopIteration as done:
            return done.value
    raise AssertionError("listen waited")


async def receive(conn: Conn, cell: Cell, end: float, found: dict[str, Any]) -> None:
    """Count what comes until `end`."""
    count = 0
    longest, last = 0.0, time.monotonic()
    try:
        async with asyncio.timeout(max(0.0, end - time.monotonic())):
            async for message in conn:
                now = time.monotonic()
                longest, last = max(longest, now - last), now
                count += 1
                found["bytes"] = found.get("bytes", 0) + len(message.data)
                if cell.reader == "1 ms":
                    await asyncio.sleep(0.001)
                elif cell.reader == "pause" and count == 20:
                    await asyncio.sleep(PAUSE)
                    last = time.monotonic()
                elif count % 16 == 0:
                    # As whoever does something with a message would.
                    await asyncio.sleep(0)
    except TimeoutError:
        longest = max(longest, time.monotonic() - last)
    found["silence"] = round(longest, 3)


async def send(conn: Conn, cell: Cell) -> None:
    data = bytes(cell.size)
    while True:
        await conn.send(data)


async def flood_within(cell: Cell, seconds: float) -> dict[str, Any]:
    """Flood with both ends in this process."""
    found: dict[str, Any] = {"bytes": 0}
    async with opening(cell) as listener:
        client = await sctpio.connect(listener.local_addresses, options=options(cell))
        server = await listener.accept()
        await asyncio.sleep(0.05)
        began = time.monotonic()
        sender = asyncio.create_task(send(client, cell))
        await receive(server, cell, began + seconds, found)
        found["seconds"] = time.monotonic() - began
        found |= {"grown": counted()}
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        await server.abort()
        await client.abort()
    return found


async def sink(cell: Cell, seconds: float, port: int, result: int) -> None:
    found: dict[str, Any] = {"bytes": 0}
    async with opening(cell) as listener:
        os.write(port, listener.port.to_bytes(2, "big"))
        server = await listener.accept()
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await receive(server, cell, began + seconds, found)
        found["seconds"] = time.monotonic() - began
        found |= {"grown": counted()}
        os.write(result, json.dumps(found).encode())
        await server.abort()


async def source(cell: Cell, port: int) -> None:
    host = "127.0.0.1" if cell.place == "lo" else THERE
    with suppress(OSError, sctpio.EndOfAssociation):
        client = await sctpio.connect((host, port), options=options(cell))
        await asyncio.sleep(0.05)
        await send(client, cell)


def fork(cell: Cell, job: Callable[[], Coroutine[Any, Any, None]]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        if cell.setting == "user":
            become_plain()
        asyncio.run(job())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def measure(cell: Cell, seconds: float) -> dict[str, Any]:
    """Run a cell in processes of its own."""
    shape(cell.place)
    limits(cell.setting)
    before = counted()
    result, result_in = os.pipe()
    port, port_in = os.pipe()
    if cell.processes == 1:

        async def whole() -> None:
            os.write(result_in, json.dumps(await flood_within(cell, seconds)).encode())

        children = [fork(cell, whole)]
    else:
        children = [fork(cell, partial(sink, cell, seconds, port_in, result_in))]
        number = int.from_bytes(os.read(port, 2), "big")
        children.append(fork(cell, partial(source, cell, number)))
    for descriptor in (result_in, port_in):
        os.close(descriptor)
    raw = b""
    while data := os.read(result, 65536):
        raw += data
        if raw.endswith(b"}"):
            break
    for child in children:
        if cell.processes == 2 and child is children[1]:
            with suppress(ProcessLookupError):
                os.kill(child, 9)
        os.waitpid(child, 0)
    os.close(result)
    os.close(port)
    if not raw:
        return asdict(cell) | {"failed": True}
    found = json.loads(raw)
    grown = {name: found["grown"][name] - before[name] for name in COUNTERS}
    return asdict(cell) | {
        "rate": round(found["bytes"] / found["seconds"] / 1e6, 3),
        "silence": found["silence"],
        "t3": grown["SctpT3Retransmits"],
        "discards": grown["SctpInDataChunkDiscards"],
        "fast": grown["SctpFastRetransmits"],
    }


# Which cells there are


def cells(**wanted: Iterable[Any]) -> list[Cell]:
    """Return the cells of all combinations; what is not named has one usual value."""
    usual: dict[str, Iterable[Any]] = {
        "place": PLACES,
        "size": SIZES,
        "processes": (1,),
        "mode": ("one",),
        "reader": ("at once",),
        "setting": SETTINGS,
    }
    return [Cell(*each) for each in product(*(usual | wanted).values())]


FEW = (64, 1024, 8192, 200_000)
COMPARED = ("default", "tuned")
PLANS = {
    "uml": [
        *cells(place=("lo", "veth")),
        *cells(place=("lo", "veth"), size=FEW, processes=(2,), mode=MODES, setting=COMPARED),
        *cells(place=("lo", "veth"), size=FEW, mode=("many",), setting=COMPARED),
        *cells(place=PLACES[2:], size=FEW, setting=COMPARED),
        *cells(place=("lo", "veth"), size=FEW, reader=READERS[1:], setting=("before", "default")),
    ],
    "6.12": [
        *cells(place=("lo", "veth"), size=(64,), setting=("before", "default")),
        # A tuned flood of small messages does not end there for minutes.
        *cells(place=("lo", "veth"), size=(8192, 65536), setting=("before", *COMPARED)),
    ],
}
# The clock of that guest counts instructions: its rates are the same whatever else the host does.
COUNTED = {"6.12": ["--icount"]}


def measure_all(kernel: str, seconds: float, only: str, output: Path | None) -> None:
    """Inside a guest: run the cells of a kernel whose names have all the words of `only`."""
    build()
    rows = []
    for cell in PLANS[kernel]:
        if not all(word in cell.name for word in only.split()):
            continue
        row = measure(cell, seconds + (PAUSE if cell.reader == "pause" else 0))
        rows.append(row)
        told = "  ".join(f"{name} {row.get(name)}" for name in ("t3", "discards", "fast", "silence"))
        print(f"{cell.name:56} {row.get('rate', -1):8.3f} MB/s  {told}", flush=True)
        if output is not None:
            output.write_text(json.dumps(rows))


# The page


def table(rows: list[dict[str, Any]], settings: tuple[str, ...]) -> list[str]:
    """Return a table with a row for each cell, its settings beside each other."""
    lines = ["| | message | " + " | ".join(f"{setting}: MB/s (T3, discards)" for setting in settings) + " |"]
    lines.append("| --- | ---: |" + " ---: |" * len(settings))
    found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in rows:
        words = [row["place"]]
        words += ["two processes"] if row["processes"] == 2 else []
        words += ["one-to-many"] if row["mode"] == "many" else []
        words += [f"reader: {row['reader']}"] if row["reader"] != "at once" else []
        found.setdefault((", ".join(words), row["size"]), {})[row["setting"]] = row
    for (where, size), by_setting in found.items():
        told = []
        for setting in settings:
            row = by_setting.get(setting, {})
            told.append(
                f"{row['rate']:.{2 if row['rate'] < 1 else 1}f} ({row['t3']}, {row['discards']})"
                if "rate" in row
                else ""
            )
        lines.append(f"| {where} | {size} | {' | '.join(told)} |")
    return lines


def report(page: Path) -> None:
    """Write the tables of the recorded results into a page."""
    recorded = json.loads(RESULTS.read_text())
    lines = [BEGIN, ""]
    for kernel, name in (
        ("uml", "Linux 6.1, User-Mode Linux"),
        ("6.12", "Linux 6.12, QEMU, one instruction a nanosecond"),
    ):
        rows = recorded.get(kernel)
        if not rows:
            continue
        settings = tuple(one for one in SETTINGS if any(row["setting"] == one for row in rows))
        lines += [f"## {name}", "", *table(rows, settings), ""]
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    page.write_text(before + "\n".join(lines) + END + rest.partition(END)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kernels", nargs="*", help="uml, 6.12; both if none is named")
    parser.add_argument("--only", default="", metavar="WORDS", help="cells whose names have all of them")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--report", type=Path, metavar="PAGE", help="write the recorded results into a page")
    parser.add_argument("--inside", metavar="KERNEL", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.report:
        report(given.report)
    elif given.inside:
        measure_all(given.inside, given.seconds, given.only, given.output)
    else:
        for kernel in given.kernels or PLANS:
            output = ROOT / "build" / f"stalls-{kernel}.json"
            output.parent.mkdir(exist_ok=True)
            command = [str(ROOT / "tests/guest/run"), "--kernel", kernel, *COUNTED.get(kernel, [])]
            command += [sys.executable, __file__]
            command += ["--inside", kernel, "--output", str(output), "--seconds", str(given.seconds)]
            run(*command, "--only", given.only)
            if not given.only:
                recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
                recorded[kernel] = json.loads(output.read_text())
                RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
