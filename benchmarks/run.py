"""`make bench`: build the contenders, run every place's cases, then make the report.

    run.py [--quick] [--only PART-OF-A-CASE'S-NAME] [PLACE...]

A full run of a place is recorded as benchmarks/results/PLACE.json, and docs/performance*.md are made from all
of those. A quick one, or a part, goes to build/bench/ and to the terminal. Places run one after the other; a
place that fails is told at the end, and the others go on.
"""

import argparse
import datetime
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import report
from cases import BUILT, PLACES, Place

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / BUILT
RESULTS = ROOT / "benchmarks" / "results"
CONTENDERS = ROOT / "benchmarks" / "contenders"
# What builds those of other languages, in their folders; where the result goes comes last.
RIVALS = {
    "ishidawataru": ["go", "build", "-o"],
    "oxirush": ["cargo", "build", "-q", "--release", "--locked", "--target-dir"],
    "nio": ["javac", "WithNio.java", "-d"],
}
GUEST = ROOT / "tests" / "guest" / "run"
SECONDS = {False: 3600, True: 600}
MEMORY = "2048"


def build() -> None:
    """Compile what is in C, and install the bindings that have the same module name apart from each other."""
    BUILD.mkdir(parents=True, exist_ok=True)
    missing = [] if Path("/usr/include/netinet/sctp.h").exists() else ["libsctp-dev"]
    if not Path("/usr/include/usrsctp.h").exists():
        missing.append("libusrsctp-dev")
    if shutil.which("java") and not list(Path("/usr/lib").glob("*/libsctp.so.1")):
        # Java loads it by its name.
        missing.append("libsctp1")
    if missing:
        install = [str(ROOT / ".ci" / "install"), "bench", *missing]
        if subprocess.run(install, check=False).returncode:
            sys.exit(1)
    compiler = [*shlex.split(os.environ.get("CC", "gcc")), "-O2", "-Wall"]
    for name, libraries in (("plain", []), ("plain_usrsctp", ["-l:libusrsctp.a", "-lpthread"])):
        program, source = BUILD / name, CONTENDERS / f"{name}.c"
        newest = max(file.stat().st_mtime for file in (source, CONTENDERS / "run.h"))
        if not program.exists() or program.stat().st_mtime < newest:
            check([*compiler, "-o", str(program), str(source), *libraries])
    for name, command in RIVALS.items():
        if shutil.which(command[0]) is None:
            print(f"bench: no {command[0]} here: the contender {name} fails", flush=True)
        elif not (BUILD / name).exists():
            print(f"bench: building {name}", flush=True)
            check([*command, str(BUILD / name)], must=False, cwd=CONTENDERS / name)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for name in ("pysctp", "py3-sctp"):
        folder = BUILD / name
        if not (folder / "sctp.py").exists():
            print(f"bench: installing {name}", flush=True)
            # A contender that cannot be had is one that fails, not the end of the benchmarks.
            check([*pip, "--no-deps", "--target", str(folder), name], must=False)


def check(command: list[str], must: bool = True, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        what = f"bench: this failed: {shlex.join(command)}\n{done.stderr[-2000:]}"
        if must:
            raise SystemExit(what)
        print(what, flush=True)


def host() -> dict[str, Any]:
    """Describe the machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": models[0] if models else "?",
        "cpus": os.cpu_count(),
        "kernel": os.uname().release,
        "commit": commit.stdout.strip(),
        "load": round(os.getloadavg()[0], 2),
    }


def run(place: Place, output: Path, arguments: Sequence[str], quick: bool) -> bool:
    """Run a place's cases; whether all of it was done."""
    output.unlink(missing_ok=True)
    began, about = time.monotonic(), host()
    command = [sys.executable, str(ROOT / "benchmarks" / "lab.py"), place.name, str(output), *arguments]
    if place.guest:
        guest = [str(GUEST), "--kernel", place.guest, "--memory", MEMORY, "--timeout", str(SECONDS[quick])]
        command = [*guest, *(["--icount"] if place.counted else []), *command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCTPIO_")}
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if output.exists():
        record = json.loads(output.read_text())
        # A guest's clock may be its own.
        record |= {"host": about, "date": about.pop("date"), "seconds": round(time.monotonic() - began)}
        output.write_text(json.dumps(record, indent=1) + "\n")
    if status:
        print(f"bench: it ended with status {status}", flush=True)
    return status == 0 and output.exists()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", nargs="*", choices=[*PLACES, []], help="default: all of them")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    began = time.monotonic()
    build()
    partial = options.quick or bool(options.only)
    folder = BUILD / ("quick" if options.quick else "part") if partial else RESULTS
    if partial:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    arguments = (["--quick"] if options.quick else []) + (["--only", options.only] if options.only else [])
    if options.quick:
        print(
            "bench: a quick run, not recorded: fewer places, cases, contenders, rounds; `make bench` does all"
        )
    names = options.place or [name for name, place in PLACES.items() if place.quick or not options.quick]
    failed = []
    for name in names:
        place, since = PLACES[name], time.monotonic()
        print(f"== {place.title}", flush=True)
        if not run(place, folder / f"{name}.json", arguments, options.quick):
            failed.append(name)
        print(f"== {place.title}: {time.monotonic() - since:.0f} s", flush=True)
    records = report.read(folder)
    if partial:
        print(report.tables(records))
    else:
        report.write(records)
        print("bench: docs/performance*.md are made from benchmarks/results/")
    failures = f"; FAILED: {', '.join(failed)}" if failed else ""
    print(f"bench: {time.monotonic() - began:.0f} s in all{failures}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
