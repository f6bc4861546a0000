"""Item 12 of promise 9: the system refuses a watch (ENOSPC of epoll_ctl): nothing is lost, nobody deaf."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

import pure.loop.shared_socket.bench
from pure.loop.own_socket.bench import opened
from sctpio._loop.own_socket import OwnSocket
from support import turns, until, within

shared = pure.loop.shared_socket.bench


class Refusing:
    """Lets calls of a loop's method fail while `on`."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.on = False
        self.refused = 0
        self._method = method

    def __call__(self, *arguments: Any) -> Any:
        if self.on:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._method(*arguments)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> Refusing:
    """Put a `Refusing` in the place of a method of the running loop."""
    loop = asyncio.get_running_loop()
    refusing = Refusing(getattr(loop, name))
    monkeypatch.setattr(loop, name, refusing)
    return refusing


@pytest.mark.one_loop
async def test_a_message_is_taken_and_the_reading_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(receive_buffer=1_000) as bench:
        conn, script = bench.conn, bench.script
        script.data(3, bytes(1_000))
        await until(lambda: conn.statistics().reading_paused)
        refusing = refuse(monkeypatch, "add_reader")
        refusing.on = True
        script.data(3, b"next")
        assert len((await within(conn.receive())).data) == 1_000
        assert refusing.refused == 1
        refusing.on = False
        assert (await within(conn.receive())).data == b"next"


@pytest.mark.one_loop
async def test_an_error_that_ends_nothing_leaves_nobody_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as bench:
        refusing = refuse(monkeypatch, "add_reader")
        refusing.on = True
        bench.script.data(3, b"first")
        bench.script.fail(errno.EIO)
        assert (await within(bench.conn.receive())).data == b"first"
        await until(lambda: refusing.refused > 0)
        refusing.on = False
        bench.script.data(3, b"second")
        assert (await within(bench.conn.receive())).data == b"second"


@pytest.mark.one_loop
async def test_senders_that_wait_after_a_stall_are_woken_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        # Writable, and takes nothing.
        script.has_room = False
        sending = asyncio.create_task(conn.send(b"late"))
        refusing = refuse(monkeypatch, "add_writer")
        await until(lambda: bench.socket._stall is not None)
        refusing.on = True
        await until(lambda: refusing.refused > 1)
        refusing.on = False
        script.has_room = True
        await within(sending)
        assert script.taken == [b"late"]


@pytest.mark.both_loops
async def test_senders_that_wait_after_a_stall_are_woken_beside_an_error() -> None:
    """uvloop has closed its watcher of the descriptor by then."""
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.has_room = False
        sending = asyncio.create_task(conn.send(b"late"))
        await until(lambda: bench.socket._stall is not None)
        wakeups = bench.socket.wakeups
        script.error_pending()
        await until(lambda: bench.socket.wakeups > wakeups + 1)
        script.has_room = True
        await within(sending)
        assert script.taken == [b"late"]


@pytest.mark.one_loop
async def test_an_association_is_peeled_off_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shared.opened() as bench:
        conn = await bench.new(3)
        bench.script.data(3, b"queued")
        refusing = refuse(monkeypatch, "add_reader")
        refusing.on = True
        assert await conn.peel_off() is conn
        assert isinstance(conn._link.socket, OwnSocket)
        refusing.on = False
        assert (await within(conn.receive())).data == b"queued"
        bench.script.peeled[0].data(3, b"later")
        assert (await within(conn.receive())).data == b"later"
        await conn.abort()


async def test_the_second_sender_goes_on_where_the_first_is_cancelled_as_it_is_peeled_off() -> None:
    """Item 4, whole: cancelled and peeled off in one step."""
    async with shared.opened() as bench:
        conn = await bench.new(3)
        bench.script.has_room = False
        first, second = (asyncio.create_task(conn.send(data)) for data in (b"1", b"2"))
        await until(lambda: len(conn._association.senders) == 2)
        await turns()
        # Nothing else may wake it.
        bench.many._share.close()
        bench.script.has_room = True
        first.cancel()
        await conn.peel_off()
        await within(second)
        assert first.cancelled()
        assert bench.script.peeled[0].taken == [b"2"]
        await conn.abort()
