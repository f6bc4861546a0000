"""Events over a scripted socket: whole, in parts, unknown."""

import asyncio
import struct

import pytest

from pure.loop.scripted import PEER, change
from pure.loop.shared_socket.bench import opened
from sctpio import AssociationChange, AssociationState, SenderDry, ShutdownEvent, UnknownEvent
from support import collect, until, within

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_events_go_to_their_association_and_to_the_listener() -> None:
    async with opened() as bench:
        all_of_them = bench.listener.events(AssociationChange, SenderDry, ShutdownEvent)
        three, four = await bench.new(3), await bench.new(4)
        of_three = three.events(SenderDry, ShutdownEvent)
        bench.script.event(SenderDry(4))
        bench.script.event(SenderDry(3))
        bench.script.event(ShutdownEvent(3))
        bench.script.shut(3)
        bench.script.event(SenderDry(99))
        await three.wait_closed()
        assert await collect(of_three) == [SenderDry(3), ShutdownEvent(3)]
        await bench.read()
        seen = [await anext(all_of_them) for _ in range(7)]
        up, end = AssociationState.COMM_UP, AssociationState.SHUTDOWN_COMP
        expected = [change(3, up), change(4, up), SenderDry(4), SenderDry(3)]
        assert seen == [*expected, ShutdownEvent(3), change(3, end), SenderDry(99)]
        assert not four.is_closed


async def test_an_event_that_nobody_knows_is_for_the_listener() -> None:
    async with opened() as bench:
        events = bench.listener.events()
        conn = await bench.new(3)
        mine = conn.events()
        await anext(events)
        unknown = struct.pack("=HHI", 0x80FF, 7, 12) + b"\3\0\0\0"
        bench.script.notification(unknown)
        bench.script.notification(b"\1")
        bench.script.data(3, b"goes on")
        assert (await conn.receive()).data == b"goes on"
        assert await anext(events) == UnknownEvent(0x80FF, 7, unknown)
        assert await anext(events) == UnknownEvent(0, 0, b"\1")
        bench.script.shut(3)
        assert await collect(mine) == [change(3, AssociationState.SHUTDOWN_COMP)]


@pytest.mark.parametrize("size", [1, 3, 19])
async def test_an_event_that_comes_in_parts_is_joined(size: int) -> None:
    async with opened() as bench:
        one, two = (bench.script.codec.encode_event(change(n, AssociationState.COMM_UP)) for n in (3, 4))
        bench.script.alive |= {3: PEER, 4: PEER}
        for data in (one, two):
            pieces = [data[place : place + size] for place in range(0, len(data), size)]
            for number, piece in enumerate(pieces, 1):
                bench.script.notification(piece, complete=number == len(pieces))
        bench.script.data(3, b"x")
        three, four = await bench.accept(), await bench.accept()
        assert (three.association_id, four.association_id) == (3, 4)
        assert (await three.receive()).data == b"x"


async def test_an_event_without_an_end_is_cut_off() -> None:
    async with opened() as bench:
        events = bench.listener.events(UnknownEvent)
        for _ in range(5):
            bench.script.notification(b"\0" * 60_000, complete=False)
        event = await anext(events)
        assert isinstance(event, UnknownEvent)
        assert len(event.raw) == 300_000
        assert (await bench.new(3)).association_id == 3


async def test_a_restart_of_the_peer_leaves_the_association_and_forgets_parts() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.data(3, b"half", complete=False)
        bench.script.event(change(3, AssociationState.RESTART))
        bench.script.data(3, b"whole")
        assert (await conn.receive()).data == b"whole"
        assert bench.listener.statistics().unaccepted == 0


async def test_a_flush_ends_when_the_peer_restarts_and_those_of_others_go_on() -> None:
    async with opened() as bench:
        three, four = await bench.new(3), await bench.new(4)
        for conn in (three, four):
            await conn.send(b"x")
        flushing = [asyncio.create_task(conn.flush()) for conn in (three, four)]
        await until(lambda: len(bench.script.calls("subscribe")) == 4)
        bench.script.event(change(3, AssociationState.RESTART))
        with pytest.raises(ConnectionResetError, match="restarted"):
            await within(flushing[0])
        assert not flushing[1].done()
        bench.script.event(SenderDry(4))
        await within(flushing[1])
        await three.send(b"to the new peer")
