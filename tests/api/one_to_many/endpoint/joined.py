"""Clients of an endpoint, and what its tests wait for."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from sctpio import (
    AssociationError,
    AssociationState,
    Conn,
    Endpoint,
    Message,
    Option,
    RtoInfo,
    Scope,
    connect,
)
from support import QUEUE, STACK, until, within

# Five times the maximum may a shutdown take (T5-shutdown-guard); usrsctp counts from the call on.
QUICK: tuple[Option, ...] = (
    RtoInfo(initial=0.2, maximum=0.3 if STACK == "kernel" else 3.0, minimum=0.1),
    *QUEUE,
)

# No ephemeral port: who is given its target's number would connect to itself.
NOBODY = "127.0.0.1:1"

COMM_UP, COMM_LOST = AssociationState.COMM_UP, AssociationState.COMM_LOST
SHUTDOWN_COMP, CANT_START = AssociationState.SHUTDOWN_COMP, AssociationState.CANT_STR_ASSOC


class Peer(NamedTuple):
    """A client with a socket of its own, and the number that its association has at the endpoint."""

    conn: Conn
    id: int


@asynccontextmanager
async def joined(endpoint: Endpoint, **connect_with: Any) -> AsyncIterator[Peer]:
    """Connect a client with an endpoint; it is aborted at the end."""
    before = set(endpoint.associations)
    conn = await connect(endpoint.local_addresses, **connect_with)
    try:
        await until(lambda: len(set(endpoint.associations) - before) == 1)
        [identifier] = set(endpoint.associations) - before
        yield Peer(conn, identifier)
    finally:
        await conn.abort()


async def unread(endpoint: Endpoint, count: int) -> None:
    """Wait until so many messages lie in an endpoint's queue."""
    await until(lambda: endpoint.statistics().unread_messages == count)


async def states(events: Any, count: int) -> list[tuple[int, AssociationState]]:
    """Take association changes from an iterator: of which association, and what happened to it."""
    changes = [await within(anext(events)) for _ in range(count)]
    return [(change.association_id, change.state) for change in changes]


def assert_from(message: Message, conn: Conn) -> None:
    """Compare a message's source with whom it is from, whichever of its addresses the stack chose."""
    local = conn.local_addresses
    assert message.source is not None
    assert (message.source.port, message.source.hosts[0] in local.hosts) == (local.port, True)


async def called(call: Callable[[], object]) -> None:
    result = call()
    if inspect.isawaitable(result):
        await result


def calls(endpoint: Endpoint, identifier: int) -> list[Callable[[], object]]:
    """Everything that takes the number of an association."""
    return [
        lambda: endpoint.send(b"x", to=identifier),
        lambda: endpoint.shutdown(identifier),
        lambda: endpoint.abort(identifier),
        lambda: endpoint.peel_off(identifier),
        lambda: endpoint.peer_addresses(identifier),
        lambda: endpoint.get_option(RtoInfo, association=identifier),
        lambda: endpoint.set_option(RtoInfo(initial=1.0), association=identifier),
        lambda: endpoint.set_option(RtoInfo(1.0, 2.0, 0.5), association=identifier),
    ]


async def check_unknown(endpoint: Endpoint, identifier: int) -> None:
    """Every call says that there is no such association, by its number."""
    # FUTURE, CURRENT and ALL are no associations, but options take them.
    among = calls(endpoint, identifier)[: 5 if identifier in tuple(Scope) else None]
    for call in among:
        with pytest.raises(AssociationError, match=rf"association {identifier}\b"):
            await within(called(call))


@asynccontextmanager
async def full(endpoint: Endpoint) -> AsyncIterator[Peer]:
    """Let one peer fill the endpoint's receive buffer."""
    async with joined(endpoint) as peer:

        async def flood() -> None:
            while True:
                await peer.conn.send(bytes(5_000), stream=4)

        flooding = asyncio.create_task(flood())
        try:
            await until(lambda: endpoint.statistics().reading_paused)
            yield peer
        finally:
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
