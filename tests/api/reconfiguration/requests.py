"""Requests to change streams, and what their tests look at."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sctpio import Conn, EnableStreamReset, EventStream, ReconfigSupported, StreamResetFlags
from support import PATIENCE, STACK, Pair

ENABLED = (ReconfigSupported(), EnableStreamReset(True, True, True))
ON: dict[str, Any] = {"options": ENABLED}
# Both ends know the extension; this one grants nothing.
DENYING: dict[str, Any] = {"options": [ReconfigSupported(), EnableStreamReset(False, False, False)]}

INCOMING, OUTGOING = StreamResetFlags.INCOMING, StreamResetFlags.OUTGOING
DENIED, FAILED = StreamResetFlags.DENIED, StreamResetFlags.FAILED

REQUESTS: dict[str, Callable[[Conn], Coroutine[Any, Any, None]]] = {
    "reset": lambda conn: conn.stream(1).reset(),
    "reset_streams": lambda conn: conn.reset_streams(),
    "reset_streams incoming": lambda conn: conn.reset_streams(1, outgoing=False, incoming=True),
    "add_streams outbound": lambda conn: conn.add_streams(outbound=1),
    "add_streams inbound": lambda conn: conn.add_streams(inbound=1),
}
if STACK == "kernel":
    REQUESTS["reset_association"] = lambda conn: conn.reset_association()
every_request = pytest.mark.parametrize("request_of", REQUESTS.values(), ids=list(REQUESTS))


async def ssns(sender: Conn, receiver: Conn, *streams: int) -> list[int]:
    """Send a message on each of these streams: the sequence numbers with which they came."""
    found = []
    for stream in streams:
        await sender.send(b"x", stream=stream)
        message = await received(receiver)
        assert message.stream == stream
        found.append(message.ssn)
    return found


async def received(conn: Conn) -> Any:
    async with asyncio.timeout(20 * PATIENCE):
        return await conn.receive()


async def following(events: EventStream[Any]) -> Any:
    async with asyncio.timeout(20 * PATIENCE):
        return await anext(events)


def counts(conn: Conn) -> tuple[int, int, int, int]:
    """Count the streams, as the `Conn` knows them and as the kernel does."""
    status = conn.status()
    return conn.outbound_streams, conn.inbound_streams, status.outbound_streams, status.inbound_streams


async def still_works(pair: Pair) -> None:
    await pair.client.send(b"there", stream=1)
    assert (await received(pair.server)).data == b"there"
    await pair.server.send(b"back", stream=1)
    assert (await received(pair.client)).data == b"back"
