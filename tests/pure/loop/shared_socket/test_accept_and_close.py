"""Accepting and closing over a scripted socket, and how long its descriptor lives."""

import asyncio
import gc
import warnings
import weakref

import pytest

from pure.loop.scripted import HERE, PEER, SCRIPTED, Script
from pure.loop.shared_socket.bench import Bench, ended, opened
from sctpio import ClosedError, EndOfAssociation, Listener, SenderDry, ShutdownEvent
from sctpio._loop.settings import Settings
from support import turns, until, waiting_to_accept

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_more_than_wait_to_be_accepted_are_aborted_and_counted() -> None:
    async with opened(backlog=2) as bench:
        for identifier in (3, 4, 5, 6):
            bench.script.up(identifier)
            bench.script.data(identifier, b"%d" % identifier)
        await bench.read()
        assert bench.script.calls("abort") == [(5, b"not accepted"), (6, b"not accepted")]
        statistics = bench.listener.statistics()
        assert (statistics.unaccepted, statistics.refused, statistics.associations) == (2, 2, 2)
        bench.script.lost(5)
        bench.script.lost(6)
        for identifier in (3, 4):
            assert (await (await bench.accept()).receive()).data == b"%d" % identifier
        # There is room again.
        assert (await bench.new(7)).association_id == 7
        assert bench.listener.statistics().refused == 2


async def test_an_association_that_ended_before_it_was_accepted_gives_what_it_had() -> None:
    async with opened() as bench:
        bench.script.up(3)
        bench.script.data(3, b"early")
        bench.script.shut(3)
        bench.script.up(3)
        bench.script.data(3, b"its successor")
        await bench.read()
        first, second = await bench.accept(), await bench.accept()
        assert (await first.receive()).data == b"early"
        await ended(first, EndOfAssociation)
        assert (await second.receive()).data == b"its successor"


async def test_an_accept_that_was_overtaken_keeps_its_place() -> None:
    async with opened() as bench:
        first, second = (asyncio.create_task(bench.listener.accept()) for _ in range(2))
        await until(lambda: len(waiting_to_accept(bench.many)) == 2)
        bench.script.up(3)
        # The event is read, and the task that it wakes has not run.
        bench.many.read_now()
        overtaking = await bench.accept()
        await asyncio.sleep(0)
        bench.script.up(4)
        bench.script.up(5)
        for identifier, task in ((4, first), (5, second)):
            bench.conns.append(await task)
            assert bench.conns[-1].association_id == identifier
        assert overtaking.association_id == 3


async def test_closing_aborts_who_was_not_accepted_and_who_comes_later() -> None:
    async with opened() as bench:
        taken = await bench.new(3)
        accepting = [asyncio.create_task(bench.listener.accept()) for _ in range(3)]
        await asyncio.sleep(0)
        await bench.listener.close()
        for task in accepting:
            with pytest.raises(ClosedError):
                await task
        assert bench.script.calls("listen") == [(0,)]
        assert bench.script.calls("abort") == []
        # One whose COMM_UP was on its way.
        bench.script.up(6)
        bench.script.data(6, b"for nobody")
        bench.script.data(3, b"still served")
        assert (await taken.receive()).data == b"still served"
        assert bench.script.calls("abort") == [(6, b"not accepted")]
        assert bench.listener.statistics().refused == 1
        assert bench.listener.fileno() == -1
        assert taken.fileno() == bench.script.fileno() >= 0


async def test_closing_aborts_all_that_wait() -> None:
    async with opened() as bench:
        for identifier in (3, 4, 5):
            bench.script.up(identifier)
        await bench.read()
        await bench.listener.close()
        assert bench.script.calls("abort") == [(identifier, b"not accepted") for identifier in (3, 4, 5)]
        # Nobody is left: the descriptor is gone.
        assert bench.script.closed
        with pytest.raises(ClosedError):
            await bench.listener.accept()
        with pytest.raises(ClosedError):
            await bench.listener.connect(PEER)
        with pytest.raises(ClosedError):
            await bench.listener.broadcast(b"x")


@pytest.mark.parametrize("how", ["shut", "lost", "aborted here", "closed here"])
async def test_the_descriptor_goes_with_the_last_association(how: str) -> None:
    async with opened() as bench:
        first, last = await bench.new(3), await bench.new(4)
        await bench.listener.close()
        bench.script.shut(3)
        await first.wait_closed()
        assert not bench.script.closed
        match how:
            case "shut":
                bench.script.shut(4)
            case "lost":
                bench.script.lost(4)
            case "aborted here":
                await last.abort()
            case "closed here":
                closing = asyncio.create_task(last.close())
                await until(lambda: bench.script.calls("shutdown") == [(4,)])
                assert not bench.script.closed
                bench.script.shut(4)
                await closing
        await last.wait_closed()
        await until(lambda: bench.script.closed)
        assert (first.fileno(), last.fileno()) == (-1, -1)
        assert last.statistics().messages_sent == 0


async def test_what_follows_in_a_batch_that_ended_the_last_association_is_nobodys() -> None:
    async with opened() as bench:
        await bench.new(3)
        await bench.listener.close()
        bench.script.shut(3)
        bench.script.up(4)
        bench.script.data(4, b"x")
        bench.script.data(3, b"y")
        bench.script.event(SenderDry(4))
        await until(lambda: bench.script.closed)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_a_forgotten_association_is_shut_down_and_its_messages_dropped() -> None:
    async with opened() as bench:
        conn = await bench.new(3, keep=False)
        other = await bench.new(4)
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Conn open association=3"):
            del conn
            gc.collect()
        await turns()
        assert bench.script.calls("shutdown") == [(3,)]
        bench.script.data(3, b"for nobody")
        bench.script.data(4, b"mine")
        assert (await other.receive()).data == b"mine"
        assert bench.listener.statistics().unread_messages == 0
        link = weakref.ref(bench.many.members[3])
        bench.script.shut(3)
        await bench.read()
        gc.collect()
        assert link() is None


async def test_who_forgets_what_the_peer_has_shut_down_is_not_warned_and_nothing_stays() -> None:
    async with opened() as bench:
        conn = await bench.new(3, keep=False)
        bench.script.data(3, b"unread")
        bench.script.event(ShutdownEvent(3))
        await bench.read()
        assert not conn.is_closed
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del conn
            gc.collect()
        await turns()
        assert [str(warning.message) for warning in caught] == []
        assert bench.script.calls("shutdown") == [(3,)]
        assert bench.listener.statistics().unread_messages == 0


async def test_a_forgotten_association_does_not_hold_the_descriptor() -> None:
    async with opened() as bench:
        conn = await bench.new(3, keep=False)
        await bench.listener.close()
        with pytest.warns(ResourceWarning):
            del conn
            gc.collect()
        await turns()
        assert bench.script.calls("shutdown") == [(3,)]
        assert bench.script.closed


async def test_a_forgotten_successor_does_not_hold_the_descriptor_when_the_old_is_closed() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.lost(5)
        new = await bench.new(5, keep=False)
        with pytest.warns(ResourceWarning):
            del new
            gc.collect()
        await turns()
        await old.close()
        await bench.listener.close()
        assert bench.script.closed


async def test_a_forgotten_listener_lets_its_associations_live() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.up(4)
        await bench.read()
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Listener open"):
            del bench.listener
            gc.collect()
        await turns()
        assert bench.script.calls("listen") == [(0,)]
        assert bench.script.calls("abort") == [(4, b"not accepted")]
        bench.script.data(3, b"x")
        assert (await conn.receive()).data == b"x"
        bench.listener = Listener(bench.many, Settings(None, (), (), SCRIPTED, 1, 1), HERE, bench.hub)


async def test_nothing_is_kept_of_associations_that_have_ended() -> None:
    async with opened() as bench:
        references = []
        for identifier in range(3, 30):
            conn = await bench.new(identifier, keep=False)
            references.append(weakref.ref(conn._association))
            bench.script.has_room = False
            sender = asyncio.create_task(conn.send(b"x"))
            await until(lambda conn=conn: conn.statistics().waiting_senders == 1)  # type: ignore[misc]
            bench.script.data(identifier, b"unread")
            if identifier % 3:
                bench.script.lost(identifier)
            else:
                bench.script.shut(identifier)
            await asyncio.gather(sender, return_exceptions=True)
            del conn, sender
        # The loop itself lets go of the last exception, with its frames, one turn later.
        await bench.read()
        gc.collect()
        assert [reference() for reference in references if reference() is not None] == []
        assert bench.many.members == {}


async def test_a_loop_that_was_closed_leaves_no_descriptor() -> None:
    script: list[Script] = []

    def run() -> None:
        loop = asyncio.new_event_loop()

        async def begin() -> Bench:
            bench = Bench(backlog=5, abort_slow=False, receive_buffer=1_000, max_message_size=1_000)
            script.append(bench.script)
            await bench.new(3)
            return bench

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            bench = loop.run_until_complete(begin())
            loop.close()
            del bench
            gc.collect()

    await asyncio.to_thread(run)
    assert script[0].closed
