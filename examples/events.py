"""Events: what the stack reports about an association, from its first moment to the peer's ABORT."""

import asyncio

from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    AssociationState,
    Conn,
    PeerAddressChange,
    SenderDry,
    connect,
    listen,
)


async def watch(conn: Conn) -> None:
    # SenderDry comes only if it is named.
    async for event in conn.events(AssociationChange, PeerAddressChange, SenderDry):
        match event:
            case AssociationChange(state=AssociationState.COMM_UP):
                print(f"up: {event.outbound_streams} streams out, {event.inbound_streams} in")
            case AssociationChange(state=AssociationState.COMM_LOST):
                print(f"lost: {event.error.name}, cause {event.cause!r}")
            case PeerAddressChange():
                print(f"path {event.address}: {event.state.name}")
            case SenderDry():
                print("all that was sent is acknowledged")
            case _:
                print(event)


async def main() -> None:
    async with listen("127.0.0.1:0") as listener:
        # Events that are named here are kept from the start, COMM_UP included, for the first conn.events().
        conn = await connect(listener.local_addresses, events=[AssociationChange])
        server = await listener.accept()
        watcher = asyncio.create_task(watch(conn))
        await conn.send(b"anybody there?")
        await conn.flush()
        await server.abort()
        try:
            await conn.receive()
        except AssociationAbortedError as error:
            print(f"receive: {error}")
        await watcher
        await conn.close()


if __name__ == "__main__":
    asyncio.run(main())
