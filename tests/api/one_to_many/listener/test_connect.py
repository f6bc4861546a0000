"""Associations that a one-to-many listener begins itself."""

import asyncio
import errno
from contextlib import suppress

import pytest

from api.one_to_many.listener.served import MANY, QUICK, carrier, ended, served, talks
from kernel.lab import dead_end
from sctpio import Address, AssociationError, Conn, EndOfAssociation, InitMsg, connect, listen
from support import PATIENCE, associations, until


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
    async with served(1) as (_, _, servers):
        with pytest.raises(RuntimeError, match="peel it off"):
            servers[0].detach()
