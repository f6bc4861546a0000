"""Commands of the command line as a user runs them: processes of their own, on the stack that is tested."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kernel.lab import dead_end
from support import PATIENCE, STACK, free_udp_port

ROOT = Path(__file__).resolve().parents[2]


def environments() -> tuple[dict[str, str], dict[str, str]]:
    """Give what a server's process and its clients' processes have in their environments.

    A process with usrsctp has a UDP port to itself: the server one that its clients know, and not the usual
    one, which other programs on this host may want at the same time.
    """
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    if STACK != "usrsctp":
        return plain, plain
    port = free_udp_port(usual=False)
    return plain | {"SCTPIO_UDP_PORT": port}, plain | {"SCTPIO_UDP_PORT": "0", "SCTPIO_REMOTE_UDP_PORT": port}


# Of the servers that one test alone has.
SERVER, CLIENT = environments()


def command(*words: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "sctpio", *words]


def run(
    *words: str, given: bytes = b"", seconds: float = 50, environment: Mapping[str, str] = CLIENT
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        command(*words),
        input=given,
        env=environment,
        capture_output=True,
        timeout=seconds * PATIENCE,
        check=False,
    )


class Shared(NamedTuple):
    """A server for several tests: its address, and the environment of its clients."""

    address: str
    environment: Mapping[str, str]

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    async def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run a client to its end."""
        return await asyncio.to_thread(run, *words, environment=self.environment)


@contextmanager
def serving(*words: str) -> Iterator[Shared]:
    """Have a server for several tests."""
    server, client = environments()
    with subprocess.Popen(
        command(*words),
        env=server,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline().decode()
            assert "listening on " in line, line
            yield Shared(line.partition("listening on ")[2].split(",")[0], client)
            assert process.poll() is None
        finally:
            process.terminate()
            process.wait(20 * PATIENCE)
            assert b"Traceback" not in process.stderr.read()


class Program:
    """A command that runs, and what it has written."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.out = bytearray()
        self.err = bytearray()
        self._reading = [
            asyncio.create_task(self._read(stream, kept))
            for stream, kept in ((process.stdout, self.out), (process.stderr, self.err))
            if stream is not None
        ]

    @staticmethod
    async def _read(stream: asyncio.StreamReader, kept: bytearray) -> None:
        while data := await stream.read(65536):
            kept += data

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def notes(self) -> str:
        return self.err.decode()

    @property
    def records(self) -> list[Any]:
        """The JSON lines so far, whole ones."""
        return [json.loads(line) for line in self.text.splitlines(keepends=True) if line.endswith("\n")]

    async def says(self, text: str, count: int = 1) -> None:
        """Wait until a text is in its output or its notes so many times."""
        try:
            async with asyncio.timeout(30 * PATIENCE):
                while (self.text + self.notes).count(text) < count:
                    ended = all(task.done() for task in self._reading)
                    assert not ended, f"{text!r} not in {self.text!r}, {self.notes!r}"
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{text!r} not in {self.text!r}, {self.notes!r}") from None

    async def give(self, data: bytes, *, end: bool = False) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()
        if end:
            self.process.stdin.close()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    async def end(self) -> int:
        """Wait until it has ended; return its status."""
        async with asyncio.timeout(40 * PATIENCE):
            await asyncio.gather(*self._reading)
            return await self.process.wait()

    async def listening(self) -> str:
        """Wait until a server listens; return its address."""
        await self.says("listening on ")
        return (self.text + self.notes).partition("listening on ")[2].split(",")[0]


@asynccontextmanager
async def started(*words: str, environment: Mapping[str, str] = CLIENT, **how: Any) -> AsyncIterator[Program]:
    """Start a command, and kill it at the end if it still runs."""
    async with running(command(*words), environment, **how) as program:
        yield program


@asynccontextmanager
async def running(
    words: list[str], environment: Mapping[str, str] = CLIENT, **how: Any
) -> AsyncIterator[Program]:
    """Start any program."""
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE} | how
    program = Program(await asyncio.create_subprocess_exec(*words, env=environment, **pipes))
    try:
        yield program
    finally:
        if program.process.returncode is None:
            program.process.kill()
        await program.process.wait()
        for task in program._reading:
            task.cancel()


@contextmanager
def nobody_answers() -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give an address that packets reach and that does not answer, and the environment of who calls it."""
    if STACK == "usrsctp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            port = silent.getsockname()[1]
            yield "127.0.0.1:5000", {**CLIENT, "SCTPIO_REMOTE_UDP_PORT": str(port)}
        return
    with dead_end() as link:
        yield f"{link.address}:5000", CLIENT
