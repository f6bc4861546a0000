"""A listener whose associations share one socket: each is taken as a Conn of its own."""

import asyncio
import logging

import pytest

from api.one_to_many.listener.served import carrier, served, stop, talks
from sctpio import (
    AssociationAbortedError,
    Conn,
    PathState,
    PeerAddressInfo,
    ProtocolState,
    connect,
)
from support import PATIENCE, descriptor_count, path_of, until, waiting_to_accept


async def test_each_association_is_a_conn_and_all_share_one_descriptor() -> None:
    async with served(3) as (listener, clients, servers):
        assert len({server.association_id for server in servers}) == 3
        assert {server.fileno() for server in servers} == {listener.fileno()}
        for client, server in zip(clients, servers, strict=True):
            assert server.peer_addresses == client.local_addresses
            assert server.local_addresses == client.peer_addresses == listener.local_addresses
            assert server.primary_path == path_of(server)
            assert (server.outbound_streams, server.inbound_streams) == (
                client.inbound_streams,
                client.outbound_streams,
            )
            assert server.status().state is ProtocolState.ESTABLISHED
            assert server.status().association_id == server.association_id
            path = server.path(server.peer_addresses)
            assert (path.address, path.state) == (client.local_addresses, PathState.ACTIVE)
            assert server.get_option(PeerAddressInfo).address == client.local_addresses
            assert str(server.association_id) in repr(server)
        assert listener.statistics().associations == 3


async def test_an_association_takes_no_descriptor() -> None:
    async with served(0) as (listener, _, _):
        clients = [await connect(listener.local_addresses) for _ in range(20)]
        before = descriptor_count()
        servers = [await listener.accept() for _ in range(20)]
        assert descriptor_count() == before
        for conn in (*clients, *servers):
            await conn.abort()


async def test_serve_aborts_the_association_whose_handler_fails_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(conn: Conn) -> None:
        async for message in conn:
            if message.data == b"bad":
                raise LookupError("on purpose")
            await conn.send(b"fine")

    async with served(0) as (listener, _, _):
        server = asyncio.create_task(listener.serve(handler))
        bad, good = await connect(listener.local_addresses), await connect(listener.local_addresses)
        await bad.send(b"bad")
        with pytest.raises(AssociationAbortedError):
            await bad.receive()
        await good.send(b"good")
        assert (await good.receive()).data == b"fine"
        await good.close()
        await stop(server)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR]


async def test_a_waiting_accept_takes_the_turn_of_a_cancelled_one() -> None:
    async with served(0) as (listener, _, _):
        first, second = (asyncio.create_task(listener.accept()) for _ in range(2))
        many = carrier(listener)
        await until(lambda: len(waiting_to_accept(many)) == 2)
        waiting_to_accept(many).wake()
        first.cancel()
        client = await connect(listener.local_addresses)
        async with asyncio.timeout(10 * PATIENCE):
            server = await second
        await client.abort()
        await server.abort()


async def test_more_than_the_backlog_are_aborted_and_counted() -> None:
    async with served(0, listen_with={"backlog": 2}) as (listener, _, _):
        clients = [await connect(listener.local_addresses) for _ in range(5)]
        await until(lambda: listener.statistics().refused == 3)
        for client in clients[2:]:
            with pytest.raises(AssociationAbortedError) as caught:
                await client.receive()
            assert caught.value.cause == b"not accepted"
        statistics = listener.statistics()
        assert (statistics.unaccepted, statistics.associations) == (2, 2)
        servers = [await listener.accept() for _ in range(2)]
        await talks(*zip(clients[:2], servers, strict=True))
        # There is room again.
        later = await connect(listener.local_addresses)
        servers.append(await listener.accept())
        await talks((later, servers[-1]))
        assert listener.statistics().refused == 3
        for conn in (*servers, *clients, later):
            await conn.abort()
