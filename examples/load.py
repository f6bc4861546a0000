"""A load generator: requests over many associations at once, and how long their answers took.

`python load.py ADDRESS` loads a server that answers each message; without an address, one of its own.
"""

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator

from sctpio import AddressLike, Conn, connect, listen


async def client(server: AddressLike, requests: int, size: int) -> list[float]:
    """Make requests, one after the other; return how long each took."""
    took = []
    async with connect(server) as conn:
        for _ in range(requests):
            began = time.perf_counter()
            await conn.send(bytes(size))
            await conn.receive()
            took.append(time.perf_counter() - began)
    return took


async def load(server: AddressLike, associations: int, requests: int, size: int) -> None:
    began = time.perf_counter()
    results = await asyncio.gather(
        *(client(server, requests, size) for _ in range(associations)), return_exceptions=True
    )
    spent = time.perf_counter() - began
    took = [seconds for result in results if isinstance(result, list) for seconds in result]
    for result in results:
        if isinstance(result, BaseException):
            print(f"an association failed: {result}")
    print(f"{associations} associations, {len(took)} answers: {len(took) / spent:.0f} messages/s")
    if len(took) > 1:
        cuts = statistics.quantiles(took, n=100, method="inclusive")
        print(" ".join(f"p{p} {cuts[p - 1] * 1000:.2f} ms" for p in (50, 90, 99)))


async def echo(conn: Conn) -> None:
    async for message in conn:
        await conn.send(message.data, stream=message.stream, ppid=message.ppid)


@contextlib.asynccontextmanager
async def own_server() -> AsyncIterator[AddressLike]:
    async with listen("127.0.0.1:0") as listener:
        serving = asyncio.create_task(listener.serve(echo))
        yield listener.local_addresses
    await serving


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", help="default: a server of its own")
    parser.add_argument("--associations", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=100, help="by each; default: %(default)s")
    parser.add_argument("--size", type=int, default=64, help="bytes; default: %(default)s")
    options = parser.parse_args()
    if options.address:
        await load(options.address, options.associations, options.requests, options.size)
        return
    async with own_server() as address:
        await load(address, options.associations, options.requests, options.size)


if __name__ == "__main__":
    asyncio.run(main())
