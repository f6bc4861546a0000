"""Step 8: the gateway. It collects readings and alarms from stations, and ends gracefully on SIGTERM."""

import asyncio
import contextlib
import logging
import signal
import sys

from sctpio import Conn, InitMsg, KeepAlive, Stream, listen

READINGS, ALARMS = 1, 2
THREE = InitMsg(outbound_streams=3, inbound_streams=3)
log = logging.getLogger("gateway")


async def answer(stream: Stream, text: bytes) -> None:
    async for message in stream:
        log.info("stream %d: %r", stream.id, message.data)
        await stream.send(text)


async def collect(conn: Conn) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer(conn.stream(READINGS), b"noted"))
        tasks.create_task(answer(conn.stream(ALARMS), b"help is coming"))


async def serve(address: str) -> None:
    # asyncio cancels the main task on Ctrl-C; this does the same on SIGTERM.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with listen(address, init=THREE, options=[KeepAlive(detect_within=3.0)]) as listener:
        log.info("ready on %s", listener.local_addresses)
        await listener.serve(collect, shutdown_timeout=5.0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stdout)
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1/127.0.0.2:5000"))
