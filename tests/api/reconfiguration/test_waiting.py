"""Requests at the same time, requests whose association ends, requests that are cancelled, their events."""

import asyncio
import errno
import select
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from api.reconfiguration.requests import (
    ENABLED,
    INCOMING,
    ON,
    OUTGOING,
    counts,
    every_request,
    following,
    received,
    ssns,
    still_works,
)
from sctpio import (
    AssociationAbortedError,
    AssociationReset,
    ClosedError,
    Conn,
    EnableStreamReset,
    EndOfAssociation,
    Event,
    ReceiveBuffer,
    ReconfigurationError,
    SendBuffer,
    StreamChange,
    StreamOutOfRangeError,
    StreamReset,
    StreamResetFlags,
)
from support import PATIENCE, Pair, collect, connected, read_again, stop_reading

pytestmark = pytest.mark.both_modes


# Requests at the same time


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_requests_of_several_tasks_go_one_after_another(both: Pair) -> None:
    client, server, _ = both
    assert await ssns(client, server, 1, 2) == [0, 0]
    async with asyncio.timeout(20 * PATIENCE):
        await asyncio.gather(
            client.stream(1).reset(),
            client.add_streams(outbound=1),
            client.stream(2).reset(),
            client.add_streams(outbound=2, inbound=3),
            client.reset_association(),
            client.reset_streams(),
            client.add_streams(inbound=1),
        )
    assert counts(client) == (13, 14, 13, 14)
    assert await ssns(client, server, 1, 2, 12) == [0, 0, 0]


async def test_one_failure_among_them_stops_no_other(both: Pair) -> None:
    client = both.client
    results = await asyncio.gather(
        client.add_streams(outbound=1),
        client.add_streams(outbound=65_535),
        client.stream(1).reset(),
        client.reset_streams(99),
        client.add_streams(outbound=1),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [
        type(None),
        OSError,
        type(None),
        StreamOutOfRangeError,
        type(None),
    ]
    assert counts(client) == (12, 10, 12, 10)


async def test_requests_of_both_ends_at_the_same_time(both: Pair) -> None:
    """Either is done or says that it failed, none waits for ever; asked for again, it is done."""

    failures: list[ReconfigurationError] = []

    async def insist(asking: Callable[[], Coroutine[Any, Any, None]]) -> None:
        for _ in range(50):
            try:
                await asking()
            except ReconfigurationError as error:
                failures.append(error)
                await asyncio.sleep(0.01)
            else:
                return
        raise AssertionError("it failed again and again")

    async with asyncio.timeout(20 * PATIENCE):
        for _ in range(5):
            await asyncio.gather(
                insist(lambda: both.client.stream(1).reset()), insist(lambda: both.server.stream(1).reset())
            )
    assert {error.errno for error in failures} <= {errno.EIO}
    await still_works(both)


# Waiting and ending


async def unanswered(pair: Pair) -> None:
    """Send what the peer leaves unread, so that a reset of stream 1 waits."""
    stop_reading(pair.server)
    for _ in range(10):
        await pair.client.send(bytes(3000), stream=1)
    await asyncio.sleep(0.1)


STALLED: dict[str, Any] = {
    "listen_with": {"options": [*ENABLED, ReceiveBuffer(size=8192)], "receive_buffer": 1},
    "connect_with": {"options": [*ENABLED, SendBuffer(size=200_000)]},
}


async def test_a_request_of_an_association_that_ends_says_how() -> None:
    async with connected(**STALLED) as pair:
        await unanswered(pair)
        waiting = [
            asyncio.create_task(pair.client.stream(1).reset()),
            asyncio.create_task(pair.client.add_streams(outbound=1)),
        ]
        await asyncio.sleep(0.05)
        await pair.server.abort()
        async with asyncio.timeout(20 * PATIENCE):
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [AssociationAbortedError] * 2


async def test_a_request_of_an_association_that_is_closed_meanwhile() -> None:
    async with connected(**STALLED) as pair:
        await unanswered(pair)
        waiting = asyncio.create_task(pair.client.stream(1).reset())
        await asyncio.sleep(0.05)
        await pair.client.abort()
        with pytest.raises(ClosedError):
            async with asyncio.timeout(20 * PATIENCE):
                await waiting


async def test_an_answer_that_came_before_the_end_counts(both: Pair) -> None:
    waiting = asyncio.create_task(both.client.add_streams(outbound=1))
    await asyncio.sleep(0)
    await both.server.close()
    async with asyncio.timeout(20 * PATIENCE):
        await waiting
    assert both.client.outbound_streams == 11


@every_request
async def test_after_the_end_a_request_says_how_it_was(
    both: Pair, request_of: Callable[[Conn], Coroutine[Any, Any, None]]
) -> None:
    await both.server.close()
    await both.client.wait_closed()
    with pytest.raises(EndOfAssociation):
        await both.client.reset_streams()
    for _ in range(2):
        with pytest.raises((ClosedError, EndOfAssociation)):
            await request_of(both.server)


async def test_a_cancelled_request_leaves_the_association_usable() -> None:
    async with connected(**STALLED) as pair:
        await unanswered(pair)
        waiting = [asyncio.create_task(pair.client.stream(1).reset()) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 3
        read_again(pair.server)
        for _ in range(10):
            await received(pair.server)
        async with asyncio.timeout(20 * PATIENCE):
            await pair.client.add_streams(outbound=1)
            await pair.client.stream(1).reset()
        assert await ssns(pair.client, pair.server, 1) == [0]


@every_request
async def test_a_request_cancelled_at_any_step_leaves_the_association_usable(
    both: Pair, request_of: Callable[[Conn], Coroutine[Any, Any, None]]
) -> None:
    for steps in range(6):
        waiting = asyncio.create_task(request_of(both.client))
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(20 * PATIENCE):
            await both.client.stream(2).reset()
            assert await ssns(both.client, both.server, 2) == [0]
            await both.client.stream(1).reset()
    await still_works(both)


async def test_the_answer_to_a_cancelled_request_is_not_that_of_the_next(both: Pair) -> None:
    client, server, _ = both
    assert await ssns(client, server, 1, 2) == [0, 0]
    waiting = asyncio.create_task(client.stream(1).reset())
    asking = asyncio.create_task(client.stream(2).reset())
    await asyncio.sleep(0)
    # The loop has not seen yet that the answer is there when the next request is made, which is denied.
    readable, _, _ = select.select([client.fileno()], [], [], 20)
    assert readable
    server.set_option(EnableStreamReset(reset_streams=False))
    waiting.cancel()
    with pytest.raises(ReconfigurationError):
        async with asyncio.timeout(20 * PATIENCE):
            await asking
    assert await ssns(client, server, 1, 2) == [0, 1]


# The events of requests


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_the_events_of_a_request_reach_the_iterators_too(both: Pair) -> None:
    client, server, _ = both
    seen = client.events(StreamReset, StreamChange, AssociationReset)
    told = server.events(StreamReset, StreamChange, AssociationReset)
    await client.stream(4).reset()
    await client.add_streams(outbound=2)
    await client.reset_association()
    await client.close()
    here, there = client.association_id, server.association_id
    mine = await collect(seen)
    assert mine[:2] == [StreamReset(OUTGOING, (4,), here), StreamChange(StreamResetFlags(0), 0, 2, here)]
    theirs = await collect(told)
    assert theirs[:2] == [StreamReset(INCOMING, (4,), there), StreamChange(StreamResetFlags(0), 2, 0, there)]
    assert [type(event) for event in (*mine[2:], *theirs[2:])] == [AssociationReset] * 2


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
@pytest.mark.parametrize("kind", [StreamReset, StreamChange, AssociationReset])
async def test_kept_events_are_not_swallowed_by_a_request(kind: type[Event]) -> None:
    keeping = {**ON, "events": [kind]}
    async with connected(listen_with=keeping, connect_with=keeping) as pair:
        for conn in (pair.client, pair.server):
            await conn.stream(1).reset()
            await conn.add_streams(outbound=1)
            await conn.reset_association()
        here, there = pair.client.events(kind), pair.server.events(kind)
        # Of its own request and of the peer's.
        for events in (here, there):
            assert [type(await following(events)) for _ in range(2)] == [kind] * 2
        await pair.client.close()
        assert await collect(here) == await collect(there) == []


async def test_a_request_ends_no_subscription(both: Pair) -> None:
    events = both.client.events(StreamReset)
    await both.client.stream(1).reset()
    await both.server.stream(2).reset()
    first, second = await following(events), await following(events)
    assert (first.flags, second.flags) == (OUTGOING, INCOMING)
    assert (first.streams, second.streams) == ((1,), (2,))


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_a_request_leaves_no_subscription(both: Pair) -> None:
    await both.client.stream(1).reset()
    await both.client.reset_association()
    before = both.client.statistics().wakeups
    await both.server.stream(1).reset()
    await both.server.reset_association()
    assert await ssns(both.server, both.client, 1) == [0]
    # The message woke this side, and no event did.
    assert both.client.statistics().wakeups == before + 1
