"""Inside a place: run the cases, and keep what the contenders and the system's counters tell.

    lab.py PLACE OUTPUT [--quick] [--only PART-OF-A-CASE'S-NAME]

A contender's two processes stay for all of its runs, so that start-up is not measured and code is warm, and
take turns with the other contenders' round by round. A run that fails is kept as failed, with what it said,
and the rest goes on. OUTPUT is written after each case.
"""

import argparse
import contextlib
import json
import os
import platform
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

from cases import (
    IMPORT,
    IMPORTS,
    PLACES,
    PYTHON,
    QUICK_ROUNDS,
    ROUNDS,
    C,
    Case,
    Contender,
    Place,
    cases,
    contenders,
)

ROOT = Path(__file__).resolve().parents[1]
BUFFERS = 8 << 20
FIRST_PORT, FIRST_UDP_PORT = 6000, 20000
WARM_UP = "work=flood count=200"
# A first run may take so many times the limit: a guest reads its files slowly, and the counted one's clock
# goes on meanwhile.
STARTING = 10
KERNEL_COUNTERS = (
    "SctpT3RtxExpireds",
    "SctpT3Retransmits",
    "SctpFastRetransmits",
    "SctpInPktDiscards",
    "SctpInDataChunkDiscards",
)


class RunError(Exception):
    """A run that came to nothing, and why."""


class Program:
    """A contender's process for one role."""

    def __init__(self, contender: Contender) -> None:
        command = [sys.executable if word == PYTHON else word for word in contender.command]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0
        )
        self.unread = b""

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise RunError("it has ended") from None

    def line(self, deadline: float) -> str:
        """Give its next line."""
        assert self.process.stdout is not None
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise RunError("it took too long")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise RunError("it has ended")
            self.unread += data
        line, _, self.unread = self.unread.partition(b"\n")
        return line.decode()

    def expect(self, wanted: str, deadline: float) -> None:
        if (got := self.line(deadline)) != wanted:
            raise RunError(f"it said {got!r}, not {wanted!r}")

    def complaints(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")[-1500:].strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            assert file is not None
            file.close()


class Pair:
    """A contender's server, and its client or another one's."""

    def __init__(self, server: Contender, client: Contender, udp_port: int) -> None:
        self.words = server.words, client.words
        self.udp_ports = (
            f"udp_port={udp_port} peer_udp_port={udp_port + 1}",
            f"udp_port={udp_port + 1} peer_udp_port={udp_port}",
        )
        self.server, self.client = Program(server), Program(client)

    def run(self, words: str, seconds: float) -> dict[str, Any]:
        """Do one run; gives each end's results, and the counters that grew."""
        deadline = time.monotonic() + seconds
        before = counters()
        try:
            self.server.tell(f"role=server {words} {self.words[0]} {self.udp_ports[0]}")
            self.server.expect("ready", deadline)
            self.client.tell(f"role=client {words} {self.words[1]} {self.udp_ports[1]}")
            ends = {"client": self.client.line(deadline), "server": self.server.line(deadline)}
            # What the two then abort may find nobody: that is no discard of the run's.
            after = counters()
            for program in (self.client, self.server):
                program.tell("")
            for program in (self.client, self.server):
                program.expect("over", deadline)
            return {end: json.loads(line) for end, line in ends.items()} | {"grown": grown(before, after)}
        except (RunError, ValueError) as error:
            said = [f"{end} said: {text}" for end, text in self.complaints().items() if text]
            raise RunError("\n".join([str(error), *said])) from None

    def complaints(self) -> dict[str, str]:
        return {"the server": self.server.complaints(), "the client": self.client.complaints()}

    def kill(self) -> None:
        self.server.kill()
        self.client.kill()


class Lab:
    """A place at work."""

    def __init__(self, place: Place, rounds: int) -> None:
        self.place, self.rounds = place, rounds
        self.contenders = contenders(place)
        self.pairs: dict[tuple[str, str], Pair] = {}
        self.ports, self.udp_ports = count(FIRST_PORT), count(FIRST_UDP_PORT, 2)

    def measure(self, case: Case, names: Sequence[str]) -> dict[str, Any]:
        """Do a case's rounds."""
        words = f"{self.place.words} {case.words} count={case.count}"
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        spins = []
        for _ in range(min(self.rounds, case.rounds)):
            spins.append(spin())
            for name in names:
                if case.name == IMPORT:
                    runs[name].append(start_python(IMPORTS[name]))
                elif not any("failed" in run and run.get("hung") for run in runs[name]):
                    runs[name].append(self.run(name, words, case))
        other_end = C if case.beside_c else ""
        return {"case": case.name, "words": words, "spins": spins, "runs": runs, "other_end": other_end}

    def run(self, name: str, words: str, case: Case) -> dict[str, Any]:
        """Do a round of a contender: one run, or one for each direction with C and one for the rate."""
        if name == C or not case.beside_c or not self.contenders[name].meets_c:
            return self.run_ends(name, name, words, case.fresh)
        received = self.run_ends(name, C, words, case.fresh)
        if case.receiving or "failed" in received:
            return received
        sent = self.run_ends(C, name, words, case.fresh)
        both = self.run_ends(name, name, words, case.fresh)
        for run in (sent, both):
            if "failed" in run:
                return run
        grown = {
            counter: sum(run["grown"].get(counter, 0) for run in (received, sent, both))
            for counter in received["grown"] | sent["grown"] | both["grown"]
        }
        client = both["client"] | {"cpu": sent["client"]["cpu"]}
        return {"client": client, "server": received["server"], "grown": grown}

    def run_ends(self, server: str, client: str, words: str, fresh: bool) -> dict[str, Any]:
        began, names = time.monotonic(), (server, client)
        pair = None if fresh else self.pairs.get(names)
        try:
            if pair is None:
                contenders = self.contenders[server], self.contenders[client]
                pair = Pair(*contenders, next(self.udp_ports))
                if not fresh:
                    self.pairs[names] = pair
                    pair.run(f"{WARM_UP} port={next(self.ports)}", STARTING * self.place.seconds)
            return pair.run(f"{words} port={next(self.ports)}", self.place.seconds)
        except (RunError, OSError) as error:
            fresh = True
            self.pairs.pop(names, None)
            # One that hangs is not waited for again in this case.
            return {"failed": str(error), "hung": time.monotonic() - began >= self.place.seconds}
        finally:
            if fresh and pair is not None:
                pair.kill()

    def close(self) -> None:
        for pair in self.pairs.values():
            pair.kill()


def counters() -> dict[str, int]:
    """Read what should not grow."""
    found: dict[str, int] = {}
    file = Path("/proc/net/sctp/snmp")
    if file.exists():
        values = dict(line.split() for line in file.read_text().splitlines())
        found |= {name: int(values[name]) for name in KERNEL_COUNTERS if name in values}
    lines = Path("/proc/net/snmp").read_text().splitlines()
    for names, numbers in zip(lines[::2], lines[1::2], strict=True):
        both = dict(zip(names.split(), numbers.split(), strict=True))
        for protocol, name in (("Tcp:", "RetransSegs"), ("Udp:", "RcvbufErrors")):
            if protocol in both and name in both:
                found[protocol[:-1] + name] = int(both[name])
    return found


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def spin() -> float:
    """Time a piece of work that is always the same, in seconds: how much others disturb."""
    began = time.perf_counter()
    sum(number * number for number in range(100_000))
    return time.perf_counter() - began


def start_python(code: str) -> dict[str, Any]:
    """Start an interpreter; gives the CPU time that it took until its end."""
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        return {"failed": f"status {status}"}
    return {"cpu": usage.ru_utime + usage.ru_stime}


def prepare_guest() -> None:
    """Give lo a network's packets, and room to the sockets."""
    commands: Sequence[Sequence[str]] = (
        ("ip", "link", "set", "lo", "mtu", "1500"),
        ("sysctl", "-q", "-w", f"net.core.rmem_max={BUFFERS}", f"net.core.wmem_max={BUFFERS}"),
    )
    for command in commands:
        subprocess.run(command, check=True)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("sctpio", "uvloop", "pysctp"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def tell(case: Case, found: Mapping[str, Any], seconds: float) -> None:
    """Say on the terminal that a case is done, and who failed."""
    failed = {
        name: [run["failed"] for run in runs if "failed" in run] for name, runs in found["runs"].items()
    }
    print(f"  {case.name}: {seconds:.0f} s", flush=True)
    for name, reasons in failed.items():
        if reasons:
            print(f"    {name} FAILED {len(reasons)} times, at first: {reasons[0][-800:]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", choices=PLACES)
    parser.add_argument("output", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    place = PLACES[options.place]
    if place.guest:
        prepare_guest()
    else:
        os.environ["SCTPIO_STACK"] = "usrsctp"
    lab = Lab(place, QUICK_ROUNDS if options.quick else ROUNDS)
    record: dict[str, Any] = {
        "place": place.name,
        "title": place.title,
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "versions": versions(),
        "quick": options.quick,
        "rounds": lab.rounds,
        "cases": [],
    }
    try:
        for case in cases(place):
            names = case.quick if options.quick else case.contenders
            if options.only not in case.name or not names:
                continue
            since = time.monotonic()
            found = lab.measure(case, names)
            record["cases"].append(found)
            options.output.write_text(json.dumps(record, indent=1) + "\n")
            tell(case, found, time.monotonic() - since)
    finally:
        lab.close()


if __name__ == "__main__":
    main()
