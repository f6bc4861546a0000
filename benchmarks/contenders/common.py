"""What all contenders share: the words of a run, the protocol, the meter.

A contender does one run for the words of its command line, or one for each line of standard input:

    plain role=server work=flood size=64 count=10000 streams=1 associations=1 mode=one port=5000 form=single

- `role`: server or client. `work`: flood (the client sends `count` messages of `size` bytes, round robin over
  associations and streams; a multiple of `associations`), echo (each is answered before the next one), setup
  (`count` associations set up and shut down, one after the other), idle (the memory of `associations`, less
  that of one).
- `mode`: one (a socket for each association), or many (the server has one one-to-many socket for all).
- `form`: single (one message a call), batch, or bundle (batches whose messages share packets); what else a
  contender knows.
- `burst`: for C as a client, how many messages it sends at a time, before the receiver runs; 0 is a flood.
- `loop`: asyncio or uvloop. `memory`, for idle: resident, or python (tracemalloc's; it slows all down).

The server prints `ready`. On each association the client greets with FIRST or OTHER; the server has all of
them and answers GO on the first. Now the measured phase begins at each end, and ends with the last message at
the server and its answer DONE at the client. Each end prints its results as a line of JSON, waits for a line
of standard input (the other end may not be ready), aborts what there is, and says `over` before it waits for
the next run. A message of the wrong size, or one too many, ends the program with a complaint. The payload is
zeros, the PPID 60 where there is one.
"""

import asyncio
import gc
import json
import os
import resource
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

FIRST, OTHER, GO, DONE = (bytes([number]) for number in (1, 2, 3, 4))
BATCH = 64
PPID = 60
MOST_STREAMS = 64


@dataclass
class Run:
    """The words of a run."""

    role: str = "client"
    work: str = "flood"
    size: int = 64
    count: int = 10_000
    streams: int = 1
    associations: int = 1
    mode: str = "one"
    address: str = "127.0.0.1"
    port: int = 5000
    form: str = "single"
    burst: int = 0
    loop: str = "asyncio"
    memory: str = "resident"
    send_buffer: int = 1 << 20
    receive_buffer: int = 4 << 20
    udp_port: int = 9899
    peer_udp_port: int = 9900

    @property
    def share(self) -> int:
        """The messages of each association."""
        return self.count // self.associations


class Source(Protocol):
    """An end of one association, or a one-to-many socket, in a contender's own words."""

    async def get(self) -> bytes: ...
    async def put(self, data: bytes) -> None:
        """Send, on a one-to-many socket to where FIRST came from."""

    def abort(self) -> None: ...


class Door(Protocol):
    """What listens. A one-to-many socket may be its own only source."""

    async def accept(self) -> Source: ...
    def close(self) -> None: ...


@dataclass
class Contender:
    """What is particular to a contender: the loops that are measured are its own."""

    listen: Callable[[Run], Awaitable[Door]]
    connect: Callable[[Run], Awaitable[Any]]
    take: Callable[[Any, Run, int], Awaitable[None]]  # from a source, that many messages
    answer: Callable[[Any, Run, int], Awaitable[None]]  # the same, and send each back
    flood: Callable[[Sequence[Any], Run], Awaitable[None]]
    trips: Callable[[Sequence[Any], Run], Awaitable[list[float]]]
    end: Callable[[Any], Awaitable[None]]  # shut down gracefully, and wait for it
    see_end: Callable[[Any], Awaitable[None]]  # wait for the peer to do that, and close
    one_source: Callable[[Run], bool] = lambda run: run.mode == "many"  # that is all associations


class Meter:
    """Wall-clock and CPU time of this process, in seconds, since it was made."""

    def __init__(self) -> None:
        self.cpu = self.used()
        self.began = time.perf_counter()

    @staticmethod
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def stop(self, messages: int) -> dict[str, float]:
        cpu = self.used() - self.cpu
        return {"messages": messages, "seconds": time.perf_counter() - self.began, "cpu": cpu}


def memory(run: Run) -> int:
    """Give the bytes that this process has: Python's own, or resident ones."""
    gc.collect()
    if run.memory == "python":
        return tracemalloc.get_traced_memory()[0]
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def check_size(data: bytes, run: Run) -> None:
    if len(data) != run.size:
        raise ValueError(f"a message has {len(data)} bytes, not {run.size}")


def say(text: str) -> None:
    print(text, flush=True)


def report(results: Mapping[str, float]) -> None:
    """Print the results, and wait until the other end may be left."""
    say(json.dumps(results))
    sys.stdin.readline()


async def expect(source: Source, wanted: bytes) -> None:
    if (got := await source.get()) != wanted:
        raise ValueError(f"{wanted!r} was expected, not {got[:8]!r}")


async def meet(door: Door, run: Run, one_source: bool) -> tuple[list[Source], Source, int]:
    """Take all associations and their greetings; give the sources, the first one's, and the memory at it."""
    sources: list[Source] = []
    first, used = None, 0
    for number in range(run.associations):
        if not sources or not one_source:
            sources.append(await door.accept())
        greeting = await sources[-1].get()
        if greeting == FIRST:
            first, used = sources[-1], memory(run) if run.work == "idle" else 0
        elif greeting != OTHER:
            raise ValueError(f"association {number} greets with {greeting[:8]!r}")
    assert first is not None
    return sources, first, used


async def in_tasks(
    work: Callable[[Any, Run, int], Awaitable[None]], sources: Sequence[Any], run: Run
) -> None:
    """Have a task for each source, as servers do; without one where there is but one source."""
    if len(sources) == 1:
        await work(sources[0], run, run.count)
        return
    async with asyncio.TaskGroup() as tasks:
        for source in sources:
            tasks.create_task(as_coroutine(work(source, run, run.share)))


async def as_coroutine(work: Awaitable[None]) -> None:
    await work


async def serve(contender: Contender, run: Run) -> None:
    door = await contender.listen(run)
    say("ready")
    sources, first, used = await meet(door, run, contender.one_source(run))
    if run.work == "idle":
        report_memory = {"associations": run.associations - 1, "bytes": memory(run) - used}
        await first.put(GO)
        report(report_memory)
    else:
        meter = Meter()
        await first.put(GO)
        await in_tasks(contender.answer if run.work == "echo" else contender.take, sources, run)
        results = meter.stop(run.count)
        await first.put(DONE)
        report(results)
    for source in sources:
        source.abort()
    door.close()


async def serve_setups(contender: Contender, run: Run) -> None:
    door = await contender.listen(run)
    say("ready")
    meter = Meter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(run.count):
            tasks.create_task(as_coroutine(contender.see_end(await door.accept())))
    report(meter.stop(run.count))
    door.close()


async def talk(contender: Contender, run: Run) -> None:
    sources: list[Source] = []
    used = 0
    for number in range(run.associations):
        sources.append(await contender.connect(run))
        await sources[-1].put(OTHER if number else FIRST)
        if not number and run.work == "idle":
            used = memory(run)
    await expect(sources[0], GO)
    if run.work == "idle":
        report({"associations": run.associations - 1, "bytes": memory(run) - used})
    else:
        trips: list[float] = []
        meter = Meter()
        if run.work == "echo":
            trips = await contender.trips(sources, run)
        else:
            await contender.flood(sources, run)
        await expect(sources[0], DONE)
        results = meter.stop(run.count)
        if trips:
            trips.sort()
            results |= {"p50": trips[len(trips) // 2], "p99": trips[len(trips) * 99 // 100]}
        report(results)
    for source in sources:
        source.abort()


async def set_up(contender: Contender, run: Run) -> None:
    meter = Meter()
    for _ in range(run.count):
        await contender.end(await contender.connect(run))
    report(meter.stop(run.count))


async def guarded(part: Coroutine[Any, Any, None]) -> None:
    """Let an error in a callback of the loop end the program, rather than have it wait for ever."""
    asyncio.get_running_loop().set_exception_handler(give_up)
    await part


def give_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    loop.default_exception_handler(context)
    os._exit(1)


def perform(contender: Contender, words: Sequence[str]) -> None:
    """Do one run."""
    run = Run()
    kinds = {field.name: field.type for field in fields(Run)}
    for word in words:
        name, _, value = word.partition("=")
        setattr(run, name, int(value) if kinds[name] is int else value)
    parts: dict[str, Callable[[Contender, Run], Coroutine[Any, Any, None]]]
    parts = {"server": serve, "client": talk}
    if run.work == "setup":
        parts = {"server": serve_setups, "client": set_up}
    part = guarded(parts[run.role](contender, run))
    if run.memory == "python":
        tracemalloc.start()
    if run.loop == "uvloop":
        import uvloop

        uvloop.run(part)
    else:
        asyncio.run(part)
    tracemalloc.stop()


def main(contender: Contender) -> None:
    """Do the run of the command line, or those of standard input."""
    if len(sys.argv) > 1:
        perform(contender, sys.argv[1:])
        return
    for line in iter(sys.stdin.readline, ""):
        perform(contender, line.split())
        say("over")
