"""What a socket of one association reads, over a scripted one: in order, as far as there is room."""

import asyncio
import errno
import struct
from typing import Any

import pytest

from pure.loop.own_socket.bench import opened
from pure.loop.scripted import PEER, change
from sctpio import (
    AssociationChange,
    AssociationState,
    EventsDropped,
    PartialDelivery,
    PartialDeliveryState,
    ReceivedTooLargeError,
    SenderDry,
    ShutdownEvent,
    StreamOutOfRangeError,
    UnknownEvent,
)
from sctpio._abi.contract import EOF, MORE, MSG_CTRUNC, MSG_EOR, NO_INFO, UNORDERED
from sctpio._loop.reading import claim
from sctpio.stacks.base import LARGE_SIZE
from sctpio.stacks.native import ARENA
from support import collect, settled, turns, until, within

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_the_first_event_is_read_at_once_and_no_message() -> None:
    async with opened(start=False) as bench:
        bench.script.data(3, b"for whoever it is handed to")
        bench.socket.start()
        # No turn of the loop has been: the association is up, and can be given away whole.
        assert (bench.conn.association_id, bench.conn.outbound_streams) == (3, 10)
        assert bench.script.unread == 1
        assert (await within(bench.conn.receive())).data == b"for whoever it is handed to"


async def test_events_stand_where_they_came_among_messages() -> None:
    async with opened(events=(AssociationChange, PartialDelivery, SenderDry)) as bench:
        script = bench.script
        # All in one batch.
        script.data(3, b"whole")
        script.data(3, b"half", complete=False)
        script.event(PartialDelivery(PartialDeliveryState.ABORTED, 0, 0, 3))
        script.data(3, b"another ", complete=False)
        script.event(SenderDry(3))
        script.data(3, b"one")
        script.data(3, b"of an old peer", complete=False)
        script.event(change(3, AssociationState.RESTART))
        script.data(3, b"last")
        await bench.read()
        received = [message.data for message in await bench.conn.receive_many()]
        assert received == [b"whole", b"another one", b"last"]
        script.shut(3)
        events = await collect(bench.conn.events(AssociationChange, PartialDelivery, SenderDry))
        assert [type(event) for event in events] == [
            *(AssociationChange, PartialDelivery, SenderDry),
            *(AssociationChange, AssociationChange),
        ]


async def test_a_paused_reader_resumes_when_there_is_room() -> None:
    async with opened(receive_buffer=1_000) as bench:
        conn, script = bench.conn, bench.script
        script.data(3, bytes(1_000))
        await until(lambda: conn.statistics().reading_paused)
        for number in range(5):
            script.data(3, b"%d" % number)
        await settled(lambda: script.unread, quiet=0.05)
        assert (script.unread, conn.statistics().pauses) == (5, 1)
        assert len((await conn.receive()).data) == 1_000
        assert not conn.statistics().reading_paused
        for number in range(5):
            assert (await within(conn.receive())).data == b"%d" % number


async def test_a_flush_waits_until_a_pause_is_over() -> None:
    async with opened(receive_buffer=1_000) as bench:
        conn, script = bench.conn, bench.script
        await conn.send(b"x")
        script.data(3, bytes(1_000))
        await until(lambda: conn.statistics().reading_paused)
        flushing = asyncio.create_task(conn.flush())
        await turns()
        # It could not hear the answer.
        assert script.calls("subscribe") == []
        await conn.receive()
        # At once, not when it looks whether anybody still reads.
        await turns()
        assert script.calls("subscribe") != []
        assert not flushing.done()
        script.event(SenderDry(3))
        await within(flushing)


async def test_senders_wait_until_the_socket_is_writable_and_go_in_turn() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.fill()
        senders = [asyncio.create_task(conn.send(b"%d" % number)) for number in range(3)]
        await until(lambda: conn.statistics().waiting_senders == 3)
        await settled(lambda: conn.statistics().wakeups, quiet=0.05)
        assert script.calls("send") == [(3, b"0")]
        script.empty()
        await within(asyncio.gather(*senders))
        assert script.calls("send")[1:] == [(3, b"0"), (3, b"1"), (3, b"2")]


async def test_an_association_that_the_peer_is_shutting_down_is_watched_and_does_not_spin() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.data(3, b"last")
        script.event(ShutdownEvent(3))
        # From here on the socket is readable all the time.
        script.state = EOF
        await until(lambda: bool(script.watches))
        [watch] = script.watches
        before = conn.statistics().wakeups
        await asyncio.sleep(0.05)
        assert conn.statistics().wakeups == before
        assert (await conn.receive()).data == b"last"
        with pytest.raises(EOFError):
            await conn.receive()
        assert not conn.is_closed
        # News that is not the end yet.
        script.event(SenderDry(3))
        watch.news()
        await bench.read()
        before = conn.statistics().wakeups
        await asyncio.sleep(0.05)
        assert conn.statistics().wakeups == before
        assert (conn.is_closed, len(script.watches)) == (False, 1)
        script.shut(3)
        watch.news()
        await within(conn.wait_closed())
        assert (conn.is_closed, watch.fileno(), script.closed) == (True, -1, True)


async def test_events_are_bounded_by_their_bytes_and_taking_them_makes_room() -> None:
    """However few they are: what the peer chose to send, or could not be delivered, comes along in them."""
    async with opened() as bench:
        events, script = bench.conn.events(UnknownEvent), bench.script

        async def come(count: int, first: int) -> None:
            for number in range(first, first + count):
                script.notification(struct.pack("=HHI", 0x80FF, number, 200_008) + bytes(200_000))
            await bench.read()

        await come(8, 0)
        # A mebibyte has room for five.
        taken: list[Any] = [await within(anext(events)) for _ in range(3)]
        await come(4, 8)
        taken += [await within(anext(events)) for _ in range(6)]
        assert [event.count if isinstance(event, EventsDropped) else event.flags for event in taken] == [
            *(0, 1, 2, 3, 4),
            *(3, 8, 9, 10),
        ]
        assert await within(anext(events)) == EventsDropped(1)


async def test_a_message_has_the_numbers_that_came_with_it() -> None:
    async with opened() as bench:
        numbers: dict[str, Any] = {
            "stream": 1,
            "ssn": 2,
            "tsn": 3,
            "cumulative_tsn": 4,
            "context": 5,
            "ppid": 6,
        }
        bench.script.data(3, b"ordered", **numbers)
        bench.script.data(3, b"unordered", flags=UNORDERED)
        ordered, unordered = await within(bench.conn.receive()), await within(bench.conn.receive())
        assert {name: getattr(ordered, name) for name in numbers} == numbers
        assert (ordered.association_id, ordered.source, ordered.complete) == (3, PEER, True)
        assert (ordered.unordered, unordered.unordered) == (False, True)


@pytest.mark.parametrize("flag", [NO_INFO, MSG_CTRUNC])
async def test_a_message_without_its_numbers_is_given_and_logged(
    flag: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as bench:
        bench.script._put(b"bare", MSG_EOR | flag, 3, {}, b"")
        message = await within(bench.conn.receive())
        assert (message.data, message.stream, message.source) == (b"bare", 0, None)
        [record] = caplog.records
        assert "without its stream and PPID" in record.message


async def test_large_messages_are_asked_for_once_there_was_one_as_far_as_a_batch_goes() -> None:
    async with opened(receive_buffer=1_000_000) as bench:
        script = bench.script
        script.data(3, bytes(LARGE_SIZE))
        await bench.read()
        assert script.has_large
        script.log.clear()
        data = [
            bytes([number]) * size for number, size in enumerate((100_000, 10, 100_000, 100_000, 100_000))
        ]
        for each in data:
            script.data(3, each)
        await bench.read()
        # What follows a large message is asked for in the same turn of the loop, while there is space.
        [first, *rest] = await bench.conn.receive_many()
        assert [message.data for message in (first, *rest)] == [bytes(LARGE_SIZE), *data]
        space, rooms = 1_000_000 - LARGE_SIZE - 256, [call[:1] + call[2:] for call in script.calls("receive")]
        left = ARENA - 100_000
        assert rooms == [(space, True), (left, False)]
        assert script.has_large


async def test_a_batch_of_large_messages_is_bounded() -> None:
    async with opened(receive_buffer=1_000_000) as bench:
        script = bench.script
        script.has_large = True
        for _ in range(8):
            script.data(3, bytes(100_000))
        await bench.read()
        rooms = [room for room, _, large in script.calls("receive") if large]
        assert rooms[1:3] == [ARENA - 100_000, ARENA - 200_000]
        # Another turn, with the space that is left then.
        assert rooms[3] == 1_000_000 - 3 * 100_256
        assert bench.socket.wakeups >= 3
        assert len(await bench.conn.receive_many()) == 8


async def test_the_batch_ends_where_a_large_message_fills_the_number_of_records() -> None:
    async with opened(receive_buffer=1_000_000) as bench:
        script = bench.script
        script.has_large = True
        for _ in range(2):
            script.data(3, bytes(100_000))
        assert bench.socket._read_batch(1_000_000, 1) == MORE
        assert script.unread == 1
        assert bench.socket._read_batch(1_000_000, 2) == -errno.EAGAIN
        assert len(await bench.conn.receive_many()) == 2


async def test_a_message_that_is_too_large_ends_it_and_what_came_before_stays() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.data(3, b"before")
        script.data(3, bytes(1_000_001))
        await until(lambda: script.calls("abort") == [(3, b"")])
        assert script.closed
        assert (await within(conn.receive())).data == b"before"
        with pytest.raises(ReceivedTooLargeError):
            await within(conn.receive())
        with pytest.raises(ReceivedTooLargeError):
            await within(conn.send(b"x"))


async def test_a_stream_that_the_peer_does_not_have_cannot_be_claimed() -> None:
    async with opened() as bench:
        await bench.read()
        association = bench.socket.association
        association.inbound_streams = 2
        assert claim(association, 1).inbox is association.unread.claimed[1]
        with pytest.raises(StreamOutOfRangeError) as caught:
            claim(association, 2)
        assert (caught.value.stream, caught.value.limit) == (2, 2)
