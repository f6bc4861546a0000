"""Networks that fail: peers that vanish, dead addresses, lost links, slow and lossy ones."""

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from kernel.lab import FAST, IMPATIENT, DeadEnd, Lab, joined, run
from sctpio import (
    Address,
    AddressState,
    AssociationChange,
    AssociationLostError,
    AssociationState,
    AssocInfo,
    ClosedError,
    Conn,
    InitMsg,
    PathState,
    PeerAddressChange,
    SendBuffer,
    Status,
    connect,
)
from support import Pair, associations, descriptor_count, until

pytestmark = pytest.mark.both_modes

# What the kernel takes to give a peer up with the timers of IMPATIENT is some two seconds; the rest is for
# guests that are slow. With the timers that are the default it would be minutes.
GIVEN_UP = 20.0

LATER_CALLS: dict[str, Callable[[Conn], Awaitable[object]]] = {
    "receive": lambda conn: conn.receive(),
    "receive_many": lambda conn: conn.receive_many(),
    "async for": lambda conn: anext(conn),
    "stream": lambda conn: conn.stream(0).receive(),
    "send": lambda conn: conn.send(b"late"),
    "send_many": lambda conn: conn.send_many([b"late", b"later"]),
    "flush": lambda conn: conn.flush(),
}


async def check_lost(conn: Conn) -> None:
    """The end is remembered: every later call raises it at once, and closing is quiet."""
    for name, call in LATER_CALLS.items():
        for _ in range(2):
            with pytest.raises(AssociationLostError) as caught:
                async with asyncio.timeout(5):
                    await call(conn)
            assert caught.value.errno == errno.ETIMEDOUT, name
    with pytest.raises(AssociationLostError):
        conn.get_option(Status)
    async with asyncio.timeout(5):
        await conn.wait_closed()
        await conn.close()
        await conn.close()
    assert conn.is_closed
    assert conn.fileno() == -1


# A peer that vanishes


async def test_peer_vanishes_while_we_receive(lab: Lab) -> None:
    """Heartbeats find it out: receive raises AssociationLostError, as does every later call."""
    async with joined(lab, connect_with={"options": IMPATIENT, "events": [AssociationChange]}) as pair:
        await pair.server.send(b"here")
        assert (await pair.client.receive()).data == b"here"
        lab.cut()
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(GIVEN_UP):
                await pair.client.receive()
        await check_lost(pair.client)
        states = [event.state async for event in pair.client.events(AssociationChange)]  # type: ignore[union-attr]
        assert states == [AssociationState.COMM_UP, AssociationState.COMM_LOST]
        await until(lambda: associations() == [])


async def test_what_came_before_the_loss_is_received(lab: Lab) -> None:
    """Messages that arrived are given first, the loss after them."""
    async with joined(lab, connect_with={"options": IMPATIENT}) as pair:
        for number in range(5):
            await pair.server.send(b"%d" % number, stream=number)
        await pair.server.flush()
        lab.cut()
        async with asyncio.timeout(GIVEN_UP):
            await pair.client.wait_closed()
        assert [(await pair.client.receive()).data for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        await check_lost(pair.client)


async def test_peer_vanishes_while_we_send(lab: Lab) -> None:
    """Senders that wait for room are all told, and so is a task that waits for a message."""
    small = (*IMPATIENT, SendBuffer(size=8192))
    async with joined(lab, connect_with={"options": small}) as pair:
        lab.cut()

        async def send() -> None:
            while True:
                await pair.client.send(bytes(4000))

        tasks = [asyncio.create_task(send()) for _ in range(3)]
        tasks.append(asyncio.create_task(pair.client.flush()))
        tasks.append(asyncio.create_task(_receive(pair.client)))
        # On a slow guest the peer may be given up before the third one waits.
        await until(lambda: pair.client.statistics().waiting_senders == 3 or pair.client.is_closed)
        async with asyncio.timeout(GIVEN_UP):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [AssociationLostError] * 5
        await check_lost(pair.client)


async def _receive(conn: Conn) -> None:
    await conn.receive()


async def test_closing_when_the_peer_has_vanished(lab: Lab) -> None:
    """A close that cannot deliver fails with AssociationLostError; the descriptor is gone."""
    async with joined(lab, connect_with={"options": IMPATIENT}) as pair:
        lab.cut()
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(GIVEN_UP):
                await pair.client.send(b"undelivered")
                await pair.client.close()
                # Only where it was lost before the close, which is then quiet.
                await pair.client.receive()
        assert pair.client.is_closed
        assert pair.client.fileno() == -1
        assert associations() == []


@pytest.mark.parametrize("unsent", [0, 1])
async def test_closing_with_a_timeout(lab: Lab, unsent: int) -> None:
    """With patient timers a close on a dead association is ended by the caller: it aborts at once."""
    async with joined(lab) as pair:
        before = descriptor_count()
        lab.cut()
        for _ in range(unsent):
            await pair.client.send(b"undelivered")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await pair.client.close()
        assert time.monotonic() - began < 5
        assert pair.client.is_closed
        assert pair.client.fileno() == -1
        assert descriptor_count() == before - 1
        assert associations() == []
        with pytest.raises(ClosedError):
            await pair.client.send(b"late")


async def test_a_short_outage_loses_nothing(lab: Lab) -> None:
    """The network comes back before the peer is given up: all arrives, once and in order."""
    # Quick to try again, slow to give up: the outage lasts as long as the guest's tools take.
    stubborn = {"options": (FAST, AssocInfo(max_retransmissions=1000))}
    async with joined(lab, connect_with=stubborn, listen_with=stubborn) as pair:
        await pair.client.send(b"0")
        await pair.client.flush()
        lab.cut()
        for number in range(1, 50):
            await pair.client.send(b"%d" % number)
        assert pair.client.status().unacknowledged > 0
        lab.mend()
        async with asyncio.timeout(GIVEN_UP):
            got = [(await pair.server.receive()).data for _ in range(50)]
        assert got == [b"%d" % number for number in range(50)]


# An address where nobody is


async def test_connect_to_a_dead_address_is_cancelled(nowhere: DeadEnd) -> None:
    """The caller's timeout counts, not the kernel's minutes, and nothing stays behind."""
    before = descriptor_count()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await connect(f"{nowhere.address}:5000")
    assert 0.25 < time.monotonic() - began < 5
    assert associations() == []
    assert descriptor_count() == before


async def test_many_connects_to_dead_addresses(nowhere: DeadEnd) -> None:
    """A hundred attempts at once are cancelled without leaving a descriptor or an association."""
    before = descriptor_count()
    connecting = [asyncio.create_task(_connect(f"{nowhere.address}:{5000 + n}")) for n in range(100)]
    await until(lambda: len(associations()) == 100)
    for task in connecting:
        task.cancel()
    results = await asyncio.gather(*connecting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 100
    assert associations() == []
    assert descriptor_count() == before


async def _connect(address: str) -> Conn:
    return await connect(address)


async def test_connect_gives_up_by_itself(nowhere: DeadEnd) -> None:
    """InitMsg and RtoInfo bound how long the kernel tries; then connect raises TimeoutError."""
    before = descriptor_count()
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        await connect(
            f"{nowhere.address}:5000",
            init=InitMsg(max_attempts=1, max_init_timeout=0.3),
            options=[FAST],
        )
    assert caught.value.errno == errno.ETIMEDOUT
    assert 0.3 < time.monotonic() - began < 5
    assert associations() == []
    assert descriptor_count() == before


@pytest.fixture
def _unreachable() -> Iterator[None]:
    run("ip", "route", "add", "unreachable", "10.79.0.0/24")
    yield
    run("ip", "route", "del", "unreachable", "10.79.0.0/24")


@pytest.mark.usefixtures("_unreachable")
async def test_connect_without_a_route() -> None:
    """An address that no route leads to fails at once, and leaves nothing."""
    before = descriptor_count()
    with pytest.raises(OSError, match=r"10\.79\.0\.1:5000|unreachable") as caught:
        async with asyncio.timeout(5):
            await connect("10.79.0.1:5000")
    assert caught.value.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)
    assert associations() == []
    assert descriptor_count() == before


# IPv6 with a scope


async def test_link_local_addresses_keep_their_scope(lab: Lab) -> None:
    """Link-local addresses with a scope id work at both ends and are told with it."""
    link = lab.links[1]
    # The scope id of an address means an interface of the namespace that one is in.
    listener = lab.listen(f"[{link.remote_scoped}%{link.there}]")
    async with listener:
        there = f"[{link.remote_scoped}%{link.there}]:{listener.port}"
        assert str(listener.local_addresses) == there
        remote = f"[{link.remote_scoped}%{link.here}]:{listener.port}"
        async with connect(remote, local=f"[{link.local_scoped}%{link.here}]:0") as client:
            server = await listener.accept()
            port = client.local_addresses.port
            assert str(client.peer_addresses) == remote
            assert str(client.primary_path) == remote
            assert str(client.local_addresses) == f"[{link.local_scoped}%{link.here}]:{port}"
            with lab.inside():
                assert str(server.local_addresses) == there
                assert str(server.peer_addresses) == f"[{link.local_scoped}%{link.there}]:{port}"
            await client.send(b"from here", path=remote)
            with lab.inside():
                assert (await server.receive()).data == b"from here"
        await server.close()


async def test_the_source_of_a_message_keeps_its_scope(lab: Lab) -> None:
    """The source of a message over link-local addresses is the peer's address, scope id included."""
    link = lab.links[1]
    async with lab.listen(f"[{link.remote_scoped}%{link.there}]") as listener:
        remote = f"[{link.remote_scoped}%{link.here}]:{listener.port}"
        async with connect(remote, local=f"[{link.local_scoped}%{link.here}]:0") as client:
            server = await listener.accept()
            for _ in range(3):
                await server.send(b"from there")
                assert (await client.receive()).source == Address.parse(remote)
        await server.close()


async def test_a_mixed_association_over_the_link(lab: Lab) -> None:
    """IPv4 and IPv6 addresses of one link make two paths of one association."""
    link = lab.links[0]
    async with lab.listen(f"{link.remote}/[{link.remote_v6}]") as listener:
        async with connect(
            listener.local_addresses, local=f"[{link.local_v6}]/{link.local}:0", options=IMPATIENT
        ) as client:
            server = await listener.accept()
            paths = [f"{link.remote}:{listener.port}", f"[{link.remote_v6}]:{listener.port}"]
            await until(lambda: all(client.path(path).state is PathState.ACTIVE for path in paths))
            for number, path in enumerate(paths):
                await client.send(b"%d" % number, path=path)
            assert [(await server.receive()).data for _ in paths] == [b"0", b"1"]
        await server.close()


# Several paths


def path_states(pair: Pair, lab: Lab) -> list[PathState]:
    """Give the state of each path as the client sees it."""
    return [pair.client.path(f"{link.remote}:{pair.listener.port}").state for link in lab.links]


async def test_connect_by_the_second_address(lab: Lab) -> None:
    """All addresses of the peer are tried: where the first one is dead, the association is set up anyway."""
    first, second = lab.links
    async with lab.listen(f"{first.remote}/{second.remote}") as listener:
        lab.cut(first)
        remote = f"{first.remote}/{second.remote}:{listener.port}"
        async with asyncio.timeout(GIVEN_UP):
            client = await connect(remote, local=f"{first.local}/{second.local}:0", options=[FAST])
            server = await listener.accept()
            path = f"{second.remote}:{listener.port}"
            await client.send(b"by the second", path=path)
            assert (await server.receive()).data == b"by the second"
            await until(lambda: client.path(path).state is PathState.ACTIVE)
        await client.abort()
        await server.abort()


@pytest.mark.parametrize("fault", ["cut", "unplug"])
async def test_failover(lab: Lab, fault: str) -> None:
    """With one link gone messages go on over the other one; nothing is lost, doubled or reordered."""
    fast = {"options": IMPATIENT}
    async with joined(lab, links=2, connect_with=fast, listen_with=fast) as pair:
        await until(lambda: path_states(pair, lab) == [PathState.ACTIVE] * 2)
        events = pair.client.events(PeerAddressChange)
        primary = next(link for link in lab.links if link.remote == str(pair.client.primary_path.hosts[0]))
        got: dict[int, list[bytes]] = {sid: [] for sid in range(4)}
        received = 0

        async def receive() -> None:
            nonlocal received
            async for message in pair.server:
                got[message.stream].append(message.data)
                received += 1

        receiving = asyncio.create_task(receive())

        async def send(first: int, last: int) -> None:
            for number in range(first, last):
                await pair.client.send(b"%d" % number, stream=number % 4)

        await send(0, 100)
        await until(lambda: received > 0)
        if fault == "cut":
            lab.cut(primary)
        else:
            lab.unplug(primary)
        await send(100, 200)
        async with asyncio.timeout(GIVEN_UP):
            await pair.client.flush()
        await until(lambda: received == 200)
        async with asyncio.timeout(GIVEN_UP):
            await _wait_for(events, primary.remote, AddressState.UNREACHABLE)
        expected = [PathState.INACTIVE if link is primary else PathState.ACTIVE for link in lab.links]
        await until(lambda: path_states(pair, lab) == expected)
        if fault == "cut":
            lab.mend(primary)
        else:
            lab.plug(primary)
        await send(200, 300)
        async with asyncio.timeout(GIVEN_UP):
            await _wait_for(events, primary.remote, AddressState.AVAILABLE)
        await until(lambda: path_states(pair, lab) == [PathState.ACTIVE] * 2)
        async with asyncio.timeout(GIVEN_UP):
            await pair.client.close()
            await receiving
        assert got == {sid: [b"%d" % number for number in range(sid, 300, 4)] for sid in range(4)}


async def _wait_for(events: object, host: str, state: AddressState) -> None:
    async for event in events:  # type: ignore[attr-defined]
        assert isinstance(event, PeerAddressChange)
        if str(event.address.hosts[0]) == host and event.state is state:
            return
    raise AssertionError(f"no event told that {host} is {state.name}")


async def test_all_paths_fail(lab: Lab) -> None:
    """With both links gone the association is lost, as with one that has a single path."""
    async with joined(lab, links=2, connect_with={"options": IMPATIENT}) as pair:
        await until(lambda: path_states(pair, lab) == [PathState.ACTIVE] * 2)
        lab.cut()
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(GIVEN_UP):
                await pair.client.send(b"undelivered")
                await pair.client.receive()
        await check_lost(pair.client)


# Slow and bad links


async def test_backpressure_over_a_slow_link(lab: Lab) -> None:
    """`send` waits while the send buffer is full, does not spin, and completes as the link drains it."""
    async with joined(lab, connect_with={"options": (SendBuffer(size=8192),)}) as pair:
        lab.netem("rate 2mbit", lab.links[0], there=False)
        count, size = 60, 4000
        received: list[bytes] = []

        async def receive() -> None:
            async for message in pair.server:
                received.append(message.data)

        receiving = asyncio.create_task(receive())
        waits = 0

        async def send() -> None:
            nonlocal waits
            for number in range(count):
                sending = asyncio.create_task(pair.client.send(number.to_bytes(2, "big") * (size // 2)))
                await asyncio.sleep(0)
                waits += not sending.done()
                await sending

        before = pair.client.statistics().wakeups
        began = time.monotonic()
        sender = asyncio.create_task(send())
        await until(lambda: pair.client.statistics().waiting_senders == 1)
        async with asyncio.timeout(30):
            await sender
        # The buffer of 16 KiB takes the end; what is before it must have passed the link.
        least = (count * size - 32768) * 8 / 2e6
        assert time.monotonic() - began > least * 0.8
        assert waits > count / 4
        assert pair.client.statistics().waiting_senders == 0
        async with asyncio.timeout(30):
            await pair.client.close()
            await receiving
        # Each time that there is room is one wake-up, or a few: not one for each turn of the loop, neither
        # while the sender waits nor, nobody waiting for room any more, while the rest drains.
        assert pair.client.statistics().wakeups - before < 5 * count
        assert received == [number.to_bytes(2, "big") * (size // 2) for number in range(count)]


async def test_a_bad_link(lab: Lab) -> None:
    """Loss, duplicates and reordering do not show: each message once, in order within its stream."""
    async with joined(lab, connect_with={"options": [FAST]}, listen_with={"options": [FAST]}) as pair:
        lab.netem("delay 2ms 2ms loss 5% duplicate 5% reorder 25% 50%", lab.links[0])
        count = 400
        got: dict[int, list[bytes]] = {sid: [] for sid in range(5)}
        loose: list[bytes] = []

        async def receive() -> None:
            async for message in pair.server:
                if message.unordered:
                    loose.append(message.data)
                else:
                    got[message.stream].append(message.data)

        receiving = asyncio.create_task(receive())
        for number in range(count):
            # Some have fragments, which are lost and reordered one by one.
            data = b"%d " % number * (1 if number % 10 else 2000)
            await pair.client.send(data, stream=number % 5, unordered=number % 7 == 0)
        async with asyncio.timeout(30):
            await pair.client.close()
            await receiving
        everything = {n: b"%d " % n * (1 if n % 10 else 2000) for n in range(count)}
        assert sorted(loose) == sorted(data for n, data in everything.items() if n % 7 == 0)
        assert got == {
            sid: [data for n, data in everything.items() if n % 5 == sid and n % 7] for sid in range(5)
        }


async def test_the_log_tells_of_paths_and_restarts(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sctpio.association")
    options = {"options": IMPATIENT}
    async with joined(lab, links=2, listen_with=options, connect_with=options) as (client, server, _):
        first = lab.links[0]
        lab.cut(first)
        await until(lambda: f"path {first.remote} is down" in caplog.text)
        lab.mend(first)
        await until(lambda: f"path {first.remote} is up" in caplog.text)
        client.set_primary(client.peer_addresses.hosts[1].compressed)
        down = [record for record in caplog.records if "is down" in record.getMessage()]
        assert {getattr(record, "path", None) for record in down} <= {first.remote, first.local}
        assert getattr(down[0], "association", None) in {client.association_id, server.association_id}
