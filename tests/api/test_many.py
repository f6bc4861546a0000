"""A listener whose associations share one socket: each is what a Conn of its own socket is, and no more."""

import asyncio
import errno
import gc
import hashlib
import logging
import random
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest

from kernel.lab import IMPATIENT, Lab, dead_end
from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationError,
    AssociationLostError,
    AssociationState,
    AssocInfo,
    BroadcastResult,
    ClosedError,
    Conn,
    EndOfAssociation,
    ErrorCause,
    InitMsg,
    Listener,
    Message,
    MessageTooLargeError,
    Mode,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    ProtocolState,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    SenderDry,
    ShutdownEvent,
    StreamOutOfRangeError,
    connect,
    listen,
)
from sctpio import _many as many_module
from sctpio._association import Association
from sctpio._many import Many
from sctpio.stacks._native import ARENA, NativeSocket
from support import (
    PATIENCE,
    PER_SOCKET,
    STACK,
    StackSocketType,
    abort_unread,
    associations,
    descriptor_count,
    path_of,
    settled,
    until,
)

KIB = 1024
MANY = Mode.ONE_TO_MANY
QUICK = RtoInfo(initial=0.2, maximum=0.3, minimum=0.1)


class Served(NamedTuple):
    """A one-to-many listener, its clients, and the server's side of each."""

    listener: Listener
    clients: list[Conn]
    servers: list[Conn]


@asynccontextmanager
async def served(
    count: int, *, listen_with: dict[str, Any] | None = None, connect_with: dict[str, Any] | None = None
) -> AsyncIterator[Served]:
    """Connect clients with a listener, in order; at the end the kernel has no association left."""
    ends: list[Conn] = []
    listener = await listen("127.0.0.1:0", mode=MANY, **(listen_with or {}))
    try:
        both = Served(listener, [], [])
        for _ in range(count):
            client = await connect(listener.local_addresses, local="127.0.0.1:0", **(connect_with or {}))
            ends.append(client)
            server = await listener.accept()
            ends.append(server)
            both.clients.append(client)
            both.servers.append(server)
        yield both
    finally:
        await listener.close()
        for conn in reversed(ends):
            await conn.abort()
    await until(lambda: not associations())


def carrier(listener: Listener) -> Many:
    door = listener._door
    assert isinstance(door, Many)
    return door


def deafen(conn: Conn, deaf: bool = True) -> None:
    """Let a peer stop reading, so that its window closes."""
    conn._link.carrier._set_reading(not deaf)


async def fill(conn: Conn, size: int = 10_000) -> asyncio.Task[None]:
    """Send until no more is taken: the task that waits."""

    async def flood() -> None:
        while True:
            await conn.send(bytes(size))

    task = asyncio.create_task(flood())
    await until(lambda: conn.statistics().waiting_senders == 1)
    await settled(lambda: conn.statistics().messages_sent)
    assert conn.statistics().waiting_senders == 1
    return task


async def stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def echo(conn: Conn) -> None:
    async for message in conn:
        await conn.send(message.data, stream=message.stream, ppid=message.ppid)


async def talks(*pairs: tuple[Conn, Conn]) -> None:
    """Messages go both ways, in the order in which they were sent."""
    for number, (one, other) in enumerate(pairs):
        await one.send(b"there %d" % number, stream=number % 3)
        await other.send(b"back %d" % number, stream=number % 3)
    for number, (one, other) in enumerate(pairs):
        async with asyncio.timeout(20 * PATIENCE):
            assert (await other.receive()).data == b"there %d" % number
            assert (await one.receive()).data == b"back %d" % number


WAITING: dict[str, Callable[[Conn], Coroutine[Any, Any, Any]]] = {
    "receive": lambda conn: conn.receive(),
    "receive_many": lambda conn: conn.receive_many(),
    "stream": lambda conn: conn.stream(9).receive(),
    "send": lambda conn: conn.send(bytes(20_000)),
    "send_many": lambda conn: conn.send_many([bytes(20_000)] * 2),
    "flush": lambda conn: conn.flush(),
}


async def ended(conn: Conn, kind: type[Exception]) -> None:
    """Every later call raises the same, each time as an exception of its own, and never waits."""
    raised = []
    for call in (*WAITING.values(), *WAITING.values()):
        async with asyncio.timeout(10 * PATIENCE):
            with pytest.raises(kind) as caught:
                await call(conn)
        raised.append(caught.value)
    assert {(type(error), str(error)) for error in raised} == {(kind, str(raised[0]))}
    assert len({id(error) for error in raised}) == len(raised)
    for query in (conn.status, lambda: conn.get_option(RtoInfo), lambda: conn.set_option(QUICK)):
        with pytest.raises(kind):
            query()
    assert [event async for event in conn.events()] == []
    await conn.wait_closed()
    assert (conn.is_closed, conn.fileno()) == (True, -1)
    assert "closed" in repr(conn)


# Taking associations


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


async def test_async_for_takes_associations_until_the_listener_is_closed() -> None:
    async with served(0) as (listener, _, _):
        clients = [await connect(listener.local_addresses) for _ in range(3)]
        taken = []
        async for conn in listener:
            taken.append(conn)
            if len(taken) == 3:
                await listener.close()
        ports = [client.local_addresses.port for client in clients]
        assert [conn.peer_addresses.port for conn in taken] == ports
        for conn in (*clients, *taken):
            await conn.abort()


async def test_serve_runs_a_handler_for_each_association() -> None:
    async with served(0) as (listener, _, _):
        server = asyncio.create_task(listener.serve(echo))
        clients = await asyncio.gather(*(connect(listener.local_addresses) for _ in range(20)))
        for index, client in enumerate(clients):
            await client.send(b"%d" % index, stream=2, ppid=index)
        for index, client in enumerate(clients):
            reply = await client.receive()
            assert (reply.data, reply.stream, reply.ppid) == (b"%d" % index, 2, index)
        # The handlers go on after the listener is closed.
        await listener.close()
        await clients[0].send(b"still served")
        assert (await clients[0].receive()).data == b"still served"
        assert not server.done()
        await asyncio.gather(*(client.close() for client in clients))
        async with asyncio.timeout(20 * PATIENCE):
            await server


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


async def test_cancelled_accepts_lose_no_association() -> None:
    async with served(0) as (listener, _, _):
        chance = random.Random(1)
        for _ in range(30):
            task = asyncio.create_task(listener.accept())
            await asyncio.sleep(0)
            client = await connect(listener.local_addresses)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
            server = results[0] if isinstance(results[0], Conn) else await listener.accept()
            assert server.peer_addresses.port == client.local_addresses.port
            await client.abort()
            await server.abort()


async def test_a_waiting_accept_takes_the_turn_of_a_cancelled_one() -> None:
    async with served(0) as (listener, _, _):
        first, second = (asyncio.create_task(listener.accept()) for _ in range(2))
        many = carrier(listener)
        await until(lambda: len(many._accepting) == 2)
        many._accepting.wake()
        first.cancel()
        client = await connect(listener.local_addresses)
        async with asyncio.timeout(10 * PATIENCE):
            server = await second
        await client.abort()
        await server.abort()


async def test_an_association_that_ended_before_accept_gives_its_messages() -> None:
    async with served(0) as (listener, _, _):
        async with connect(listener.local_addresses) as client:
            await client.send(b"early", stream=2)
        aborted = await connect(listener.local_addresses)
        await aborted.send(b"early too")
        await aborted.abort()
        await until(lambda: not associations())
        async with await listener.accept() as server:
            assert [message.data async for message in server] == [b"early"]
            await server.wait_closed()
            await ended(server, EndOfAssociation)
        server = await listener.accept()
        assert (await server.receive()).data == b"early too"
        await ended(server, AssociationAbortedError)


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


# Closing the listener


async def test_closing_the_listener_ends_who_waits_and_leaves_what_was_accepted() -> None:
    before = descriptor_count()
    async with served(2) as (listener, clients, servers):
        accepts = [asyncio.create_task(listener.accept()) for _ in range(3)]
        events = asyncio.create_task(_all(listener.events(AssociationChange)))
        await until(lambda: len(carrier(listener)._accepting) == 3)
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


async def _all(events: Any) -> list[Any]:
    return [event async for event in events]


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
        deafen(servers[0])
        late = await connect(listener.local_addresses)
        await late.send(b"early data")
        await listener.close()
        deafen(servers[0], False)
        with pytest.raises(AssociationAbortedError) as caught:
            await late.receive()
        assert caught.value.cause == b"not accepted"
        await talks((clients[0], servers[0]))


@pytest.mark.kernel_only("with usrsctp a one-to-many socket has its port until its last association ends")
async def test_a_server_that_restarts_gets_its_port_back() -> None:
    probe = await listen("127.0.0.1:0", mode=MANY)
    port = probe.port
    await probe.close()
    first = await listen(("127.0.0.1", port), mode=MANY)
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
    with pytest.raises(ConnectionRefusedError):
        await connect(server.local_addresses)
    await server.abort()
    assert descriptor_count() == before - PER_SOCKET
    await client.abort()
    listener = await listen("127.0.0.1:0", mode=MANY)
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Listener open"):
        del listener
        gc.collect()
    assert descriptor_count() == before - PER_SOCKET
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
    assert descriptor_count() == before - PER_SOCKET
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


# Messages


async def test_each_association_gets_its_own_messages_in_order() -> None:
    async with served(4) as (_, clients, servers):
        for turn in range(20):
            for number, client in enumerate(clients):
                await client.send(b"%d %d" % (number, turn), stream=number, ppid=turn, unordered=False)
        for number, server in enumerate(servers):
            for turn in range(20):
                message = await server.receive()
                assert message.data == b"%d %d" % (number, turn)
                assert (message.stream, message.ppid) == (number, turn)
                assert message.association_id == server.association_id
                assert message.source == clients[number].local_addresses
        for number, server in enumerate(servers):
            await server.send_many([b"a %d" % number, Message(b"b", stream=7, ppid=60)], stream=1)
        for number, client in enumerate(clients):
            first, second = await client.receive(), await client.receive()
            assert (first.data, first.stream) == (b"a %d" % number, 1)
            assert (second.data, second.stream, second.ppid) == (b"b", 7, 60)


async def test_receive_many_async_for_and_streams_are_those_of_one_association() -> None:
    async with served(3) as (listener, clients, servers):
        claimed = servers[0].stream(1, ppid=9)
        waiting = asyncio.create_task(claimed.receive())
        await asyncio.sleep(0)
        for number, client in enumerate(clients):
            await client.send_many([b"zero %d" % number] * 3, stream=0)
            await client.send_many([b"one %d" % number] * 3, stream=1)
        await until(lambda: sum(server.statistics().messages_received for server in servers) == 18)
        assert (await waiting).data == b"one 0"
        assert listener.statistics().unread_messages == 17
        # The claim of the first is none of the others.
        assert [message.data for message in await servers[0].receive_many()] == [b"zero 0"] * 3
        assert len(await servers[1].receive_many()) == 6
        assert len(await servers[2].receive_many(4)) == 4
        assert [(await claimed.receive()).data for _ in range(2)] == [b"one 0"] * 2
        await claimed.send(b"answer")
        answer = await clients[0].receive()
        assert (answer.stream, answer.ppid) == (1, 9)
        await clients[2].close()
        assert [message.data async for message in servers[2]] == [b"one 2"] * 2


async def test_statistics_count_each_association_and_all_together() -> None:
    async with served(2) as (listener, clients, servers):
        await clients[0].send_many([b"12345"] * 4)
        await servers[1].send(b"123")
        await until(lambda: servers[0].statistics().messages_received == 4)
        first, second = (server.statistics() for server in servers)
        assert (first.messages_received, first.bytes_received, first.messages_sent) == (4, 20, 0)
        assert (first.unread_messages, first.unread_bytes) == (4, 20)
        assert (second.messages_sent, second.bytes_sent, second.unread_messages) == (1, 3, 0)
        assert not first.reading_paused
        both = listener.statistics()
        assert (both.associations, both.unread_messages, both.unread_bytes) == (2, 4, 20)
        assert (both.reading_paused, both.paused_by, both.waiting_senders) == (False, (), 0)
        assert both.wakeups == first.wakeups == second.wakeups
        assert (await clients[1].receive()).data == b"123"


async def test_flush_waits_for_the_acknowledgement_of_its_own_association() -> None:
    async with served(2) as (_, clients, servers):
        deafen(clients[0])
        # More than the window of a peer that does not read.
        await servers[0].send_many([bytes(20_000)] * 4)
        task = await fill(servers[0], 20_000)
        stuck = asyncio.create_task(servers[0].flush())
        await servers[1].send(b"x")
        async with asyncio.timeout(10 * PATIENCE):
            await servers[1].flush()
        assert servers[1].status().unacknowledged == 0
        assert not stuck.done()
        await stop(task)
        reader = asyncio.create_task(_drain(clients[0]))
        deafen(clients[0], False)
        async with asyncio.timeout(30 * PATIENCE):
            await stuck
        assert servers[0].status().unacknowledged == 0
        await stop(reader)


async def _drain(conn: Conn) -> None:
    async for _ in conn:
        pass


async def test_options_of_one_association_leave_the_others_alone() -> None:
    async with served(3) as (listener, _, servers):
        before = [server.get_option(RtoInfo) for server in servers]
        servers[1].set_option(RtoInfo(initial=0.7, minimum=0.2, maximum=9.0))
        servers[1].set_option(PeerAddressParameters(heartbeat_interval=7.0))
        after = [server.get_option(RtoInfo) for server in servers]
        assert (after[0], after[2]) == (before[0], before[2])
        assert (after[1].initial, after[1].maximum) == (0.7, 9.0)
        path = path_of(servers[1])
        changed = servers[1].get_option(PeerAddressParameters, path=path)
        other = servers[0].get_option(PeerAddressParameters, path=path_of(servers[0]))
        assert changed.heartbeat_interval == 7.0 != other.heartbeat_interval
        # The listener's own are for those that come.
        assert listener.get_option(RtoInfo) == before[0]
        assert listener.get_option(RtoInfo, association=servers[1].association_id) == after[1]
        listener.set_option(RtoInfo(initial=0.4, minimum=0.2))
        assert [server.get_option(RtoInfo) for server in servers] == after
        async with connect(listener.local_addresses) as client, await listener.accept() as server:
            assert server.get_option(RtoInfo).initial == 0.4
            listener.set_option(RtoInfo(initial=0.8, minimum=0.2), association=server.association_id)
            assert server.get_option(RtoInfo).initial == 0.8
            assert listener.get_option(RtoInfo).initial == 0.4
            await client.close()
        with pytest.raises(AssociationError):
            listener.get_option(RtoInfo, association=server.association_id)


async def test_every_way_of_sending_goes_to_its_own_association() -> None:
    async with listen("127.0.0.1:0", mode=MANY) as listener:
        clients = [await connect(listener.local_addresses, local="127.0.0.2/127.0.0.3:0") for _ in range(2)]
        servers = [await listener.accept() for _ in range(2)]
        ways: list[dict[str, Any]] = [
            {"lifetime": 5.0},
            {"max_retransmissions": 3},
            {"unordered": True},
            {"context": 5, "sack_immediately": True},
            *([{"auth_key": 0}, {"priority": 7}] if STACK == "kernel" else []),
            *({"path": host, "stream": 2} for host in ("127.0.0.2", "127.0.0.3")),
            {"path": Address("127.0.0.3", clients[1].local_addresses.port), "lifetime": 1.0},
        ]
        for number, way in enumerate(ways):
            await servers[1].send(b"%d" % number, ppid=number, **way)
        for number, way in enumerate(ways):
            message = await clients[1].receive()
            assert (message.data, message.ppid) == (b"%d" % number, number)
            assert (message.stream, message.unordered) == (way.get("stream", 0), "unordered" in way)
        await talks(*zip(clients, servers, strict=True))
        for conn in (*clients, *servers):
            await conn.abort()
    await until(lambda: not associations())


async def test_a_path_that_is_not_the_peers_is_refused_and_nobody_gets_the_message() -> None:
    async with served(2) as (listener, clients, servers), listen("127.0.0.4:0", mode=MANY) as stranger:
        for path in (clients[1].local_addresses, stranger.local_addresses, "127.0.0.4"):
            with pytest.raises((OSError, ValueError)):
                await servers[0].send(b"astray", path=path)
        await talks(*zip(clients, servers, strict=True))
        # Nor has an association been begun for it.
        assert listener.statistics().associations == 2
        assert stranger.statistics().associations == 0
        assert len(carrier(listener).members) == 2
        assert len(associations()) == 4


async def test_a_path_that_is_another_associations_is_refused() -> None:
    async with served(2) as (_, clients, servers):
        with pytest.raises(OSError, match="SCTP_GET_PEER_ADDR_INFO"):
            servers[0].path(clients[1].local_addresses)
        await talks((clients[0], servers[0]))


@pytest.mark.parametrize("mode", list(Mode), ids=[mode.value for mode in Mode])
async def test_large_messages_of_many_associations_interleave_both_ways(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one-to-one clients and with one-to-many ones; the windows are smaller than the messages."""
    count, streams = 20, 3
    # The window of a default receive buffer is smaller than most of the large messages. It is not set here:
    # where it is, the kernel drops what exceeds it, and associations that share it can block each other for
    # good, each with parts of a message whose missing part finds no room.
    options = [
        SendBuffer(400 * KIB),
        # What is dropped all the same is to come again soon, and however often it takes.
        RtoInfo(initial=0.05, maximum=0.1, minimum=0.02),
        AssocInfo(max_retransmissions=200),
        PeerAddressParameters(path_max_retransmissions=200),
    ]
    small = ReceiveBuffer(100 * KIB)
    partly: list[int] = []
    feed = Association.feed

    def counting(self: Association, message: Message) -> None:
        feed(self, message)
        partly.append(sum(server._association.has_partial for server in servers))

    monkeypatch.setattr(Association, "feed", counting)
    servers: list[Conn] = []
    clients: list[Conn] = []
    async with listen("127.0.0.1:0", mode=MANY, options=options) as listener:
        for _ in range(count):
            if mode is MANY:
                async with listen("127.0.0.1:0", mode=MANY, options=[*options, small]) as own:
                    clients.append(await own.connect(listener.local_addresses))
            else:
                clients.append(await connect(listener.local_addresses, options=[*options, small]))
            servers.append(await listener.accept())
        chance = random.Random(3)
        noise = chance.randbytes(1_000_000)

        async def send(conn: Conn, messages: list[tuple[int, bytes]]) -> None:
            for stream, data in messages:
                await conn.send(data, stream=stream)
            await conn.send(b"end", stream=streams)

        async def receive(conn: Conn, digests: list[Any]) -> None:
            """The end may overtake other streams, hence each stream of its own."""
            while digests[streams] != b"end" or digests[streams + 1]:
                message = await conn.receive()
                if message.stream == streams:
                    digests[streams] = message.data
                else:
                    digests[message.stream].update(b"%d:" % len(message.data) + message.data)
                    digests[streams + 1] -= 1

        tasks, sent, received = [], [], []
        for sender, receiver in (*zip(clients, servers, strict=True), *zip(servers, clients, strict=True)):
            sizes = [1, chance.randrange(150_000, 400_000), *(chance.randrange(1, 3_000) for _ in range(6))]
            chance.shuffle(sizes)
            messages = []
            expected = [hashlib.sha256() for _ in range(streams)]
            for size in sizes:
                stream, place = chance.randrange(streams), chance.randrange(len(noise) - size)
                messages.append((stream, noise[place : place + size]))
                expected[stream].update(b"%d:" % size + messages[-1][1])
            sent.append([digest.digest() for digest in expected])
            digests: list[Any] = [*(hashlib.sha256() for _ in range(streams)), b"", len(messages)]
            received.append(digests)
            tasks.append(asyncio.create_task(send(sender, messages)))
            tasks.append(asyncio.create_task(receive(receiver, digests)))
        async with asyncio.timeout(50 * PATIENCE):
            await asyncio.gather(*tasks)
        assert [[digest.digest() for digest in digests[:streams]] for digests in received] == sent
        # How many associations had a part of a message, and not yet the rest: else this shows little.
        assert max(partly) >= 3
        for conn in (*servers, *clients):
            await conn.abort()
    await until(lambda: not associations())


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


async def test_both_sides_close_at_once() -> None:
    async with served(2) as (_, clients, servers):
        async with asyncio.timeout(20 * PATIENCE):
            await asyncio.gather(clients[0].close(), servers[0].close())
        await ended(servers[0], ClosedError)
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
        traffic = [asyncio.create_task(_exchange(*pair)) for pair in zip(clients, servers, strict=True)]
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


async def _exchange(client: Conn, server: Conn) -> None:
    for number in range(100):
        await client.send(b"%d" % number)
        assert (await server.receive()).data == b"%d" % number
        await server.send(b"%d" % number)
        assert (await client.receive()).data == b"%d" % number


@pytest.mark.parametrize("how", ["peer aborts", "peer closes", "close", "abort"])
async def test_tasks_that_wait_end_with_their_association(how: str) -> None:
    kinds: dict[str, type[Exception]] = {
        "peer aborts": AssociationAbortedError,
        "peer closes": EndOfAssociation,
    }
    kind = kinds.get(how, ClosedError)
    async with served(2) as (listener, clients, servers):
        client, server = clients[0], servers[0]
        if how != "peer closes":
            # Its close would wait for us to have nothing under way.
            deafen(client)
        sender = await fill(server) if how != "peer closes" else None
        calls = [call for name, call in WAITING.items() if sender or not name.startswith(("send", "flush"))]
        waiting = [asyncio.create_task(call(server)) for call in calls]
        events = asyncio.create_task(_all(server.events(AssociationChange)))
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
            reader = asyncio.create_task(_drain(client))
            deafen(client, False)
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
    async with served(2) as (_, clients, servers):
        deafen(clients[0])
        await stop(await fill(servers[0]))
        closing = asyncio.create_task(servers[0].close())
        await until(lambda: servers[0]._association.end is not None)
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await ended(servers[0], ClosedError)
        deafen(clients[0], False)
        with pytest.raises(AssociationAbortedError):
            await _drain(clients[0])
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
    async with served(1) as (_, clients, servers):
        deafen(clients[0])
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


# Associations that the listener begins


async def test_connect_from_the_listening_port() -> None:
    async with listen("127.0.0.1:0", mode=MANY) as one, listen("127.0.0.1:0", mode=MANY) as other:
        ours = await one.connect(other.local_addresses)
        theirs = await other.accept()
        assert ours.local_addresses == theirs.peer_addresses == one.local_addresses
        assert ours.peer_addresses == theirs.local_addresses == other.local_addresses
        assert ours.fileno() == one.fileno()
        assert ours.outbound_streams == theirs.inbound_streams > 0
        async with connect(one.local_addresses) as client, await one.accept() as server:
            await talks((ours, theirs), (client, server))
            assert one.statistics().associations == 2
            await client.close()
        await ours.close()
        await theirs.wait_closed()
        await ended(theirs, EndOfAssociation)
        # The same two again: nothing is left of the first time.
        for address in (str(other.local_addresses), ("localhost", other.port)):
            async with await one.connect(address) as ours, await other.accept() as theirs:
                await talks((ours, theirs))
                await theirs.close()
    await until(lambda: not associations())


async def test_both_listeners_connect_at_once() -> None:
    """INITs that cross make one association (RFC 9260 5.2.1), and neither side accepts it beside."""
    async with listen("127.0.0.1:0", mode=MANY) as one, listen("127.0.0.1:0", mode=MANY) as other:
        results = await asyncio.gather(
            one.connect(other.local_addresses), other.connect(one.local_addresses), return_exceptions=True
        )
        conns = [result for result in results if isinstance(result, Conn)]
        for result in results:
            # On one host the first INIT may be answered before the second call is made.
            assert isinstance(result, Conn) or (isinstance(result, OSError) and result.errno == errno.EISCONN)
        assert conns
        await until(lambda: one.statistics().associations == other.statistics().associations == 1)
        unaccepted = one.statistics().unaccepted + other.statistics().unaccepted
        assert len(conns) + unaccepted == 2
        conns += [await (one if one.statistics().unaccepted else other).accept() for _ in range(unaccepted)]
        await talks((conns[0], conns[1]))
        for conn in conns:
            await conn.abort()
    await until(lambda: not associations())


async def test_a_refused_connect() -> None:
    async with served(1) as (listener, clients, servers):
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError) as caught:
                await listener.connect("127.0.0.1:1")
            assert not isinstance(caught.value, AssociationError)
        assert len(carrier(listener).members) == 1
        await talks((clients[0], servers[0]))


@pytest.mark.kernel_only("it takes a network of its own: a device")
async def test_a_connect_that_nobody_answers_times_out() -> None:
    with dead_end() as nowhere:
        init = InitMsg(max_attempts=1, max_init_timeout=0.3)
        async with listen(("10.78.0.1", 0), mode=MANY, init=init, options=[QUICK]) as listener:
            async with connect(listener.local_addresses) as client, await listener.accept() as server:
                connecting = asyncio.create_task(listener.connect((nowhere.address, 5000)))
                await until(lambda: len(carrier(listener).members) == 2)
                # It is no association yet, and there is one attempt for a peer at a time.
                assert listener.statistics().associations == 1
                with pytest.raises(OSError, match="connect") as again:
                    await listener.connect((nowhere.address, 5000))
                assert again.value.errno == errno.EALREADY
                await talks((client, server))
                async with asyncio.timeout(20 * PATIENCE):
                    with pytest.raises(TimeoutError) as caught:
                        await connecting
                assert caught.value.errno == errno.ETIMEDOUT
                await talks((client, server))
                await client.close()
        await until(lambda: not associations())


async def test_connecting_again_to_the_same_peer_is_refused_and_leaves_the_association() -> None:
    async with listen("127.0.0.1:0", mode=MANY) as one, listen("127.0.0.1:0", mode=MANY) as other:
        ours = await one.connect(other.local_addresses)
        theirs = await other.accept()
        for listener, peer in ((one, other), (other, one)):
            with pytest.raises(OSError, match="connect") as caught:
                await listener.connect(peer.local_addresses)
            assert caught.value.errno == errno.EISCONN
        await talks((ours, theirs))
        await ours.abort()
        await theirs.abort()
    await until(lambda: not associations())


@pytest.mark.kernel_only("it takes a network of its own: a device")
async def test_a_cancelled_connect_stops_the_inits() -> None:
    with dead_end() as nowhere:
        async with listen(("10.78.0.1", 0), mode=MANY) as listener:
            for turns in (0, 1, 2, 5):
                task = asyncio.create_task(listener.connect((nowhere.address, 5000)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if turns == 5:
                    await until(lambda: bool(associations()))
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda: not associations())
                await until(lambda: not carrier(listener).members)
            # What it takes from the caller who has no more time.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await listener.connect((nowhere.address, 5000))
            await until(lambda: not associations())


async def test_a_connect_cancelled_at_any_turn_leaves_no_association_without_an_owner() -> None:
    async with listen("127.0.0.1:0", mode=MANY) as one, listen("127.0.0.1:0", mode=MANY) as other:
        for turns in range(12):
            task = asyncio.create_task(one.connect(other.local_addresses))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await (await task).abort()
            await until(lambda: not associations(), seconds=5)
            await until(lambda: not carrier(one).members)
            while other.statistics().unaccepted:
                async with asyncio.timeout(5 * PATIENCE):
                    await (await other.accept()).wait_closed()


async def test_addresses_that_connect_does_not_take() -> None:
    async with served(1) as (listener, clients, servers):
        for address in ("0.0.0.0/127.0.0.1:5000", "127.0.0.1/[::]:5000", "127.0.0.1//127.0.0.2:5000", "x"):
            with pytest.raises(ValueError, match="accepted"):
                await listener.connect(address)
            with pytest.raises(ValueError, match="accepted"):
                listen(address, mode=MANY)
        with pytest.raises((ValueError, OSError)):
            await listener.connect(":5000")
        assert len(carrier(listener).members) == 1
        await talks((clients[0], servers[0]))


async def test_more_addresses_than_sixteen() -> None:
    hosts = [f"127.0.3.{number}" for number in range(1, 25)]
    async with (
        listen(Address(hosts, 0), mode=MANY) as one,
        listen(Address([host.replace("127.0.3", "127.0.4") for host in hosts], 0), mode=MANY) as other,
    ):
        assert len(one.local_addresses.hosts) == 24
        ours = await one.connect(other.local_addresses)
        theirs = await other.accept()
        assert set(ours.peer_addresses.hosts) == set(other.local_addresses.hosts)
        assert set(theirs.peer_addresses.hosts) == set(one.local_addresses.hosts)
        assert set(ours.local_addresses.hosts) == set(one.local_addresses.hosts)
        await talks((ours, theirs))
        await ours.abort()
        await theirs.abort()
    await until(lambda: not associations())


async def test_what_is_for_one_to_many_says_so_elsewhere() -> None:
    async with listen("127.0.0.1:0") as listener:
        for call in (lambda: listener.connect("127.0.0.1:1"), lambda: listener.broadcast(b"x")):
            with pytest.raises(RuntimeError, match="mode"):
                await call()
        with pytest.raises(RuntimeError, match="mode"):
            listener.statistics()
    async with served(1) as (_, _, servers):
        with pytest.raises(RuntimeError, match="peel it off"):
            servers[0].detach()


# One message to all


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
        deafen(clients[1])
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
        deafen(clients[1], False)
        async with asyncio.timeout(30 * PATIENCE):
            assert len((await broadcast).reached) == 4
            received = []
            while b"at last" not in received:
                received.append((await clients[1].receive()).data)
        # What failed was not sent.
        assert bytes(1_000) not in received


async def test_a_cancelled_broadcast_leaves_no_sender_behind() -> None:
    async with served(3) as (listener, clients, servers):
        deafen(clients[0])
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
        deafen(clients[0])
        sender = await fill(servers[0])
        broadcast = asyncio.create_task(listener.broadcast(b"x", timeout=None))
        await until(lambda: servers[0].statistics().waiting_senders == 2)
        await clients[0].abort()
        async with asyncio.timeout(20 * PATIENCE):
            result = await broadcast
        assert result.reached == (servers[1].association_id,)
        assert isinstance(result.failed[servers[0].association_id], AssociationAbortedError)
        await asyncio.gather(sender, return_exceptions=True)


# Slow readers


async def test_a_slow_reader_pauses_all_and_memory_stays_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_module, "LONG_PAUSE", 0.2)
    limit = 64 * KIB
    async with served(3, listen_with={"receive_buffer": limit}) as (listener, clients, servers):
        flood = await fill(clients[0])
        await until(lambda: listener.statistics().reading_paused)
        statistics = listener.statistics()
        assert statistics.paused_by == (servers[0].association_id,)
        assert statistics.pauses >= 1
        assert all(server.statistics().reading_paused for server in servers)
        assert limit <= statistics.unread_bytes + 256 * statistics.unread_messages <= limit + ARENA
        # What it says in the log names it.
        await until(lambda: bool(caplog.records))
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert str(servers[0].association_id) in record.message
        assert "all 3 associations" in record.message
        # The others' messages wait, and nobody is woken.
        await clients[1].send(b"held up")
        receiver = asyncio.create_task(servers[1].receive())
        await settled(lambda: listener.statistics().wakeups)
        before = listener.statistics()
        await asyncio.sleep(0.5)
        assert listener.statistics() == before
        assert not receiver.done()
        # They can send all the same.
        await servers[2].send(b"out")
        assert (await clients[2].receive()).data == b"out"
        reader = asyncio.create_task(_drain(servers[0]))
        async with asyncio.timeout(20 * PATIENCE):
            assert (await receiver).data == b"held up"
        await until(lambda: clients[0].statistics().messages_sent > 100)
        assert listener.statistics().pauses > 1 or not listener.statistics().reading_paused
        await stop(flood, reader)
        assert len(caplog.records) == 1


@pytest.mark.parametrize("how", ["close", "abort", "forget"])
async def test_ending_the_slow_association_lets_the_others_go_on(how: str) -> None:
    async with served(2, listen_with={"receive_buffer": 64 * KIB}) as (listener, clients, servers):
        client = await connect(listener.local_addresses)
        slow = await listener.accept()
        flood = asyncio.create_task(client.send_many([bytes(10_000)] * 100))
        await until(lambda: listener.statistics().paused_by == (slow.association_id,))
        receiver = asyncio.create_task(servers[0].receive())
        await clients[0].send(b"held up")
        closing = None
        match how:
            case "close":
                closing = asyncio.create_task(slow.close())
            case "abort":
                await slow.abort(b"too slow")
            case "forget":
                with pytest.warns(ResourceWarning):
                    del slow
                    gc.collect()
        async with asyncio.timeout(20 * PATIENCE):
            assert (await receiver).data == b"held up"
            if closing is not None:
                await closing
        with pytest.raises((AssociationAbortedError, EndOfAssociation)):
            await flood
        assert not listener.statistics().reading_paused
        await talks(*zip(clients, servers, strict=True))
        await client.wait_closed()


async def test_a_listener_that_is_paused_goes_on_when_the_last_full_association_is_read() -> None:
    async with served(3, listen_with={"receive_buffer": 32 * KIB}) as (listener, clients, servers):
        floods = [asyncio.create_task(client.send_many([bytes(8_000)] * 40)) for client in clients[:2]]
        await until(lambda: listener.statistics().reading_paused)
        await clients[2].send(b"last")
        counts = [0, 0]
        while sum(counts) < 80:
            # One after another: whoever is full now.
            for number in (0, 1):
                if servers[number].statistics().unread_messages:
                    counts[number] += len(await servers[number].receive_many())
            await asyncio.sleep(0)
        assert counts == [40, 40]
        await asyncio.gather(*floods)
        assert (await servers[2].receive()).data == b"last"
        statistics = listener.statistics()
        assert (statistics.reading_paused, statistics.paused_by, statistics.unread_messages) == (False, (), 0)


async def test_a_message_larger_than_the_buffer_pauses_and_is_read() -> None:
    buffers = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with served(
        2,
        listen_with={"receive_buffer": 10 * KIB, "options": buffers},
        connect_with={"options": buffers},
    ) as (listener, clients, servers):
        data = random.Random(2).randbytes(350_000)
        sender = asyncio.create_task(clients[0].send(data, stream=1, ppid=9))
        message = await servers[0].receive()
        assert (message.data, message.stream, message.ppid) == (data, 1, 9)
        await sender
        assert not listener.statistics().reading_paused
        await talks((clients[1], servers[1]))


async def test_flush_waits_for_the_pause_that_another_association_made() -> None:
    async with served(2, listen_with={"receive_buffer": 32 * KIB}) as (listener, clients, servers):
        flood = asyncio.create_task(clients[0].send_many([bytes(8_000)] * 20))
        await until(lambda: listener.statistics().reading_paused)
        await servers[1].send(b"x")
        flushing = asyncio.create_task(servers[1].flush())
        await asyncio.sleep(0.05)
        assert not flushing.done()
        reader = asyncio.create_task(_drain(servers[0]))
        async with asyncio.timeout(20 * PATIENCE):
            await flushing
            await flood
        await stop(reader)


async def test_a_slow_reader_can_be_aborted_instead() -> None:
    listen_with = {"slow_reader": "abort", "receive_buffer": 64 * KIB}
    async with served(3, listen_with=listen_with) as (listener, clients, servers):
        talking = [
            asyncio.create_task(_exchange(*pair)) for pair in zip(clients[1:], servers[1:], strict=True)
        ]
        sent = [b"%d" % number + bytes(8_000) for number in range(100)]
        flood = asyncio.create_task(clients[0].send_many(sent))
        with pytest.raises(AssociationAbortedError) as caught:
            await flood
        assert caught.value.cause == b"slow reader"
        await servers[0].wait_closed()
        # What it had received stays readable, in order; then it says why.
        received = [message.data for message in await servers[0].receive_many()]
        assert len(received) * 8_000 >= 64 * KIB - 8_500
        assert received == sent[: len(received)]
        with pytest.raises(AssociationAbortedError) as caught:
            await servers[0].receive()
        assert caught.value.cause == b"slow reader"
        await ended(servers[0], AssociationAbortedError)
        async with asyncio.timeout(20 * PATIENCE):
            await asyncio.gather(*talking)
        assert not listener.statistics().reading_paused


async def test_who_reads_is_not_slow_however_much_comes_at_once() -> None:
    buffers = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with served(
        1,
        listen_with={"slow_reader": "abort", "receive_buffer": 10 * KIB, "options": buffers},
        connect_with={"options": buffers},
    ) as (_, clients, servers):
        received = 0

        async def read() -> None:
            nonlocal received
            async for message in servers[0]:
                received += len(message.data)

        reader = asyncio.create_task(read())
        await clients[0].send_many([bytes(1_000)] * 200)
        await clients[0].send(bytes(300_000))
        await clients[0].close()
        await reader
        assert received == 500_000


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"slow_reader": "drop"}, "slow_reader is 'drop'"),
        ({"slow_reader": None}, "slow_reader is None"),
        ({"slow_reader": "abort", "mode": Mode.ONE_TO_ONE}, "ONE_TO_MANY"),
        ({"backlog": 0}, "backlog is 0"),
        ({"backlog": True}, "backlog is True"),
        ({"backlog": 70_000}, "backlog is 70000"),
        ({"receive_buffer": 0}, "receive_buffer is 0"),
    ],
)
async def test_bad_settings_are_quoted(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        listen("127.0.0.1:0", **{"mode": MANY, **arguments})


# Events


async def test_events_are_those_of_one_association_and_of_all() -> None:
    async with listen("127.0.0.1:0", mode=MANY, events=[AssociationChange]) as listener:
        events = listener.events(AssociationChange, SenderDry)
        clients = [await connect(listener.local_addresses) for _ in range(2)]
        servers = [await listener.accept() for _ in range(2)]
        for server in servers:
            # Kept from the first moment.
            [up] = [await anext(server.events(AssociationChange))]
            assert isinstance(up, AssociationChange)
            assert (up.state, up.association_id) == (AssociationState.COMM_UP, server.association_id)
            assert (up.outbound_streams, up.inbound_streams) == (
                server.outbound_streams,
                server.inbound_streams,
            )
        mine = servers[0].events(AssociationChange, SenderDry)
        await servers[1].send(b"x")
        await servers[1].flush()
        await clients[1].close()
        await servers[1].wait_closed()
        await servers[0].send(b"x")
        await servers[0].flush()
        await servers[0].abort()
        seen = [event async for event in mine]
        assert {event.association_id for event in seen} == {servers[0].association_id}  # type: ignore[union-attr]
        assert SenderDry(servers[0].association_id) in seen
        changes: list[tuple[int, AssociationState]] = []
        while len(changes) < 4:
            event = await anext(events)
            if isinstance(event, AssociationChange):
                changes.append((event.association_id, event.state))
        first, second = (server.association_id for server in servers)
        assert changes == [
            (first, AssociationState.COMM_UP),
            (second, AssociationState.COMM_UP),
            (second, AssociationState.SHUTDOWN_COMP),
            (first, AssociationState.COMM_LOST),
        ]
        for client in clients:
            await client.abort()
    await until(lambda: not associations())


async def test_events_of_an_association_whose_end_nobody_has_read_are_given() -> None:
    async with served(2) as (_, clients, servers):
        # No turn of the loop between this and the call.
        abort_unread(clients[0], servers[0])
        events = servers[0].events(AssociationChange, SenderDry)
        async with asyncio.timeout(10 * PATIENCE):
            [lost] = [event async for event in events]
        assert isinstance(lost, AssociationChange)
        assert lost.state is AssociationState.COMM_LOST
        await talks((clients[1], servers[1]))


async def test_the_listeners_iterator_takes_the_events_of_associations_that_are_there_already() -> None:
    async with served(2) as (listener, clients, servers):
        async with listener.events(SenderDry) as events:
            seen: set[int] = set()
            for server in servers:
                await server.send(b"x")
            async with asyncio.timeout(10 * PATIENCE):
                while len(seen) < 2:
                    seen.add((await anext(events)).association_id)
            assert seen == {server.association_id for server in servers}
        # Once nobody iterates, the stack is not asked for them any more.
        await settled(lambda: listener.statistics().wakeups)
        before = listener.statistics().wakeups
        for client, server in zip(clients, servers, strict=True):
            await server.send(b"y")
            assert [(await client.receive()).data for _ in range(2)] == [b"x", b"y"]
        await asyncio.sleep(0.3)
        assert listener.statistics().wakeups == before


async def test_who_subscribes_for_one_association_does_not_for_the_others() -> None:
    async with served(2) as (listener, clients, servers):
        everything = listener.events(AssociationChange)
        async with servers[0].events(SenderDry) as mine:
            await anext(mine)
            seen = asyncio.create_task(anext(mine))
            await servers[1].send(b"x")
            await clients[1].receive()
            await asyncio.sleep(0.3)
            assert not seen.done()
            await servers[0].send(b"x")
            async with asyncio.timeout(10 * PATIENCE):
                assert await seen == SenderDry(servers[0].association_id)
        await everything.aclose()


# Promises


async def test_cancelled_receives_lose_and_duplicate_nothing() -> None:
    async with served(3) as (_, clients, servers):
        chance = random.Random(4)
        received: list[list[bytes]] = [[] for _ in servers]

        async def send(client: Conn) -> None:
            for number in range(150):
                await client.send(b"%d" % number)
                await asyncio.sleep(0)
            await client.close()

        async def receive(server: Conn, into: list[bytes]) -> None:
            while len(into) < 150:
                task = asyncio.create_task(server.receive())
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    into.append((await task).data)

        async with asyncio.timeout(40 * PATIENCE):
            await asyncio.gather(*map(send, clients), *map(receive, servers, received))
        assert received == [[b"%d" % number for number in range(150)]] * 3


async def test_a_send_that_was_cancelled_sent_nothing_and_one_that_returned_all() -> None:
    chance = random.Random(5)
    async with served(
        2, listen_with={"options": [SendBuffer(20_000)]}, connect_with={"receive_buffer": 10_000}
    ) as (_, clients, servers):
        sent: list[list[bytes]] = [[], []]
        received: list[list[bytes]] = [[], []]
        cancelled = 0

        async def receive(client: Conn, into: list[bytes]) -> None:
            async for message in client:
                into.append(message.data)
                await asyncio.sleep(0.001)

        async def send(server: Conn, into: list[bytes]) -> None:
            nonlocal cancelled
            for number in range(150):
                data = b"%05d" % number + bytes(chance.randrange(6_000))
                task = asyncio.create_task(server.send(data))
                for _ in range(chance.randrange(1, 3)):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    cancelled += 1
                else:
                    into.append(data)
            await server.close()

        async with asyncio.timeout(50 * PATIENCE):
            await asyncio.gather(*map(send, servers, sent), *map(receive, clients, received))
        assert received == sent
        assert cancelled > 10
        assert min(map(len, sent)) > 10


async def test_messages_of_one_task_keep_their_order_beside_other_tasks() -> None:
    async with served(2, listen_with={"options": [SendBuffer(30_000)]}) as (_, clients, servers):

        async def send(server: Conn, task: int) -> None:
            for number in range(60):
                await server.send(b"%d %d " % (task, number) + bytes(2_000), stream=task)

        tasks = [asyncio.create_task(send(server, task)) for server in servers for task in range(3)]
        for client in clients:
            seen: dict[int, list[int]] = {}
            for _ in range(180):
                task, number, _ = (await client.receive()).data.split(b" ", 2)
                seen.setdefault(int(task), []).append(int(number))
            assert seen == {task: list(range(60)) for task in range(3)}
        await asyncio.gather(*tasks)


async def test_nobody_is_woken_while_everything_waits() -> None:
    async with served(5) as (listener, clients, servers):
        await talks(*zip(clients, servers, strict=True))
        waiting: list[asyncio.Task[Any]]
        waiting = [asyncio.create_task(server.receive()) for server in servers]
        waiting.append(asyncio.create_task(servers[0].stream(1).receive()))
        waiting.append(asyncio.create_task(anext(listener.events())))
        waiting.append(asyncio.create_task(anext(servers[1].events(AssociationChange))))
        accepting = asyncio.create_task(listener.accept())
        await settled(lambda: listener.statistics().wakeups)
        before = listener.statistics().wakeups
        await asyncio.sleep(0.5)
        assert listener.statistics().wakeups == before
        await stop(*waiting, accepting)
        await talks(*zip(clients, servers, strict=True))


async def test_no_threads_and_no_background_tasks() -> None:
    async with served(3) as (listener, clients, servers):
        events = listener.events()
        await talks(*zip(clients, servers, strict=True))
        await listener.broadcast(b"x")
        assert threading.active_count() == 1
        assert len(asyncio.all_tasks()) == 1
        await events.aclose()
