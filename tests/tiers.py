"""Run tiers of tests and sum up: `tiers.py TIER... [-- PYTEST-ARGUMENTS]`; 'pure-*' names many.

A tier fails when a test failed or was skipped, when it did not run, or when it collected nothing; one that
several guests share fails with each of them. Those of a Python that is not here are told, and fail nothing.
"""

import argparse
import fnmatch
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

import pythons
from sanitize.build import SANITIZERS, BuildError, Sanitizer

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "tiers"
GUEST = str(ROOT / "tests" / "guest" / "run")

KERNEL_TESTS = ("tests/api", "tests/kernel", "tests/testing", "tests/examples", "tests/cli")
USRSCTP_TESTS = ("tests/api", "tests/usrsctp", "tests/testing", "tests/examples", "tests/cli")
# On a real kernel: each call of the C, and what brings it the most various messages.
SANITIZED_TESTS = (
    "tests/sanitize/test_alive.py",
    "tests/kernel/test_stack.py",
    "tests/api/test_addresses.py",
    "tests/api/test_conn.py",
    "tests/api/test_stream.py",
)
# The same of usrsctp, with its peers' worst.
SANITIZED_USRSCTP_TESTS = (
    "tests/sanitize/test_alive.py",
    "tests/sanitize/test_usrsctp_threads.py",
    "tests/sanitize/test_fuzz_corpora.py",
    "tests/usrsctp/test_stack.py",
    "tests/usrsctp/test_hostile.py",
    "tests/usrsctp/test_readiness.py",
    "tests/usrsctp/test_stress.py",
    "tests/api/test_addresses.py",
    "tests/api/test_conn.py",
    "tests/api/test_ending.py",
)
# Where tasks that begin at once (asyncio.eager_task_factory) matter most.
EAGER_TESTS = ("tests/api/test_conn.py", "tests/api/test_cancellation.py")
NOTHING_COLLECTED = 5
NO_TEST = "no test was run"

# Leaves the kernel's release where this process finds it, and becomes pytest.
START = 'uname -r >"$1" && shift && exec "$@"'


@dataclass(frozen=True)
class Tier:
    """Which tests, on which kernel, with which build; `guest` None is this host as it is."""

    stack: str  # what SCTPIO_STACK is, unless "none"
    paths: tuple[str, ...]
    guest: str | None = None
    guests: int = 1  # that share the tests, side by side
    seconds: int = 1800
    patience: int = 1
    sanitizer: Sanitizer | None = None
    everything: bool = False
    python: str = pythons.OWN  # its version
    loops: str = ""  # on these alone, and without endurance
    accelerated: bool = True  # with csrc/fast
    minutes: int = 0  # what it takes, after the others: it would disturb them. Left out where time is short


@dataclass
class Result:
    """What a tier came to, or one guest's part of it."""

    name: str
    stack: str
    kernel: str = "?"
    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)
    left: int = 0  # to --everything
    times: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether there is nothing to complain about."""
        return not (self.failed or self.skipped or self.problem)

    @property
    def bad(self) -> int:
        """How many failures it counts as: at least one where it is not good."""
        return self.failed + len(self.skipped) or bool(self.problem)


def everyday_kernel() -> str:
    """Choose the kernel of the kernel tier: this host's own where that can be."""
    own = os.geteuid() == 0 and subprocess.run([GUEST, "--has-sctp"], check=False).returncode == 0
    return "host" if own else "uml"


def tiers() -> dict[str, Tier]:
    """List the tiers."""
    everyday = everyday_kernel()
    address = SANITIZERS["address"]
    # AddressSanitizer cannot run in User-Mode Linux.
    bounds = SANITIZERS["undefined"] if everyday == "uml" else address
    return {
        "pure": Tier("none", ("tests/pure",), seconds=3000),
        "usrsctp": Tier("usrsctp", USRSCTP_TESTS, seconds=3000),
        "kernel": Tier("kernel", KERNEL_TESTS, everyday, guests=2, seconds=3000),
        "kernel-6.12": Tier("kernel", KERNEL_TESTS, "6.12", seconds=3600, patience=10, minutes=45),
        "unaccelerated": Tier(
            "usrsctp", ("tests/pure/loop", "tests/api"), loops="asyncio", accelerated=False
        ),
        "sanitize": Tier(
            "kernel",
            (
                "tests/sanitize",
                "tests/pure/stacks/kernel",
                "tests/pure/loop/test_records.py",
                "tests/pure/loop/test_plain.py",
                "tests/pure/loop/test_plain_reading.py",
            ),
            sanitizer=address,
        ),
        "sanitize-kernel": Tier("kernel", SANITIZED_TESTS, everyday, seconds=600, sanitizer=bounds),
        # Leaks are not looked for, as everywhere (see build.py): usrsctp keeps what it has until it ends.
        "sanitize-usrsctp": Tier("usrsctp", SANITIZED_USRSCTP_TESTS, seconds=900, sanitizer=address),
        "sanitize-6.12": Tier(
            "kernel", SANITIZED_TESTS[:2], "6.12", seconds=900, patience=10, sanitizer=address, minutes=15
        ),
        # With programs that others wrote; tests/peers/page.py reads the reports.
        "peers": Tier("kernel", ("tests/peers",), everyday, loops="asyncio"),
        "peers-usrsctp": Tier("usrsctp", ("tests/peers/test_usrsctp.py",), loops="asyncio"),
        **python_tiers(),
    }


def python_tiers() -> dict[str, Tier]:
    """List the tiers of the Pythons that pyproject.toml claims, besides those above of this one."""
    found = {}
    for version in dict.fromkeys([*pythons.claimed(), pythons.OWN]):
        if version != pythons.OWN:
            # On both loops, and without what takes minutes and is the same on each Python.
            found[f"pure-{version}"] = Tier("none", ("tests/pure",), python=version, loops="asyncio,uvloop")
            found[f"usrsctp-{version}"] = Tier("usrsctp", USRSCTP_TESTS, python=version)
            found[f"api-{version}"] = Tier("usrsctp", ("tests/api",), python=version, loops="asyncio")
        if version != "3.11":
            found[f"eager-{version}"] = Tier("usrsctp", EAGER_TESTS, python=version, loops="eager")
    return found


class Part:
    """What one process of pytest does of a tier."""

    def __init__(self, name: str, tier: Tier, number: int) -> None:
        self.name, self.tier, self.number = name, tier, number
        self.release, self.report, self.output = (
            RESULTS / f"{name}.{number}.{kind}" for kind in ("kernel", "xml", "log")
        )
        self.release.unlink(missing_ok=True)
        self.report.unlink(missing_ok=True)
        self.output.write_bytes(b"")

    def run(self, arguments: Sequence[str]) -> Result:
        """Run it."""
        began = time.monotonic()
        with self.output.open("wb") as output:
            status = subprocess.run(
                [*self._command(), *self.tier.paths, *arguments],
                cwd=ROOT,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        result = Result(self.name, self.tier.stack, seconds=time.monotonic() - began)
        if self.release.exists():
            result.kernel = self.release.read_text().strip()
        if self.report.exists():
            count(result, self.report)
        if status in (-signal.SIGABRT, 128 + signal.SIGABRT):
            result.problem = "it was aborted: the reason is above"
        elif status == NOTHING_COLLECTED:
            # A selection may leave a part, or all of a tier, without tests.
            result.problem = "" if arguments else NO_TEST
        elif not result.passed and not result.failed and not result.skipped:
            result.problem = f"it did not run (status {status})"
        elif status and not result.failed:
            result.problem = f"it ended with status {status}"
        return result

    def _command(self) -> list[str]:
        tier = self.tier
        command = ["sh", "-c", START, "sh", str(self.release)]
        if tier.sanitizer is not None:
            # For the tests' process alone: nothing is to be preloaded into the guest.
            command += ["env", *tier.sanitizer.assignments()]
        command += [str(pythons.executable(tier.python)), "-m", "pytest", f"--junitxml={self.report}"]
        command += [f"--part={self.number}/{tier.guests}"]
        if tier.sanitizer is not None:
            # The first leaves the sanitizers' reports in sight, the second ends a loop in C, too.
            command += ["--capture=sys", "-o", "timeout_method=thread"]
        if tier.everything and tier.patience == 1 and not tier.loops:
            # Endurance would take an emulated kernel too long.
            command.append("--everything")
        if tier.patience > 1:
            command += ["-o", f"timeout={60 * tier.patience}"]
        if tier.guest is not None:
            command = [GUEST, "--kernel", tier.guest, "--timeout", str(tier.seconds), *command]
        return command

    def _environment(self) -> dict[str, str]:
        tier = self.tier
        environment = dict(os.environ, PYTHONUNBUFFERED="1")
        environment.pop("SCTPIO_STACK", None)
        if tier.stack != "none":
            environment["SCTPIO_STACK"] = tier.stack
        if tier.patience > 1 or tier.sanitizer is not None:
            # An emulated kernel is slow, and which loop runs is nothing to it, nor to the C.
            environment.setdefault("SCTPIO_TEST_LOOPS", "asyncio")
        if tier.loops:
            environment["SCTPIO_TEST_LOOPS"] = tier.loops
        environment["SCTPIO_FAST"] = "1" if tier.accelerated else "0"
        if tier.patience > 1:
            environment["SCTPIO_TEST_PATIENCE"] = str(tier.patience)
        return environment

    def show(self, future: Future[Result]) -> Result:
        """Print its output as it comes, from the beginning."""
        where = "this host" if self.tier.guest in (None, "host") else f"a guest ({self.tier.guest})"
        part = f", part {self.number} of {self.tier.guests}" if self.tier.guests > 1 else ""
        print(f"== tier {self.name}: {' '.join(self.tier.paths)} on {where}{part}", flush=True)
        with self.output.open("rb") as written:
            over = False
            while not over:
                over = bool(wait([future], timeout=0.5).done)
                sys.stdout.buffer.write(written.read())
                sys.stdout.flush()
        return future.result()


def count(result: Result, report: Path) -> None:
    """Read the counts from pytest's report."""
    try:
        root = ET.parse(report).getroot()
    except ET.ParseError:
        result.problem = "its report is cut short"
        return
    for told in root.iter("property"):
        if told.get("name") == "left":
            result.left = int(told.get("value", "0"))
    for case in root.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        result.times.append((float(case.get("time", "0")), name))
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif (skip := case.find("skipped")) is not None:
            result.skipped.append(f"{name}: {skip.get('message')}")
        else:
            result.passed += 1


def together(parts: Sequence[Result]) -> Result:
    """Sum up the parts of a tier."""
    problems = [
        f"part {number}: {part.problem}" if len(parts) > 1 else part.problem
        for number, part in enumerate(parts, 1)
        if part.problem
    ]
    return Result(
        parts[0].name,
        parts[0].stack,
        parts[0].kernel,
        sum(part.passed for part in parts),
        sum(part.failed for part in parts),
        [line for part in parts for line in part.skipped],
        sum(part.left for part in parts),
        [each for part in parts for each in part.times],
        max(part.seconds for part in parts),
        "; ".join(problems),
    )


def summarise(
    results: Sequence[Result], left_out: Sequence[str], absent: Sequence[str], seconds: float
) -> None:
    """Print the table, what took longest, and what was wrong."""
    print(f"\n{'tier':<16} {'stack':<7} {'kernel':<26} passed failed skipped  seconds")
    for result in results:
        numbers = f"{result.passed:>6} {result.failed:>6} {len(result.skipped):>7} {result.seconds:>8.1f}"
        print(f"{result.name:<16} {result.stack:<7} {result.kernel:<26} {numbers}  {result.problem}".rstrip())
    print("the ten slowest:")
    slowest = ((taken, result.name, test) for result in results for taken, test in result.times)
    for taken, name, test in sorted(slowest, reverse=True)[:10]:
        print(f"{taken:>8.1f} s  {name}: {test}")
    for result in results:
        for line in result.skipped:
            print(f"skipped in {result.name}: {line}")
    if left := sum(result.left for result in results):
        print(f"left to make test-all: {left} tests, uvloop where the loop has no part and endurance")
    if left_out:
        print(f"LEFT OUT, AS TIME IS SHORT: {', '.join(left_out)}")
    for version in absent:
        print(f"NOT TESTED: Python {version} is not here")
    bad = [result.name for result in results if not result.good]
    verdict = f"FAILED in {', '.join(bad)}" if bad else "all passed"
    print(f"in {seconds / 60:.1f} minutes")
    print(f"tests: {verdict}")
    # The last line is for whoever counts.
    passed, failed = sum(result.passed for result in results), sum(result.bad for result in results)
    print(f"{passed} passed, {failed} failed", flush=True)


def build(wanted: Mapping[str, Tier]) -> dict[str, str]:
    """Install, build with sanitizers and make virtual environments; gives what prevents some of the tiers."""
    for guest in {tier.guest for tier in wanted.values() if tier.guest is not None}:
        # What is missing is named, and then missed by the tests that need it.
        subprocess.run([GUEST, "--kernel", guest, "--install"], check=False)
    problems: dict[object, str] = {}
    for sanitizer in {tier.sanitizer for tier in wanted.values() if tier.sanitizer is not None}:
        try:
            sanitizer.build()
        except BuildError as error:
            print(error, flush=True)
            problems[sanitizer] = "csrc could not be built with sanitizers"
    for version in {tier.python for tier in wanted.values()}:
        try:
            pythons.prepare(version)
        except pythons.VenvError as error:
            print(error, flush=True)
            problems[version] = "its virtual environment could not be made"
    return {
        name: problems[need]
        for name, tier in wanted.items()
        for need in (tier.sanitizer, tier.python)
        if need in problems
    }


def run_together(chosen: Mapping[str, Tier], arguments: Sequence[str]) -> dict[str, Result]:
    """Run tiers side by side, one more at a time than there are processors: most of the time they wait."""
    done: dict[str, list[Result]] = {name: [] for name in chosen}
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        parts = [
            Part(name, tier, number) for name, tier in chosen.items() for number in range(1, tier.guests + 1)
        ]
        # What takes longest begins first, which is what guests do.
        first = sorted(parts, key=lambda part: part.tier.guest is None)
        running = {part: pool.submit(part.run, arguments) for part in first}
        for part in parts:
            done[part.name].append(part.show(running[part]))
    return {name: together(results) for name, results in done.items()}


def run_all(
    chosen: Mapping[str, Tier], minutes: float, arguments: Sequence[str]
) -> tuple[list[Result], list[str]]:
    """Run tiers; gives the names of those for which there was no time, too."""
    began = time.monotonic()
    RESULTS.mkdir(parents=True, exist_ok=True)
    done = {
        name: Result(name, chosen[name].stack, problem=problem) for name, problem in build(chosen).items()
    }
    done |= run_together(
        {name: tier for name, tier in chosen.items() if name not in done and not tier.minutes}, arguments
    )
    remaining = minutes - (time.monotonic() - began) / 60
    late = {name: tier for name, tier in chosen.items() if name not in done and tier.minutes <= remaining}
    done |= run_together(late, arguments)
    return [done[name] for name in chosen if name in done], [name for name in chosen if name not in done]


def main() -> int:
    """Run what the command line names."""
    known = tiers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tier", nargs="+", help=f"of {', '.join(known)}")
    parser.add_argument("--everything", action="store_true", help="run all tests of the tiers, on both loops")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="leave out, loudly, what takes longer than that"
    )
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:split])
    names = []
    for pattern in options.tier:
        if not (matching := fnmatch.filter(known, pattern)):
            parser.error(f"no tier is called {pattern}; there are {', '.join(known)}")
        names += matching
    wanted = {known[name].python for name in names}
    absent = [version for version in pythons.claimed() if version in wanted and pythons.find(version) is None]
    chosen = {
        name: replace(known[name], everything=options.everything)
        for name in names
        if known[name].python not in absent
    }
    began = time.monotonic()
    results, left_out = run_all(chosen, options.minutes, words[split + 1 :])
    if not any(result.times for result in results):
        # A selection that selects nothing is a mistake.
        for result in results:
            result.problem = result.problem or NO_TEST
    summarise(results, left_out, absent, time.monotonic() - began)
    return 0 if results and all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
