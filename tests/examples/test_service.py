"""The service of the manual: it drains on SIGTERM, its clients come back, and no answered request is lost."""

import asyncio
import os
import random
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

import pytest

from examples.test_examples import CLIENT, SERVER, UDP_PORT, command
from kernel.lab import two_links
from sctpio import UdpEncapsulation, connect
from support import PATIENCE, STACK, fill, stop_reading


class Program:
    """A running example, and what it has written."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())

    async def says(self, text: str, count: int = 1, *, since: int = 0) -> None:
        """Wait until so many lines have a text."""
        try:
            async with asyncio.timeout(40 * PATIENCE):
                while sum(text in line for line in self.lines[since:]) < count:
                    assert not self._reading.done(), self.lines
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{text!r} not in {self.lines}") from None

    async def end(self) -> int:
        """Wait until it has ended; return its status."""
        async with asyncio.timeout(40 * PATIENCE):
            await self._reading
            return await self.process.wait()


async def start(address: str, *arguments: str, prefix: Sequence[str] = ()) -> Program:
    environment = CLIENT if arguments else SERVER
    return Program(
        await asyncio.create_subprocess_exec(
            *prefix,
            *command("service.py", address, *arguments),
            env=environment,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    )


@pytest.mark.endurance
async def test_it_is_restarted_and_killed_and_every_request_is_answered() -> None:
    address = f"127.0.0.1:{random.randrange(20_000, 30_000)}"
    running: list[Program] = []

    async def program(*arguments: str) -> Program:
        running.append(await start(address, *arguments))
        return running[-1]

    try:
        server = await program()
        await server.says("ready on")
        clients = [await program("--requests", "1000") for _ in range(2)]
        await server.says("is up", 2)

        # A service that is told to end drains.
        server.process.terminate()
        assert await server.end() == 0
        assert any("2 finished, 0 shut down, 0 aborted, 0 lost" in line for line in server.lines)
        for client in clients:
            await client.says("cannot be reached")

        # Its clients come back to the next one, which is killed.
        server = await program()
        await server.says("is up", 2)
        server.process.kill()
        await server.end()
        seen = [len(client.lines) for client in clients]
        server = await program()
        for client, since in zip(clients, seen, strict=True):
            await client.says("is up", since=since)

        # A client that is killed is noticed: by KeepAlive, where the stack has died with it.
        victim = await program("--requests", "1000000")
        await victim.says("is up")
        os.kill(victim.process.pid, signal.SIGKILL)
        await server.says("has ended")

        for client in clients:
            assert await client.end() == 0
            assert "1000 requests answered" in client.lines
        server.process.terminate()
        assert await server.end() == 0
        assert not any("Traceback" in line for each in running for line in each.lines)
    finally:
        for each in running:
            if each.process.returncode is None:
                each.process.kill()
                await each.process.wait()


async def test_a_second_sigterm_does_not_wait_for_the_first() -> None:
    """A handler hangs; the one that is told twice ends, and its peer is aborted."""
    address = f"127.0.0.1:{random.randrange(20_000, 30_000)}"
    server = await start(address)
    try:
        await server.says("ready on")
        # In this process the stack may expect its peers elsewhere.
        over = [UdpEncapsulation(port=int(UDP_PORT))] if STACK == "usrsctp" else []
        async with connect(address, timeout=20 * PATIENCE, options=over) as client:
            await server.says("is up")
            # It never reads the answers, so the server cannot deliver them.
            stop_reading(client)
            await fill(client, 50_000)
            server.process.terminate()
            await asyncio.sleep(0.3)
            assert server.process.returncode is None
            server.process.terminate()
            assert await server.end() == 0
            await client.abort()
        assert not any("Traceback" in line for line in server.lines)
    finally:
        if server.process.returncode is None:
            server.process.kill()
            await server.process.wait()


@pytest.mark.endurance
@pytest.mark.kernel_only("it takes a network of its own")
async def test_a_link_that_is_cut_costs_no_answered_request() -> None:
    with two_links() as lab:
        link = lab.links[0]
        address = f"{link.remote}:5000"
        inside = ["ip", "netns", "exec", lab.namespace]
        server = await start(address, prefix=inside)
        client = await start(address, "--requests", "1000")
        both = server, client
        try:
            for each in both:
                await each.says("is up")
            for _ in range(2):
                since = [len(each.lines) for each in both]
                lab.cut(link)
                # Both find out by KeepAlive.
                for each, seen in zip(both, since, strict=True):
                    await each.says("has ended", since=seen)
                lab.mend(link)
                for each, seen in zip(both, since, strict=True):
                    await each.says("is up", since=seen)
            assert await client.end() == 0
            assert "1000 requests answered" in client.lines
            server.process.terminate()
            assert await server.end() == 0
        finally:
            for each in both:
                if each.process.returncode is None:
                    each.process.kill()
                    await each.process.wait()
