"""Associations that we begin, over a scripted socket."""

import asyncio
import errno

import pytest

from pure.loop.scripted import PEER
from pure.loop.shared_socket.bench import opened
from sctpio import AssociationError, AssociationLostError, AssociationState, InitMsg, RtoInfo
from support import until

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_connect_gives_an_association_like_any_other() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        await asyncio.sleep(0)
        assert bench.listener.statistics().associations == 0
        bench.script.up(9)
        bench.script.data(9, b"hello")
        conn = await connecting
        assert (conn.association_id, conn.outbound_streams) == (9, 10)
        assert (await conn.receive()).data == b"hello"
        assert bench.listener.statistics().unaccepted == 0


@pytest.mark.parametrize(
    ("cause", "quick", "kind"),
    [
        (b"no", True, ConnectionRefusedError),
        (None, False, ConnectionRefusedError),
        (None, True, TimeoutError),
    ],
)
async def test_a_connect_that_fails_says_why(cause: bytes | None, quick: bool, kind: type[OSError]) -> None:
    """Without a cause only the time that it took tells a refusal from silence."""
    async with opened() as bench:
        if quick:
            bench.script.options[InitMsg] = InitMsg(10, 10, 1, 0.001)
            bench.script.options[RtoInfo] = RtoInfo(0.001, 1.0, 0.001)
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        await asyncio.sleep(0.01)
        bench.script.lost(9, state=AssociationState.CANT_STR_ASSOC, cause=cause)
        with pytest.raises(kind) as caught:
            await connecting
        assert not isinstance(caught.value, AssociationError)
        assert bench.many.members == {}
        # The number is free again.
        assert (await bench.new(9)).association_id == 9


async def test_a_connect_that_the_stack_refuses_leaves_nothing() -> None:
    async with opened() as bench:
        bench.script.connects.append(OSError(errno.EISCONN, "connected already"))
        with pytest.raises(OSError, match="connected already"):
            await bench.listener.connect(PEER)
        assert bench.many.members == {}


async def test_the_loss_of_an_association_that_we_began_is_no_refusal() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        bench.script.up(9)
        conn = await connecting
        # No path answers any more: no cause, no error.
        bench.script.lost(9, cause=None)
        with pytest.raises(AssociationLostError) as caught:
            await conn.receive()
        assert caught.value.errno == errno.ETIMEDOUT


async def test_a_connect_cancelled_while_it_waits_stops_it() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert bench.script.calls("abort") == [(9, b"")]
        bench.script.lost(9, state=AssociationState.CANT_STR_ASSOC)
        await bench.read()
        assert bench.many.members == {}


async def test_a_connect_cancelled_at_any_turn_leaves_no_association_without_an_owner() -> None:
    for turns in range(12):
        async with opened() as bench:
            bench.script.connects.append(9)
            connecting = asyncio.create_task(bench.listener.connect(PEER))
            await until(lambda bench=bench: bool(bench.script.calls("connect")))  # type: ignore[misc]
            bench.script.up(9)
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            try:
                conn = await connecting
            except asyncio.CancelledError:
                await bench.read()
                assert bench.script.calls("abort") == [(9, b"")], turns
            else:
                await conn.send(b"x")
                await conn.abort()


async def test_a_connect_cancelled_as_it_comes_up_leaves_no_association_without_an_owner() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: 9 in bench.many.members)
        await asyncio.sleep(0)
        bench.script.up(9)
        # The event is read, and the task that it wakes has not run.
        bench.many.read_now()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert bench.script.calls("abort") == [(9, b"")]
