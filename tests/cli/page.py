"""The examples of docs/cli.md: runs them, and writes what they print into the page (`--record`).

A block of `console` is a session. A command that ends in `&` runs until the end of the block, and the first
line that it prints is shown. `python -m cli.page --record`, with tests/ on the path and usrsctp in
$SCTPIO_STACK, renews the page.
"""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.program import ROOT, environments

PAGE = ROOT / "docs" / "cli.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Figures differ from run to run, and with them their units, and how many lines of a kind there are.
_UNITS = "ms|s|bytes|KiB|MiB|GiB|bit/s|kbit/s|Mbit/s|Gbit/s"
_VARIES = [
    (re.compile(rf"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]\d+)?(?: (?:{_UNITS})\b)"), "#"),
    (re.compile(r"\d+(?:\.\d+)?(?:e[+-]\d+)?"), "#"),
    (re.compile(r"limited by .*"), "limited by ..."),
    (re.compile(r" +"), " "),
]


def blocks(text: str) -> list[str]:
    """Return the sessions of a page."""
    return _BLOCK.findall(text)


def commands(block: str) -> list[str]:
    """Return the commands of a session."""
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def masked(block: str) -> list[str]:
    """Return the lines of a session without what differs each time, and each line of a kind once."""
    lines: list[str] = []
    for line in block.splitlines():
        if not line.startswith("$ "):
            for pattern, instead in _VARIES:
                line = pattern.sub(instead, line)
        if line not in lines[-1:]:
            lines.append(line)
    return lines


def play(words: Sequence[str]) -> str:
    """Run the commands of a session, and return it with what they print."""
    return "".join(_play(words))


def _play(words: Sequence[str]) -> Iterator[str]:
    server, client = environments()
    running: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "sctpio"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sctpio "$@"\n')
        program.chmod(0o755)
        for environment in (server, client):
            environment["PATH"] = f"{directory}:{environment['PATH']}"
            environment["SCTPIO_STACK"] = "usrsctp"
            environment["COLUMNS"] = "100"
        try:
            for command in words:
                yield f"$ {command}\n"
                if command.endswith("&"):
                    running.append(
                        subprocess.Popen(
                            ["sh", "-c", f"exec {command[:-1]}"], env=server, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        )
                    )  # fmt: skip
                    output = running[-1].stdout
                    assert output is not None
                    yield output.readline()
                else:
                    done = subprocess.run(
                        ["sh", "-c", command],
                        env=client if running else server,
                        text=True,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        check=False,
                    )
                    yield done.stdout
        finally:
            for process in running:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)


def record() -> None:
    """Write what the examples print into the page."""
    text = PAGE.read_text()
    PAGE.write_text(_BLOCK.sub(lambda found: f"```console\n{play(commands(found[1]))}```", text))


if __name__ == "__main__":
    if sys.argv[1:] != ["--record"]:
        sys.exit("usage: python -m cli.page --record")
    record()
