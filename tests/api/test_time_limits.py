"""No wait for a peer is without end: limits of setting up and of shutting down, and what the errors say."""

import asyncio
import errno
import time
from dataclasses import replace
from typing import Any

import pytest

from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationLostError,
    Conn,
    EndOfAssociation,
    Mode,
    connect,
    connecting,
    listen,
    open_endpoint,
)
from sctpio.stacks.base import alive
from support import (
    LOCAL,
    PATIENCE,
    SMALL,
    STACK,
    associations,
    connected,
    descriptor_count,
    read_again,
    silent_peer,
    stop_reading,
    until,
    within,
)

# What an error names beside the stack.
BESIDE = "from port" if STACK == "usrsctp" else STACK


async def test_a_peer_that_does_not_answer_is_a_timeout_that_names_the_stack() -> None:
    before = descriptor_count()
    with silent_peer() as (remote, options):
        with pytest.raises(TimeoutError, match=r"within 0\.3 s") as caught:
            await within(connect(remote, options=options, timeout=0.3))
        assert caught.value.errno == errno.ETIMEDOUT
        assert remote in str(caught.value)
        assert STACK in str(caught.value)
        assert BESIDE in str(caught.value)
        if STACK == "usrsctp":
            assert "net.sctp.encap_port" in str(caught.value)
    assert descriptor_count() == before
    await until(lambda: not associations())


async def test_the_time_limit_is_there_from_listeners_and_endpoints_too() -> None:
    with silent_peer() as (remote, options):
        async with listen(":0", mode=Mode.ONE_TO_MANY, options=options) as listener:
            with pytest.raises(TimeoutError, match="within"):
                await within(listener.connect(remote, timeout=0.2))
            assert listener.statistics().associations == 0
        async with open_endpoint(options=options) as endpoint:
            with pytest.raises(TimeoutError, match="within"):
                await within(endpoint.connect(remote, timeout=0.2))
            assert endpoint.associations == ()


async def test_each_address_of_a_name_gets_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is reached although the first one is silent, on which the stack would try on."""
    async with listen("127.0.0.1:0") as listener:
        with silent_peer() as (remote, options):
            found = [Address.parse(remote), listener.local_addresses]
            attempts: list[float | None] = []

            async def resolve(_: object) -> list[Address]:
                return found

            async def attempt(remote: Address, timeout: float | None, **settings: Any) -> Conn:
                attempts.append(timeout)
                if remote == found[0]:
                    settings["settings"] = replace(settings["settings"], options=tuple(options))
                return await connect_to(remote, timeout, **settings)

            connect_to = connecting._connect_to
            monkeypatch.setattr(connecting, "resolve", resolve)
            monkeypatch.setattr(connecting, "_connect_to", attempt)
            async with connect("two.example:1", timeout=1.0) as client:
                assert client.peer_addresses.hosts == listener.local_addresses.hosts
            assert attempts[0] == pytest.approx(0.5, abs=0.1)
            assert attempts[1] is not None
            assert attempts[1] <= 0.5


async def test_a_refused_association_names_the_stack() -> None:
    with pytest.raises(ConnectionRefusedError, match=STACK):
        await within(connect("127.0.0.1:1"))
    async with listen(LOCAL) as listener:
        with pytest.raises(OSError, match=STACK) as caught:
            await listen(listener.local_addresses)
        assert caught.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError, match=STACK) as caught:
            await within(connect(listener.local_addresses, local="192.0.2.1:0"))
        assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("bad", [0, -1, "3", True, float("nan")])
async def test_a_time_limit_is_a_number_of_seconds(bad: float) -> None:
    with pytest.raises(ValueError, match="seconds above 0"):
        connect("127.0.0.1:1", timeout=bad)
    async with connected() as (client, _, listener):
        with pytest.raises(ValueError, match="seconds above 0"):
            await client.close(timeout=bad)
        with pytest.raises(ValueError, match="seconds above 0"):
            await listener.shutdown(timeout=bad)


@pytest.mark.both_modes
async def test_a_close_that_is_not_acknowledged_is_an_abort_at_the_end() -> None:
    async with connected(listen_with=SMALL) as (client, server, _):
        stop_reading(server)
        sent = await fill(client)
        with pytest.raises(AssociationLostError, match=r"within 0\.3 s") as caught:
            await within(client.close(timeout=0.3))
        assert caught.value.errno == errno.ETIMEDOUT
        assert client.is_closed
        read_again(server)
        received = 0
        with pytest.raises(AssociationAbortedError):
            while True:
                await within(server.receive())
                received += 1
        assert received < sent


async def test_leaving_the_block_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(listen_with=SMALL) as (client, server, _):
        stop_reading(server)
        await fill(client)
        monkeypatch.setattr(Conn.close, "__kwdefaults__", {"timeout": 0.2})
        with pytest.raises(AssociationLostError):
            async with client:
                pass
        assert client.is_closed


async def test_an_endpoint_closes_within_its_limit() -> None:
    async with open_endpoint(LOCAL) as other:
        endpoint = await open_endpoint(LOCAL)
        identifier = await endpoint.connect(other.local_addresses)
        await until(lambda: len(other.associations) == 1)
        stop_reading(other)
        sending = [asyncio.create_task(endpoint.send(bytes(60_000), to=identifier)) for _ in range(200)]
        await until(lambda: endpoint.statistics().waiting_senders > 0)
        await within(endpoint.close(timeout=0.3))
        await asyncio.gather(*sending, return_exceptions=True)
        assert endpoint.fileno() == -1


async def test_what_carries_an_association_is_known() -> None:
    async with connected() as (client, server, listener):
        assert client.stack == server.stack == listener.stack == STACK
    assert client.stack == STACK


async def fill(conn: Conn) -> int:
    """Send until the send buffer is full; return how many messages that were."""
    count = 0
    while True:
        try:
            async with asyncio.timeout(0.2):
                await conn.send(bytes(20_000))
        except TimeoutError:
            return count
        count += 1


async def test_a_close_that_is_complete_when_its_time_is_over_is_no_loss() -> None:
    # In debug mode a task resumes a turn after it was woken: the limit comes first.
    asyncio.get_running_loop().set_debug(True)
    async with connected() as (client, _, _):
        ending = asyncio.create_task(client.close(timeout=0.001))
        await asyncio.sleep(0)
        block_until_gone(client)
        await within(ending)
        assert isinstance(client._association.over_by, EndOfAssociation)


def block_until_gone(conn: Conn) -> None:
    """Give the loop no turn until the stack is done with an association."""
    end = time.monotonic() + 20 * PATIENCE
    while alive(conn._link.raw, conn.association_id):
        assert time.monotonic() < end
        time.sleep(0.002)
    time.sleep(0.002)
