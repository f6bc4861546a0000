"""Listener: taking associations, serving them, and what a bad argument says."""

import asyncio
import errno
import logging
import os
import random
import resource
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationState,
    ClosedError,
    Conn,
    DefaultPrInfo,
    EndOfAssociation,
    InitMsg,
    Listener,
    Mode,
    NoDelay,
    RtoInfo,
    SenderDry,
    SendFailed,
    connect,
    listen,
)
from sctpio._loop.acceptor import Acceptor
from support import (
    KIB,
    LOCAL,
    PATIENCE,
    SMALL,
    Style,
    descriptor_count,
    echo,
    read_again,
    stop_reading,
    until,
    within,
)

pytestmark = pytest.mark.both_loops


async def test_both_forms_of_opening() -> None:
    listener = await listen("127.0.0.1:0")
    assert isinstance(listener, Listener)
    assert listener.port == listener.local_addresses.port > 0
    assert listener.local_addresses == Address("127.0.0.1", listener.port)
    await listener.close()
    async with listen(("127.0.0.1", 0)) as again:
        assert again.fileno() >= 0
    assert again.fileno() == -1


@pytest.mark.both_modes
async def test_async_for_takes_associations_until_the_listener_is_closed() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        clients = [await connect(listener.local_addresses) for _ in range(3)]
        taken = []
        async for conn in listener:
            taken.append(conn)
            if len(taken) == 3:
                await listener.close()
        ports = {client.local_addresses.port for client in clients}
        assert {conn.peer_addresses.port for conn in taken} == ports
        for conn in (*clients, *taken):
            await conn.abort()


async def test_closing_ends_every_accept() -> None:
    listener = await listen("127.0.0.1:0")
    tasks = [asyncio.create_task(listener.accept()) for _ in range(3)]
    door = listener._door
    assert isinstance(door, Acceptor)
    await until(lambda: len(door._waiters) == 3)
    await listener.close()
    for task in tasks:
        with pytest.raises(ClosedError):
            await task
    with pytest.raises(ClosedError):
        await listener.accept()
    with pytest.raises(ClosedError):
        listener.get_option(NoDelay)
    await listener.close()


@pytest.mark.both_modes
async def test_cancelled_accepts_lose_no_association() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
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
    async with listen("127.0.0.1:0") as listener:
        first, second = (asyncio.create_task(listener.accept()) for _ in range(2))
        door = listener._door
        assert isinstance(door, Acceptor)
        await until(lambda: len(door._waiters) == 2)
        # Woken and cancelled before it ran: the turn must pass on.
        door.on_readable()
        first.cancel()
        client = await connect(listener.local_addresses)
        async with asyncio.timeout(10):
            server = await second
        await client.abort()
        await server.abort()


@pytest.mark.both_modes
async def test_serve_runs_a_handler_for_each_association() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
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


async def test_serve_logs_a_failing_handler_aborts_and_lives(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(conn: Conn) -> None:
        message = await conn.receive()
        if message.data == b"bad":
            raise LookupError("on purpose")
        await conn.send(b"fine")

    async with listen("127.0.0.1:0") as listener:
        server = asyncio.create_task(listener.serve(handler))
        async with connect(listener.local_addresses) as bad:
            await bad.send(b"bad")
            with pytest.raises(AssociationAbortedError):
                await bad.receive()
        async with connect(listener.local_addresses) as good:
            await good.send(b"good")
            assert (await good.receive()).data == b"fine"
            with pytest.raises(EndOfAssociation):
                await good.receive()
        assert not server.done()
        server.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server
    [record] = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert "handler of association" in record.message
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_serve_says_in_one_line_that_the_peer_aborted(caplog: pytest.LogCaptureFixture) -> None:
    async with listen("127.0.0.1:0") as listener:
        server = asyncio.create_task(listener.serve(echo))
        client = await connect(listener.local_addresses)
        await client.abort()
        await until(lambda: bool(caplog.records))
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert "aborted" in record.message


async def test_closing_lets_running_handlers_finish() -> None:
    async with listen("127.0.0.1:0") as listener:
        server = asyncio.create_task(listener.serve(echo))
        async with connect(listener.local_addresses) as client:
            await client.send(b"1")
            await client.receive()
            await listener.close()
            await client.send(b"2")
            assert (await client.receive()).data == b"2"
            assert not server.done()
        await server


async def test_out_of_descriptors_is_an_error_of_accept_and_serve_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listen("127.0.0.1:0") as listener:
        clients = [await connect(listener.local_addresses) for _ in range(2)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptor_count() - 1, hard))
            with pytest.raises(OSError, match="accept") as caught:
                await listener.accept()
            assert caught.value.errno == errno.EMFILE
            server = asyncio.create_task(listener.serve(echo))
            await until(lambda: any("no association can be taken" in r.message for r in caplog.records))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            await client.send(b"served after all")
            assert (await client.receive()).data == b"served after all"
            await client.close()
        await listener.close()
        await server


@pytest.mark.both_modes
async def test_an_association_that_ended_before_accept_gives_its_messages() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        async with connect(listener.local_addresses) as client:
            await client.send(b"early", stream=2)
        async with await listener.accept() as server:
            assert server.outbound_streams > 0
            assert [m.data async for m in server] == [b"early"]
            with pytest.raises(EndOfAssociation):
                await server.receive()
            with pytest.raises(EndOfAssociation):
                await server.send(b"x")

        client = await connect(listener.local_addresses)
        await client.send(b"early")
        await client.abort()
        server = await listener.accept()
        assert (await server.receive()).data == b"early"
        with pytest.raises(AssociationAbortedError):
            await server.receive()


async def test_options_of_the_listener_are_inherited() -> None:
    async with listen("127.0.0.1:0", options=[NoDelay(False)]) as listener:
        listener.set_option(RtoInfo(initial=0.4, minimum=0.2))
        assert listener.get_option(RtoInfo).initial == 0.4
        async with connect(listener.local_addresses) as client, await listener.accept() as server:
            assert server.get_option(RtoInfo).initial == 0.4
            assert server.get_option(NoDelay).enabled is False
            assert client.get_option(NoDelay).enabled is True
            await client.close()


async def test_events_kept_from_the_first_moment() -> None:
    async with listen("127.0.0.1:0", events=[AssociationChange]) as listener:
        client = await connect(listener.local_addresses, events=[AssociationChange])
        server = await listener.accept()
        for conn in (client, server):
            up = await anext(conn.events(AssociationChange))
            assert isinstance(up, AssociationChange)
            assert up.state is AssociationState.COMM_UP
            assert up.association_id == conn.association_id
            assert (up.outbound_streams, up.inbound_streams) == (conn.outbound_streams, conn.inbound_streams)
            # The second iterator begins now.
            later = conn.events(AssociationChange)
            await conn.abort()
            assert [event async for event in later] == []


async def test_the_listeners_events_are_those_of_its_associations() -> None:
    async with listen("127.0.0.1:0") as listener:
        events = listener.events(AssociationChange, SenderDry)
        identifiers = set()
        for _ in range(2):
            async with connect(listener.local_addresses) as client, await listener.accept() as server:
                identifiers.add(server.association_id)
                await server.send(b"x")
                await client.receive()
                await server.flush()
                await client.close()
                await server.wait_closed()
        seen: list[Any] = []
        while len([e for e in seen if isinstance(e, AssociationChange)]) < 4:
            seen.append(await anext(events))
        assert {event.association_id for event in seen} == identifiers
        states = [e.state for e in seen if isinstance(e, AssociationChange)]
        assert states == [AssociationState.COMM_UP, AssociationState.SHUTDOWN_COMP] * 2
        assert any(isinstance(event, SenderDry) for event in seen)
        await listener.close()
        assert [event async for event in events] == []


async def test_backlog_bounds_what_waits() -> None:
    async with listen("127.0.0.1:0", backlog=2) as listener:
        clients, refused = [], 0
        for _ in range(6):
            try:
                clients.append(await connect(listener.local_addresses))
            except ConnectionRefusedError:
                refused += 1
        assert (len(clients), refused) == (3, 3)
        for client in clients:
            await client.abort()


async def test_a_port_in_use_is_named() -> None:
    async with listen("127.0.0.1:0") as listener:
        with pytest.raises(OSError, match=f"127.0.0.1:{listener.port}") as caught:
            await listen(listener.local_addresses)
        assert caught.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError, match="10.99.99.99:0") as caught:
            await listen("10.99.99.99:0")
        assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_server_that_restarts_gets_its_port_back() -> None:
    first = await listen(("127.0.0.1", 0))
    port = first.port
    client = await connect(first.local_addresses)
    server = await first.accept()
    await first.close()
    async with listen(("127.0.0.1", port)) as again:
        assert again.port == port
        await client.send(b"the old association lives")
        assert (await server.receive()).data == b"the old association lives"
    await client.abort()
    await server.abort()


@pytest.mark.both_modes
async def test_each_listener_on_port_0_has_a_port_of_its_own() -> None:
    async with AsyncExitStack() as stack:
        ports = {(await stack.enter_async_context(listen(LOCAL, mode=Style.mode))).port for _ in range(200)}
        assert len(ports) == 200


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("", "''"),
        ("127.0.0.1", "port is missing"),
        ("127.0.0.1:x", "'x'"),
        ("127.0.0.1:99999", "99999"),
        ("127.0.0.1//127.0.0.2:80", "127.0.0.1//127.0.0.2:80"),
        ("127.0.0.1/:80", "127.0.0.1/:80"),
        ("::1:80", "::1:80"),
        ("999.1.1.1:80", "999.1.1.1:80"),
    ],
)
async def test_an_address_that_cannot_be_read_is_quoted(address: str, text: str) -> None:
    for opening in (listen, connect):
        with pytest.raises(ValueError, match="accepted") as caught:
            opening(address)
        assert text in str(caught.value)
    with pytest.raises(ValueError, match="accepted"):
        connect("127.0.0.1:80", local=address)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"receive_buffer": 0}, "receive_buffer is 0"),
        ({"max_message_size": -1}, "max_message_size is -1"),
        ({"stack": "tcp"}, "stack is 'tcp'"),
        ({"options": [5]}, "options has 5"),
        ({"events": [int]}, "int"),
        ({"init": 3}, "init is 3"),
        ({"mode": "many"}, "mode is 'many'"),
        ({"backlog": 0}, "backlog is 0"),
    ],
)
async def test_bad_settings_are_quoted_before_a_descriptor_exists(
    arguments: dict[str, object], text: str
) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises((ValueError, TypeError), match=text):
        listen("127.0.0.1:0", **arguments)  # type: ignore[arg-type]
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_stream_counts_of_init() -> None:
    async with listen("127.0.0.1:0", init=InitMsg(outbound_streams=40, inbound_streams=20)) as listener:
        assert listener.get_option(InitMsg).outbound_streams == 40
        init = InitMsg(outbound_streams=30, inbound_streams=50)
        async with connect(listener.local_addresses, init=init) as client:
            assert (client.outbound_streams, client.inbound_streams) == (20, 40)
            async with await listener.accept() as server:
                assert (server.outbound_streams, server.inbound_streams) == (40, 20)
                await client.close()


@pytest.mark.both_modes
async def test_an_echo_on_a_stream_that_the_server_does_not_have_aborts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The numbers of streams differ by direction: what a client can use, its server may not."""
    async with listen(LOCAL, mode=Style.mode, init=InitMsg(outbound_streams=2)) as listener:
        serving = asyncio.create_task(listener.serve(echo))
        async with connect(listener.local_addresses) as client:
            assert (client.outbound_streams, client.inbound_streams) == (10, 2)
            await client.send(b"answered", stream=1)
            assert (await within(client.receive())).data == b"answered"
            await client.send(b"not answered", stream=2)
            with pytest.raises(AssociationAbortedError):
                await within(client.receive())
        await listener.close()
        await serving
    assert "StreamOutOfRangeError" in caplog.text


async def test_the_mode_is_a_mode() -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_ONE) as listener:
        assert listener.port


@pytest.mark.both_modes
async def test_an_association_keeps_the_default_policy_with_which_it_began() -> None:
    """What is set on the listener before it is accepted is for those that come after it."""
    # The window is looked at again soon.
    quick = [RtoInfo(initial=0.2, maximum=0.3, minimum=0.1)]
    async with listen(LOCAL, mode=Style.mode, options=quick) as listener:
        async with connect(listener.local_addresses, **SMALL) as client:
            # Its begin is not read yet where associations share a socket, nor accepted where they do not.
            listener.set_option(DefaultPrInfo(lifetime=0.01))
            async with await listener.accept() as server:
                stop_reading(client)
                for number in range(20):
                    await server.send(bytes([number]) * KIB)
                # Long enough for a lifetime to end while the window is closed.
                await asyncio.sleep(0.2)
                read_again(client)
                received = [(await within(client.receive())).data[0] for _ in range(20)]
                assert received == list(range(20))
        async with connect(listener.local_addresses, **SMALL) as client:
            async with await listener.accept() as server:
                events = server.events(SendFailed)
                stop_reading(client)
                for number in range(20):
                    await server.send(bytes([number]) * KIB)
                assert isinstance(await within(anext(events)), SendFailed)
                read_again(client)
