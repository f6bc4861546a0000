"""Peeling off from an Endpoint gives a Conn."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from api.one_to_many.peel_off.moving import COMM_UP, MEDIUM, QUICK, SHUTDOWN_COMP
from sctpio import AssociationChange, AssociationError, Conn, EndOfAssociation, connect, open_endpoint
from support import (
    KIB,
    LOCAL,
    PER_SOCKET,
    collect,
    descriptor_count,
    read_again,
    stop_reading,
    turns,
    until,
    within,
)


async def test_an_endpoint_gives_an_association_away_with_its_unread_messages() -> None:
    async with (
        open_endpoint(LOCAL) as endpoint,
        connect(endpoint.local_addresses) as one,
        connect(endpoint.local_addresses) as two,
    ):
        for number in range(6):
            await (one, two)[number % 2].send(b"%d" % number, stream=number)
            await until(lambda: endpoint.statistics().unread_messages == number + 1)  # noqa: B023
        port = one.local_addresses.port
        [identifier] = [i for i in endpoint.associations if endpoint.peer_addresses(i).port == port]
        endpoint._shared._set_reading(False)
        await one.send(b"6")
        await two.send(b"7")
        await until(lambda: not one.status().unacknowledged and not two.status().unacknowledged)
        before = descriptor_count()
        conn = await endpoint.peel_off(identifier)
        endpoint._shared._set_reading(True)
        assert isinstance(conn, Conn)
        assert (conn.association_id, conn.peer_addresses.port) == (identifier, port)
        assert conn.local_addresses == endpoint.local_addresses
        assert descriptor_count() == before + PER_SOCKET
        assert conn.fileno() != endpoint.fileno()
        await one.send(b"8")
        await two.send(b"9")
        assert [(await within(conn.receive())).data for _ in range(5)] == [b"0", b"2", b"4", b"6", b"8"]
        assert [(await within(endpoint.receive())).data for _ in range(5)] == [b"1", b"3", b"5", b"7", b"9"]
        await until(lambda: endpoint.statistics().unread_messages == 0)
        assert identifier not in endpoint.associations
        calls: tuple[Callable[[], Coroutine[Any, Any, Any]], ...] = (
            lambda: endpoint.peel_off(identifier),
            lambda: endpoint.send(b"x", to=identifier),
            lambda: endpoint.shutdown(identifier),
            lambda: endpoint.abort(identifier),
        )
        for call in calls:
            with pytest.raises(AssociationError, match=str(identifier)):
                await call()
        result = await endpoint.broadcast(b"all that are left")
        assert result.reached == endpoint.associations
        assert (await within(two.receive())).data == b"all that are left"
        # Each goes on without the other.
        await endpoint.close()
        await conn.send(b"outlives it")
        assert (await within(one.receive())).data == b"outlives it"
        await within(conn.close())
        with pytest.raises(EndOfAssociation):
            await within(one.receive())


async def test_a_flood_moves_from_an_endpoint_without_loss_or_disorder() -> None:
    count = 300
    async with open_endpoint(LOCAL, receive_buffer=64 * KIB) as endpoint:
        clients = [await connect(endpoint.local_addresses, options=QUICK) for _ in range(3)]
        peeled = asyncio.Event()

        async def flood(client: Conn) -> None:
            for number in range(count):
                await client.send(b"%d " % number + bytes(500), stream=number % 3, ppid=number)
            # What has ended cannot be peeled off any more.
            await peeled.wait()
            await client.close()

        floods = [asyncio.create_task(flood(client)) for client in clients]
        got: dict[int, dict[int, list[int]]] = {}
        for _ in range(100):
            message = await within(endpoint.receive())
            got.setdefault(message.association_id, {}).setdefault(message.stream, []).append(message.ppid)
        chosen = message.association_id
        conn = await endpoint.peel_off(chosen)
        peeled.set()
        async for message in conn:
            assert message.association_id == chosen
            got[chosen].setdefault(message.stream, []).append(message.ppid)
        while sum(len(numbers) for streams in got.values() for numbers in streams.values()) < 3 * count:
            message = await within(endpoint.receive())
            assert message.association_id != chosen
            got.setdefault(message.association_id, {}).setdefault(message.stream, []).append(message.ppid)
        expected = {stream: list(range(stream, count, 3)) for stream in range(3)}
        assert list(got.values()) == [expected] * 3
        await asyncio.gather(*floods)


async def test_peeling_off_what_filled_an_endpoint_lets_the_others_go_on() -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB) as endpoint,
        connect(endpoint.local_addresses, options=QUICK) as slow,
        connect(endpoint.local_addresses) as other,
    ):
        flooding = asyncio.create_task(slow.send_many([bytes(5_000)] * 100))
        await until(lambda: endpoint.statistics().reading_paused)
        [chosen] = endpoint.statistics().paused_by
        conn = await endpoint.peel_off(chosen)
        assert not endpoint.statistics().reading_paused
        await other.send(b"at last")
        assert (await within(endpoint.receive())).data == b"at last"
        for _ in range(100):
            assert len((await within(conn.receive())).data) == 5_000
        await flooding
        await conn.close()


async def test_a_send_of_an_endpoint_that_waits_for_room_goes_on() -> None:
    async with (
        open_endpoint(LOCAL, options=QUICK) as endpoint,
        connect(endpoint.local_addresses, **MEDIUM) as client,
    ):
        await until(lambda: len(endpoint.associations) == 1)
        [identifier] = endpoint.associations
        stop_reading(client)
        await turns()
        sends = [
            asyncio.create_task(endpoint.send(b"%d " % n + bytes(1_000), to=identifier)) for n in range(400)
        ]
        await until(lambda: endpoint.statistics().waiting_senders > 0)
        conn = await endpoint.peel_off(identifier)
        assert conn.statistics().waiting_senders > 0
        read_again(client)
        got = [await within(client.receive()) for _ in range(400)]
        assert [int(message.data.split()[0]) for message in got] == list(range(400))
        await within(asyncio.gather(*sends))
        await conn.close()


async def test_an_endpoints_events_of_what_it_gave_away_end_and_a_conns_begin() -> None:
    async with open_endpoint(LOCAL) as endpoint, connect(endpoint.local_addresses) as client:
        await until(lambda: len(endpoint.associations) == 1)
        heard = endpoint.events(AssociationChange)
        conn = await endpoint.peel_off(endpoint.associations[0])
        events = conn.events(AssociationChange)
        await client.close()
        assert [event.state for event in await within(collect(events))] == [SHUTDOWN_COMP]
        async with connect(endpoint.local_addresses):
            event = await within(anext(heard))
            assert (event.state, event.association_id) == (COMM_UP, endpoint.associations[0])


async def test_an_address_whose_association_was_given_away_is_not_reached_by_the_endpoint() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        to = peer.local_addresses
        await endpoint.send(b"first", to=to)
        await within(peer.receive())
        conn = await endpoint.peel_off(endpoint.associations[0])
        for form in (to, str(to)):
            # RFC 6458 knows one association of two endpoints.
            with pytest.raises(OSError, match=str(to.port)) as caught:
                await within(endpoint.send(b"second", to=form))
            assert caught.value.errno == errno.EADDRNOTAVAIL
        await conn.send(b"by the one that has it")
        assert (await within(peer.receive())).data == b"by the one that has it"
        await conn.close()
        # Now there is none.
        await within(endpoint.send(b"again", to=to))
        assert (await within(peer.receive())).data == b"again"
