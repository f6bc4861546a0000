"""One association of a shared socket is not read: what becomes of the others."""

import asyncio
import gc
import logging
import random
from typing import Any

import pytest

from api.one_to_many.listener.served import MANY, ended, exchange, fill, served, stop, talks
from sctpio import AssociationAbortedError, EndOfAssociation, Mode, ReceiveBuffer, SendBuffer, connect, listen
from sctpio._loop import shared_socket as many_module
from sctpio.stacks.native import ARENA
from support import KIB, PATIENCE, drain, settled, until


async def test_a_slow_reader_pauses_all_and_memory_stays_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_module, "LONG_PAUSE", 0.2)
    limit = 64 * KIB
    async with served(3, listen_with={"receive_buffer": limit}) as (listener, clients, servers):
        flood = await fill(clients[0])
        await until(lambda: listener.statistics().reading_paused)
        statistics = listener.statistics()
        assert statistics.paused_by == (servers[0].association_id,)
        assert statistics.pauses >= 1
        assert all(server.statistics().reading_paused for server in servers)
        assert limit <= statistics.unread_bytes + 256 * statistics.unread_messages <= limit + ARENA
        # What it says in the log names it.
        await until(lambda: bool(caplog.records))
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert str(servers[0].association_id) in record.message
        assert "all 3 associations" in record.message
        # The others' messages wait, and nobody is woken.
        await clients[1].send(b"held up")
        receiver = asyncio.create_task(servers[1].receive())
        await settled(lambda: listener.statistics().wakeups)
        before = listener.statistics()
        await asyncio.sleep(0.5)
        assert listener.statistics() == before
        assert not receiver.done()
        # They can send all the same.
        await servers[2].send(b"out")
        assert (await clients[2].receive()).data == b"out"
        reader = asyncio.create_task(drain(servers[0]))
        async with asyncio.timeout(20 * PATIENCE):
            assert (await receiver).data == b"held up"
        await until(lambda: clients[0].statistics().messages_sent > 100)
        assert listener.statistics().pauses > 1 or not listener.statistics().reading_paused
        await stop(flood, reader)
        assert len(caplog.records) == 1


@pytest.mark.parametrize("how", ["close", "abort", "forget"])
async def test_ending_the_slow_association_lets_the_others_go_on(how: str) -> None:
    async with served(2, listen_with={"receive_buffer": 64 * KIB}) as (listener, clients, servers):
        client = await connect(listener.local_addresses)
        slow = await listener.accept()
        flood = asyncio.create_task(client.send_many([bytes(10_000)] * 100))
        await until(lambda: listener.statistics().paused_by == (slow.association_id,))
        receiver = asyncio.create_task(servers[0].receive())
        await clients[0].send(b"held up")
        closing = None
        match how:
            case "close":
                closing = asyncio.create_task(slow.close())
            case "abort":
                await slow.abort(b"too slow")
            case "forget":
                with pytest.warns(ResourceWarning):
                    del slow
                    gc.collect()
        async with asyncio.timeout(20 * PATIENCE):
            assert (await receiver).data == b"held up"
            if closing is not None:
                await closing
        with pytest.raises((AssociationAbortedError, EndOfAssociation)):
            await flood
        assert not listener.statistics().reading_paused
        await talks(*zip(clients, servers, strict=True))
        await client.wait_closed()


async def test_a_listener_that_is_paused_goes_on_when_the_last_full_association_is_read() -> None:
    async with served(3, listen_with={"receive_buffer": 32 * KIB}) as (listener, clients, servers):
        floods = [asyncio.create_task(client.send_many([bytes(8_000)] * 40)) for client in clients[:2]]
        await until(lambda: listener.statistics().reading_paused)
        await clients[2].send(b"last")
        counts = [0, 0]
        while sum(counts) < 80:
            # One after another: whoever is full now.
            for number in (0, 1):
                if servers[number].statistics().unread_messages:
                    counts[number] += len(await servers[number].receive_many())
            await asyncio.sleep(0)
        assert counts == [40, 40]
        await asyncio.gather(*floods)
        assert (await servers[2].receive()).data == b"last"
        statistics = listener.statistics()
        assert (statistics.reading_paused, statistics.paused_by, statistics.unread_messages) == (False, (), 0)


async def test_a_message_larger_than_the_buffer_pauses_and_is_read() -> None:
    buffers = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with served(
        2,
        listen_with={"receive_buffer": 10 * KIB, "options": buffers},
        connect_with={"options": buffers},
    ) as (listener, clients, servers):
        data = random.Random(2).randbytes(350_000)
        sender = asyncio.create_task(clients[0].send(data, stream=1, ppid=9))
        message = await servers[0].receive()
        assert (message.data, message.stream, message.ppid) == (data, 1, 9)
        await sender
        assert not listener.statistics().reading_paused
        await talks((clients[1], servers[1]))


async def test_flush_waits_for_the_pause_that_another_association_made() -> None:
    async with served(2, listen_with={"receive_buffer": 32 * KIB}) as (listener, clients, servers):
        flood = asyncio.create_task(clients[0].send_many([bytes(8_000)] * 20))
        await until(lambda: listener.statistics().reading_paused)
        await servers[1].send(b"x")
        flushing = asyncio.create_task(servers[1].flush())
        await asyncio.sleep(0.05)
        assert not flushing.done()
        reader = asyncio.create_task(drain(servers[0]))
        async with asyncio.timeout(20 * PATIENCE):
            await flushing
            await flood
        await stop(reader)


async def test_a_slow_reader_can_be_aborted_instead() -> None:
    listen_with = {"slow_reader": "abort", "receive_buffer": 64 * KIB}
    async with served(3, listen_with=listen_with) as (listener, clients, servers):
        talking = [
            asyncio.create_task(exchange(*pair)) for pair in zip(clients[1:], servers[1:], strict=True)
        ]
        sent = [b"%d" % number + bytes(8_000) for number in range(100)]
        flood = asyncio.create_task(clients[0].send_many(sent))
        with pytest.raises(AssociationAbortedError) as caught:
            await flood
        assert caught.value.cause == b"slow reader"
        await servers[0].wait_closed()
        # What it had received stays readable, in order; then it says why.
        received = [message.data for message in await servers[0].receive_many()]
        assert len(received) * 8_000 >= 64 * KIB - 8_500
        assert received == sent[: len(received)]
        with pytest.raises(AssociationAbortedError) as caught:
            await servers[0].receive()
        assert caught.value.cause == b"slow reader"
        await ended(servers[0], AssociationAbortedError)
        async with asyncio.timeout(20 * PATIENCE):
            await asyncio.gather(*talking)
        assert not listener.statistics().reading_paused


async def test_who_reads_is_not_slow_however_much_comes_at_once() -> None:
    buffers = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with served(
        1,
        listen_with={"slow_reader": "abort", "receive_buffer": 10 * KIB, "options": buffers},
        connect_with={"options": buffers},
    ) as (_, clients, servers):
        received = 0

        async def read() -> None:
            nonlocal received
            async for message in servers[0]:
                received += len(message.data)

        reader = asyncio.create_task(read())
        await clients[0].send_many([bytes(1_000)] * 200)
        await clients[0].send(bytes(300_000))
        await clients[0].close()
        await reader
        assert received == 500_000


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"slow_reader": "drop"}, "slow_reader is 'drop'"),
        ({"slow_reader": None}, "slow_reader is None"),
        ({"slow_reader": "abort", "mode": Mode.ONE_TO_ONE}, "ONE_TO_MANY"),
        ({"backlog": 0}, "backlog is 0"),
        ({"backlog": True}, "backlog is True"),
        ({"backlog": 70_000}, "backlog is 70000"),
        ({"receive_buffer": 0}, "receive_buffer is 0"),
    ],
)
async def test_bad_settings_are_quoted(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        listen("127.0.0.1:0", **{"mode": MANY, **arguments})
