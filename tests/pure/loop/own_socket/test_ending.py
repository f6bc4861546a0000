"""How an association on a socket of its own ended: the error, the event, and what was queued ahead of it."""

import asyncio
import errno
import gc
import warnings

import pytest

from pure.loop.own_socket.bench import opened
from pure.loop.scripted import ScriptOfOne, change
from sctpio import (
    AssociationAbortedError,
    AssociationLostError,
    AssociationState,
    EndOfAssociation,
    SenderDry,
    ShutdownEvent,
)
from sctpio._abi.contract import EOF
from support import turns, until, within

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_an_error_is_latched_and_what_was_queued_ahead_of_it_is_read() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.data(3, b"unread")
        # The event has no cause: that it was an ABORT only the error says, and it says so once.
        script.lost(3, cause=None)
        script.fail(errno.ECONNRESET)
        with pytest.raises(AssociationAbortedError):
            await conn.send(b"x")
        assert (conn.is_closed, script.closed) == (True, True)
        assert (await conn.receive()).data == b"unread"
        for _ in range(2):
            with pytest.raises(AssociationAbortedError):
                await conn.receive()


async def test_the_first_error_stays() -> None:
    async with opened() as bench:
        bench.script.lost(3, cause=None)
        # The second would make an abort of it.
        for code in (errno.EHOSTUNREACH, errno.ECONNRESET):
            bench.script.fail(code)
        with pytest.raises(AssociationLostError) as caught:
            await bench.conn.send(b"x")
        assert caught.value.errno == errno.EHOSTUNREACH


async def test_that_nothing_can_be_sent_any_more_is_no_news() -> None:
    async with opened() as bench:
        bench.script.lost(3, cause=None)
        for code in (errno.EPIPE, errno.ECONNRESET):
            bench.script.fail(code)
        with pytest.raises(AssociationAbortedError):
            await bench.conn.send(b"x")


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ECONNREFUSED])
async def test_an_error_of_an_association_that_lives_is_passed_over(code: int) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.data(3, b"1")
        script.fail(code)
        assert (await within(conn.receive())).data == b"1"
        script.data(3, b"2")
        assert (await within(conn.receive())).data == b"2"
        await conn.send(b"alive")
        # And it is not remembered for the end.
        script.lost(3, cause=None)
        with pytest.raises(AssociationLostError) as caught:
            await within(conn.receive())
        assert caught.value.errno == errno.ETIMEDOUT


def _told_late(script: ScriptOfOne) -> None:
    """Let the event that tells of the end come after the look at the queue, behind more than a batch."""

    def asked() -> None:
        if not script.calls("late"):
            script.log.append(("late",))
            for _ in range(200):
                script.data(3, b"late")
            script.lost(3, cause=b"why")

    script.lost(3, told=False)
    script.asked = asked


async def test_what_came_between_the_error_and_the_look_is_read() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        _told_late(script)
        script.fail(errno.ECONNRESET)
        await within(conn.wait_closed())
        assert len(await conn.receive_many()) == 200
        with pytest.raises(AssociationAbortedError) as caught:
            await conn.receive()
        assert caught.value.cause == b"why"


async def test_what_came_between_the_end_of_what_is_read_and_the_look_is_read() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        _told_late(script)
        script.state = EOF
        script.event(SenderDry(3))
        await within(conn.wait_closed())
        assert len(await conn.receive_many()) == 200
        with pytest.raises(AssociationAbortedError) as caught:
            await conn.receive()
        assert caught.value.cause == b"why"


async def test_a_socket_that_reads_as_ended_without_an_event_was_shut_down() -> None:
    async with opened() as bench:
        bench.script.lost(3, told=False)
        bench.script.state = EOF
        bench.script.event(SenderDry(3))
        with pytest.raises(EndOfAssociation):
            await within(bench.conn.receive())
        assert bench.script.closed


async def test_a_flush_ends_when_the_peer_restarts_and_the_association_lives_on() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        await conn.send(b"lost with the old peer")
        flushing = asyncio.create_task(conn.flush())
        await until(lambda: len(script.calls("subscribe")) == 2)
        script.event(change(3, AssociationState.RESTART))
        with pytest.raises(ConnectionResetError, match="restarted"):
            await within(flushing)
        # Of the next one the old peer's restart is no business.
        flushing = asyncio.create_task(conn.flush())
        await until(lambda: len(script.calls("subscribe")) == 5)
        script.event(SenderDry(3))
        await within(flushing)


async def test_who_forgets_what_the_peer_has_shut_down_is_not_warned_and_nothing_stays() -> None:
    async with opened() as bench:
        bench.script.event(ShutdownEvent(3))
        bench.script.state = EOF
        await until(lambda: bool(bench.script.watches))
        assert not bench.conn.is_closed
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del bench.conn
            gc.collect()
        await turns()
        assert [str(warning.message) for warning in caught] == []
        assert (bench.script.closed, bench.script.watches[0].fileno()) == (True, -1)


async def test_who_forgets_an_open_association_is_warned() -> None:
    async with opened() as bench:
        await turns()
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Conn open association=3"):
            del bench.conn
            gc.collect()
        await turns()
        assert bench.script.closed
