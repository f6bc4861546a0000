"""One message to every association of a listener."""

import asyncio
import errno

import pytest

from api.one_to_many.listener.served import fill, served, stop, talks
from sctpio import AssociationAbortedError, BroadcastResult, InitMsg, StreamOutOfRangeError, connect
from support import PATIENCE, abort_unread, read_again, stop_reading, until


async def test_broadcast_reaches_every_association() -> None:
    async with served(5) as (listener, clients, servers):
        result = await listener.broadcast(b"to all", stream=3, ppid=60)
        assert set(result.reached) == {server.association_id for server in servers}
        assert len(result.reached) == 5
        assert result.failed == {}
        for client in clients:
            message = await client.receive()
            assert (message.data, message.stream, message.ppid) == (b"to all", 3, 60)
        result = await listener.broadcast(bytearray(b"unordered"), unordered=True)
        assert len(result.reached) == 5
        assert (await clients[0].receive()).unordered
        # Those that nobody has accepted yet are associations too; those that have ended are not.
        late = await connect(listener.local_addresses)
        await until(lambda: listener.statistics().unaccepted == 1)
        await servers[0].abort()
        result = await listener.broadcast(b"again")
        assert len(result.reached) == 5
        assert servers[0].association_id not in result.reached
        assert (await late.receive()).data == b"again"
        await late.abort()


async def test_broadcast_to_nobody_is_empty() -> None:
    async with served(0) as (listener, _, _):
        assert await listener.broadcast(b"x") == BroadcastResult((), {})
        with pytest.raises(ValueError, match="at least one byte"):
            await listener.broadcast(b"")


async def test_broadcast_takes_only_what_send_takes() -> None:
    async with served(2) as (listener, clients, servers):
        with pytest.raises(ValueError, match="at least one byte"):
            await listener.broadcast(b"")
        with pytest.raises(TypeError, match="not str"):
            await listener.broadcast("text")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="ppid is -1"):
            await listener.broadcast(b"x", ppid=-1)
        with pytest.raises(ValueError, match="lifetime, priority"):
            await listener.broadcast(b"x", lifetime=1, priority=1)
        await talks(*zip(clients, servers, strict=True))


async def test_broadcast_says_why_it_did_not_reach_an_association() -> None:
    async with served(4) as (listener, clients, servers):
        narrow = await connect(listener.local_addresses, init=InitMsg(inbound_streams=2))
        servers.append(await listener.accept())
        closing = asyncio.create_task(servers[2].close())
        await asyncio.sleep(0)
        # Nobody has read of it yet.
        abort_unread(clients[0], servers[0])
        result = await listener.broadcast(b"to some", stream=5)
        failed = {identifier: type(error) for identifier, error in result.failed.items()}
        assert failed.pop(servers[0].association_id) is AssociationAbortedError
        assert failed.pop(servers[4].association_id) is StreamOutOfRangeError
        failed.pop(servers[2].association_id, None)
        assert failed == {}
        assert set(result.reached) == {servers[1].association_id, servers[3].association_id}
        for client in (clients[1], clients[3]):
            assert (await client.receive()).data == b"to some"
        await closing
        await narrow.abort()
        await servers[4].abort()


async def test_a_stalled_peer_holds_up_no_broadcast() -> None:
    async with served(4) as (listener, clients, servers):
        stop_reading(clients[1])
        sender = await fill(servers[1])
        result = await listener.broadcast(bytes(1_000), timeout=0.2)
        assert set(result.failed) == {servers[1].association_id}
        error = result.failed[servers[1].association_id]
        assert isinstance(error, BlockingIOError)
        assert error.errno == errno.EAGAIN
        assert len(result.reached) == 3
        for number in (0, 2, 3):
            assert len((await clients[number].receive()).data) == 1_000
        assert listener.statistics().waiting_senders == 1
        # Without a limit it waits until there is room.
        broadcast = asyncio.create_task(listener.broadcast(b"at last", timeout=None))
        for number in (0, 2, 3):
            assert (await clients[number].receive()).data == b"at last"
        await until(lambda: servers[1].statistics().waiting_senders == 2)
        assert not broadcast.done()
        await stop(sender)
        read_again(clients[1])
        async with asyncio.timeout(30 * PATIENCE):
            assert len((await broadcast).reached) == 4
            received = []
            while b"at last" not in received:
                received.append((await clients[1].receive()).data)
        # What failed was not sent.
        assert bytes(1_000) not in received


async def test_a_cancelled_broadcast_leaves_no_sender_behind() -> None:
    async with served(3) as (listener, clients, servers):
        stop_reading(clients[0])
        sender = await fill(servers[0])
        broadcast = asyncio.create_task(listener.broadcast(b"x", timeout=None))
        await until(lambda: servers[0].statistics().waiting_senders == 2)
        broadcast.cancel()
        with pytest.raises(asyncio.CancelledError):
            await broadcast
        assert listener.statistics().waiting_senders == 1
        for client in clients[1:]:
            assert (await client.receive()).data == b"x"
        await stop(sender)
        assert listener.statistics().waiting_senders == 0
        await talks(*zip(clients[1:], servers[1:], strict=True))


async def test_broadcast_tells_of_an_association_that_ends_while_it_waits() -> None:
    async with served(2) as (listener, clients, servers):
        stop_reading(clients[0])
        sender = await fill(servers[0])
        broadcast = asyncio.create_task(listener.broadcast(b"x", timeout=None))
        await until(lambda: servers[0].statistics().waiting_senders == 2)
        await clients[0].abort()
        async with asyncio.timeout(20 * PATIENCE):
            result = await broadcast
        assert result.reached == (servers[1].association_id,)
        assert isinstance(result.failed[servers[0].association_id], AssociationAbortedError)
        await asyncio.gather(sender, return_exceptions=True)
