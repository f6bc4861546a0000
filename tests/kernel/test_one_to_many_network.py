"""Endpoints and peeled-off associations where the network fails, and what they put on the wire."""

import asyncio
import contextlib
import errno
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kernel.capture import Abort, ChunkType, Dissector, Init, Wire
from kernel.lab import IMPATIENT, DeadEnd, Lab, at_once, joined
from sctpio import (
    Address,
    AssociationChange,
    AssociationError,
    AssociationLostError,
    AssociationState,
    Conn,
    Endpoint,
    InitMsg,
    InterleavingSupported,
    Mode,
    Option,
    PeerAddressParameters,
    ReceiveBuffer,
    RtoInfo,
    SendFailed,
    connect,
    listen,
    open_endpoint,
)
from support import PATIENCE, associations, stop_reading, until, within

# Real timers and whole networks: one loop is enough.
pytestmark = pytest.mark.one_loop

MANY = Mode.ONE_TO_MANY
HERE = "10.78.0.1:0"

# An INIT and one more, half a second in all.
BRIEF: dict[str, Any] = {
    "init": InitMsg(max_attempts=1),
    "options": [RtoInfo(initial=0.2, maximum=0.3, minimum=0.1)],
}
# An INIT every tenth of a second, for ever.
STUBBORN: dict[str, Any] = {
    "init": InitMsg(max_attempts=60_000),
    "options": [RtoInfo(initial=0.1, maximum=0.1, minimum=0.1)],
}


def inits(wire: Wire, endpoint_port: int) -> list[Init]:
    """Give the INITs that an endpoint sent."""
    return [chunk for chunk in wire.of(Init, port=endpoint_port) if chunk.type is ChunkType.INIT]


# An address where nobody is


async def test_a_send_to_an_address_that_never_answers_times_out(
    nowhere: DeadEnd, dissector: Dissector
) -> None:
    """Everybody who sends there is told, and no INIT is sent afterwards."""
    with dissector.capture(nowhere.interface) as wire:
        async with open_endpoint(HERE, events=[AssociationChange, SendFailed], **BRIEF) as endpoint:
            port = endpoint.port
            to = Address(nowhere.address, 5000)
            sends = [asyncio.create_task(endpoint.send(b"x", to=to)) for _ in range(3)]
            sends.append(asyncio.create_task(endpoint.send(b"x", to=str(to))))
            results = await within(asyncio.gather(*sends, return_exceptions=True))
            for result in results:
                assert isinstance(result, TimeoutError)
                assert result.errno == errno.ETIMEDOUT
            assert associations() == []
            assert endpoint.associations == ()
            with pytest.raises(TimeoutError):
                await within(endpoint.connect(to))
            assert associations() == []
            events = endpoint.events(AssociationChange, SendFailed)
            seen: list[Any] = [await within(anext(events)) for _ in range(2)]
            assert [event.state for event in seen] == [AssociationState.CANT_STR_ASSOC] * 2
            assert seen[0].association_id != seen[1].association_id
            await asyncio.sleep(0.8)
    # One set-up for all of them, and one for the connect.
    assert [chunk.destination_port for chunk in inits(wire, port)] == [5000] * 4


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
async def test_nobody_is_held_up_by_sends_to_an_address_that_never_answers(
    nowhere: DeadEnd, dissector: Dissector, interleaving: bool
) -> None:
    """The loop never blocks; with I-DATA, an implicit set-up in the kernel would (for minutes)."""
    options: list[Option] = [InterleavingSupported(interleaving)]
    gaps: list[float] = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    with dissector.capture() as wire:
        async with (
            open_endpoint(HERE, options=options) as endpoint,
            open_endpoint(HERE, options=options) as peer,
        ):
            ticking = asyncio.create_task(tick())
            sends = [
                asyncio.create_task(endpoint.send(b"x", to=(nowhere.address, 5000 + number % 5)))
                for number in range(10)
            ]
            for number in range(50):
                await endpoint.send(b"%d" % number, to=peer.local_addresses)
                message = await within(peer.receive())
                await peer.send(message.data, to=message.association_id)
                assert (await within(endpoint.receive())).data == b"%d" % number
            await asyncio.sleep(0.2)
            assert not any(send.done() for send in sends)
            for send in sends:
                send.cancel()
            await asyncio.gather(*sends, return_exceptions=True)
            assert len(associations()) == 2
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            ports = endpoint.port, peer.port
    assert len(gaps) > 20
    assert max(gaps) < 1.0 * PATIENCE
    kinds = {kind for port, kind in wire.types(ChunkType.DATA, ChunkType.I_DATA) if port in ports}
    assert kinds == {ChunkType.I_DATA if interleaving else ChunkType.DATA}


async def test_the_last_to_be_cancelled_stops_the_inits(nowhere: DeadEnd, dissector: Dissector) -> None:
    """As long as one task waits for the set-up, it goes on."""
    with dissector.capture(nowhere.interface) as wire:
        async with open_endpoint(HERE, **STUBBORN) as endpoint:
            port = endpoint.port
            to = (nowhere.address, 5000)
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(endpoint.connect(to))]
            await until(lambda: len(associations()) == 1)
            tasks += [asyncio.create_task(endpoint.send(b"x", to=to)) for _ in range(2)]
            await asyncio.sleep(0.01)
            with pytest.raises(OSError, match="5000") as caught:
                await endpoint.connect(to)
            assert caught.value.errno == errno.EALREADY
            last = tasks.pop(1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            some_left = time.time()
            await asyncio.sleep(0.5 * PATIENCE)
            assert not last.done()
            assert len(associations()) == 1
            last.cancel()
            with pytest.raises(asyncio.CancelledError):
                await last
            none_left = time.time()
            assert associations() == []
            assert endpoint.associations == ()
            await asyncio.sleep(0.5 * PATIENCE)
    times = [chunk.time for chunk in inits(wire, port)]
    assert [when for when in times if some_left < when < none_left]
    assert not [when for when in times if when > none_left]


async def test_closing_stops_what_is_being_set_up(nowhere: DeadEnd, dissector: Dissector) -> None:
    """A send that waits for its set-up is told, and no INIT is sent any more."""
    with dissector.capture(nowhere.interface) as wire:
        async with open_endpoint(HERE, **STUBBORN) as endpoint:
            port = endpoint.port
            sending = asyncio.create_task(endpoint.send(b"x", to=(nowhere.address, 5000)))
            await until(lambda: len(associations()) == 1)
        closed = time.time()
        with pytest.raises(AssociationError):
            await within(sending)
        assert associations() == []
        await asyncio.sleep(0.5 * PATIENCE)
    times = [chunk.time for chunk in inits(wire, port)]
    assert times
    assert max(times) <= closed


async def test_connects_of_a_listener_stop_when_cancelled(nowhere: DeadEnd) -> None:
    """A one-to-many listener that connects leaves nothing either."""
    async with listen(HERE, mode=MANY, **STUBBORN) as listener:
        connecting = [
            asyncio.create_task(listener.connect((nowhere.address, 5000 + number))) for number in range(50)
        ]
        await until(lambda: len(associations()) == 50)
        for task in connecting:
            task.cancel()
        results = await asyncio.gather(*connecting, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 50
        assert associations() == []
        assert listener.statistics().associations == 0


# Several paths, and a peer that vanishes


@asynccontextmanager
async def both_ends(
    lab: Lab, *, links: int = 2, **open_with: Any
) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Open an endpoint here and one in the other namespace, with the addresses of some links."""
    used = lab.links[:links]
    with lab.inside():
        there = at_once(open_endpoint("/".join(link.remote for link in used) + ":0", **open_with))
    async with there, open_endpoint("/".join(link.local for link in used) + ":0", **open_with) as here:
        yield here, there


async def test_every_address_of_a_peer_finds_its_association(lab: Lab) -> None:
    """Also while the path to that address is dead: the message takes the other one."""
    async with both_ends(lab, options=IMPATIENT[:1]) as (here, there):
        first, second = ((link.remote, there.port) for link in lab.links)
        await here.send(b"0", to=first)
        await here.send(b"1", to=second)
        await here.send(b"2", to=there.local_addresses)
        got = [await within(there.receive()) for _ in range(3)]
        assert [message.data for message in got] == [b"0", b"1", b"2"]
        [identifier] = here.associations
        assert {message.association_id for message in got} == set(there.associations)
        assert set(map(str, here.peer_addresses(identifier).hosts)) == {link.remote for link in lab.links}
        with pytest.raises(OSError, match=lab.links[1].remote) as caught:
            await here.connect(second)
        assert caught.value.errno == errno.EISCONN
        lab.cut(lab.links[0])
        await here.send(b"3", to=first)
        assert (await within(there.receive())).data == b"3"
        assert here.associations == (identifier,)
        for link in lab.links:
            await there.send(b"back", to=(link.local, here.port))
            assert (await within(here.receive())).data == b"back"
        assert len(there.associations) == 1
        lab.mend(lab.links[0])


async def test_a_peer_that_vanishes_is_an_event_and_its_messages_come_back(lab: Lab) -> None:
    """The others go on; what was not acknowledged is told by its context."""
    # The messages alone find out: heartbeats might before all are sent.
    options = (*IMPATIENT[:2], PeerAddressParameters(path_max_retransmissions=1, heartbeat=False))
    async with both_ends(
        lab, links=1, options=options, init=InitMsg(max_attempts=1), events=[AssociationChange, SendFailed]
    ) as (here, there):
        async with connect(here.local_addresses) as neighbour:
            to = there.local_addresses
            identifier = await within(here.connect(to))
            lab.cut()
            for context in range(1, 6):
                await here.send(b"%d" % context, to=identifier, context=context)
            events = here.events(AssociationChange, SendFailed)
            lost: list[int] = []
            failed: list[int] = []
            while len(lost) < 1 or len(failed) < 5:
                event: Any = await within(anext(events))
                if isinstance(event, SendFailed):
                    assert event.association_id == identifier
                    assert event.data == b"%d" % event.context
                    failed.append(event.context)
                elif event.state is AssociationState.COMM_LOST:
                    lost.append(event.association_id)
            assert lost == [identifier]
            assert failed == [1, 2, 3, 4, 5]
            for call in (here.send(b"x", to=identifier), here.shutdown(identifier)):
                with pytest.raises(AssociationError, match=str(identifier)):
                    await call
            with pytest.raises(TimeoutError):
                await within(here.send(b"x", to=to))
            assert len(here.associations) == 1
            await here.send(b"fine", to=here.associations[0])
            assert (await within(neighbour.receive())).data == b"fine"
        # The other end knows nothing of all this yet.
        await _abort_all(there)


async def _abort_all(endpoint: Endpoint) -> None:
    for identifier in endpoint.associations:
        with contextlib.suppress(AssociationError):
            await endpoint.abort(identifier)


async def test_a_peeled_off_association_whose_peer_vanishes_is_lost(lab: Lab) -> None:
    """Its end is remembered, as with a socket that was its own from the start."""
    listen_with = {"mode": MANY, "options": IMPATIENT}
    async with joined(lab, listen_with=listen_with) as pair:
        with pytest.raises(OSError, match="peel off") as caught:
            # Linux does it only in the namespace of the socket; else all stays as it was.
            await pair.server.peel_off()
        assert caught.value.errno == errno.EINVAL
        assert pair.server.fileno() == pair.listener.fileno()
        with lab.inside():
            at_once(pair.server.peel_off())
        assert pair.server.fileno() != pair.listener.fileno()
        await pair.client.send(b"before")
        await pair.client.flush()
        receiving = asyncio.create_task(_receive_all(pair.server))
        flushing = asyncio.create_task(pair.server.wait_closed())
        lab.cut()
        with pytest.raises(AssociationLostError):
            await within(receiving)
        await within(flushing)
        for _ in range(2):
            for call in (pair.server.receive, lambda: pair.server.send(b"x"), pair.server.flush):
                with pytest.raises(AssociationLostError):
                    await within(call())
        await within(pair.server.close())
        assert pair.server.fileno() == -1


async def _receive_all(conn: Conn) -> None:
    assert (await conn.receive()).data == b"before"
    await conn.receive()


async def test_a_peeled_off_association_fails_over(lab: Lab) -> None:
    """A flood goes on over the second link, each message once and in order."""
    with lab.inside():
        listener = at_once(
            listen("/".join(link.remote for link in lab.links) + ":0", mode=MANY, options=IMPATIENT[:1])
        )
    async with listener:
        local = "/".join(link.local for link in lab.links) + ":0"
        async with connect(listener.local_addresses, local=local, options=IMPATIENT[:1]) as client:
            server = await within(listener.accept())

            async def flood(conn: Conn) -> None:
                for number in range(200):
                    await conn.send(b"%d" % number, stream=number % 3)
                    await asyncio.sleep(0.001)

            async def read(conn: Conn) -> dict[int, list[int]]:
                got: dict[int, list[int]] = {}
                for _ in range(200):
                    message = await within(conn.receive())
                    got.setdefault(message.stream, []).append(int(message.data))
                return got

            tasks = [asyncio.create_task(flood(conn)) for conn in (client, server)]
            reads = [asyncio.create_task(read(conn)) for conn in (client, server)]
            await until(lambda: server.statistics().messages_received > 20)
            with lab.inside():
                at_once(server.peel_off())
            lab.cut(lab.links[0])
            expected = {stream: list(range(stream, 200, 3)) for stream in range(3)}
            assert await within(asyncio.gather(*reads), 40) == [expected] * 2
            await asyncio.gather(*tasks)
            lab.mend(lab.links[0])
            await within(asyncio.gather(client.close(), server.close()))


# On the wire

SHUTDOWNS = (ChunkType.SHUTDOWN, ChunkType.SHUTDOWN_ACK, ChunkType.SHUTDOWN_COMPLETE)


@pytest.mark.parametrize("unread", [False, True])
async def test_a_peeled_off_association_closes_by_shutdown(dissector: Dissector, unread: bool) -> None:
    """SHUTDOWN at once and no ABORT, with data unread or without."""
    with dissector.capture() as wire:
        async with listen("127.0.0.1:0", mode=MANY) as listener:
            async with connect(listener.local_addresses) as client:
                server = await listener.accept()
                await server.peel_off()
                if unread:
                    stop_reading(server)
                    await client.send(b"unread")
                    await client.flush()
                await within(server.close())
                await within(client.wait_closed())
                ends = listener.port, client.local_addresses.port
    assert wire.of(Abort) == []
    kinds = wire.types(*SHUTDOWNS)
    assert kinds == [(ends[0], SHUTDOWNS[0]), (ends[1], SHUTDOWNS[1]), (ends[0], SHUTDOWNS[2])]


async def test_the_aborts_of_a_shared_and_of_a_peeled_off_socket_carry_the_cause(
    dissector: Dissector,
) -> None:
    """One ABORT each, whose cause is User-Initiated Abort (RFC 9260 3.3.10.12)."""
    with dissector.capture() as wire:
        async with open_endpoint("127.0.0.1:0") as endpoint:
            port = endpoint.port
            for peel_off in (False, True):
                client = await connect(endpoint.local_addresses)
                await until(lambda: len(endpoint.associations) == 1)
                if peel_off:
                    await (await endpoint.peel_off(endpoint.associations[0])).abort(b"why")
                else:
                    await endpoint.abort(endpoint.associations[0], b"why")
                await within(client.wait_closed())
    assert [chunk.causes for chunk in wire.of(Abort, port=port)] == [(12,), (12,)]
    assert wire.types(*SHUTDOWNS) == []


async def test_a_closing_endpoint_shuts_all_its_associations_down(dissector: Dissector) -> None:
    """A SHUTDOWN for each, after its data, and no ABORT."""
    with dissector.capture() as wire:
        endpoint = await open_endpoint("127.0.0.1:0")
        port = endpoint.port
        clients = [await connect(endpoint.local_addresses) for _ in range(3)]
        await until(lambda: len(endpoint.associations) == 3)
        result = await endpoint.broadcast(b"the last word")
        assert len(result.reached) == 3
        await clients[0].send(b"never read")
        await within(endpoint.close())
        for client in clients:
            assert [message.data async for message in client] == [b"the last word"]
    assert wire.of(Abort) == []
    assert [end for end, _ in wire.types(ChunkType.SHUTDOWN)] == [port] * 3


async def test_what_is_forgotten_ends_by_shutdown(dissector: Dissector) -> None:
    """An endpoint, and a peeled-off Conn: as with a Conn of its own, nothing is left half open."""
    with dissector.capture() as wire:
        forgotten: list[Endpoint | Conn] = []
        endpoint = await open_endpoint("127.0.0.1:0")
        port = endpoint.port
        clients = [await connect(endpoint.local_addresses) for _ in range(2)]
        while len(identifiers := endpoint.associations) < 2:
            await asyncio.sleep(0.002)
        forgotten += [endpoint, await endpoint.peel_off(identifiers[0])]
        del endpoint
        with pytest.warns(ResourceWarning, match="unclosed"):
            forgotten.clear()
            gc.collect()
        for client in clients:
            await within(client.wait_closed())
        await until(lambda: associations() == [])
    assert wire.of(Abort) == []
    assert [end for end, _ in wire.types(ChunkType.SHUTDOWN)] == [port] * 2


async def test_a_stalled_peer_does_not_keep_a_cancelled_close(lab: Lab) -> None:
    """Closing an endpoint with a timeout ends in time, although its peer has vanished."""
    with lab.inside():
        there = at_once(open_endpoint(f"{lab.links[0].remote}:0", options=[ReceiveBuffer(4096)]))
    async with there:
        here = await open_endpoint(f"{lab.links[0].local}:0")
        await here.send(b"x", to=there.local_addresses)
        await within(there.receive())
        lab.cut()
        await here.send(b"undelivered", to=there.local_addresses)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await here.close()
        assert here.fileno() == -1
        await until(lambda: len(associations()) <= 1)
        await _abort_all(there)
    await until(lambda: associations() == [])
