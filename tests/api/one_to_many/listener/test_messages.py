"""Messages and options of associations that share one socket: each has its own."""

import asyncio
import hashlib
import random
from typing import Any

import pytest

from api.one_to_many.listener.served import MANY, QUEUED, carrier, fill, served, stop, talks
from sctpio import (
    Address,
    AssociationError,
    AssocInfo,
    Conn,
    Message,
    Mode,
    PartialDeliveryPoint,
    PeerAddressParameters,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    connect,
    listen,
)
from sctpio._loop.association import Association
from support import KIB, PATIENCE, STACK, associations, drain, path_of, read_again, stop_reading, until


async def test_each_association_gets_its_own_messages_in_order() -> None:
    async with served(4) as (_, clients, servers):
        for turn in range(20):
            for number, client in enumerate(clients):
                await client.send(b"%d %d" % (number, turn), stream=number, ppid=turn, unordered=False)
        for number, server in enumerate(servers):
            for turn in range(20):
                message = await server.receive()
                assert message.data == b"%d %d" % (number, turn)
                assert (message.stream, message.ppid) == (number, turn)
                assert message.association_id == server.association_id
                assert message.source == clients[number].local_addresses
        for number, server in enumerate(servers):
            await server.send_many([b"a %d" % number, Message(b"b", stream=7, ppid=60)], stream=1)
        for number, client in enumerate(clients):
            first, second = await client.receive(), await client.receive()
            assert (first.data, first.stream) == (b"a %d" % number, 1)
            assert (second.data, second.stream, second.ppid) == (b"b", 7, 60)


async def test_receive_many_async_for_and_streams_are_those_of_one_association() -> None:
    async with served(3) as (listener, clients, servers):
        claimed = servers[0].stream(1, ppid=9)
        waiting = asyncio.create_task(claimed.receive())
        await asyncio.sleep(0)
        for number, client in enumerate(clients):
            await client.send_many([b"zero %d" % number] * 3, stream=0)
            await client.send_many([b"one %d" % number] * 3, stream=1)
        await until(lambda: sum(server.statistics().messages_received for server in servers) == 18)
        assert (await waiting).data == b"one 0"
        assert listener.statistics().unread_messages == 17
        # The claim of the first is none of the others.
        assert [message.data for message in await servers[0].receive_many()] == [b"zero 0"] * 3
        assert len(await servers[1].receive_many()) == 6
        assert len(await servers[2].receive_many(4)) == 4
        assert [(await claimed.receive()).data for _ in range(2)] == [b"one 0"] * 2
        await claimed.send(b"answer")
        answer = await clients[0].receive()
        assert (answer.stream, answer.ppid) == (1, 9)
        await clients[2].close()
        assert [message.data async for message in servers[2]] == [b"one 2"] * 2


async def test_statistics_count_each_association_and_all_together() -> None:
    async with served(2) as (listener, clients, servers):
        await clients[0].send_many([b"12345"] * 4)
        await servers[1].send(b"123")
        await until(lambda: servers[0].statistics().messages_received == 4)
        first, second = (server.statistics() for server in servers)
        assert (first.messages_received, first.bytes_received, first.messages_sent) == (4, 20, 0)
        assert (first.unread_messages, first.unread_bytes) == (4, 20)
        assert (second.messages_sent, second.bytes_sent, second.unread_messages) == (1, 3, 0)
        assert not first.reading_paused
        both = listener.statistics()
        assert (both.associations, both.unread_messages, both.unread_bytes) == (2, 4, 20)
        assert (both.reading_paused, both.paused_by, both.waiting_senders) == (False, (), 0)
        assert both.wakeups == first.wakeups == second.wakeups
        assert (await clients[1].receive()).data == b"123"


async def test_flush_waits_for_the_acknowledgement_of_its_own_association() -> None:
    async with served(2, listen_with=QUEUED) as (_, clients, servers):
        stop_reading(clients[0])
        # More than the window of a peer that does not read.
        await servers[0].send_many([bytes(20_000)] * 4)
        task = await fill(servers[0], 20_000)
        stuck = asyncio.create_task(servers[0].flush())
        await servers[1].send(b"x")
        async with asyncio.timeout(10 * PATIENCE):
            await servers[1].flush()
        assert servers[1].status().unacknowledged == 0
        assert not stuck.done()
        await stop(task)
        reader = asyncio.create_task(drain(clients[0]))
        read_again(clients[0])
        async with asyncio.timeout(30 * PATIENCE):
            await stuck
        assert servers[0].status().unacknowledged == 0
        await stop(reader)


async def test_options_of_one_association_leave_the_others_alone() -> None:
    async with served(3) as (listener, _, servers):
        before = [server.get_option(RtoInfo) for server in servers]
        servers[1].set_option(RtoInfo(initial=0.7, minimum=0.2, maximum=9.0))
        servers[1].set_option(PeerAddressParameters(heartbeat_interval=7.0))
        after = [server.get_option(RtoInfo) for server in servers]
        assert (after[0], after[2]) == (before[0], before[2])
        assert (after[1].initial, after[1].maximum) == (0.7, 9.0)
        path = path_of(servers[1])
        changed = servers[1].get_option(PeerAddressParameters, path=path)
        other = servers[0].get_option(PeerAddressParameters, path=path_of(servers[0]))
        assert changed.heartbeat_interval == 7.0 != other.heartbeat_interval
        # The listener's own are for those that come.
        assert listener.get_option(RtoInfo) == before[0]
        assert listener.get_option(RtoInfo, association=servers[1].association_id) == after[1]
        listener.set_option(RtoInfo(initial=0.4, minimum=0.2))
        assert [server.get_option(RtoInfo) for server in servers] == after
        async with connect(listener.local_addresses) as client, await listener.accept() as server:
            assert server.get_option(RtoInfo).initial == 0.4
            listener.set_option(RtoInfo(initial=0.8, minimum=0.2), association=server.association_id)
            assert server.get_option(RtoInfo).initial == 0.8
            assert listener.get_option(RtoInfo).initial == 0.4
            await client.close()
        with pytest.raises(AssociationError):
            listener.get_option(RtoInfo, association=server.association_id)


async def test_every_way_of_sending_goes_to_its_own_association() -> None:
    async with listen("127.0.0.1:0", mode=MANY) as listener:
        clients = [await connect(listener.local_addresses, local="127.0.0.2/127.0.0.3:0") for _ in range(2)]
        servers = [await listener.accept() for _ in range(2)]
        ways: list[dict[str, Any]] = [
            {"lifetime": 5.0},
            {"max_retransmissions": 3},
            {"unordered": True},
            {"context": 5, "sack_immediately": True},
            *([{"auth_key": 0}, {"priority": 7}] if STACK == "kernel" else []),
            *({"path": host, "stream": 2} for host in ("127.0.0.2", "127.0.0.3")),
            {"path": Address("127.0.0.3", clients[1].local_addresses.port), "lifetime": 1.0},
        ]
        for number, way in enumerate(ways):
            await servers[1].send(b"%d" % number, ppid=number, **way)
        for number, way in enumerate(ways):
            message = await clients[1].receive()
            assert (message.data, message.ppid) == (b"%d" % number, number)
            assert (message.stream, message.unordered) == (way.get("stream", 0), "unordered" in way)
        await talks(*zip(clients, servers, strict=True))
        for conn in (*clients, *servers):
            await conn.abort()
    await until(lambda: not associations())


async def test_a_path_that_is_not_the_peers_is_refused_and_nobody_gets_the_message() -> None:
    async with served(2) as (listener, clients, servers), listen("127.0.0.4:0", mode=MANY) as stranger:
        for path in (clients[1].local_addresses, stranger.local_addresses, "127.0.0.4"):
            with pytest.raises((OSError, ValueError)):
                await servers[0].send(b"astray", path=path)
        await talks(*zip(clients, servers, strict=True))
        # Nor has an association been begun for it.
        assert listener.statistics().associations == 2
        assert stranger.statistics().associations == 0
        assert len(carrier(listener).members) == 2
        assert len(associations()) == 4


async def test_a_path_that_is_another_associations_is_refused() -> None:
    async with served(2) as (_, clients, servers):
        with pytest.raises(OSError, match="no address of the peer"):
            servers[0].path(clients[1].local_addresses)
        await talks((clients[0], servers[0]))


@pytest.mark.parametrize("mode", list(Mode), ids=[mode.value for mode in Mode])
async def test_large_messages_of_many_associations_interleave_both_ways(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one-to-one clients and with one-to-many ones; the windows are smaller than the messages."""
    count, streams = 20, 3
    options = [
        SendBuffer(400 * KIB),
        # Large messages come in parts, even where there would be space for all of one.
        PartialDeliveryPoint(8 * KIB),
        # What is dropped all the same is to come again soon, and however often it takes.
        RtoInfo(initial=0.05, maximum=0.1, minimum=0.02),
        AssocInfo(max_retransmissions=200),
        PeerAddressParameters(path_max_retransmissions=200),
    ]
    small = ReceiveBuffer(100 * KIB)
    partly: list[int] = []
    feed = Association.feed

    def counting(self: Association, message: Message) -> None:
        feed(self, message)
        partly.append(sum(bool(server._association.partials) for server in servers))

    monkeypatch.setattr(Association, "feed", counting)
    servers: list[Conn] = []
    clients: list[Conn] = []
    async with listen("127.0.0.1:0", mode=MANY, options=options) as listener:
        for _ in range(count):
            if mode is MANY:
                async with listen("127.0.0.1:0", mode=MANY, options=[*options, small]) as own:
                    clients.append(await own.connect(listener.local_addresses))
            else:
                clients.append(await connect(listener.local_addresses, options=[*options, small]))
            servers.append(await listener.accept())
        chance = random.Random(3)
        noise = chance.randbytes(1_000_000)

        async def send(conn: Conn, messages: list[tuple[int, bytes]]) -> None:
            for stream, data in messages:
                await conn.send(data, stream=stream)
            await conn.send(b"end", stream=streams)

        async def receive(conn: Conn, digests: list[Any]) -> None:
            """The end may overtake other streams, hence each stream of its own."""
            while digests[streams] != b"end" or digests[streams + 1]:
                message = await conn.receive()
                if message.stream == streams:
                    digests[streams] = message.data
                else:
                    digests[message.stream].update(b"%d:" % len(message.data) + message.data)
                    digests[streams + 1] -= 1

        tasks, sent, received = [], [], []
        for sender, receiver in (*zip(clients, servers, strict=True), *zip(servers, clients, strict=True)):
            sizes = [1, chance.randrange(150_000, 400_000), *(chance.randrange(1, 3_000) for _ in range(6))]
            chance.shuffle(sizes)
            messages = []
            expected = [hashlib.sha256() for _ in range(streams)]
            for size in sizes:
                stream, place = chance.randrange(streams), chance.randrange(len(noise) - size)
                messages.append((stream, noise[place : place + size]))
                expected[stream].update(b"%d:" % size + messages[-1][1])
            sent.append([digest.digest() for digest in expected])
            digests: list[Any] = [*(hashlib.sha256() for _ in range(streams)), b"", len(messages)]
            received.append(digests)
            tasks.append(asyncio.create_task(send(sender, messages)))
            tasks.append(asyncio.create_task(receive(receiver, digests)))
        async with asyncio.timeout(50 * PATIENCE):
            await asyncio.gather(*tasks)
        assert [[digest.digest() for digest in digests[:streams]] for digests in received] == sent
        # How many associations had a part of a message, and not yet the rest: else this shows little.
        assert max(partly) >= 3
        for conn in (*servers, *clients):
            await conn.abort()
    await until(lambda: not associations())
