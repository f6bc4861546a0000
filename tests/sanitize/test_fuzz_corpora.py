"""The corpora of the fuzz targets in C, through these, with gcc's sanitizers (`make fuzz` looks for more)."""

import os
import subprocess

import pytest

from fuzz.run import C_TARGETS, corpus_of, inputs_of
from sanitize.build import build_replay

# Those that need usrsctp's header run with its tier.
OF_USRSCTP = ["address-list", "packets"]
NAMES = OF_USRSCTP if os.environ.get("SCTPIO_STACK") == "usrsctp" else sorted({*C_TARGETS} - {*OF_USRSCTP})


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_finds_nothing(name: str) -> None:
    program = build_replay(name, *C_TARGETS[name])
    # Without what is preloaded into this process.
    done = subprocess.run(
        [str(program), str(corpus_of(name))],
        env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "detect_leaks=1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == len(inputs_of(name)) > 3
