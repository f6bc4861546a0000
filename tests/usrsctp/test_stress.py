"""Readers, writers, closers and cancellations on all kinds of sockets at once: nothing is lost or spins.

`SCTPIO_TEST_MESSAGES` says how many messages run in all, `SCTPIO_TEST_SEED` which run it is.
"""

import asyncio
import os
import random
import struct
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from sctpio import (
    Address,
    AssociationError,
    ClosedError,
    Conn,
    EndOfAssociation,
    Listener,
    Mode,
    ReceiveBuffer,
    SendBuffer,
    connect,
    listen,
)
from sctpio.stacks._usrsctp import lib
from support import PATIENCE, associations, descriptor_count, until

SEED = int(os.environ.get("SCTPIO_TEST_SEED", "5"))
MESSAGES = int(os.environ.get("SCTPIO_TEST_MESSAGES", "20000"))

AT_ONCE = 8
STREAMS = 4
# Both ends wait for each other all the time.
SMALL = [SendBuffer(20_000), ReceiveBuffer(20_000)]

# What a run may take for itself, whatever it carries. AddressSanitizer keeps what was freed.
MOST_MEMORY = (1024 if os.environ.get("SCTPIO_SANITIZE") else 48) << 20

HEADER = struct.Struct("!IBHII")
ENDS = ["both have all", "one closes early", "both close", "abort", "close is cancelled"]
T = TypeVar("T")


def resident() -> int:
    """Give the memory that this process has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads() -> int:
    """Count the threads of this process."""
    return len(os.listdir("/proc/self/task"))


def message(life: int, way: int, stream: int, index: int, rng: random.Random) -> bytes:
    """Write a message that tells whose it is, with a checksum."""
    size = rng.choice([0, 10, 100, 300, 300, 3000])
    body = (index % 251).to_bytes(1, "big") * size
    return HEADER.pack(life, way, stream, index, zlib.crc32(body, life ^ index)) + body


class Total:
    """What all lives did together."""

    def __init__(self) -> None:
        self.received = 0
        self.cancelled = 0
        self.lives = 0
        self.ends = dict.fromkeys(ENDS, 0)


class Life:
    """One association, from its connect to its end."""

    def __init__(self, number: int, total: Total) -> None:
        self.number = number
        self.total = total
        self.rng = random.Random(f"{SEED} {number}")
        self.server: asyncio.Future[Conn] = asyncio.get_running_loop().create_future()
        self.each = self.rng.randrange(20, 200)
        self.sent = [[0] * STREAMS, [0] * STREAMS]
        self.got = [[0] * STREAMS, [0] * STREAMS]

    async def perhaps_cancelled(self, call: Callable[[], Awaitable[T]], odds: float) -> T:
        """Await a call that nothing is lost of when it is cancelled: again and again, until it was not."""
        while self.rng.random() < odds:
            task = asyncio.ensure_future(call())
            for _ in range(self.rng.randrange(3)):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                return await task
            self.total.cancelled += 1
        return await call()

    async def write(self, way: int, conn: Conn) -> None:
        """Send this end's messages."""
        for _ in range(self.each):
            stream = self.rng.randrange(STREAMS)
            data = message(self.number, way, stream, self.sent[way][stream], self.rng)

            async def send(data: bytes = data, stream: int = stream) -> None:
                await conn.send(data, stream=stream)

            await self.perhaps_cancelled(send, 0.04)
            self.sent[way][stream] += 1
        await self.perhaps_cancelled(conn.flush, 0.3)

    async def read(self, way: int, conn: Conn, most: int | None = None) -> None:
        """Receive what the other end sent, all of it or `most`, and check each message."""
        got = self.got[way]
        while sum(got) < (self.each if most is None else most):
            received = await self.perhaps_cancelled(conn.receive, 0.04)
            life, whose, stream, index, digest = HEADER.unpack_from(received.data)
            assert (life, whose, stream) == (self.number, way, received.stream)
            assert index == got[stream], f"message {index} of stream {stream} where {got[stream]} is due"
            assert digest == zlib.crc32(received.data[HEADER.size :], life ^ index)
            got[stream] += 1
            self.total.received += 1

    async def live(self, make: Callable[[], Awaitable[Conn]]) -> None:
        """Connect, talk, end."""
        if self.rng.random() < 0.1:
            # An association that nobody waits for: the server end sees it come and go, or not at all.
            task = asyncio.ensure_future(make())
            for _ in range(self.rng.randrange(6)):
                await asyncio.sleep(self.rng.choice([0, 0.001]))
            task.cancel()
            with suppress(asyncio.CancelledError):
                await (await task).abort()
        client = await make()
        try:
            await client.send(self.number.to_bytes(4, "big"))
            server = await self.server
            try:
                await self.talk(client, server)
            finally:
                await server.abort()
        finally:
            await client.abort()

    async def talk(self, client: Conn, server: Conn) -> None:
        """Send both ways, and end in one way or another."""
        end = self.rng.choice(ENDS)
        self.total.ends[end] += 1
        first, second = (client, server) if self.rng.random() < 0.5 else (server, client)
        if end == "one closes early":
            reader = asyncio.create_task(self.read(0, second))
            await self.write(0, first)
            closing = asyncio.create_task(first.close())
            await reader
            with pytest.raises(EndOfAssociation):
                await second.receive()
            await closing
            assert self.got[0] == self.sent[0]
        elif end in ("both have all", "both close"):
            async with asyncio.TaskGroup() as group:
                for way, (source, target) in enumerate([(first, second), (second, first)]):
                    group.create_task(self.write(way, source))
                    group.create_task(self.read(way, target))
            assert self.got == self.sent
            if end == "both close":
                await asyncio.gather(client.close(), server.close())
            else:
                await first.close()
                with pytest.raises(EndOfAssociation):
                    await second.receive()
        else:
            await self.break_off(end, first, second)

    async def break_off(self, end: str, first: Conn, second: Conn) -> None:
        """End it while messages are on their way: what arrived is in order, and everybody is told."""
        tasks = [
            asyncio.create_task(talk)
            for way, (source, target) in enumerate([(first, second), (second, first)])
            for talk in (self.write(way, source), self.read(way, target))
        ]
        enough = self.rng.randrange(self.each)
        while sum(self.got[0]) < enough and not all(task.done() for task in tasks):
            await asyncio.sleep(0)
        if end == "abort":
            await first.abort(b"enough")
        else:
            closing = asyncio.create_task(first.close())
            for _ in range(self.rng.randrange(4)):
                await asyncio.sleep(0)
            closing.cancel()
            with suppress(asyncio.CancelledError):
                await closing
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if outcome is not None and not isinstance(
                outcome, AssociationError | ClosedError | EndOfAssociation
            ):
                raise outcome
        for way in (0, 1):
            assert all(got <= sent + 1 for got, sent in zip(self.got[way], self.sent[way], strict=True))


class Servers:
    """A listener of each kind, whose associations find their lives; some are peeled off at once."""

    def __init__(self, rng: random.Random, lives: dict[int, Life]) -> None:
        self.rng = rng
        self.lives = lives

    async def accept(self, listener: Listener, group: asyncio.TaskGroup, *, can_peel: bool) -> None:
        """Take what comes, with cancellations in between."""
        while True:
            try:
                async with asyncio.timeout(self.rng.choice([None, None, 0.0, 0.001])):
                    conn = await listener.accept()
            except ClosedError:
                return
            except TimeoutError:
                continue
            group.create_task(self.introduce(conn, peel=can_peel and self.rng.random() < 0.3))

    async def introduce(self, conn: Conn, *, peel: bool) -> None:
        """Hand an association over to its life."""
        try:
            if peel:
                conn = await conn.peel_off()
            number = int.from_bytes((await conn.receive()).data, "big")
        except (AssociationError, EndOfAssociation):
            await conn.abort()
        else:
            self.lives[number].server.set_result(conn)


async def run_lives(total: Total, lives: dict[int, Life]) -> None:
    """Let lives follow each other until there were messages enough; all sockets are closed then."""
    rng = random.Random(SEED)
    servers = Servers(rng, lives)

    async def again(caller: Listener, remote: Address) -> Conn:
        """Connect from the port that the last association had, as soon as that is gone."""
        while True:
            try:
                return await caller.connect(remote)
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def follow(single: Listener, many: Listener) -> None:
        async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, options=SMALL) as caller:
            await follow_by(
                [
                    lambda: connect(single.local_addresses, options=SMALL),
                    lambda: connect(many.local_addresses, options=SMALL),
                    lambda: again(caller, single.local_addresses),
                    lambda: again(caller, many.local_addresses),
                ]
            )

    async def follow_by(makers: list[Callable[[], Awaitable[Conn]]]) -> None:
        while total.received < MESSAGES:
            number = total.lives
            total.lives += 1
            life = lives[number] = Life(number, total)
            try:
                async with asyncio.timeout(60 * PATIENCE):
                    await life.live(rng.choice(makers))
            except BaseException as error:
                error.add_note(f"life {number} of seed {SEED}: {life.sent} sent, {life.got} received")
                raise
            del lives[number]

    async with (
        listen("127.0.0.1:0", mode=Mode.ONE_TO_ONE, options=SMALL) as single,
        listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, options=SMALL) as many,
        asyncio.TaskGroup() as accepting,
    ):
        accepting.create_task(servers.accept(single, accepting, can_peel=False))
        accepting.create_task(servers.accept(many, accepting, can_peel=True))
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(follow(single, many))
        for listener in (single, many):
            await listener.close()


@pytest.mark.timeout(3600)
async def test_readers_writers_closers_and_cancellations_of_all_sockets_lose_nothing() -> None:
    total = Total()
    before = lib.sctpio_signals(), threads(), descriptor_count(), resident()
    await run_lives(total, {})
    await until(lambda: not associations())
    told = f"seed {SEED}, {vars(total)}"
    assert len(asyncio.all_tasks()) == 1, told
    assert (threads(), descriptor_count()) == before[1:3], told
    assert resident() - before[3] < MOST_MEMORY, told
    # A signal for each message and a handful for the life of each association: nobody spins.
    signals = lib.sctpio_signals() - before[0]
    assert signals < 3 * total.received + 50 * total.lives, f"{signals} signals; {told}"
    if MESSAGES >= 20_000:
        assert all(total.ends.values()), told
        assert total.cancelled > MESSAGES / 100, told
