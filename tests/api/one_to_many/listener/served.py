"""A one-to-many listener with clients, and what its tests ask of each association."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from sctpio import Conn, Listener, Mode, RtoInfo, connect, listen
from sctpio._loop.shared_socket import SharedSocket
from support import PATIENCE, QUEUE, associations, settled, until

MANY = Mode.ONE_TO_MANY
QUICK = RtoInfo(initial=0.2, maximum=0.3, minimum=0.1)

# A listener whose kernel has a queue behind a closed window.
QUEUED: dict[str, Any] = {"options": QUEUE}


class Served(NamedTuple):
    """A one-to-many listener, its clients, and the server's side of each."""

    listener: Listener
    clients: list[Conn]
    servers: list[Conn]


@asynccontextmanager
async def served(
    count: int, *, listen_with: dict[str, Any] | None = None, connect_with: dict[str, Any] | None = None
) -> AsyncIterator[Served]:
    """Connect clients with a listener, in order; at the end the kernel has no association left."""
    ends: list[Conn] = []
    listener = await listen("127.0.0.1:0", mode=MANY, **(listen_with or {}))
    try:
        both = Served(listener, [], [])
        for _ in range(count):
            client = await connect(listener.local_addresses, local="127.0.0.1:0", **(connect_with or {}))
            ends.append(client)
            server = await listener.accept()
            ends.append(server)
            both.clients.append(client)
            both.servers.append(server)
        yield both
    finally:
        await listener.close()
        for conn in reversed(ends):
            await conn.abort()
    await until(lambda: not associations())


def carrier(listener: Listener) -> SharedSocket:
    door = listener._door
    assert isinstance(door, SharedSocket)
    return door


async def fill(conn: Conn, size: int = 10_000) -> asyncio.Task[None]:
    """Send until no more is taken: the task that waits."""

    async def flood() -> None:
        while True:
            await conn.send(bytes(size))

    task = asyncio.create_task(flood())
    await until(lambda: conn.statistics().waiting_senders == 1)
    await settled(lambda: conn.statistics().messages_sent)
    assert conn.statistics().waiting_senders == 1
    return task


async def stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def talks(*pairs: tuple[Conn, Conn]) -> None:
    """Messages go both ways, in the order in which they were sent."""
    for number, (one, other) in enumerate(pairs):
        await one.send(b"there %d" % number, stream=number % 3)
        await other.send(b"back %d" % number, stream=number % 3)
    for number, (one, other) in enumerate(pairs):
        async with asyncio.timeout(20 * PATIENCE):
            assert (await other.receive()).data == b"there %d" % number
            assert (await one.receive()).data == b"back %d" % number


WAITING: dict[str, Callable[[Conn], Coroutine[Any, Any, Any]]] = {
    "receive": lambda conn: conn.receive(),
    "receive_many": lambda conn: conn.receive_many(),
    "stream": lambda conn: conn.stream(9).receive(),
    "send": lambda conn: conn.send(bytes(20_000)),
    "send_many": lambda conn: conn.send_many([bytes(20_000)] * 2),
    "flush": lambda conn: conn.flush(),
}


async def ended(conn: Conn, kind: type[Exception]) -> None:
    """Every later call raises the same, each time as an exception of its own, and never waits."""
    raised = []
    for call in (*WAITING.values(), *WAITING.values()):
        async with asyncio.timeout(10 * PATIENCE):
            with pytest.raises(kind) as caught:
                await call(conn)
        raised.append(caught.value)
    assert {(type(error), str(error)) for error in raised} == {(kind, str(raised[0]))}
    assert len({id(error) for error in raised}) == len(raised)
    for query in (conn.status, lambda: conn.get_option(RtoInfo), lambda: conn.set_option(QUICK)):
        with pytest.raises(kind):
            query()
    assert [event async for event in conn.events()] == []
    await conn.wait_closed()
    assert (conn.is_closed, conn.fileno()) == (True, -1)
    assert "closed" in repr(conn)


async def exchange(client: Conn, server: Conn) -> None:
    for number in range(100):
        await client.send(b"%d" % number)
        assert (await server.receive()).data == b"%d" % number
        await server.send(b"%d" % number)
        assert (await client.receive()).data == b"%d" % number
