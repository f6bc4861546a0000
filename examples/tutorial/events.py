"""Step 4: what the stack reports about an association, from its first moment to its last."""

import asyncio

from sctpio import (
    AssociationChange,
    AssociationState,
    Conn,
    Event,
    EventStream,
    ShutdownEvent,
    connect,
    listen,
)


async def print_events(events: EventStream[Event]) -> None:
    async for event in events:
        match event:
            case AssociationChange(state=AssociationState.COMM_UP):
                print(f"up, with {event.outbound_streams} streams out and {event.inbound_streams} in")
            case AssociationChange():
                print(f"over: {event.state.name}")
            case ShutdownEvent():
                print("the station shuts down")


async def collect(conn: Conn) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(print_events(conn.events(AssociationChange, ShutdownEvent)))
        async for message in conn:
            await conn.send(b"got " + message.data)


async def main() -> None:
    # Named here, events are kept from the start. Without that, COMM_UP would be over before anybody asks.
    async with listen("127.0.0.1:0", events=[AssociationChange, ShutdownEvent]) as listener:
        serving = asyncio.create_task(listener.serve(collect))
        async with connect(listener.local_addresses) as conn:
            await conn.send(b"21.5")
            await conn.receive()
    await serving


asyncio.run(main())
