"""Wire truth: what an independent dissector sees of what the API was asked to send."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import pytest

from kernel.capture import Abort, Chunk, ChunkType, Data, Dissector, ForwardTsn, Init, Sack, Wire
from kernel.lab import DeadEnd, Lab, joined, run
from sctpio import (
    AssociationStatistics,
    Conn,
    DelayedSack,
    InitMsg,
    MaxSegment,
    Message,
    NoDelay,
    PathState,
    PeerAddressParameters,
    ReceiveBuffer,
    RtoInfo,
    SendFailed,
    connect,
    listen,
)
from support import Pair, associations, connected, until

pytestmark = pytest.mark.both_modes

SHUTDOWN, SHUTDOWN_ACK = ChunkType.SHUTDOWN, ChunkType.SHUTDOWN_ACK
SHUTDOWN_COMPLETE, ABORT = ChunkType.SHUTDOWN_COMPLETE, ChunkType.ABORT
ENDINGS = (SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, ABORT)

MTU = 1500


@pytest.fixture(autouse=True, scope="module")
def _mtu() -> Iterator[None]:
    # With the 64 KiB of lo no message would need fragments.
    run("ip", "link", "set", "lo", "mtu", str(MTU))
    yield
    run("ip", "link", "set", "lo", "mtu", "65536")


def ports(pair: Pair) -> tuple[int, int]:
    """Give the port of the client and that of the server."""
    return pair.client.local_addresses.port, pair.listener.port


class Sent(NamedTuple):
    """What a DATA chunk says of its message; the SSN of an unordered one means nothing."""

    sid: int
    ssn: int | None
    ppid: int
    unordered: bool
    length: int


def sent(chunks: list[Data]) -> list[Sent]:
    """Say what whole messages were sent."""
    assert all(chunk.beginning and chunk.ending for chunk in chunks)
    return [
        Sent(chunk.sid, None if chunk.unordered else chunk.ssn, chunk.ppid, chunk.unordered, chunk.length)
        for chunk in chunks
    ]


async def arrived(conn: Conn, count: int) -> list[Message]:
    """Receive that many messages."""
    async with asyncio.timeout(30):
        return [await conn.receive() for _ in range(count)]


# Setting up


class Offer(NamedTuple):
    """The numbers of streams that an end has, and accepts."""

    outbound: int
    inbound: int


@pytest.mark.parametrize(
    ("client", "server"),
    [(Offer(9, 8), Offer(7, 6)), (Offer(4, 300), Offer(65535, 2)), (Offer(1, 65535), Offer(1, 1))],
)
async def test_stream_counts(dissector: Dissector, client: Offer, server: Offer) -> None:
    """INIT and INIT ACK carry the numbers of InitMsg, and the association has the smaller ones."""
    with dissector.capture() as wire:
        async with connected(
            listen_with={"init": InitMsg(server.outbound, server.inbound)},
            connect_with={"init": InitMsg(client.outbound, client.inbound)},
        ) as pair:
            client_port, server_port = ports(pair)
            up, down = min(client.outbound, server.inbound), min(server.outbound, client.inbound)
            assert (pair.client.outbound_streams, pair.client.inbound_streams) == (up, down)
            assert (pair.server.outbound_streams, pair.server.inbound_streams) == (down, up)
    (init,) = wire.of(Init, port=client_port)
    assert init.type is ChunkType.INIT
    assert (init.outbound_streams, init.inbound_streams) == client
    (answer,) = wire.of(Init, port=server_port)
    assert answer.type is ChunkType.INIT_ACK
    # The kernel answers knowing the offer: with no more than the client has or accepts.
    assert answer.outbound_streams == min(server.outbound, client.inbound)
    assert answer.inbound_streams == min(server.inbound, client.outbound)


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("127.0.0.1/127.0.0.2/127.0.0.3", "127.0.0.2/127.0.0.4"),
        ("127.0.0.1/[::1]", "127.0.0.3/[::1]"),
        ("[::1]/127.0.0.2", "127.0.0.4/127.0.0.1/[::1]"),
    ],
)
async def test_addresses_of_a_multi_homed_bind(dissector: Dissector, server: str, client: str) -> None:
    """Every address that an end was bound to, and no other, stands in its INIT or INIT ACK."""

    def plain(hosts: str) -> list[str]:
        return sorted(host.strip("[]") for host in hosts.split("/"))

    with dissector.capture() as wire:
        async with connected(f"{server}:0", connect_with={"local": f"{client}:0"}) as pair:
            client_port, server_port = ports(pair)
            assert sorted(map(str, pair.client.peer_addresses.hosts)) == plain(server)
            assert sorted(map(str, pair.server.peer_addresses.hosts)) == plain(client)
    (init,) = wire.of(Init, port=client_port)
    assert sorted(init.addresses) == plain(client)
    (answer,) = wire.of(Init, port=server_port)
    assert sorted(answer.addresses) == plain(server)


async def test_a_single_address_is_the_only_one(dissector: Dissector) -> None:
    """Bound to one address, an end tells no other one and uses no other one."""
    with dissector.capture() as wire:
        async with connected("127.0.0.2:0", connect_with={"local": "127.0.0.3:0"}) as pair:
            client_port, server_port = ports(pair)
            await pair.client.send(b"here")
            await arrived(pair.server, 1)
    for port, host in ((client_port, "127.0.0.3"), (server_port, "127.0.0.2")):
        (init,) = wire.of(Init, port=port)
        assert set(init.addresses) <= {host}
        assert {chunk.source for chunk in wire.of(Chunk, port=port)} == {host}


async def test_a_cancelled_connect_sends_no_more(dissector: Dissector, nowhere: DeadEnd) -> None:
    """After the cancellation no INIT leaves, where a connect that was not cancelled retransmits."""
    patience = {
        "init": InitMsg(max_attempts=4, max_init_timeout=0.2),
        "options": (RtoInfo(initial=0.2, maximum=0.2, minimum=0.1),),
    }
    with dissector.capture(nowhere.interface) as wire:
        connecting = asyncio.create_task(_connect(f"{nowhere.address}:5001", patience))
        await until(lambda: bool(associations()))
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        cancelled = time.time()
        assert associations() == []
        with pytest.raises(TimeoutError):
            await _connect(f"{nowhere.address}:5002", patience)
    inits = {5001: [], 5002: []}  # type: dict[int, list[Init]]
    for init in wire.of(Init):
        inits[init.destination_port].append(init)
    assert inits[5001]
    assert all(init.time < cancelled for init in inits[5001])
    assert len(inits[5002]) == 1 + 4
    assert inits[5002][-1].time - cancelled > 0.5


async def _connect(address: str, patience: dict[str, object]) -> Conn:
    return await connect(address, **patience)  # type: ignore[arg-type]


# Messages

MIXED = [
    (b"one", 3, 60, False),
    (b"two", 3, 60, False),
    (b"three", 5, 0x01020304, True),
    (b"four", 5, 0, False),
    (b"five", 3, 0xFFFFFFFF, True),
    (b"six", 3, 46, False),
    (b"seven", 0, 3, False),
    (b"eight", 5, 1, False),
]
ON_THE_WIRE = [
    Sent(3, 0, 60, False, 3),
    Sent(3, 1, 60, False, 3),
    Sent(5, None, 0x01020304, True, 5),
    Sent(5, 0, 0, False, 4),
    Sent(3, None, 0xFFFFFFFF, True, 4),
    Sent(3, 2, 46, False, 3),
    Sent(0, 0, 3, False, 5),
    Sent(5, 1, 1, False, 5),
]


async def _by_send(conn: Conn) -> None:
    for data, stream, ppid, unordered in MIXED:
        await conn.send(data, stream=stream, ppid=ppid, unordered=unordered)


async def _by_stream(conn: Conn) -> None:
    for number, (data, stream, ppid, unordered) in enumerate(MIXED):
        # The default of the stream and the number of the call, in turn.
        if number % 2:
            await conn.stream(stream, ppid=ppid).send(data, unordered=unordered)
        else:
            await conn.stream(stream, ppid=99).send(data, ppid=ppid, unordered=unordered)


async def _by_messages(conn: Conn) -> None:
    await conn.send_many(
        [
            Message(data, stream=stream, ppid=ppid, unordered=unordered)
            for data, stream, ppid, unordered in MIXED
        ],
        stream=9,
        ppid=9,
    )


@pytest.mark.parametrize("send", [_by_send, _by_stream, _by_messages])
async def test_data(dissector: Dissector, send: object) -> None:
    """Stream, SSN, PPID, the U bit and the length are those of each message, whatever call sent it."""
    assert callable(send)
    with dissector.capture() as wire:
        async with connected() as pair:
            client_port, _ = ports(pair)
            await send(pair.client)
            messages = await arrived(pair.server, len(MIXED))
            assert [(m.data, m.stream, m.ppid, m.unordered) for m in messages] == MIXED
    chunks = wire.data(port=client_port)
    assert sent(chunks) == ON_THE_WIRE
    assert [chunk.tsn for chunk in chunks] == [message.tsn for message in messages]
    assert not any(chunk.immediate for chunk in chunks)


async def test_data_of_send_many(dissector: Dissector) -> None:
    """Plain bytes go with the arguments of the call, a Message between them with its own."""
    with dissector.capture() as wire:
        async with connected() as pair:
            client_port, _ = ports(pair)
            await pair.client.send_many([b"a", bytearray(b"bb"), memoryview(b"ccc")], stream=7, ppid=46)
            await pair.client.send_many([b"d", Message(b"ee", stream=7, ppid=1), b"fff"], stream=2, ppid=5)
            await pair.client.send_many([b"loose"] * 2, stream=7, ppid=60, unordered=True)
            await arrived(pair.server, 8)
    assert sent(wire.data(port=client_port)) == [
        Sent(7, 0, 46, False, 1),
        Sent(7, 1, 46, False, 2),
        Sent(7, 2, 46, False, 3),
        Sent(2, 0, 5, False, 1),
        Sent(7, 3, 1, False, 2),
        Sent(2, 1, 5, False, 3),
        Sent(7, None, 60, True, 5),
        Sent(7, None, 60, True, 5),
    ]


async def test_ppid_of_what_the_server_sends(dissector: Dissector) -> None:
    """The accepted side converts the PPID as the connecting one does."""
    with dissector.capture() as wire:
        async with connected() as pair:
            _, server_port = ports(pair)
            await pair.server.send(b"answer", stream=1, ppid=60)
            (message,) = await arrived(pair.client, 1)
            assert message.ppid == 60
    assert sent(wire.data(port=server_port)) == [Sent(1, 0, 60, False, 6)]


@pytest.mark.parametrize("unordered", [False, True])
async def test_fragments(dissector: Dissector, unordered: bool) -> None:
    """A message beyond the path MTU goes as fragments B ... E of consecutive TSNs, and arrives whole."""
    data = bytes(range(256)) * 40
    with dissector.capture() as wire:
        async with connected() as pair:
            client_port, _ = ports(pair)
            await pair.client.send(data, stream=4, ppid=60, unordered=unordered)
            await pair.client.send(b"next", stream=4, ppid=61)
            whole, following = await arrived(pair.server, 2)
            assert (whole.data, whole.ppid, whole.unordered) == (data, 60, unordered)
            assert following.data == b"next"
    *fragments, last = wire.data(port=client_port)
    assert sent([last]) == [Sent(4, 0 if unordered else 1, 61, False, 4)]
    assert len(fragments) == -(-len(data) // 1452)
    assert sum(fragment.length for fragment in fragments) == len(data)
    assert max(fragment.length for fragment in fragments) <= MTU - 20 - 12 - 16
    assert [fragment.tsn - fragments[0].tsn for fragment in fragments] == list(range(len(fragments)))
    assert [fragment.beginning for fragment in fragments] == [True] + [False] * (len(fragments) - 1)
    assert [fragment.ending for fragment in fragments] == [False] * (len(fragments) - 1) + [True]
    assert {(fragment.sid, fragment.ppid, fragment.unordered) for fragment in fragments} == {
        (4, 60, unordered)
    }
    assert len({fragment.ssn for fragment in fragments}) == 1


async def test_max_segment(dissector: Dissector) -> None:
    """MaxSegment bounds the fragments."""
    with dissector.capture() as wire:
        async with connected(connect_with={"options": (MaxSegment(size=500),)}) as pair:
            client_port, _ = ports(pair)
            await pair.client.send(bytes(1200))
            assert (await arrived(pair.server, 1))[0].data == bytes(1200)
    assert sum(chunk.length for chunk in wire.data(port=client_port)) == 1200
    assert 3 <= len(wire.data(port=client_port)) <= 4
    assert max(chunk.length for chunk in wire.data(port=client_port)) <= 500


async def test_sack_immediately(dissector: Dissector) -> None:
    """`sack_immediately` sets the I bit of its message only."""
    with dissector.capture() as wire:
        async with connected() as pair:
            client_port, _ = ports(pair)
            await pair.client.send(b"plain")
            await pair.client.send(b"hurry", sack_immediately=True)
            await pair.client.send(b"hurry too", sack_immediately=True, unordered=True, stream=2)
            await pair.client.send(b"plain again")
            await arrived(pair.server, 4)
    assert [(c.immediate, c.unordered) for c in wire.data(port=client_port)] == [
        (False, False),
        (True, False),
        (True, True),
        (False, False),
    ]


async def test_path(dissector: Dissector) -> None:
    """`path` is where the message goes."""
    fast = (RtoInfo(initial=0.2, maximum=0.3, minimum=0.1), PeerAddressParameters(heartbeat_interval=0.1))
    with dissector.capture() as wire:
        async with connected(
            "127.0.0.1/127.0.0.2:0", connect_with={"local": "127.0.0.3:0", "options": fast}
        ) as pair:
            client_port, server_port = ports(pair)
            paths = [f"127.0.0.1:{server_port}", f"127.0.0.2:{server_port}"]
            # Before a heartbeat has confirmed a path, the kernel uses another one.
            await until(lambda: all(pair.client.path(path).state is PathState.ACTIVE for path in paths))
            for number, path in enumerate((*paths, *paths), 1):
                await pair.client.send(bytes(number), path=path)
            await arrived(pair.server, 4)
    destinations = {chunk.length: chunk.destination for chunk in wire.data(port=client_port)}
    assert destinations == {1: "127.0.0.1", 2: "127.0.0.2", 3: "127.0.0.1", 4: "127.0.0.2"}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_dscp(dissector: Dissector, host: str) -> None:
    """The DSCP of PeerAddressParameters is on every packet, the first included."""
    with dissector.capture() as wire:
        async with connected(
            f"{host}:0", connect_with={"options": (PeerAddressParameters(dscp=46),)}
        ) as pair:
            client_port, server_port = ports(pair)
            await pair.client.send(b"expedited")
            await arrived(pair.server, 1)
    assert {chunk.dscp for chunk in wire.of(Chunk, port=client_port)} == {46}
    assert {chunk.dscp for chunk in wire.of(Chunk, port=server_port)} == {0}


# Nagle. The first message after a SACK is acknowledged at once, so one goes ahead of those that count; the
# second one is then acknowledged by the timer of the peer, because many packets would have to come first.
LAZY = {"options": (DelayedSack(delay=0.5, frequency=50),)}


async def _two_small_messages(pair: Pair) -> None:
    await pair.client.send(b"ahead")
    await pair.client.flush()
    await pair.client.send(b"first")
    await pair.client.send(b"second")
    await arrived(pair.server, 3)
    await pair.client.flush()


def _sacks_between(wire: Wire, client_port: int, server_port: int) -> int:
    """Count the packets from the server that acknowledge "first", before "second" was sent."""
    _, first, second = wire.data(port=client_port)
    assert first.packet < second.packet
    return sum(
        sack.tsn == first.tsn and first.packet < sack.packet < second.packet
        for sack in wire.of(Sack, port=server_port)
    )


async def test_nodelay_is_the_default(dissector: Dissector) -> None:
    """A small message goes out at once while another one is unacknowledged."""
    with dissector.capture() as wire:
        async with connected(listen_with=LAZY) as pair:
            client_port, server_port = ports(pair)
            assert pair.client.get_option(NoDelay) == NoDelay(True)
            assert pair.server.get_option(NoDelay) == NoDelay(True)
            await _two_small_messages(pair)
    assert _sacks_between(wire, client_port, server_port) == 0


async def test_nodelay_off(dissector: Dissector) -> None:
    """Without NODELAY the small message waits for the SACK of the one before."""
    with dissector.capture() as wire:
        async with connected(listen_with=LAZY, connect_with={"options": (NoDelay(False),)}) as pair:
            client_port, server_port = ports(pair)
            await _two_small_messages(pair)
    assert _sacks_between(wire, client_port, server_port) == 1


async def test_an_expired_message_is_abandoned(dissector: Dissector, lab: Lab) -> None:
    """A message sent in vain for longer than its `lifetime` is skipped by FORWARD TSN."""
    fast = {"options": (RtoInfo(initial=0.2, maximum=0.3, minimum=0.1),)}
    async with joined(lab, connect_with=fast) as pair:
        client_port, _ = ports(pair)
        with dissector.capture(lab.links[0].here) as wire:
            await pair.client.send(b"before", stream=1)
            await pair.client.flush()
            lab.misdirect(lab.links[0])
            statistics = pair.client.get_option(AssociationStatistics)
            await pair.client.send(b"expires", stream=1, lifetime=0.05)
            # Nothing but FORWARD TSN is a control chunk here.
            control = statistics.control_chunks_sent
            await until(lambda: pair.client.get_option(AssociationStatistics).control_chunks_sent > control)
            lab.redirect(lab.links[0])
            await pair.client.send(b"after", stream=1)
            assert [message.data for message in await arrived(pair.server, 2)] == [b"before", b"after"]
    before, expired, after = wire.data(port=client_port)
    assert [before.ssn, expired.ssn, after.ssn] == [0, 1, 2]
    forwards = wire.of(ForwardTsn, port=client_port)
    assert {(forward.tsn, forward.sids) for forward in forwards} == {(expired.tsn, (1,))}


async def test_a_message_that_expires_in_the_queue_is_never_sent(dissector: Dissector, lab: Lab) -> None:
    """What waits behind others for longer than its `lifetime` is told as SendFailed, and not sent."""
    fast = {"options": (RtoInfo(initial=0.2, maximum=0.3, minimum=0.1),)}
    async with joined(lab, connect_with=fast) as pair:
        client_port, _ = ports(pair)
        failures = pair.client.events(SendFailed)
        with dissector.capture(lab.links[0].here) as wire:
            await pair.client.send(b"before")
            await pair.client.flush()
            lab.misdirect(lab.links[0])
            # More than the congestion window lets out.
            for _ in range(20):
                await pair.client.send(bytes(1400), stream=1)
            await pair.client.send(b"expires", stream=2, ppid=60, context=7, lifetime=0.05)
            expired = time.monotonic() + 0.1
            await until(lambda: time.monotonic() > expired)
            lab.redirect(lab.links[0])
            await pair.client.send(b"after", stream=2)
            assert (await arrived(pair.server, 22))[-1].data == b"after"
            async with asyncio.timeout(30):
                failed = await anext(failures)
            assert isinstance(failed, SendFailed)
            assert (failed.data, failed.stream, failed.ppid, failed.context) == (b"expires", 2, 60, 7)
    assert [chunk.length for chunk in wire.data(port=client_port) if chunk.sid == 2] == [len(b"after")]
    assert wire.of(ForwardTsn) == []


# Ending


@pytest.mark.parametrize("closer", ["client", "server"])
async def test_close_is_a_shutdown(dissector: Dissector, closer: str) -> None:
    """`close` is SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE, after the data, and no ABORT."""
    with dissector.capture() as wire:
        async with connected() as pair:
            here, there = ports(pair) if closer == "client" else ports(pair)[::-1]
            conn, peer = (pair.client, pair.server) if closer == "client" else (pair.server, pair.client)
            await conn.send(b"last words")
            await conn.close()
            assert [message.data async for message in peer] == [b"last words"]
            await peer.wait_closed()
    assert wire.types(*ENDINGS) == [
        (here, SHUTDOWN),
        (there, SHUTDOWN_ACK),
        (here, SHUTDOWN_COMPLETE),
    ]
    (data,) = wire.data(port=here)
    shutdown = next(chunk for chunk in wire.chunks if chunk.type is SHUTDOWN)
    assert data.packet < shutdown.packet


async def test_close_with_unread_messages_is_a_shutdown(dissector: Dissector) -> None:
    """Messages that nobody read do not turn `close` into an ABORT, as they would in the kernel."""
    with dissector.capture() as wire:
        async with connected(listen_with={"receive_buffer": 1}) as pair:
            client_port, server_port = ports(pair)
            for _ in range(20):
                await pair.client.send(bytes(1000))
            await until(lambda: pair.server.statistics().reading_paused)
            await pair.client.flush()
            await pair.server.close()
            await pair.client.wait_closed()
    assert wire.types(*ENDINGS) == [
        (server_port, SHUTDOWN),
        (client_port, SHUTDOWN_ACK),
        (server_port, SHUTDOWN_COMPLETE),
    ]


@pytest.mark.parametrize("aborter", ["client", "server"])
async def test_abort_is_an_abort(dissector: Dissector, aborter: str) -> None:
    """`abort` is one ABORT with the cause "user initiated", and no SHUTDOWN."""
    with dissector.capture() as wire:
        async with connected() as pair:
            here, _ = ports(pair) if aborter == "client" else ports(pair)[::-1]
            conn, peer = (pair.client, pair.server) if aborter == "client" else (pair.server, pair.client)
            await conn.abort()
            await peer.wait_closed()
    assert wire.types(*ENDINGS) == [(here, ABORT)]
    assert [abort.causes for abort in wire.of(Abort)] == [(12,)]


async def test_leaving_the_block(dissector: Dissector) -> None:
    """`async with` ends in a SHUTDOWN; in an ABORT where an exception leaves it."""
    async with listen("127.0.0.1:0") as listener:
        with dissector.capture() as wire:
            async with connect(listener.local_addresses):
                server = await listener.accept()
            await server.wait_closed()
        assert [kind for _, kind in wire.types(*ENDINGS)] == [SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE]
        with dissector.capture() as wire:
            with pytest.raises(KeyError):
                await _fail_inside(connect(listener.local_addresses))
            server = await listener.accept()
            await server.wait_closed()
        assert [kind for _, kind in wire.types(*ENDINGS)] == [ABORT]


async def _fail_inside(opening: AbstractAsyncContextManager[Conn]) -> None:
    async with opening:
        raise KeyError


async def test_a_cancelled_close_aborts(dissector: Dissector) -> None:
    """A `close` that waits for data to be delivered sends an ABORT when it is cancelled."""
    small = {"receive_buffer": 1, "options": (ReceiveBuffer(size=4096),)}
    with dissector.capture() as wire:
        async with connected(listen_with=small) as pair:
            client_port, _ = ports(pair)
            # The peer does not read: its window closes, and what is queued keeps close() waiting.
            async with asyncio.timeout(30):
                while not pair.server.statistics().reading_paused or pair.client.status().rwnd > 2000:
                    await pair.client.send(bytes(2000))
                    await asyncio.sleep(0)
                await pair.client.send(bytes(100_000))
            closing = asyncio.create_task(pair.client.close())
            await asyncio.sleep(0)
            assert not closing.done()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert pair.client.is_closed
            assert pair.client.fileno() == -1
            await until(lambda: not associations())
    assert wire.types(*ENDINGS) == [(client_port, ABORT)]


async def test_a_refused_association(dissector: Dissector) -> None:
    """Where nobody listens the INIT is answered by an ABORT, and connect says that it was refused."""
    async with listen("127.0.0.1:0") as listener:
        address = listener.local_addresses
    with dissector.capture() as wire, pytest.raises(ConnectionRefusedError):
        await connect(address)
    assert [init.destination_port for init in wire.of(Init)] == [address.port]
    assert wire.types(*ENDINGS) == [(address.port, ABORT)]
