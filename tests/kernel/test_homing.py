"""Addresses of two families: which are announced, which is primary, and what is told of the others."""

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kernel.lab import Lab, run
from sctpio import (
    Address,
    Conn,
    Listener,
    Mode,
    capabilities,
    connect,
    listen,
    open_endpoint,
)

# A program with a dual-homed listener on usrsctp; it prints what it knows of each peer.
SERVER = """
import asyncio, sys, sctpio

async def handler(conn):
    await conn.receive()
    print(conn.peer_addresses, flush=True)
    await conn.wait_closed()

async def main():
    async with sctpio.listen(sys.argv[1], stack="usrsctp") as listener:
        print(listener.port, flush=True)
        await listener.serve(handler)

asyncio.run(main())
"""


@contextlib.contextmanager
def sysctl(name: str, value: int) -> Iterator[None]:
    """Have another value for a setting of this namespace."""
    setting = Path(f"/proc/sys/net/sctp/{name}")
    before = setting.read_text()
    setting.write_text(str(value))
    try:
        yield
    finally:
        setting.write_text(before)


def index_of(interface: str, namespace: str | None = None) -> int:
    """Give the number of an interface."""
    inside = [] if namespace is None else ["ip", "netns", "exec", namespace]
    return int(run(*inside, "cat", f"/sys/class/net/{interface}/ifindex"))


@pytest.fixture
def lab(module_lab: Lab) -> Lab:
    """Give the one lab of this module."""
    return module_lab


@asynccontextmanager
async def accepted(listener: Listener, client: Conn) -> AsyncIterator[Conn]:
    async with client, await listener.accept() as server:
        yield server
        await client.close()


def local_of(lab: Lab) -> str:
    return f"{lab.links[0].local}/[{lab.links[1].local_v6}]:0"


def without_port(address: Address) -> set[str]:
    return {str(host) for host in address.hosts}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("how", ["connect", "connect from anywhere", "listener", "endpoint"])
@pytest.mark.both_modes
async def test_in_whatever_order_the_peer_is_named_all_addresses_stay(
    lab: Lab, how: str, reverse: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = lab.links
    hosts = [first.remote, f"[{second.remote_v6}]"]
    async with lab.listen("/".join(hosts)) as listener:
        if reverse:
            hosts.reverse()
        remote = f"{'/'.join(hosts)}:{listener.port}"
        async with contextlib.AsyncExitStack() as stack:
            if how == "endpoint":
                endpoint = await stack.enter_async_context(open_endpoint(local_of(lab)))
                await endpoint.send(b"x", to=remote)
                client = await endpoint.peel_off(endpoint.associations[0])
            elif how == "listener":
                many = await stack.enter_async_context(listen(local_of(lab), mode=Mode.ONE_TO_MANY))
                client = await many.connect(remote)
            else:
                client = await connect(remote, local=local_of(lab) if how == "connect" else None)
            async with accepted(listener, client) as server:
                assert {first.local, second.local_v6} <= without_port(server.peer_addresses)
                assert without_port(server.local_addresses) == {first.remote, second.remote_v6}
                # The host that was named first is the primary path all the same.
                assert client.primary_path.hosts == Address(hosts[0], 0).hosts
    assert not caplog.records


@pytest.mark.both_modes
async def test_hosts_that_were_named_and_are_left_out_are_told_once(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = lab.links
    async with lab.listen(f"[{second.remote_v6}]") as listener:
        with caplog.at_level(logging.WARNING, "sctpio"):
            client = await connect(f"[{second.remote_v6}]:{listener.port}", local=local_of(lab))
        async with accepted(listener, client) as server:
            assert without_port(server.peer_addresses) == {second.local_v6}
        (record,) = caplog.records
        caplog.clear()
        assert f"without {first.local} of the local addresses" in record.getMessage()
        assert "`sysctl net.sctp.addr_scope_policy=0`" in record.getMessage()
    # At the accepting end it is the caller's address that decides.
    async with lab.listen(f"{first.remote}/[{second.remote_v6}]") as listener:
        for _ in range(2):
            client = await connect(f"[{second.remote_v6}]:{listener.port}", local=f"[{second.local_v6}]:0")
            async with accepted(listener, client):
                assert without_port(client.peer_addresses) == {second.remote_v6}
        (record,) = caplog.records
        assert f"without {first.remote} of the local addresses" in record.getMessage()
    found = capabilities("kernel").mixed_scopes
    assert (found.default, found.possible, found.needs) == (
        False,
        False,
        "sysctl net.sctp.addr_scope_policy=0",
    )


async def test_with_the_remedy_nothing_is_left_out(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    first, second = lab.links
    with sysctl("addr_scope_policy", 0):
        assert capabilities("kernel").mixed_scopes.default
        async with lab.listen(f"[{second.remote_v6}]") as listener:
            client = await connect(f"[{second.remote_v6}]:{listener.port}", local=local_of(lab))
            async with accepted(listener, client):
                assert without_port(client.local_addresses) == {first.local, second.local_v6}
    assert not caplog.records


@pytest.mark.usefixtures("_usrsctp")
async def test_usrsctp_announces_by_scope_as_well(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    first, second = lab.links
    there = f"{first.remote}/[{second.remote_v6}]:5000"
    command = ["ip", "netns", "exec", lab.namespace, sys.executable, "-c", SERVER, there]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert await asyncio.to_thread(server.stdout.readline) == "5000\n"
            v6_first = f"[{second.remote_v6}]/{first.remote}:5000"
            for remote, expected, told in (
                (there, {first.local, second.local_v6}, 0),
                (v6_first, {first.local, second.local_v6}, 0),
                (f"[{second.remote_v6}]:5000", {second.local_v6}, 1),
            ):
                async with connect(remote, local=local_of(lab), stack="usrsctp") as client:
                    await client.send(b"x")
                    seen = Address.parse((await asyncio.to_thread(server.stdout.readline)).strip())
                    assert without_port(seen) == expected
                    primary = Address(Address.parse(remote).hosts[:1], 5000)
                    assert client.primary_path == primary
                assert len(caplog.records) == told
            assert f"without {first.local} of the local addresses" in caplog.records[0].getMessage()
        finally:
            server.kill()


async def test_a_scope_id_may_be_a_number(lab: Lab) -> None:
    link = lab.links[1]
    here, there = index_of(link.here), index_of(link.there, lab.namespace)
    async with lab.listen(f"[{link.remote_scoped}%{there}]") as listener:
        remote = f"[{link.remote_scoped}%{here}]:{listener.port}"
        async with connect(remote, local=f"[{link.local_scoped}%{here}]:0") as client:
            async with await listener.accept():
                # What the system has is told by name.
                assert str(client.peer_addresses) == f"[{link.remote_scoped}%{link.here}]:{listener.port}"
                await client.send(b"x", path=remote)
                await client.close()
    with pytest.raises(OSError, match="this host has no interface '99999'"):
        await connect(f"[{link.remote_scoped}%99999]:5000")


async def test_the_settings_are_those_of_the_network_namespace(lab: Lab) -> None:
    """A new namespace has its own, whatever the host has."""
    with sysctl("auth_enable", 1):
        assert capabilities("kernel").authentication.default
        with lab.inside():
            assert not capabilities("kernel").authentication.default
