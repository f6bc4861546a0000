"""Fuzz what reads bytes of others, guided by coverage: decoders in Python, the relay, the C (`make fuzz`).

    run.py [--seconds 60] [--only NAME...] [--keep] [--record docs/hostile.md]

The targets are those of `targets.py`, by atheris, and the C files of this folder, by clang's libFuzzer with
the sanitizers of addresses and of undefined behaviour; `records` has the accelerator built with these, too.
Each begins with its corpus, a file of inputs in hexadecimal. `--keep` adds what was found, the smallest
first, up to some size. A finding ends with status 1; its input is told, and becomes an ordinary test.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from fuzz.targets import TARGETS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fuzz"
BEGIN, END = "<!-- begin fuzz -->", "<!-- end fuzz -->"

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CFLAGS = ("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", *SANITIZERS)
INCLUDES = ("-Icsrc", "-Icsrc/kernel", "-Icsrc/usrsctp")
KERNEL = ("csrc/common.c", "csrc/kernel/kernel.c")

# Of each: what is linked in besides the file of its name, and which calls of it are the input's.
C_TARGETS: dict[str, tuple[str, ...]] = {
    "control": KERNEL,
    "receive": (*KERNEL, "-Wl,--wrap=recvmsg"),
    "address-list": (*KERNEL, "-Wl,--wrap=getsockopt,--wrap=getsockname"),
    "packets": (),
}

# Bytes of the file of a corpus.
MOST_KEPT = 24_000
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=4096")
PULSE = re.compile(r"^#\d+\s.* cov: (\d+) .*$", re.MULTILINE)
RUNS = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)


class FuzzError(Exception):
    """A target could not be run; the text says why."""


@dataclass(frozen=True)
class Result:
    """What a target came to; `reached` are the edges of the code, as the fuzzer counts them."""

    name: str
    runs: int
    seconds: int
    reached: int
    inputs: int
    finding: str = ""


def corpus_of(name: str) -> Path:
    """Name the file of a corpus."""
    return HERE / "corpus" / f"{name}.txt"


def inputs_of(name: str) -> list[bytes]:
    """Read a corpus; an empty line is the empty input."""
    return [bytes.fromhex(line) for line in corpus_of(name).read_text().splitlines()]


def call(*command: str) -> str:
    """Run a step of the build and give its output."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        raise FuzzError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise FuzzError(f"this failed: {' '.join(command)}\n{done.stderr}")
    return done.stdout.strip()


def clang() -> str:
    """Find a clang that has libFuzzer."""
    given = os.environ.get("CLANG")
    for name in [given] if given else ["clang", *(f"clang-{version}" for version in range(22, 13, -1))]:
        if shutil.which(name):
            return name
    raise FuzzError("no clang is here; on Debian: apt install clang libclang-rt-dev")


def build(name: str) -> tuple[list[str], dict[str, str]]:
    """Build a target; gives its command and what its environment has besides."""
    if name in C_TARGETS:
        program = BUILD / f"{name}.bin"
        source = str(HERE / f"{name}.c")
        call(clang(), "-fsanitize=fuzzer", *CFLAGS, *INCLUDES, source, *C_TARGETS[name], "-o", str(program))
        return [str(program)], {}
    command = [sys.executable, str(HERE / "python_target.py"), name]
    if name != "records":
        return command, {}
    package = BUILD / "package"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "sctpio", package / "sctpio")
    flags = ("-shared", "-fPIC", "-g", "-O1", *SANITIZERS, "-fsanitize=fuzzer-no-link")
    include = f"-I{sysconfig.get_paths()['include']}"
    target = str(package / "sctpio" / "_fast.abi3.so")
    call(clang(), *flags, "-Icsrc", include, "csrc/fast/fast.c", "-o", target)
    preload = call(sys.executable, "-c", "import atheris; print(atheris.path())")
    return command, {
        "PYTHONPATH": str(package),
        "LD_PRELOAD": f"{preload}/asan_with_fuzzer.so",
        "ASAN_OPTIONS": "detect_leaks=0",
        # Python's own pools would hide where an object ends.
        "PYTHONMALLOC": "malloc",
    }


def run(name: str, seconds: int, *, keep: bool) -> Result:
    """Fuzz a target for a while."""
    folder = BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    seeds, found = folder / "seeds", folder / "found"
    seeds.mkdir(parents=True)
    found.mkdir()
    for number, data in enumerate(inputs_of(name) if corpus_of(name).exists() else []):
        (seeds / f"{number:04}").write_bytes(data)
    command, extra = build(name)
    paths = (extra.pop("PYTHONPATH", ""), str(HERE.parent))
    environment = {**os.environ, **extra, "PYTHONPATH": ":".join(filter(None, paths))}
    limits = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={folder}/"]
    done = subprocess.run(
        [*command, str(found), str(seeds), *limits],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds + 300,
    )
    (folder / "log").write_text(done.stdout + done.stderr)
    finding = ""
    if done.returncode:
        ends = [path.read_bytes().hex() for path in sorted(folder.glob("*-*")) if path.is_file()]
        finding = f"{done.stderr[-3000:]}\n{name}: this input failed: {' '.join(ends) or 'none'}"
    elif keep:
        write_corpus(name, [path.read_bytes() for path in found.iterdir()])
    reached = PULSE.findall(done.stderr)
    runs, took = next(iter(RUNS.findall(done.stderr)), ("0", "0"))
    return Result(
        name,
        int(runs),
        int(took),
        int(reached[-1]) if reached else 0,
        len(inputs_of(name)) if corpus_of(name).exists() else 0,
        finding,
    )


def write_corpus(name: str, inputs: list[bytes]) -> None:
    """Add the smallest inputs to a corpus."""
    before = inputs_of(name) if corpus_of(name).exists() else []
    kept = list(dict.fromkeys(before))
    size = sum(2 * len(data) + 1 for data in kept)
    for data in sorted(set(inputs) - set(kept), key=lambda each: (len(each), each)):
        size += 2 * len(data) + 1
        if size > MOST_KEPT:
            break
        kept.append(data)
    corpus_of(name).parent.mkdir(exist_ok=True)
    corpus_of(name).write_text("".join(f"{data.hex()}\n" for data in kept))


def table(results: list[Result]) -> str:
    """Write the results as a table."""
    text = "| target | by | runs | a second | edges reached | corpus |\n"
    text += "| --- | --- | ---: | ---: | ---: | ---: |\n"
    for each in results:
        by = "libFuzzer" if each.name in C_TARGETS else "atheris"
        rate = each.runs // max(each.seconds, 1)
        text += f"| {each.name} | {by} | {each.runs} | {rate} | {each.reached} | {each.inputs} |\n"
    return text


def main() -> int:
    """Run what the command line says."""
    known = [*TARGETS, *C_TARGETS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="NAME")
    parser.add_argument("--keep", action="store_true", help="put what was found into the corpora")
    parser.add_argument(
        "--record", type=Path, metavar="PAGE", help="write the table into a page of the manual"
    )
    given = parser.parse_args()
    if given.seconds < 1:
        parser.error("--seconds takes a number from 1")
    BUILD.mkdir(parents=True, exist_ok=True)
    results = []
    for name in given.only:
        print(f"fuzz: {name}", flush=True)
        try:
            results.append(run(name, given.seconds, keep=given.keep))
        except FuzzError as error:
            print(error)
            return 2
        print(results[-1].finding or "nothing found", flush=True)
    print(table(results))
    if given.record:
        from hostile.run import record

        record(given.record, BEGIN, END, f"Each for {given.seconds} s.\n\n{table(results)}")
    return int(any(each.finding for each in results))


if __name__ == "__main__":
    sys.exit(main())
