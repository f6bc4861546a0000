"""SendFailed, PartialDelivery, SenderDry: what becomes of messages."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from kernel.events.following import STUBBORN, following, received, rest, still_works, until_seen
from kernel.lab import FAST, Lab, joined
from sctpio import (
    AssociationChange,
    AssociationState,
    AssociationStatistics,
    AssocInfo,
    Conn,
    ErrorCause,
    PartialDelivery,
    PartialDeliveryPoint,
    PartialDeliveryState,
    PrStreamStatus,
    ReceiveBuffer,
    SendBuffer,
    SenderDry,
    SendFailed,
)
from support import Pair, connected, until

# SendFailed


def joined_data(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events)


def check_fragments(events: list[Any]) -> None:
    """Look that these are the fragments of one message: the first has the B bit, the last the E bit."""
    marks = [event.flags & 3 for event in events]
    assert marks == ([3] if len(marks) == 1 else [2, *[0] * (len(marks) - 2), 1])


@pytest.mark.both_modes
async def test_a_lifetime_that_expires_unsent_gives_the_message_back(lab: Lab) -> None:
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        client = pair.client
        events = client.events(SendFailed)
        lab.cut()
        # More than the first window: the rest waits here.
        for _ in range(8):
            await client.send(bytes(1400))
        await client.send(
            b"too late", stream=3, ppid=60, context=99, unordered=True, lifetime=0.05, sack_immediately=True
        )
        await asyncio.sleep(0.1)
        # The kernel looks at it when its turn comes.
        lab.mend()
        event = await following(events)
        assert event == SendFailed(
            data=b"too late",
            sent=False,
            error=ErrorCause.NO_ERROR,
            stream=3,
            ppid=60,
            context=99,
            unordered=True,
            flags=event.flags,
            association_id=client.association_id,
        )
        # A whole message (0x3), unordered (0x4).
        assert event.flags & 0x7 == 0x7
        for _ in range(8):
            assert await received(pair.server) == bytes(1400)
        await still_works(client, pair.server)


@pytest.mark.both_modes
@pytest.mark.parametrize("policy", ["lifetime", "max_retransmissions"])
async def test_what_is_given_up_after_it_was_sent_is_counted_and_not_given_back(
    lab: Lab, policy: str
) -> None:
    """RFC 6458 6.1.11 has an event for it too; Linux gives up what it has sent without a word."""
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        client = pair.client
        events = client.events(SendFailed)
        lab.cut()
        limit: dict[str, Any] = {policy: 0.05 if policy == "lifetime" else 0}
        await client.send(b"on its way", stream=1, **limit)
        await client.send(b"next", stream=1)
        await until(lambda: client.get_option(AssociationStatistics).retransmitted_chunks > 0)
        lab.mend()
        # What comes after it is not held up by what is missing.
        assert await received(pair.server) == b"next"
        status = client.get_option(PrStreamStatus(1))
        assert (status.abandoned_unsent, status.abandoned_sent) == (0, 1)
        await client.close()
        assert await rest(events) == []


@pytest.mark.both_modes
async def test_a_large_message_is_given_back_in_its_fragments(lab: Lab) -> None:
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        events = pair.client.events(SendFailed)
        lab.cut()
        for _ in range(8):
            await pair.client.send(bytes(1400))
        data = os.urandom(9000)
        await pair.client.send(data, stream=2, ppid=46, context=1234, lifetime=0.05)
        await asyncio.sleep(0.1)
        lab.mend()
        seen = await until_seen(events, lambda event: event.flags & 1)
        assert joined_data(seen) == data
        check_fragments(seen)
        assert {(e.stream, e.ppid, e.context, e.sent, e.unordered) for e in seen} == {
            (2, 46, 1234, False, False)
        }


STALLING: dict[str, Any] = {
    "listen_with": {"options": [ReceiveBuffer(size=8192)], "receive_buffer": 1},
    "connect_with": {"options": [SendBuffer(size=200_000)]},
}


async def check_given_back(sender: Conn, receiver: Conn, abort: Callable[[], Any]) -> None:
    """Send what the other end does not read, let it abort: what never left is given back, in order."""
    events = sender.events(SendFailed, AssociationChange)
    messages = [b"%d" % number * 3000 for number in range(10)]
    for number, message in enumerate(messages):
        await sender.send(message, stream=number % 3, ppid=number, context=100 + number)
    await until(lambda: sender.status().rwnd < 3000)
    await abort()
    seen = await rest(events)
    failed = [event for event in seen if isinstance(event, SendFailed)]
    assert [event.state for event in seen if isinstance(event, AssociationChange)] == [
        AssociationState.COMM_LOST
    ]
    assert {event.association_id for event in failed} == {sender.association_id}
    by_context: dict[int, list[SendFailed]] = {}
    for event in failed:
        by_context.setdefault(event.context, []).append(event)
    # What had not been acknowledged is at the end.
    assert 109 in by_context
    assert sorted(by_context) == list(range(110 - len(by_context), 110))
    for context, parts in by_context.items():
        number = context - 100
        assert messages[number].endswith(joined_data(parts))
        assert {(part.stream, part.ppid) for part in parts} == {(number % 3, number)}
    assert joined_data(by_context[109]) == messages[9]
    check_fragments(by_context[109])
    assert not by_context[109][-1].sent
    assert {part.error for part in by_context[109]} == {ErrorCause.USER_INITIATED_ABORT}


@pytest.mark.both_modes
async def test_what_was_queued_when_the_peer_aborted_is_given_back_to_the_client() -> None:
    async with connected(**STALLING) as pair:
        await check_given_back(pair.client, pair.server, pair.server.abort)


@pytest.mark.both_modes
async def test_what_was_queued_when_the_peer_aborted_is_given_back_to_the_server() -> None:
    swapped = {"listen_with": STALLING["connect_with"], "connect_with": STALLING["listen_with"]}
    async with connected(**swapped) as pair:
        await check_given_back(pair.server, pair.client, pair.client.abort)


@pytest.mark.both_modes
async def test_what_was_queued_when_the_peer_vanished_is_given_back(lab: Lab) -> None:
    options = (FAST, AssocInfo(max_retransmissions=10))
    async with joined(lab, listen_with={"options": options}) as pair:
        events = pair.server.events(SendFailed)
        lab.cut()
        await pair.server.send(b"sent", context=1)
        for _ in range(8):
            await pair.server.send(bytes(1400), context=2)
        await pair.server.send(b"unsent", stream=4, context=3)
        seen = await rest(events)
        assert [event.context for event in seen] == [1, *[2] * 8, 3]
        assert (seen[0].data, seen[0].sent) == (b"sent", True)
        assert (seen[-1].data, seen[-1].stream, seen[-1].sent) == (b"unsent", 4, False)


# PartialDelivery


async def half(pair: Pair, lab: Lab, **send_with: Any) -> bytes:
    """Send a large message, of which only the first part is there."""
    data = os.urandom(100_000)
    lab.netem("rate 400kbit", lab.links[0], there=False)
    await pair.client.send(data, **send_with)
    await until(lambda: bool(pair.server._association.partials))
    return data


IN_PARTS: dict[str, Any] = {"options": [PartialDeliveryPoint(4096)]}


@pytest.mark.both_modes
async def test_a_large_message_is_broken_off_by_an_abort(lab: Lab) -> None:
    async with joined(lab, listen_with=IN_PARTS) as pair:
        events = pair.server.events(PartialDelivery, AssociationChange)
        await half(pair, lab, stream=2)
        lab.netem("delay 0ms", lab.links[0], there=False)
        await pair.client.abort()
        partial, lost = await rest(events)
        if isinstance(partial, AssociationChange):
            partial, lost = lost, partial
        # Without I-DATA it does not tell which.
        assert partial == PartialDelivery(PartialDeliveryState.ABORTED, 0, 0, pair.server.association_id)
        assert lost.state is AssociationState.COMM_LOST
        assert not pair.server._association.partials
        assert pair.server.statistics().unread_messages == 0


@pytest.mark.both_modes
async def test_a_large_message_is_broken_off_by_its_lifetime(lab: Lab) -> None:
    async with joined(lab, listen_with=IN_PARTS, connect_with={"options": STUBBORN}) as pair:
        client, server, _ = pair
        events, back = server.events(PartialDelivery), client.events(SendFailed)
        # Fragments must be under way as it expires: of those that never left, Linux tells the peer nothing.
        began = asyncio.get_running_loop().time()
        await half(pair, lab, stream=2, lifetime=1.0)
        lab.cut()
        assert pair.server._association.partials
        await asyncio.sleep(max(0.0, began + 1.2 - asyncio.get_running_loop().time()))
        lab.mend()
        await until_seen(back, lambda event: event.flags & 1)
        assert await following(events) == PartialDelivery(
            PartialDeliveryState.ABORTED, 0, 0, server.association_id
        )
        # What is left of it mixes with nothing.
        after = os.urandom(20_000)
        await client.send(after, stream=2)
        await client.send(b"small", stream=2)
        assert await received(server) == after
        assert await received(server) == b"small"
        await still_works(client, server)


# SenderDry


@pytest.mark.both_modes
async def test_everything_was_acknowledged(lab: Lab) -> None:
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        events = pair.client.events(SenderDry)
        # Nothing is under way as it is subscribed: that is told at once.
        assert await following(events) == SenderDry(pair.client.association_id)
        lab.cut()
        await pair.client.send(b"1")
        await pair.client.send(b"2", stream=3)
        waiting = asyncio.create_task(following(events))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        lab.mend()
        assert await waiting == SenderDry(pair.client.association_id)
        assert pair.client.status().unacknowledged == 0
        assert {await received(pair.server), await received(pair.server)} == {b"1", b"2"}
