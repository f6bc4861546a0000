"""Accept associations in one process, and hand each to another: the descriptor goes through a Unix socket."""

import asyncio
import multiprocessing
import os
import socket

from sctpio import Address, Conn, connect, listen


async def echo(conn: Conn) -> None:
    async with conn:
        async for message in conn:
            await conn.send(b"worker %d: %b" % (os.getpid(), message.data), stream=message.stream)


async def take_over(channel: socket.socket) -> None:
    """The worker: serve each association whose descriptor arrives, until the channel is closed."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, channel, 1, 1)
            if not descriptors:
                return
            tasks.create_task(echo(await Conn.from_fd(descriptors[0])))


def work(channel: socket.socket) -> None:
    with channel:
        asyncio.run(take_over(channel))


async def client(server: Address) -> None:
    async with connect(server) as conn:
        await conn.send(b"hello", stream=2)
        print((await conn.receive()).data.decode())


async def main() -> None:
    ours, theirs = socket.socketpair()
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(theirs,))
    worker.start()
    theirs.close()
    async with listen("127.0.0.1:0") as listener:
        for _ in range(2):
            talking = asyncio.create_task(client(listener.local_addresses))
            conn = await listener.accept()
            descriptor = conn.detach()
            socket.send_fds(ours, [b"x"], [descriptor])
            os.close(descriptor)
            await talking
    ours.close()
    await asyncio.to_thread(worker.join)


if __name__ == "__main__":
    asyncio.run(main())
