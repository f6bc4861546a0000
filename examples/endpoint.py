"""Like UDP: one socket, `send` to an address, `receive` from anyone. Associations are set up as needed."""

import asyncio

from sctpio import AssociationChange, AssociationState, Endpoint, open_endpoint


async def answer(endpoint: Endpoint) -> None:
    async for message in endpoint:
        await endpoint.send(message.data.upper(), to=message.association_id, stream=message.stream)


async def main() -> None:
    async with (
        open_endpoint("127.0.0.1:0", events=[AssociationChange]) as server,
        open_endpoint("127.0.0.1:0") as client,
        asyncio.TaskGroup() as tasks,
    ):
        answering = tasks.create_task(answer(server))
        for word in (b"one", b"two", b"three"):
            # The first message sets up the association.
            await client.send(word, to=server.local_addresses, stream=2)
            message = await client.receive()
            print(f"{message.data.decode()} from {message.source}".replace(str(server.port), "PORT"))
        print(f"the client has {len(client.associations)} association, the server {len(server.associations)}")
        for association in client.associations:
            await client.shutdown(association)
        async for event in server.events(AssociationChange):
            assert isinstance(event, AssociationChange)
            print(f"the server saw {event.state.name}")
            if event.state is AssociationState.SHUTDOWN_COMP:
                break
        answering.cancel()


if __name__ == "__main__":
    asyncio.run(main())
