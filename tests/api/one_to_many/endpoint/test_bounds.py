"""What an Endpoint keeps is bounded, and nobody hangs where the buffer is full."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from api.one_to_many.endpoint.joined import (
    COMM_LOST,
    QUICK,
    Peer,
    check_unknown,
    full,
    joined,
    states,
    unread,
)
from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    DelayedSack,
    EndOfAssociation,
    Endpoint,
    Option,
    ReceiveBuffer,
    ReceiveBufferFullError,
    SendBuffer,
    open_endpoint,
)
from sctpio._loop.loop_socket import BATCH_BYTES
from support import KIB, LOCAL, settled, until, within


async def test_what_is_unread_is_bounded_in_total_and_reading_goes_on_when_it_is_read() -> None:
    quick: dict[str, Any] = {"options": QUICK}
    async with (
        open_endpoint(
            LOCAL, receive_buffer=64 * KIB, options=[ReceiveBuffer(64 * KIB), DelayedSack(frequency=1)]
        ) as endpoint,
        joined(endpoint, **quick) as one,
        joined(endpoint, **quick) as two,
        joined(endpoint, **quick) as three,
    ):
        peers = (one, two, three)

        async def flood(peer: Peer) -> None:
            for number in range(40):
                await peer.conn.send(b"%d " % number + bytes(10 * KIB))

        bound = 64 * KIB + BATCH_BYTES + 11 * KIB
        flooding = asyncio.gather(*map(flood, peers))
        await until(lambda: endpoint.statistics().reading_paused)
        await settled(lambda: [peer.conn.statistics().messages_sent for peer in peers])
        before = endpoint.statistics()
        assert before.reading_paused
        assert set(before.paused_by) <= {peer.id for peer in peers}
        assert 64 * KIB - 256 * before.unread_messages <= before.unread_bytes <= bound
        assert not flooding.done()
        await asyncio.sleep(0.3)
        assert endpoint.statistics() == before
        got: dict[int, list[int]] = {peer.id: [] for peer in peers}
        for _ in range(120):
            message = await within(endpoint.receive())
            got[message.association_id].append(int(message.data.split()[0]))
            assert endpoint.statistics().unread_bytes <= bound
        await flooding
        assert got == {peer.id: list(range(40)) for peer in peers}
        after = endpoint.statistics()
        assert (after.unread_messages, after.unread_bytes, after.reading_paused) == (0, 0, False)
        assert after.pauses >= 1


async def test_large_messages_of_several_associations_are_each_put_together() -> None:
    buffers: list[Option] = [
        *QUICK,
        ReceiveBuffer(100 * KIB),
        SendBuffer(400 * KIB),
        DelayedSack(frequency=1),
    ]
    random_ = random.Random(3)
    async with (
        open_endpoint(LOCAL, options=buffers) as endpoint,
        joined(endpoint, options=buffers) as one,
        joined(endpoint, options=buffers) as two,
        joined(endpoint, options=buffers) as three,
    ):
        peers = (one, two, three)
        sent = {
            p.id: [random_.randbytes(random_.randrange(150_000, 300_000)) for _ in range(3)] for p in peers
        }

        async def send(peer: Peer) -> None:
            for number, data in enumerate(sent[peer.id]):
                await peer.conn.send(data, stream=number, ppid=peer.id)
                await peer.conn.send(b"small", stream=5)

        mixed = False
        sending = asyncio.gather(*map(send, peers))
        got: dict[int, list[bytes]] = {peer.id: [] for peer in peers}
        smalls = 0
        while sum(map(len, got.values())) < 9 or smalls < 9:
            message = await within(endpoint.receive())
            members = endpoint._shared.members.values()
            mixed = mixed or sum(bool(link.association.partials) for link in members) > 1
            if message.data == b"small":
                smalls += 1
            else:
                assert message.ppid == message.association_id
                got[message.association_id].append(message.data)
        await sending
        assert got == sent
        # Else this shows nothing.
        assert mixed


@pytest.mark.parametrize("size", [50_001, 300_000], ids=["whole", "in parts"])
async def test_a_message_that_is_too_large_ends_its_association_alone(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    buffers: list[Option] = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with (
        open_endpoint(LOCAL, options=buffers, max_message_size=50_000) as endpoint,
        joined(endpoint, options=buffers) as bad,
        joined(endpoint, options=buffers) as good,
    ):
        events = endpoint.events(AssociationChange)
        await bad.conn.send(b"before")
        await unread(endpoint, 1)
        await bad.conn.send(bytes(size))
        with pytest.raises(AssociationAbortedError) as caught:
            await within(bad.conn.receive())
        assert caught.value.cause == b"message too large"
        assert await states(events, 1) == [(bad.id, COMM_LOST)]
        await good.conn.send(bytes(50_000))
        assert (await within(endpoint.receive())).data == b"before"
        assert len((await within(endpoint.receive())).data) == 50_000
        assert endpoint.associations == (good.id,)
        await check_unknown(endpoint, bad.id)
        await endpoint.send(b"goes on", to=good.id)
        assert (await good.conn.receive()).data == b"goes on"
    assert "too large" in caplog.text


WAITS: dict[str, Callable[[Endpoint, Address], Any]] = {
    "connect": lambda endpoint, address: endpoint.connect(address),
    "send": lambda endpoint, address: endpoint.send(b"x", to=address),
    "events": lambda endpoint, _: anext(endpoint.events(AssociationChange)),
}


@pytest.mark.parametrize("wait", WAITS)
async def test_what_waits_while_nobody_empties_the_full_buffer_does_not_hang(wait: str) -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)]) as endpoint,
        open_endpoint(LOCAL) as other,
        joined(endpoint),
    ):
        async with full(endpoint):
            with pytest.raises(ReceiveBufferFullError) as caught:
                await within(WAITS[wait](endpoint, other.local_addresses))
            assert caught.value.streams == (4,)
            assert caught.value.limit == 32 * KIB


@pytest.mark.parametrize("wait", ["connect", "send"])
async def test_what_waits_while_the_buffer_is_full_goes_on_when_it_is_read(wait: str) -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)]) as endpoint,
        open_endpoint(LOCAL) as other,
        joined(endpoint),
    ):
        async with full(endpoint):
            waiting = asyncio.create_task(WAITS[wait](endpoint, other.local_addresses))
            while not waiting.done():
                await within(endpoint.receive())
                await asyncio.sleep(0)
            await waiting


async def test_aborting_the_association_that_filled_the_buffer_lets_the_others_go_on() -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)]) as endpoint,
        joined(endpoint) as quiet,
    ):
        async with full(endpoint) as flooder:
            await endpoint.abort(flooder.id)
            await within(endpoint.shutdown(quiet.id))
            with pytest.raises(EndOfAssociation):
                await quiet.conn.receive()
