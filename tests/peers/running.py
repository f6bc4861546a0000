"""Other programs, started and ended."""

import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kernel.lab import Lab
from peers.programs import ROOT
from support import PATIENCE, until

PATIENT = 30 * PATIENCE
PORTS = itertools.count(7001)
# Endpoints that listen, and in TCP's table.
SCTP_LISTENING, TCP_LISTENING = "10", "0A"


class Started:
    """A program that runs."""

    def __init__(self, command: Sequence[str], typed: bytes | None = None, cwd: Path | None = None) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.command = command
        environment = {"HOME": "/tmp"} | dict(os.environ) | {"PYTHONPATH": str(ROOT / "tests")}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
        )
        assert self.process.stdin is not None
        if typed is not None:
            self.process.stdin.write(typed)
            self.process.stdin.close()

    def said(self) -> str:
        """Give what it has printed."""
        return os.pread(self.log.fileno(), 1 << 24, 0).decode(errors="replace")

    async def listens(self, port: int, lab: Lab | None = None, tcp: bool = False) -> None:
        """Wait until it listens, in this namespace or the other one of a lab."""

        def up() -> bool:
            with lab.inside() if lab else contextlib.nullcontext():
                return self.process.poll() is not None or port in (tcp_ports() if tcp else sctp_ports())

        await until(up, seconds=30)
        assert self.process.poll() is None, f"{self.command} ended: {self.said()}"

    async def ends(self) -> int:
        """Wait until it has ended; gives its status."""
        await until(lambda: self.process.poll() is not None, seconds=30)
        assert self.process.returncode is not None
        return self.process.returncode


@contextmanager
def started(command: Sequence[str], typed: bytes | None = None, cwd: Path | None = None) -> Iterator[Started]:
    """Run a program while the block runs; where that fails, what it said is told."""
    program = Started(command, typed, cwd)
    try:
        yield program
    except BaseException as error:
        status = program.process.poll()
        error.add_note(f"{' '.join(command)} (status {status}) said: {program.said()[-4000:]}")
        raise
    finally:
        program.process.kill()
        program.process.communicate()
        program.log.close()


def sctp_ports() -> set[int]:
    """Give the ports that somebody listens on, in this thread's namespace."""
    return {int(row[5]) for row in _rows("sctp/eps") if row[3] == SCTP_LISTENING}


def tcp_ports() -> set[int]:
    """Give those of TCP."""
    rows = [*_rows("tcp"), *_rows("tcp6")]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == TCP_LISTENING}


def _rows(name: str) -> list[list[str]]:
    text = Path("/proc/thread-self/net", name).read_text()
    return [line.split() for line in text.splitlines()[1:]]
