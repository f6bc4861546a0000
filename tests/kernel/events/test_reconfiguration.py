"""StreamReset, AssociationReset, StreamChange: what becomes of requests to change streams."""

import asyncio

import pytest

from kernel.events.following import (
    DENIED,
    INCOMING,
    NO_GRANTS,
    NOTHING,
    OUTGOING,
    RECONFIG,
    following,
    received,
    rest,
    still_works,
)
from kernel.lab import IMPATIENT, Lab, joined
from sctpio import AssociationLostError, AssociationReset, ReconfigurationError, StreamChange, StreamReset
from support import PATIENCE, connected


@pytest.mark.both_modes
async def test_streams_were_reset_by_either_end() -> None:
    both = {"options": RECONFIG, "events": [StreamReset]}
    async with connected(listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        here, there = client.events(StreamReset), server.events(StreamReset)
        one, two = client.association_id, server.association_id
        await client.reset_streams(1, 7)
        assert await following(here) == StreamReset(OUTGOING, (1, 7), one)
        assert await following(there) == StreamReset(INCOMING, (1, 7), two)
        await server.reset_streams()
        assert await following(there) == StreamReset(OUTGOING, (), two)
        assert await following(here) == StreamReset(INCOMING, (), one)
        # The peer is asked to reset its own: it is the one that does.
        await client.reset_streams(3, outgoing=False, incoming=True)
        event = await following(here)
        assert (event.flags, event.streams) == (INCOMING, (3,))
        # By then what was told before is told: nothing is told twice.
        await client.close()
        assert await rest(here) == []
        assert {event.flags for event in await rest(there)} <= {OUTGOING}


@pytest.mark.parametrize("incoming", [False, True])
@pytest.mark.both_modes
async def test_a_denied_reset_is_told_to_who_asked(incoming: bool) -> None:
    async with connected(
        listen_with={"options": NO_GRANTS, "events": [StreamReset]},
        connect_with={"options": RECONFIG, "events": [StreamReset]},
    ) as pair:
        with pytest.raises(ReconfigurationError) as caught:
            await pair.client.reset_streams(2, outgoing=not incoming, incoming=incoming)
        direction = INCOMING if incoming else OUTGOING
        assert caught.value.flags == direction | DENIED
        here, there = pair.client.events(StreamReset), pair.server.events(StreamReset)
        assert await following(here) == StreamReset(direction | DENIED, (2,), pair.client.association_id)
        await pair.client.close()
        assert await rest(here) == await rest(there) == []


@pytest.mark.both_modes
async def test_the_association_was_reset() -> None:
    both = {"options": RECONFIG, "events": [AssociationReset]}
    async with connected(listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        await still_works(client, server)
        await client.reset_association()
        here = await following(client.events(AssociationReset))
        there = await following(server.events(AssociationReset))
        assert (here.flags, here.association_id) == (NOTHING, client.association_id)
        assert (there.flags, there.association_id) == (NOTHING, server.association_id)
        await client.send(b"x")
        message = await server.receive()
        await server.send(b"y")
        answer = await client.receive()
        # What an end sends with is the local one.
        assert (here.local_tsn, here.remote_tsn) == (message.tsn, answer.tsn)
        assert (there.local_tsn, there.remote_tsn) == (answer.tsn, message.tsn)


@pytest.mark.both_modes
async def test_a_denied_reset_of_the_association() -> None:
    async with connected(
        listen_with={"options": NO_GRANTS, "events": [AssociationReset]},
        connect_with={"options": RECONFIG, "events": [AssociationReset]},
    ) as pair:
        here, there = pair.client.events(AssociationReset), pair.server.events(AssociationReset)
        with pytest.raises(ReconfigurationError):
            await pair.client.reset_association()
        event = await following(here)
        assert (event.flags, event.association_id) == (DENIED, pair.client.association_id)
        await still_works(pair.client, pair.server)
        await pair.client.close()
        assert await rest(here) == await rest(there) == []


@pytest.mark.both_modes
async def test_streams_were_added() -> None:
    both = {"options": RECONFIG, "events": [StreamChange]}
    async with connected(listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        here, there = client.events(StreamChange), server.events(StreamChange)
        one, two = client.association_id, server.association_id
        await client.add_streams(outbound=3)
        assert await following(here) == StreamChange(NOTHING, 0, 3, one)
        assert await following(there) == StreamChange(NOTHING, 3, 0, two)
        await client.add_streams(inbound=2)
        assert await following(here) == StreamChange(NOTHING, 2, 0, one)
        assert await following(there) == StreamChange(NOTHING, 0, 2, two)
        # One event for each direction, at the asking end.
        await client.add_streams(outbound=4, inbound=5)
        assert {await following(here), await following(here)} == {
            StreamChange(NOTHING, 0, 4, one),
            StreamChange(NOTHING, 5, 0, one),
        }


@pytest.mark.both_modes
async def test_denied_streams_are_told_with_their_count() -> None:
    async with connected(
        listen_with={"options": NO_GRANTS}, connect_with={"options": RECONFIG, "events": [StreamChange]}
    ) as pair:
        here, there = pair.client.events(StreamChange), pair.server.events(StreamChange)
        with pytest.raises(ReconfigurationError):
            await pair.client.add_streams(outbound=3)
        assert await following(here) == StreamChange(DENIED, 0, 3, pair.client.association_id)
        with pytest.raises(ReconfigurationError):
            await pair.client.add_streams(inbound=2)
        assert await following(here) == StreamChange(DENIED, 2, 0, pair.client.association_id)
        await pair.client.close()
        assert await rest(there) == []


@pytest.mark.both_modes
async def test_a_reset_waits_at_the_peer_for_what_was_lost_before_it(lab: Lab) -> None:
    """The request overtakes messages that must be sent again: they still come first, in their old order."""
    both = {"options": RECONFIG}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        for number in range(3):
            await client.send(b"before %d" % number, stream=1)
            assert await received(server) == b"before %d" % number
        await client.flush()
        lab.netem("loss 100%", lab.links[0], there=False)
        for number in range(3):
            await client.send(b"lost %d" % number, stream=1)
        lab.netem("delay 0ms", lab.links[0], there=False)
        async with asyncio.timeout(30 * PATIENCE):
            await client.stream(1).reset()
        for number in range(5):
            await client.send(b"after %d" % number, stream=1)
        got = [await server.receive() for _ in range(8)]
        assert [(message.data, message.ssn) for message in got] == [
            *((b"lost %d" % number, 3 + number) for number in range(3)),
            *((b"after %d" % number, number) for number in range(5)),
        ]


@pytest.mark.both_modes
async def test_a_request_that_is_never_answered_ends_with_the_association(lab: Lab) -> None:
    both = {"options": (*RECONFIG, *IMPATIENT)}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        lab.cut()
        asking = [
            asyncio.create_task(pair.client.add_streams(outbound=1)),
            asyncio.create_task(pair.client.stream(1).reset()),
            asyncio.create_task(pair.server.reset_association()),
        ]
        async with asyncio.timeout(30 * PATIENCE):
            results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result) for result in results] == [AssociationLostError] * 3
        assert pair.client.outbound_streams == 10


@pytest.mark.both_modes
async def test_a_request_that_waits_for_another_ends_with_the_association(lab: Lab) -> None:
    """The first was cancelled, and goes on in the kernel; the second is never even made."""
    both = {"options": (*RECONFIG, *IMPATIENT)}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        lab.cut()
        first = asyncio.create_task(pair.client.add_streams(outbound=1))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(30 * PATIENCE):
                await pair.client.stream(1).reset()


@pytest.mark.both_modes
async def test_a_request_that_waits_for_another_does_not_spin(lab: Lab) -> None:
    """A cancelled request goes on in the kernel, unanswered here: the next one must wait for its end."""
    both = {"options": RECONFIG}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        client = pair.client
        lab.cut()
        first = asyncio.create_task(client.add_streams(outbound=1))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(client.stream(1).reset())
        await asyncio.sleep(0.05)
        before = client.statistics().wakeups
        await asyncio.sleep(0.5)
        woken = client.statistics().wakeups - before
        lab.mend()
        async with asyncio.timeout(30 * PATIENCE):
            await second
        assert client.outbound_streams == 11
        assert woken < 30
