"""Hostile packets at the UDP port of usrsctp, beside an association that must not notice.

Packet number n of a seed is made from the two numbers and from what the association has sent so far, whatever
came before it. Packets are thrown in groups. After each, numbered messages go both ways, and have to arrive
once and in order; the group lies in a file meanwhile (`Storm.last`), for when it ends the process.
"""

import asyncio
import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hostile.packets import CHUNKS, PARAMETERS, chunk, flipped, init, kinds, packet, with_checksum
from hostile.recording import Recording, replayed
from hostile.relay import CLIENT, SERVER, Relay, port_of_the_stack, resident, udp_socket
from sctpio import AssociationError, Conn
from support import PATIENCE, Pair, until

LAST = Path(__file__).resolve().parents[2] / "build" / "hostile"

GROUP = 500
# Strangers send from this many addresses at a time, and from others after so many groups.
STRANGERS, GROUPS_OF_STRANGERS = 16, 4
# The stack is waited for after so many bytes: its UDP port has space for some more.
BURST = 30_000
# Of a stranger's handshakes: what has no answer after this many seconds is sent again.
AGAIN = 0.5
# Bytes that the process may grow by after the first fifth of a storm. AddressSanitizer keeps what was freed.
MOST_MEMORY = (1024 if os.environ.get("SCTPIO_SANITIZE") else 32) << 20

INIT, INIT_ACK, ABORT, COOKIE_ECHO, COOKIE_ACK = 1, 2, 6, 10, 11


@dataclass(frozen=True)
class Shot:
    """A datagram; `by_peer` says that it comes from the address of the peer, else from a stranger's."""

    kind: str
    data: bytes
    by_peer: bool


@dataclass
class Report:
    """What a storm was, and what it cost: bytes of memory, turns of the loop for the association's sockets.

    `strangers` are those of the handshakes that the listener accepted, `dropped` what the kernel had no space
    for at the UDP port.
    """

    seed: int
    packets: int = 0
    messages: int = 0
    handshakes: int = 0
    strangers: int = 0
    seconds: float = 0.0
    wakeups: int = 0
    dropped: int = 0
    memory: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def growth(self) -> int:
        """By how much more memory than after a fifth of the storm there was at most."""
        early = len(self.memory) // 5
        return max(self.memory[early:]) - self.memory[early]

    def check(self) -> None:
        """Check the bounds."""
        assert self.wakeups <= 2 * self.messages + 100, "packets of others woke the loop for the association"
        assert self.growth < MOST_MEMORY, f"memory: {self.memory}"
        assert self.dropped < self.packets / 100 + 10, "too many packets did not reach the stack"


def between(recording: Recording, rng: random.Random) -> tuple[int, int]:
    """Choose a direction: the ports of its two ends."""
    one, other = recording.ports
    return (one, other) if rng.random() < 0.5 else (other, one)


def noise(_: Recording, rng: random.Random) -> bytes:
    """Make any bytes."""
    return rng.randbytes(rng.randrange(200))


def flood(recording: Recording, rng: random.Random) -> bytes:
    """Make an INIT that would be answered: from any port, or between the association's."""
    source = rng.choice([rng.randrange(1, 65536), *recording.ports])
    fixed = struct.pack("!IIHHI", rng.getrandbits(32) | 1, 100_000, 10, 10, rng.getrandbits(32))
    return packet(source, rng.choice(recording.ports), 0, chunk(INIT, 0, fixed))


def broken_init(recording: Recording, rng: random.Random) -> bytes:
    """Make an INIT with numbers that none may have or parameters that lie, half of them between the ports."""
    source, destination = between(recording, rng)
    if rng.random() < 0.5:
        source = rng.randrange(1, 65536)
    made = init(rng)
    if rng.random() < 0.5:
        numbers = rng.choice([0, 1]), rng.choice([0, 1499, 100_000]), rng.choice([0, 1]), rng.choice([0, 1])
        made = chunk(INIT, 0, struct.pack("!IIHHI", *numbers, rng.getrandbits(32)))
    # Before a chunk that has to follow none, too.
    return packet(
        source, destination, rng.choice([0, 0, 0, 1]), made + rng.choice([b"", b"", chunk(3, 0, b"")])
    )


def oversized(recording: Recording, rng: random.Random) -> bytes:
    """Make a chunk as long as a datagram may be, of few parameters or of thousands."""
    space = rng.choice([1400, 9000, 40_000, 65_000])
    size = rng.choice([0, 4, 60, space - 4])
    kind = rng.choice([5, 6, *PARAMETERS])
    parameter = struct.pack("!HH", kind, 4 + size) + rng.randbytes(4) * (size // 4)
    body = parameter * (space // len(parameter))
    head = struct.pack("!IIHHI", rng.getrandbits(32) | 1, 100_000, *rng.choices([1, 10, 65535], k=2), 1)
    tag, made = rng.choice(
        [
            (0, chunk(INIT, 0, head + body[:-20])),
            (rng.getrandbits(32), chunk(rng.choice([3, 4, 5, 6, 9, 10, 0x82, 0xC0, 0xC1]), 0, body[:-4])),
        ]
    )
    return packet(*between(recording, rng), tag, made)


def wrong_tag(recording: Recording, rng: random.Random) -> bytes:
    """Make chunks with any contents and a tag of nobody's."""
    chunks = b"".join(
        chunk(
            rng.choice(CHUNKS),
            rng.getrandbits(8),
            rng.randbytes(rng.randrange(60)),
            rng.choice([None, None, rng.randrange(70)]),
        )
        for _ in range(rng.randrange(1, 4))
    )
    return packet(*between(recording, rng), rng.choice([0, rng.getrandbits(32)]), chunks)


def cookie(recording: Recording, rng: random.Random) -> bytes:
    """Make a COOKIE ECHO of a dead association's, of one that is stretched, or of an invented one."""
    echoes = [each for each in recording.dead if each[12] == COOKIE_ECHO]
    whole = rng.choice(echoes)
    value = whole[16 : 16 + int.from_bytes(whole[14:16], "big") - 4]
    match rng.randrange(4):
        case 0:
            value = flipped(value, rng, 0)
        case 1:
            value = value[: rng.randrange(len(value))]
        case 2:
            value += rng.randbytes(rng.choice([1, 100, 60_000]))
        case _:
            value = rng.randbytes(len(value))
    tag = rng.choice([whole[4:8], rng.randbytes(4)])
    return packet(*between(recording, rng), int.from_bytes(tag, "big"), chunk(COOKIE_ECHO, 0, value))


def reordered(recording: Recording, rng: random.Random) -> bytes:
    """Take a packet of the living association out of its place."""
    return rng.choice(recording.packets())


def shortened(recording: Recording, rng: random.Random) -> bytes:
    """Cut a packet of the living association, with its tag; its checksum is wrong then."""
    whole = rng.choice(recording.packets())
    return whole[: rng.randrange(len(whole))]


def spoilt(recording: Recording, rng: random.Random) -> bytes:
    """Flip bits of a packet of the living association; its checksum is wrong then."""
    return flipped(rng.choice(recording.packets()), rng, 0)


def restart(recording: Recording, rng: random.Random) -> bytes:
    """Send an INIT of a dead association again, with another tag in it."""
    inits = [each for each in recording.dead if each[12] == INIT]
    whole = rng.choice(inits)
    return with_checksum(whole[:16] + rng.randbytes(3) + b"\1" + whole[20:])


# Each kind, how often, and whether it comes from the peer's address, too: there the stack takes the UDP port
# of a packet before it looks at its tag (docs/usrsctp.md), so the association is silent until the next good
# one.
KINDS: dict[str, tuple[Callable[[Recording, random.Random], bytes], int, bool]] = {
    "noise": (noise, 10, True),
    "replayed": (replayed, 20, True),
    "reordered": (reordered, 10, True),
    "cut": (shortened, 10, True),
    "bits flipped": (spoilt, 10, True),
    "INIT flood": (flood, 20, False),
    "INIT that lies": (broken_init, 10, True),
    "restart": (restart, 5, False),
    "oversized": (oversized, 3, False),
    "wrong tag": (wrong_tag, 20, True),
    "cookie": (cookie, 10, False),
}


def shot(seed: int, number: int, recording: Recording) -> Shot:
    """Make packet `number` of a seed."""
    rng = random.Random(seed << 32 | number)
    [kind] = rng.choices(list(KINDS), [weight for _, weight, _ in KINDS.values()])
    make, _, peers = KINDS[kind]
    by_peer = peers and rng.random() < 0.5
    return Shot(kind, make(recording, rng), by_peer)


def wrong_states(rng: random.Random) -> Iterator[bytes]:
    """Make chunks that come at the wrong time, for an association that a stranger has set up."""
    tsn = rng.getrandbits(32)
    yield chunk(INIT_ACK, 0, struct.pack("!IIHHI", 1, 100_000, 1, 1, tsn))
    yield chunk(COOKIE_ECHO, 0, rng.randbytes(100))
    yield chunk(11, 0, b"")
    # SACK of what was never sent, with gaps; SHUTDOWN ACK and SHUTDOWN COMPLETE without a SHUTDOWN.
    yield chunk(3, 0, struct.pack("!IIHHHH", tsn, 0, 1, 0, 2, 65535))
    yield chunk(8, 0, b"")
    yield chunk(14, 0, b"")
    # DATA: far from the TSN that is due, of a stream that there is not, empty, and without its end.
    for flags, stream, size in ((3, 0, 10), (3, 65535, 10), (3, 0, 0), (2, 0, 100), (0, 0, 100), (1, 5, 1)):
        yield chunk(0, flags, struct.pack("!IHHI", rng.choice([tsn, 1, 2]), stream, 0, 0) + bytes(size))
    yield chunk(0xC0, 0, struct.pack("!IHH", tsn, 65535, 65535))
    yield chunk(0x82, 0, struct.pack("!HHIII", 13, 16, tsn, 0, tsn))
    yield chunk(0xC1, 0, struct.pack("!IHH4sHH", tsn, 5, 8, bytes(4), 0xC001, 4))
    yield chunk(9, 0, struct.pack("!HH", rng.getrandbits(16), 4))
    yield chunk(0xFE, 0, rng.randbytes(40))


class Storm:
    """Throws packets at an association, and talks over it."""

    def __init__(self, pair: Pair, recording: Recording, relays: list[Relay], seed: int) -> None:
        self.pair = pair
        self.recording = recording
        self.relays = relays
        self.report = Report(seed)
        LAST.mkdir(parents=True, exist_ok=True)
        self.last = LAST / f"seed-{seed}.txt"
        self._rng = random.Random(seed)
        self._sent = 0

    async def run(self, packets: int, tell: Callable[[Report], None] = lambda _: None) -> Report:
        """Throw so many packets; `tell` is called now and then.

        A failure has a note that says among which packets of the seed, and in which file they are.
        """
        report, pair = self.report, self.pair
        serving = asyncio.create_task(self._accept())
        first = 0
        # An INIT that is sent again, and from another UDP port than the last packet, is answered by an ABORT
        # with its tag. Whoever has the tag could as well write one.
        for relay in self.relays:
            relay.without = ABORT
        try:
            await self._talk()
            self._begin()
            for first in range(0, packets, GROUP):
                count = min(GROUP, packets - first)
                if first // GROUP % GROUPS_OF_STRANGERS == 0:
                    report.memory.append(resident())
                    tell(report)
                await self._throw(first, count)
                await self._talk()
            report.memory.append(resident())
            await until(lambda: report.strangers == report.handshakes)
            assert not pair.client.is_closed
            assert not pair.server.is_closed
        except BaseException as error:
            error.add_note(f"seed {report.seed}, packets {first} to {first + GROUP - 1}: {self.last}")
            raise
        finally:
            self._end()
            for relay in self.relays:
                relay.without = -1
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
        return report

    def _begin(self) -> None:
        self._began, self._dropped = time.monotonic(), port_of_the_stack()[1]
        self._woken = self._wakeups()

    def _end(self) -> None:
        self.report.seconds = time.monotonic() - self._began
        self.report.dropped = port_of_the_stack()[1] - self._dropped
        self.report.wakeups = self._wakeups() - self._woken

    def _wakeups(self) -> int:
        return self.pair.client.statistics().wakeups + self.pair.server.statistics().wakeups

    async def _throw(self, first: int, count: int) -> None:
        shots = [shot(self.report.seed, number, self.recording) for number in range(first, first + count)]
        self.last.write_text(
            "".join(
                f"{first + index} {'peer' if each.by_peer else 'stranger'} {each.kind}: {each.data.hex()}\n"
                for index, each in enumerate(shots)
            )
        )
        with ExitStack() as stack:
            strangers = [stack.enter_context(udp_socket(_address(self._rng))) for _ in range(STRANGERS)]
            burst = 0
            for each in shots:
                await self._send(each, self._rng.choice(strangers))
                # What the kernel keeps of a datagram, about.
                burst += 1000 + len(each.data)
                if burst > BURST:
                    burst = 0
                    await self._taken()
            await self._shake_hands(strangers)
        self.report.packets += count
        self.report.kinds.update(each.kind for each in shots)

    async def _send(self, each: Shot, stranger: socket.socket) -> None:
        # To the end that it was for, most of the time.
        back = each.data[:2] == self.recording.ports[1].to_bytes(2, "big")
        relay = self._rng.choice(self.relays)
        while True:
            if each.by_peer:
                if relay.send(each.data, SERVER if back else CLIENT):
                    return
            else:
                with suppress(BlockingIOError):
                    # One in ten to an address that the stack has not heard of: to few, as it learns them, and
                    # keeps them for the tests that follow in this process.
                    unheard = f"127.200.0.{self._rng.randrange(1, 9)}"
                    to = unheard if self._rng.random() < 0.1 else (CLIENT if back else SERVER)
                    stranger.sendto(each.data, (to, self.relays[0].stack))
                    return
            await asyncio.sleep(0.001)

    async def _taken(self) -> None:
        """Wait until the stack has taken what was sent; meanwhile the relays pass its answers on."""
        async with asyncio.timeout(60 * PATIENCE):
            await asyncio.sleep(0)
            while port_of_the_stack()[0]:
                await asyncio.sleep(0)

    async def _shake_hands(self, strangers: list[socket.socket]) -> None:
        """Set up an association by hand, with cookies that were tampered with before, and break its rules."""
        stranger, another = strangers[0], strangers[1]
        port, there = self._rng.randrange(1024, 65536), self.recording.ports[1]
        fixed = struct.pack("!IIHHI", self._rng.getrandbits(32) | 1, 100_000, 10, 10, 1)
        to = (SERVER, self.relays[0].stack)
        answer = await _ask(stranger, packet(port, there, 0, chunk(INIT, 0, fixed)), to, INIT_ACK)
        tag, value = struct.unpack_from("!I", answer, 16)[0], _cookie_of(answer)
        for sock, sent in (
            (stranger, flipped(value, self._rng, 0)),
            (stranger, value[: self._rng.randrange(len(value))]),
            (another, value),
            (stranger, value),
        ):
            sock.sendto(packet(port, there, tag, chunk(COOKIE_ECHO, 0, sent)), to)
        await _ask(stranger, packet(port, there, tag, chunk(COOKIE_ECHO, 0, value)), to, COOKIE_ACK)
        for made in wrong_states(self._rng):
            stranger.sendto(packet(port, there, tag, made), to)
        stranger.sendto(packet(port, there, tag, chunk(ABORT, 0, b"")), to)
        self.report.handshakes += 1

    async def _accept(self) -> None:
        async with asyncio.TaskGroup() as readers:
            async for conn in self.pair.listener:
                self.report.strangers += 1
                readers.create_task(_read(conn))

    async def _talk(self) -> None:
        """Send numbered messages both ways; each has to be the next that arrives."""
        async with asyncio.timeout(60 * PATIENCE):
            for source, target in (
                (self.pair.client, self.pair.server),
                (self.pair.server, self.pair.client),
            ):
                for size in (0, 100, 2000):
                    self._sent += 1
                    await _pass(source, target, b"%d " % self._sent + bytes(size), self._sent % 3)
                    self.report.messages += 1


async def _pass(source: Conn, target: Conn, data: bytes, stream: int) -> None:
    await source.send(data, stream=stream)
    received = await target.receive()
    assert (received.data, received.stream) == (data, stream)


async def _read(conn: Conn) -> None:
    """Read what a stranger sends."""
    async with conn:
        with suppress(AssociationError):
            async for _ in conn:
                """Any bytes."""


async def _ask(sock: socket.socket, sent: bytes, to: tuple[str, int], wanted: int) -> bytes:
    """Send a packet until its answer comes: between its ports, with a chunk of the kind that is wanted."""
    found: list[bytes] = []

    def answered() -> bool:
        with suppress(BlockingIOError):
            while not found:
                came = sock.recv(65536)
                if came[:4] == sent[2:4] + sent[:2] and wanted in kinds(came):
                    found.append(came)
        return bool(found)

    async with asyncio.timeout(60 * PATIENCE):
        while not found:
            sock.sendto(sent, to)
            with suppress(TimeoutError):
                await until(answered, seconds=AGAIN)
    return found[0]


def _address(rng: random.Random) -> str:
    return f"127.{rng.randrange(1, 255)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _cookie_of(init_ack: bytes) -> bytes:
    at = 32
    while at + 4 <= len(init_ack):
        kind, length = struct.unpack_from("!HH", init_ack, at)
        if kind == 7:
            return init_ack[at + 4 : at + length]
        at += (max(length, 4) + 3) & ~3
    raise AssertionError(f"an INIT ACK without a cookie: {init_ack.hex()}")
