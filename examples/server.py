import asyncio

from sctpio import AssociationChange, Conn, Event, EventStream, listen


async def print_events(events: EventStream[Event]) -> None:
    async for event in events:
        print(event)


async def echo(conn: Conn) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(print_events(conn.events()))
        async for message in conn:
            await conn.send(message.data, stream=message.stream, ppid=message.ppid)


async def main() -> None:
    async with listen("127.0.0.1:5000", events=[AssociationChange]) as listener:
        print(f"listening on {listener.local_addresses}")
        await listener.serve(echo)


asyncio.run(main())
