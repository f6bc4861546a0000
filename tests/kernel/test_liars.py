"""Peers that follow the protocol but lie: typed events and errors, bounded memory, no hang."""

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest

from hostile.packets import chunk
from hostile.relay import resident
from kernel.liar import (
    ABORT,
    DATA,
    ERROR,
    FIRST,
    HERE,
    I_DATA,
    RE_CONFIG,
    THERE,
    Liar,
    acknowledged,
    far_end,
    liar,
)
from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationError,
    Conn,
    EnableStreamReset,
    EventsDropped,
    FragmentInterleave,
    InitMsg,
    InterleavingSupported,
    Listener,
    MessageTooLargeError,
    ReconfigSupported,
    StreamReset,
    listen,
)
from sctpio._abi.contract import RECORDS
from support import KIB, Style, within

MIB = 1 << 20


@pytest.fixture(autouse=True, scope="module")
def _link(_needed: None) -> Iterator[None]:
    with far_end():
        yield


async def accepted(listener: Listener, peer: Liar, *, streams: int = 10, more: bytes = b"") -> Conn:
    """Let a peer connect, and accept it."""
    await peer.connect(streams=streams, more=more)
    return await within(listener.accept())


async def test_tiny_messages_on_65535_streams() -> None:
    async with listen(f"{HERE}:0", init=InitMsg(outbound_streams=65535, inbound_streams=65535)) as listener:
        async with liar(listener.port) as peer:
            async with await accepted(listener, peer, streams=65535) as conn:
                before = resident()
                assert (conn.inbound_streams, conn.outbound_streams) == (65535, 65535)
                for first in range(0, 65535, 1024):
                    streams = [*range(first, first + 1016, 8), first + 1022]
                    peer.send(*(peer.data(b"x", stream=stream) for stream in streams))
                    received = [await within(conn.receive()) for _ in streams]
                    assert [(message.stream, message.data) for message in received] == [
                        (stream, b"x") for stream in streams
                    ]
                assert resident() - before < 8 * MIB
                await conn.abort()


async def test_tiny_messages_that_nobody_reads() -> None:
    """The peer sends on when the window is closed, too: what was taken is bounded, whole and in order."""
    async with listen(f"{HERE}:0", receive_buffer=64 * KIB) as listener:
        async with liar(listener.port) as peer:
            async with await accepted(listener, peer) as conn:
                before, sent = resident(), 0
                while not conn.statistics().reading_paused or peer.outstanding < 2000:
                    peer.send(
                        *(peer.data(struct.pack("!I", sent + n), ssn=sent + n & 0xFFFF) for n in range(64))
                    )
                    sent += 64
                    await asyncio.sleep(0)
                    assert sent < 100_000
                assert resident() - before < 8 * MIB
                statistics = conn.statistics()
                # Each counts as 256 bytes more than its data.
                assert statistics.unread_messages < 64 * KIB // 256 + RECORDS
                last = -1
                for _ in range(statistics.unread_messages):
                    (number,) = struct.unpack("!I", (await within(conn.receive())).data)
                    assert number == last + 1
                    last = number
                await conn.abort()


async def test_a_message_that_never_ends() -> None:
    async with listen(f"{HERE}:0", max_message_size=100_000, receive_buffer=64 * KIB) as listener:
        async with liar(listener.port) as peer:
            async with await accepted(listener, peer) as conn:
                before = resident()
                receiving = asyncio.create_task(conn.receive())
                flags, sent = FIRST, 0
                while ABORT not in peer.answers:
                    peer.send(peer.data(bytes(1400), flags=flags))
                    flags, sent = 0, sent + 1400
                    await acknowledged(peer, within=8)
                    assert sent < 10 * MIB
                with pytest.raises(MessageTooLargeError):
                    await within(receiving)
                assert resident() - before < 8 * MIB


async def test_messages_that_never_end_on_every_stream() -> None:
    """With I-DATA each stream can have one, of a byte: their number is bounded, too."""
    options = [FragmentInterleave(level=2), InterleavingSupported()]
    init = InitMsg(inbound_streams=65535)
    async with listen(
        f"{HERE}:0", init=init, options=options, max_message_size=100_000, receive_buffer=64 * KIB
    ) as listener:
        async with liar(listener.port) as peer:
            # Supported extensions: I-DATA.
            extensions = struct.pack("!HHBxxx", 0x8008, 5, I_DATA)
            async with await accepted(listener, peer, streams=65535, more=extensions) as conn:
                before = resident()
                receiving = asyncio.create_task(conn.receive())
                for stream in range(65535):
                    if ABORT in peer.answers:
                        break
                    peer.send(peer.interleaved(b"x", stream=stream))
                    await acknowledged(peer, within=8)
                with pytest.raises(MessageTooLargeError, match="not yet whole"):
                    await within(receiving)
                assert resident() - before < 8 * MIB


async def test_streams_reset_in_a_loop() -> None:
    """Events beyond what an iterator holds are counted."""
    options = [ReconfigSupported(), EnableStreamReset(True, True, True)]
    count, together = 1500, 10
    async with listen(f"{HERE}:0", options=options, events=[StreamReset]) as listener:
        async with liar(listener.port) as peer:
            # Supported extensions: RE-CONFIG.
            extensions = struct.pack("!HHBxxx", 0x8008, 5, RE_CONFIG)
            async with await accepted(listener, peer, more=extensions) as conn:
                events = conn.events(StreamReset)
                before, first = resident(), peer.tsn
                for number in range(first, first + count, together):
                    for each in range(number, number + together):
                        request = struct.pack("!HHIIIH2x", 13, 18, each, 0, peer.tsn - 1, each % 10)
                        peer.send(chunk(RE_CONFIG, 0, request))
                    # The answer: performed (RFC 6525 4.4).
                    last = struct.pack("!HHII", 16, 12, number + together - 1, 1)
                    await peer.until_answered(RE_CONFIG, last)
                assert resident() - before < 4 * MIB
                peer.send(peer.data(b"still there"))
                assert (await within(conn.receive())).data == b"still there"
                told = dropped = 0
                while told + dropped < count:
                    event = await within(anext(events))
                    dropped += event.count if isinstance(event, EventsDropped) else 0
                    told += isinstance(event, StreamReset)
                assert told + dropped == count
                assert dropped > 0
                await conn.abort()


@pytest.mark.both_modes
async def test_aborts_with_causes_of_every_length() -> None:
    before = resident()
    async with listen(f"{HERE}:0", mode=Style.mode) as listener:
        for number, length in enumerate([*range(1, 20), 255, 256, 1000, 1452, 5000, 8900]):
            async with liar(listener.port, port=7000 + number) as peer:
                async with await accepted(listener, peer) as conn:
                    cause = bytes(range(1, 251)) * 40
                    cause = cause[:length]
                    # User-initiated abort.
                    peer.send(chunk(ABORT, 0, chunk(0, 12, cause)))
                    with pytest.raises(AssociationAbortedError) as caught:
                        await within(conn.receive())
                    assert caught.value.cause == cause
    assert resident() - before < 8 * MIB


@pytest.mark.both_modes
@pytest.mark.parametrize(
    "causes",
    [
        b"\0\x0c\0\0",
        b"\0\x0c\0\3",
        b"\0\x0c\xff\xff" + b"x" * 20,
        b"\0\x0c\0",
        b"\0\1\0\x08" + bytes(4) + b"\0\x0c\0\x06xy\0\0",
        b"\xff" * 100,
    ],
    ids=["length 0", "length 3", "beyond the chunk", "cut", "two", "all ones"],
)
async def test_aborts_whose_causes_lie(causes: bytes) -> None:
    """They end the association, with a typed error; or they are no ABORT, and it lives."""
    async with listen(f"{HERE}:0", mode=Style.mode) as listener:
        async with liar(listener.port) as peer:
            async with await accepted(listener, peer) as conn:
                peer.send(chunk(ABORT, 0, causes))
                peer.send(peer.data(b"there"))
                try:
                    assert (await within(conn.receive())).data == b"there"
                except AssociationError:
                    with pytest.raises(AssociationError):
                        await conn.send(b"x")
                await conn.abort()


@pytest.mark.both_modes
async def test_a_list_of_hundreds_of_addresses() -> None:
    hosts = [f"10.80.{number >> 8}.{number & 255}" for number in range(1000, 1300)]
    listed = b"".join(struct.pack("!HH", 5, 8) + socket.inet_aton(host) for host in hosts)
    async with listen(f"{HERE}:0", mode=Style.mode) as listener:
        async with liar(listener.port) as peer:
            async with await accepted(listener, peer, more=listed) as conn:
                assert {str(host) for host in conn.peer_addresses.hosts} == {THERE, *hosts}
                assert len(conn.paths()) == 301
                assert conn.primary_path.hosts == Address(THERE, 1).hosts
                peer.send(peer.data(b"there"))
                assert (await within(conn.receive())).data == b"there"
                await within(conn.send(b"and back"))
                await peer.until_told(DATA)
                await conn.abort()


async def test_a_stream_that_there_is_not() -> None:
    async with listen(f"{HERE}:0", init=InitMsg(inbound_streams=5)) as listener:
        async with liar(listener.port) as peer:
            async with await accepted(listener, peer, streams=65535) as conn:
                assert conn.inbound_streams == 5
                peer.send(peer.data(b"x", stream=5), peer.data(b"y", stream=65535), peer.data(b"z"))
                assert (await within(conn.receive())).data == b"z"
                assert (await peer.until_told(ERROR))[:2] == b"\0\1"
                await conn.abort()
