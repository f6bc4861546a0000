"""How ends that nobody announces are told, and how long that takes: the table of docs/ending.md."""

import asyncio
import errno
import os
import subprocess
import sys
import time

import pytest

from kernel.lab import TICK, DeadEnd, Lab
from sctpio import (
    AssociationAbortedError,
    AssocInfo,
    EndOfAssociation,
    InitMsg,
    RtoInfo,
    connect,
    listen,
)
from support import associations, until, within

pytestmark = pytest.mark.one_loop

# A program that reads nothing once it is up.
CLIENT = """
import asyncio, sys, sctpio

async def main():
    conn = await sctpio.connect(sys.argv[1])
    conn._link.socket._set_reading(False)
    print("up", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.parametrize("unread", [False, True])
async def test_a_peer_that_is_killed_seems_to_shut_down_unless_it_left_data_unread(unread: bool) -> None:
    async with listen("127.0.0.1:0") as listener:
        command = [sys.executable, "-c", CLIENT, str(listener.local_addresses)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            try:
                server = await within(listener.accept())
                await asyncio.to_thread(client.stdout.readline)
                if unread:
                    await server.send(b"nobody reads this")
                    await within(server.flush())
            finally:
                client.kill()
        with pytest.raises(AssociationAbortedError if unread else EndOfAssociation):
            await within(server.receive())
        await server.abort()


@pytest.mark.parametrize("stack", ["kernel", "usrsctp"])
@pytest.mark.usefixtures("_usrsctp")
async def test_the_first_wait_for_an_answer_is_the_initial_timeout(stack: str, nowhere: DeadEnd) -> None:
    """`max_init_timeout` bounds the later ones, and on usrsctp alone RtoInfo.maximum does as well."""

    async def takes(init: InitMsg, rto: RtoInfo) -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await connect(f"{nowhere.address}:5000", init=init, options=[rto], stack=stack)
        return time.monotonic() - began

    short = InitMsg(max_attempts=1, max_init_timeout=2 * TICK)
    assert await takes(short, RtoInfo(minimum=TICK, initial=10 * TICK, maximum=10.0)) >= 10 * TICK
    bounded = await takes(
        InitMsg(max_attempts=3), RtoInfo(minimum=2 * TICK, initial=2 * TICK, maximum=2 * TICK)
    )
    # 2 + 2 + 2 + 2 ticks, or 2 + 4 + 8 + 16.
    assert (bounded >= 20 * TICK) is (stack == "kernel")


async def test_the_fixed_port_of_a_killed_client_stays_taken_until_the_peer_is_given_up(lab: Lab) -> None:
    link = lab.links[0]
    options = [RtoInfo(minimum=TICK, initial=2 * TICK, maximum=4 * TICK), AssocInfo(max_retransmissions=4)]
    async with lab.listen(link.remote) as listener:
        remote = f"{link.remote}:{listener.port}"
        client = await connect(remote, local=f"{link.local}:7777", options=options)
        server = await within(listener.accept())
        lab.cut(link)
        # What the kernel does for a process that is killed.
        os.close(client.detach())
        with pytest.raises(OSError, match="bind to") as caught:
            await connect(remote, local=f"{link.local}:7777")
        assert caught.value.errno == errno.EADDRINUSE
        await until(lambda: not any(" 7777 " in line for line in associations()))
        lab.mend(link)
        async with connect(remote, local=f"{link.local}:7777") as again:
            await again.abort()
        await server.abort()
