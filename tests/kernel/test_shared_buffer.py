"""Peers that stall beside peers that read: on one socket, with one send buffer for all or one for each."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from sctpio import AssociationAbortedError, ClosedError, Conn, Listener, Mode, SendBuffer, connect, listen
from sctpio._loop.shared_socket import SharedSocket
from sctpio.stacks.kernel import allowance
from support import PATIENCE, associations, read_again, settled, stop_reading, until

# Real timers and whole networks: one loop is enough.
pytestmark = pytest.mark.one_loop

SNDBUF_POLICY = Path("/proc/sys/net/sctp/sndbuf_policy")

# Seconds that what must not hang may take.
LONG = 40 * PATIENCE

# Messages that a peer which does not read may still take: its kernel's window closes in steps.
MOVES = 10


@pytest.fixture(params=["0", "1"], ids=["shared", "separate"], autouse=True)
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    """Choose whose the send buffer is: the socket's (0) or each association's (1)."""
    before = SNDBUF_POLICY.read_text()
    SNDBUF_POLICY.write_text(request.param)
    yield request.param
    SNDBUF_POLICY.write_text(before)


class Side(NamedTuple):
    """An association: the peer's end, and ours on the shared socket."""

    peer: Conn
    conn: Conn


class Flood:
    """A task that sends numbered messages as fast as it may."""

    def __init__(self, conn: Conn, size: int, *, together: int = 1) -> None:
        self.conn = conn
        self.count = 0
        self.task = asyncio.create_task(self._run(size, together))

    async def _run(self, size: int, together: int) -> None:
        while True:
            numbers = range(self.count, self.count + together)
            messages = [b"%06d" % number + bytes(size - 6) for number in numbers]
            if together == 1:
                await self.conn.send(messages[0])
            else:
                await self.conn.send_many(messages)
            self.count += together

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Drain:
    """A task that takes messages, and looks that they are the flood's, each once and in order."""

    def __init__(self, conn: Conn) -> None:
        self.count = 0
        self.task = asyncio.create_task(self._run(conn))

    async def _run(self, conn: Conn) -> None:
        async for message in conn:
            assert int(message.data[:6]) == self.count
            self.count += 1


@asynccontextmanager
async def sides(count: int) -> AsyncIterator[tuple[Listener, list[Side]]]:
    """Connect peers with one listener; whatever the test leaves is aborted."""
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as listener:
        made = []
        try:
            for _ in range(count):
                peer = await connect(listener.local_addresses)
                made.append(Side(peer, await listener.accept()))
            yield listener, made
        finally:
            for side in made:
                await side.conn.abort()
                await side.peer.abort()
    await until(lambda: not associations())


def deafen(*stalled: Side, deaf: bool = True) -> None:
    """Let peers stop reading, or read again."""
    for side in stalled:
        (stop_reading if deaf else read_again)(side.peer)


async def stall(*stalled: Side, size: int) -> list[Flood]:
    """Flood peers that do not read, until each flood waits and nothing moves any more."""
    deafen(*stalled)
    floods = [Flood(side.conn, size) for side in stalled]
    await until(lambda: all(side.conn.statistics().waiting_senders for side in stalled))
    await settled(lambda: [flood.count for flood in floods])
    assert all(side.conn.statistics().waiting_senders == 1 for side in stalled)
    assert not any(flood.task.done() for flood in floods)
    return floods


def timeouts() -> int:
    """Return how many retransmission timeouts this network has had."""
    lines = Path("/proc/net/sctp/snmp").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("SctpT3Rtx"))


async def through(healthy: Sequence[Side], size: int, most: int, *, together: int = 1) -> None:
    """Flood peers that read until each has `most` messages, and look that none had much less than others."""
    before = timeouts()
    drains = [Drain(side.peer) for side in healthy]
    floods = [Flood(side.conn, size, together=together) for side in healthy]
    try:
        await until(lambda: min(drain.count for drain in drains) >= most, seconds=LONG / PATIENCE)
        counts = [drain.count for drain in drains]
        # Where the kernel's own buffers overflowed, an association waited a second for nobody here.
        assert timeouts() > before or min(counts) >= sum(counts) / len(counts) / 2, counts
    finally:
        for flood in floods:
            await flood.stop()
    # Nothing of a flood that was cancelled is lost or sent twice.
    sent = [side.conn.statistics().messages_sent for side in healthy]
    await until(lambda: [side.peer.statistics().messages_received for side in healthy] == sent)
    for drain in drains:
        if drain.task.done():
            drain.task.result()
        drain.task.cancel()
    await asyncio.gather(*(drain.task for drain in drains), return_exceptions=True)


def room_of(listener: Listener) -> SharedSocket:
    door = listener._door
    assert isinstance(door, SharedSocket)
    return door


async def calls(listener: Listener, seconds: float = 0.5) -> int:
    """Count how often the loop calls for the socket, by readiness and by timers, once it has settled."""
    many = room_of(listener)
    await settled(lambda: many.wakeups)
    before = many.wakeups + many._share.looks
    await asyncio.sleep(seconds)
    return many.wakeups + many._share.looks - before


async def test_the_stack_is_asked_which_policy_holds(policy: str) -> None:
    async with sides(1) as (listener, _):
        assert room_of(listener).raw.shares_send_buffer == (policy == "0")


@pytest.mark.parametrize("size", [100, 20_000])
async def test_a_stalled_peer_leaves_fair_parts_to_the_others(size: int) -> None:
    async with sides(5) as (listener, all_of_them):
        stalled, *healthy = all_of_them
        [flood] = await stall(stalled, size=size)
        sent = flood.count
        await through(healthy, size, 300 if size < 10_000 else 60)
        # It has hardly moved, and waits on.
        assert flood.count <= sent + MOVES
        assert stalled.conn.statistics().waiting_senders == 1
        assert listener.statistics().waiting_senders == 1
        # When its peer reads, it goes on where it was.
        deafen(stalled, deaf=False)
        drain = Drain(stalled.peer)
        await until(lambda: drain.count > sent + 50, seconds=LONG / PATIENCE)
        await flood.stop()
        await until(lambda: drain.count == stalled.conn.statistics().messages_sent)
        assert not drain.task.done()
        drain.task.cancel()


async def test_floods_without_a_stalled_peer_are_fair_too() -> None:
    async with sides(4) as (_, healthy):
        await through(healthy, 1_400, 400)


async def test_batches_get_fair_parts_beside_a_stalled_peer() -> None:
    async with sides(5) as (_, all_of_them):
        stalled, *healthy = all_of_them
        [flood] = await stall(stalled, size=1_000)
        await through(healthy, 1_000, 300, together=20)
        assert stalled.conn.statistics().waiting_senders == 1
        await flood.stop()


async def test_several_stalled_peers_leave_room_to_the_others() -> None:
    async with sides(7) as (listener, all_of_them):
        stalled, healthy = all_of_them[:3], all_of_them[3:]
        floods = []
        for side in stalled:
            # One after another: the second has what the first leaves.
            floods += await stall(side, size=1_400)
        sent = [flood.count for flood in floods]
        assert min(sent) > 0
        await through(healthy, 1_400, 200)
        assert all(flood.count <= count + MOVES for flood, count in zip(floods, sent, strict=True))
        assert listener.statistics().waiting_senders == 3
        # Another association comes late, and has room as well.
        peer = await connect(listener.local_addresses)
        late = Side(peer, await listener.accept())
        await through([late], 1_400, 100)
        deafen(*stalled, deaf=False)
        drains = [Drain(side.peer) for side in stalled]
        await until(
            lambda: all(drain.count > count + 50 for drain, count in zip(drains, sent, strict=True)),
            seconds=LONG / PATIENCE,
        )
        for flood in floods:
            await flood.stop()
        for drain in drains:
            assert not drain.task.done()
            drain.task.cancel()
        await late.conn.abort()
        await late.peer.abort()


async def test_peers_that_stall_at_once_leave_room_to_the_others() -> None:
    async with sides(7) as (listener, all_of_them):
        stalled, healthy = all_of_them[:3], all_of_them[3:]
        floods = await stall(*stalled, size=5_000)
        await through(healthy, 1_400, 200)
        assert listener.statistics().waiting_senders == 3
        for flood in floods:
            await flood.stop()


async def test_nobody_spins_while_only_stalled_senders_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    # After some seconds each sends its peer one message to find out, and looks more often for a while.
    monkeypatch.setattr(allowance, "PATIENCE", float("inf"))
    async with sides(4) as (listener, all_of_them):
        assert await calls(listener) == 0
        one = await stall(all_of_them[0], size=1_400)
        # At most a look each quarter of a second.
        assert await calls(listener) <= 4
        others = await stall(*all_of_them[1:3], size=200)
        assert await calls(listener) <= 4
        for flood in (*one, *others):
            await flood.stop()
        # Nobody waits: nothing is watched, nothing is looked at.
        assert await calls(listener) == 0


async def test_a_cancelled_sender_leaves_everything_in_order() -> None:
    async with sides(4) as (listener, all_of_them):
        stalled, *healthy = all_of_them
        [flood] = await stall(stalled, size=1_400)
        await flood.stop()
        assert listener.statistics().waiting_senders == 0
        sent = stalled.conn.statistics().messages_sent
        assert sent == flood.count
        await through(healthy, 1_400, 200)
        # What was taken is delivered, and nothing of what was cancelled.
        deafen(stalled, deaf=False)
        for number in range(sent):
            assert int((await stalled.peer.receive()).data[:6]) == number
        await stalled.conn.send(b"next")
        assert (await stalled.peer.receive()).data == b"next"
        assert await calls(listener) == 0


@pytest.mark.parametrize("how", ["abort", "peer aborts", "cancelled close"])
async def test_the_end_of_a_stalled_association_leaves_everything_in_order(how: str) -> None:
    async with sides(4) as (listener, all_of_them):
        stalled, *healthy = all_of_them
        [flood] = await stall(stalled, size=1_400)
        size = listener.get_option(SendBuffer).size or 0
        match how:
            case "abort":
                await stalled.conn.abort(b"stalled")
            case "peer aborts":
                await stalled.peer.abort()
            case "cancelled close":
                closing = asyncio.create_task(stalled.conn.close())
                await until(flood.task.done)
                closing.cancel()
                await asyncio.gather(closing, return_exceptions=True)
        with pytest.raises(AssociationAbortedError if how == "peer aborts" else ClosedError):
            async with asyncio.timeout(LONG):
                await flood.task
        assert listener.statistics().waiting_senders == 0
        # All that it held is given back: one message may be as large as the buffer.
        receiver = asyncio.create_task(healthy[0].peer.receive())
        await healthy[0].conn.send(b"%06d" % 0 + bytes(size // 2))
        async with asyncio.timeout(LONG):
            assert len((await receiver).data) == 6 + size // 2
        await through(healthy[1:], 1_400, 1_000)
        assert await calls(listener) == 0


async def test_a_message_as_large_as_the_buffer_goes_beside_a_stalled_peer() -> None:
    async with sides(2) as (listener, (stalled, healthy)):
        [flood] = await stall(stalled, size=1_400)
        size = (listener.get_option(SendBuffer).size or 0) - 1
        for _ in range(3):
            receiver = asyncio.create_task(healthy.peer.receive())
            async with asyncio.timeout(LONG):
                await healthy.conn.send(bytes(size))
                assert len((await receiver).data) == size
        await flood.stop()


async def test_many_senders_of_one_stalled_association_wait_and_go_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allowance, "PATIENCE", float("inf"))
    async with sides(3) as (listener, all_of_them):
        stalled, *healthy = all_of_them
        [flood] = await stall(stalled, size=1_400)
        await flood.stop()
        order: list[int] = []

        async def send(number: int) -> None:
            await stalled.conn.send(b"%06d" % (flood.count + number) + bytes(1_394))
            order.append(number)

        senders = [asyncio.create_task(send(number)) for number in range(100)]
        await until(lambda: stalled.conn.statistics().waiting_senders == 100)
        assert await calls(listener) <= 4
        await through(healthy, 1_400, 200)
        assert order == []
        deafen(stalled, deaf=False)
        drain = Drain(stalled.peer)
        async with asyncio.timeout(LONG):
            await asyncio.gather(*senders)
        assert order == list(range(100))
        await until(lambda: drain.count == flood.count + 100)
        drain.task.cancel()
