"""Where a received message's time goes, piece by piece, in nanoseconds of CPU time.

    tests/guest/run --kernel 6.12 --icount .venv/bin/python benchmarks/where.py [--record]

There a nanosecond is an instruction; anywhere else it is what the clock says. `--record` writes it for
docs/performance.md.

The pieces are what `LoopSocket._read_batch` and `Conn` do, each run by itself on batches in memory. The
kernel's share is what remains of the CPU time that `make bench` finds.
"""

import asyncio
import contextlib
import json
import platform
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sctpio import Message
from sctpio._abi.contract import MSG_EOR, RECORD, RECORDS
from sctpio._loop.association import Association
from sctpio._loop.event_stream import EventHub
from sctpio._loop.link import Link
from sctpio._loop.own_socket import OwnSocket
from sctpio._loop.records import new
from sctpio._loop.unread import Unread
from sctpio.conn import Conn
from sctpio.errors import ClosedError
from sctpio.message import Received

BATCH, SIZE, REPEATS = 64, 64, 60
RECORD_FILE = Path(__file__).with_name("results") / "where.json"
found: dict[str, int] = {}
SOURCE = b"\x02\x00\x13\x89\x7f\x00\x00\x01".ljust(28, b"\0")
RECORDS_OF_A_BATCH = b"".join(
    RECORD.pack(SIZE * n, SIZE, MSG_EOR, 7, 60, 1000 + n, 0, 0, n % 4, 300 + n, 0, 16, SOURCE)
    for n in range(BATCH)
)


class Memory:
    """Stands for a stack's socket: gives batches from memory, where `take` has found it readable."""

    def __init__(self, descriptor: int, take: Callable[[], object]) -> None:
        from sctpio.stacks._kernel import ffi
        from sctpio.stacks.kernel.socket import KernelSocket

        self.codec = KernelSocket.codec
        self.arena = ffi.buffer(ffi.new("uint8_t[]", BATCH * SIZE))
        self.descriptor, self.batch, self.take = descriptor, BATCH, take
        self.has_large = False

    def plain_call(self) -> None:
        """There is no C."""

    def fileno(self) -> int:
        return self.descriptor

    def receive(self, room: int, most: int) -> tuple[int, int, bytes, Any]:
        self.take()
        return -11, self.batch, RECORDS_OF_A_BATCH, self.arena

    def source(self, raw: bytes, association_id: int) -> Any:
        return self.codec.unpack_address(raw)

    def send(self, *_: object) -> bool:
        return True

    def close(self) -> None:
        self.descriptor = -1


def cost(work: Callable[[], object], operations: int = BATCH) -> float:
    """Give the CPU nanoseconds of one operation, the least of several rounds."""
    rounds = []
    for _ in range(5):
        began = time.process_time_ns()
        for _ in range(REPEATS):
            work()
        rounds.append((time.process_time_ns() - began) / REPEATS / operations)
    return min(rounds)


def tell(what: str, nanoseconds: float) -> None:
    print(f"{what:62} {nanoseconds:8.0f}", flush=True)
    found[what] = round(nanoseconds)


def unpacked() -> None:
    for _ in RECORD.iter_unpack(RECORDS_OF_A_BATCH):
        pass


def filled() -> None:
    for _ in range(BATCH):
        message = new(Received)
        message.data = b""
        message.stream = message.ppid = message.ssn = message.tsn = 1
        message.cumulative_tsn = message.context = message.association_id = 1
        message.unordered = False
        message.source = None
        message.complete = True
        message.__class__ = Message


async def main() -> None:
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    byte = bytearray(1)

    def take_byte() -> None:
        with contextlib.suppress(BlockingIOError):
            ours.recv_into(byte)

    raw: Any = Memory(ours.fileno(), lambda: None)
    association = Association(
        loop, unread=Unread(loop, 1 << 20), max_message_size=1 << 20, hub=EventHub(loop)
    )
    carrier = OwnSocket(raw, loop, association, RECORDS)
    association.up(7, 10, 10)
    conn = Conn(Link(association, carrier), None)
    arena = raw.arena

    tell("the record, unpacked", cost(unpacked))
    tell(
        "its bytes, copied out of the arena",
        cost(lambda: [arena[at : at + SIZE] for at in range(0, BATCH * SIZE, SIZE)]),
    )
    tell("the Message, filled", cost(filled))

    def read() -> None:
        carrier._read_batch(1 << 20)
        association.unread.take_all(association.unread.inbox, None)

    tell("all that a batch of 64 takes, and receive_many", cost(read))

    async def in_loop(number: int, take: Callable[[], Any]) -> float:
        """Have `number` messages a wake-up of the loop."""
        raw.batch, rounds = number, []
        for _ in range(5):
            began = time.process_time_ns()
            for _ in range(REPEATS):
                peer.send(byte)
                await take()
            rounds.append((time.process_time_ns() - began) / REPEATS)
        return min(rounds) - a_byte

    async def a_batch() -> None:
        left = raw.batch
        async for _ in conn:
            left -= 1
            if not left:
                return

    waiting = loop.create_future()

    async def bare() -> None:
        nonlocal waiting
        waiting = loop.create_future()
        await waiting

    def woken() -> None:
        take_byte()
        waiting.set_result(None)

    def byte_there_and_back() -> None:
        peer.send(byte)
        take_byte()

    a_byte = cost(byte_there_and_back, 1)
    raw.take = take_byte
    carrier._set_reading(True)
    one, many = await in_loop(1, a_batch), await in_loop(BATCH, a_batch)
    each = (many - one) / (BATCH - 1)
    carrier._set_reading(False)
    loop.add_reader(ours.fileno(), woken)
    tell("a message, received by `async for`", each)
    tell("a wake-up besides, whatever the number of messages", one - each)
    tell("a Future made done by a reader's callback, asyncio's own way: two turns", await in_loop(1, bare))
    loop.remove_reader(ours.fileno())

    async def send() -> None:
        for number in range(BATCH):
            await conn.send(b"x", stream=number % 4, ppid=60)
        take_byte()

    tell("a message, sent by `send`, but for the call into C", (await in_loop(BATCH, send)) / BATCH)
    association.cut_off(ClosedError())


if __name__ == "__main__":
    asyncio.run(main())
    if sys.argv[1:] == ["--record"]:
        RECORD_FILE.write_text(json.dumps({"kernel": platform.release(), "pieces": found}, indent=1) + "\n")
