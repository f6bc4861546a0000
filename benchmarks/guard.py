"""A guard that no machine's speed can fool: instructions of the hot path, counted by callgrind.

`guard.py` counts what guard_work.py does and compares it with what guard.json has for this version of Python
and this architecture; `guard.py --record` writes it there. Both more and less than was recorded, by more than
TOLERANCE, is a failure: what became faster is to be recorded, or it could be lost again unseen.

What passes through the accelerator (csrc/fast) is counted once more without it, as "NAME (pure)".

Two builds of one version can differ by a fifth: a record counts only where Python itself takes what it took
there. guard.json has a record for each build.
"""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "guard"
RECORDED = HERE / "guard.json"
TOLERANCE = 0.05

# Where things lie in memory can cost a hundredth more, as names share places in Python's cache of attributes:
# the work is done in several layouts, and the least counts.
LAYOUTS = 4

# The work that has nothing of sctpio, and how far it may be off in the same build of Python.
REFERENCE, SAME = "Python itself", 0.01

# The calls between which the work is counted (`guard_work.counted`).
MARKS = ("--zero-before=getpgrp", "--dump-before=getsid")
SUMMARY = re.compile(r"^summary: (\d+)$", re.MULTILINE)

Figures = dict[str, int]


def fail(text: str) -> None:
    sys.exit(f"bench-guard: {text}")


def build_socketpair() -> Path:
    library = BUILD / "socketpair.so"
    command = [os.environ.get("CC") or "gcc", "-O2", "-shared", "-fPIC", "-o", str(library)]
    if subprocess.run([*command, str(HERE / "guard_socketpair.c")], check=False).returncode:
        fail("guard_socketpair.c cannot be compiled")
    return library


def fixed_addresses() -> list[str]:
    """Give the prefix of a command that has no random addresses, where this host allows one."""
    prefix = ["setarch", "-R"]
    usable = shutil.which("setarch") and not subprocess.run([*prefix, "true"], check=False).returncode
    return prefix if usable else []


def environment(accelerated: bool) -> dict[str, str]:
    """Give all that the work sees of its surroundings."""
    return {
        "SCTPIO_FAST": "1" if accelerated else "0",
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONPYCACHEPREFIX": str(BUILD / "cache"),
        "LD_PRELOAD": str(build_socketpair()),
    }


def run(command: list[str], surroundings: dict[str, str]) -> str:
    """Give what the work prints."""
    done = subprocess.run(
        command, env=surroundings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        fail(f"this failed: {' '.join(command)}")
    return done.stdout


def count() -> Figures:
    """Give the instructions of one operation of each kind: the least of all layouts."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    prefix = fixed_addresses()
    ways = {accelerated: environment(accelerated) for accelerated in (True, False)}
    work = [sys.executable, str(HERE / "guard_work.py")]
    # This one compiles the modules.
    run([*work, "0"], ways[True])

    def one_layout(number: int, accelerated: bool) -> Figures:
        surroundings = ways[accelerated]
        counts = BUILD / f"counts-{number}-{accelerated}"
        callgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={counts}", *MARKS]
        lines = run([*prefix, *callgrind, *work, str(number)], surroundings).splitlines()
        found: dict[str, list[float]] = {}
        for dump, line in enumerate(lines, 1):
            name, _, operations = line.rpartition(" ")
            summary = SUMMARY.search(Path(f"{counts}.{dump}").read_text())
            assert summary is not None
            found.setdefault(name, []).append(int(summary[1]) / int(operations))
        return {name: round(statistics.median(each)) for name, each in found.items()}

    found: Figures = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for accelerated in ways:
            layouts = list(pool.map(one_layout, range(LAYOUTS), [accelerated] * LAYOUTS))
            found |= {name: min(figures[name] for figures in layouts) for name in layouts[0]}
    return found


def compare(found: Figures, recorded: Figures) -> bool:
    """Print a line for each figure: whether all are as recorded."""
    good = found.keys() == recorded.keys()
    for name in [*found, *(recorded.keys() - found.keys())]:
        ours, theirs = found.get(name), recorded.get(name)
        if ours is None or theirs is None:
            verdict = "NOT RECORDED" if theirs is None else "NOT COUNTED any more"
        else:
            change = ours / theirs - 1
            verdict = f"recorded {theirs:>11,}  {change:+7.2%}"
            if abs(change) > TOLERANCE:
                good = False
                verdict += "  SLOWER" if change > 0 else "  FASTER: record it"
        print(f"bench-guard: {name:<20}{ours or 0:>11,} instructions  {verdict}")
    return good


def main() -> None:
    record = sys.argv[1:] == ["--record"]
    if shutil.which("valgrind") is None:
        install = [str(ROOT / ".ci" / "install"), "bench-guard", "valgrind"]
        if subprocess.run(install, check=False).returncode:
            sys.exit(1)
    version = f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"
    key = f"{version} {platform.machine()}"
    recorded: dict[str, list[Figures]] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    found = count()

    def same_build(figures: Figures) -> bool:
        return abs(found[REFERENCE] / figures[REFERENCE] - 1) <= SAME

    if record:
        others = [figures for figures in recorded.get(key, []) if not same_build(figures)]
        recorded[key] = [*others, found]
        RECORDED.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
        print(f"bench-guard: recorded for {key} in {RECORDED.relative_to(ROOT)}")
    ours = next(filter(same_build, recorded.get(key, [])), None)
    good = compare(found, ours or {})
    if ours is None:
        known = f"another build of {key}" if key in recorded else ", ".join(sorted(recorded)) or "nothing"
        print(f"bench-guard: NOT GUARDED: nothing is recorded for this {key}, only for {known};")
        print("bench-guard: NOT GUARDED: `make bench-guard RECORD=1` records what was counted here")
    elif not good:
        fail(
            f"beyond {TOLERANCE:.0%} of what was recorded; if that is wanted, `make bench-guard RECORD=1`"
            " and commit benchmarks/guard.json"
        )


if __name__ == "__main__":
    main()
