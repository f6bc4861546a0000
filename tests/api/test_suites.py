"""What the test suites of other SCTP programs demand and nothing else here shows (docs/suites.md)."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from sctpio import (
    AutoClose,
    EndOfAssociation,
    Mode,
    connect,
    listen,
)
from support import PATIENCE, Style, connected, within

pytestmark = pytest.mark.one_loop


async def test_an_idle_association_is_closed_by_auto_close() -> None:
    """Gracefully, at both ends."""
    async with connected(listen_with={"mode": Mode.ONE_TO_MANY, "options": [AutoClose(1)]}) as pair:
        for conn in (pair.client, pair.server):
            with pytest.raises(EndOfAssociation):
                await within(conn.receive())
        assert pair.listener.connections == ()


@pytest.mark.both_modes
async def test_a_client_connects_again_and_again_from_one_port() -> None:
    async with listen("127.0.0.1:0") as probe:
        local = str(probe.local_addresses)
    async with listen("127.0.0.1:0", mode=Style.mode) as listener:
        for number in range(20):
            client = await within(connect(listener.local_addresses, local=local))
            server = await within(listener.accept())
            await client.send(b"%d" % number)
            assert (await within(server.receive())).data == b"%d" % number
            await within(client.close())
            with pytest.raises(EndOfAssociation):
                await within(server.receive())
            await within(server.close())


@pytest.mark.endurance
async def test_the_numbers_of_a_streams_messages_begin_again_after_65535() -> None:
    async with connected() as (client, server, _):
        count = 66_000

        async def send() -> None:
            await client.send_many([b"%d" % number for number in range(count)])

        async with asyncio.timeout(50 * PATIENCE), asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            for number in range(count):
                message = await server.receive()
                assert (message.data, message.ssn) == (b"%d" % number, number % 65_536)


@pytest.mark.parametrize("call", [connect, listen], ids=lambda call: call.__name__)
async def test_a_name_that_is_unknown_is_quoted(call: Callable[[str], Awaitable[object]]) -> None:
    # Longer than a name can be: nobody has to be asked.
    name = "a" * 63 + ".b" * 100
    with pytest.raises(socket.gaierror, match=f"'{name}'"):
        await within(call(f"{name}:5000"))


DESCRIPTOR_0 = """
import asyncio, os, sctpio

async def main():
    # What the stack keeps is not to be it.
    await (await sctpio.listen("127.0.0.1:0")).close()
    os.close(0)
    async with sctpio.listen("127.0.0.1:0") as listener:
        async with sctpio.connect(listener.local_addresses) as client, await listener.accept() as server:
            os.fstat(0)
            await client.send(b"there")
            assert (await server.receive()).data == b"there"
            await server.send(b"and back")
            assert (await client.receive()).data == b"and back"
    try:
        os.fstat(0)
    except OSError:
        print("closed")

asyncio.run(main())
"""


def test_descriptor_0_is_one_like_the_others() -> None:
    environment = dict(os.environ, SCTPIO_UDP_PORT="0")
    environment.pop("SCTPIO_REMOTE_UDP_PORT", None)
    command = [sys.executable, "-W", "error", "-c", DESCRIPTOR_0]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
