"""The associations of an Endpoint: how they begin, and their options."""

import asyncio
import errno
from typing import Any

import pytest

from api.one_to_many.endpoint.joined import assert_from, joined
from sctpio import (
    Address,
    Conn,
    DelayedSack,
    Endpoint,
    InitMsg,
    Mode,
    NoDelay,
    RtoInfo,
    Scope,
    StreamOutOfRangeError,
    connect,
    listen,
    open_endpoint,
)
from support import LOCAL, STACK, associations, descriptor_count, until, within

# Associations


async def test_connect_gives_the_id_of_an_association() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        identifier = await within(endpoint.connect(f"127.0.0.1:{peer.port}"))
        assert endpoint.associations == (identifier,)
        assert endpoint.peer_addresses(identifier) == peer.local_addresses
        await endpoint.send(b"hello", to=identifier)
        message = await within(peer.receive())
        assert message.data == b"hello"
        assert peer.peer_addresses(message.association_id) == endpoint.local_addresses
        assert peer.associations == (message.association_id,)
        if STACK == "kernel":
            # An id is one of the whole host there, else of its socket.
            assert message.association_id != identifier


async def test_the_local_side_can_be_asked() -> None:
    async with open_endpoint(LOCAL) as endpoint:
        assert isinstance(endpoint, Endpoint)
        assert endpoint.port == endpoint.local_addresses.port > 0
        assert endpoint.local_addresses == Address("127.0.0.1", endpoint.port)
        assert endpoint.fileno() >= 0
        assert "Endpoint open 127.0.0.1" in repr(endpoint)
        with pytest.raises(OSError, match=str(endpoint.port)) as caught:
            await open_endpoint(endpoint.local_addresses)
        assert caught.value.errno == errno.EADDRINUSE
    assert endpoint.fileno() == -1
    assert "closed" in repr(endpoint)


async def test_a_second_connect_to_the_same_peer_is_refused() -> None:
    async with open_endpoint("127.0.0.1/127.0.0.2:0") as peer, open_endpoint(LOCAL) as endpoint:
        identifier = await within(endpoint.connect(("127.0.0.1", peer.port)))
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.2/127.0.0.1"):
            with pytest.raises(OSError, match=str(peer.port)) as caught:
                await within(endpoint.connect(f"{host}:{peer.port}"))
            assert caught.value.errno == errno.EISCONN
        # The other side has that association too.
        await until(lambda: bool(peer.associations))
        with pytest.raises(OSError, match=str(endpoint.port)) as caught:
            await within(peer.connect(endpoint.local_addresses))
        assert caught.value.errno == errno.EISCONN
        assert endpoint.associations == (identifier,)
        await endpoint.send(b"alive", to=identifier)
        assert (await within(peer.receive())).data == b"alive"


async def test_a_refused_connect_leaves_nothing_and_can_be_tried_again() -> None:
    async with open_endpoint(LOCAL, listening=False) as endpoint, open_endpoint(LOCAL) as peer:
        to = peer.local_addresses
        await peer.close()
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await within(endpoint.connect(to))
            assert endpoint.associations == ()
            assert not associations()
        async with open_endpoint(to) as again:
            identifier = await within(endpoint.connect(to))
            await endpoint.send(b"there", to=identifier)
            assert (await within(again.receive())).data == b"there"


async def test_a_connect_cancelled_at_any_turn_leaves_nothing() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        for turns in range(10):
            task = asyncio.create_task(endpoint.connect(peer.local_addresses))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(result, BaseException):
                assert endpoint.associations == (result,)
                await endpoint.abort(result)
            else:
                assert isinstance(result, asyncio.CancelledError)
            await until(lambda: not associations())
            assert endpoint.associations == ()


async def test_a_connect_of_a_listener_cancelled_at_any_turn_leaves_nothing() -> None:
    async with listen(LOCAL, mode=Mode.ONE_TO_MANY) as listener, open_endpoint(LOCAL) as peer:
        for turns in range(10):
            task = asyncio.create_task(listener.connect(peer.local_addresses))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, Conn):
                await result.abort()
            else:
                assert isinstance(result, asyncio.CancelledError)
            await until(lambda: not associations())
            assert listener.statistics().associations == 0


async def test_an_endpoint_that_does_not_listen_refuses_peers_and_reaches_them() -> None:
    async with open_endpoint(LOCAL, listening=False) as endpoint, open_endpoint(LOCAL) as peer:
        with pytest.raises(ConnectionRefusedError):
            await connect(endpoint.local_addresses)
        with pytest.raises(ConnectionRefusedError):
            await within(peer.send(b"x", to=endpoint.local_addresses))
        assert endpoint.associations == ()
        await endpoint.send(b"out", to=peer.local_addresses)
        message = await within(peer.receive())
        await peer.send(b"back", to=message.association_id)
        assert (await within(endpoint.receive())).data == b"back"


async def test_without_a_local_address_there_is_a_port_on_all_of_them() -> None:
    async with (
        open_endpoint() as endpoint,
        open_endpoint("127.0.0.2:0") as v4,
        open_endpoint("[::1]:0") as v6,
    ):
        assert endpoint.port > 0
        hosts = [str(host) for host in endpoint.local_addresses.hosts]
        assert {"127.0.0.1", "::1"} <= set(hosts)
        for peer, host in ((v4, "127.0.0.1"), (v6, "[::1]")):
            await endpoint.send(b"out", to=peer.local_addresses)
            assert (await within(peer.receive())).data == b"out"
            async with connect(f"{host}:{endpoint.port}") as client:
                await client.send(b"in")
                message = await within(endpoint.receive())
                assert message.data == b"in"
                assert_from(message, client)


async def test_bad_arguments_are_quoted_before_a_descriptor_exists() -> None:
    before = descriptor_count()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"local": "nonsense"}, "'nonsense'"),
        ({"local": "127.0.0.1//127.0.0.2:80"}, "127.0.0.1//127.0.0.2:80"),
        ({"local": "127.0.0.1/0.0.0.0:80"}, "wildcard"),
        ({"receive_buffer": 0}, "receive_buffer is 0"),
        ({"max_message_size": -1}, "max_message_size is -1"),
        ({"options": [5]}, "options has 5"),
        ({"events": [int]}, "int"),
        ({"init": 3}, "init is 3"),
        ({"stack": "tcp"}, "stack is 'tcp'"),
    ]
    for arguments, text in cases:
        with pytest.raises((ValueError, TypeError), match=text):
            open_endpoint(**arguments)
    with pytest.raises(OSError, match="10.99.99.99:0") as caught:
        await open_endpoint("10.99.99.99:0")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(OSError, match="SCTP_RTOINFO"):
        await open_endpoint(LOCAL, options=[RtoInfo(initial=1.0, minimum=5.0, maximum=2.0)])
    assert descriptor_count() == before


async def test_stream_counts_of_init() -> None:
    init = InitMsg(outbound_streams=40, inbound_streams=20)
    async with (
        open_endpoint(LOCAL, init=init) as endpoint,
        joined(endpoint, init=InitMsg(outbound_streams=30, inbound_streams=50)) as peer,
    ):
        assert (peer.conn.outbound_streams, peer.conn.inbound_streams) == (20, 40)
        await endpoint.send(b"the last", to=peer.id, stream=39)
        assert (await peer.conn.receive()).stream == 39
        with pytest.raises(StreamOutOfRangeError, match="40 streams"):
            await endpoint.send(b"x", to=peer.id, stream=40)


# Options


async def test_an_option_is_for_associations_to_come_unless_one_is_named() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        default = endpoint.get_option(RtoInfo).initial
        endpoint.set_option(RtoInfo(initial=0.4, minimum=0.2))
        assert endpoint.get_option(RtoInfo).initial == 0.4
        assert endpoint.get_option(RtoInfo, association=Scope.FUTURE).initial == 0.4
        for peer in (one, two):
            assert endpoint.get_option(RtoInfo, association=peer.id).initial == default
        endpoint.set_option(RtoInfo(initial=0.8, minimum=0.2), association=one.id)
        assert endpoint.get_option(RtoInfo, association=one.id).initial == 0.8
        assert endpoint.get_option(RtoInfo, association=two.id).initial == default
        assert endpoint.get_option(RtoInfo).initial == 0.4
        async with joined(endpoint) as three:
            assert endpoint.get_option(RtoInfo, association=three.id).initial == 0.4


DELAYS: list[DelayedSack] = [DelayedSack(delay=0.4, frequency=3), DelayedSack(delay=0.4)]


@pytest.mark.parametrize("value", DELAYS, ids=["all fields", "a field left out"])
@pytest.mark.parametrize("scope", list(Scope))
async def test_an_option_of_a_scope(scope: Scope, value: DelayedSack) -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        default = endpoint.get_option(DelayedSack)
        assert default.delay != 0.4
        expected = DelayedSack(0.4, value.frequency or default.frequency)
        endpoint.set_option(value, association=scope)
        now = default if scope is Scope.FUTURE else expected
        for peer in (one, two):
            assert endpoint.get_option(DelayedSack, association=peer.id) == now
        coming = default if scope is Scope.CURRENT else expected
        assert endpoint.get_option(DelayedSack) == coming
        async with joined(endpoint) as three:
            assert endpoint.get_option(DelayedSack, association=three.id) == coming


async def test_a_scope_that_an_option_does_not_take_is_said() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        before = endpoint.get_option(RtoInfo), endpoint.get_option(RtoInfo, association=peer.id)
        full = RtoInfo(initial=0.4, maximum=1.0, minimum=0.2)
        for scope in (Scope.CURRENT, Scope.ALL):
            for value in (full, RtoInfo(initial=0.4)):
                with pytest.raises(ValueError, match=rf"RtoInfo.*{scope.name}.*FUTURE"):
                    endpoint.set_option(value, association=scope)
            with pytest.raises(ValueError, match=scope.name):
                endpoint.get_option(RtoInfo, association=scope)
        assert (endpoint.get_option(RtoInfo), endpoint.get_option(RtoInfo, association=peer.id)) == before


async def test_options_of_the_constructor_are_what_associations_start_with() -> None:
    async with (
        open_endpoint(LOCAL, options=[NoDelay(False), RtoInfo(initial=0.4, minimum=0.2)]) as endpoint,
        open_endpoint(LOCAL) as peer,
    ):
        assert endpoint.get_option(NoDelay).enabled is False
        assert peer.get_option(NoDelay).enabled is True
        identifier = await within(endpoint.connect(peer.local_addresses))
        assert endpoint.get_option(RtoInfo, association=identifier).initial == 0.4
