"""A service as it runs in production: it keeps a log, knows dead peers, drains on SIGTERM; and its client."""

import argparse
import asyncio
import contextlib
import logging
import signal

from sctpio import Conn, KeepAlive, connect, listen

log = logging.getLogger("service")


async def answer(conn: Conn) -> None:
    # Ends when the peer shuts down, and when this service drains: what has come is answered first.
    async for request in conn:
        await conn.send(request.data.upper(), stream=request.stream, ppid=request.ppid)


async def serve(address: str) -> None:
    async with listen(address, options=[KeepAlive(detect_within=3.0)]) as listener:
        log.info("ready on %s (%s)", listener.local_addresses, listener.stack)
        await listener.serve(answer, shutdown_timeout=5.0)


async def call(address: str, requests: int) -> None:
    """Make requests, each until it is answered, over as many associations as that takes."""
    done = 0
    async for conn in connect(address, options=[KeepAlive(detect_within=3.0)]):
        with contextlib.suppress(OSError, EOFError):
            async with conn:
                while done < requests:
                    await conn.send(b"request %d" % done)
                    assert (await conn.receive()).data == b"REQUEST %d" % done
                    done += 1
                    await asyncio.sleep(0.01)
                break
    print(f"{done} requests answered", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:5000", help="default: %(default)s")
    parser.add_argument("--requests", type=int, help="be a client, and make so many requests")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(run(options.address, options.requests))


async def run(address: str, requests: int | None) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await (serve(address) if requests is None else call(address, requests))


if __name__ == "__main__":
    main()
