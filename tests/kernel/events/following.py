"""What tests of the kernel's notifications share: options that provoke them, and waiting for them."""

import asyncio
from collections.abc import Callable
from typing import Any

from kernel.lab import FAST
from sctpio import (
    AdaptationIndication,
    AssociationChange,
    AssociationReset,
    AssocInfo,
    AuthenticationEvent,
    Conn,
    EnableStreamReset,
    Event,
    EventStream,
    PartialDelivery,
    PeerAddressChange,
    ReconfigSupported,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownEvent,
    StreamChange,
    StreamReset,
    StreamResetFlags,
)
from support import PATIENCE

NOTHING = StreamResetFlags(0)
INCOMING, OUTGOING = StreamResetFlags.INCOMING, StreamResetFlags.OUTGOING
DENIED = StreamResetFlags.DENIED

RECONFIG = (ReconfigSupported(), EnableStreamReset(True, True, True))
NO_GRANTS = (ReconfigSupported(), EnableStreamReset(False, False, False))
# Quick to try again, slow to give up: a cut lasts as long as the guest's tools take.
STUBBORN = (FAST, AssocInfo(max_retransmissions=1000))


async def following(events: EventStream[Any]) -> Any:
    """Give the next event."""
    async with asyncio.timeout(30 * PATIENCE):
        return await anext(events)


async def until_seen(events: EventStream[Any], wanted: Callable[[Any], bool]) -> list[Any]:
    """Give the events up to the first that is wanted."""
    seen: list[Any] = []
    while not seen or not wanted(seen[-1]):
        seen.append(await following(events))
    return seen


async def rest(events: EventStream[Any]) -> list[Any]:
    """Give the events up to the end of the association."""
    async with asyncio.timeout(30 * PATIENCE):
        return [event async for event in events]


async def received(conn: Conn) -> bytes:
    async with asyncio.timeout(30 * PATIENCE):
        return (await conn.receive()).data


async def still_works(client: Conn, server: Conn) -> None:
    await client.send(b"there")
    assert await received(server) == b"there"
    await server.send(b"and back")
    assert await received(client) == b"and back"


KINDS: list[type[Event]] = [
    AssociationChange,
    PeerAddressChange,
    SendFailed,
    RemoteError,
    ShutdownEvent,
    PartialDelivery,
    AdaptationIndication,
    AuthenticationEvent,
    SenderDry,
    StreamReset,
    AssociationReset,
    StreamChange,
]
