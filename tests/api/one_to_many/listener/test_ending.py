"""How an association of a shared socket ends: as one of its own socket does, and the others go on."""

import asyncio
import errno
import random
from contextlib import suppress
from typing import Any

import pytest

from api.one_to_many.listener.served import (
    MANY,
    QUEUED,
    WAITING,
    carrier,
    ended,
    exchange,
    fill,
    served,
    stop,
    talks,
)
from kernel.lab import IMPATIENT, Lab
from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    AssociationLostError,
    AssociationState,
    ClosedError,
    Conn,
    EndOfAssociation,
    ErrorCause,
    MessageTooLargeError,
    ReceiveBuffer,
    SendBuffer,
    ShutdownEvent,
    connect,
    listen,
)
from sctpio.stacks.native import NativeSocket
from support import (
    KIB,
    PATIENCE,
    STACK,
    StackSocketType,
    abort_unread,
    associations,
    collect,
    drain,
    path_of,
    read_again,
    stop_reading,
    until,
)

# How associations end


async def test_closing_delivers_what_is_queued_and_ends_gracefully() -> None:
    async with served(2) as (_, clients, servers):
        sent = [random.Random(number).randbytes(3_000) for number in range(100)]
        sender = asyncio.create_task(servers[0].send_many(sent))
        await sender
        events = clients[0].events(AssociationChange, ShutdownEvent)
        closing = asyncio.create_task(servers[0].close())
        assert [message.data async for message in clients[0]] == sent
        await closing
        await ended(servers[0], ClosedError)
        await clients[0].wait_closed()
        await ended(clients[0], EndOfAssociation)
        seen = [event async for event in events]
        assert isinstance(seen[-1], AssociationChange)
        assert seen[-1].state is AssociationState.SHUTDOWN_COMP
        await servers[0].close()
        await talks((clients[1], servers[1]))


async def test_closing_drops_what_is_unread_and_is_graceful_all_the_same() -> None:
    async with served(2) as (listener, clients, servers):
        await clients[0].send_many([bytes(10_000)] * 5)
        await until(lambda: servers[0].statistics().unread_messages == 5)
        await asyncio.gather(*(servers[0].close() for _ in range(3)))
        assert listener.statistics().unread_messages == 0
        with pytest.raises(EndOfAssociation):
            await clients[0].receive()
        await talks((clients[1], servers[1]))


async def test_the_peer_closes() -> None:
    async with served(2) as (listener, clients, servers):
        waiting = asyncio.create_task(servers[0].stream(1).receive())
        events = servers[0].events(AssociationChange, ShutdownEvent)
        await clients[0].send(b"1")
        await clients[0].close()
        assert [message.data async for message in servers[0]] == [b"1"]
        with pytest.raises(EndOfAssociation):
            await waiting
        await servers[0].wait_closed()
        await ended(servers[0], EndOfAssociation)
        seen = [event async for event in events]
        assert [type(event) for event in seen] == [ShutdownEvent, AssociationChange]
        assert listener.statistics().associations == 1
        await talks((clients[1], servers[1]))


@pytest.mark.parametrize(
    "cause", [b"", b"out of service", bytes(range(256)) * 4], ids=["none", "text", "long"]
)
async def test_abort_carries_its_cause_to_the_peer(cause: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with served(2) as (listener, clients, servers):
        events = clients[0].events(AssociationChange)
        await servers[0].send(b"before")
        await servers[0].abort(cause)
        assert (await clients[0].receive()).data == b"before"
        with pytest.raises(AssociationAbortedError) as caught:
            await clients[0].receive()
        if STACK == "usrsctp":
            # It keeps the first 512 bytes of an ABORT chunk.
            cause = cause[: 512 - 8]
        assert caught.value.cause == cause
        assert caught.value.error is ErrorCause.USER_INITIATED_ABORT
        assert isinstance(caught.value, ConnectionResetError)
        [lost] = [event async for event in events]
        assert isinstance(lost, AssociationChange)
        assert lost.cause == cause
        await ended(servers[0], ClosedError)
        await servers[0].abort(b"again")
        await talks((clients[1], servers[1]))
        await until(lambda: len(carrier(listener).members) == 1)
    assert not caplog.records


async def test_an_abort_whose_cause_no_chunk_can_carry_does_not_leave_the_association_up() -> None:
    async with served(2) as (_, clients, servers):
        with suppress(ValueError):
            await servers[0].abort(bytes(70_000))
        await servers[0].abort()
        with pytest.raises(AssociationAbortedError):
            async with asyncio.timeout(5 * PATIENCE):
                await clients[0].receive()
        await talks((clients[1], servers[1]))


async def test_the_peers_abort_leaves_the_others_alone() -> None:
    # The client is one-to-many too: else its abort could not carry a cause.
    async with served(3) as (listener, clients, servers), listen("127.0.0.1:0", mode=MANY) as other:
        client = await other.connect(listener.local_addresses)
        server = await listener.accept()
        traffic = [asyncio.create_task(exchange(*pair)) for pair in zip(clients, servers, strict=True)]
        await client.send(b"before")
        await until(lambda: server.statistics().unread_messages == 1)
        events = server.events(AssociationChange)
        await client.abort(b"I have to go")
        assert (await server.receive()).data == b"before"
        with pytest.raises(AssociationAbortedError) as caught:
            await server.receive()
        assert caught.value.cause == b"I have to go"
        [lost] = [event async for event in events]
        assert isinstance(lost, AssociationChange)
        assert (lost.association_id, lost.state) == (server.association_id, AssociationState.COMM_LOST)
        await ended(server, AssociationAbortedError)
        await asyncio.gather(*traffic)


@pytest.mark.parametrize("how", ["peer aborts", "peer closes", "close", "abort"])
async def test_tasks_that_wait_end_with_their_association(how: str) -> None:
    kinds: dict[str, type[Exception]] = {
        "peer aborts": AssociationAbortedError,
        "peer closes": EndOfAssociation,
    }
    kind = kinds.get(how, ClosedError)
    async with served(2, listen_with=QUEUED) as (listener, clients, servers):
        client, server = clients[0], servers[0]
        if how != "peer closes":
            # Its close would wait for us to have nothing under way.
            stop_reading(client)
        sender = await fill(server) if how != "peer closes" else None
        calls = [call for name, call in WAITING.items() if sender or not name.startswith(("send", "flush"))]
        waiting = [asyncio.create_task(call(server)) for call in calls]
        events = asyncio.create_task(collect(server.events(AssociationChange)))
        closed = asyncio.create_task(server.wait_closed())
        elsewhere = asyncio.create_task(servers[1].receive())
        await until(lambda: server.statistics().waiting_senders == (3 if sender else 0))
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in (*waiting, events, closed))
        closing = None
        match how:
            case "peer aborts":
                await client.abort()
            case "peer closes":
                await client.close()
            case "close":
                closing = asyncio.create_task(server.close())
            case "abort":
                await server.abort()
        for task in (*waiting, *([sender] if sender else [])):
            async with asyncio.timeout(20 * PATIENCE):
                with pytest.raises(kind):
                    await task
        if closing is not None:
            assert not closed.done()
            reader = asyncio.create_task(drain(client))
            read_again(client)
            async with asyncio.timeout(40 * PATIENCE):
                await closing
            await reader
        async with asyncio.timeout(20 * PATIENCE):
            await closed
            await events
        await ended(server, kind)
        assert not elsewhere.done()
        assert listener.statistics().waiting_senders == 0
        await clients[1].send(b"goes on")
        assert (await elsewhere).data == b"goes on"


async def test_a_cancelled_close_aborts_and_raises() -> None:
    async with served(2, listen_with=QUEUED) as (_, clients, servers):
        stop_reading(clients[0])
        await stop(await fill(servers[0]))
        closing = asyncio.create_task(servers[0].close())
        await until(lambda: servers[0]._association.end is not None)
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await ended(servers[0], ClosedError)
        read_again(clients[0])
        with pytest.raises(AssociationAbortedError):
            await drain(clients[0])
        await talks((clients[1], servers[1]))


async def test_leaving_the_block_closes_and_an_exception_aborts() -> None:
    async with served(0) as (listener, _, _):
        client = await connect(listener.local_addresses)
        async with await listener.accept() as server:
            await server.send(b"x")
        assert [message.data async for message in client] == [b"x"]
        client = await connect(listener.local_addresses)
        with pytest.raises(LookupError):
            async with await listener.accept() as server:
                raise LookupError
        assert server.is_closed
        with pytest.raises(AssociationAbortedError):
            await client.receive()


async def test_close_raises_where_the_peer_aborts_before_all_is_delivered() -> None:
    async with served(1, listen_with=QUEUED) as (_, clients, servers):
        stop_reading(clients[0])
        sender = await fill(servers[0])
        closing = asyncio.create_task(servers[0].close())
        with pytest.raises(ClosedError):
            await sender
        await clients[0].abort()
        with pytest.raises(AssociationAbortedError):
            await closing
        await ended(servers[0], ClosedError)


@pytest.mark.parametrize("call", ["send", "send that waits", "send by a path", "send_many", "flush"])
async def test_a_call_that_meets_an_abort_that_nobody_has_read_says_how_it_ended(call: str) -> None:
    """Whatever it asks of the stack first: to send, or for acknowledgements so that it can wait for room."""
    async with served(2) as (listener, clients, servers):
        server = servers[0]
        # So much that the next one has to wait for room, and nobody has waited yet.
        size = (listener.get_option(SendBuffer).size or 0) // 5
        await server.send(bytes(size))
        await clients[0].receive()
        await clients[0].send(b"read before")
        await until(lambda: server.statistics().unread_messages == 1)
        path = path_of(server)
        # No turn of the loop between this and the call.
        abort_unread(clients[0], servers[0])
        with pytest.raises(AssociationAbortedError):
            match call:
                case "send":
                    await server.send(b"x")
                case "send that waits":
                    await server.send(bytes(size))
                case "send by a path":
                    await server.send(b"x", path=path)
                case "send_many":
                    await server.send_many([b"x", b"y"])
                case "flush":
                    await server.flush()
        assert (await server.receive()).data == b"read before"
        await ended(server, AssociationAbortedError)
        await talks((clients[1], servers[1]))


async def test_a_message_beyond_a_limit_is_the_business_of_its_association_alone() -> None:
    buffers = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with served(
        2,
        listen_with={"max_message_size": 150_000, "options": buffers},
        connect_with={"options": buffers},
    ) as (listener, clients, servers):
        await clients[0].send(b"fits")
        sender = asyncio.create_task(clients[0].send(bytes(300_000)))
        assert (await servers[0].receive()).data == b"fits"
        with pytest.raises(MessageTooLargeError, match="150000"):
            await servers[0].receive()
        await asyncio.gather(sender, return_exceptions=True)
        with pytest.raises(AssociationAbortedError):
            await clients[0].receive()
        size = listener.get_option(SendBuffer).size or 0
        with pytest.raises(MessageTooLargeError, match=str(size)):
            await servers[1].send(bytes(size + 1))
        await talks((clients[1], servers[1]))


@pytest.mark.kernel_only("it takes a network of its own: a device")
async def test_a_peer_that_vanishes_is_lost_and_the_others_go_on() -> None:
    lab = Lab(1)
    lab.build()
    try:
        [link] = lab.links
        settings: dict[str, Any] = {"mode": MANY, "options": IMPATIENT}
        async with (
            listen(f"{link.local}:0", **settings) as here,
            lab.listen(link.remote, **settings) as there,
            served(1) as (_, clients, servers),
        ):
            ours = await here.connect(there.local_addresses)
            theirs = await there.accept()
            async with connect(here.local_addresses) as neighbour, await here.accept() as healthy:
                receiver = asyncio.create_task(theirs.receive())
                lab.cut()
                async with asyncio.timeout(30 * PATIENCE):
                    with pytest.raises(AssociationLostError) as caught:
                        await ours.receive()
                    assert caught.value.errno == errno.ETIMEDOUT
                    with pytest.raises(AssociationLostError) as caught:
                        await receiver
                    assert caught.value.errno == errno.ETIMEDOUT
                await ended(ours, AssociationLostError)
                await ended(theirs, AssociationLostError)
                await talks((neighbour, healthy), (clients[0], servers[0]))
                await neighbour.close()
    finally:
        lab.remove()


# Numbers that are given again


async def test_a_conn_that_has_ended_never_touches_a_later_association(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, int]] = []

    def watch(name: str) -> None:
        method = getattr(StackSocketType, name)

        def called(self: NativeSocket, first: Any, *rest: Any) -> Any:
            calls.append((name, first))
            return method(self, first, *rest)

        monkeypatch.setattr(StackSocketType, name, called)

    async with listen("127.0.0.1:0", mode=MANY) as listener:
        # The same peer, address and port, again and again.
        old: list[Conn] = []
        port = 0
        for number in range(5):
            client = await connect(listener.local_addresses, local=("127.0.0.1", port))
            port = client.local_addresses.port
            server = await listener.accept()
            await client.send(b"%d" % number)
            await until(lambda server=server: server.statistics().unread_messages == 1)  # type: ignore[misc]
            await (client.close if number % 2 else client.abort)()
            await server.wait_closed()
            old.append(server)
            await until(lambda: not associations())
        client = await connect(listener.local_addresses, local=("127.0.0.1", port))
        server = await listener.accept()
        assert server.peer_addresses == old[0].peer_addresses
        assert len({conn.association_id for conn in (*old, server)}) == 6
        for name in ("send", "send_batch", "abort", "shutdown", "peel_off"):
            watch(name)
        await client.send(b"for the new")
        for number, conn in enumerate(old):
            assert (await conn.receive()).data == b"%d" % number
            await ended(conn, EndOfAssociation if number % 2 else AssociationAbortedError)
            with pytest.raises((EndOfAssociation, AssociationAbortedError)):
                await conn.peel_off()
            await conn.close()
            await conn.abort(b"stale")
        assert calls == []
        assert (await server.receive()).data == b"for the new"
        await talks((client, server))
        assert calls == [("send", server.association_id)]
        await client.abort()
        await server.abort()
    await until(lambda: not associations())
