"""Association without a stack: reassembly, claims, and events that break a message off."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    AssociationState,
    EndOfAssociation,
    ErrorCause,
    Message,
    MessageTooLargeError,
    PartialDelivery,
    PartialDeliveryState,
    ShutdownEvent,
)
from sctpio._association import Association
from sctpio._events import EventHub
from sctpio._intake import Intake


def make(loop: asyncio.AbstractEventLoop, limit: int = 10_000) -> Association:
    return Association(loop, intake=Intake(loop, 100_000), max_message_size=limit, hub=EventHub(loop))


def parts(data: Iterable[bytes], **attributes: int | bool) -> list[Message]:
    pieces = [Message(piece, complete=False, **attributes) for piece in data]  # type: ignore[arg-type]
    return [*pieces[:-1], replace(pieces[-1], complete=True)]


def taken(association: Association) -> list[bytes]:
    inbox = association.intake.inbox
    return [association.intake.take(inbox).data for _ in range(len(inbox.messages))]


async def test_parts_of_different_streams_may_interleave() -> None:
    association = make(asyncio.get_running_loop())
    one = parts([b"a", b"b", b"c"], stream=1, ppid=60, tsn=10)
    two = parts([b"x", b"y"], stream=2)
    unordered = parts([b"u", b"v"], stream=1, unordered=True)
    for part in (one[0], two[0], unordered[0], one[1], two[1], unordered[1], one[2]):
        association.feed(part)
    messages = list(association.intake.inbox.messages)
    assert [message.data for message in messages] == [b"xy", b"uv", b"abc"]
    assert all(message.complete for message in messages)
    assert (messages[2].stream, messages[2].ppid, messages[2].tsn) == (1, 60, 10)


async def test_a_broken_off_message_is_forgotten() -> None:
    association = make(asyncio.get_running_loop())
    broken = PartialDelivery(PartialDeliveryState.ABORTED, 0, 0, 3)
    association.feed(parts([b"lost", b""], stream=5)[0])
    association.take_event(broken)
    association.feed(Message(b"whole", stream=5))
    assert taken(association) == [b"whole"]
    # With I-DATA several can be open, and the event names the stream.
    association.feed(parts([b"lost", b""], stream=5)[0])
    kept = parts([b"ke", b"pt"], stream=6)
    association.feed(kept[0])
    association.take_event(replace(broken, stream=5))
    association.feed(kept[1])
    association.feed(Message(b"new", stream=5))
    assert taken(association) == [b"kept", b"new"]


async def test_a_restart_of_the_peer_forgets_parts_and_takes_the_new_counts() -> None:
    association = make(asyncio.get_running_loop())
    association.feed(parts([b"old", b""], stream=1)[0])
    association.take_event(
        AssociationChange(AssociationState.RESTART, ErrorCause.NO_ERROR, 3, 4, association_id=9, info=b"")
    )
    association.feed(Message(b"new", stream=1))
    assert taken(association) == [b"new"]
    assert (association.outbound_streams, association.inbound_streams) == (3, 4)
    assert not association.over


async def test_memory_of_parts_is_bounded() -> None:
    association = make(asyncio.get_running_loop(), limit=100)
    association.feed(Message(bytes(60), complete=False))
    with pytest.raises(MessageTooLargeError, match="100 bytes"):
        association.feed(Message(bytes(41), complete=False))
    with pytest.raises(MessageTooLargeError):
        make(asyncio.get_running_loop(), limit=100).feed(Message(bytes(101)))


async def test_the_first_end_stays() -> None:
    association = make(asyncio.get_running_loop())
    association.finish(TimeoutError("first"))
    association.finish(ConnectionResetError("second"))
    association.close_here()
    first, second = association.outcome(), association.outcome()
    assert type(first) is TimeoutError
    assert str(first) == "first"
    assert first is not second


async def test_an_abort_after_the_peers_shutdown_is_told_to_close_alone() -> None:
    association = make(asyncio.get_running_loop())
    association.take_event(ShutdownEvent(association_id=1))
    association.finish(AssociationAbortedError(b"", ErrorCause.NO_ERROR))
    with pytest.raises(EndOfAssociation):
        association.check_alive()
    assert type(association.over_by) is AssociationAbortedError


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.booleans(), st.lists(st.binary(min_size=1, max_size=9), min_size=1)),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_any_interleaving_of_streams_gives_each_message_whole_and_in_order(
    messages: list[tuple[int, bool, list[bytes]]], random: "st.DataObject"
) -> None:
    loop = asyncio.new_event_loop()
    try:
        association = make(loop)
        queues: dict[tuple[int, bool], list[Message]] = {}
        for stream, unordered, data in messages:
            queue = queues.setdefault((stream, unordered), [])
            queue += parts(data, stream=stream, unordered=unordered)
        while queues:
            key = random.choice(sorted(queues))  # type: ignore[attr-defined]
            association.feed(queues[key].pop(0))
            if not queues[key]:
                del queues[key]
        received = list(association.intake.inbox.messages)
        for key in {(stream, unordered) for stream, unordered, _ in messages}:
            expected = [b"".join(data) for stream, unordered, data in messages if (stream, unordered) == key]
            assert [m.data for m in received if (m.stream, m.unordered) == key] == expected
        assert association.intake.unread()[1] == sum(len(b"".join(data)) for _, _, data in messages)
    finally:
        loop.close()
