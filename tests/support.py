"""What the tests of the public API share: a connected pair, waiting for a condition, counting descriptors."""

import asyncio
import contextlib
import gc
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop

from sctpio import (
    Address,
    Conn,
    Listener,
    Mode,
    UnavailableError,
    connect,
    listen,
    usrsctp_config,
)
from sctpio._ending import alive
from sctpio.stacks import choose, udp_ports
from sctpio.stacks._native import NativeSocket
from sctpio.stacks.kernel import KernelSocket

# Emulated kernels are slower by this much.
PATIENCE = float(os.environ.get("SCTPIO_TEST_PATIENCE", "1"))


class Style:
    """How the listener of `connected` maps associations to sockets; tests/api/conftest.py sets it."""

    mode = Mode.ONE_TO_ONE


class Pair(NamedTuple):
    """Both ends of one association."""

    client: Conn
    server: Conn
    listener: Listener


@asynccontextmanager
async def connected(
    local: str = "127.0.0.1:0",
    *,
    listen_with: dict[str, Any] | None = None,
    connect_with: dict[str, Any] | None = None,
) -> AsyncIterator[Pair]:
    """Connect a client with an ephemeral listener; whatever is left open at the end is aborted."""
    async with (
        listen(local, **{"mode": Style.mode, **(listen_with or {})}) as listener,
        paired(listener, connect_with) as pair,
    ):
        yield pair


@asynccontextmanager
async def paired(listener: Listener, connect_with: dict[str, Any] | None) -> AsyncIterator[Pair]:
    """Connect a client with a listener; both ends are aborted at the end."""
    client = await connect(listener.local_addresses, **(connect_with or {}))
    try:
        server = await listener.accept()
        try:
            yield Pair(client, server, listener)
        finally:
            await server.abort()
    finally:
        await client.abort()


async def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for a condition; TimeoutError when it does not come true."""
    async with asyncio.timeout(seconds * PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


def abort_unread(conn: Conn, peer: Conn) -> None:
    """Abort an association, so that the peer's stack knows and the loop has had no turn to read of it."""
    conn._link.abort()
    end = time.monotonic() + 20 * PATIENCE
    while alive(peer._link.carrier.raw, peer.association_id):
        assert time.monotonic() < end
        time.sleep(0.001)


async def settled(value: Callable[[], object], *, quiet: float = 0.3) -> None:
    """Wait until a value has stayed the same for a while: only time can show that nothing goes on."""
    async with asyncio.timeout(30 * PATIENCE):
        last = None
        while (now := value()) != last:
            last = now
            await asyncio.sleep(quiet * PATIENCE)


def descriptors() -> list[str]:
    """Name the open descriptors of this process."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            names.append(f"{entry.name} -> {entry.readlink()}")
        except FileNotFoundError:
            continue
    return sorted(names)


def descriptor_count() -> int:
    """Count the open descriptors of this process, garbage aside."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    """Body of a fixture that lets a test leave no descriptor open."""
    # libuv makes a pair of descriptors that it keeps, once.
    uvloop.new_event_loop().close()
    # The loop's own descriptors come and go with it, hence it is made first.
    if "_asyncio_loop_factory" in request.fixturenames:
        request.getfixturevalue("_function_scoped_runner")
    before = descriptor_count()
    yield
    after = descriptor_count()
    assert after <= before, f"{after - before} descriptors leaked"


def _tested() -> str:
    try:
        return choose(None).name
    except UnavailableError:
        return "none"


# The stack that is tested.
STACK = _tested()


def _socket_type() -> type[NativeSocket]:
    if STACK == "usrsctp":
        from sctpio.stacks.usrsctp import UsrsctpSocket

        return UsrsctpSocket
    return KernelSocket


# What a test that gets between the loop room and the stack patches.
StackSocketType = _socket_type()

# Descriptors that a socket takes.
PER_SOCKET = 2 if STACK == "usrsctp" else 1


def free_udp_port() -> str:
    """Give a UDP port that was free a moment ago: usrsctp's usual one where it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", udp_ports.DEFAULT))
        except OSError:
            probe.bind(("", 0))
        return str(probe.getsockname()[1])


def start_stack() -> None:
    """Let the stack make what it keeps until the process ends, so that it is not taken for a leak.

    usrsctp knows the addresses that interfaces list, and those that it is told: these let a test have
    several on any machine. Peers that are other processes reach this one on its UDP port.
    """
    if STACK == "usrsctp":
        with contextlib.suppress(RuntimeError):
            usrsctp_config(udp_port=0)
        choose(STACK).open().close()
        os.environ["SCTPIO_REMOTE_UDP_PORT"] = str(udp_ports.settings.started)


def associations() -> list[str]:
    """List the associations: the kernel's, or those of this process that are up."""
    if STACK == "kernel":
        return Path("/proc/net/sctp/assocs").read_text().splitlines()[1:]
    from sctpio.stacks._usrsctp import lib

    return [f"usrsctp {number}" for number in range(lib.sctpio_established())]


def path_of(conn: Conn) -> Address:
    """Give the peer's first address as a path."""
    peer = conn.peer_addresses
    return Address(peer.hosts[:1], peer.port)
