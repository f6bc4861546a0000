"""Who does not read stops the others or is aborted, over a scripted socket."""

import asyncio
import gc
import logging

import pytest

from pure.loop.shared_socket.bench import ended, opened
from sctpio import AssociationAbortedError, ClosedError, SenderDry
from sctpio._loop import shared_socket as many_module
from support import settled, until

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_one_full_association_pauses_all_and_reading_it_resumes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(many_module, "LONG_PAUSE", 0.01)
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        statistics = bench.listener.statistics()
        assert (statistics.paused_by, statistics.pauses) == ((3,), 1)
        assert slow.statistics().reading_paused
        assert other.statistics().reading_paused
        for _ in range(50):
            bench.script.data(3, bytes(100))
            bench.script.data(4, b"x")
        await settled(lambda: bench.script.unread)
        # Nothing more is taken, and that is told.
        assert bench.script.unread == 100
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert "unread of 3" in record.message
        await slow.receive()
        await until(lambda: bench.listener.statistics().pauses == 2)
        received = 0
        while received < 50:
            received += len(await slow.receive_many())
        assert len(await other.receive_many()) == 50
        assert bench.listener.statistics().paused_by == ()
        assert not other.statistics().reading_paused


async def test_reading_goes_on_only_when_nobody_is_full_any_more() -> None:
    async with opened(receive_buffer=1_000) as bench:
        conns = [await bench.new(identifier) for identifier in (3, 4, 5)]
        for identifier in (3, 4):
            bench.script.data(identifier, bytes(1_000))
        bench.script.data(5, b"small")
        await until(lambda: bench.listener.statistics().paused_by == (3, 4))
        bench.script.data(5, b"later")
        await conns[0].receive()
        assert bench.listener.statistics().paused_by == (4,)
        assert bench.script.unread == 1
        await conns[1].receive()
        assert not bench.listener.statistics().reading_paused
        await bench.read()
        assert [message.data for message in await conns[2].receive_many()] == [b"small", b"later"]


@pytest.mark.parametrize("how", ["abort", "close", "forget"])
async def test_ending_the_slow_association_lets_the_others_go_on(how: str) -> None:
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3, keep=False), await bench.new(4)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().paused_by == (3,))
        bench.script.data(4, b"x")
        closing = None
        match how:
            case "abort":
                await slow.abort()
            case "close":
                closing = asyncio.create_task(slow.close())
            case "forget":
                with pytest.warns(ResourceWarning):
                    del slow
                    gc.collect()
        assert (await other.receive()).data == b"x"
        assert bench.listener.statistics().paused_by == ()
        if closing is not None:
            bench.script.shut(3)
            await closing


async def test_a_pause_does_not_warn_when_it_was_short(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(many_module, "LONG_PAUSE", 0.05)
    async with opened(receive_buffer=1_000) as bench:
        slow = await bench.new(3)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        await slow.receive()
        await asyncio.sleep(0.1)
        assert caplog.records == []
        # Nor after the end of the listener.
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        await bench.listener.close()
        await slow.abort()
        assert bench.script.closed
        await asyncio.sleep(0.1)
        assert caplog.records == []


async def test_a_slow_association_is_aborted_and_keeps_what_it_had() -> None:
    async with opened(receive_buffer=2_000, abort_slow=True) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        for number in range(5):
            bench.script.data(3, b"%d" % number + bytes(300))
            bench.script.data(4, b"%d" % number)
        await until(lambda: bench.script.calls("abort") == [(3, b"slow reader")])
        bench.script.data(3, b"late")
        bench.script.lost(3)
        bench.script.data(4, b"5")
        received = [message.data[:1] for message in await slow.receive_many()]
        assert received in ([b"0", b"1", b"2", b"3"], [b"0", b"1", b"2", b"3", b"4"])
        error = await ended(slow, AssociationAbortedError)
        assert isinstance(error, AssociationAbortedError)
        assert error.cause == b"slow reader"
        await bench.read()
        assert [message.data for message in await other.receive_many()] == [b"%d" % n for n in range(6)]
        assert not bench.listener.statistics().reading_paused


async def test_several_slow_associations_are_aborted_at_once() -> None:
    async with opened(receive_buffer=1_000, abort_slow=True) as bench:
        *slow, other = [await bench.new(identifier) for identifier in (3, 4, 5, 6)]
        for identifier in (3, 4, 5):
            bench.script.data(identifier, bytes(1_000))
        bench.script.data(6, b"x")
        await until(lambda: len(bench.script.calls("abort")) == 3)
        for conn in slow:
            assert len((await conn.receive()).data) == 1_000
            with pytest.raises(AssociationAbortedError):
                await conn.receive()
        assert (await other.receive()).data == b"x"
        await other.send(b"alive")


async def test_who_takes_its_messages_at_once_is_not_slow() -> None:
    async with opened(receive_buffer=1_000, abort_slow=True) as bench:
        conn = await bench.new(3)
        for size in (1_000, 5_000, 100):
            receiver = asyncio.create_task(conn.receive())
            await asyncio.sleep(0)
            bench.script.data(3, bytes(size - 50), complete=False)
            bench.script.data(3, bytes(50))
            async with asyncio.timeout(10):
                assert len((await receiver).data) == size
            await bench.read()
            assert bench.script.calls("abort") == []
        await conn.send(b"alive")


@pytest.mark.parametrize("how", ["abort", "close", "read"])
async def test_a_flush_that_waits_for_the_end_of_a_pause_ends_with_its_association(how: str) -> None:
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        await other.send(b"x")
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        flushing = asyncio.create_task(other.flush())
        await until(lambda: len(bench.many.resumed) == 1)
        closing = None
        match how:
            case "abort":
                await other.abort()
            case "close":
                closing = asyncio.create_task(other.close())
            case "read":
                await slow.receive()
                await until(lambda: (SenderDry, True, 4) in bench.script.calls("subscribe"))
                bench.script.event(SenderDry(4))
        async with asyncio.timeout(5):
            if how == "read":
                await flushing
            else:
                with pytest.raises(ClosedError):
                    await flushing
        assert bench.listener.statistics().reading_paused == (how != "read")
        if closing is not None:
            # The reading pauses still; the end comes on a socket of its own.
            bench.script.peeled[0].shut(4)
            await closing


async def test_one_that_nobody_has_accepted_yet_counts_too() -> None:
    async with opened(receive_buffer=1_000) as bench:
        other = await bench.new(3)
        bench.script.up(4)
        bench.script.data(4, bytes(1_000))
        await until(lambda: bench.listener.statistics().paused_by == (4,))
        bench.script.data(3, b"x")
        late = await bench.accept()
        await late.receive()
        assert (await other.receive()).data == b"x"
