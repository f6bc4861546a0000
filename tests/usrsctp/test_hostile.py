"""Bytes of any kind at the UDP port: the process lives, and so does the association beside them.

Seeded: a run that fails can be repeated (`SCTPIO_TEST_SEED`), and lengthened (`SCTPIO_TEST_DATAGRAMS`).
"""

import asyncio
import hashlib
import os
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from sctpio import (
    Address,
    AssociationAbortedError,
    AssocInfo,
    EnableStreamReset,
    EndOfAssociation,
    Listener,
    PeerAddressParameters,
    RtoInfo,
    UdpEncapsulation,
    connect,
    listen,
)
from sctpio.stacks.usrsctp import udp_ports
from support import Pair, associations, connected, until

SEED = int(os.environ.get("SCTPIO_TEST_SEED", "9899"))
DATAGRAMS = int(os.environ.get("SCTPIO_TEST_DATAGRAMS", "20000"))

PARAMETERS = [5, 6, 7, 8, 9, 11, 12, *range(0x8000, 0x8009), *range(0xC000, 0xC007)]
CHUNKS = [*range(16), 0x40, 0x80, 0x81, 0x82, 0x84, 0xC0, 0xC1, 0xC2]

# What the stack may take for a million datagrams. AddressSanitizer keeps what was freed.
MOST_MEMORY = (1024 if os.environ.get("SCTPIO_SANITIZE") else 32) << 20


def crc32c(data: bytes) -> int:
    """Compute the checksum of SCTP (RFC 9260 appendix B)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()


def packet(source: int, destination: int, tag: int, chunks: bytes) -> bytes:
    """Write an SCTP packet with a good checksum."""
    head = struct.pack("!HHI", source, destination, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunks)) + chunks


def chunk(kind: int, flags: int, value: bytes, length: int | None = None) -> bytes:
    """Write a chunk, whose length may lie."""
    size = 4 + len(value) if length is None else length
    return struct.pack("!BBH", kind, flags, size) + value + bytes(-len(value) % 4)


def init(rng: random.Random) -> bytes:
    """Write an INIT chunk that is good but for what follows in it."""
    fixed = struct.pack("!IIHHI", rng.getrandbits(32) | 1, 100_000, 10, 10, rng.getrandbits(32))
    parameters = b""
    for _ in range(rng.randrange(4)):
        value = rng.randbytes(rng.randrange(24))
        length = rng.choice([4 + len(value), rng.randrange(65536), 0, 3])
        parameters += struct.pack("!HH", rng.choice(PARAMETERS), length) + value + bytes(-len(value) % 4)
    return chunk(1, 0, fixed + parameters)


def lies(pair: Pair, rng: random.Random) -> Iterator[bytes]:
    """Make datagrams: noise, chunks for the association and for the listener, broken ones."""
    client, server = pair.client.local_addresses.port, pair.listener.port
    while True:
        source, destination = rng.choice(
            [(client, server), (server, client), (rng.randrange(1, 65536), server)]
        )
        tag = rng.choice([0, 0, rng.getrandbits(32)])
        match rng.randrange(5):
            case 0:
                yield rng.randbytes(rng.randrange(0, 200))
            case 1:
                yield packet(source, destination, 0, init(rng))
            case 2:
                chunks = b"".join(
                    chunk(
                        rng.choice(CHUNKS),
                        rng.getrandbits(8),
                        rng.randbytes(rng.randrange(60)),
                        rng.choice([None, None, rng.randrange(70)]),
                    )
                    for _ in range(rng.randrange(1, 4))
                )
                yield packet(source, destination, tag, chunks)
            case 3:
                whole = packet(source, destination, 0, init(rng))
                yield whole[: rng.randrange(len(whole))]
            case _:
                flipped = bytearray(packet(source, destination, tag, init(rng)))
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
                yield bytes(flipped)


async def exchange(pair: Pair, number: int) -> None:
    """Send a message each way."""
    async with asyncio.timeout(20):
        await pair.client.send(b"%d" % number, stream=number % 10)
        assert (await pair.server.receive()).data == b"%d" % number
        await pair.server.send(b"back")
        assert (await pair.client.receive()).data == b"back"


async def throw(pair: Pair, source: str, every: int = 0) -> None:
    """Send datagrams from an address to the stack's UDP port, with messages of the association in between."""
    rng = random.Random(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.setblocking(False)
        for number, datagram in zip(range(DATAGRAMS), lies(pair, rng), strict=False):
            try:
                sender.sendto(datagram, ("127.0.0.1", udp_ports.settings.started or 0))
            except BlockingIOError:
                await asyncio.sleep(0.001)
            if every and number % every == 0:
                await exchange(pair, number)


@pytest.mark.one_loop
@pytest.mark.timeout(600)
async def test_an_association_lives_beside_any_datagrams() -> None:
    async with connected() as pair:
        await throw(pair, "127.0.0.99", every=100)
        await pair.client.close()
        with pytest.raises(EOFError):
            await pair.server.receive()


@pytest.mark.one_loop
@pytest.mark.timeout(600)
async def test_the_stack_lives_with_any_datagrams_from_a_peers_address() -> None:
    """usrsctp 0.9.5 goes by the UDP port of a packet before it looks at its tag, so that whoever has a peer's
    address can silence its associations: not end them, nor what is set up afterwards."""
    async with connected() as pair:
        await throw(pair, "127.0.0.1")
        assert not pair.client.is_closed
        async with connected() as another:
            await exchange(another, 1)


# By number, those that two ends of this stack send each other (RFC 9260, 3758, 4895, 5061, 6525).
RECORDED = {
    0: "DATA",
    1: "INIT",
    2: "INIT ACK",
    3: "SACK",
    4: "HEARTBEAT",
    5: "HEARTBEAT ACK",
    6: "ABORT",
    7: "SHUTDOWN",
    8: "SHUTDOWN ACK",
    10: "COOKIE ECHO",
    11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE",
    15: "AUTH",
    0x80: "ASCONF-ACK",
    0x82: "RE-CONFIG",
    0xC0: "FORWARD TSN",
    0xC1: "ASCONF",
}
# Kinds that this stack does not send, with a size that they may have.
MADE_UP = {9: 8, 12: 8, 13: 4, 0x40: 24, 0x81: 24, 0xC2: 12}


def kinds(packet: bytes) -> list[int]:
    """Name the chunks of a packet."""
    found, at = [], 12
    while at + 4 <= len(packet):
        kind, _, length = struct.unpack_from("!BBH", packet, at)
        found.append(kind)
        at += max(4, (length + 3) & ~3)
    return found


# An address for each end, as if they were two hosts.
CLIENT, SERVER = "127.0.0.2", "127.0.0.1"


class Relay:
    """A UDP port between the two ends: what comes from one goes to the other, and is kept.

    `without` is a chunk whose packets end here.
    """

    def __init__(self) -> None:
        self.without = -1
        # Whether to flip a bit of the next message.
        self.spoil = False
        self.stack: int = udp_ports.settings.started or 0
        self.ends = {SERVER: udp_socket(SERVER)}
        self.port: int = self.ends[SERVER].getsockname()[1]
        self.ends[CLIENT] = udp_socket(CLIENT, self.port)
        self.cut = False
        self.kept: dict[int, list[bytes]] = {}

    def __enter__(self) -> Self:
        for host, sock in self.ends.items():
            asyncio.get_running_loop().add_reader(sock, self.forward, sock, self.other(host))
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self.ends.values():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def other(self, host: str) -> str:
        return CLIENT if host == SERVER else SERVER

    def forward(self, sock: socket.socket, source: str) -> None:
        """Pass on all that has come for the end whose place `sock` has, as from `source`."""
        try:
            while True:
                packet = sock.recv(65536)
                for kind in kinds(packet):
                    kept = self.kept.setdefault(kind, [])
                    if len(kept) < 50:
                        kept.append(packet)
                if self.spoil and 0 in kinds(packet):
                    packet = packet[:-1] + bytes([packet[-1] ^ 1])
                    self.spoil = False
                if not self.cut and self.without not in kinds(packet):
                    self.ends[source].sendto(packet, (self.other(source), self.stack))
        except BlockingIOError:
            return

    def send(self, packet: bytes, source: str) -> bool:
        """Send an end a datagram as from the other one, if it is taken now."""
        try:
            self.ends[source].sendto(packet, (self.other(source), self.stack))
        except BlockingIOError:
            return False
        return True


def udp_socket(host: str, port: int = 0) -> socket.socket:
    """Make a socket that does not block."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((host, port))
    made.setblocking(False)
    return made


# Quick, and never given up for a machine that does other things for two seconds.
HURRIED = [
    RtoInfo(initial=0.1, minimum=0.1, maximum=0.2),
    AssocInfo(max_retransmissions=1000),
    PeerAddressParameters(heartbeat_interval=0.1, path_max_retransmissions=1000),
    EnableStreamReset(reset_streams=True, reset_association=True, add_streams=True),
]


@asynccontextmanager
async def relayed(
    listener: Listener, relay: Relay, local: Address, *, one_more: bool = False
) -> AsyncIterator[Pair]:
    """Connect through a relay, and let both ends do what they can.

    With `one_more` the client gets another address, by which packets may pass the relay by.
    """
    options = [*HURRIED, UdpEncapsulation(port=relay.port)]
    async with connect(listener.local_addresses, local=local, options=options) as client:
        async with await listener.accept() as server:
            pair = Pair(client, server, listener)
            for size in (1, 1000, 5000):
                for unordered in (False, True):
                    await client.send(bytes(size), unordered=unordered)
                    assert len((await server.receive()).data) == size
            await client.reset_streams(1)
            await client.add_streams(outbound=1)
            if one_more:
                client.add_local_address(Address("127.0.0.6", client.local_addresses.port))
                await until(lambda: 0x80 in relay.kept)
                yield pair
                return
            while 0xC0 not in relay.kept:
                # Lost once, and too old when it would be sent again.
                relay.cut = True
                await client.send(b"too late", lifetime=0.05)
                await asyncio.sleep(0.07)
                relay.cut = False
                await client.flush()
            await until(lambda: 5 in relay.kept)
            await client.send(b"done")
            while (await server.receive()).data != b"done":
                """One that was not too late."""
            await client.flush()
            yield pair


class Recording:
    """The packets of associations that were, and of the one that lives: between the same SCTP ports."""

    def __init__(self, dead: list[Relay], live: Relay, pair: Pair) -> None:
        self.dead = [packet for relay in dead for kept in relay.kept.values() for packet in kept]
        self.live = live
        tags = {packet[4:8] for packet in self.packets()}
        self.live_tags = tags - {bytes(4)}
        self.ports = pair.client.local_addresses.port, pair.listener.port

    def packets(self) -> list[bytes]:
        return [packet for kept in self.live.kept.values() for packet in kept]


def with_checksum(packet: bytes) -> bytes:
    """Make the checksum right."""
    return packet[:8] + struct.pack("<I", crc32c(packet[:8] + bytes(4) + packet[12:])) + packet[12:]


def flipped(packet: bytes, rng: random.Random, first: int) -> bytes:
    """Flip some bits, from an offset on."""
    changed = bytearray(packet)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(first, len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def replays(recording: Recording, rng: random.Random) -> Iterator[bytes]:
    """Make datagrams of recorded ones. What has a live tag and a good checksum is as it was recorded: who
    knows the tag may write what it likes."""
    live = recording.packets()

    def wrong_tag() -> bytes:
        while True:
            tag = rng.choice([bytes(4), rng.randbytes(4), rng.choice(recording.dead)[4:8]])
            if tag not in recording.live_tags:
                return tag

    while True:
        whole = rng.choice(recording.dead if rng.random() < 0.5 else live)
        if len(whole) > 600 and rng.random() < 0.9:
            continue
        match rng.randrange(6):
            case 0:
                yield whole
            case 1:
                yield whole[: rng.randrange(len(whole))]
            case 2:
                # The checksum is wrong then.
                yield flipped(whole, rng, 0)
            case 3:
                yield with_checksum(whole[:4] + wrong_tag() + whole[8:])
            case 4:
                cut = whole[: rng.randrange(12, len(whole) + 1)]
                yield with_checksum(cut[:4] + wrong_tag() + cut[8:])
            case _:
                if rng.random() < 0.2:
                    kind = rng.choice(list(MADE_UP))
                    made = chunk(kind, rng.getrandbits(8), rng.randbytes(MADE_UP[kind]))
                    source, destination = rng.sample(recording.ports, 2)
                    yield packet(source, destination, int.from_bytes(wrong_tag(), "big"), made)
                else:
                    changed = flipped(whole, rng, 12)
                    yield with_checksum(changed[:4] + wrong_tag() + changed[8:])


def dropped_by_the_kernel() -> int:
    """Count the datagrams that found the stack's UDP port full."""
    port = f":{udp_ports.settings.started:04X}"
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return sum(int(line.split()[-1]) for line in lines if line.split()[1].endswith(port))


def resident() -> int:
    """Give the memory that this process has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def digests(pair: Pair, rng: random.Random) -> None:
    """Send some messages each way, and compare what was sent with what arrived."""
    async with asyncio.timeout(60):
        for source, target in ((pair.client, pair.server), (pair.server, pair.client)):
            sent, received = hashlib.sha256(), hashlib.sha256()
            for _ in range(3):
                data = rng.randbytes(rng.choice([1, 100, 2000]))
                await source.send(data, stream=rng.randrange(3))
                sent.update(data)
                received.update((await target.receive()).data)
            assert sent.digest() == received.digest()


@pytest.mark.one_loop
async def test_a_packet_whose_checksum_is_wrong_is_not_taken_whatever_came_before() -> None:
    """usrsctp 0.9.5 looks at no checksum any more once it has received a packet from its own address."""
    async with connected() as pair:
        await exchange(pair, 1)
    with Relay() as relay:
        async with listen("127.0.0.1:0", options=HURRIED) as listener:
            options = [*HURRIED, UdpEncapsulation(port=relay.port)]
            local = Address(CLIENT, 0)
            async with connect(listener.local_addresses, local=local, options=options) as client:
                async with await listener.accept() as server:
                    relay.spoil = True
                    await client.send(b"what was sent...")
                    assert (await server.receive()).data == b"what was sent..."
                    assert not relay.spoil
    await until(lambda: not associations())


@pytest.mark.one_loop
@pytest.mark.timeout(3600)
async def test_an_association_lives_beside_all_that_was_ever_sent_between_its_ports() -> None:
    rng = random.Random(SEED)
    try:
        await replay(rng)
    except BaseException as error:
        error.add_note(f"seed {SEED}")
        raise
    await until(lambda: not associations())


async def replay(rng: random.Random) -> None:
    with Relay() as first, Relay() as second, Relay() as third, Relay() as live, Relay() as elsewhere:
        async with listen("127.0.0.1:0", options=HURRIED) as listener:
            async with relayed(listener, first, Address(CLIENT, 0)) as pair:
                local = Address(CLIENT, pair.client.local_addresses.port)
                await pair.client.close()
                with pytest.raises(EndOfAssociation):
                    await pair.server.receive()
            async with relayed(listener, second, local) as pair:
                await pair.server.abort(b"enough")
                with pytest.raises(AssociationAbortedError):
                    await pair.client.receive()
            await until(lambda: 14 in first.kept and 6 in second.kept)
            async with relayed(listener, third, local, one_more=True) as pair:
                await pair.client.abort()
                with pytest.raises(AssociationAbortedError):
                    await pair.server.receive()
            assert set(RECORDED) <= set(first.kept) | set(second.kept) | set(third.kept)
            async with relayed(listener, live, local) as pair:
                recording = Recording([first, second, third], live, pair)
                assert len(recording.live_tags) == 2
                with udp_socket("127.0.0.99") as stranger:
                    await storm(pair, recording, [live, elsewhere], stranger, rng)
                await pair.client.close()
                with pytest.raises(EndOfAssociation):
                    await pair.server.receive()


async def storm(
    pair: Pair, recording: Recording, relays: list[Relay], stranger: socket.socket, rng: random.Random
) -> None:
    """Throw the replays: from the peer's UDP port, from another of its address, from another address."""
    lost, memory = dropped_by_the_kernel(), 0
    # An INIT that is sent again, and from another UDP port than the last packet, is answered by an ABORT with
    # its tag. Whoever has the tag could as well write one; but this is about what is sent again.
    for relay in relays:
        relay.without = 6
    for number, datagram in zip(range(DATAGRAMS), replays(recording, rng), strict=False):
        # To the end that it was for, most of the time.
        source = SERVER if datagram[:2] == recording.ports[1].to_bytes(2, "big") else CLIENT
        if rng.random() < 0.2:
            with suppress(BlockingIOError):
                stranger.sendto(datagram, (source, relays[0].stack))
        elif not rng.choice(relays).send(datagram, source):
            await asyncio.sleep(0.001)
        if number % 50 == 0:
            # Answers go back the way that they came.
            await asyncio.sleep(0)
        if number % 500 == 0:
            await digests(pair, rng)
        if number == DATAGRAMS // 5:
            memory = resident()
    await digests(pair, rng)
    for relay in relays:
        relay.without = -1
    assert resident() - memory < MOST_MEMORY
    assert dropped_by_the_kernel() - lost < DATAGRAMS / 100
    assert not pair.client.is_closed
    assert not pair.server.is_closed
