"""Several addresses per end: which is primary, and how they change during an association (RFC 5061)."""

import asyncio
import errno
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sctpio import (
    Address,
    AddressState,
    AsconfSupported,
    AuthSupported,
    PeerAddressChange,
    PeerAddressThresholds,
    listen,
)
from support import STACK, Pair, connected, until

ON: dict[str, Any] = {"options": [AuthSupported(), AsconfSupported()]}
OFF: dict[str, Any] = {"options": [AsconfSupported(False)]}


def at(pair: Pair, *hosts: str) -> Address:
    """Name hosts of the client, with its port."""
    return Address(hosts, pair.client.local_addresses.port)


@pytest_asyncio.fixture
async def movable() -> AsyncIterator[Pair]:
    """Give a pair that can change its addresses; the client is at 127.0.0.2."""
    async with connected(listen_with=ON, connect_with={**ON, "local": "127.0.0.2:0"}) as pair:
        yield pair


async def test_adding_preferring_and_removing_a_local_address(movable: Pair) -> None:
    client, server, _ = movable
    events = server.events(PeerAddressChange)

    async def seen(state: AddressState, host: str) -> None:
        async with asyncio.timeout(20):
            async for event in events:
                # usrsctp leaves out the port of a path that was made primary.
                if (event.state, event.address.hosts) == (state, at(movable, host).hosts):  # type: ignore[union-attr]
                    return

    client.add_local_address("127.0.0.3:0")
    await seen(AddressState.ADDED, "127.0.0.3")
    await seen(AddressState.CONFIRMED, "127.0.0.3")
    assert client.local_addresses == server.peer_addresses == at(movable, "127.0.0.2", "127.0.0.3")
    assert server.primary_path == at(movable, "127.0.0.2")

    client.set_peer_primary(("127.0.0.3", client.local_addresses.port))
    await seen(AddressState.MADE_PRIMARY, "127.0.0.3")
    assert server.primary_path == at(movable, "127.0.0.3")
    server.set_primary("127.0.0.2:0")
    assert server.primary_path == at(movable, "127.0.0.2")

    client.remove_local_address("127.0.0.2:0")
    await until(lambda: server.peer_addresses == at(movable, "127.0.0.3"))
    assert client.local_addresses == at(movable, "127.0.0.3")
    await server.send(b"to the address that is left")
    assert (await client.receive()).data == b"to the address that is left"


async def test_what_cannot_be_changed_says_why(movable: Pair) -> None:
    client, server, _ = movable
    for call, address, *numbers in (
        # EINVAL is what RFC 6458 9.1 has.
        (client.remove_local_address, "127.0.0.2:0", errno.EBUSY, errno.EINVAL),
        (client.add_local_address, "10.99.99.99:0", errno.EADDRNOTAVAIL),
        (server.set_primary, "127.0.0.77:0", errno.EINVAL),
    ):
        with pytest.raises(OSError, match=r"127\.0\.0\.2|10\.99\.99\.99|SCTP_PRIMARY_ADDR") as caught:
            call(address)
        assert caught.value.errno in numbers
    for bad in ("127.0.0.3/127.0.0.4:0", "127.0.0.3:1", ":0"):
        with pytest.raises(ValueError, match="one host"):
            client.add_local_address(bad)
    assert client.local_addresses == at(movable, "127.0.0.2")


async def test_without_asconf_at_one_end_nothing_is_changed() -> None:
    async with connected(listen_with=OFF, connect_with={**ON, "local": "127.0.0.2:0"}) as pair:
        for call in (
            pair.client.add_local_address,
            pair.client.remove_local_address,
            pair.client.set_peer_primary,
        ):
            with pytest.raises(OSError, match=r"AsconfSupported\(\) and AuthSupported\(\)") as caught:
                call("127.0.0.3:0")
            assert caught.value.errno == errno.EOPNOTSUPP
        assert pair.client.local_addresses == at(pair, "127.0.0.2")


async def test_a_wildcard_listener_has_every_address_already() -> None:
    async with listen(":0", **ON) as listener:
        # usrsctp learns what no interface lists when it is bound, or called there.
        expected = {"127.0.0.1", "::1", *(["127.0.0.2"] if STACK == "kernel" else [])}
        assert expected <= {str(host) for host in listener.local_addresses.hosts}


@pytest.mark.kernel_only("usrsctp has no SCTP_PEER_ADDR_THLDS_V2")
async def test_thresholds_by_path(pair: Pair) -> None:
    path = pair.client.primary_path
    before = pair.client.get_option(PeerAddressThresholds, path=path)
    pair.client.set_option(PeerAddressThresholds(path, potentially_failed=1))
    after = pair.client.get_option(PeerAddressThresholds, path=path)
    assert after.potentially_failed == 1
    assert (after.path_max_retransmissions, after.change_primary) == (
        before.path_max_retransmissions,
        before.change_primary,
    )
