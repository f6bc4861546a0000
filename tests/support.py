"""What the tests of the public API share: a connected pair, waiting for a condition, counting descriptors."""

import asyncio
import contextlib
import gc
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import uvloop

from sctpio import (
    Address,
    Conn,
    Endpoint,
    EventStream,
    Listener,
    Mode,
    Option,
    ReceiveBuffer,
    SendBuffer,
    UdpEncapsulation,
    UnavailableError,
    connect,
    listen,
    usrsctp_config,
)
from sctpio._abi.contract import RECORD
from sctpio._loop.loop_socket import LoopSocket
from sctpio._loop.shared_socket import SharedSocket
from sctpio._loop.waiting import Waiters
from sctpio.stacks import choose
from sctpio.stacks.base import Batch, alive
from sctpio.stacks.kernel.socket import KernelSocket
from sctpio.stacks.native import NativeSocket
from sctpio.stacks.usrsctp import udp_ports

T = TypeVar("T")

# Emulated kernels are slower by this much.
PATIENCE = float(os.environ.get("SCTPIO_TEST_PATIENCE", "1"))

KIB = 1024
LOCAL = "127.0.0.1:0"

# A window that a few messages close.
SMALL: dict[str, Any] = {"options": [ReceiveBuffer(4 * KIB)]}


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


def waiting_to_accept(socket: SharedSocket) -> Waiters:
    """Return who waits for an association of a one-to-many socket."""
    assert socket.arrivals is not None
    return socket.arrivals._waiters


def abort_unread(conn: Conn, peer: Conn) -> None:
    """Abort an association, so that the peer's stack knows and the loop has had no turn to read of it."""
    conn._link.abort()
    end = time.monotonic() + 20 * PATIENCE
    while alive(peer._link.socket.raw, peer.association_id):
        assert time.monotonic() < end
        time.sleep(0.001)


async def within(awaitable: Awaitable[T], seconds: float = 20.0) -> T:
    """Await what must not hang."""
    async with asyncio.timeout(seconds * PATIENCE):
        return await awaitable


async def turns(count: int = 5) -> None:
    """Let the other tasks run until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def collect(events: EventStream[Any]) -> list[Any]:
    """Take the events up to the end of the association."""
    async with asyncio.timeout(20 * PATIENCE):
        return [event async for event in events]


async def drain(conn: Conn) -> None:
    """Read until the peer shuts down."""
    async for _ in conn:
        pass


async def echo(conn: Conn) -> None:
    """Send each message back until the peer shuts down."""
    async for message in conn:
        await conn.send(message.data, stream=message.stream, ppid=message.ppid)


def records_of(batch: Batch) -> list[tuple[Any, ...]]:
    """Return the records that a stack's `receive` returned, unpacked (`_abi.contract.RECORD`)."""
    _, count, records, _ = batch
    return list(RECORD.iter_unpack(records[: count * RECORD.size]))


def stop_reading(of: Conn | Endpoint) -> None:
    """Leave what comes in the stack (of a shared socket, for all its associations): the window closes.

    The loop may be about to read once more.
    """
    _socket_of(of)._set_reading(False)


def read_again(of: Conn | Endpoint) -> None:
    """End `stop_reading`."""
    _socket_of(of)._set_reading(True)


def _socket_of(of: Conn | Endpoint) -> LoopSocket:
    return of._shared if isinstance(of, Endpoint) else of._link.socket


async def fill(conn: Conn, size: int) -> None:
    """Send to a peer that does not read, until nothing more goes."""

    async def send() -> None:
        while True:
            await conn.send(bytes(size))

    sending = asyncio.create_task(send())
    await until(lambda: conn.statistics().waiting_senders > 0)
    await settled(lambda: conn.statistics().messages_sent)
    sending.cancel()
    await asyncio.wait([sending])


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
    """Count the open descriptors of this process, garbage aside.

    Nor /dev/null: a loop of uvloop opens it for its first child, and keeps it.
    """
    gc.collect()
    return sum(not name.endswith("-> /dev/null") for name in descriptors())


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

# Lets the kernel take what its peer has no space for, as much as by itself. Without it senders wait.
QUEUE: tuple[Option, ...] = (SendBuffer(106_496),) if STACK == "kernel" else ()


def _socket_type() -> type[NativeSocket]:
    if STACK == "usrsctp":
        from sctpio.stacks.usrsctp.socket import UsrsctpSocket

        return UsrsctpSocket
    return KernelSocket


# What a test that gets between the loop room and the stack patches.
StackSocketType = _socket_type()

# Descriptors that a socket takes.
PER_SOCKET = 2 if STACK == "usrsctp" else 1


@contextlib.contextmanager
def silent_peer() -> Iterator[tuple[str, list[Option]]]:
    """Give the address of a peer that never answers, and the options that lead to it."""
    if STACK == "usrsctp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            yield "127.0.0.1:5000", [UdpEncapsulation(port=deaf.getsockname()[1])]
        return
    from kernel.lab import dead_end

    with dead_end() as nowhere:
        yield f"{nowhere.address}:5000", []


def free_udp_port(*, usual: bool = True) -> str:
    """Give a UDP port that was free a moment ago: usrsctp's usual one where it is, if that will do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", udp_ports.DEFAULT if usual else 0))
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
