"""What the library promises, while packets are lost, late, twice, out of order, corrupt, or cut off."""

import asyncio
import contextlib
import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator

import pytest

from sctpio import (
    AddressState,
    AssociationChange,
    AssociationLostError,
    AssociationState,
    AssocInfo,
    Conn,
    EndOfAssociation,
    InitMsg,
    Listener,
    Mode,
    Option,
    PeerAddressChange,
    PeerAddressParameters,
    PrAssociationStatus,
    PrPolicy,
    RtoInfo,
    SendBuffer,
    SendFailed,
    listen,
    open_endpoint,
)
from sctpio.testing import QUICK, Faults, Relay, connected
from support import PATIENCE, STACK, associations, until

# The relay is the same below both; on the kernel, timers and system calls of a guest make it slow.
pytestmark = pytest.mark.any_stack

BAD = Faults(loss=0.1, reorder=0.1, duplicate=0.05, corrupt=0.02, delay=0.001, jitter=0.002)
SEEDS = [1, 2, 3]
FEW_SEEDS = [4, 5]
STREAMS = 4
SIZES = [1, 2, 100, 1000, 1452, 1453, 5000, 30_000, 204_800]
BIG = (
    *QUICK,
    # A loopback that takes larger packets would show little of what becomes of fragments.
    PeerAddressParameters(path_mtu=4000, path_mtu_discovery=False),
    SendBuffer(400_000),
    RtoInfo(maximum=0.5),
)
# Enough to ride out bad luck.
STUBBORN = (AssocInfo(max_retransmissions=50), PeerAddressParameters(path_max_retransmissions=50))
MODES = pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    yield
    await until(lambda: not associations())


def messages(seed: int) -> dict[int, list[bytes]]:
    """Make messages for each stream, each size among them."""
    rng = random.Random(seed)
    made: dict[int, list[bytes]] = {stream: [] for stream in range(STREAMS)}
    for size in SIZES:
        made[rng.randrange(STREAMS)].append(rng.randbytes(size))
    for waiting in made.values():
        waiting += [rng.randbytes(rng.choice(SIZES[:6])) for _ in range(10)]
        rng.shuffle(waiting)
    return made


async def send_all(conn: Conn, made: dict[int, list[bytes]], *, unordered: bool = False) -> None:
    """Send them, a task for each stream."""

    async def one(stream: int) -> None:
        for number, data in enumerate(made[stream]):
            await conn.send(data, stream=stream, ppid=number, unordered=unordered)

    async with asyncio.TaskGroup() as sending:
        for stream in made:
            sending.create_task(one(stream))


async def receive_all(conn: Conn, count: int) -> dict[int, list[tuple[int, bytes]]]:
    """Receive as many, by stream, each with its number."""
    got: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    for _ in range(count):
        message = await conn.receive()
        got[message.stream].append((message.ppid, message.data))
    return got


def digests(made: dict[int, list[bytes]]) -> dict[int, str]:
    """Sum up each stream."""
    return {stream: hashlib.sha256(b"|".join(each)).hexdigest() for stream, each in made.items()}


@pytest.mark.parametrize("seed", SEEDS)
@MODES
async def test_nothing_is_lost_doubled_or_reordered_in_a_stream(mode: Mode, seed: int) -> None:
    there, back = messages(seed), messages(seed + 100)
    async with asyncio.timeout(40 * PATIENCE), Relay(BAD, seed=seed) as relay:
        async with connected(relay=relay, mode=mode, options=(*BIG, *STUBBORN)) as (client, server):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send_all(client, there))
                tasks.create_task(send_all(server, back))
                at_server = tasks.create_task(receive_all(server, sum(map(len, there.values()))))
                at_client = tasks.create_task(receive_all(client, sum(map(len, back.values()))))
            for sent, task in ((there, at_server), (back, at_client)):
                got = task.result()
                assert all([number for number, _ in each] == list(range(len(each))) for each in got.values())
                assert digests({stream: [data for _, data in got[stream]] for stream in sent}) == digests(
                    sent
                )
            await client.close()
            with pytest.raises(EndOfAssociation):
                await server.receive()
        for fault in ("lost", "reordered", "duplicated", "corrupted"):
            assert getattr(relay.to_server.counters, fault) + getattr(relay.to_client.counters, fault), fault


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_unordered_messages_all_come_once(host: str) -> None:
    made = messages(5)
    async with asyncio.timeout(40 * PATIENCE), Relay(BAD, host=host, seed=5) as relay:
        async with connected(relay=relay, options=(*BIG, *STUBBORN)) as (client, server):
            sending = asyncio.create_task(send_all(client, made, unordered=True))
            got = await receive_all(server, sum(map(len, made.values())))
            await sending
            await client.close()
            with pytest.raises(EndOfAssociation):
                await server.receive()
        assert {stream: Counter(got[stream]) for stream in made} == {
            stream: Counter(enumerate(each)) for stream, each in made.items()
        }
        assert relay.to_server.counters.lost > 0


@pytest.mark.parametrize("seed", FEW_SEEDS)
async def test_messages_given_up_are_reported_and_the_others_keep_their_order(seed: int) -> None:
    count = 300
    async with asyncio.timeout(40 * PATIENCE), Relay(seed=seed) as relay:
        opening = connected(relay=relay, options=(*QUICK, *STUBBORN), events=[SendFailed])
        async with opening as (client, server):
            failures = client.events(SendFailed)
            relay.to_server.faults = Faults(loss=0.3)
            for number in range(count):
                # Few in a packet, or few would be lost.
                await client.send(b"%d" % number + bytes(1000), ppid=number, max_retransmissions=0)
            await client.send(b"the last", ppid=count)
            got = []
            while (message := await server.receive()).ppid != count:
                assert message.data == b"%d" % message.ppid + bytes(1000)
                got.append(message.ppid)
            status = client.get_option(PrAssociationStatus(PrPolicy.RETRANSMISSIONS))
            relay.faults = Faults()
            await client.close()
            given_up = [failure async for failure in failures if isinstance(failure, SendFailed)]
        assert got == sorted(set(got))
        missing = set(range(count)) - set(got)
        assert 0 < len(missing) < count
        assert (status.abandoned_sent or 0) + (status.abandoned_unsent or 0) >= len(missing)
        reported = Counter(failure.ppid for failure in given_up)
        assert set(reported.values()) <= {1}
        assert not {failure.ppid for failure in given_up if not failure.sent} & set(got)
        if STACK == "usrsctp":
            # Linux only counts what was sent in vain.
            assert missing <= set(reported) < set(range(count))


@MODES
async def test_a_cut_ends_the_association_after_the_retransmissions_that_were_set(mode: Mode) -> None:
    limits = (
        AssocInfo(max_retransmissions=3),
        PeerAddressParameters(heartbeat=False, path_max_retransmissions=2),
    )
    async with asyncio.timeout(40 * PATIENCE), Relay() as relay:
        opening = connected(
            relay=relay, mode=mode, options=(*QUICK, *limits), events=[AssociationChange, PeerAddressChange]
        )
        async with opening as (client, server):
            await client.send(b"before")
            assert (await server.receive()).data == b"before"
            await client.flush()
            relay.cut()
            await client.send(b"into the void")
            with pytest.raises(AssociationLostError):
                await client.receive()
            seen = [event async for event in client.events(AssociationChange, PeerAddressChange)]
            assert isinstance(seen[-1], AssociationChange)
            assert seen[-1].state is AssociationState.COMM_LOST
            states = [event.state for event in seen if isinstance(event, PeerAddressChange)]
            assert AddressState.UNREACHABLE in states
            assert not server.is_closed
            # The message and its retransmissions, and perhaps an ABORT.
            assert relay.to_server.counters.cut in (4, 5)


async def test_a_client_that_no_acknowledgement_reaches_gives_up_what_arrived() -> None:
    limits = (AssocInfo(max_retransmissions=3), PeerAddressParameters(heartbeat=False))
    async with asyncio.timeout(40 * PATIENCE), Relay() as relay:
        async with connected(relay=relay, options=(*QUICK, *limits)) as (client, server):
            relay.to_client.cut()
            await client.send(b"once")
            with pytest.raises(AssociationLostError):
                await client.wait_closed()
                await client.receive()
            assert (await server.receive()).data == b"once"
            # Its retransmissions were no messages.
            with pytest.raises(ConnectionError):
                await server.receive()


async def test_a_cut_that_heals_in_time_costs_nothing() -> None:
    async with asyncio.timeout(40 * PATIENCE), Relay() as relay:
        async with connected(relay=relay, options=(*QUICK, *STUBBORN)) as (client, server):
            for turn in range(3):
                relay.cut()
                cut = relay.to_server.counters.cut
                for number in range(20):
                    await client.send(b"%d %d" % (turn, number), stream=1)
                await until(lambda: relay.to_server.counters.cut >= cut + 3)  # noqa: B023
                relay.heal()
                got = [(await server.receive()).data for _ in range(20)]
                assert got == [b"%d %d" % (turn, number) for number in range(20)]


@pytest.mark.parametrize("seed", FEW_SEEDS)
async def test_close_delivers_what_was_sent_under_loss(seed: int) -> None:
    sent = [bytes([number]) * 1000 for number in range(40)]
    # Shutting down may take five times the maximum (RFC 9260 section 9.2).
    options = (*QUICK, *STUBBORN, RtoInfo(maximum=4.0))
    async with asyncio.timeout(40 * PATIENCE), Relay(seed=seed) as relay:
        async with connected(relay=relay, options=options) as (client, server):
            relay.faults = Faults(loss=0.2)
            await client.send_many(sent)
            await client.close()
            assert [message.data async for message in server] == sent


@pytest.mark.parametrize("way", ["to_server", "to_client"])
async def test_connect_goes_on_where_its_first_packets_are_lost(way: str) -> None:
    async with asyncio.timeout(40 * PATIENCE), Relay() as relay, served(relay) as listener:
        cut = relay.to_server if way == "to_server" else relay.to_client
        cut.cut()
        connecting = asyncio.create_task(through(relay, listener))
        await until(lambda: cut.counters.cut >= 3)
        cut.heal()
        async with await connecting as client, await listener.accept() as server:
            await client.send(b"up")
            assert (await server.receive()).data == b"up"


async def test_connect_gives_up_after_the_attempts_that_were_set() -> None:
    async with asyncio.timeout(40 * PATIENCE), Relay(Faults(loss=1)) as relay, served(relay) as listener:
        with pytest.raises(TimeoutError):
            await through(relay, listener, InitMsg(max_attempts=2, max_init_timeout=0.1))
        # INITs; usrsctp sends an ABORT after them.
        assert relay.to_server.counters.lost in (3, 4)


async def test_a_cancelled_connect_sends_no_more_into_a_cut() -> None:
    async with asyncio.timeout(40 * PATIENCE), Relay() as relay, served(relay) as listener:
        relay.cut()
        connecting = asyncio.create_task(through(relay, listener))
        await until(lambda: relay.to_server.counters.cut >= 2)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await until(lambda: not associations())
        relay.heal()
        client = await through(relay, listener)
        server = await listener.accept()
        assert server.peer_addresses.port == client.local_addresses.port
        await client.abort()
        await server.abort()


@contextlib.asynccontextmanager
async def served(relay: Relay, options: tuple[Option, ...] = QUICK) -> AsyncIterator[Listener]:
    """Listen on the relay's stack."""
    async with listen("127.0.0.1:0", options=options, stack=relay.stack) as listener:
        yield listener


async def through(relay: Relay, listener: Listener, init: InitMsg | None = None) -> Conn:
    """Connect by the relay."""
    return await relay.connect(listener.local_addresses, init=init, options=QUICK)


@pytest.mark.parametrize("seed", FEW_SEEDS)
async def test_cancelled_receives_lose_nothing_under_loss(seed: int) -> None:
    sent = [b"%d" % number * 500 for number in range(100)]
    async with asyncio.timeout(40 * PATIENCE), Relay(BAD, seed=seed) as relay:
        async with connected(relay=relay, options=(*QUICK, *STUBBORN)) as (client, server):
            sending = asyncio.create_task(client.send_many(sent))
            rng, got = random.Random(seed), list[bytes]()
            while len(got) < len(sent):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rng.random() * 0.003):
                        got.append((await server.receive()).data)
            assert got == sent
            await sending


@pytest.mark.parametrize("seed", FEW_SEEDS)
async def test_endpoints_exchange_messages_under_loss(seed: int) -> None:
    count = 60
    async with asyncio.timeout(40 * PATIENCE), Relay(BAD, seed=seed) as relay:
        options = (*QUICK, *STUBBORN)
        server = open_endpoint("127.0.0.1:0", options=options, stack=relay.stack)
        client = open_endpoint(
            "127.0.0.1:0", options=(*options, relay.option), stack=relay.stack, listening=False
        )
        async with server as answering, client as asking:
            for number in range(count):
                data = b"%d" % number * (number * 10 + 1)
                await asking.send(data, to=answering.local_addresses, stream=number % 3)
            heard = defaultdict(list)
            for _ in range(count):
                message = await answering.receive()
                heard[message.stream].append(message.data)
                await answering.send(message.data, to=message.association_id, stream=message.stream)
            answers = defaultdict(list)
            for _ in range(count):
                message = await asking.receive()
                answers[message.stream].append(message.data)
            expected = {
                stream: [b"%d" % number * (number * 10 + 1) for number in range(stream, count, 3)]
                for stream in range(3)
            }
            assert heard == answers == expected
            assert len(asking.associations) == len(answering.associations) == 1


async def test_a_listener_calls_through_a_relay() -> None:
    async with asyncio.timeout(40 * PATIENCE), Relay(BAD, seed=1) as relay, served(relay) as listener:
        options = (*QUICK, *STUBBORN, relay.option)
        calling = listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, options=options, stack=relay.stack)
        async with calling as caller, await caller.connect(listener.local_addresses) as client:
            async with await listener.accept() as server:
                for number in range(30):
                    await client.send(b"%d" % number)
                    assert (await server.receive()).data == b"%d" % number
        assert relay.to_server.counters.lost > 0
