"""KeepAlive: a dead peer is known in time, idle or busy, on one path or two, and a slow network is no death.

Each case has several associations on both stacks, whose two ends are cut off at one moment. With
SCTPIO_KEEP_ALIVE=FILE the times are appended there: benchmarks/keep_alive.py makes the manual's table.
"""

import asyncio
import contextlib
import json
import os
from contextlib import AsyncExitStack

import pytest

from kernel.interop import Ends, both, every_stack, linked
from kernel.lab import Lab
from sctpio import AssociationAbortedError, AssociationLostError, Conn, KeepAlive
from support import PATIENCE, Pair

pytestmark = [pytest.mark.one_loop, pytest.mark.usefixtures("encapsulated")]

WITHIN = 3.0
COUNT = int(os.environ.get("SCTPIO_KEEP_ALIVE_COUNT", "5"))
HEALTHY = float(os.environ.get("SCTPIO_KEEP_ALIVE_SECONDS", "5"))


async def chatter(conn: Conn) -> None:
    """Send a little all the time, until the association has ended."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            await conn.send(bytes(100))
            await asyncio.sleep(0.05)


async def read(conn: Conn) -> None:
    with contextlib.suppress(OSError, EOFError):
        while True:
            await conn.receive()


async def lost(conn: Conn, began: float) -> float:
    """Wait until an association is lost; return the seconds since then."""
    await conn.wait_closed()
    # On a busy machine cutting takes so long that who knows first can still tell the other, by an ABORT.
    with pytest.raises((AssociationLostError, AssociationAbortedError)):
        await conn.receive()
    return asyncio.get_running_loop().time() - began


def note(what: str, times: dict[str, list[float]]) -> None:
    if path := os.environ.get("SCTPIO_KEEP_ALIVE"):
        with open(path, "a") as file:
            file.write(json.dumps({"case": what, **times}) + "\n")


async def pairs(stack: AsyncExitStack, lab: Lab, ends: Ends, links: int) -> list[Pair]:
    keep_alive = both(KeepAlive(detect_within=WITHIN))
    return [
        await stack.enter_async_context(linked(ends, lab=lab, links=links, **keep_alive))
        for _ in range(COUNT)
    ]


@every_stack
@pytest.mark.parametrize(
    "links", [1, pytest.param(2, marks=pytest.mark.endurance)], ids=["one path", "two paths"]
)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_dead_peer_is_known_in_time(interop_lab: Lab, ends: Ends, links: int, busy: bool) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        made = await pairs(stack, interop_lab, ends, links)
        conns = [conn for pair in made for conn in pair[:2]]
        async with asyncio.TaskGroup() as tasks:
            for conn in conns if busy else ():
                tasks.create_task(chatter(conn))
                tasks.create_task(read(conn))
            # Until heartbeats have measured the paths.
            await asyncio.sleep(1.0)
            interop_lab.cut(*interop_lab.links)
            began = loop.time()
            async with asyncio.timeout(60 * PATIENCE):
                times = await asyncio.gather(*(lost(conn, began) for conn in conns))
        of = {
            name: [took for conn, took in zip(conns, times, strict=True) if conn.stack == name]
            for name in ("kernel", "usrsctp")
        }
        note(f"{'busy' if busy else 'idle'}, {'two paths' if links == 2 else 'one path'}", of)
        # What a busy machine adds is not the timers' part; benchmarks/keep_alive.py looks at those. Without
        # KeepAlive it would be minutes.
        assert max(times) <= 4 * WITHIN * PATIENCE, of


@every_stack
@pytest.mark.endurance
async def test_a_slow_network_that_loses_packets_is_no_death(interop_lab: Lab, ends: Ends) -> None:
    interop_lab.netem("delay 25ms loss 1%", interop_lab.links[0])
    async with AsyncExitStack() as stack:
        made = await pairs(stack, interop_lab, ends, 1)
        conns = [conn for pair in made for conn in pair[:2]]
        busy = conns[: len(conns) // 2]
        tasks = [asyncio.create_task(kind(conn)) for conn in busy for kind in (chatter, read)]
        await asyncio.sleep(HEALTHY)
        assert [str(conn.snapshot().end) for conn in conns if conn.is_closed] == []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for conn in conns:
            conn.abort_nowait()
        note("healthy", {"seconds": [HEALTHY] * len(conns)})
