"""A client of a one-to-many listener, and what tests of peeling off ask of it."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from sctpio import (
    AssociationState,
    Conn,
    DelayedSack,
    Listener,
    Mode,
    Option,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
)
from support import KIB, LOCAL, QUEUE, Pair, connected, within

MANY = Mode.ONE_TO_MANY

MEDIUM: dict[str, Any] = {"options": [ReceiveBuffer(24 * KIB)]}
QUICK: tuple[Option, ...] = (RtoInfo(initial=0.2, maximum=0.3, minimum=0.1), *QUEUE)

# So that messages of some 100 KiB are delivered in parts.
NARROW: tuple[Option, ...] = (
    *QUICK,
    ReceiveBuffer(100 * KIB),
    SendBuffer(400 * KIB),
    DelayedSack(frequency=1),
)

COMM_UP, COMM_LOST = AssociationState.COMM_UP, AssociationState.COMM_LOST
SHUTDOWN_COMP = AssociationState.SHUTDOWN_COMP


def shared(local: str = LOCAL, **listen_with: Any) -> AbstractAsyncContextManager[Pair]:
    """Connect a client with a one-to-many listener; the server's end is not peeled off yet."""
    return connected(local, listen_with={"mode": MANY, **listen_with})


async def talk(one: Conn, other: Conn) -> None:
    """Show that the association of two ends carries messages both ways."""
    for sender, receiver in ((one, other), (other, one)):
        await sender.send(b"hello", stream=3, ppid=60)
        message = await within(receiver.receive())
        assert (message.data, message.stream, message.ppid) == (b"hello", 3, 60)
        assert message.association_id == receiver.association_id


def listening_associations(listener: Listener) -> int:
    """Count what the listener still knows."""
    return listener.statistics().associations
