"""Inside a place: run contenders against themselves, and keep what they and the kernel's counters tell.

A contender's two processes stay for all of its runs, and take turns with the other contenders' round by round.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cases import PYTHON, Contender

ROOT = Path(__file__).resolve().parents[1]
KERNEL_COUNTERS = ("SctpT3RtxExpireds", "SctpT3Retransmits", "SctpFastRetransmits", "SctpInPktDiscards", "SctpInDataChunkDiscards")
BUFFERS = 8 << 20


class Failure(Exception):
    """A run that came to nothing, and why."""


class Program:
    """A contender's process for one role."""

    def __init__(self, contender: Contender) -> None:
        command = [sys.executable if word == PYTHON else word for word in contender.command]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0
        )
        self.unread = b""

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise self.failure("it has ended") from None

    def line(self, deadline: float) -> str:
        """Give its next line."""
        assert self.process.stdout is not None
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise self.failure("it took too long")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise self.failure("it has ended")
            self.unread += data
        line, _, self.unread = self.unread.partition(b"\n")
        return line.decode()

    def expect(self, wanted: str, deadline: float) -> None:
        if (got := self.line(deadline)) != wanted:
            raise self.failure(f"it said {got!r}, not {wanted!r}")

    def failure(self, what: str) -> Failure:
        self.errors.seek(0)
        return Failure(f"{what}: {self.errors.read().decode(errors='replace')[-2000:]}".rstrip(": \n"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            assert file is not None
            file.close()


class Pair:
    """A contender's server and client."""

    def __init__(self, contender: Contender) -> None:
        self.server, self.client = Program(contender), Program(contender)

    def run(self, words: str, server_words: str, client_words: str, seconds: float) -> dict[str, Any]:
        """Do one run; gives each end's results."""
        deadline = time.monotonic() + seconds
        self.server.tell(f"role=server {words} {server_words}")
        self.server.expect("ready", deadline)
        self.client.tell(f"role=client {words} {client_words}")
        results = {"client": json.loads(self.client.line(deadline))}
        results["server"] = json.loads(self.server.line(deadline))
        for program in (self.client, self.server):
            program.tell("")
        for program in (self.client, self.server):
            program.expect("over", deadline)
        return results

    def kill(self) -> None:
        self.server.kill()
        self.client.kill()


def counters() -> dict[str, int]:
    """Read what should not grow."""
    found: dict[str, int] = {}
    file = Path("/proc/net/sctp/snmp")
    if file.exists():
        values = dict(line.split() for line in file.read_text().splitlines())
        found |= {name: int(values[name]) for name in KERNEL_COUNTERS if name in values}
    lines = Path("/proc/net/snmp").read_text().splitlines()
    for names, numbers in zip(lines[::2], lines[1::2], strict=True):
        both = dict(zip(names.split(), numbers.split(), strict=True))
        for protocol, name in (("Tcp:", "RetransSegs"), ("Udp:", "RcvbufErrors")):
            if protocol in both and name in both:
                found[protocol[:-1] + name] = int(both[name])
    return found


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def prepare_guest() -> None:
    """Give lo a network's packets, and room to the sockets."""
    commands: Sequence[Sequence[str]] = (
        ("ip", "link", "set", "lo", "mtu", "1500"),
        ("sysctl", "-q", "-w", f"net.core.rmem_max={BUFFERS}", f"net.core.wmem_max={BUFFERS}"),
    )
    for command in commands:
        subprocess.run(command, check=True)
