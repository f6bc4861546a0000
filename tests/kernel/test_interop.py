"""The kernel's SCTP and usrsctp with each other over UDP (RFC 6951): messages, ends, kinds of sockets."""

import asyncio
import hashlib
import random
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from kernel.interop import OTHER_HOSTS, Ends, both, call, every_end, every_stack, left, linked
from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationState,
    Conn,
    EndOfAssociation,
    Message,
    MessageTooLargeError,
    Mode,
    PathState,
    ReceiveBuffer,
    SendBuffer,
    ShutdownEvent,
    connect,
    listen,
    open_endpoint,
)
from support import PATIENCE, until

pytestmark = pytest.mark.usefixtures("encapsulated")

# RFC 9260 has no empty message. With the header of UDP a packet of 1500 bytes has 1444 of a message over
# IPv4, less what usrsctp leaves free; messages around that take one packet or two.
POWERS = [2**n + more for n in range(2, 18) for more in (-1, 0, 1)]
AROUND_MTU = [*range(1390, 1460), *range(2790, 2900, 5)]
LARGE = [2**20 + more for more in (-1, 0, 1)]
SIZES = [1, 2, *POWERS, *AROUND_MTU, *LARGE]
ROOM = both(SendBuffer(2 << 20), ReceiveBuffer(2 << 20))

PPIDS = (0, 1, 46, 60, 0x01020304, 2**31, 2**32 - 1)


class Account:
    """What went over an association one way: a digest of each stream's messages, in order."""

    def __init__(self) -> None:
        self.digests: dict[int, Any] = {}
        self.unordered: Counter[bytes] = Counter()
        self.count = 0

    def add(self, data: bytes, stream: int, ppid: int, unordered: bool = False) -> None:
        head = b"%d %d %d %d " % (len(data), stream, ppid, unordered)
        if unordered:
            self.unordered[hashlib.sha256(head + data).digest()] += 1
        else:
            self.digests.setdefault(stream, hashlib.sha256()).update(head + data)
        self.count += 1

    def result(self) -> tuple[dict[int, str], Counter[bytes]]:
        return {stream: digest.hexdigest() for stream, digest in self.digests.items()}, self.unordered


async def exchange(sender: Conn, receiver: Conn, seed: int, sizes: list[int]) -> None:
    """Send messages of these sizes one way, and compare what arrives with it."""
    rng = random.Random(seed)
    wanted = rng.sample(sizes, len(sizes))
    sent, received = Account(), Account()

    async def send() -> None:
        for size in wanted:
            data, stream, ppid = (
                rng.randbytes(size),
                rng.randrange(sender.outbound_streams),
                rng.choice(PPIDS),
            )
            unordered = rng.random() < 0.2
            await sender.send(data, stream=stream, ppid=ppid, unordered=unordered)
            sent.add(data, stream, ppid, unordered)

    async def receive() -> None:
        for _ in wanted:
            message = await receiver.receive()
            received.add(message.data, message.stream, message.ppid, message.unordered)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        tasks.create_task(receive())
    assert sent.result() == received.result()


# Messages


@every_end
async def test_messages_of_all_sizes_have_the_same_digests_at_both_ends(ends: Ends) -> None:
    """Both ways at once, on several streams, some unordered; ordered ones in their order on each stream."""
    async with asyncio.timeout(60 * PATIENCE), linked(ends, **ROOM) as (client, server, _):
        async with asyncio.TaskGroup() as ways:
            ways.create_task(exchange(client, server, 1, SIZES))
            ways.create_task(exchange(server, client, 2, SIZES))


@every_end
async def test_a_message_carries_what_it_was_sent_with(ends: Ends) -> None:
    async with asyncio.timeout(20 * PATIENCE), linked(ends) as (client, server, _):
        for sender, receiver in ((client, server), (server, client)):
            assert sender.outbound_streams == receiver.inbound_streams == 10
            tsn = None
            for stream in (0, 1, 9):
                for number, ppid in enumerate(PPIDS):
                    await sender.send(b"%d" % ppid, stream=stream, ppid=ppid, context=5)
                    message = await receiver.receive()
                    assert (message.data, message.stream, message.ppid) == (b"%d" % ppid, stream, ppid)
                    assert (message.ssn, message.unordered, message.complete) == (number, False, True)
                    assert message.tsn == (message.tsn if tsn is None else (tsn + 1) % 2**32)
                    tsn = message.tsn
                    # It is not for the peer (RFC 6458 5.3.4).
                    assert message.context == 0
                    assert message.association_id == receiver.association_id
                    assert message.source is not None
                    assert message.source.hosts[0] in receiver.peer_addresses.hosts
                    assert message.source.port == receiver.peer_addresses.port
            await sender.send(b"aside", stream=1, ppid=7, unordered=True)
            message = await receiver.receive()
            assert (message.data, message.stream, message.ppid) == (b"aside", 1, 7)
            assert message.unordered
            # It has no number: the next ordered one is the next.
            await sender.send(b"next", stream=1, sack_immediately=True)
            message = await receiver.receive()
            assert (message.data, message.ssn, message.unordered) == (b"next", len(PPIDS), False)


@every_stack
async def test_a_message_that_the_send_buffer_can_never_take(ends: Ends) -> None:
    """The sender alone is told, the association goes on."""
    small = both(SendBuffer(20_000))
    async with asyncio.timeout(20 * PATIENCE), linked(ends, **small) as (client, server, _):
        for sender, receiver in ((client, server), (server, client)):
            with pytest.raises(MessageTooLargeError):
                await sender.send(bytes(100_000))
            await sender.send(b"smaller")
            assert (await receiver.receive()).data == b"smaller"


@every_end
async def test_a_flood_is_held_back_and_nothing_is_lost(ends: Ends) -> None:
    count = 600
    bounded = {"receive_buffer": 64 * 1024}
    pairs = linked(ends, listen_with=bounded, connect_with=bounded)
    async with asyncio.timeout(60 * PATIENCE), pairs as (client, server, _):
        for sender, receiver in ((client, server), (server, client)):
            messages = [number.to_bytes(4, "big") * 50 for number in range(count)]
            sending = asyncio.create_task(sender.send_many(messages))
            got: list[bytes] = []
            while len(got) < count:
                got += [message.data for message in await receiver.receive_many()]
                assert receiver.statistics().unread_bytes <= 64 * 1024
            await sending
            assert got == messages


@every_stack
async def test_a_window_that_was_closed_for_a_while_opens_again(ends: Ends) -> None:
    """Nobody reads until the sender waits; then all of it comes."""
    small = {"receive_buffer": 1, "options": [ReceiveBuffer(30_000), SendBuffer(60_000)]}
    async with asyncio.timeout(60 * PATIENCE):
        async with linked(ends, listen_with=small, connect_with=small) as (client, server, _):
            for sender, receiver in ((client, server), (server, client)):
                messages = [bytes([number]) * 4000 for number in range(60)]
                sending = asyncio.create_task(sender.send_many(messages))
                await until(lambda sender=sender: sender.statistics().waiting_senders == 1)  # type: ignore[misc]
                assert [(await receiver.receive()).data for _ in messages] == messages
                await sending


# Ends


@every_end
@pytest.mark.parametrize("by", ["client", "server"])
async def test_a_graceful_end_comes_after_all_that_was_sent(ends: Ends, by: str) -> None:
    async with asyncio.timeout(30 * PATIENCE):
        async with linked(ends) as pair:
            ending, other = (pair.client, pair.server) if by == "client" else (pair.server, pair.client)
            events = other.events(ShutdownEvent)
            messages = [b"%d" % number * 100 for number in range(200)]
            await ending.send_many(messages, stream=3)
            closing = asyncio.create_task(ending.close())
            assert [message.data async for message in other] == messages
            await closing
            await other.wait_closed()
            assert ending.is_closed
            with pytest.raises(EndOfAssociation):
                await other.receive()
            with pytest.raises(EndOfAssociation):
                await other.send(b"late")
            assert [type(event) async for event in events] == [ShutdownEvent]


@every_end
@pytest.mark.parametrize("by", ["client", "server"])
async def test_an_abort_and_its_cause(ends: Ends, by: str) -> None:
    """The kernel's one-to-one sockets alone have no way to carry the cause."""
    async with asyncio.timeout(20 * PATIENCE):
        async with linked(ends) as pair:
            aborting, other = (pair.client, pair.server) if by == "client" else (pair.server, pair.client)
            stack, mode = (
                (ends.client, ends.client_mode) if by == "client" else (ends.server, ends.server_mode)
            )
            events = other.events(AssociationChange)
            await aborting.abort(b"out of service")
            with pytest.raises(AssociationAbortedError) as caught:
                await other.receive()
            carried = stack == "usrsctp" or mode is Mode.ONE_TO_MANY
            assert caught.value.cause == (b"out of service" if carried else b"")
            states = [event.state async for event in events]  # type: ignore[union-attr]
            assert states == [AssociationState.COMM_LOST]


@every_stack
async def test_what_came_before_an_abort_is_received(ends: Ends) -> None:
    async with asyncio.timeout(20 * PATIENCE):
        for one in ("client", "server"):
            async with linked(ends) as pair:
                aborting, other = (
                    (pair.client, pair.server) if one == "client" else (pair.server, pair.client)
                )
                await aborting.send_many([b"1", b"2", b"3"])
                await aborting.flush()
                await aborting.abort()
                assert [(await other.receive()).data for _ in range(3)] == [b"1", b"2", b"3"]
                with pytest.raises(AssociationAbortedError):
                    await other.receive()


@every_stack
async def test_nobody_listens_there(ends: Ends) -> None:
    """The stack that has no such port answers with an ABORT."""
    async with listen("127.0.0.1:0", stack=ends.server) as listener:
        gone = listener.local_addresses
    before = left()
    with pytest.raises(ConnectionRefusedError):
        async with asyncio.timeout(20 * PATIENCE):
            await connect(gone, stack=ends.client)
    assert left() == before


# Sockets of every kind


@every_stack
@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
async def test_associations_are_accepted_in_their_order_and_live_side_by_side(ends: Ends, mode: Mode) -> None:
    count = 12
    async with asyncio.timeout(60 * PATIENCE), AsyncExitStack() as stack:
        listener = await stack.enter_async_context(listen("127.0.0.1:0", mode=mode, stack=ends.server))
        clients = []
        for _ in range(count):
            client = await call(None, ends.client, listener.local_addresses, "127.0.0.1:0")
            clients.append(await stack.enter_async_context(client))
        servers = [await stack.enter_async_context(await listener.accept()) for _ in clients]
        ports = [client.local_addresses.port for client in clients]
        assert [server.peer_addresses.port for server in servers] == ports
        assert len(set(ports)) == count
        sizes = [1, 100, 1400, 5000, 30_000]
        async with asyncio.TaskGroup() as ways:
            for number, (client, server) in enumerate(zip(clients, servers, strict=True)):
                ways.create_task(exchange(client, server, number, sizes * 3))
                ways.create_task(exchange(server, client, ~number, sizes * 3))
        # One ends; the others do not notice.
        await clients[3].abort()
        with pytest.raises(AssociationAbortedError):
            await servers[3].receive()
        for client, server in zip(clients, servers, strict=True):
            if client is not clients[3]:
                await client.send(b"still here")
                assert (await server.receive()).data == b"still here"
    await until(lambda: left() == [])


@every_stack
async def test_one_socket_calls_several_listeners(ends: Ends) -> None:
    """Associations with different peers share the one-to-many socket that called them."""
    async with asyncio.timeout(30 * PATIENCE), AsyncExitStack() as stack:
        calling = await stack.enter_async_context(
            listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, stack=ends.client)
        )
        clients, servers = [], []
        for _ in range(4):
            listener = await stack.enter_async_context(listen("127.0.0.1:0", stack=ends.server))
            clients.append(await stack.enter_async_context(await calling.connect(listener.local_addresses)))
            servers.append(await stack.enter_async_context(await listener.accept()))
        assert {server.peer_addresses.port for server in servers} == {calling.port}
        for number, client in enumerate(clients):
            await client.send(b"%d" % number)
        assert [(await server.receive()).data for server in servers] == [b"0", b"1", b"2", b"3"]
        result = await calling.broadcast(b"to all")
        assert len(result.reached) == 4
        assert [(await server.receive()).data for server in servers] == [b"to all"] * 4
    await until(lambda: left() == [])


@pytest.mark.parametrize("by", ["client", "server"])
@every_stack
async def test_a_peeled_off_association_goes_on(ends: Ends, by: str) -> None:
    """What came before and what comes after is all there, in order, while the peer keeps sending."""
    many = Ends(ends.server, ends.client, Mode.ONE_TO_MANY, Mode.ONE_TO_MANY)
    async with asyncio.timeout(60 * PATIENCE), linked(many) as pair:
        peeling, other = (pair.client, pair.server) if by == "client" else (pair.server, pair.client)
        total = 900
        sending = asyncio.create_task(other.send_many([b"%d" % n * 20 for n in range(total)], stream=2))
        got = [(await peeling.receive()).data for _ in range(total // 3)]
        before = peeling.fileno()
        assert await peeling.peel_off() is peeling
        assert peeling.fileno() != before
        got += [(await peeling.receive()).data for _ in range(total - len(got))]
        await sending
        assert got == [b"%d" % n * 20 for n in range(total)]
        async with asyncio.TaskGroup() as ways:
            ways.create_task(exchange(peeling, other, 3, [1, 1400, 70_000] * 3))
            ways.create_task(exchange(other, peeling, 4, [1, 1400, 70_000] * 3))
        await peeling.close()
        with pytest.raises(EndOfAssociation):
            await other.receive()


@every_stack
async def test_endpoints(ends: Ends) -> None:
    """A send to an address sets an association up; the answer goes to the id from which the message came."""
    async with asyncio.timeout(30 * PATIENCE), AsyncExitStack() as stack:
        asked = await stack.enter_async_context(open_endpoint("127.0.0.1:0", stack=ends.server))
        asking = [
            await stack.enter_async_context(open_endpoint("127.0.0.1:0", stack=ends.client)) for _ in range(3)
        ]
        for number, endpoint in enumerate(asking):
            await endpoint.send(b"question %d" % number, to=asked.local_addresses, stream=number, ppid=60)
        ids = set()
        for _ in asking:
            message = await asked.receive()
            ids.add(message.association_id)
            assert message.ppid == 60
            assert message.data == b"question %d" % message.stream
            await asked.send(message.data.upper(), to=message.association_id, stream=message.stream)
        assert ids == set(asked.associations)
        assert len(ids) == 3
        for number, endpoint in enumerate(asking):
            message = await endpoint.receive()
            assert (message.data, message.stream) == (b"QUESTION %d" % number, number)
        # The same by the id that it has here.
        (identifier,) = asking[0].associations
        conn = await stack.enter_async_context(await asking[0].peel_off(identifier))
        await conn.send(b"once more")
        message = await asked.receive()
        assert message.data == b"once more"
        await asked.abort(message.association_id, b"enough")
        with pytest.raises(AssociationAbortedError) as caught:
            await conn.receive()
        assert caught.value.cause == b"enough"
        (identifier,) = asking[1].associations
        await asking[1].shutdown(identifier)
        await until(lambda: len(asked.associations) == 1)
    await until(lambda: left() == [])


# Addresses


@every_stack
async def test_usrsctp_sends_from_the_addresses_that_it_has_bound(ends: Ends) -> None:
    """Else the kernel would take its packets for those of another host."""
    here = {"kernel": "127.0.0.1", "usrsctp": "/".join(OTHER_HOSTS)}
    async with asyncio.timeout(30 * PATIENCE):
        async with listen(f"{here[ends.server]}:0", stack=ends.server) as listener:
            local = f"{here[ends.client]}:0"
            async with await call(None, ends.client, listener.local_addresses, local) as client:
                server = await listener.accept()
                kernel, usrsctp = (client, server) if ends.client == "kernel" else (server, client)
                peer = kernel.peer_addresses
                assert sorted(str(host) for host in peer.hosts) == OTHER_HOSTS
                paths = [Address((host,), peer.port) for host in peer.hosts]
                await until(lambda: all(kernel.path(path).state is PathState.ACTIVE for path in paths))
                for path in paths:
                    await kernel.send(b"to each", path=path)
                    assert (await usrsctp.receive()).data == b"to each"
                await usrsctp.send(b"from there")
                message = await kernel.receive()
                assert message.source is not None
                assert message.source.hosts[0] in peer.hosts
                await server.close()
    await until(lambda: left() == [])


@pytest.mark.parametrize("local", ["[::1]", "127.0.0.1/[::1]"], ids=["v6", "both"])
@every_end
async def test_ipv6(ends: Ends, local: str) -> None:
    async with asyncio.timeout(30 * PATIENCE), linked(ends, local, **ROOM) as (client, server, _):
        for conn in (client, server):
            hosts = sorted(str(host) for host in conn.peer_addresses.hosts)
            assert hosts == (["::1"] if local == "[::1]" else ["127.0.0.1", "::1"])
        sizes = [1, *range(1360, 1450, 10), 5000, 100_000]
        async with asyncio.TaskGroup() as ways:
            ways.create_task(exchange(client, server, 5, sizes))
            ways.create_task(exchange(server, client, 6, sizes))
        await client.send_many([Message(b"%d" % n, stream=n) for n in range(10)])
        for number in range(10):
            message = await server.receive()
            assert (message.data, message.stream) == (b"%d" % number, number)
            assert message.source is not None
            assert message.source.hosts[0] in server.peer_addresses.hosts
        await client.close()
        with pytest.raises(EndOfAssociation):
            await server.receive()
