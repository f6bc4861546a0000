"""A socket that polls as writable and takes nothing, or whose end cannot be watched."""

import asyncio
import errno
import os
from typing import Any

import pytest

from pure.loop.own_socket.bench import opened
from sctpio import ShutdownEvent
from sctpio._abi.contract import EOF
from sctpio._loop.loop_socket import MOST_STALL_PAUSE, STALL_PAUSE
from support import turns, until, within

# The loop's timers are looked at.
pytestmark = [pytest.mark.one_loop, pytest.mark.usefixtures("full_batches")]


@pytest.fixture
async def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the pauses of sockets, and have none of them take long."""
    loop = asyncio.get_running_loop()
    call_later: Any = loop.call_later
    noted: list[float] = []

    def later(delay: float, *arguments: Any, **context: Any) -> asyncio.TimerHandle:
        if delay <= MOST_STALL_PAUSE:
            noted.append(round(delay, 6))
            delay /= 100
        handle: asyncio.TimerHandle = call_later(delay, *arguments, **context)
        return handle

    monkeypatch.setattr(loop, "call_later", later)
    return noted


async def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success(pauses: list[float]) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.has_room = False
        sending = asyncio.create_task(conn.send(b"1"))
        async with asyncio.timeout(20):
            while pauses.count(MOST_STALL_PAUSE) < 3:
                await asyncio.sleep(0)
        stalls = [pause for pause in pauses if pause >= STALL_PAUSE]
        assert stalls[:8] == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05]
        # One try for each, no more.
        assert len(script.calls("send")) <= len(stalls) + 2
        script.has_room = True
        await within(sending)
        assert script.taken == [b"1"]
        script.has_room = False
        pauses.clear()
        sending = asyncio.create_task(conn.send(b"2"))
        async with asyncio.timeout(20):
            while len(pauses) < 2:
                await asyncio.sleep(0)
        assert pauses[:2] == [0.001, 0.002]
        script.has_room = True
        await within(sending)


async def test_a_pause_whose_senders_are_gone_watches_nothing() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.has_room = False
        sending = asyncio.create_task(conn.send(b"1"))
        await until(lambda: bench.socket._stall is not None)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await until(lambda: bench.socket._stall is None)
        before = conn.statistics().wakeups
        await asyncio.sleep(0.02)
        assert conn.statistics().wakeups == before


async def test_a_sender_that_comes_during_a_pause_does_not_end_it(pauses: list[float]) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.has_room = False
        first = asyncio.create_task(conn.send(b"1"))
        while not pauses:
            await asyncio.sleep(0)
        second = asyncio.create_task(conn.send(b"2"))
        while len(pauses) < 6:
            await asyncio.sleep(0)
        assert pauses[:6] == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032]
        assert (b"2",) not in {call[1:] for call in script.calls("send")}
        script.has_room = True
        await within(asyncio.gather(first, second))
        assert script.taken == [b"1", b"2"]


async def test_an_end_that_cannot_be_watched_is_looked_for_from_time_to_time(pauses: list[float]) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script

        def refuse() -> Any:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        script.watch_end = refuse  # type: ignore[method-assign]
        script.event(ShutdownEvent(3))
        script.state = EOF
        async with asyncio.timeout(20):
            while len(pauses) < 3:
                await asyncio.sleep(0)
        assert set(pauses) == {MOST_STALL_PAUSE}
        assert not conn.is_closed
        # Each look reads once.
        assert conn.statistics().wakeups <= len(pauses) + 2
        script.shut(3)
        await within(conn.wait_closed())
        assert conn.is_closed


async def test_an_end_that_the_loop_cannot_watch_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        loop = asyncio.get_running_loop()

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(loop, "add_reader", refuse)
        script.event(ShutdownEvent(3))
        script.state = EOF
        await until(lambda: len(script.watches) == 1 and script.watches[0].fileno() == -1)
        monkeypatch.undo()
        script.shut(3)
        await within(conn.wait_closed())


async def test_more_is_read_in_the_next_turn_though_the_socket_is_not_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libuv stops watching a socket that has an error, until everything is read."""
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        monkeypatch.setattr(bench.socket, "batch", 2)
        for number in range(5):
            script.data(3, b"%d" % number)
        await until(lambda: conn.statistics().unread_messages > 0)
        asyncio.get_running_loop().remove_reader(script.fileno())
        await turns()
        assert [message.data for message in await conn.receive_many()] == [b"0", b"1", b"2", b"3", b"4"]
