"""Closing an Endpoint, leaving its block, forgetting it."""

import asyncio
import gc
import threading
import warnings

import pytest

from api.one_to_many.endpoint.joined import NOBODY, QUICK, called, calls, full, joined, unread
from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    AssociationError,
    ClosedError,
    EndOfAssociation,
    Endpoint,
    ReceiveBuffer,
    RtoInfo,
    connect,
    open_endpoint,
)
from support import (
    KIB,
    LOCAL,
    PER_SOCKET,
    SMALL,
    descriptor_count,
    read_again,
    stop_reading,
    turns,
    until,
    within,
)


async def test_closing_shuts_all_down_gracefully_and_waits() -> None:
    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with (
        joined(endpoint, **SMALL) as one,
        joined(endpoint, **SMALL) as two,
    ):
        sent = [b"%d " % number + bytes(1000) for number in range(15)]
        for peer in (one, two):
            stop_reading(peer.conn)
            await turns()
            for data in sent:
                await endpoint.send(data, to=peer.id)
        await one.conn.send(b"never read")
        closing = asyncio.create_task(endpoint.close())
        again = asyncio.create_task(endpoint.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        read_again(one.conn)
        assert [message.data async for message in one.conn] == sent
        await asyncio.sleep(0.05)
        assert not closing.done()
        read_again(two.conn)
        assert [message.data async for message in two.conn] == sent
        await within(closing)
        await within(again)
    assert endpoint.fileno() == -1
    assert endpoint.associations == ()
    await within(endpoint.close())


async def test_closing_a_full_endpoint_completes() -> None:
    endpoint = await open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)])
    async with joined(endpoint) as quiet, full(endpoint) as peer:
        await within(endpoint.close())
        with pytest.raises(EndOfAssociation):
            await within(peer.conn.receive())
        with pytest.raises(EndOfAssociation):
            await within(quiet.conn.receive())


async def test_a_cancelled_close_aborts_what_is_left() -> None:
    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with joined(endpoint, **SMALL) as stuck, joined(endpoint) as fine:
        stop_reading(stuck.conn)
        await turns()
        for _ in range(10):
            await endpoint.send(bytes(1_000), to=stuck.id)
        closing = asyncio.create_task(endpoint.close())
        with pytest.raises(EndOfAssociation):
            await within(fine.conn.receive())
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert endpoint.fileno() == -1
        assert endpoint.associations == ()
        read_again(stuck.conn)
        with pytest.raises(AssociationAbortedError):
            async for _ in stuck.conn:
                pass


async def test_closing_wakes_everybody_here() -> None:
    async def all_messages() -> list[bytes]:
        return [message.data async for message in endpoint]

    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with joined(endpoint, **SMALL) as peer, open_endpoint(LOCAL) as other:
        stop_reading(peer.conn)
        await turns()
        await peer.conn.send(b"one")
        await unread(endpoint, 1)
        iterating = asyncio.create_task(all_messages())
        await until(lambda: endpoint.statistics().unread_messages == 0)
        receiving = [asyncio.create_task(endpoint.receive()) for _ in range(3)]
        flood = [asyncio.create_task(endpoint.send(bytes(1_000), to=peer.id)) for _ in range(400)]
        await until(lambda: endpoint.statistics().waiting_senders > 0)
        stop_reading(endpoint)
        await turns()
        connecting = asyncio.create_task(endpoint.connect(other.local_addresses))
        await asyncio.sleep(0)
        closing = asyncio.create_task(endpoint.close())
        # Nothing of the peer has to be read for that.
        await until(connecting.done)
        read_again(endpoint)
        for task in (*receiving, connecting):
            with pytest.raises(ClosedError):
                await within(task)
        assert await within(iterating) == [b"one"]
        results = await within(asyncio.gather(*flood, return_exceptions=True))
        assert {type(result) for result in results} == {type(None), ClosedError}
        read_again(peer.conn)
        received = [len(message.data) async for message in peer.conn]
        await within(closing)
        assert received == [1_000] * sum(result is None for result in results)


async def test_a_closed_endpoint_says_so() -> None:
    async with open_endpoint(LOCAL) as endpoint:
        pass
    for call in (
        endpoint.receive,
        lambda: endpoint.send(b"x", to=NOBODY),
        lambda: endpoint.send(b"x", to=3),
        lambda: endpoint.connect(NOBODY),
        lambda: endpoint.broadcast(b"x"),
    ):
        with pytest.raises(ClosedError, match="endpoint"):
            await within(call())
    with pytest.raises(ClosedError, match="endpoint"):
        endpoint.get_option(RtoInfo)
    with pytest.raises(ClosedError, match="endpoint"):
        endpoint.set_option(RtoInfo(initial=1.0))
    for identifier in (3, 999_999):
        await check_ended_or_closed(endpoint, identifier)
    assert [message async for message in endpoint] == []
    assert [event async for event in endpoint.events(AssociationChange)] == []
    assert endpoint.associations == ()
    assert endpoint.statistics().associations == 0


async def check_ended_or_closed(endpoint: Endpoint, identifier: int) -> None:
    """Every call that takes a number raises, and ClosedError is an AssociationError."""
    for call in calls(endpoint, identifier):
        with pytest.raises(AssociationError):
            await within(called(call))


async def test_an_exception_that_leaves_the_block_aborts_all() -> None:
    with pytest.raises(LookupError):
        async with open_endpoint(LOCAL) as endpoint:
            clients = [await connect(endpoint.local_addresses) for _ in range(3)]
            await until(lambda: len(endpoint.associations) == 3)
            raise LookupError
    assert endpoint.fileno() == -1
    for client in clients:
        with pytest.raises(AssociationAbortedError):
            await within(client.receive())


async def test_a_new_peer_is_refused_while_an_endpoint_closes() -> None:
    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with joined(endpoint, **SMALL) as stuck:
        stop_reading(stuck.conn)
        await turns()
        for _ in range(10):
            await endpoint.send(bytes(1_000), to=stuck.id)
        address = endpoint.local_addresses
        closing = asyncio.create_task(endpoint.close())
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await within(connect(address))
        read_again(stuck.conn)
        assert [len(message.data) async for message in stuck.conn] == [1_000] * 10
        await within(closing)


async def test_an_endpoint_that_is_forgotten_warns_and_is_released() -> None:
    endpoint = await open_endpoint(LOCAL)
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Endpoint open") as caught:
        del endpoint
        gc.collect()
    assert isinstance(caught[0].source, Endpoint)
    del caught
    await until(lambda: descriptor_count() <= before - PER_SOCKET)


@pytest.mark.parametrize("where", ["here", "in another thread"])
async def test_an_endpoint_forgotten_with_its_associations_ends_them(where: str) -> None:
    holder = [await open_endpoint(LOCAL)]
    clients = [await connect(holder[0].local_addresses) for _ in range(2)]
    await until(lambda: len(holder[0].associations) == 2)
    await holder[0].send(b"the last word", to=holder[0].associations[0])
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Endpoint open"):
        if where == "here":
            holder.clear()
        else:
            thread = threading.Thread(target=holder.clear)
            thread.start()
            thread.join()
        gc.collect()
    await asyncio.sleep(0)
    assert (await within(clients[0].receive())).data == b"the last word"
    for client in clients:
        with pytest.raises((EndOfAssociation, AssociationAbortedError)):
            await within(client.receive())
    await until(lambda: descriptor_count() == before - 3 * PER_SOCKET)


async def test_a_closed_endpoint_does_not_warn() -> None:
    endpoint = await open_endpoint(LOCAL)
    async with joined(endpoint):
        await within(endpoint.close())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del endpoint
        gc.collect()
