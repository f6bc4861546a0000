"""Senders wait for room, and an error of the socket, over a scripted socket."""

import asyncio
import errno

import pytest

from pure.loop.shared_socket.bench import opened
from sctpio import SenderDry
from support import until

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


# Waiting for room


async def test_senders_wait_and_are_told_by_their_own_acknowledgement() -> None:
    async with opened() as bench:
        one, two = await bench.new(3), await bench.new(4)
        bench.script.has_room = False
        first, second = asyncio.create_task(one.send(b"1")), asyncio.create_task(two.send(b"2"))
        await until(lambda: bench.listener.statistics().waiting_senders == 2)
        assert bench.script.calls("subscribe") == [(SenderDry, True, 3), (SenderDry, True, 4)]
        bench.script.has_room = True
        bench.script.event(SenderDry(4))
        async with asyncio.timeout(10):
            await asyncio.gather(first, second)
        await bench.read()
        after = bench.script.calls("subscribe")[2:]
        assert sorted(after, key=lambda call: call[2]) == [(SenderDry, False, 3), (SenderDry, False, 4)]
        assert bench.listener.statistics().waiting_senders == 0


async def test_a_cancelled_sender_has_sent_nothing_and_the_next_goes() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.has_room = False
        senders = [asyncio.create_task(conn.send(b"%d" % number)) for number in range(3)]
        await until(lambda: conn.statistics().waiting_senders == 3)
        senders[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await senders[0]
        bench.script.has_room = True
        bench.script.log.clear()
        async with asyncio.timeout(10):
            await asyncio.gather(*senders[1:])
        assert bench.script.calls("send") == [(3, b"1"), (3, b"2")]


async def test_senders_of_one_association_keep_their_turns_however_often_they_are_woken() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.has_room = False
        senders = [asyncio.create_task(conn.send(b"%d" % number)) for number in range(5)]
        await until(lambda: conn.statistics().waiting_senders == 5)
        for _ in range(3):
            # An acknowledgement and two looks, before any of those whom they wake has run; all try in vain.
            bench.many._share.look()
            bench.many._share.dry(conn._association)
            bench.many._share.look()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        bench.script.has_room = True
        bench.script.log.clear()
        async with asyncio.timeout(10):
            await asyncio.gather(*senders)
        assert bench.script.calls("send") == [(3, b"%d" % number) for number in range(5)]


async def test_while_reading_is_paused_acknowledgements_are_not_waited_for() -> None:
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        async with asyncio.timeout(10):
            for _ in range(20):
                await other.send(bytes(50_000))
        await slow.receive()
        # From now on it has to wait for its turn again.
        sender = asyncio.create_task(other.send(bytes(50_000)))
        await until(lambda: other.statistics().waiting_senders == 1)
        bench.script.event(SenderDry(4))
        async with asyncio.timeout(10):
            await sender


# Whatever happens


async def test_an_error_of_the_socket_is_told_and_reading_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.state = -errno.ENOBUFS
        bench.script.data(3, b"1")
        assert (await conn.receive()).data == b"1"
        bench.script.state = -errno.EAGAIN
        bench.script.data(3, b"2")
        assert (await conn.receive()).data == b"2"
        assert "ENOBUFS" in caplog.text
