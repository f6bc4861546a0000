"""Peeling off: an association moves to a socket of its own, and nobody who uses it notices."""

import asyncio
import errno
import gc
import os
import random
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest
import pytest_asyncio

from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationError,
    AssociationState,
    ClosedError,
    Conn,
    DelayedSack,
    EndOfAssociation,
    Endpoint,
    FragmentInterleave,
    InterleavingSupported,
    Listener,
    MessageTooLargeError,
    Mode,
    Option,
    ReceiveBuffer,
    RtoInfo,
    Scheduler,
    SendBuffer,
    SenderDry,
    ShutdownEvent,
    StreamScheduler,
    connect,
    listen,
    open_endpoint,
)
from sctpio._ending import alive
from sctpio.stacks import _native
from support import (
    PATIENCE,
    PER_SOCKET,
    STACK,
    Pair,
    associations,
    connected,
    descriptor_count,
    paired,
    settled,
    until,
)

KIB = 1024
LOCAL = "127.0.0.1:0"
MANY = Mode.ONE_TO_MANY

# A window that a few messages close; and timers with which it opens again soon.
SMALL: dict[str, Any] = {"options": [ReceiveBuffer(4 * KIB)]}
MEDIUM: dict[str, Any] = {"options": [ReceiveBuffer(24 * KIB)]}
QUICK: tuple[Option, ...] = (RtoInfo(initial=0.2, maximum=0.3, minimum=0.1),)

# So that messages of some 100 KiB are delivered in parts.
NARROW: tuple[Option, ...] = (
    ReceiveBuffer(100 * KIB),
    SendBuffer(400 * KIB),
    DelayedSack(frequency=1),
    *QUICK,
)

COMM_UP, COMM_LOST = AssociationState.COMM_UP, AssociationState.COMM_LOST
SHUTDOWN_COMP = AssociationState.SHUTDOWN_COMP


@pytest_asyncio.fixture(autouse=True)
async def _no_association() -> AsyncIterator[None]:
    yield
    await until(lambda: not associations())


def shared(local: str = LOCAL, **listen_with: Any) -> AbstractAsyncContextManager[Pair]:
    """Connect a client with a one-to-many listener; the server's end is not peeled off yet."""
    return connected(local, listen_with={"mode": MANY, **listen_with})


async def turns(count: int = 5) -> None:
    """Let the other tasks run until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def stop_reading(conn: Conn) -> None:
    """Leave what comes in the kernel: of a shared socket, for all its associations."""
    conn._link.carrier._set_reading(False)
    # The loop may have been about to read.
    await turns()


def read_again(conn: Conn) -> None:
    """End `stop_reading`."""
    conn._link.carrier._set_reading(True)


async def within(awaitable: Any, seconds: float = 20.0) -> Any:
    """Await what must not hang."""
    async with asyncio.timeout(seconds * PATIENCE):
        return await awaitable


async def talk(one: Conn, other: Conn) -> None:
    """Show that the association of two ends carries messages both ways."""
    for sender, receiver in ((one, other), (other, one)):
        await sender.send(b"hello", stream=3, ppid=60)
        message = await within(receiver.receive())
        assert (message.data, message.stream, message.ppid) == (b"hello", 3, 60)
        assert message.association_id == receiver.association_id


def listening_associations(listener: Listener) -> int:
    """Count what the listener still knows."""
    return listener.statistics().associations


# What was received


async def test_what_came_before_is_received_before_what_comes_after() -> None:
    async with shared() as pair:
        await pair.client.send_many([b"0", b"1"])
        await until(lambda: pair.server.statistics().unread_messages == 2)
        await stop_reading(pair.server)
        await pair.client.send_many([b"2", b"3"])
        await until(lambda: pair.client.status().unacknowledged == 0)
        # Two are here, two still in the kernel.
        assert pair.server.statistics().unread_messages == 2
        assert await pair.server.peel_off() is pair.server
        await pair.client.send_many([b"4", b"5"])
        got = [await within(pair.server.receive()) for _ in range(6)]
        assert [message.data for message in got] == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert {message.association_id for message in got} == {pair.server.association_id}
        assert pair.server.statistics().messages_received == 6


@pytest.mark.parametrize("moment", ["at once", "while it is read", "when much is unread"])
@pytest.mark.parametrize("size", [10, 2_000])
async def test_a_flood_goes_on_without_loss_or_disorder(size: int, moment: str) -> None:
    count = 400
    async with listen(LOCAL, mode=MANY, receive_buffer=128 * KIB) as listener:
        async with paired(listener, None) as pair, paired(listener, None) as other:

            async def flood(conn: Conn) -> None:
                for number in range(count):
                    await conn.send(b"%d " % number + bytes(size), stream=number % 4, ppid=number)
                    if number % 7 == 0:
                        await asyncio.sleep(0)

            async def read(conn: Conn, peel_at: int | None) -> dict[int, list[int]]:
                got: dict[int, list[int]] = {}
                for number in range(count):
                    if number == peel_at:
                        await conn.peel_off()
                    message = await within(conn.receive())
                    assert message.data == b"%d " % message.ppid + bytes(size)
                    got.setdefault(message.stream, []).append(message.ppid)
                return got

            floods = [asyncio.create_task(flood(both.client)) for both in (pair, other)]
            beside = asyncio.create_task(read(other.server, None))
            if moment == "when much is unread":
                await until(lambda: pair.server.statistics().unread_messages > 50)
            got = await read(pair.server, 0 if moment == "at once" else 60)
            assert pair.server.fileno() != listener.fileno()
            expected = {stream: list(range(stream, count, 4)) for stream in range(4)}
            assert got == expected
            assert await beside == expected
            await asyncio.gather(*floods)
            assert listening_associations(listener) == 1
            for both in (pair, other):
                assert both.server.statistics().unread_messages == 0
                await talk(both.client, both.server)


# With I-DATA, messages of several streams come in parts at the same time.
INTERLEAVED: tuple[Option, ...] = (
    FragmentInterleave(1),
    InterleavingSupported(),
    StreamScheduler(Scheduler.ROUND_ROBIN),
)


NO_I_DATA = pytest.mark.kernel_only("usrsctp 0.9.5 has no I-DATA")


@pytest.mark.parametrize("kind", ["ordered", "unordered", pytest.param("interleaved", marks=NO_I_DATA)])
async def test_large_messages_in_the_middle_of_their_delivery_move_whole(kind: str) -> None:
    count = 9
    unordered, under_way = kind == "unordered", 2 if kind == "interleaved" else 1
    random_ = random.Random(1)
    sent = [random_.randbytes(random_.randrange(100_000, 200_000)) for _ in range(count)]
    settings = (*(INTERLEAVED if kind == "interleaved" else ()), *NARROW)
    async with listen(LOCAL, mode=MANY, options=settings) as listener:
        options = {"options": settings}
        async with paired(listener, options) as pair, paired(listener, options) as other:

            async def flood(conn: Conn) -> None:
                for number, data in enumerate(sent):
                    await conn.send(data, stream=number % 3, ppid=number, unordered=unordered)
                    await conn.send(b"small", stream=5, ppid=number)

            async def read(conn: Conn) -> None:
                large: list[int] = []
                small: list[int] = []
                while len(large) < count or len(small) < count:
                    message = await within(conn.receive())
                    if message.stream == 5:
                        small.append(message.ppid)
                    else:
                        assert message.data == sent[message.ppid]
                        assert message.unordered is unordered
                        large.append(message.ppid)
                assert small == list(range(count))
                if unordered:
                    assert sorted(large) == list(range(count))
                else:
                    assert [[n for n in large if n % 3 == k] for k in range(3)] == [
                        list(range(k, count, 3)) for k in range(3)
                    ]

            floods = [asyncio.create_task(flood(both.client)) for both in (pair, other)]
            beside = asyncio.create_task(read(other.server))
            partials = pair.server._association._partials
            await until(lambda: len(partials) >= under_way)
            await pair.server.peel_off()
            await read(pair.server)
            await beside
            await asyncio.gather(*floods)
            await talk(pair.client, pair.server)


async def test_claimed_streams_stay_claimed() -> None:
    async with shared() as pair:
        claimed = pair.server.stream(2, ppid=9)
        await pair.client.send(b"first", stream=2)
        assert (await claimed.receive()).data == b"first"
        await pair.client.send(b"second", stream=2)
        await pair.client.send(b"other", stream=1)
        await until(lambda: pair.server.statistics().unread_messages == 2)
        await pair.server.peel_off()
        await pair.client.send(b"third", stream=2)
        await pair.client.send(b"another", stream=1)
        assert [(await within(pair.server.receive())).data for _ in range(2)] == [b"other", b"another"]
        assert [(await within(claimed.receive())).data for _ in range(2)] == [b"second", b"third"]
        assert (await within(_claim_and_wait(pair, 7))) == b"claimed after"
        await claimed.send(b"back")
        message = await within(pair.client.receive())
        assert (message.data, message.stream, message.ppid) == (b"back", 2, 9)


async def _claim_and_wait(pair: Pair, stream: int) -> bytes:
    waiting = asyncio.create_task(pair.server.stream(stream).receive())
    await turns()
    await pair.client.send(b"claimed after", stream=stream)
    return (await waiting).data


# Those who wait


async def test_who_waits_for_messages_events_and_the_end_goes_on() -> None:
    async with shared() as pair:
        server = pair.server
        events = server.events(ShutdownEvent, AssociationChange)
        receiving, again = (asyncio.create_task(server.receive()) for _ in range(2))
        streaming = asyncio.create_task(server.stream(3).receive())
        watching = asyncio.create_task(_all(events))
        closed = asyncio.create_task(server.wait_closed())
        await turns()
        await server.peel_off()
        await turns()
        tasks = (receiving, again, streaming, watching, closed)
        assert not any(task.done() for task in tasks)
        await pair.client.send(b"one")
        await pair.client.send(b"three", stream=3)
        assert (await within(receiving)).data == b"one"
        assert (await within(streaming)).data == b"three"
        assert not again.done()
        await pair.client.close()
        with pytest.raises(EndOfAssociation):
            await within(again)
        await within(closed)
        seen = await within(watching)
        assert [type(event) for event in seen] == [ShutdownEvent, AssociationChange]
        assert {event.association_id for event in seen} == {server.association_id}
        assert server.is_closed


async def _all(events: Any) -> list[Any]:
    return [event async for event in events]


async def test_a_flush_that_waits_goes_on() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        await stop_reading(pair.client)
        await pair.server.send_many([bytes(1_000)] * 10)
        flushing = asyncio.create_task(pair.server.flush())
        await turns()
        await pair.server.peel_off()
        again = asyncio.create_task(pair.server.flush())
        await asyncio.sleep(0.05)
        assert not flushing.done()
        assert not again.done()
        assert pair.server.status().unacknowledged > 0
        read_again(pair.client)
        await within(asyncio.gather(flushing, again))
        assert pair.server.status().unacknowledged == 0


async def test_a_flush_that_waits_for_the_listener_to_read_on_goes_on() -> None:
    async with listen(LOCAL, mode=MANY, receive_buffer=32 * KIB) as listener:
        async with paired(listener, None) as slow, paired(listener, None) as pair:
            flooding = asyncio.create_task(slow.client.send_many([bytes(5_000)] * 100))
            await until(lambda: listener.statistics().reading_paused)
            flushing = asyncio.create_task(pair.server.flush())
            await turns()
            assert not flushing.done()
            await pair.server.peel_off()
            await within(flushing)
            assert listener.statistics().reading_paused
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)


async def test_sends_that_wait_for_room_go_on_in_their_order() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=MEDIUM) as pair:
        await stop_reading(pair.client)
        flooding = asyncio.create_task(pair.server.send_many([b"%d " % n + bytes(1_000) for n in range(400)]))
        await until(lambda: pair.server.statistics().waiting_senders == 1)
        # Until then there is room now and then.
        await settled(lambda: pair.server.statistics().messages_sent)
        waiting: list[asyncio.Task[None]] = []
        for number in range(4):
            waiting.append(asyncio.create_task(pair.server.send(b"%d" % (400 + number))))
            await until(lambda: pair.server.statistics().waiting_senders == len(waiting) + 1)
        await pair.server.peel_off()
        waiting.append(asyncio.create_task(pair.server.send(b"404")))
        read_again(pair.client)
        got = [await within(pair.client.receive()) for _ in range(405)]
        numbers = [int(message.data.split(b" ")[0]) for message in got]
        assert [number for number in numbers if number < 400] == list(range(400))
        assert [number for number in numbers if number >= 400] == list(range(400, 405))
        await within(asyncio.gather(flooding, *waiting))
        assert pair.server.statistics().waiting_senders == 0
        # What told the listener of room for it is not asked for any more.
        await until(lambda: pair.server.status().unacknowledged == 0)
        await settled(lambda: pair.server.statistics().wakeups)
        before = pair.server.statistics().wakeups
        await pair.server.send(b"x")
        await until(lambda: pair.server.status().unacknowledged == 0)
        await asyncio.sleep(0.05)
        assert pair.server.statistics().wakeups == before


async def test_a_send_that_waited_and_is_cancelled_has_sent_nothing() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=MEDIUM) as pair:
        await stop_reading(pair.client)
        flooding = asyncio.create_task(pair.server.send_many([bytes(1_000)] * 400))
        await until(lambda: pair.server.statistics().waiting_senders == 1)
        await settled(lambda: pair.server.statistics().messages_sent)
        sending = asyncio.create_task(pair.server.send(b"cancelled"))
        await until(lambda: pair.server.statistics().waiting_senders == 2)
        await pair.server.peel_off()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        read_again(pair.client)
        await within(flooding)
        await pair.server.send(b"last")
        got = [await within(pair.client.receive()) for _ in range(401)]
        assert [len(message.data) for message in got] == [1_000] * 400 + [4]


async def test_an_association_that_is_being_closed_goes_on_with_that() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        await stop_reading(pair.client)
        sent = [b"%d " % number + bytes(1_000) for number in range(10)]
        await pair.server.send_many(sent)
        closing = asyncio.create_task(pair.server.close())
        await turns()
        with pytest.raises(ClosedError):
            await pair.server.peel_off()
        assert not closing.done()
        read_again(pair.client)
        assert [message.data async for message in pair.client] == sent
        await within(closing)


async def test_what_the_listener_shares_goes_on_for_the_others() -> None:
    async with listen(LOCAL, mode=MANY, options=QUICK) as listener:
        async with paired(listener, MEDIUM) as stalled, paired(listener, None) as other:
            await stop_reading(stalled.client)
            flooding = [asyncio.create_task(stalled.server.send(bytes(1_000))) for _ in range(400)]
            await until(lambda: stalled.server.statistics().waiting_senders > 0)
            receiving = asyncio.create_task(other.server.receive())
            await turns()
            await stalled.server.peel_off()
            assert listener.statistics().waiting_senders == 0
            await other.client.send(b"goes on")
            assert (await within(receiving)).data == b"goes on"
            await within(other.server.send_many([bytes(20_000)] * 50))
            for _ in range(50):
                assert len((await within(other.client.receive())).data) == 20_000
            read_again(stalled.client)
            for _ in range(400):
                await within(stalled.client.receive())
            await asyncio.gather(*flooding)


# Events


async def test_events_subscribed_go_on_here_and_end_at_the_listener() -> None:
    async with listen(LOCAL, mode=MANY, events=[AssociationChange]) as listener:
        heard = listener.events(AssociationChange, SenderDry)
        async with paired(listener, None) as pair, paired(listener, None) as other:
            # The first iterator has what was kept.
            kept = pair.server.events(AssociationChange)
            dry = pair.server.events(SenderDry)
            await within(anext(dry))
            await pair.server.peel_off()
            await pair.server.send(b"x")
            assert await within(anext(dry)) == SenderDry(pair.server.association_id)
            # A subscription that begins now.
            ends = pair.server.events(ShutdownEvent)
            await pair.client.close()
            await within(pair.server.wait_closed())
            assert [type(event) for event in await within(_all(ends))] == [ShutdownEvent]
            states = [
                event.state for event in await within(_all(kept)) if isinstance(event, AssociationChange)
            ]
            assert states == [COMM_UP, SHUTDOWN_COMP]
            await other.client.close()
            await within(other.server.wait_closed())
            changes: list[AssociationChange] = []
            while len(changes) < 3:
                event = await within(anext(heard))
                if isinstance(event, AssociationChange):
                    changes.append(event)
            assert [(change.association_id, change.state) for change in changes] == [
                (pair.server.association_id, COMM_UP),
                (other.server.association_id, COMM_UP),
                (other.server.association_id, SHUTDOWN_COMP),
            ]


@pytest.mark.one_loop  # it watches the turns of the loop, which uvloop takes in another order
async def test_an_event_that_was_read_in_part_comes_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The kernel splits what does not fit.
    monkeypatch.setattr(_native, "ARENA", 8)
    async with listen(LOCAL, mode=MANY) as listener:
        async with paired(listener, None) as pair, paired(listener, None) as other:
            dry = pair.server.events(SenderDry)
            await within(anext(dry))
            await pair.server.send(b"x")
            async with asyncio.timeout(20 * PATIENCE):
                while not listener._many._notification:
                    await asyncio.sleep(0)
            await pair.server.peel_off()
            assert await within(anext(dry)) == SenderDry(pair.server.association_id)
            assert (await within(pair.client.receive())).data == b"x"
            await talk(pair.client, pair.server)
            await talk(other.client, other.server)
            for both in (pair, other):
                await both.client.close()
                with pytest.raises(EndOfAssociation):
                    await within(both.server.receive())
    assert caplog.text == ""


async def test_a_subscription_can_be_ended_after_the_move() -> None:
    async with shared() as pair:
        dry = pair.server.events(SenderDry)
        await within(anext(dry))
        await pair.server.peel_off()
        await pair.server.send(b"x")
        await within(anext(dry))
        await dry.aclose()
        await pair.client.receive()
        before = pair.server.statistics().wakeups
        await pair.server.send(b"y")
        await pair.client.receive()
        await until(lambda: pair.server.status().unacknowledged == 0)
        await asyncio.sleep(0.05)
        assert pair.server.statistics().wakeups == before


# The listener, and the descriptor


async def test_the_listener_forgets_what_was_peeled_off() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        async with paired(listener, None) as pair, paired(listener, None) as other:
            assert listening_associations(listener) == 2
            await pair.server.peel_off()
            assert listening_associations(listener) == 1
            result = await listener.broadcast(b"to those that are left")
            assert result.reached == (other.server.association_id,)
            assert result.failed == {}
            assert (await within(other.client.receive())).data == b"to those that are left"
            with pytest.raises(AssociationError, match=str(pair.server.association_id)):
                listener.get_option(RtoInfo, association=pair.server.association_id)
            await listener.close()
            await talk(pair.client, pair.server)
            await talk(other.client, other.server)
            assert not pair.client.statistics().unread_messages


async def test_an_association_of_a_closed_listener_can_be_peeled_off() -> None:
    before = descriptor_count()
    async with shared() as pair:
        await pair.listener.close()
        shared_descriptor = pair.server.fileno()
        assert descriptor_count() == before + 2 * PER_SOCKET
        await pair.server.peel_off()
        # The one that was shared went with the last that used it.
        assert descriptor_count() == before + 2 * PER_SOCKET
        assert pair.server.fileno() != shared_descriptor
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(shared_descriptor)
        await talk(pair.client, pair.server)


async def test_the_new_descriptor_neither_blocks_nor_is_inherited() -> None:
    async with shared() as pair:
        before = descriptor_count()
        old = pair.server.fileno()
        assert old == pair.listener.fileno()
        await pair.server.peel_off()
        new = pair.server.fileno()
        assert pair.listener.fileno() == old != new
        assert descriptor_count() == before + PER_SOCKET
        assert not os.get_blocking(new)
        assert not os.get_inheritable(new)
        await talk(pair.client, pair.server)
        await pair.server.close()
        assert pair.server.fileno() == -1
        await pair.client.wait_closed()
        assert descriptor_count() == before - PER_SOCKET


@pytest.mark.parametrize("local", ["127.0.0.1/127.0.0.2:0", "[::1]:0", "[::1]/127.0.0.1:0", ":0"])
async def test_addresses_and_options_stay_those_of_the_association(local: str) -> None:
    async with listen(local, mode=MANY) as listener:
        target = listener.local_addresses
        async with connect(Address(target.hosts[:1], target.port)) as client:
            server = await listener.accept()
            server.set_option(RtoInfo(initial=0.7, minimum=0.2))

            def addresses() -> list[object]:
                ends = server.local_addresses, server.peer_addresses
                return [*((set(end.hosts), end.port) for end in ends), server.primary_path]

            before = addresses()
            counts = server.outbound_streams, server.inbound_streams, server.association_id
            await server.peel_off()
            assert addresses() == before
            assert (server.outbound_streams, server.inbound_streams, server.association_id) == counts
            assert server.get_option(RtoInfo).initial == 0.7
            server.set_option(RtoInfo(initial=0.9, minimum=0.2))
            assert server.get_option(RtoInfo).initial == 0.9
            assert listener.get_option(RtoInfo).initial not in (0.7, 0.9)
            assert server.path(server.primary_path).address == server.primary_path
            await talk(client, server)
            await server.send(b"over a path", path=server.primary_path)
            assert (await client.receive()).data == b"over a path"
            await client.close()
            await within(server.wait_closed())


async def test_an_association_that_was_begun_here_can_be_peeled_off() -> None:
    async with listen(LOCAL, mode=MANY) as here, listen(LOCAL, mode=MANY) as there:
        begun = await here.connect(there.local_addresses)
        accepted = await there.accept()
        await begun.peel_off()
        await accepted.peel_off()
        assert begun.local_addresses == here.local_addresses
        assert accepted.peer_addresses == here.local_addresses
        assert listening_associations(here) == listening_associations(there) == 0
        await talk(begun, accepted)
        await here.close()
        await there.close()
        await talk(begun, accepted)
        await begun.close()
        with pytest.raises(EndOfAssociation):
            await within(accepted.receive())


async def test_a_handler_of_serve_can_peel_off() -> None:
    async def handler(conn: Conn) -> None:
        await conn.peel_off()
        async for message in conn:
            await conn.send(message.data, stream=message.stream)

    async with listen(LOCAL, mode=MANY) as listener:
        serving = asyncio.create_task(listener.serve(handler))
        clients = [await connect(listener.local_addresses) for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send(b"%d" % number, stream=number)
        for number, client in enumerate(clients):
            assert (await within(client.receive())).data == b"%d" % number
        assert listening_associations(listener) == 0
        await listener.close()
        for client in clients:
            await client.close()
        await within(serving)


# Bounds


async def test_peeling_off_the_slow_reader_lets_the_others_go_on() -> None:
    async with listen(LOCAL, mode=MANY, receive_buffer=32 * KIB) as listener:
        async with paired(listener, {"options": QUICK}) as slow, paired(listener, None) as other:
            flooding = asyncio.create_task(slow.client.send_many([bytes(5_000)] * 100))
            await until(lambda: listener.statistics().reading_paused)
            assert listener.statistics().paused_by == (slow.server.association_id,)
            receiving = asyncio.create_task(other.server.receive())
            await slow.server.peel_off()
            assert not listener.statistics().reading_paused
            await other.client.send(b"at last")
            assert (await within(receiving)).data == b"at last"
            # It still has its own bound.
            assert slow.server.statistics().reading_paused
            await asyncio.sleep(0.1)
            assert slow.server.statistics().unread_bytes < 200 * KIB
            for _ in range(100):
                await within(slow.server.receive())
            await flooding


async def test_the_receive_buffer_bounds_what_is_unread_afterwards() -> None:
    listen_with = {"mode": MANY, "receive_buffer": 32 * KIB, "options": [ReceiveBuffer(64 * KIB)]}
    async with connected(listen_with=listen_with, connect_with={"options": QUICK}) as pair:
        await pair.server.peel_off()
        flooding = asyncio.create_task(pair.client.send_many([bytes(5_000)] * 100))
        await until(lambda: pair.server.statistics().reading_paused)
        assert 32 * KIB - 7 * 256 <= pair.server.statistics().unread_bytes <= 200 * KIB
        for _ in range(100):
            assert len((await within(pair.server.receive())).data) == 5_000
        await flooding


@pytest.mark.parametrize("partly", [False, True], ids=["after", "in its middle"])
async def test_a_message_that_is_too_large_ends_the_association(partly: bool) -> None:
    listen_with = {"mode": MANY, "options": NARROW, "max_message_size": 200_000}
    async with connected(listen_with=listen_with, connect_with={"options": NARROW}) as pair:
        if partly:
            await pair.client.send(bytes(300_000))
            # In the turn after the one that brought a part: the rest may be there soon.
            async with asyncio.timeout(20 * PATIENCE):
                while not pair.server._association.has_partial:
                    await asyncio.sleep(0)
        await pair.server.peel_off()
        if not partly:
            await pair.client.send(bytes(200_001))
        with pytest.raises(MessageTooLargeError, match="200000"):
            await within(pair.server.receive())
        with pytest.raises(AssociationAbortedError):
            await within(pair.client.receive())
        assert pair.server.fileno() == -1


# How it ends


async def test_a_close_is_graceful_and_delivers_everything_first() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        await stop_reading(pair.client)
        events = pair.client.events(AssociationChange)
        sent = [b"%d " % number + bytes(1_000) for number in range(12)]
        await pair.server.send_many(sent[:6])
        await pair.server.peel_off()
        await pair.server.send_many(sent[6:])
        closing = asyncio.create_task(pair.server.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        with pytest.raises(ClosedError):
            await pair.server.send(b"late")
        read_again(pair.client)
        assert [message.data async for message in pair.client] == sent
        await within(closing)
        with pytest.raises(EndOfAssociation):
            await pair.client.receive()
        assert [event.state for event in await _all(events)] == [SHUTDOWN_COMP]
        assert pair.server.is_closed
        with pytest.raises(ClosedError):
            await pair.server.receive()


async def test_closing_drops_what_is_unread_and_still_ends_gracefully() -> None:
    async with shared() as pair:
        await pair.client.send_many([bytes(10_000)] * 5)
        await until(lambda: pair.server.statistics().unread_messages == 5)
        await pair.server.peel_off()
        await pair.client.send_many([bytes(10_000)] * 5)
        await within(pair.server.close())
        with pytest.raises(EndOfAssociation):
            await within(pair.client.receive())


async def test_leaving_the_block_closes_and_an_exception_aborts() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        for error in (None, LookupError):
            client = await connect(listener.local_addresses)
            server = await listener.accept()
            try:
                async with server:
                    await server.peel_off()
                    if error is not None:
                        raise error
            except LookupError:
                pass
            with pytest.raises(EndOfAssociation if error is None else AssociationAbortedError):
                await within(client.receive())


async def test_a_cancelled_close_aborts() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        await pair.server.peel_off()
        await stop_reading(pair.client)
        await pair.server.send_many([bytes(1_000)] * 10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await pair.server.close()
        assert pair.server.is_closed
        assert pair.server.fileno() == -1
        read_again(pair.client)
        with pytest.raises(AssociationAbortedError):
            async for _ in pair.client:
                pass


async def test_an_abort_carries_its_cause() -> None:
    async with shared() as pair:
        await pair.server.peel_off()
        receiving = asyncio.create_task(pair.server.receive())
        await turns()
        await pair.server.abort(b"out of service")
        with pytest.raises(ClosedError):
            await receiving
        with pytest.raises(AssociationAbortedError) as caught:
            await within(pair.client.receive())
        assert caught.value.cause == b"out of service"
        assert pair.server.fileno() == -1


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_the_peers_end_is_seen_after_what_it_sent(end: str) -> None:
    async with listen(LOCAL, mode=MANY) as here, listen(LOCAL, mode=MANY) as there:
        # So that its abort can have a cause.
        peer = await there.connect(here.local_addresses)
        server = await here.accept()
        await server.peel_off()
        await peer.send_many([b"1", b"2", b"3"])
        await peer.flush()
        if end == "close":
            await within(peer.close())
        else:
            await peer.abort(b"no more")
        await within(server.wait_closed())
        assert [(await within(server.receive())).data for _ in range(3)] == [b"1", b"2", b"3"]
        error = EndOfAssociation if end == "close" else AssociationAbortedError
        for call in (server.receive, lambda: server.send(b"x"), server.flush, server.peel_off):
            with pytest.raises(error) as caught:
                await within(call())
            if isinstance(caught.value, AssociationAbortedError):
                assert caught.value.cause == b"no more"
        assert server.fileno() == -1


async def test_an_association_that_the_peer_is_shutting_down_can_be_peeled_off() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        # Its SHUTDOWN has come; it ends when what we sent is delivered.
        await stop_reading(pair.client)
        await pair.client.send(b"the last")
        sent = [b"%d " % number + bytes(1_000) for number in range(12)]
        await pair.server.send_many(sent)
        pair.client._link.carrier.raw.shutdown(0)
        await until(lambda: pair.server._association.inbound_over)
        await pair.server.peel_off()
        assert not pair.server.is_closed
        with pytest.raises(EndOfAssociation):
            await pair.server.send(b"late")
        assert (await within(pair.server.receive())).data == b"the last"
        read_again(pair.client)
        assert [message.data async for message in pair.client] == sent
        await within(pair.server.wait_closed())
        with pytest.raises(EndOfAssociation):
            await within(pair.server.receive())


async def test_a_peeled_off_conn_that_is_forgotten_warns_and_ends() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        await server.peel_off()
        await server.send(b"the last word")
        before = descriptor_count()
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Conn open"):
            del server
            gc.collect()
        assert descriptor_count() == before - PER_SOCKET
        assert (await within(client.receive())).data == b"the last word"
        with pytest.raises((EndOfAssociation, AssociationAbortedError)):
            await within(client.receive())


# Handing it on


async def test_a_peeled_off_association_goes_on_in_another_conn() -> None:
    async with shared() as pair:
        await pair.server.peel_off()
        identifier, streams = pair.server.association_id, pair.server.outbound_streams
        local, peer = pair.server.local_addresses, pair.server.peer_addresses
        before = descriptor_count()
        descriptor = pair.server.detach()
        with pytest.raises(ClosedError):
            await pair.server.receive()
        with pytest.raises(ClosedError):
            await pair.server.peel_off()
        async with Conn.from_fd(descriptor) as again:
            assert descriptor_count() == before
            assert again.fileno() == descriptor
            assert (again.association_id, again.outbound_streams) == (identifier, streams)
            assert (again.local_addresses, again.peer_addresses) == (local, peer)
            await talk(pair.client, again)
            await again.flush()
            with pytest.raises(RuntimeError, match="own already"):
                await again.peel_off()
            os.set_blocking(descriptor, True)
            once_more = again.detach()
        async with Conn.from_fd(once_more, events=[ShutdownEvent]) as last:
            assert not os.get_blocking(last.fileno())
            assert not os.get_inheritable(last.fileno())
            await talk(pair.client, last)
            await pair.client.close()
            with pytest.raises(EndOfAssociation):
                await within(last.receive())
            assert await _all(last.events(ShutdownEvent)) == [ShutdownEvent(identifier)]


async def test_a_conn_of_a_descriptor_can_abort_with_a_cause_and_sees_the_peers() -> None:
    async with listen(LOCAL, mode=MANY) as here, listen(LOCAL, mode=MANY) as there:
        for by_peer in (False, True):
            peer = await there.connect(here.local_addresses)
            server = await here.accept()
            await server.peel_off()
            again = await Conn.from_fd(server.detach())
            await (peer if by_peer else again).abort(b"why not")
            with pytest.raises(AssociationAbortedError) as caught:
                await within((again if by_peer else peer).receive())
            assert caught.value.cause == b"why not"


async def test_an_association_that_shares_its_descriptor_cannot_give_it_away() -> None:
    async with shared() as pair:
        with pytest.raises(RuntimeError, match="peel it off first"):
            pair.server.detach()
        await talk(pair.client, pair.server)


async def test_unread_messages_are_not_lost_by_giving_the_descriptor_away() -> None:
    async with shared() as pair:
        await pair.client.send(b"unread")
        await until(lambda: pair.server.statistics().unread_messages == 1)
        await pair.server.peel_off()
        with pytest.raises(RuntimeError, match="read them first"):
            pair.server.detach()
        assert (await pair.server.receive()).data == b"unread"
        await pair.client.send(b"left in the kernel")
        await until(lambda: pair.client.status().unacknowledged == 0)
        assert (await within(pair.server.receive())).data == b"left in the kernel"
        async with Conn.from_fd(pair.server.detach()) as again:
            await talk(pair.client, again)


WORKER = """
import asyncio, socket, sys, sctpio

async def main():
    channel = socket.socket(fileno=int(sys.argv[1]))
    _, [descriptor], _, _ = socket.recv_fds(channel, 10, 1)
    async with sctpio.Conn.from_fd(descriptor) as conn:
        async for message in conn:
            if message.data == b"abort":
                await conn.abort(b"told to")
                return
            await conn.send(b"worker: " + message.data, stream=message.stream, ppid=message.ppid)
            if message.data == b"bye":
                return

asyncio.run(main())
"""


@pytest.mark.kernel_only("a socket of usrsctp is its process's own")
@pytest.mark.parametrize("last", [b"bye", b"abort"])
async def test_a_peeled_off_association_is_handed_to_another_process(last: bytes) -> None:
    ours, theirs = socket.socketpair()
    async with shared() as pair:
        command = [sys.executable, "-c", WORKER, str(theirs.fileno())]
        worker = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        with ours:
            await pair.server.peel_off()
            descriptor = pair.server.detach()
            socket.send_fds(ours, [b"x"], [descriptor])
            os.close(descriptor)
        await pair.client.send(b"who is there?", stream=4, ppid=46)
        reply = await within(pair.client.receive())
        assert (reply.data, reply.stream, reply.ppid) == (b"worker: who is there?", 4, 46)
        await pair.client.send(last)
        if last == b"bye":
            assert [message.data async for message in pair.client] == [b"worker: bye"]
        else:
            with pytest.raises(AssociationAbortedError) as caught:
                await within(pair.client.receive())
            assert caught.value.cause == b"told to"
        await until(lambda: worker.poll() is not None)
        assert worker.returncode == 0
        # The listener, which has nothing to do with it any more, serves others.
        async with paired(pair.listener, None) as other:
            await talk(other.client, other.server)


async def test_a_one_to_many_socket_is_no_conn_and_stays_the_callers() -> None:
    async with listen(LOCAL, mode=MANY) as listener, paired(listener, None) as pair:
        async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL, listening=False) as silent:
            sockets: tuple[Listener | Endpoint, ...] = (listener, endpoint, silent)
            for own in sockets:
                await _refused(own.fileno())
            # Also where it has begun associations itself, as a peeled-off one may have.
            await endpoint.send(b"x", to=listener.local_addresses)
            await silent.send(b"y", to=listener.local_addresses)
            conns = [await listener.accept() for _ in range(2)]
            for own in sockets:
                await _refused(own.fileno())
            for conn, own in zip(conns, (endpoint, silent), strict=True):
                assert (await within(conn.receive())).data in (b"x", b"y")
                await own.send(b"still usable", to=own.associations[0])
                assert (await within(conn.receive())).data == b"still usable"
                await conn.abort()
            await talk(pair.client, pair.server)
        kind = socket.IPPROTO_SCTP if STACK == "kernel" else 0
        with socket.socket(
            socket.AF_INET, socket.SOCK_SEQPACKET if kind else socket.SOCK_STREAM, kind
        ) as python:
            await _refused(python.fileno())
            python.bind(("127.0.0.1", 0))
            python.listen()
            await _refused(python.fileno())
            python.getsockname()


async def _refused(descriptor: int) -> None:
    before = descriptor_count()
    with pytest.raises(ValueError, match=f"descriptor {descriptor} is no SCTP socket of one association"):
        await Conn.from_fd(descriptor)
    assert descriptor_count() == before
    os.fstat(descriptor)


# What cannot be peeled off


async def test_peeling_off_twice_is_refused_and_changes_nothing() -> None:
    async with shared() as pair:
        await pair.server.peel_off()
        before = pair.server.fileno(), descriptor_count()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="own already"):
                await pair.server.peel_off()
        assert (pair.server.fileno(), descriptor_count()) == before
        await talk(pair.client, pair.server)


async def test_a_one_to_one_conn_cannot_be_peeled_off() -> None:
    async with connected() as pair:
        for conn in (pair.client, pair.server):
            with pytest.raises(RuntimeError, match="own already"):
                await conn.peel_off()
        await talk(pair.client, pair.server)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not yet told"])
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_association_that_is_gone_cannot_be_peeled_off(end: str, told: bool) -> None:
    error = EndOfAssociation if end == "close" else AssociationAbortedError
    async with listen(LOCAL, mode=MANY) as listener, paired(listener, None) as other:
        async with paired(listener, None) as pair:
            await pair.client.send(b"here")
            await until(lambda: pair.server.statistics().unread_messages == 1)
            before = descriptor_count()
            if not told:
                await stop_reading(pair.server)
            await pair.client.send(b"in the kernel")
            await pair.client.flush()
            if end == "close":
                await within(pair.client.close())
            else:
                await pair.client.abort()
            shared, identifier = pair.server._link.carrier.raw, pair.server.association_id
            await until(lambda: len(associations()) == 2 and not alive(shared, identifier))
            if told:
                await until(lambda: pair.server.is_closed)
            for _ in range(2):
                with pytest.raises(error):
                    await pair.server.peel_off()
            # The client's is gone.
            assert descriptor_count() == before - PER_SOCKET
            got = [(await within(pair.server.receive())).data for _ in range(2)]
            assert got == [b"here", b"in the kernel"]
            with pytest.raises(error):
                await within(pair.server.receive())
        read_again(other.server)
        assert listening_associations(listener) == 1
        await other.server.peel_off()
        await talk(other.client, other.server)


async def test_a_closed_or_aborted_conn_cannot_be_peeled_off() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        for end in ("close", "abort"):
            async with paired(listener, None) as pair:
                await getattr(pair.server, end)()
                with pytest.raises(ClosedError):
                    await pair.server.peel_off()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let the process have no more descriptors than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    spare: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        while True:
            try:
                spare.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in spare:
            os.close(descriptor)


async def test_out_of_descriptors_an_association_stays_usable_where_it_was() -> None:
    async with listen(LOCAL, mode=MANY) as listener, paired(listener, None) as pair:
        await pair.client.send(b"unread")
        await until(lambda: pair.server.statistics().unread_messages == 1)
        with no_descriptors():
            for _ in range(2):
                with pytest.raises(OSError, match="peel off") as caught:
                    await pair.server.peel_off()
                assert caught.value.errno == errno.EMFILE
        assert pair.server.fileno() == listener.fileno()
        assert listening_associations(listener) == 1
        assert (await within(pair.server.receive())).data == b"unread"
        await talk(pair.client, pair.server)
        await pair.server.peel_off()
        await talk(pair.client, pair.server)


async def test_out_of_descriptors_an_association_of_an_endpoint_stays_usable() -> None:
    async with open_endpoint(LOCAL) as endpoint, connect(endpoint.local_addresses) as client:
        await client.send(b"unread")
        await until(lambda: endpoint.statistics().unread_messages == 1)
        [identifier] = endpoint.associations
        with no_descriptors():
            with pytest.raises(OSError, match="peel off") as caught:
                await endpoint.peel_off(identifier)
            assert caught.value.errno == errno.EMFILE
        assert endpoint.associations == (identifier,)
        assert (await within(endpoint.receive())).data == b"unread"
        await endpoint.send(b"back", to=identifier)
        assert (await within(client.receive())).data == b"back"
        conn = await endpoint.peel_off(identifier)
        await talk(client, conn)
        await conn.close()


# From an Endpoint


async def test_an_endpoint_gives_an_association_away_with_its_unread_messages() -> None:
    async with (
        open_endpoint(LOCAL) as endpoint,
        connect(endpoint.local_addresses) as one,
        connect(endpoint.local_addresses) as two,
    ):
        for number in range(6):
            await (one, two)[number % 2].send(b"%d" % number, stream=number)
            await until(lambda: endpoint.statistics().unread_messages == number + 1)  # noqa: B023
        port = one.local_addresses.port
        [identifier] = [i for i in endpoint.associations if endpoint.peer_addresses(i).port == port]
        endpoint._many._set_reading(False)
        await one.send(b"6")
        await two.send(b"7")
        await until(lambda: not one.status().unacknowledged and not two.status().unacknowledged)
        before = descriptor_count()
        conn = await endpoint.peel_off(identifier)
        endpoint._many._set_reading(True)
        assert isinstance(conn, Conn)
        assert (conn.association_id, conn.peer_addresses.port) == (identifier, port)
        assert conn.local_addresses == endpoint.local_addresses
        assert descriptor_count() == before + PER_SOCKET
        assert conn.fileno() != endpoint.fileno()
        await one.send(b"8")
        await two.send(b"9")
        assert [(await within(conn.receive())).data for _ in range(5)] == [b"0", b"2", b"4", b"6", b"8"]
        assert [(await within(endpoint.receive())).data for _ in range(5)] == [b"1", b"3", b"5", b"7", b"9"]
        await until(lambda: endpoint.statistics().unread_messages == 0)
        assert identifier not in endpoint.associations
        calls: tuple[Callable[[], Coroutine[Any, Any, Any]], ...] = (
            lambda: endpoint.peel_off(identifier),
            lambda: endpoint.send(b"x", to=identifier),
            lambda: endpoint.shutdown(identifier),
            lambda: endpoint.abort(identifier),
        )
        for call in calls:
            with pytest.raises(AssociationError, match=str(identifier)):
                await call()
        result = await endpoint.broadcast(b"all that are left")
        assert result.reached == endpoint.associations
        assert (await within(two.receive())).data == b"all that are left"
        # Each goes on without the other.
        await endpoint.close()
        await conn.send(b"outlives it")
        assert (await within(one.receive())).data == b"outlives it"
        await within(conn.close())
        with pytest.raises(EndOfAssociation):
            await within(one.receive())


async def test_a_flood_moves_from_an_endpoint_without_loss_or_disorder() -> None:
    count = 300
    async with open_endpoint(LOCAL, receive_buffer=64 * KIB) as endpoint:
        clients = [await connect(endpoint.local_addresses, options=QUICK) for _ in range(3)]
        peeled = asyncio.Event()

        async def flood(client: Conn) -> None:
            for number in range(count):
                await client.send(b"%d " % number + bytes(500), stream=number % 3, ppid=number)
            # What has ended cannot be peeled off any more.
            await peeled.wait()
            await client.close()

        floods = [asyncio.create_task(flood(client)) for client in clients]
        got: dict[int, dict[int, list[int]]] = {}
        for _ in range(100):
            message = await within(endpoint.receive())
            got.setdefault(message.association_id, {}).setdefault(message.stream, []).append(message.ppid)
        chosen = message.association_id
        conn = await endpoint.peel_off(chosen)
        peeled.set()
        async for message in conn:
            assert message.association_id == chosen
            got[chosen].setdefault(message.stream, []).append(message.ppid)
        while sum(len(numbers) for streams in got.values() for numbers in streams.values()) < 3 * count:
            message = await within(endpoint.receive())
            assert message.association_id != chosen
            got.setdefault(message.association_id, {}).setdefault(message.stream, []).append(message.ppid)
        expected = {stream: list(range(stream, count, 3)) for stream in range(3)}
        assert list(got.values()) == [expected] * 3
        await asyncio.gather(*floods)


async def test_peeling_off_what_filled_an_endpoint_lets_the_others_go_on() -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB) as endpoint,
        connect(endpoint.local_addresses, options=QUICK) as slow,
        connect(endpoint.local_addresses) as other,
    ):
        flooding = asyncio.create_task(slow.send_many([bytes(5_000)] * 100))
        await until(lambda: endpoint.statistics().reading_paused)
        [chosen] = endpoint.statistics().paused_by
        conn = await endpoint.peel_off(chosen)
        assert not endpoint.statistics().reading_paused
        await other.send(b"at last")
        assert (await within(endpoint.receive())).data == b"at last"
        for _ in range(100):
            assert len((await within(conn.receive())).data) == 5_000
        await flooding
        await conn.close()


async def test_a_send_of_an_endpoint_that_waits_for_room_goes_on() -> None:
    async with (
        open_endpoint(LOCAL, options=QUICK) as endpoint,
        connect(endpoint.local_addresses, **MEDIUM) as client,
    ):
        await until(lambda: len(endpoint.associations) == 1)
        [identifier] = endpoint.associations
        await stop_reading(client)
        sends = [
            asyncio.create_task(endpoint.send(b"%d " % n + bytes(1_000), to=identifier)) for n in range(400)
        ]
        await until(lambda: endpoint.statistics().waiting_senders > 0)
        conn = await endpoint.peel_off(identifier)
        assert conn.statistics().waiting_senders > 0
        read_again(client)
        got = [await within(client.receive()) for _ in range(400)]
        assert [int(message.data.split()[0]) for message in got] == list(range(400))
        await within(asyncio.gather(*sends))
        await conn.close()


async def test_an_endpoints_events_of_what_it_gave_away_end_and_a_conns_begin() -> None:
    async with open_endpoint(LOCAL) as endpoint, connect(endpoint.local_addresses) as client:
        await until(lambda: len(endpoint.associations) == 1)
        heard = endpoint.events(AssociationChange)
        conn = await endpoint.peel_off(endpoint.associations[0])
        events = conn.events(AssociationChange)
        await client.close()
        assert [event.state for event in await within(_all(events))] == [SHUTDOWN_COMP]
        async with connect(endpoint.local_addresses):
            event = await within(anext(heard))
            assert (event.state, event.association_id) == (COMM_UP, endpoint.associations[0])


async def test_an_address_whose_association_was_given_away_is_not_reached_by_the_endpoint() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        to = peer.local_addresses
        await endpoint.send(b"first", to=to)
        await within(peer.receive())
        conn = await endpoint.peel_off(endpoint.associations[0])
        for form in (to, str(to)):
            # RFC 6458 knows one association of two endpoints.
            with pytest.raises(OSError, match=str(to.port)) as caught:
                await within(endpoint.send(b"second", to=form))
            assert caught.value.errno == errno.EADDRNOTAVAIL
        await conn.send(b"by the one that has it")
        assert (await within(peer.receive())).data == b"by the one that has it"
        await conn.close()
        # Now there is none.
        await within(endpoint.send(b"again", to=to))
        assert (await within(peer.receive())).data == b"again"


# Many


async def test_two_hundred_peeled_off_one_after_another_leave_no_descriptor() -> None:
    async with listen(LOCAL, mode=MANY) as listener, open_endpoint(LOCAL) as endpoint:
        before = descriptor_count()
        for number in range(200):
            client = await connect((endpoint if number % 2 else listener).local_addresses)
            await client.send(b"%d" % number)
            if number % 2:
                message = await within(endpoint.receive())
                server = await endpoint.peel_off(message.association_id)
                assert message.data == b"%d" % number
            else:
                server = await listener.accept()
                await server.peel_off()
                assert (await within(server.receive())).data == b"%d" % number
            match number % 8:
                case 0 | 1:
                    await asyncio.gather(client.close(), server.close())
                case 2 | 3:
                    await client.close()
                    await within(server.wait_closed())
                case 4 | 5:
                    await client.abort()
                    with pytest.raises(AssociationAbortedError):
                        await within(server.receive())
                case _:
                    await server.abort(b"enough")
                    with pytest.raises(AssociationAbortedError):
                        await within(client.receive())
        assert descriptor_count() == before
        assert listening_associations(listener) == 0
        assert endpoint.associations == ()
    await until(lambda: not associations())


async def test_many_peeled_off_at_the_same_time_each_keep_their_own_messages() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        clients = [await connect(listener.local_addresses) for _ in range(30)]
        servers = [await listener.accept() for _ in range(30)]
        for number, client in enumerate(clients):
            await client.send(b"before %d" % number)
        await asyncio.gather(*(server.peel_off() for server in servers))
        assert len({server.fileno() for server in servers}) == 30
        for number, client in enumerate(clients):
            await client.send(b"after %d" % number)
        ports = [client.local_addresses.port for client in clients]
        for server in servers:
            number = ports.index(server.peer_addresses.port)
            assert (await within(server.receive())).data == b"before %d" % number
            assert (await within(server.receive())).data == b"after %d" % number
        await asyncio.gather(*(server.close() for server in servers))
        for client in clients:
            await within(client.wait_closed())
