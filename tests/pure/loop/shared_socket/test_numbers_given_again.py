"""The stack gives the number of an ended association to another: nothing of the old reaches the new."""

import asyncio
import gc
import random

import pytest

from pure.loop.scripted import PEER
from pure.loop.shared_socket.bench import ended, opened
from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationError,
    AssociationLostError,
    AssociationState,
    ClosedError,
    EndOfAssociation,
    ErrorCause,
    SenderDry,
    ShutdownEvent,
)
from sctpio._abi.contract import MSG_EOR
from support import collect, until

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_a_number_given_again_belongs_to_the_successor_alone() -> None:
    async with opened() as bench:
        old = await bench.new(5, keep=False)
        # All of it in one batch.
        bench.script.data(5, b"for the old")
        bench.script.data(5, b"half for the old", complete=False)
        bench.script.lost(5, cause=b"why")
        bench.script.up(5)
        bench.script.data(5, b"for the new")
        new = await bench.accept()
        assert [message.data for message in await new.receive_many()] == [b"for the new"]
        assert (await old.receive()).data == b"for the old"
        error = await ended(old, AssociationAbortedError)
        assert isinstance(error, AssociationAbortedError)
        assert (error.cause, error.error) == (b"why", ErrorCause.USER_INITIATED_ABORT)
        # Nothing of that touched the new one, nor does the end of the old object.
        del old
        gc.collect()
        await new.send(b"alive")
        bench.script.data(5, b"more")
        assert (await new.receive()).data == b"more"
        assert bench.script.calls("send") == [(5, b"alive")]
        assert not bench.script.calls("abort") + bench.script.calls("shutdown")


async def test_waiting_tasks_of_the_old_end_and_those_of_the_new_go_on() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.has_room = False
        waiting = [
            asyncio.create_task(call)
            for call in (
                old.receive(),
                old.stream(1).receive(),
                old.send(b"x"),
                old.flush(),
                old.receive_many(),
            )
        ]
        events = asyncio.create_task(collect(old.events(AssociationChange)))
        closed = asyncio.create_task(old.wait_closed())
        await until(lambda: old.statistics().waiting_senders == 1)
        bench.script.lost(5)
        bench.script.up(5)
        new = await bench.accept()
        for task in waiting:
            with pytest.raises(AssociationAbortedError):
                await task
        await closed
        assert [event.state for event in await events] == [AssociationState.COMM_LOST]
        sender = asyncio.create_task(new.send(b"x"))
        receiver = asyncio.create_task(new.receive())
        await until(lambda: new.statistics().waiting_senders == 1)
        bench.script.has_room = True
        bench.script.event(SenderDry(5))
        bench.script.data(5, b"y")
        async with asyncio.timeout(10):
            await sender
            assert (await receiver).data == b"y"


async def test_an_end_that_was_never_told_is_seen_when_the_number_is_given_again() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        receiver = asyncio.create_task(old.receive())
        await asyncio.sleep(0)
        bench.script.data(5, b"half", complete=False)
        bench.script.lost(5, told=False)
        bench.script.up(5)
        bench.script.data(5, b"for the new")
        new = await bench.accept()
        assert (await new.receive()).data == b"for the new"
        with pytest.raises(AssociationLostError):
            await receiver
        await ended(old, AssociationLostError)
        await new.send(b"alive")


async def test_an_end_that_was_never_told_ends_a_close_that_waits_for_it() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        closing = asyncio.create_task(old.close())
        await until(lambda: bench.script.calls("shutdown") == [(5,)])
        bench.script.lost(5, told=False)
        new = await bench.new(5)
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(10):
                await closing
        await ended(old, ClosedError)
        await new.send(b"alive")


async def test_our_own_association_with_a_number_whose_end_was_never_told() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        receiver = asyncio.create_task(old.receive())
        await asyncio.sleep(0)
        bench.script.lost(5, told=False)
        bench.script.connects.append(5)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        bench.script.up(5)
        new = await connecting
        bench.script.data(5, b"for the new")
        assert (await new.receive()).data == b"for the new"
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(1):
                await receiver
        await ended(old, AssociationLostError)
        await new.send(b"alive")


async def test_data_of_a_number_that_the_stack_does_not_have_reaches_nobody() -> None:
    async with opened() as bench:
        three = await bench.new(3)
        bench.script.data(99, b"whose is this")
        bench.script.data(99, b"and this", complete=False)
        bench.script.data(3, b"mine")
        assert (await three.receive()).data == b"mine"
        await bench.read()
        statistics = bench.listener.statistics()
        assert (statistics.associations, statistics.unaccepted, statistics.unread_messages) == (1, 0, 0)


async def test_data_of_an_association_whose_begin_was_not_told_begins_it() -> None:
    async with opened() as bench:
        bench.script.up(8, Address("10.0.0.8", 88), told=False)
        bench.script.data(8, b"first", stream=3)
        bench.script.data(8, b"second")
        conn = await bench.accept()
        assert [message.data for message in await conn.receive_many()] == [b"first", b"second"]
        assert (conn.association_id, conn.outbound_streams, conn.inbound_streams) == (8, 8, 7)
        assert conn.peer_addresses == Address("10.0.0.8", 88)
        await conn.send(b"answer")
        bench.script.shut(8)
        await conn.wait_closed()


async def test_what_is_left_of_an_association_that_was_aborted_here_reaches_nobody() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.data(5, b"unread")
        bench.script.data(5, b"half", complete=False)
        await until(lambda: not bench.script.unread)
        bench.script.data(5, b"left over")
        await old.abort(b"enough")
        bench.script.data(5, b"left over too")
        bench.script.event(ShutdownEvent(5))
        bench.script.lost(5)
        new = await bench.new(5)
        bench.script.data(5, b"for the new")
        assert [message.data for message in await new.receive_many()] == [b"for the new"]
        await ended(old, ClosedError)
        assert bench.script.calls("abort") == [(5, b"enough")]


async def test_a_successor_whose_begin_was_not_told_after_an_end_that_was_not_either() -> None:
    """Out of memory, a stack may lose both events; its refusal to send is then all that we have."""
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.lost(5, told=False)
        with pytest.raises(AssociationLostError):
            await old.send(b"x")
        bench.script.up(5, told=False)
        bench.script.data(5, b"for the new")
        await bench.read()
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(1):
                await old.receive()
        new = await bench.accept()
        assert (await new.receive()).data == b"for the new"


async def test_what_the_stack_says_of_a_send_ends_the_association_as_its_event_tells() -> None:
    async with opened() as bench:
        three, four = await bench.new(3), await bench.new(4)
        bench.script.data(3, b"unread")
        bench.script.lost(3, cause=b"the event is not read yet")
        for _ in range(2):
            with pytest.raises(AssociationAbortedError) as caught:
                await three.send(b"x")
            assert caught.value.cause == b"the event is not read yet"
        assert (await three.receive()).data == b"unread"
        await ended(three, AssociationAbortedError)
        await four.send(b"alive")


async def test_a_send_that_would_have_to_wait_says_how_the_association_ended() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        # More than its part of the buffer is under way: the next one waits, without asking the stack.
        await conn.send(bytes(60_000))
        bench.script.lost(3, cause=b"not read yet")
        with pytest.raises(AssociationAbortedError) as caught:
            async with asyncio.timeout(10):
                await conn.send(bytes(60_000))
        assert caught.value.cause == b"not read yet"
        await ended(conn, AssociationAbortedError)


async def test_flush_says_how_the_association_ended() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        await conn.send(b"x")
        bench.script.lost(3, cause=b"not read yet")
        with pytest.raises(AssociationAbortedError):
            await conn.flush()


async def test_any_story_keeps_generations_apart() -> None:
    """Few numbers, given again and again; each message says whose it is."""
    chance = random.Random(7)
    async with opened(backlog=4096, receive_buffer=10_000_000) as bench:
        generation: dict[int, int] = {}
        count, expected = 0, dict[int, list[bytes]]()
        for _ in range(1_500):
            identifier = chance.randrange(3, 7)
            mine = generation.get(identifier)
            match chance.randrange(6):
                case 0 if mine is None:
                    bench.script.up(identifier)
                    generation[identifier] = count
                    expected[count] = []
                    count += 1
                case 1 if mine is not None:
                    bench.script.lost(identifier, cause=b"%d" % mine)
                    del generation[identifier]
                case 2 if mine is not None:
                    bench.script.shut(identifier)
                    del generation[identifier]
                case 3 if mine is not None:
                    # Its end is not told; its successor comes at once.
                    bench.script.lost(identifier, told=False)
                    bench.script.up(identifier)
                    generation[identifier] = count
                    expected[count] = []
                    count += 1
                case 4 if mine is not None:
                    bench.script.data(identifier, b"part of %d" % mine, complete=False)
                    bench.script.data(identifier, b", rest")
                    expected[mine].append(b"part of %d, rest" % mine)
                case 5:
                    if mine is None:
                        bench.script.data(99, b"of nobody")
                    else:
                        bench.script.data(identifier, b"%d" % mine, complete=chance.random() < 0.9)
                        if bench.script._queue[-1][1] & MSG_EOR:
                            expected[mine].append(b"%d" % mine)
                        else:
                            bench.script.data(identifier, b"!")
                            expected[mine].append(b"%d!" % mine)
            if chance.random() < 0.1:
                await bench.read()
        await bench.read()
        assert count > 100
        for number in range(count):
            conn = await bench.accept()
            received = []
            while conn.statistics().unread_messages:
                received += [message.data for message in await conn.receive_many()]
            assert received == expected[number]
            if conn.is_closed:
                with pytest.raises((AssociationError, EndOfAssociation)) as caught:
                    await conn.receive()
                if isinstance(caught.value, AssociationAbortedError):
                    assert caught.value.cause == b"%d" % number
            else:
                assert generation[conn.association_id] == number
                await conn.abort()
        assert bench.listener.statistics().unaccepted == 0
