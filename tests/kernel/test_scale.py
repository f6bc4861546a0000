"""Thousands of associations: every one exchanges messages, all close, nothing is left.

What it prints (`-s` shows it) is for the notes; only behaviour is asserted.
"""

import asyncio
import gc
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from sctpio import Conn, Mode, listen
from support import PATIENCE, associations, descriptor_count, no_leak, until

# As many as the guests' memory takes; the environment can ask for more or fewer.
MOST = int(os.environ.get("SCTPIO_TEST_ASSOCIATIONS", "5000"))

TRACED = 100

pytestmark = [pytest.mark.timeout(900), pytest.mark.one_loop, pytest.mark.endurance]

# The peers: so many clients, each of which says its number, hears it back and is then shut down.
CLIENTS = """
import asyncio, resource, sys
from sctpio import connect

count, port = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))

async def main():
    clients = []
    while len(clients) < count:
        together = min(20, count - len(clients))
        clients += await asyncio.gather(*(connect(("127.0.0.1", port)) for _ in range(together)))
    print("connected", flush=True)
    for number, client in enumerate(clients):
        await client.send(b"%d" % number, stream=number % 10, ppid=number)
    for number, client in enumerate(clients):
        message = await client.receive()
        assert (message.data, message.stream, message.ppid) == (b"%d" % number, number % 10, number), message
    print("answered", flush=True)
    for client in clients:
        async for message in client:
            raise AssertionError(message)
        await client.close()
    print("ended", flush=True)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    yield from no_leak(request)


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST + 200, max(before[1], MOST + 200)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("mode", "count"),
    [(Mode.ONE_TO_MANY, MOST), (Mode.ONE_TO_ONE, MOST // 5)],
    ids=["one-to-many", "one-to-one"],
)
async def test_thousands_of_associations(mode: Mode, count: int) -> None:
    descriptors, slab, resident = descriptor_count(), _kernel_memory(), _process_memory()
    began = time.monotonic()
    async with listen("127.0.0.1:0", mode=mode, backlog=min(count, 4096)) as listener:
        command = [sys.executable, "-c", CLIENTS, str(count), str(listener.port)]
        clients = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert clients.stdout is not None
        readline = _line_reader(clients.stdout)
        try:
            conns = [await listener.accept() for _ in range(count - TRACED)]
            # Tracing slows everything down: the last ones speak for all.
            tracemalloc.start()
            conns += [await listener.accept() for _ in range(TRACED)]
            gc.collect()
            python = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            async with asyncio.timeout(600):
                assert await readline() == b"connected\n"
                up = time.monotonic() - began
                held = descriptor_count() - descriptors
                kernel, process = _kernel_memory() - slab, _process_memory() - resident
                for conn in conns:
                    await _answer(conn)
                assert await readline() == b"answered\n"
                exchanged = time.monotonic() - began - up
                if mode is Mode.ONE_TO_MANY:
                    assert listener.statistics().associations == count
                    assert held <= 5
                await asyncio.gather(*(conn.close() for conn in conns))
                assert await readline() == b"ended\n"
                assert clients.wait() == 0
        finally:
            clients.kill()
            clients.wait()
            clients.stdout.close()
    ended = time.monotonic() - began - up - exchanged
    await until(lambda: not associations(), seconds=60 * PATIENCE)
    for conn in conns[:: max(1, count // 10)]:
        assert conn.is_closed
    print(
        f"\n{mode.value}: {count} associations accepted in {up:.1f} s, a message there and back on each in"
        f" {exchanged:.1f} s, all closed in {ended:.1f} s; {held} descriptors; for each association"
        f" {python / TRACED / 1024:.1f} KiB of Python's memory, {process / count / 1024:.1f} KiB of the"
        f" process, {kernel / count / 1024:.1f} KiB of the kernel (the clients' side included)"
    )


def _line_reader(pipe: IO[bytes]) -> Callable[[], Awaitable[bytes]]:
    return lambda: asyncio.to_thread(pipe.readline)


async def _answer(conn: Conn) -> None:
    message = await conn.receive()
    await conn.send(message.data, stream=message.stream, ppid=message.ppid)


def _process_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _kernel_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}["Slab"]
