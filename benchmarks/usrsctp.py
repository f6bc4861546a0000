"""Messages a second on usrsctp: sctpio beside a plain C program on the same library (plain_usrsctp.c).

Both ends are processes of their own, over UDP on the loopback interface; the cases take turns.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from sctpio import ReceiveBuffer, connect, listen, usrsctp_config

HERE = Path(__file__).resolve()
DATA = bytes(64)
ROUNDS = 5
FLOOD, TRIPS = 50_000, 3_000
SCTP_PORT = 5001
OPTIONS = [ReceiveBuffer(4 * 1024 * 1024)]
BATCH = 64

CASES = ("plain C", "sctpio", "sctpio, uvloop", "sctpio, uvloop, batches")
WORK = ((f"one way, {FLOOD} messages", FLOOD, 0), (f"there and back, {TRIPS} messages", TRIPS, 1))


async def serve(messages: int, trips: int, batch: int) -> None:
    async with listen(f"127.0.0.1:{SCTP_PORT}", options=OPTIONS, stack="usrsctp") as listener:
        print("ready", flush=True)
        async with await listener.accept() as conn:
            if trips:
                for _ in range(messages):
                    await conn.send((await conn.receive()).data)
            else:
                while batch and messages:
                    messages -= len(await conn.receive_many(BATCH))
                for _ in range(messages):
                    await conn.receive()
                await conn.send(DATA)
            await conn.wait_closed()


async def talk(messages: int, trips: int, batch: int) -> None:
    async with connect(f"127.0.0.1:{SCTP_PORT}", options=OPTIONS, stack="usrsctp") as conn:
        began = time.perf_counter()
        if trips:
            for _ in range(messages):
                await conn.send(DATA)
                await conn.receive()
        else:
            for _ in range(messages // BATCH if batch else 0):
                await conn.send_many([DATA] * BATCH)
            for _ in range(messages % BATCH if batch else messages):
                await conn.send(DATA)
            await conn.receive()
        print(time.perf_counter() - began)


def be_one_end(case: str, end: str, udp_port: str, peer_udp_port: str, messages: str, trips: str) -> None:
    usrsctp_config(udp_port=int(udp_port), remote_udp_port=int(peer_udp_port))
    work = (serve if end == "server" else talk)(int(messages), int(trips), "batches" in case)
    (uvloop if "uvloop" in case else asyncio).run(work)


def two_udp_ports() -> tuple[str, str]:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        one.bind(("", 0))
        other.bind(("", 0))
        return str(one.getsockname()[1]), str(other.getsockname()[1])


def measure(case: str, plain: Path, messages: int, trips: int) -> float:
    """Give the messages a second."""
    ours, theirs = two_udp_ports()

    def command(end: str, udp_port: str, peer_udp_port: str) -> list[str]:
        if case == "plain C":
            sizes = [str(messages), str(len(DATA)), str(trips)]
            return [str(plain), end, udp_port, peer_udp_port, str(SCTP_PORT), *sizes]
        return [sys.executable, str(HERE), case, end, udp_port, peer_udp_port, str(messages), str(trips)]

    with subprocess.Popen(command("server", theirs, ours), stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        talking = command("client", ours, theirs)
        client = subprocess.run(talking, stdout=subprocess.PIPE, check=True, timeout=120)
    return messages / float(client.stdout)


def main() -> None:
    print(
        f"usrsctp over UDP, Linux {os.uname().release}, {len(DATA)}-byte messages, median of {ROUNDS}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain")
        compiler = os.environ.get("CC", "gcc").split()
        source = HERE.with_name("plain_usrsctp.c")
        subprocess.run([*compiler, "-O2", "-o", plain, source, "-l:libusrsctp.a", "-lpthread"], check=True)
        for title, messages, trips in WORK:
            rates: dict[str, list[float]] = {case: [] for case in CASES}
            for _ in range(ROUNDS):
                for case in CASES:
                    rates[case].append(measure(case, plain, messages, trips))
            yardstick = statistics.median(rates["plain C"])
            for case, measured in rates.items():
                rate, span = statistics.median(measured), f"({min(measured):.0f} to {max(measured):.0f})"
                print(
                    f"{title}: {case:24} {rate:7.0f}/s {span:20} {rate / yardstick:.2f} of plain C",
                    flush=True,
                )


if __name__ == "__main__":
    be_one_end(*sys.argv[1:]) if len(sys.argv) > 1 else main()
