"""Run tiers of tests and sum up: `tiers.py TIER... [-- PYTEST-ARGUMENTS]`.

A tier fails when a test failed or was skipped, when it did not run, or when it collected nothing.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sanitize.build import SANITIZERS, BuildError, Sanitizer

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "tiers"
GUEST = str(ROOT / "tests" / "guest" / "run")

KERNEL_TESTS = ("tests/api", "tests/kernel", "tests/testing", "tests/examples")
USRSCTP_TESTS = ("tests/api", "tests/usrsctp", "tests/testing", "tests/examples")
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
    "tests/usrsctp/test_stack.py",
    "tests/usrsctp/test_hostile.py",
    "tests/usrsctp/test_readiness.py",
    "tests/usrsctp/test_stress.py",
    "tests/api/test_addresses.py",
    "tests/api/test_conn.py",
    "tests/api/test_ending.py",
)
NOTHING_COLLECTED = 5

# Leaves the kernel's release where this process finds it, and becomes pytest.
START = 'uname -r >"$1" && shift && exec "$@"'


@dataclass(frozen=True)
class Tier:
    """Which tests, on which kernel, with which build; `guest` None is this host as it is."""

    stack: str  # what SCTPIO_STACK is, unless "none"
    paths: tuple[str, ...]
    guest: str | None = None
    seconds: int = 1800
    patience: int = 1
    sanitizer: Sanitizer | None = None
    beside: bool = False  # run while the others do: most of its time it waits


@dataclass
class Result:
    """What a tier came to."""

    name: str
    stack: str
    kernel: str = "?"
    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether there is nothing to complain about."""
        return not (self.failed or self.skipped or self.problem)


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
        "pure": Tier("none", ("tests/pure",)),
        "usrsctp": Tier("usrsctp", USRSCTP_TESTS, beside=True),
        "kernel": Tier("kernel", KERNEL_TESTS, everyday, seconds=2400),
        "kernel-6.12": Tier("kernel", KERNEL_TESTS, "6.12", seconds=3600, patience=10),
        "sanitize": Tier("kernel", ("tests/sanitize", "tests/pure/test_kernel.py"), sanitizer=address),
        "sanitize-kernel": Tier("kernel", SANITIZED_TESTS, everyday, seconds=600, sanitizer=bounds),
        # Leaks are not looked for, as everywhere (see build.py): usrsctp keeps what it has until it ends.
        "sanitize-usrsctp": Tier("usrsctp", SANITIZED_USRSCTP_TESTS, seconds=900, sanitizer=address),
        "sanitize-6.12": Tier(
            "kernel", SANITIZED_TESTS[:2], "6.12", seconds=900, patience=10, sanitizer=address
        ),
    }


def run(name: str, tier: Tier, arguments: Sequence[str], output: IO[bytes] | None = None) -> Result:
    """Run a tier; its output goes to a file, or where ours goes, as it comes."""
    release, report = RESULTS / f"{name}.kernel", RESULTS / f"{name}.xml"
    release.unlink(missing_ok=True)
    report.unlink(missing_ok=True)
    command = ["sh", "-c", START, "sh", str(release)]
    if tier.sanitizer is not None:
        try:
            tier.sanitizer.build()
            # For the tests' process alone: nothing is to be preloaded into the guest.
            command += ["env", *tier.sanitizer.assignments()]
        except BuildError as error:
            print(error, flush=True)
            return Result(name, tier.stack, problem="csrc could not be built with sanitizers")
    command += [sys.executable, "-m", "pytest", f"--junitxml={report}"]
    if tier.sanitizer is not None:
        # The first leaves the sanitizers' reports in sight, the second ends a loop in C, too.
        command += ["--capture=sys", "-o", "timeout_method=thread"]
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    environment.pop("SCTPIO_STACK", None)
    if tier.stack != "none":
        environment["SCTPIO_STACK"] = tier.stack
    if tier.patience > 1 or tier.sanitizer is not None:
        # An emulated kernel is slow, and which loop runs is nothing to it, nor to the C.
        environment.setdefault("SCTPIO_TEST_LOOPS", "asyncio")
    if tier.patience > 1:
        command += ["-o", f"timeout={60 * tier.patience}"]
        environment["SCTPIO_TEST_PATIENCE"] = str(tier.patience)
    if tier.guest is not None:
        command = [GUEST, "--kernel", tier.guest, "--timeout", str(tier.seconds), *command]
    began = time.monotonic()
    status = subprocess.run(
        [*command, *tier.paths, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        check=False,
    ).returncode
    result = Result(name, tier.stack, seconds=time.monotonic() - began)
    if release.exists():
        result.kernel = release.read_text().strip()
    if report.exists():
        count(result, report)
    if status in (-signal.SIGABRT, 128 + signal.SIGABRT):
        result.problem = "it was aborted: the reason is above"
    elif not result.passed and not result.failed and not result.skipped:
        result.problem = (
            "no test was run" if status == NOTHING_COLLECTED else f"it did not run (status {status})"
        )
    elif status and not result.failed:
        result.problem = f"it ended with status {status}"
    return result


def count(result: Result, report: Path) -> None:
    """Read the counts from pytest's report."""
    try:
        cases = ET.parse(report).getroot().iter("testcase")
    except ET.ParseError:
        result.problem = "its report is cut short"
        return
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif (skip := case.find("skipped")) is not None:
            result.skipped.append(f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}")
        else:
            result.passed += 1


def summarise(results: Sequence[Result]) -> None:
    """Print the table, and what was wrong."""
    print(f"\n{'tier':<15} {'stack':<7} {'kernel':<26} passed failed skipped  seconds")
    for result in results:
        numbers = f"{result.passed:>6} {result.failed:>6} {len(result.skipped):>7} {result.seconds:>8.1f}"
        print(f"{result.name:<15} {result.stack:<7} {result.kernel:<26} {numbers}  {result.problem}".rstrip())
    for result in results:
        for line in result.skipped:
            print(f"skipped in {result.name}: {line}")
    bad = [result.name for result in results if not result.good]
    print(f"tests: FAILED in {', '.join(bad)}" if bad else "tests: all passed", flush=True)


def run_all(names: Sequence[str], known: Mapping[str, Tier], arguments: Sequence[str]) -> list[Result]:
    """Run tiers in turn, and beside them those that can be."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    beside = [name for name in names if known[name].beside and len(names) > 1]
    done: dict[str, Result] = {}
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as files:
        running = {}
        for name in beside:
            output = files.enter_context((RESULTS / f"{name}.log").open("w+b"))
            print(f"== tier {name} begins: its output comes when it and the others have ended", flush=True)
            running[name] = output, pool.submit(run, name, known[name], arguments, output)
        for name in names:
            if name not in running:
                announce(name, known[name])
                done[name] = run(name, known[name], arguments)
        for name, (output, future) in running.items():
            done[name] = future.result()
            announce(name, known[name])
            output.seek(0)
            sys.stdout.write(output.read().decode(errors="replace"))
            sys.stdout.flush()
    return [done[name] for name in names]


def announce(name: str, tier: Tier) -> None:
    """Say what runs, and where."""
    where = "this host" if tier.guest in (None, "host") else f"a guest ({tier.guest})"
    print(f"== tier {name}: {' '.join(tier.paths)} on {where}", flush=True)


def main() -> int:
    """Run what the command line names."""
    known = tiers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tier", nargs="+", choices=known)
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    names: list[str] = parser.parse_args(words[:split]).tier
    arguments = words[split + 1 :]
    results = run_all(names, known, arguments)
    if arguments and any(result.passed or result.failed for result in results):
        # A selection may leave a tier without tests.
        for result in results:
            if result.problem == "no test was run":
                result.problem, result.kernel = "", "nothing selected"
    summarise(results)
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
