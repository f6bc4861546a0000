"""Several addresses per end: which is primary, and how they change during an association (RFC 5061)."""

import asyncio
import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from subprocess import PIPE, STDOUT
from typing import Any

import pytest
import pytest_asyncio

from sctpio import (
    Address,
    AddressState,
    AsconfSupported,
    AuthSupported,
    Mode,
    PeerAddressChange,
    PeerAddressThresholds,
    connect,
    listen,
    open_endpoint,
)
from support import LOCAL, STACK, Pair, Style, connected, until, within

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


async def test_a_path_with_another_port_is_none_of_the_peer(pair: Pair) -> None:
    wrong = ("127.0.0.1", pair.client.peer_addresses.port ^ 1)
    for ask in (pair.client.set_primary, pair.client.path):
        with pytest.raises(OSError, match=f"127.0.0.1:{wrong[1]} is no address of the peer") as caught:
            ask(wrong)
        assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="is no address of the peer"):
        await pair.client.send(b"x", path=wrong)


@pytest.mark.parametrize("wildcard", [":5000", ("", 5000), Address((), 5000)])
async def test_a_wildcard_is_no_peer(wildcard: str | tuple[str, int] | Address) -> None:
    async with open_endpoint(LOCAL) as endpoint, listen(LOCAL, mode=Mode.ONE_TO_MANY) as many:
        for attempt in (
            lambda: endpoint.connect(wildcard),
            lambda: endpoint.send(b"x", to=wildcard),
            lambda: many.connect(wildcard),
        ):
            with pytest.raises(ValueError, match="5000.* names no host of a peer"):
                await attempt()
    with pytest.raises(ValueError, match="names no host of a peer"):
        connect(wildcard)


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


# The families of addresses

HERE = "127.0.0.1"
HERE_6 = "[::1]"
FAMILIES = pytest.mark.parametrize(("local", "remote"), [(HERE, HERE_6), (HERE_6, HERE)])


@FAMILIES
async def test_a_peer_of_another_family_than_the_local_address_is_refused_at_once(
    local: str, remote: str
) -> None:
    async with (
        listen(f"{remote}:0") as listener,
        open_endpoint(f"{local}:0") as endpoint,
        listen(f"{local}:0", mode=Mode.ONE_TO_MANY) as many,
    ):
        there = f"{remote}:{listener.port}"
        for attempt in (
            lambda: connect(there, local=f"{local}:0"),
            lambda: endpoint.connect(there),
            lambda: endpoint.send(b"x", to=there),
            lambda: many.connect(there),
        ):
            with pytest.raises(OSError, match="cannot connect to") as caught:
                await within(attempt(), 2.0)
            assert caught.value.errno == errno.EAFNOSUPPORT
            assert there in str(caught.value)
            assert local.strip("[]") in str(caught.value)


@FAMILIES
@pytest.mark.both_modes
async def test_hosts_of_both_families_are_reached_from_either(local: str, remote: str) -> None:
    """A host of the other family beside one of the right one does no harm, at either end."""
    async with listen(f"{HERE}/{HERE_6}:0", mode=Style.mode) as listener:
        hosts = f"{remote}/{local}:{listener.port}"
        async with connect(hosts, local=f"{local}:0") as client, await listener.accept():
            assert client.primary_path.hosts == Address(local.strip("[]"), 0).hosts
        async with open_endpoint(f"{local}:0") as endpoint:
            await within(endpoint.send(b"x", to=hosts))
            server = await listener.accept()
            assert (await within(server.receive())).data == b"x"
            await server.close()
    async with listen(f"{remote}:0", mode=Style.mode) as listener:
        there = f"{remote}:{listener.port}"
        async with connect(there, local=f"{HERE}/{HERE_6}:0") as client, await listener.accept():
            assert client.primary_path.hosts == listener.local_addresses.hosts


@pytest.mark.both_modes
async def test_a_wildcard_of_a_client_means_both_families() -> None:
    # In a process of its own: usrsctp announces what it has learnt of addresses, here by other tests.
    program = f"""
        import asyncio
        from sctpio import Mode, connect, listen

        async def main():
            async with listen("{HERE}/{HERE_6}:0", mode=Mode({Style.mode.value!r})) as listener:
                for remote in (f"{HERE}:{{listener.port}}", f"{HERE_6}:{{listener.port}}"):
                    async with connect(remote, local=":0") as client, await listener.accept() as server:
                        for hosts in client.local_addresses.hosts, server.peer_addresses.hosts:
                            print(sorted({{host.version for host in hosts}}))
                        await client.close()

        asyncio.run(main())
    """
    environment = dict(os.environ, SCTPIO_UDP_PORT="0")
    environment.pop("SCTPIO_REMOTE_UDP_PORT", None)
    command = [sys.executable, "-c", textwrap.dedent(program)]
    child = await within(
        asyncio.to_thread(subprocess.run, command, env=environment, stdout=PIPE, stderr=STDOUT, text=True)
    )
    assert child.stdout == "[4, 6]\n" * 4


async def test_an_ipv4_mapped_address_is_the_ipv4_address() -> None:
    async with listen("[::ffff:127.0.0.1]:0") as listener:
        assert str(listener.local_addresses) == f"127.0.0.1:{listener.port}"
        mapped = f"[::ffff:127.0.0.1]:{listener.port}"
        async with connect(mapped, local="[::ffff:127.0.0.1]:0") as client, await listener.accept():
            assert str(client.peer_addresses) == f"127.0.0.1:{listener.port}"
            await client.send(b"x", path=mapped)
            assert client.path(mapped).address == client.primary_path
        async with open_endpoint(LOCAL) as endpoint:
            await within(endpoint.send(b"x", to=mapped))
            async with await listener.accept() as server:
                assert (await within(server.receive())).data == b"x"
