"""AssociationChange, ShutdownEvent, AdaptationIndication: what becomes of an association."""

import asyncio
import struct
from typing import Any

import pytest

from kernel.events.following import (
    RECONFIG,
    STUBBORN,
    following,
    received,
    rest,
    still_works,
    until_seen,
)
from kernel.lab import FAST, IMPATIENT, Lab, joined
from sctpio import (
    Adaptation,
    AdaptationIndication,
    Address,
    AssociationChange,
    AssociationState,
    AssociationStatistics,
    Conn,
    ErrorCause,
    InitMsg,
    ShutdownEvent,
    connect,
    listen,
    open_endpoint,
)
from support import PATIENCE, Pair, Style, associations, connected, until

# AssociationChange


@pytest.mark.both_modes
async def test_it_came_up_with_the_negotiated_streams() -> None:
    async with connected(
        listen_with={"init": InitMsg(8, 6), "events": [AssociationChange]},
        connect_with={"init": InitMsg(5, 7), "events": [AssociationChange]},
    ) as pair:
        up = AssociationState.COMM_UP
        # The smaller of what one end wants and the other one allows.
        for conn, outbound, inbound in ((pair.client, 5, 7), (pair.server, 7, 5)):
            event = await following(conn.events(AssociationChange))
            assert event == AssociationChange(
                up, ErrorCause.NO_ERROR, outbound, inbound, conn.association_id, event.info
            )
            assert event.cause == b""
        assert pair.client.association_id != pair.server.association_id


@pytest.mark.parametrize("cause", [b"", b"the reason", bytes(range(251))])
@pytest.mark.both_modes
async def test_it_was_aborted_with_a_cause(cause: bytes) -> None:
    # Only a one-to-many socket can send one.
    async with open_endpoint("127.0.0.1:0") as peer:
        async with listen("127.0.0.1:0", mode=Style.mode) as listener:
            identifier = await peer.connect(listener.local_addresses)
            server = await listener.accept()
            events = server.events(AssociationChange)
            await peer.abort(identifier, cause)
            (event,) = await rest(events)
            assert (event.state, event.error) == (
                AssociationState.COMM_LOST,
                ErrorCause.USER_INITIATED_ABORT,
            )
            assert event.association_id == server.association_id
            assert event.cause == cause
            # The cause as it was on the wire, its padding aside.
            assert event.info == struct.pack("!HH", 12, 4 + len(cause)) + cause


@pytest.mark.both_modes
async def test_the_peer_has_vanished(lab: Lab) -> None:
    async with joined(lab, listen_with={"options": IMPATIENT}) as pair:
        events = pair.server.events(AssociationChange)
        identifier = pair.server.association_id
        lab.cut()
        (event,) = await rest(events)
        assert (event.state, event.association_id) == (AssociationState.COMM_LOST, identifier)
        assert event.error is ErrorCause.NO_ERROR
        assert (event.info, event.cause) == (b"", b"")


@pytest.mark.parametrize("closer", ["client", "server"])
@pytest.mark.both_modes
async def test_it_was_shut_down(closer: str) -> None:
    async with connected() as pair:
        closing, other = pair.client, pair.server
        if closer == "server":
            closing, other = other, closing
        ends = {conn: conn.events(AssociationChange, ShutdownEvent) for conn in (closing, other)}
        await closing.close()
        for conn, events in ends.items():
            seen = await rest(events)
            last = seen.pop()
            assert (last.state, last.error) == (AssociationState.SHUTDOWN_COMP, ErrorCause.NO_ERROR)
            assert (last.association_id, last.cause) == (conn.association_id, b"")
            # Whose peer began it is told so.
            assert seen == ([ShutdownEvent(conn.association_id)] if conn is other else [])


async def test_it_could_not_be_started() -> None:
    async with open_endpoint("127.0.0.1:0", events=[AssociationChange]) as endpoint:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await endpoint.connect("127.0.0.1:1")
        events = endpoint.events(AssociationChange)
        first, second = await following(events), await following(events)
        for event in (first, second):
            assert event.state is AssociationState.CANT_STR_ASSOC
        assert 0 < first.association_id != second.association_id
        await endpoint.close()
        assert await rest(events) == []


class Restarted:
    """A client that came again on the same port while the server has its association still."""

    PORT = 4001

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.local = f"{lab.links[0].local}:{self.PORT}"

    async def again(self, pair: Pair, **connect_with: Any) -> Conn:
        """Let the client die without a word to the server (the link is cut), and come again."""
        await pair.client.abort()
        await until(lambda: not associations())
        options = (*connect_with.pop("options", ()), FAST)
        remote = pair.listener.local_addresses
        connecting = asyncio.create_task(_connect(remote, local=self.local, options=options, **connect_with))
        # Not before it is there again: else the host would answer for it, by an ABORT.
        await until(lambda: len(associations()) == 1)
        self.lab.mend()
        async with asyncio.timeout(30 * PATIENCE):
            return await connecting


async def _connect(remote: Address, **connect_with: Any) -> Conn:
    return await connect(remote, **connect_with)


@pytest.mark.both_modes
async def test_the_peer_has_restarted(lab: Lab) -> None:
    peer = Restarted(lab)
    client = {"local": peer.local, "init": InitMsg(9, 8)}
    async with joined(lab, connect_with=client) as pair:
        server = pair.server
        events = server.events()
        assert (server.outbound_streams, server.inbound_streams) == (8, 9)
        for number in range(3):
            await pair.client.send(b"%d" % number)
            assert await received(server) == b"%d" % number
        lab.cut()
        await server.send(b"for the one that died", stream=2, ppid=60, context=7)
        identifier = server.association_id
        async with await peer.again(pair, init=InitMsg(4, 6)) as client_again:
            (failed, restart) = await until_seen(events, lambda event: isinstance(event, AssociationChange))
            assert (failed.data, failed.stream, failed.ppid, failed.context, failed.sent) == (
                b"for the one that died",
                2,
                60,
                7,
                True,
            )
            assert restart == AssociationChange(
                AssociationState.RESTART, ErrorCause.NO_ERROR, 6, 4, identifier, restart.info
            )
            assert (server.outbound_streams, server.inbound_streams) == (6, 4)
            assert server.association_id == identifier
            await still_works(client_again, server)
            # Both directions count from the beginning.
            await client_again.send(b"x", stream=3)
            assert (await server.receive()).ssn == 0
            await server.send(b"x", stream=5)
            assert (await client_again.receive()).ssn == 0
            # No second one: that was the same association all the time.
            with lab.inside():
                assert len(associations()) == 1


@pytest.mark.both_modes
async def test_a_half_received_message_of_a_peer_that_restarts_is_dropped(lab: Lab) -> None:
    peer = Restarted(lab)
    async with joined(lab, connect_with={"local": peer.local}) as pair:
        events = pair.server.events(AssociationChange)
        lab.netem("rate 200kbit", lab.links[0], there=False)
        await pair.client.send(bytes(80_000))
        # Some of its fragments have come.
        await until(lambda: pair.client.get_option(AssociationStatistics).sacks_received > 1)
        lab.cut()
        async with await peer.again(pair) as again:
            assert (await following(events)).state is AssociationState.RESTART
            await again.send(b"whole")
            await again.send(b"y" * 40_000)
            await again.send(b"z")
            assert await received(pair.server) == b"whole"
            assert await received(pair.server) == b"y" * 40_000
            assert await received(pair.server) == b"z"
            await still_works(again, pair.server)


@pytest.mark.both_modes
async def test_a_flush_does_not_outwait_a_peer_that_restarts(lab: Lab) -> None:
    """What it waits for was given back: nobody will ever acknowledge it."""
    peer = Restarted(lab)
    async with joined(lab, connect_with={"local": peer.local}) as pair:
        events = pair.server.events(AssociationChange)
        lab.cut()
        await pair.server.send(b"lost")
        flushing = asyncio.create_task(pair.server.flush())
        await asyncio.sleep(0.05)
        assert not flushing.done()
        async with await peer.again(pair) as again:
            assert (await following(events)).state is AssociationState.RESTART
            async with asyncio.timeout(10 * PATIENCE):
                await asyncio.gather(flushing, return_exceptions=True)
            await still_works(again, pair.server)
            async with asyncio.timeout(10 * PATIENCE):
                await pair.server.flush()


@pytest.mark.both_modes
async def test_a_request_outlives_a_peer_that_restarts(lab: Lab) -> None:
    """A reconfiguration that the old peer never answered is put to the new one."""
    peer = Restarted(lab)
    both = {"options": (*RECONFIG, *STUBBORN)}
    async with joined(lab, connect_with={"local": peer.local, **both}, listen_with=both) as pair:
        lab.cut()
        asking = asyncio.create_task(pair.server.add_streams(outbound=2))
        await asyncio.sleep(0.05)
        async with await peer.again(pair, **both) as again:
            async with asyncio.timeout(30 * PATIENCE):
                await asking
            assert pair.server.outbound_streams == pair.server.status().outbound_streams == 12
            await pair.server.send(b"new", stream=11)
            assert await received(again) == b"new"


# ShutdownEvent


@pytest.mark.both_modes
async def test_the_peer_shuts_down_while_messages_are_on_their_way(lab: Lab) -> None:
    async with joined(lab) as pair:
        events = pair.server.events(ShutdownEvent)
        lab.netem("delay 50ms", lab.links[0])
        await pair.client.send(b"last words")
        await pair.client.close()
        assert await rest(events) == [ShutdownEvent(pair.server.association_id)]
        assert await received(pair.server) == b"last words"


# AdaptationIndication


@pytest.mark.parametrize(("here", "there"), [(1, 0xFFFFFFFE), (0x01020304, 0x04030201)])
@pytest.mark.both_modes
async def test_each_end_tells_its_adaptation_layer(here: int, there: int) -> None:
    async with connected(
        listen_with={"options": [Adaptation(there)], "events": [AdaptationIndication]},
        connect_with={"options": [Adaptation(here)], "events": [AdaptationIndication]},
    ) as pair:
        for conn, number in ((pair.client, there), (pair.server, here)):
            event = await following(conn.events(AdaptationIndication))
            assert event == AdaptationIndication(number, conn.association_id)


@pytest.mark.both_modes
async def test_without_an_adaptation_layer_at_the_peer_nothing_is_told() -> None:
    async with connected(
        listen_with={"options": [Adaptation(7)], "events": [AdaptationIndication]},
        connect_with={"events": [AdaptationIndication]},
    ) as pair:
        events = pair.client.events(), pair.server.events(AdaptationIndication)
        await still_works(pair.client, pair.server)
        await pair.client.close()
        assert [event for event in await rest(events[0]) if isinstance(event, AdaptationIndication)]
        assert await rest(events[1]) == []
