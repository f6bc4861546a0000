"""The sessions on the pages of the manual print what the pages say, on each stack."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.program import environments
from doc_blocks import ROOT, Block, all_blocks
from support import PATIENCE

# The page on the command line has a test of its own.
SESSIONS = [
    block for block in all_blocks("console") if not block.mark and block.page != ROOT / "docs" / "cli.md"
]

# What differs from run to run.
VARIES = [
    (re.compile(r"(127\.0\.0\.\d+):\d+"), r"\1:PORT"),
    (re.compile(r"\b\d+\.\d+ (ms|s)\b"), r"# \1"),
    (re.compile(r"\b[\d.]+ (messages/s|MB/s)"), r"# \1"),
]


def masked(text: str) -> str:
    for pattern, instead in VARIES:
        text = pattern.sub(instead, text)
    return text


def shell(line: str) -> list[str]:
    return ["bash", "-c", f'python() {{ exec "{sys.executable}" -u -W error "$@"; }}; {line}']


def play(block: Block, directory: Path) -> str:
    """Run the commands of a session, and return it with what they print."""
    server, client = environments()
    # A program that has both ends reaches itself.
    alone = server | {"SCTPIO_REMOTE_UDP_PORT": server.get("SCTPIO_UDP_PORT", "9899")}
    played = ""
    running: list[subprocess.Popen[str]] = []
    try:
        for number, line in enumerate(re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)):
            played += f"$ {line}\n"
            line = line.replace("2> errors.log", f"2> {directory}/errors.log")
            if line.endswith(" &"):
                output = directory / f"output-{number}"
                with output.open("w") as file:
                    running.append(
                        subprocess.Popen(shell(line[:-2]), env=server, cwd=ROOT, stdout=file, text=True)
                    )
                wait_until_ready(output)
                continue
            done = subprocess.run(
                shell(line), env=client if running else alone, cwd=ROOT, text=True, capture_output=True,
                timeout=50 * PATIENCE, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
            played += done.stdout
        return played
    finally:
        for process in running:
            process.terminate()
            process.wait(20 * PATIENCE)


def wait_until_ready(output: Path) -> None:
    end = time.monotonic() + 20 * PATIENCE
    while "ready on" not in output.read_text():
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.05)


@pytest.mark.any_stack
@pytest.mark.parametrize("block", SESSIONS, ids=lambda block: block.place)
def test_the_session_is_what_it_says(block: Block, tmp_path: Path) -> None:
    assert masked(play(block, tmp_path)) == masked(block.text)
