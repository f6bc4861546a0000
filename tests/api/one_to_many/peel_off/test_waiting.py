"""Who waits while an association is peeled off goes on there, events too."""

import asyncio

import pytest

from api.one_to_many.peel_off.moving import COMM_UP, MANY, MEDIUM, QUICK, SHUTDOWN_COMP, shared, talk
from sctpio import AssociationChange, ClosedError, EndOfAssociation, SenderDry, ShutdownEvent, listen
from sctpio.stacks import native as _native
from support import (
    KIB,
    LOCAL,
    PATIENCE,
    SMALL,
    collect,
    connected,
    paired,
    read_again,
    settled,
    stop_reading,
    turns,
    until,
    within,
)

# Those who wait


async def test_who_waits_for_messages_events_and_the_end_goes_on() -> None:
    async with shared() as pair:
        server = pair.server
        events = server.events(ShutdownEvent, AssociationChange)
        receiving, again = (asyncio.create_task(server.receive()) for _ in range(2))
        streaming = asyncio.create_task(server.stream(3).receive())
        watching = asyncio.create_task(collect(events))
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


async def test_a_flush_that_waits_goes_on() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        stop_reading(pair.client)
        await turns()
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
        stop_reading(pair.client)
        await turns()
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
        stop_reading(pair.client)
        await turns()
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
        stop_reading(pair.client)
        await turns()
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
            stop_reading(stalled.client)
            await turns()
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
            assert [type(event) for event in await within(collect(ends))] == [ShutdownEvent]
            states = [
                event.state for event in await within(collect(kept)) if isinstance(event, AssociationChange)
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
                while not listener._shared._notification:
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
