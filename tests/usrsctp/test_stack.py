"""What usrsctp does in a way of its own, and what it says of what it cannot do."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from sctpio import (
    AssociationIds,
    AssociationStatistics,
    DefaultPrInfo,
    EnableStreamReset,
    InitMsg,
    InterleavingSupported,
    Listener,
    Mode,
    Option,
    ReconfigurationError,
    ReusePort,
    RtoInfo,
    Scheduler,
    StreamChange,
    StreamScheduler,
    UdpEncapsulation,
    capabilities,
    connect,
    listen,
)
from sctpio.stacks.usrsctp import udp_ports
from support import connected, path_of

EVERYTHING = EnableStreamReset(reset_streams=True, reset_association=True, add_streams=True)


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
async def test_streams_are_added_and_reset(mode: Mode) -> None:
    settings = {"options": [EVERYTHING]}
    async with connected(listen_with={**settings, "mode": mode}, connect_with=settings) as pair:
        client, server, _ = pair
        async with asyncio.timeout(20):
            await client.add_streams(outbound=5)
            await client.add_streams(inbound=3)
            assert (client.outbound_streams, client.inbound_streams) == (15, 13)
            await client.send(b"on a new one", stream=14)
            assert (await server.receive()).stream == 14
            assert (server.outbound_streams, server.inbound_streams) == (13, 15)
            await client.send(b"0")
            assert (await server.receive()).ssn == 0
            await client.reset_streams(0)
            await client.send(b"0 again")
            assert (await server.receive()).ssn == 0
            with pytest.raises(OSError, match="cannot ask") as caught:
                await client.reset_association()
            assert caught.value.errno == errno.EOPNOTSUPP
            await client.send(b"after")
            assert (await server.receive()).data == b"after"


async def test_a_peer_that_denies_more_streams_is_an_error() -> None:
    async with connected(connect_with={"options": [EVERYTHING]}) as pair:
        async with asyncio.timeout(20):
            with pytest.raises(ReconfigurationError):
                await pair.client.add_streams(outbound=5)
        assert pair.client.outbound_streams == pair.server.inbound_streams == 10


async def test_what_it_cannot_do_is_said() -> None:
    async with connected() as pair:
        with pytest.raises(OSError, match="SCTP_AUTHINFO") as caught:
            await pair.client.send(b"x", auth_key=1)
        assert caught.value.errno == errno.EOPNOTSUPP
        with pytest.raises(OSError, match="priority") as caught:
            await pair.client.send(b"x", priority=1)
        assert caught.value.errno == errno.EOPNOTSUPP
        with pytest.raises(OSError, match="priority") as caught:
            pair.client.set_option(DefaultPrInfo(priority=1))
        assert caught.value.errno == errno.EOPNOTSUPP
        pair.client.set_option(StreamScheduler(Scheduler.ROUND_ROBIN))
        with pytest.raises(OSError, match="FCFS") as caught:
            await pair.client.send(b"x", path=path_of(pair.client))
        assert caught.value.errno == errno.EOPNOTSUPP
        for query in (AssociationStatistics,):
            with pytest.raises(OSError, match="no such option") as caught:
                pair.client.get_option(query)
            assert caught.value.errno == errno.ENOPROTOOPT
        with pytest.raises(OSError, match="SCTP_SS_VALUE") as caught:
            pair.client.stream(1).priority = 3
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="SCTP_INTERLEAVING_SUPPORTED") as caught:
            await listen("127.0.0.1:0", options=[InterleavingSupported()])
        assert caught.value.errno == errno.ENOPROTOOPT
        with pytest.raises(OSError, match="SO_REUSEPORT"):
            await listen("127.0.0.1:0", options=[ReusePort()])
        await pair.client.send(b"still there")
        assert (await pair.server.receive()).data == b"still there"


def test_it_tells_what_it_offers() -> None:
    offers = capabilities("usrsctp")
    assert (offers.stack, offers.sysctls) == ("usrsctp", {})
    assert offers.accelerated == (os.environ.get("SCTPIO_FAST") != "0")
    assert RtoInfo in offers.options
    assert AssociationStatistics not in offers.options
    assert "SCTP_GET_ASSOC_STATS" in offers.lacks
    assert StreamChange in offers.events
    assert Scheduler.FCFS in offers.schedulers
    assert Scheduler.WEIGHTED_FAIR not in offers.schedulers
    assert offers.udp_encapsulation.default
    for feature in (offers.authentication, offers.stream_reconfiguration, offers.partial_reliability):
        assert feature.possible, feature


@pytest.mark.parametrize("local", ["127.0.0.1:0", "[::1]:0", ":0"])
async def test_udp_is_the_way_of_both_families(local: str) -> None:
    async with connected(local) as pair:
        await pair.client.send(b"there")
        await pair.server.send((await pair.server.receive()).data + b" and back")
        assert (await pair.client.receive()).data == b"there and back"


async def test_a_peers_udp_port_is_an_option_of_the_socket() -> None:
    async with listen("127.0.0.1:0") as listener:
        assert udp_ports.settings.started
        ours = UdpEncapsulation(port=udp_ports.settings.started)
        async with connect(listener.local_addresses, options=[ours]) as client, await listener.accept():
            assert client.get_option(UdpEncapsulation, path=path_of(client)).port == ours.port
        # Nobody is there: nothing answers, and nothing refuses.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await _connect_to(listener, UdpEncapsulation(port=9))


async def _connect_to(listener: Listener, option: UdpEncapsulation) -> None:
    async with connect(listener.local_addresses, options=[option]):
        pass


async def test_priorities_begin_at_nothing() -> None:
    """usrsctp 0.9.5 leaves them what the memory was."""
    async with connected() as pair:
        pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
        assert {pair.client.stream(number).priority for number in range(10)} == {0}
        pair.client.stream(3).priority = 7
        pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
        assert pair.client.stream(3).priority == 7


@contextlib.contextmanager
def silence() -> Iterator[Option]:
    """Give the option for peers at a UDP port that takes packets and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield UdpEncapsulation(port=silent.getsockname()[1])


async def test_a_connect_of_a_listener_that_nobody_answers_times_out() -> None:
    init = InitMsg(max_attempts=1, max_init_timeout=0.3)
    with silence() as nobody:
        options = [RtoInfo(initial=0.1, minimum=0.05, maximum=0.3), nobody]
        async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, init=init, options=options) as listener:
            for _ in range(2):
                with pytest.raises(TimeoutError) as caught:
                    await listener.connect("127.0.0.1:5000")
                assert caught.value.errno == errno.ETIMEDOUT
                assert not listener._shared.members


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_a_cancelled_connect_of_a_listener_leaves_nothing(turns: int) -> None:
    with silence() as nobody:
        async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, options=[nobody]) as listener:
            task = asyncio.create_task(listener.connect("127.0.0.1:5000"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not listener._shared.members
            assert listener.get_option(AssociationIds).ids == ()
