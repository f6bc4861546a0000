"""Closing or forgetting a listener or an association of its: the others live on."""

import asyncio
import gc
import threading
import weakref

import pytest

from api.one_to_many.listener.served import MANY, carrier, served, talks
from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    ClosedError,
    Conn,
    EndOfAssociation,
    RtoInfo,
    connect,
    listen,
)
from support import (
    PER_SOCKET,
    associations,
    collect,
    descriptor_count,
    read_again,
    stop_reading,
    turns,
    until,
    waiting_to_accept,
)


async def test_closing_the_listener_ends_who_waits_and_leaves_what_was_accepted() -> None:
    before = descriptor_count()
    async with served(2) as (listener, clients, servers):
        accepts = [asyncio.create_task(listener.accept()) for _ in range(3)]
        events = asyncio.create_task(collect(listener.events(AssociationChange)))
        await until(lambda: len(waiting_to_accept(carrier(listener))) == 3)
        await listener.close()
        for task in accepts:
            with pytest.raises(ClosedError):
                await task
        assert await events == []
        for call in (
            listener.accept,
            lambda: listener.connect("127.0.0.1:1"),
            lambda: listener.broadcast(b"x"),
        ):
            with pytest.raises(ClosedError):
                await call()
        with pytest.raises(ClosedError):
            listener.get_option(RtoInfo)
        await listener.close()
        assert listener.fileno() == -1
        assert {server.fileno() for server in servers} == {carrier(listener).raw.fileno()}
        await talks(*zip(clients, servers, strict=True))
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await connect(listener.local_addresses)
        # The last association takes the descriptor along.
        await servers[0].abort()
        assert servers[1].fileno() >= 0
        await talks((clients[1], servers[1]))
        await asyncio.gather(clients[1].close(), servers[1].wait_closed())
        assert servers[1].fileno() == carrier(listener).raw.fileno() == -1
    assert descriptor_count() <= before


async def test_closing_the_listener_aborts_what_was_not_accepted() -> None:
    async with served(1) as (listener, clients, servers):
        others = [await connect(listener.local_addresses) for _ in range(2)]
        await until(lambda: listener.statistics().unaccepted == 2)
        await listener.close()
        for other in others:
            with pytest.raises(AssociationAbortedError) as caught:
                await other.receive()
            assert caught.value.cause == b"not accepted"
        await talks((clients[0], servers[0]))


async def test_an_association_on_its_way_as_the_listener_closes_is_aborted() -> None:
    async with served(1) as (listener, clients, servers):
        # Its COMM_UP lies in the socket, and nobody has read it.
        stop_reading(servers[0])
        late = await connect(listener.local_addresses)
        await late.send(b"early data")
        await listener.close()
        read_again(servers[0])
        with pytest.raises(AssociationAbortedError) as caught:
            await late.receive()
        assert caught.value.cause == b"not accepted"
        await talks((clients[0], servers[0]))


@pytest.mark.kernel_only("with usrsctp a one-to-many socket has its port until its last association ends")
async def test_a_server_that_restarts_gets_its_port_back() -> None:
    first = await listen(("127.0.0.1", 0), mode=MANY)
    port = first.port
    client = await connect(first.local_addresses)
    server = await first.accept()
    await first.close()
    async with listen(("127.0.0.1", port), mode=MANY) as again:
        newer = await connect(again.local_addresses)
        served_newer = await again.accept()
        await talks((client, server), (newer, served_newer))
        for conn in (newer, served_newer, client, server):
            await conn.abort()


async def test_a_forgotten_listener_warns_and_leaves_what_was_accepted() -> None:
    listener = await listen("127.0.0.1:0", mode=MANY)
    client = await connect(listener.local_addresses)
    server = await listener.accept()
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Listener open"):
        del listener
        gc.collect()
    await talks((client, server))
    # The finalizer has left the closing to the loop.
    await turns()
    with pytest.raises(ConnectionRefusedError):
        await connect(server.local_addresses)
    await server.abort()
    await until(lambda: descriptor_count() <= before - PER_SOCKET)
    await client.abort()
    listener = await listen("127.0.0.1:0", mode=MANY)
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Listener open"):
        del listener
        gc.collect()
    await until(lambda: descriptor_count() <= before - PER_SOCKET)
    await until(lambda: not associations())


async def test_a_forgotten_association_warns_and_ends_gracefully_alone() -> None:
    async with served(1) as (listener, clients, servers):
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        await server.send(b"the last")
        reference = weakref.ref(server)
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Conn open") as caught:
            del server
            gc.collect()
        assert isinstance(caught[0].source, Conn)
        del caught
        gc.collect()
        assert reference() is None
        assert [message.data async for message in client] == [b"the last"]
        with pytest.raises(EndOfAssociation):
            await client.receive()
        await talks((clients[0], servers[0]))
        await until(lambda: len(carrier(listener).members) == 1)


async def test_a_forgotten_association_does_not_hold_the_descriptor() -> None:
    listener = await listen("127.0.0.1:0", mode=MANY)
    client = await connect(listener.local_addresses)
    server = await listener.accept()
    await listener.close()
    before = descriptor_count()
    with pytest.warns(ResourceWarning):
        del server
        gc.collect()
    await until(lambda: descriptor_count() <= before - PER_SOCKET)
    with pytest.raises(EndOfAssociation):
        await client.receive()


async def test_an_association_forgotten_in_another_thread_is_released_in_its_own() -> None:
    async with served(1) as (listener, clients, servers):
        client = await connect(listener.local_addresses)
        holder = [await listener.accept()]
        with pytest.warns(ResourceWarning):
            thread = threading.Thread(target=holder.clear)
            thread.start()
            thread.join()
        gc.collect()
        with pytest.raises(EndOfAssociation):
            await client.receive()
        await talks((clients[0], servers[0]))


async def test_an_association_that_ended_or_was_closed_does_not_warn() -> None:
    # Warnings are errors here.
    async with served(0) as (listener, _, _):
        for end in ("peer", "here"):
            client = await connect(listener.local_addresses)
            server = await listener.accept()
            await (client if end == "peer" else server).close()
            await server.wait_closed()
            await client.wait_closed()
            del client, server
            gc.collect()
