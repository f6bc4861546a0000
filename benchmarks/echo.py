"""Messages a second over the kernel's SCTP: sctpio beside the standard library's blocking socket.

Both ends run the same code in a process each; the cases take turns. In a guest system calls dominate.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from sctpio import ReceiveBuffer, connect, listen

GUEST = Path(__file__).resolve().parents[1] / "tests" / "guest" / "run"
DATA = bytes(64)
ROUNDS = 5
FLOOD = 5_000
TRIPS = 1_000
SCTP_NODELAY = 3
# Many small messages overflow the default buffer, and then retransmissions are what is measured.
WINDOW = 4 * 1024 * 1024


def plain_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    sock.setsockopt(socket.IPPROTO_SCTP, SCTP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    return sock


def blocking_server(ready: Connection, trips: int) -> None:
    with plain_socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ready.send(listener.getsockname()[1])
        conn = listener.accept()[0]
        with conn:
            for _ in range(trips or FLOOD):
                data = conn.recv(65536)
                if trips:
                    conn.send(data)
            if not trips:
                conn.send(DATA)


def blocking_client(port: int, trips: int) -> float:
    with plain_socket() as conn:
        conn.connect(("127.0.0.1", port))
        began = time.perf_counter()
        for _ in range(trips or FLOOD):
            conn.send(DATA)
            if trips:
                conn.recv(65536)
        if not trips:
            conn.recv(65536)
        return time.perf_counter() - began


async def sctpio_server(ready: Connection, trips: int) -> None:
    async with listen("127.0.0.1:0", options=[ReceiveBuffer(WINDOW)]) as listener:
        ready.send(listener.port)
        async with await listener.accept() as conn:
            for _ in range(trips or FLOOD):
                message = await conn.receive()
                if trips:
                    await conn.send(message.data)
            if not trips:
                await conn.send(DATA)
            await conn.wait_closed()


async def sctpio_client(port: int, trips: int) -> float:
    async with connect(("127.0.0.1", port), options=[ReceiveBuffer(WINDOW)]) as conn:
        began = time.perf_counter()
        for _ in range(trips or FLOOD):
            await conn.send(DATA)
            if trips:
                await conn.receive()
        if not trips:
            await conn.receive()
        return time.perf_counter() - began


Server = Callable[[Connection, int], None]
Client = Callable[[int, int], float]
CASES: dict[str, tuple[Server, Client]] = {
    "blocking socket": (blocking_server, blocking_client),
    "sctpio, asyncio": (
        lambda r, t: asyncio.run(sctpio_server(r, t)),
        lambda p, t: asyncio.run(sctpio_client(p, t)),
    ),
    "sctpio, uvloop": (
        lambda r, t: uvloop.run(sctpio_server(r, t)),
        lambda p, t: uvloop.run(sctpio_client(p, t)),
    ),
}


def measure(server: Server, client: Client, trips: int) -> float:
    """Give the messages a second in one direction: one way, or there and back where `trips` are wanted."""
    ours, theirs = get_context("fork").Pipe()
    process = get_context("fork").Process(target=server, args=(theirs, trips))
    process.start()
    seconds = client(ours.recv(), trips)
    process.join()
    return (trips or FLOOD) / seconds


def main() -> None:
    if "SCTPIO_GUEST" in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "mtu", "1500"], check=True)
        subprocess.run(["sysctl", "-q", "-w", f"net.core.rmem_max={WINDOW}"], check=True)
    print(f"Linux {os.uname().release}, 64-byte messages, median of {ROUNDS} (lowest to highest)", flush=True)
    for title, trips in ((f"one way, {FLOOD} messages", 0), (f"there and back, {TRIPS} messages", TRIPS)):
        rates: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(ROUNDS):
            for name, (server, client) in CASES.items():
                rates[name].append(measure(server, client, trips))
        yardstick = statistics.median(rates["blocking socket"])
        for name, all_rates in rates.items():
            rate, span = statistics.median(all_rates), f"({min(all_rates):.0f} to {max(all_rates):.0f})"
            print(
                f"{title}: {name:16} {rate:7.0f}/s {span:18} {rate / yardstick:.2f} of blocking", flush=True
            )
    counters = dict(line.split() for line in Path("/proc/net/sctp/snmp").read_text().splitlines())
    names = ("SctpT3RtxExpireds", "SctpInPktDiscards")
    print("should be 0:", ", ".join(f"{name} {counters[name]}" for name in names))


if __name__ == "__main__":
    try:
        plain_socket().close()
    except OSError:
        sys.exit(
            subprocess.run([GUEST, "--timeout", "600", sys.executable, __file__], check=False).returncode
        )
    main()
