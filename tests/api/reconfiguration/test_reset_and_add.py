"""Streams are reset and added (RFC 6525), and what was sent before comes before."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from api.reconfiguration.requests import ENABLED, ON, REQUESTS, counts, following, received, ssns, still_works
from sctpio import (
    AssociationReset,
    Conn,
    Mode,
    ReceiveBuffer,
    SendBuffer,
    StreamOutOfRangeError,
    connect,
    listen,
)
from support import PATIENCE, STACK, Pair, connected, until

pytestmark = pytest.mark.both_modes


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
