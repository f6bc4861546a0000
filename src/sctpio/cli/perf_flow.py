"""One association of `perf`, at either end: what is agreed, what is sent, what is counted.

Both ends speak the same small protocol. Messages with the PPID `CONTROL` are JSON objects, all others data.

1. The client sends its `Plan`, and the server answers ``{"ready": true}``, or ``{"error": TEXT}``.
2. Who has to sends data: the client, the server (`reverse`), or each in turn (`round_trips`).
3. A client that has sent ends with ``{"end": true}``, once all is acknowledged, as streams do not wait for
   each other. The server answers with its report, ``{"report": ..., "cpu": ...}``; `reverse` ends with that.
"""

import asyncio
import json
import math
import resource
import time
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._loop.time_limits import CLOSE_TIMEOUT
from ..conn import Conn
from ..message import Message
from .exits import CommandError, Exit
from .output import escaped

__all__ = [
    "CONTROL",
    "LAST",
    "LONGEST",
    "Counts",
    "Plan",
    "Usage",
    "accept_plan",
    "request",
    "run_client",
    "run_server",
]

CONTROL = 0x73637470  # "sctp": no PPID that is assigned
BATCH = 1 << 18  # bytes that are given to the stack at once
MOST_TIMES = 1_000_000
ANSWER_WITHIN = 10.0
LONGEST, LAST = 1 << 24, 86400.0  # of a message, bytes; of a test, seconds


@dataclass(frozen=True)
class Plan:
    """What a client asks for; `messages` 0 means as many as fit into `seconds`."""

    length: int
    seconds: float
    messages: int
    streams: int
    reverse: bool
    round_trips: bool
    unordered: bool

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Plan":
        """Check what a client has sent; raises ValueError."""
        try:
            plan = cls(
                int(value["length"]),
                float(value["seconds"]),
                int(value["messages"]),
                int(value["streams"]),
                bool(value["reverse"]),
                bool(value["round_trips"]),
                bool(value["unordered"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no plan of a test: {error!r}") from None
        if not (0 < plan.length <= LONGEST and 0 < plan.streams <= 65535 and plan.messages >= 0):
            raise ValueError(f"a plan that cannot be: {plan}")
        if not 0 < plan.seconds <= LAST:
            raise ValueError(f"a plan that cannot be: {plan}")
        return plan


class Usage:
    """The processor time of this process since this was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._at_first = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime, used.ru_stime

    def percent(self) -> dict[str, float]:
        """Return the share of one processor: in total, in the program, in the kernel."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        user, system = (
            100 * (now - then) / seconds for now, then in zip(self._now(), self._at_first, strict=True)
        )
        return {"total": user + system, "user": user, "system": system}


@dataclass
class Counts:
    """What one end has counted; `times` are the round trips in seconds."""

    bytes: int = 0
    messages: int = 0
    seconds: float = 0.0
    streams: Counter[int] = field(default_factory=Counter)
    times: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, messages: list[Message]) -> None:
        """Count messages."""
        for message in messages:
            self.bytes += len(message.data)
            self.streams[message.stream] += len(message.data)
        self.messages += len(messages)

    def plain(self) -> dict[str, Any]:
        """Return what is told the other end."""
        streams = {str(stream): count for stream, count in self.streams.items()}
        return {"bytes": self.bytes, "messages": self.messages, "seconds": self.seconds, "streams": streams}

    @classmethod
    def read(cls, value: Any) -> "Counts":
        """Return what the other end has told; raises CommandError."""
        try:
            streams = Counter({int(stream): int(count) for stream, count in value["streams"].items()})
            seconds = _finite(value["seconds"])
            return cls(int(value["bytes"]), int(value["messages"]), seconds, streams)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise _wrong(f"its report cannot be read: {error!r}") from None


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        # Python reads it in JSON, where it cannot be written.
        raise ValueError(f"{number} is no number")
    return number


def _wrong(what: str, *, who: str = "server") -> CommandError:
    return CommandError(Exit.FOUND, f"the peer is no {who} of `sctpio perf`: {what}")


async def _tell(conn: Conn, value: Mapping[str, Any]) -> None:
    await conn.send(json.dumps(value).encode(), ppid=CONTROL)


def _control(message: Message, *, who: str = "server") -> dict[str, Any]:
    try:
        value = json.loads(message.data)
    except (ValueError, RecursionError):
        value = None
    if message.ppid != CONTROL or not isinstance(value, dict):
        raise _wrong(f"it sends {escaped(message.data[:60])}", who=who)
    return value


# The client


async def request(conn: Conn, plan: Plan) -> None:
    """Agree with the server; raises CommandError."""
    await _tell(conn, asdict(plan))
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            answer = _control(await conn.receive())
    except TimeoutError:
        raise CommandError(Exit.TIME_LIMIT, f"the peer has not answered within {ANSWER_WITHIN:g} s") from None
    if not answer.get("ready"):
        raise _wrong(escaped(str(answer.get("error", "it does not say that it is ready"))))


async def run_client(conn: Conn, plan: Plan, counts: Counts) -> tuple[Counts, dict[str, float]]:
    """Do what was agreed; return what the server has counted, and its processor's share."""
    if plan.reverse:
        answer = await _receive_until_control(conn, counts)
    elif plan.round_trips:
        await _ask(conn, plan, counts)
        await _tell(conn, {"end": True})
        answer = await _answer(conn)
    else:
        await _send(conn, plan, counts)
        await conn.flush()
        await _tell(conn, {"end": True})
        answer = await _answer(conn)
    try:
        used = {str(name): _finite(share) for name, share in answer["cpu"].items()}
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise _wrong("its report has no processor time") from None
    return Counts.read(answer.get("report")), used


async def _answer(conn: Conn) -> dict[str, Any]:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            return _control(await conn.receive())
    except TimeoutError:
        raise CommandError(Exit.TIME_LIMIT, f"no report of the peer within {CLOSE_TIMEOUT:g} s") from None


async def _ask(conn: Conn, plan: Plan, counts: Counts) -> None:
    """Send and wait for the answer, again and again."""
    payload = bytes(plan.length)
    began = now = time.perf_counter()
    end = began + plan.seconds
    while now < end and (not plan.messages or counts.messages < plan.messages):
        await conn.send(payload, stream=counts.messages % plan.streams, unordered=plan.unordered)
        answer = await conn.receive()
        if len(answer.data) != plan.length:
            raise _wrong(f"it answers {plan.length} bytes with {len(answer.data)}")
        then, now = now, time.perf_counter()
        counts.add([answer])
        if len(counts.times) < MOST_TIMES:
            counts.times.append(now - then)
        counts.seconds = now - began


# Both


async def _send(conn: Conn, plan: Plan, counts: Counts) -> None:
    """Send data over all streams in turn, as much as the plan says."""
    each = max(BATCH // plan.length, 1)
    payload = bytes(plan.length)
    turn = 0
    began = now = time.monotonic()
    end = began + plan.seconds
    while now < end and (not plan.messages or counts.messages < plan.messages):
        count = min(each, plan.messages - counts.messages) if plan.messages else each
        streams = [(turn + number) % plan.streams for number in range(count)]
        before = conn.statistics().messages_sent
        try:
            async with asyncio.timeout(end - now):
                await conn.send_many(
                    [Message(payload, stream=stream, unordered=plan.unordered) for stream in streams]
                )
        except TimeoutError:
            # Some of the batch was sent, and what was is counted.
            pass
        sent = conn.statistics().messages_sent - before
        turn += sent
        counts.messages += sent
        counts.bytes += sent * plan.length
        for stream in streams[:sent]:
            counts.streams[stream] += plan.length
        now = time.monotonic()
        counts.seconds = now - began


async def _receive_until_control(conn: Conn, counts: Counts) -> dict[str, Any]:
    began = time.monotonic()
    while True:
        messages = await conn.receive_many()
        for number, message in enumerate(messages):
            if message.ppid == CONTROL:
                counts.add(messages[:number])
                return _control(message)
        counts.add(messages)
        counts.seconds = time.monotonic() - began


# The server


async def accept_plan(conn: Conn) -> Plan:
    """Read what a client wants; raises CommandError, after telling it, if that cannot be."""
    async with asyncio.timeout(ANSWER_WITHIN):
        first = await conn.receive()
    try:
        plan = Plan.read(_control(first, who="client"))
        if plan.streams > conn.outbound_streams:
            raise ValueError(f"{plan.streams} streams, and the server has {conn.outbound_streams}")
    except ValueError as error:
        await _tell(conn, {"error": str(error)})
        raise _wrong(str(error), who="client") from None
    except CommandError:
        await _tell(
            conn, {"error": "this is a server of `sctpio perf`: it is talked to by its clients alone"}
        )
        raise
    await _tell(conn, {"ready": True})
    return plan


async def run_server(conn: Conn, plan: Plan, counts: Counts) -> None:
    """Do a server's part."""
    usage = Usage()
    if plan.reverse:
        await _send(conn, plan, counts)
        await conn.flush()
    elif plan.round_trips:
        await _send_back(conn, counts)
    else:
        await _receive_until_control(conn, counts)
    await _tell(conn, {"report": counts.plain(), "cpu": usage.percent()})


async def _send_back(conn: Conn, counts: Counts) -> None:
    began = time.monotonic()
    async for message in conn:
        if message.ppid == CONTROL:
            return
        await conn.send(message.data, stream=message.stream, unordered=message.unordered)
        counts.add([message])
        counts.seconds = time.monotonic() - began
