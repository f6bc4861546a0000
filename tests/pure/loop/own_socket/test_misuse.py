"""Item 3 of promise 9: a use from another loop is an error there, and harms nobody else."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pure.loop.own_socket.bench import opened
from pure.loop.scripted import PEER
from sctpio import AssociationChange, Conn, SenderDry
from support import turns, until, within


def elsewhere(call: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Call it in another loop, in another thread; it is refused."""
    outcome: list[BaseException] = []

    def run() -> None:
        async def called() -> None:
            await call()

        try:
            asyncio.run(called())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert [type(error) for error in outcome] == [RuntimeError], outcome
    assert "this object belongs to" in str(outcome[0])


@pytest.mark.parametrize("name", ["receive", "receive_many", "flush", "close", "wait_closed", "peel_off"])
async def test_a_call_elsewhere_changes_nothing(name: str) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        reader = asyncio.create_task(conn.receive())
        await turns()
        # Whoever reads it elsewhere would wake the reader from the wrong thread.
        bench.socket._set_reading(False)
        script.data(3, b"for the rightful reader")
        before = list(script.log)
        elsewhere(getattr(conn, name))
        assert script.unread == 1
        assert script.log == before
        bench.socket._set_reading(True)
        assert (await within(reader)).data == b"for the rightful reader"
        assert not conn.is_closed


async def test_a_misused_send_that_had_to_wait_leaves_the_senders_alone() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.fill()
        waiting = [asyncio.create_task(conn.send(b"%d" % number)) for number in range(2)]
        await until(lambda: len(conn._association.senders) == 2)
        elsewhere(lambda: conn.send(b"misused"))
        assert len(conn._association.senders) == 2
        script.empty()
        await within(asyncio.gather(*waiting))
        assert script.taken == [b"0", b"1"]


async def test_a_misused_send_touches_no_watch_of_the_loop() -> None:
    async with opened() as bench:
        bench.script.fill()
        watched: list[object] = []
        bench.socket.want_space = watched.append  # type: ignore[method-assign, assignment]
        elsewhere(lambda: bench.conn.send(b"misused"))
        assert watched == []


async def test_events_elsewhere_are_refused_and_come_here() -> None:
    async with opened() as bench:
        events = bench.conn.events(SenderDry, AssociationChange)
        elsewhere(lambda: anext(events))
        bench.script.event(SenderDry(3))
        assert await within(anext(events)) == SenderDry(3)
        assert bench.conn.peer_addresses == PEER
        assert isinstance(bench.conn, Conn)
