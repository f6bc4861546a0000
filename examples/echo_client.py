"""Talk to the echo server on several streams at once, check every echo, and print how long it took."""

import argparse
import asyncio
import contextlib
import random
import statistics
import time

from sctpio import (
    AssociationChange,
    Conn,
    InitMsg,
    MaxSegment,
    PeerAddressChange,
    ReceiveBuffer,
    SendBuffer,
    ShutdownEvent,
    connect,
)

EVENTS = (AssociationChange, PeerAddressChange, ShutdownEvent)
OPTIONS = (SendBuffer(2 * 1024 * 1024), ReceiveBuffer(2 * 1024 * 1024), MaxSegment(1400))
LARGEST, LARGE = 256 * 1024, 32 * 1024
PPIDS = (60, 46, 3, 18)  # NGAP, Diameter, M3UA, S1AP


async def print_events(conn: Conn) -> None:
    async for event in conn.events(*EVENTS):
        print(event)


async def talk(conn: Conn, sid: int, count: int, alone: asyncio.Lock) -> list[tuple[int, float]]:
    """Send `count` messages one by one; return the size and the round-trip time of each."""
    stream = conn.stream(sid, ppid=PPIDS[sid % len(PPIDS)])
    trips = []
    for number in range(count):
        # From 1 byte to the largest, each size larger than the one before by the same factor.
        size = round(LARGEST ** (number / max(1, count - 1)))
        data, unordered = random.randbytes(size), number % 2 == 1
        # One large message at a time, because two overflow the receive buffer that Linux has by default.
        async with alone if size > LARGE else contextlib.nullcontext():
            began = time.perf_counter()
            await stream.send(data, unordered=unordered)
            echo = await stream.receive()
            trips.append((size, time.perf_counter() - began))
        if (echo.data, echo.ppid, echo.unordered) != (data, stream.ppid, unordered):
            raise ValueError(
                f"stream {sid}: message {number} of {size} bytes came back changed: {echo!r:.200}"
            )
    print(f"stream {sid}: PPID {stream.ppid}, {count} messages, every other one unordered: all came back")
    return trips


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:5000", help="default: %(default)s")
    parser.add_argument("--messages", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--streams", type=int, default=4, help="default: %(default)s")
    options = parser.parse_args()
    init = InitMsg(outbound_streams=options.streams, inbound_streams=options.streams)
    async with asyncio.TaskGroup() as tasks:
        conn = await connect(options.address, init=init, options=OPTIONS, events=EVENTS)
        async with conn:
            tasks.create_task(print_events(conn))
            print(f"connected: {conn.outbound_streams} streams out, {conn.inbound_streams} in")
            began = time.perf_counter()
            alone = asyncio.Lock()
            each = options.messages // options.streams
            talks = [talk(conn, sid, each, alone) for sid in range(options.streams)]
            trips = [trip for trips in await asyncio.gather(*talks) for trip in trips]
            spent = time.perf_counter() - began
    report(trips, spent)


def report(trips: list[tuple[int, float]], spent: float) -> None:
    megabytes = sum(size for size, _ in trips) / 1e6
    print(f"shut down gracefully after {len(trips)} messages of 1 to {max(trips)[0]} bytes")
    print(f"{len(trips) / spent:.0f} echoes/s, {megabytes / spent:.1f} MB/s in each direction, {spent:.2f} s")
    for name, low, high in (("up to 1 KiB", 0, 1024), ("1 KiB to 256 KiB", 1024, LARGEST)):
        times = [seconds * 1000 for size, seconds in trips if low < size <= high]
        if len(times) > 1:
            p = statistics.quantiles(times, n=100, method="inclusive")
            print(f"round trip, {name:>16}: p50 {p[49]:.2f} ms, p90 {p[89]:.2f} ms, p99 {p[98]:.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
