"""`send_many` puts small messages into one packet, and leaves nothing held back, whatever happens in between.

What the kernel would hold leaves only with a later message or a chunk of another kind. So each test waits for
what was sent to arrive, sends nothing more, and looks into the capture for what took it along.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernel.capture import ChunkType, Data, Dissector, Wire
from kernel.lab import run
from sctpio import (
    Conn,
    DefaultPrInfo,
    DelayedSack,
    DisableFragments,
    Message,
    MessageTooLargeError,
    Mode,
    NoDelay,
    ReceiveBuffer,
    SendBuffer,
    connect,
    listen,
)
from sctpio._abi.contract import SEND_EOF
from sctpio.stacks.base import Head
from support import PATIENCE, connected, read_again, stop_reading, until, within

pytestmark = [pytest.mark.both_modes, pytest.mark.one_loop]

KIB = 1024
MEMORY = Path("/proc/sys/net/sctp/sctp_mem")

# As many as fit into one packet of 1500 bytes, whose chunks have 16 bytes of their own.
SMALL = [b"message %04d" % number for number in range(50)]


@pytest.fixture(autouse=True, scope="module")
def _mtu() -> Iterator[None]:
    run("ip", "link", "set", "lo", "mtu", "1500")
    yield
    run("ip", "link", "set", "lo", "mtu", "65536")


def port(conn: Conn) -> int:
    return conn.local_addresses.port


def packets(wire: Wire, port: int) -> list[int]:
    """Return how many messages each packet of a port has that has any."""
    numbers = [chunk.packet for chunk in wire.data(port=port)]
    return [numbers.count(number) for number in dict.fromkeys(numbers)]


async def arrived(conn: Conn, count: int) -> list[bytes]:
    async with asyncio.timeout(30 * PATIENCE):
        return [(await conn.receive()).data for _ in range(count)]


async def test_small_messages_share_a_packet(dissector: Dissector) -> None:
    with dissector.capture() as wire:
        async with connected() as pair:
            client = port(pair.client)
            await pair.client.send_many(SMALL)
            assert await arrived(pair.server, len(SMALL)) == SMALL
    assert packets(wire, client) == [len(SMALL)]
    assert wire.types(ChunkType.HEARTBEAT) == []


async def test_each_has_a_packet_of_its_own_without_it(dissector: Dissector) -> None:
    with dissector.capture() as wire:
        async with connected() as pair:
            client = port(pair.client)
            await pair.client.send_many(SMALL, bundle=False)
            assert await arrived(pair.server, len(SMALL)) == SMALL
    assert packets(wire, client) == [1] * len(SMALL)


@pytest.mark.parametrize("count", [1, 2])
async def test_few_messages(dissector: Dissector, count: int) -> None:
    with dissector.capture() as wire:
        async with connected() as pair:
            client = port(pair.client)
            await pair.client.send_many(SMALL[:count])
            assert await arrived(pair.server, count) == SMALL[:count]
    assert packets(wire, client) == [count]


async def test_streams_and_unordered_messages_share_one_too(dissector: Dissector) -> None:
    messages = [
        Message(data, stream=number % 5, ppid=number, unordered=number % 3 == 0)
        for number, data in enumerate(SMALL)
    ]
    with dissector.capture() as wire:
        async with connected() as pair:
            client = port(pair.client)
            await pair.client.send_many(messages)
            async with asyncio.timeout(30 * PATIENCE):
                got = [await pair.server.receive() for _ in messages]
    assert [(m.data, m.stream, m.ppid, m.unordered) for m in got] == [
        (m.data, m.stream, m.ppid, m.unordered) for m in messages
    ]
    assert packets(wire, client) == [len(SMALL)]
    assert [(c.sid, c.unordered) for c in wire.data(port=client)] == [
        (m.stream, m.unordered) for m in messages
    ]


async def test_messages_with_a_lifetime_share_one_too(dissector: Dissector) -> None:
    with dissector.capture() as wire:
        async with connected() as pair:
            client = port(pair.client)
            pair.client.set_option(DefaultPrInfo(lifetime=20.0))
            await pair.client.send_many(SMALL)
            assert await arrived(pair.server, len(SMALL)) == SMALL
    assert packets(wire, client) == [len(SMALL)]


async def test_many_messages_fill_packets(dissector: Dissector) -> None:
    """Sizes vary, and some need fragments; order stays."""
    sent = [
        bytes([number % 251]) * (number * 37 % 2000 + 1 if number % 9 == 0 else 60) for number in range(500)
    ]
    with dissector.capture() as wire:
        async with connected() as pair:
            client = port(pair.client)
            sending = asyncio.create_task(pair.client.send_many(sent))
            assert await arrived(pair.server, len(sent)) == sent
            await sending
    assert len(packets(wire, client)) < len(sent) / 4
    assert wire.types(ChunkType.HEARTBEAT) == []


async def test_without_nodelay_they_share_packets_as_well(dissector: Dissector) -> None:
    with dissector.capture() as wire:
        async with connected(connect_with={"options": (NoDelay(False),)}) as pair:
            client = port(pair.client)
            await pair.client.send_many(SMALL)
            assert await arrived(pair.server, len(SMALL)) == SMALL
    assert packets(wire, client) == [len(SMALL)]


async def test_associations_of_one_socket_have_packets_of_their_own(dissector: Dissector) -> None:
    with dissector.capture() as wire:
        async with (
            listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as listener,
            connect(listener.local_addresses) as one,
            await listener.accept() as to_one,
            connect(listener.local_addresses) as other,
            await listener.accept() as to_other,
        ):
            ports = [port(one), port(other)]
            other_way = SMALL[::-1]
            # One after the other: neither takes the other's along.
            for number in range(0, len(SMALL), 10):
                await to_one.send_many(SMALL[number : number + 10])
                await to_other.send_many(other_way[number : number + 10])
            assert await arrived(one, len(SMALL)) == SMALL
            assert await arrived(other, len(SMALL)) == other_way
    for there in ports:
        numbers = [c.packet for c in wire.data(port=listener.port) if c.destination_port == there]
        assert [numbers.count(number) for number in dict.fromkeys(numbers)] == [10] * 5
    assert wire.types(ChunkType.HEARTBEAT) == []


# Where not all of a batch is taken


async def test_a_send_buffer_that_takes_a_part(dissector: Dissector) -> None:
    """No more is held than fits with what takes it along: no heartbeat has to."""
    sent = SMALL * 10
    with dissector.capture() as wire:
        async with connected(connect_with={"options": (SendBuffer(16 * KIB),)}) as pair:
            client = port(pair.client)
            sending = asyncio.create_task(pair.client.send_many(sent))
            assert await arrived(pair.server, len(sent)) == sent
            await sending
    assert len(packets(wire, client)) < len(sent) / 4
    assert wire.types(ChunkType.HEARTBEAT) == []


@pytest.mark.parametrize("size", [12, 300])
async def test_cancelled_while_it_waits_for_space(dissector: Dissector, size: int) -> None:
    """What was counted as sent arrives, although nothing is sent after it."""
    few = {"receive_buffer": 1, "options": [ReceiveBuffer(8 * KIB)]}
    sent = [data.ljust(size) for data in SMALL * 40]
    with dissector.capture() as wire:
        async with connected(listen_with=few, connect_with={"options": (SendBuffer(16 * KIB),)}) as pair:
            stop_reading(pair.server)
            sending = asyncio.create_task(pair.client.send_many(sent))
            await until(lambda: pair.client.statistics().waiting_senders == 1)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            count = pair.client.statistics().messages_sent
            assert 0 < count < len(sent)
            read_again(pair.server)
            assert await arrived(pair.server, count) == sent[:count]
            await within(pair.client.flush())
            client = port(pair.client)
    assert len(wire.data(port=client)) == count
    assert wire.types(ChunkType.HEARTBEAT) == []


@pytest.mark.parametrize("before", [1, 2, len(SMALL)])
async def test_a_message_that_is_refused_in_the_middle(dissector: Dissector, before: int) -> None:
    """The kernel holds those before it, and heartbeats take them along."""
    # With a send buffer that was chosen, all go to the kernel at once.
    options = DisableFragments(True), SendBuffer(200 * KIB)
    with dissector.capture() as wire:
        async with connected(connect_with={"options": options}) as pair:
            client = port(pair.client)
            with pytest.raises(MessageTooLargeError):
                await pair.client.send_many([*SMALL[:before], bytes(3000), b"never"])
            assert pair.client.statistics().messages_sent == before
            assert await arrived(pair.server, before) == SMALL[:before]
    assert sum(packets(wire, client)) == before
    heartbeats = {chunk.packet for chunk in wire.chunks if chunk.type is ChunkType.HEARTBEAT}
    assert {chunk.packet for chunk in wire.data(port=client)} <= heartbeats


@contextmanager
def no_more_memory() -> Iterator[None]:
    """Let SCTP have no more memory on this host than it has."""
    before = MEMORY.read_text()
    MEMORY.write_text("0 0 0")
    try:
        yield
    finally:
        MEMORY.write_text(before)


async def test_a_host_out_of_memory_in_the_middle(dissector: Dissector) -> None:
    """What was taken leaves with a heartbeat, and the task that waits can be cancelled."""
    hog_with = {"options": (SendBuffer(200 * KIB),)}
    lazy = {"options": (DelayedSack(delay=0.5, frequency=50),)}
    with dissector.capture() as wire:
        async with connected(connect_with=hog_with) as hog, connected(listen_with=lazy) as pair:
            client = port(pair.client)
            # The kernel counts what is in use only from a megabyte on.
            stop_reading(hog.server)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2 * PATIENCE):
                    await hog.client.send_many([bytes(10_000)] * 300)
            # What is unacknowledged has a page of memory, whose rest takes a few messages.
            await pair.client.send(b"ahead")
            await pair.client.flush()
            await pair.client.send(b"unacknowledged")
            with no_more_memory():
                sending = asyncio.create_task(pair.client.send_many(SMALL))
                await until(lambda: pair.client.statistics().waiting_senders == 1)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
            count = pair.client.statistics().messages_sent - 2
            assert 0 < count < len(SMALL)
            assert (await arrived(pair.server, 2 + count))[2:] == SMALL[:count]
    heartbeats = {chunk.packet for chunk in wire.chunks if chunk.type is ChunkType.HEARTBEAT}
    assert {chunk.packet for chunk in wire.of(Data, port=client)[2 : 2 + count]} <= heartbeats


async def test_a_flag_that_ends_the_association_is_not_bundled(dissector: Dissector) -> None:
    """The contract's own rule: `send_many` knows no such flag."""
    with dissector.capture() as wire:
        async with connected() as pair:
            client = port(pair.client)
            head = Head(0, 0, 0, 0)
            ending = [(SMALL[0], head), (SMALL[1], head), (b"", head._replace(flags=SEND_EOF))]
            raw = pair.client._link.socket.raw
            assert raw.send_batch(pair.client.association_id, ending, True) in (2, 3)
            assert await arrived(pair.server, 2) == SMALL[:2]
    assert packets(wire, client) == [2]
