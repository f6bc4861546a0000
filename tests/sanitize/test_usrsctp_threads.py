"""The C of the usrsctp stack under threads, with the sanitizers of memory and of threads: no Python in it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sanitize.build import HERE, THREADS, build_program

SECONDS = int(os.environ.get("SCTPIO_TEST_SECONDS", "10"))

REPORTS = {"address": "heap-use-after-free", "thread": "data race"}


@pytest.fixture(params=sorted(THREADS), scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    """Name each sanitizer."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def program(kind: str) -> Path:
    """Build the program with it."""
    return build_program(kind, "usrsctp_threads.c", "usrsctp")


def run(program: Path, argument: str) -> subprocess.CompletedProcess[str]:
    """Run the program without what is preloaded into this process."""
    # ThreadSanitizer cannot start where addresses are too random.
    prefix = ["setarch", "-R"] if shutil.which("setarch") else []
    # usrsctp keeps what it has until its end: leaks are not looked for.
    return subprocess.run(
        [*prefix, str(program), argument],
        env={
            "PATH": os.environ["PATH"],
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
            "TSAN_OPTIONS": f"suppressions={HERE / 'thread.supp'}:halt_on_error=1:history_size=7",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS + 40,
        check=False,
    )


def test_a_lie_is_reported(kind: str, program: Path) -> None:
    done = run(program, "lie")
    assert done.returncode != 0
    assert REPORTS[kind] in done.stderr


@pytest.mark.timeout(SECONDS + 60)
def test_calls_of_many_threads_and_the_end_of_the_stack_do_not_meet(program: Path) -> None:
    done = run(program, str(SECONDS))
    assert (done.returncode, done.stderr) == (0, "")
    rounds, *_ = done.stdout.split()
    assert int(rounds) > 2, done.stdout
