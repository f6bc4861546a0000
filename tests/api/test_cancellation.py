"""Promise 1: cancelling never loses, duplicates or half-sends a message, and leaves nothing behind."""

import asyncio
import itertools
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from boundaries import WAITING, Boundary
from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    ClosedError,
    Conn,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    SenderDry,
    connect,
    listen,
)
from support import QUEUE, Pair, associations, connected, descriptor_count, read_again, stop_reading, until

pytestmark = [pytest.mark.both_loops, pytest.mark.both_modes]


async def cancel_at(coroutine: Coroutine[Any, Any, Any], turns: int) -> Any:
    """Run a coroutine, cancel it after some turns of the loop: its result, or None."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None


async def test_cancelled_receives_lose_and_duplicate_nothing(pair: Pair) -> None:
    sent = [b"%d" % index for index in range(400)]
    random_ = random.Random(1)

    async def sender() -> None:
        for data in sent:
            await pair.client.send(data)
            await asyncio.sleep(0)
        await pair.client.close()

    task = asyncio.create_task(sender())
    received: list[bytes] = []
    while len(received) < len(sent):
        message = await cancel_at(pair.server.receive(), random_.randrange(4))
        if message is not None:
            received.append(message.data)
    await task
    assert received == sent


async def test_cancelled_receive_many_and_stream_receive_lose_nothing(pair: Pair) -> None:
    sent = [b"%d" % index for index in range(300)]
    random_ = random.Random(2)
    stream = pair.server.stream(1)

    async def sender() -> None:
        for data in sent:
            await pair.client.send(data, stream=random_.randrange(2))
            await asyncio.sleep(0)

    task = asyncio.create_task(sender())
    received: list[bytes] = []
    while len(received) < len(sent):
        messages = await cancel_at(pair.server.receive_many(), random_.randrange(3))
        received += [message.data for message in messages or ()]
        message = await cancel_at(stream.receive(), random_.randrange(3))
        if message is not None:
            received.append(message.data)
    await task
    assert sorted(received) == sorted(sent)


async def test_a_cancel_at_any_bytecode_of_a_wait_loses_nothing(pair: Pair) -> None:
    """A sample of tests/pure/loop/test_boundaries.py on a stack with real packets."""
    received: list[bytes] = []
    sent = 0
    cancelled = 0

    async def receive() -> None:
        while True:
            received.append((await pair.server.receive()).data)

    def all_received() -> bool:
        return len(received) == sent

    for at in range(0, 120, 3):
        with Boundary(at, WAITING) as boundary:
            # Not create_task, which may begin it at once: the first is not known before.
            tasks = [asyncio.Task(receive()) for _ in range(2)]
            boundary.action = tasks[0].cancel
            await asyncio.sleep(0)
            for _ in range(2):
                await pair.client.send(b"%d" % sent)
                sent += 1
            await until(all_received)
        assert boundary.reached
        # The one that was not cancelled got all that came.
        cancelled += tasks[0].cancelled()
        for task in tasks:
            task.cancel()
        assert await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
    assert received == [b"%d" % number for number in range(sent)]
    assert cancelled == 40
    assert len(pair.server._association.unread.inbox.waiters) == 0


async def test_the_message_of_a_woken_and_cancelled_receiver_goes_to_the_next(pair: Pair) -> None:
    first, second = (asyncio.create_task(pair.server.receive()) for _ in range(2))
    waiters = pair.server._association.unread.inbox.waiters
    await until(lambda: len(waiters) == 2)
    waiters.wake()
    first.cancel()
    await pair.client.send(b"for the second")
    async with asyncio.timeout(10):
        assert (await second).data == b"for the second"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_send_that_was_cancelled_sent_nothing_and_one_that_returned_all() -> None:
    random_ = random.Random(3)
    async with connected(
        connect_with={"options": [SendBuffer(20_000)]},
        listen_with={"receive_buffer": 10_000, "options": [ReceiveBuffer(20_000)]},
    ) as pair:
        sent: list[bytes] = []
        received: list[bytes] = []

        async def receiver() -> None:
            async for message in pair.server:
                received.append(message.data)
                # Slower than the sender, so that sends wait.
                await asyncio.sleep(0.002)

        task = asyncio.create_task(receiver())
        cancelled = 0
        for index in itertools.count():
            if index >= 300 and min(cancelled, len(sent)) > 10:
                break
            data = b"%05d" % index + bytes(random_.randrange(6_000))

            async def send(data: bytes = data) -> bytes:
                await pair.client.send(data)
                return data

            if await cancel_at(send(), random_.randrange(1, 3)) is None:
                cancelled += 1
            else:
                sent.append(data)
        await pair.client.close()
        await task
        assert received == sent


async def test_cancelled_event_iteration_loses_no_event(pair: Pair) -> None:
    events = pair.client.events(SenderDry)
    seen = 0
    random_ = random.Random(4)
    # Subscribing while nothing is queued gives one at once.
    await anext(events)
    for _ in range(50):
        await pair.client.send(b"x", sack_immediately=True)
        while (event := await cancel_at(anext(events), random_.randrange(4))) is None:
            await asyncio.sleep(0.001)
        assert isinstance(event, SenderDry)
        seen += 1
    assert seen == 50
    assert await cancel_at(anext(events), 5) is None


async def test_a_cancelled_connect_leaves_nothing() -> None:
    before = descriptor_count()
    for turns in (0, 1, 2, 3):
        # Nobody answers there: a blackhole would need a namespace, an unused address of lo refuses.
        task = asyncio.ensure_future(_connect("192.0.2.1:5000"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError | OSError)
    assert descriptor_count() == before
    assert not associations()


async def _connect(address: str) -> Conn:
    return await connect(address)


async def test_a_connect_cancelled_at_any_turn_leaves_nothing() -> None:
    async with listen("127.0.0.1:0") as listener:
        address = listener.local_addresses
        before = descriptor_count()
        for turns in range(12):
            conn = await cancel_at(_connect(str(address)), turns)
            if conn is not None:
                await conn.abort()
        assert descriptor_count() == before
    await until(lambda: not associations())


async def test_a_cancelled_close_aborts_and_raises() -> None:
    async with connected(connect_with={"options": QUEUE}) as pair:
        # The peer's window is closed and its queue is full, so the shutdown cannot complete.
        stop_reading(pair.server)
        await _fill(pair.client)
        task = asyncio.create_task(pair.client.close())
        await until(lambda: pair.client._association.end is not None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pair.client.is_closed
        assert pair.client.fileno() == -1
        with pytest.raises(ClosedError):
            await pair.client.receive()
        read_again(pair.server)
        with pytest.raises(AssociationAbortedError):
            async for _ in pair.server:
                pass
    await until(lambda: not associations())


async def test_a_cancelled_flush_changes_nothing(pair: Pair) -> None:
    for turns in range(4):
        await pair.client.send(b"x")
        await cancel_at(pair.client.flush(), turns)
    await pair.client.flush()
    assert pair.client.status().unacknowledged == 0
    for _ in range(4):
        await pair.server.receive()


async def test_a_cancelled_wait_closed_and_events_leave_the_association_alone(pair: Pair) -> None:
    assert await cancel_at(pair.client.wait_closed(), 3) is None
    pair.client.set_option(RtoInfo(initial=1.0))
    assert await cancel_at(anext(pair.client.events(AssociationChange)), 3) is None
    await pair.client.send(b"alive")
    assert (await pair.server.receive()).data == b"alive"


async def _fill(conn: Conn) -> int:
    """Send until no more is taken: how many messages were."""
    taken = 0
    while True:
        task = asyncio.create_task(conn.send(bytes(10_000)))
        for _ in range(10):
            await asyncio.sleep(0)
        if not task.done():
            await asyncio.sleep(0.05)
        if not task.done():
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return taken
        await task
        taken += 1
