"""What is promised of every Conn, of associations that share one socket: cancelling, order, quiet."""

import asyncio
import random
import threading
from typing import Any

from api.one_to_many.listener.served import served, stop, talks
from sctpio import AssociationChange, Conn, SendBuffer
from support import PATIENCE, settled


async def test_a_send_that_was_cancelled_sent_nothing_and_one_that_returned_all() -> None:
    chance = random.Random(5)
    async with served(
        2, listen_with={"options": [SendBuffer(20_000)]}, connect_with={"receive_buffer": 10_000}
    ) as (_, clients, servers):
        sent: list[list[bytes]] = [[], []]
        received: list[list[bytes]] = [[], []]
        cancelled = 0

        async def receive(client: Conn, into: list[bytes]) -> None:
            async for message in client:
                into.append(message.data)
                await asyncio.sleep(0.001)

        async def send(server: Conn, into: list[bytes]) -> None:
            nonlocal cancelled
            for number in range(150):
                data = b"%05d" % number + bytes(chance.randrange(6_000))
                task = asyncio.create_task(server.send(data))
                for _ in range(chance.randrange(1, 3)):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    cancelled += 1
                else:
                    into.append(data)
            await server.close()

        async with asyncio.timeout(50 * PATIENCE):
            await asyncio.gather(*map(send, servers, sent), *map(receive, clients, received))
        assert received == sent
        assert cancelled > 10
        assert min(map(len, sent)) > 10


async def test_messages_of_one_task_keep_their_order_beside_other_tasks() -> None:
    async with served(2, listen_with={"options": [SendBuffer(30_000)]}) as (_, clients, servers):

        async def send(server: Conn, task: int) -> None:
            for number in range(60):
                await server.send(b"%d %d " % (task, number) + bytes(2_000), stream=task)

        tasks = [asyncio.create_task(send(server, task)) for server in servers for task in range(3)]
        for client in clients:
            seen: dict[int, list[int]] = {}
            for _ in range(180):
                task, number, _ = (await client.receive()).data.split(b" ", 2)
                seen.setdefault(int(task), []).append(int(number))
            assert seen == {task: list(range(60)) for task in range(3)}
        await asyncio.gather(*tasks)


async def test_nobody_is_woken_while_everything_waits() -> None:
    async with served(5) as (listener, clients, servers):
        await talks(*zip(clients, servers, strict=True))
        waiting: list[asyncio.Task[Any]]
        waiting = [asyncio.create_task(server.receive()) for server in servers]
        waiting.append(asyncio.create_task(servers[0].stream(1).receive()))
        waiting.append(asyncio.create_task(anext(listener.events())))
        waiting.append(asyncio.create_task(anext(servers[1].events(AssociationChange))))
        accepting = asyncio.create_task(listener.accept())
        await settled(lambda: listener.statistics().wakeups)
        before = listener.statistics().wakeups
        await asyncio.sleep(0.5)
        assert listener.statistics().wakeups == before
        await stop(*waiting, accepting)
        await talks(*zip(clients, servers, strict=True))


async def test_no_threads_and_no_background_tasks() -> None:
    async with served(3) as (listener, clients, servers):
        events = listener.events()
        await talks(*zip(clients, servers, strict=True))
        await listener.broadcast(b"x")
        assert threading.active_count() == 1
        assert len(asyncio.all_tasks()) == 1
        await events.aclose()
