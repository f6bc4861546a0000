"""Fairness, by counts: what each of many flooding associations gets, and how much one callback takes."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest

from sctpio import Conn, Endpoint, Listener, Mode, ReceiveBuffer, connect, listen, open_endpoint
from sctpio._abi.contract import RECORDS
from sctpio._loop import pace as _pace
from sctpio._loop.loop_socket import LoopSocket
from sctpio.stacks.native import ARENA
from support import PATIENCE, connected, settled, until

pytestmark = pytest.mark.both_loops

ASSOCIATIONS = 8
MEAN = 250

# Senders that find room do not suspend: they let each other run after so many messages.
TURN = 10


async def flood(conn: Conn) -> None:
    """Send for ever."""
    while True:
        for _ in range(TURN):
            await conn.send(bytes(64))
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def flooded(server: Listener | Endpoint) -> AsyncIterator[list[Conn]]:
    """Flood a server from many associations."""
    clients = [await connect(server.local_addresses) for _ in range(ASSOCIATIONS)]
    senders = [asyncio.create_task(flood(client)) for client in clients]
    try:
        yield clients
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        for client in clients:
            await client.abort()


def check_shares(counts: Counter[int]) -> None:
    """See that the slowest got half of the mean."""
    assert len(counts) == ASSOCIATIONS
    assert min(counts.values()) >= counts.total() / ASSOCIATIONS / 2, counts


@pytest.mark.parametrize("mode", Mode, ids=[mode.value for mode in Mode])
async def test_no_flooding_association_gets_less_than_half_of_the_mean(mode: Mode) -> None:
    counts: Counter[int] = Counter()

    async def count(number: int, conn: Conn) -> None:
        async for _ in conn:
            counts[number] += 1

    async with listen("127.0.0.1:0", mode=mode) as listener, flooded(listener):
        conns = [await listener.accept() for _ in range(ASSOCIATIONS)]
        readers = [asyncio.create_task(count(number, conn)) for number, conn in enumerate(conns)]
        await until(lambda: counts.total() >= ASSOCIATIONS * MEAN)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for conn in conns:
            await conn.abort()
    check_shares(counts)


async def test_an_endpoint_hears_all_flooding_associations_alike() -> None:
    counts: Counter[int] = Counter()
    async with open_endpoint("127.0.0.1:0") as endpoint:
        async with flooded(endpoint):
            async with asyncio.timeout(20 * PATIENCE):
                while counts.total() < ASSOCIATIONS * MEAN:
                    counts[(await endpoint.receive()).association_id] += 1
        for association_id in endpoint.associations:
            await endpoint.abort(association_id)
    check_shares(counts)


def watch(monkeypatch: pytest.MonkeyPatch, server: Conn, see: Callable[[int, int], object]) -> None:
    """See the messages and bytes of every batch that a socket gives from now on, to its one association."""
    association, socket = server._association, server._link.socket
    kind = type(socket)
    read = kind._read

    def noted(self: LoopSocket, *arguments: Any) -> None:
        messages, size = association.messages_received, association.bytes_received
        read(self, *arguments)
        if self is socket:
            see(association.messages_received - messages, association.bytes_received - size)

    monkeypatch.setattr(kind, "_read", noted)


@pytest.mark.usefixtures("full_batches")
@pytest.mark.parametrize("most", [1, 7, RECORDS])
@pytest.mark.parametrize("mode", Mode, ids=[mode.value for mode in Mode])
async def test_a_callback_takes_one_batch_and_lets_others_run(
    mode: Mode, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What happened: the records and bytes of a batch, None for a turn of another callback.
    log: list[tuple[int, int] | None] = []

    def see(messages: int, size: int) -> None:
        log.append((messages, size))

    async def tick() -> None:
        while True:
            log.append(None)
            await asyncio.sleep(0)

    async with connected(listen_with={"mode": mode, "receive_batch": most}) as pair:
        carrier = pair.server._link.socket
        carrier._set_reading(False)
        sender = asyncio.create_task(flood(pair.client))
        # Much is queued now, more than a batch.
        await until(lambda: pair.client.statistics().waiting_senders == 1)
        await settled(lambda: pair.client.statistics().messages_sent)
        watch(monkeypatch, pair.server, see)
        ticker = asyncio.create_task(tick())
        wakeups = pair.server.statistics().wakeups
        carrier._set_reading(True)
        for _ in range(10 * most):
            await pair.server.receive()
        seen, called = list(log), pair.server.statistics().wakeups - wakeups
        for task in (sender, ticker):
            task.cancel()
        await asyncio.gather(sender, ticker, return_exceptions=True)
    batches = [entry for entry in seen if entry is not None]
    assert len(batches) == called
    assert max(count for count, _ in batches) == most
    assert max(size for _, size in batches) <= ARENA
    full = [entry is not None and entry[0] == most for entry in seen]
    assert not any(this and following for this, following in pairwise(full))


@pytest.mark.parametrize(
    ("long_turn", "sizes"), [(float("inf"), [16, 32, 64, 128]), (-1.0, [16, 8, 8, 8])], ids=["short", "long"]
)
@pytest.mark.parametrize("mode", Mode, ids=[mode.value for mode in Mode])
async def test_batches_follow_the_length_of_turns(
    mode: Mode, long_turn: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They begin small, grow while turns are short, and get smaller after a long one."""
    seen: list[int] = []
    monkeypatch.setattr(_pace, "LONG_TURN", long_turn)
    options = (ReceiveBuffer(1 << 20),)
    async with connected(listen_with={"mode": mode, "options": options}) as pair:
        carrier = pair.server._link.socket
        carrier._set_reading(False)
        for _ in range(sum(sizes)):
            await pair.client.send(b"x")
        await pair.client.flush()
        watch(monkeypatch, pair.server, lambda messages, size: seen.append(messages))
        carrier._set_reading(True)
        for _ in range(sum(sizes)):
            await pair.server.receive()
        await pair.server.abort()
    assert seen[: len(sizes)] == sizes


@pytest.mark.parametrize("mode", Mode, ids=[mode.value for mode in Mode])
async def test_a_task_goes_on_in_the_callback_that_found_its_message(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the loop's next turn, which would cost as much again."""
    log: list[str] = []

    def see(messages: int, size: int) -> None:
        if messages:
            log.append("read")

    async def tick() -> None:
        while True:
            log.append("turn")
            await asyncio.sleep(0)

    async def take() -> None:
        async for message in pair.server:
            log.append(message.data.decode())

    async with connected(listen_with={"mode": mode}) as pair:
        watch(monkeypatch, pair.server, see)
        taker, ticker = asyncio.create_task(take()), asyncio.create_task(tick())
        for number in range(20):
            await pair.client.send(b"%d" % number)
            await until(lambda: str(number) in log)  # noqa: B023
        for task in (taker, ticker):
            task.cancel()
        await asyncio.gather(taker, ticker, return_exceptions=True)
    received = [log[at + 1] for at, entry in enumerate(log) if entry == "read"]
    assert received == [str(number) for number in range(20)]
