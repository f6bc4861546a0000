"""Accept associations in one process and hand each to another one, by its descriptor over a Unix socket.

An association of a one-to-many socket is peeled off first. Its messages that have been read already are sent
along with the descriptor.
"""

import asyncio
import multiprocessing
import os
import pickle
import socket

from sctpio import Address, Conn, Message, Mode, connect, listen


async def echo(conn: Conn, early: list[Message]) -> None:
    async with conn:
        for message in early:
            await answer(conn, message)
        async for message in conn:
            await answer(conn, message)


async def answer(conn: Conn, message: Message) -> None:
    await conn.send(b"worker %d: %b" % (os.getpid(), message.data), stream=message.stream)


async def take_over(channel: socket.socket) -> None:
    """The worker: serve each association whose descriptor arrives, until the channel is closed."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            early, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, channel, 65536, 1)
            if not descriptors:
                return
            tasks.create_task(echo(await Conn.from_fd(descriptors[0]), pickle.loads(early)))


def work(channel: socket.socket) -> None:
    with channel:
        asyncio.run(take_over(channel))


async def client(server: Address) -> None:
    async with connect(server) as conn:
        await conn.send(b"hello", stream=2)
        print((await conn.receive()).data.decode())


async def main() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(theirs,))
    worker.start()
    theirs.close()
    for mode in Mode:
        async with listen("127.0.0.1:0", mode=mode) as listener:
            talking = asyncio.create_task(client(listener.local_addresses))
            conn = await listener.accept()
            if mode is Mode.ONE_TO_MANY:
                await conn.peel_off()
            early = await conn.receive_many() if conn.statistics().unread_messages else []
            descriptor = conn.detach()
            socket.send_fds(ours, [pickle.dumps(early)], [descriptor])
            os.close(descriptor)
            await talking
    ours.close()
    await asyncio.to_thread(worker.join)


if __name__ == "__main__":
    asyncio.run(main())
