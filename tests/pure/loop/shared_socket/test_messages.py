"""Who gets which message, whatever the stack gives, and in whatever order."""

import random
from collections import deque

import pytest

from pure.loop.shared_socket.bench import ended, opened
from sctpio import Address, PartialDelivery, PartialDeliveryState, ReceivedTooLargeError, RtoInfo, SenderDry

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


async def test_each_association_gets_its_own_messages() -> None:
    async with opened() as bench:
        script = bench.script
        script.up(3, Address("10.0.0.3", 33))
        script.up(4, Address("10.0.0.4", 44))
        script.data(4, b"to four", stream=2, ppid=60, ssn=5, tsn=9)
        script.data(3, b"to three")
        script.data(4, b"again", flags=1, context=7)
        three, four = await bench.accept(), await bench.accept()
        assert (three.association_id, four.association_id) == (3, 4)
        assert (three.outbound_streams, three.inbound_streams) == (10, 10)
        assert three.peer_addresses == Address("10.0.0.3", 33)
        first, second = await four.receive_many()
        assert (first.data, first.stream, first.ppid, first.ssn, first.tsn) == (b"to four", 2, 60, 5, 9)
        assert (first.association_id, first.source) == (4, Address("10.0.0.4", 44))
        assert (second.data, second.unordered, second.context) == (b"again", True, 7)
        assert (await three.receive()).data == b"to three"
        assert three.fileno() == four.fileno() == bench.listener.fileno() == script.fileno()


async def test_parts_of_messages_of_many_associations_interleave() -> None:
    chance = random.Random(1)
    async with opened(receive_buffer=10_000_000) as bench:
        conns = {identifier: await bench.new(identifier) for identifier in range(3, 13)}
        sent: dict[tuple[int, int], list[bytes]] = {}
        queues: dict[tuple[int, int], deque[tuple[bytes, bool]]] = {}
        for identifier in conns:
            for stream in range(2):
                messages = [chance.randbytes(chance.randrange(1, 3_000)) for _ in range(10)]
                sent[identifier, stream] = messages
                parts = queues[identifier, stream] = deque()
                for message in messages:
                    pieces = [message[place : place + 400] for place in range(0, len(message), 400)]
                    parts.extend((piece, piece is pieces[-1]) for piece in pieces)
        while queues:
            identifier, stream = chance.choice(list(queues))
            piece, last = queues[identifier, stream].popleft()
            bench.script.data(identifier, piece, complete=last, stream=stream)
            if not queues[identifier, stream]:
                del queues[identifier, stream]
        await bench.read()
        for identifier, conn in conns.items():
            received = await conn.receive_many()
            for stream in range(2):
                mine = [message.data for message in received if message.stream == stream]
                assert mine == sent[identifier, stream]


async def test_a_broken_off_message_is_dropped_from_its_own_association_alone() -> None:
    async with opened() as bench:
        three, four = await bench.new(3), await bench.new(4)
        bench.script.data(3, b"lost", complete=False)
        bench.script.data(4, b"ke", complete=False)
        bench.script.event(PartialDelivery(PartialDeliveryState.ABORTED, 0, 0, 3))
        bench.script.data(3, b"whole")
        bench.script.data(4, b"pt")
        assert (await three.receive()).data == b"whole"
        assert (await four.receive()).data == b"kept"


async def test_a_message_that_is_too_large_ends_its_own_association_alone() -> None:
    async with opened(max_message_size=1_000) as bench:
        three, four = await bench.new(3), await bench.new(4)
        bench.script.data(3, b"read before")
        bench.script.data(3, bytes(600), complete=False)
        bench.script.data(4, bytes(600), complete=False)
        bench.script.data(3, bytes(600), complete=False)
        bench.script.data(4, bytes(400))
        bench.script.data(3, b"rest")
        assert len((await four.receive()).data) == 1_000
        assert (await three.receive()).data == b"read before"
        await ended(three, ReceivedTooLargeError)
        assert bench.script.calls("abort") == [(3, b"message too large")]
        bench.script.data(4, b"goes on")
        assert (await four.receive()).data == b"goes on"


async def test_the_options_and_calls_of_an_association_name_it() -> None:
    async with opened() as bench:
        await bench.new(3)
        four = await bench.new(4)
        bench.script.log.clear()
        four.set_option(RtoInfo(initial=0.5))
        await four.send(b"x")
        await four.send_many([b"y", b"z"])
        events = four.events(SenderDry)
        await events.aclose()
        assert bench.script.log == [
            ("set_option", RtoInfo(initial=0.5), 4),
            ("send", 4, b"x"),
            ("send_batch", 4, [b"y", b"z"]),
            ("subscribe", SenderDry, True, 4),
            ("subscribe", SenderDry, False, 4),
        ]
        with pytest.raises(RuntimeError, match="peel it off"):
            four.detach()


async def test_sources_that_are_alike_but_for_their_scope_are_told_apart() -> None:
    """The stack gives both peers' addresses as the same bytes; each has the scope of its own association."""
    async with opened() as bench:
        script = bench.script
        peers = {3: Address("fe80::1%eth0", 6000), 4: Address("fe80::1%eth1", 6000)}
        for identifier, peer in peers.items():
            script.up(identifier, peer, told=False)
        # In one batch and over several.
        for _ in range(2):
            for identifier in (3, 3, 4, 3, 4, 4):
                script.data(identifier, b"x")
            await bench.read()
        for _ in peers:
            conn = await bench.accept()
            assert {message.source for message in await conn.receive_many()} == {peers[conn.association_id]}
