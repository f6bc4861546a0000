"""Serve one port with several processes, one for each CPU: the kernel distributes the associations."""

import argparse
import asyncio
import multiprocessing
import os
import signal
import sys

from sctpio import Conn, ReusePort, listen


async def echo(conn: Conn) -> None:
    async for message in conn:
        await conn.send(b"%d: %b" % (os.getpid(), message.data), stream=message.stream, ppid=message.ppid)


async def serve(address: str) -> None:
    # Every socket of the port has to have this option before it is bound.
    async with listen(address, options=[ReusePort()]) as listener:
        print(f"process {os.getpid()} listens on {listener.local_addresses}", flush=True)
        await listener.serve(echo)


def work(address: str) -> None:
    asyncio.run(serve(address))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:5000", help="default: %(default)s")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: %(default)s")
    options = parser.parse_args()
    # Not fork, because a copy of a process with a running event loop has that loop too.
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=work, args=(options.address,), daemon=True) for _ in range(options.processes)
    ]
    # When SIGTERM ends a process, its children live on; when it exits by itself, it ends them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
