"""What chance finds: tasks that send, receive, flush, cancel, peel off, close and abort, on loops in threads.

`fuzz` keeps an account for each stream: what was taken for sending and not aborted arrives once, in order.
Alone, it runs for an hour, with the storm of `storm`: `soak.py [--seconds 3600] [--seed N]` (`make soak`).
A failure names its seed, its loop and its episode. `--record FILE` keeps what is measured each minute, from
which `benchmarks/endurance.py` makes docs/endurance.md.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from sctpio import (
    AssociationError,
    Conn,
    EndOfAssociation,
    Listener,
    Mode,
    ReceiveBuffer,
    ReceiveBufferFullError,
    SendBuffer,
    connect,
    listen,
)
from support import LOCAL, PATIENCE, associations, descriptor_count, start_stack

STREAMS = 4
MOST_MESSAGES = 40
# Seconds without a message in either direction, after which an episode hangs.
STALLED = 60.0 * PATIENCE
STORM = Path(__file__).with_name("storm.py")

# How an association that a test still uses may end.
ENDS = (AssociationError, EndOfAssociation)


def debug_loop() -> asyncio.AbstractEventLoop:
    """Make a loop in debug mode."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    # Its messages about slow callbacks say nothing here.
    loop.slow_callback_duration = 60.0
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
    "debug": debug_loop,
}

if sys.version_info >= (3, 12):

    def eager_loop() -> asyncio.AbstractEventLoop:
        """Make a loop whose tasks begin at once."""
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    LOOPS["eager"] = eager_loop


class Direction:
    """One direction of an association: what was sent on each stream, and what arrived."""

    def __init__(self, sender: Conn, receiver: Conn, rng: random.Random, moved: Callable[[], None]) -> None:
        self.moved = moved
        self.sender = sender
        self.receiver = receiver
        self.sent: dict[int, list[bytes]] = defaultdict(list)
        self.arrived: dict[int, list[bytes]] = defaultdict(list)
        self.rng = rng
        self.over = False

    async def maybe_cancelled(self, coroutine: Coroutine[Any, Any, None]) -> bool:
        """Run it in a task that may be cancelled after some turns; return whether it was done.

        Raises how the association ended.
        """
        task = asyncio.ensure_future(coroutine)
        # Whoever waits for it here may be cancelled.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.rng.random() < 0.4:
            for _ in range(self.rng.randrange(5)):
                await asyncio.sleep(0)
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if mine is not None and mine.cancelling():
                raise
            return False
        except ReceiveBufferFullError:
            # On a busy machine a reader may be away for longer than the grace.
            return False
        return True

    async def send(self, stream: int) -> None:
        """Send numbered messages on one stream."""
        for number in range(self.rng.randrange(1, MOST_MESSAGES)):
            data = b"%d/%d/" % (stream, number) + bytes(self.rng.choice((0, 10, 1000, 5000)))

            async def send(data: bytes = data) -> None:
                if self.rng.random() < 0.2:
                    await self.sender.send_many([data], stream=stream)
                else:
                    await self.sender.send(data, stream=stream)
                self.sent[stream].append(data)

            try:
                await self.maybe_cancelled(send())
            except ENDS:
                return
            if self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.random() * 0.002)

    async def receive(self, streams: list[int]) -> None:
        """Receive until cancelled, or until the association is over."""
        claimed = [self.receiver.stream(stream) for stream in streams]

        async def take() -> None:
            await take_some()
            self.moved()

        async def take_some() -> None:
            if claimed:
                message = await self.rng.choice(claimed).receive()
                self.arrived[message.stream].append(message.data)
            elif self.rng.random() < 0.3:
                for message in await self.receiver.receive_many(self.rng.choice((None, 1, 3))):
                    self.arrived[message.stream].append(message.data)
            else:
                message = await self.receiver.receive()
                self.arrived[message.stream].append(message.data)

        with contextlib.suppress(*ENDS):
            while not self.over:
                await self.maybe_cancelled(take())

    async def flush(self) -> None:
        """Flush now and then."""
        with contextlib.suppress(*ENDS):
            while not self.over:
                await self.maybe_cancelled(self.sender.flush())
                await asyncio.sleep(self.rng.random() * 0.01)

    @property
    def complete(self) -> bool:
        """Whether as much arrived as was sent."""
        return sum(map(len, self.arrived.values())) >= sum(map(len, self.sent.values()))

    def check(self, *, aborted: bool) -> None:
        """Compare the account: all that was sent arrived, or what came before an abort."""
        for stream in self.sent.keys() | self.arrived.keys():
            sent, arrived = self.sent[stream], self.arrived[stream]
            if aborted:
                sent = sent[: len(arrived)]
            assert arrived == sent, f"stream {stream}: {brief(arrived)} arrived of {brief(sent)}"


def brief(messages: list[bytes]) -> str:
    """Name messages by what they begin with."""
    return " ".join(data.rstrip(b"\0").decode() for data in messages)


class Episode:
    """An association from its beginning to its end, with random tasks at both sides."""

    def __init__(self, listener: Listener, mode: Mode, rng: random.Random, limit: asyncio.Timeout) -> None:
        self.limit = limit
        self.listener = listener
        self.mode = mode
        self.rng = rng

        self.began = time.monotonic()
        self.stages: list[str] = []
        self.ends: list[Conn] = []
        self._others: dict[int, Conn] = {}

    def moved(self) -> None:
        """Note that it goes on.

        It has no limit in all: with buffers that hold one message, a loop that gets little time meets the
        stack's retransmission timers, a second and more each, again and again.
        """
        self.limit.reschedule(asyncio.get_running_loop().time() + STALLED)

    def stage(self, name: str) -> None:
        """Note how far it has come, and when."""
        self.moved()
        self.stages.append(f"{time.monotonic() - self.began:.1f} s: {name}")

    def state(self) -> list[str]:
        """Say how far it has come and what the two ends look like, for whoever has to find out why."""
        return [", ".join(self.stages), *(str(conn.snapshot()) for conn in self.ends)]

    async def run(self) -> None:
        """Play it."""
        rng = self.rng
        options = rng.choice(([], [SendBuffer(20_000)], [ReceiveBuffer(20_000)]))
        receive_buffer = rng.choice((3_000, 1024 * 1024))
        client = await connect(self.listener.local_addresses, options=options, receive_buffer=receive_buffer)
        server = await self.listener.accept()
        while server.peer_addresses.port != client.local_addresses.port:
            # Another episode's: each takes its own.
            self._others[server.peer_addresses.port] = server
            server = await self._own(client.local_addresses.port)
        self.ends = [client, server]
        self.stage("connected")
        directions = [
            Direction(client, server, rng, self.moved),
            Direction(server, client, rng, self.moved),
        ]
        aborted = rng.random() < 0.3
        async with asyncio.TaskGroup() as group:
            senders = [
                group.create_task(each.send(stream)) for each in directions for stream in range(STREAMS)
            ]
            others = [group.create_task(self._receivers(each)) for each in directions]
            if rng.random() < 0.5:
                others += [group.create_task(each.flush()) for each in directions]
            if self.mode is Mode.ONE_TO_MANY and rng.random() < 0.5:
                others.append(group.create_task(self._peel_off(server)))
            if aborted:
                await asyncio.sleep(rng.random() * 0.05)
                await rng.choice((client, server)).abort()
            else:
                await asyncio.wait(senders)
                self.stage("sent")
                while not all(each.complete for each in directions):
                    await asyncio.sleep(0.001)
            self.stage("received")
            for each in directions:
                each.over = True
            for task in (*senders, *others):
                task.cancel()
        for each in directions:
            each.check(aborted=aborted)
        self.stage("ending")
        ends = [client, server]
        rng.shuffle(ends)
        if aborted or rng.random() < 0.3:
            for conn in ends:
                await conn.abort()
        else:
            await asyncio.gather(*(conn.close() for conn in ends))
        for conn in ends:
            await conn.wait_closed()

    async def _own(self, port: int) -> Conn:
        while True:
            if port in self._others:
                return self._others.pop(port)
            conn = await self.listener.accept()
            self._others[conn.peer_addresses.port] = conn

    async def _receivers(self, direction: Direction) -> None:
        """Some receivers take everything, or each stream has one of its own."""
        async with asyncio.TaskGroup() as group:
            if self.rng.random() < 0.3:
                for stream in range(STREAMS):
                    group.create_task(direction.receive([stream]))
            else:
                for _ in range(self.rng.randrange(1, 4)):
                    group.create_task(direction.receive([]))

    async def _peel_off(self, server: Conn) -> None:
        await asyncio.sleep(self.rng.random() * 0.02)
        with contextlib.suppress(*ENDS):
            await server.peel_off()


async def episodes(rng: random.Random, until: float, count: list[int]) -> None:
    """Play episodes, two at a time against each kind of listener."""
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

    async def play(mode: Mode, seed: int) -> None:
        own = random.Random(seed)
        async with listen(LOCAL, mode=mode, receive_buffer=own.choice((5_000, 1024 * 1024))) as listener:
            while time.monotonic() < until:
                try:
                    async with asyncio.timeout(STALLED) as limit:
                        episode = Episode(listener, mode, own, limit)
                        await episode.run()
                except TimeoutError as error:
                    for note in episode.state():
                        error.add_note(note)
                    raise
                count[0] += 1

    async with asyncio.TaskGroup() as group:
        for mode in (*Mode, *Mode):
            group.create_task(play(mode, rng.randrange(1 << 32)))
    if problems:
        raise AssertionError(f"{len(problems)} reached the loop's exception handler: {problems[:3]}")


def fuzz(seed: int, seconds: float) -> int:
    """Play on all kinds of loops at once, a thread each; return how many episodes there were.

    Raises the first failure, with a note that names the seed and the loop.
    """
    failures: list[BaseException] = []
    count = [0]
    until = time.monotonic() + seconds

    def run(name: str) -> None:
        try:
            with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
                runner.run(episodes(random.Random(f"{seed} {name}"), until, count))
        except BaseException as error:
            error.add_note(f"seed {seed}, on {name}, after {count[0]} episodes")
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in LOOPS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return count[0]


def storm(signals: int, loop: str, seconds: float) -> str:
    """Have a storm of signals in a process of its own, and return what it says; raises for a failure."""
    command = [sys.executable, str(STORM), str(signals), loop]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def sample(began: float, episodes: int) -> dict[str, float]:
    """Measure what must not grow: descriptors, memory in use in bytes, Python objects."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return {
        "seconds": round(time.monotonic() - began),
        "episodes": episodes,
        "descriptors": descriptor_count(),
        "resident": resident,
        "objects": len(gc.get_objects()),
    }


def main() -> None:
    """Run for long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--signals", type=int, default=40_000)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    storms = [storm(arguments.signals, loop, 3600) for loop in ("asyncio", "uvloop")]
    print(*storms, sep="\n", flush=True)
    start_stack()
    uvloop.new_event_loop().close()
    gc.collect()
    before, began, played = descriptor_count(), time.monotonic(), 0
    seed, samples = arguments.seed, [sample(began, 0)]
    while (left := began + arguments.seconds - time.monotonic()) > 0:
        count = fuzz(seed, min(60, left))
        while associations():
            time.sleep(0.01)
        played += count
        samples.append(sample(began, played))
        leaked = descriptor_count() - before
        print(f"seed {seed}: {count} episodes on {', '.join(LOOPS)}, {leaked} descriptors leaked", flush=True)
        if arguments.record:
            kernel = os.uname().release
            record = {"kernel": kernel, "loops": list(LOOPS), "storms": storms, "samples": samples}
            arguments.record.write_text(json.dumps(record, indent=1) + "\n")
        assert leaked <= 0
        seed += 1


if __name__ == "__main__":
    main()
