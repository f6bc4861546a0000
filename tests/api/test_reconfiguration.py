"""Streams reset, added and ranked during an association, and both ends begun anew (RFC 6525, RFC 8260)."""

import asyncio
import errno
import select
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio

from sctpio import (
    AssociationAbortedError,
    AssociationReset,
    ClosedError,
    Conn,
    EnableStreamReset,
    EndOfAssociation,
    Event,
    EventStream,
    InitMsg,
    Mode,
    ReceiveBuffer,
    ReconfigSupported,
    ReconfigurationError,
    Scheduler,
    SendBuffer,
    StreamChange,
    StreamOutOfRangeError,
    StreamReset,
    StreamResetFlags,
    StreamScheduler,
    connect,
    listen,
)
from support import PATIENCE, STACK, Pair, associations, connected, until

ENABLED = (ReconfigSupported(), EnableStreamReset(True, True, True))
ON: dict[str, Any] = {"options": ENABLED}
# Both ends know the extension; this one grants nothing.
DENYING: dict[str, Any] = {"options": [ReconfigSupported(), EnableStreamReset(False, False, False)]}

INCOMING, OUTGOING = StreamResetFlags.INCOMING, StreamResetFlags.OUTGOING
DENIED, FAILED = StreamResetFlags.DENIED, StreamResetFlags.FAILED

REQUESTS: dict[str, Callable[[Conn], Coroutine[Any, Any, None]]] = {
    "reset": lambda conn: conn.stream(1).reset(),
    "reset_streams": lambda conn: conn.reset_streams(),
    "reset_streams incoming": lambda conn: conn.reset_streams(1, outgoing=False, incoming=True),
    "add_streams outbound": lambda conn: conn.add_streams(outbound=1),
    "add_streams inbound": lambda conn: conn.add_streams(inbound=1),
}
if STACK == "kernel":
    REQUESTS["reset_association"] = lambda conn: conn.reset_association()
every_request = pytest.mark.parametrize("request_of", REQUESTS.values(), ids=list(REQUESTS))


@pytest_asyncio.fixture
async def both() -> AsyncIterator[Pair]:
    """Give a pair whose ends may change everything."""
    async with connected(listen_with=ON, connect_with=ON) as pair:
        yield pair
    await until(lambda: not associations())


async def ssns(sender: Conn, receiver: Conn, *streams: int) -> list[int]:
    """Send a message on each of these streams: the sequence numbers with which they came."""
    found = []
    for stream in streams:
        await sender.send(b"x", stream=stream)
        message = await received(receiver)
        assert message.stream == stream
        found.append(message.ssn)
    return found


async def received(conn: Conn) -> Any:
    async with asyncio.timeout(20 * PATIENCE):
        return await conn.receive()


async def following(events: EventStream[Any]) -> Any:
    async with asyncio.timeout(20 * PATIENCE):
        return await anext(events)


def counts(conn: Conn) -> tuple[int, int, int, int]:
    """Count the streams, as the `Conn` knows them and as the kernel does."""
    status = conn.status()
    return conn.outbound_streams, conn.inbound_streams, status.outbound_streams, status.inbound_streams


async def still_works(pair: Pair) -> None:
    await pair.client.send(b"there", stream=1)
    assert (await received(pair.server)).data == b"there"
    await pair.server.send(b"back", stream=1)
    assert (await received(pair.client)).data == b"back"


# Sequence numbers begin anew


async def test_a_stream_that_is_reset_counts_from_0(both: Pair) -> None:
    client, server, _ = both
    assert await ssns(client, server, 3, 3, 4, 4) == [0, 1, 0, 1]
    assert await ssns(server, client, 3, 3) == [0, 1]
    await client.stream(3).reset()
    assert await ssns(client, server, 3, 3, 4) == [0, 1, 2]
    # The other direction goes on.
    assert await ssns(server, client, 3) == [2]


async def test_the_streams_that_are_named_are_reset(both: Pair) -> None:
    client, server, _ = both
    assert await ssns(client, server, 0, 1, 5, 9) == [0, 0, 0, 0]
    await client.reset_streams(0, 5)
    assert await ssns(client, server, 0, 1, 5, 9) == [0, 1, 0, 1]


async def test_without_names_all_streams_are_reset(both: Pair) -> None:
    client, server, _ = both
    streams = range(client.outbound_streams)
    assert await ssns(client, server, *streams, *streams) == [0] * len(streams) + [1] * len(streams)
    await client.reset_streams()
    assert await ssns(client, server, *streams) == [0] * len(streams)


async def test_the_peer_resets_what_it_sends_on(both: Pair) -> None:
    client, server, _ = both
    assert await ssns(server, client, 2, 2, 3) == [0, 1, 0]
    assert await ssns(client, server, 2) == [0]
    await client.reset_streams(2, outgoing=False, incoming=True)
    assert await ssns(server, client, 2, 3) == [0, 1]
    assert await ssns(client, server, 2) == [1]


@pytest.mark.parametrize("named", [(2,), (2, 4), ()])
async def test_both_directions_at_once(both: Pair, named: tuple[int, ...]) -> None:
    client, server, _ = both
    for sender, receiver in ((client, server), (server, client)):
        assert await ssns(sender, receiver, 2, 4, 2, 4, 7) == [0, 0, 1, 1, 0]
    await client.reset_streams(*named, incoming=True)
    for sender, receiver in ((client, server), (server, client)):
        four = 0 if 4 in named or not named else 2
        seven = 1 if named else 0
        assert await ssns(sender, receiver, 2, 4, 7) == [0, four, seven]


async def test_either_end_may_ask(both: Pair) -> None:
    client, server, _ = both
    assert await ssns(server, client, 6, 6) == [0, 1]
    await server.stream(6).reset()
    assert await ssns(server, client, 6) == [0]
    await server.add_streams(outbound=2, inbound=3)
    assert counts(server) == (12, 13, 12, 13)
    if STACK == "kernel":
        await server.reset_association()
        assert await ssns(server, client, 6) == [0]


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_a_new_association_in_the_place_of_the_old(both: Pair) -> None:
    client, server, _ = both
    await client.send(b"before", stream=1)
    before = await received(server)
    assert await ssns(client, server, 1, 2) == [1, 0]
    assert await ssns(server, client, 1, 1) == [0, 1]
    seen, told = client.events(AssociationReset), server.events(AssociationReset)
    await client.reset_association()
    here, there = await following(seen), await following(told)
    assert here.flags == there.flags == 0
    assert (here.local_tsn, here.remote_tsn) == (there.remote_tsn, there.local_tsn)
    await client.send(b"after", stream=1)
    after = await received(server)
    assert (after.ssn, after.tsn) == (0, here.local_tsn)
    assert after.tsn != (before.tsn + 3) % 2**32  # as it would have been
    await server.send(b"answer", stream=1)
    answer = await received(client)
    assert (answer.ssn, answer.tsn) == (0, here.remote_tsn)
    await still_works(both)


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_an_association_can_be_reset_again_and_again(both: Pair) -> None:
    for _ in range(5):
        await both.client.reset_association()
        await both.server.reset_association()
        assert await ssns(both.client, both.server, 1, 1) == [0, 1]
        assert await ssns(both.server, both.client, 1, 1) == [0, 1]


# What was sent before comes before


async def test_what_was_sent_before_a_reset_comes_before_what_is_sent_after(both: Pair) -> None:
    client, server, _ = both
    for turn in range(4):
        await client.send_many([b"%d %d" % (turn, number) for number in range(50)], stream=2)
        await client.stream(2).reset()
    await client.send(b"the last", stream=2)
    got = [await received(server) for _ in range(201)]
    assert [message.data for message in got] == [
        *(b"%d %d" % (turn, number) for turn in range(4) for number in range(50)),
        b"the last",
    ]
    assert [message.ssn for message in got] == [*range(50)] * 4 + [0]


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
@pytest.mark.parametrize(
    "request_of", [REQUESTS["reset"], lambda conn: conn.reset_association()], ids=["streams", "association"]
)
async def test_a_reset_waits_for_what_is_not_sent_yet(
    request_of: Callable[[Conn], Coroutine[Any, Any, None]],
) -> None:
    """The kernel says EAGAIN to it: the peer's window is closed."""
    small = {"options": [*ENABLED, ReceiveBuffer(size=8192)], "receive_buffer": 1}
    big = {"options": [*ENABLED, SendBuffer(size=200_000)]}
    async with connected(listen_with=small, connect_with=big) as pair:
        client, server, _ = pair
        messages = [b"%d" % number * 3000 for number in range(10)]
        for message in messages:
            await client.send(message, stream=1)
        resetting = asyncio.create_task(request_of(client))
        await asyncio.sleep(0.1)
        assert not resetting.done()
        assert [(await received(server)).data for _ in messages] == messages
        async with asyncio.timeout(20 * PATIENCE):
            await resetting
        assert await ssns(client, server, 1) == [0]


async def test_other_streams_go_on_while_a_stream_is_reset(both: Pair) -> None:
    client, server, _ = both

    async def send() -> None:
        for number in range(200):
            await client.send(b"%d" % number, stream=7)
            if number % 20 == 0:
                await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    for _ in range(5):
        await client.stream(3).reset()
    await sending
    got = [await received(server) for _ in range(200)]
    assert [(message.data, message.ssn) for message in got] == [(b"%d" % n, n) for n in range(200)]


# Streams are added


@pytest.mark.parametrize(("outbound", "inbound"), [(3, 0), (0, 4), (5, 6), (1, 1)])
async def test_added_streams_carry_messages_at_once(both: Pair, outbound: int, inbound: int) -> None:
    client, server, _ = both
    assert counts(client) == counts(server) == (10, 10, 10, 10)
    await client.add_streams(outbound=outbound, inbound=inbound)
    up, down = 10 + outbound, 10 + inbound
    assert counts(client) == (up, down, up, down)
    await client.send(b"up", stream=up - 1)
    message = await received(server)
    assert (message.stream, message.ssn) == (up - 1, 0)
    # The peer has asked for no event; it knows all the same.
    await until(lambda: counts(server) == (down, up, down, up))
    await server.send(b"down", stream=down - 1)
    message = await received(client)
    assert (message.stream, message.ssn) == (down - 1, 0)
    assert server.stream(max(up, down) - 1).id == max(up, down) - 1
    with pytest.raises(StreamOutOfRangeError) as caught:
        await client.send(b"beyond", stream=up)
    assert caught.value.limit == up


async def test_inbound_streams_are_usable_by_the_peer_as_soon_as_they_are_granted(both: Pair) -> None:
    client, server, _ = both
    await client.add_streams(inbound=1)
    # Whoever asked may tell the peer so by a message; that one sends on the new stream in answer.
    await client.send(b"go on")
    await received(server)
    await server.send(b"new", stream=10)
    assert (await received(client)).stream == 10


async def test_added_streams_can_be_claimed_and_reset(both: Pair) -> None:
    client, server, _ = both
    await client.add_streams(outbound=2)
    await client.send(b"first", stream=11)
    claimed = server.stream(11)
    assert (await claimed.receive()).data == b"first"
    await client.stream(11).reset()
    await client.send(b"second", stream=11)
    assert (await claimed.receive()).ssn == 0


@pytest.mark.kernel_only("a peer on usrsctp grants 2048 streams at most")
async def test_streams_are_added_up_to_the_most_there_can_be(both: Pair) -> None:
    client, server, _ = both
    await client.add_streams(outbound=65_535 - 10)
    assert client.outbound_streams == client.status().outbound_streams == 65_535
    await client.send(b"x", stream=65_534)
    assert (await received(server)).stream == 65_534
    with pytest.raises(OSError, match="SCTP_ADD_STREAMS") as caught:
        await client.add_streams(outbound=1)
    assert caught.value.errno == errno.EINVAL
    await still_works(both)


# Refusals


@every_request
async def test_a_denied_request_says_so(request_of: Callable[[Conn], Coroutine[Any, Any, None]]) -> None:
    async with connected(listen_with=DENYING, connect_with=ON) as pair:
        before = counts(pair.client), counts(pair.server)
        for _ in range(2):
            with pytest.raises(ReconfigurationError, match="denied") as caught:
                async with asyncio.timeout(20 * PATIENCE):
                    await request_of(pair.client)
            assert caught.value.errno == errno.EPERM
            assert DENIED in caught.value.flags
            assert FAILED not in caught.value.flags
        assert (counts(pair.client), counts(pair.server)) == before
        await still_works(pair)
        assert await ssns(pair.client, pair.server, 1) == [1]


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_a_denied_request_names_itself() -> None:
    async with connected(listen_with=DENYING, connect_with=ON) as pair:
        named: list[tuple[Coroutine[Any, Any, None], str]] = [
            (pair.client.reset_streams(1), "ResetStreams"),
            (pair.client.add_streams(outbound=1), "AddStreams"),
            (pair.client.reset_association(), "ResetAssociation"),
        ]
        for asking, name in named:
            with pytest.raises(ReconfigurationError, match=name) as caught:
                await asking
            assert caught.value.request == name


async def test_one_denial_is_no_answer_to_the_next_request() -> None:
    """Both halves are denied, by an event each: the second must not answer what is asked for afterwards."""
    async with connected(listen_with=DENYING, connect_with=ON) as pair:
        for _ in range(10):
            with pytest.raises(ReconfigurationError):
                await pair.client.add_streams(outbound=1, inbound=1)
            pair.server.set_option(EnableStreamReset(add_streams=True))
            before = pair.client.outbound_streams
            await pair.client.add_streams(outbound=1)
            assert pair.client.outbound_streams == before + 1
            pair.server.set_option(EnableStreamReset(add_streams=False))


@pytest.mark.kernel_only("with usrsctp nothing needs to be enabled to ask")
@every_request
async def test_what_is_not_enabled_here_names_the_option(
    request_of: Callable[[Conn], Coroutine[Any, Any, None]],
) -> None:
    async with connected(listen_with=ON, connect_with=DENYING) as pair:
        with pytest.raises(OSError, match=r"SCTP_(RESET|ADD)_.*EnableStreamReset") as caught:
            await request_of(pair.client)
        assert caught.value.errno == errno.ENOPROTOOPT
        assert not isinstance(caught.value, ReconfigurationError)
        await still_works(pair)


@pytest.mark.parametrize("lacking", ["listen_with", "connect_with"])
async def test_a_peer_without_the_extension(lacking: str) -> None:
    ends: dict[str, Any] = {"listen_with": ON, "connect_with": ON}
    ends[lacking] = {"options": [ReconfigSupported(False), EnableStreamReset(True, True, True)]}
    async with connected(**ends) as pair:
        for conn in (pair.client, pair.server):
            for request_of in REQUESTS.values():
                with pytest.raises(OSError, match="ReconfigSupported") as caught:
                    await request_of(conn)
                assert caught.value.errno == errno.ENOPROTOOPT
        await still_works(pair)


async def test_streams_that_are_not_there() -> None:
    async with connected(
        listen_with={**ON, "init": InitMsg(6, 3)}, connect_with={**ON, "init": InitMsg(4, 5)}
    ) as pair:
        client = pair.client
        assert (client.outbound_streams, client.inbound_streams) == (3, 5)
        for streams, directions, stream, limit in (
            ((0, 3), {}, 3, 3),
            ((-1,), {}, -1, 3),
            ((70_000,), {}, 70_000, 3),
            ((4, 5), {"outgoing": False, "incoming": True}, 5, 5),
            ((4,), {"incoming": True}, 4, 3),
        ):
            with pytest.raises(StreamOutOfRangeError) as caught:
                await client.reset_streams(*streams, **directions)
            assert (caught.value.stream, caught.value.limit) == (stream, limit)
        inbound_only = client.stream(4)
        with pytest.raises(StreamOutOfRangeError):
            await inbound_only.reset()
        await client.reset_streams(4, outgoing=False, incoming=True)
        await still_works(pair)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"outbound": 0}, {"outbound": -1}, {"inbound": 65_536}, {"outbound": 1.5}, {"outbound": True}],
    ids=repr,
)
async def test_numbers_of_streams_that_make_no_sense(both: Pair, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="AddStreams"):
        await both.client.add_streams(**wrong)
    assert counts(both.client) == (10, 10, 10, 10)


async def test_a_reset_of_neither_direction(both: Pair) -> None:
    with pytest.raises(ValueError, match="incoming=True, outgoing=True"):
        await both.client.reset_streams(1, outgoing=False)


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
    pair.server._link.carrier._set_reading(False)
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
        pair.server._link.carrier._set_reading(True)
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


async def collect(events: EventStream[Any]) -> list[Any]:
    async with asyncio.timeout(20 * PATIENCE):
        return [event async for event in events]


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


# Closed and peeled off


async def test_a_closed_conn_takes_no_request(both: Pair) -> None:
    await both.client.close()
    for request_of in REQUESTS.values():
        with pytest.raises((ClosedError, StreamOutOfRangeError)):
            await request_of(both.client)
    with pytest.raises(ClosedError):
        _ = both.client.stream(1).priority


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_a_peeled_off_association_is_changed_on() -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, **ON) as listener:
        async with connect(listener.local_addresses, **ON) as client, await listener.accept() as server:
            pair = Pair(client, server, listener)
            assert await ssns(server, client, 1, 1) == [0, 1]
            await server.add_streams(outbound=1)
            waiting = asyncio.create_task(server.stream(1).reset())
            await asyncio.sleep(0)
            await server.peel_off()
            async with asyncio.timeout(20 * PATIENCE):
                await waiting
            assert await ssns(server, client, 1, 10) == [0, 0]
            await server.stream(10).reset()
            await server.add_streams(outbound=1, inbound=1)
            assert counts(server) == (12, 11, 12, 11)
            await client.add_streams(inbound=1)
            await client.send(b"to the peeled", stream=10)
            await received(server)
            assert counts(server) == (13, 11, 13, 11)
            await server.reset_association()
            assert await ssns(server, client, 12, 1) == [0, 0]
            await still_works(pair)


async def test_associations_of_one_socket_are_changed_each_for_itself() -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, **ON) as listener:
        async with connect(listener.local_addresses, **ON) as one, await listener.accept() as first:
            async with connect(listener.local_addresses, **ON) as two, await listener.accept() as second:
                for sender, receiver in ((first, one), (second, two)):
                    assert await ssns(sender, receiver, 1, 1) == [0, 1]
                async with asyncio.timeout(20 * PATIENCE):
                    await asyncio.gather(first.stream(1).reset(), second.add_streams(outbound=2))
                assert await ssns(first, one, 1) == [0]
                assert await ssns(second, two, 1) == [2]
                assert (counts(first)[0], counts(second)[0]) == (10, 12)


# Priorities


async def test_a_priority_is_read_back_and_that_of_one_stream(both: Pair) -> None:
    client, server, _ = both
    client.set_option(StreamScheduler(Scheduler.PRIORITY))
    stream = client.stream(3)
    assert stream.priority == 0
    for value in (1, 65_535, 0, 7):
        stream.priority = value
        assert stream.priority == client.stream(3).priority == value
    assert client.stream(2).priority == 0
    if STACK == "kernel":
        # usrsctp has them only with that scheduler.
        assert server.stream(3).priority == 0
    await still_works(both)


@pytest.mark.kernel_only("without a scheduler of priorities usrsctp refuses them: EINVAL")
async def test_a_priority_goes_with_the_scheduler(both: Pair) -> None:
    stream = both.client.stream(3)
    # The first scheduler of all takes it without a word and keeps nothing.
    stream.priority = 9
    assert stream.priority == 0
    both.client.set_option(StreamScheduler(Scheduler.PRIORITY))
    stream.priority = 9
    assert stream.priority == 9


@pytest.mark.parametrize("value", [-1, 65_536, 1.5, True], ids=repr)
async def test_a_priority_out_of_range(both: Pair, value: Any) -> None:
    both.client.set_option(StreamScheduler(Scheduler.PRIORITY))
    stream = both.client.stream(3)
    stream.priority = 4
    with pytest.raises(ValueError, match="StreamSchedulerValue"):
        stream.priority = value
    assert stream.priority == 4


async def test_a_priority_of_a_stream_that_only_the_peer_has() -> None:
    async with connected(connect_with={"init": InitMsg(outbound_streams=3)}) as pair:
        pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
        stream = pair.client.stream(5)
        with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER_VALUE|SCTP_SS_VALUE") as caught:
            stream.priority = 1
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER_VALUE|SCTP_SS_VALUE"):
            _ = stream.priority
