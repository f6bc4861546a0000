"""Association without a stack: reassembly, claims, and events that break a message off."""

import asyncio
import errno
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure.loop.scripted import Script
from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationLostError,
    AssociationState,
    EndOfAssociation,
    ErrorCause,
    Message,
    PartialDelivery,
    PartialDeliveryState,
    ReceivedTooLargeError,
    ShutdownEvent,
    StreamChange,
    StreamResetFlags,
)
from sctpio._loop.association import Association, ended_by
from sctpio._loop.event_stream import EventHub
from sctpio._loop.partials import Partials
from sctpio._loop.unread import Unread
from sctpio.stacks.base import StackSocket


def make(loop: asyncio.AbstractEventLoop, limit: int = 10_000) -> Association:
    return Association(loop, unread=Unread(loop, 100_000), max_message_size=limit, hub=EventHub(loop))


def parts(data: Iterable[bytes], **attributes: int | bool) -> list[Message]:
    pieces = [Message(piece, complete=False, **attributes) for piece in data]  # type: ignore[arg-type]
    return [*pieces[:-1], replace(pieces[-1], complete=True)]


def taken(association: Association) -> list[bytes]:
    inbox = association.unread.inbox
    return [association.unread.take(inbox).data for _ in range(len(inbox.messages))]


async def test_parts_of_different_streams_may_interleave() -> None:
    association = make(asyncio.get_running_loop())
    one = parts([b"a", b"b", b"c"], stream=1, ppid=60, tsn=10)
    two = parts([b"x", b"y"], stream=2)
    unordered = parts([b"u", b"v"], stream=1, unordered=True)
    for part in (one[0], two[0], unordered[0], one[1], two[1], unordered[1], one[2]):
        association.feed(part)
    messages = list(association.unread.inbox.messages)
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
    assert not association.is_over


async def test_memory_of_parts_is_bounded() -> None:
    association = make(asyncio.get_running_loop(), limit=100)
    association.feed(Message(bytes(60), complete=False))
    with pytest.raises(ReceivedTooLargeError, match="100 bytes"):
        association.feed(Message(bytes(41), complete=False))
    with pytest.raises(ReceivedTooLargeError):
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
        received = list(association.unread.inbox.messages)
        for key in {(stream, unordered) for stream, unordered, _ in messages}:
            expected = [b"".join(data) for stream, unordered, data in messages if (stream, unordered) == key]
            assert [m.data for m in received if (m.stream, m.unordered) == key] == expected
        assert association.unread.count()[1] == sum(len(b"".join(data)) for _, _, data in messages)
    finally:
        loop.close()


async def test_all_parts_together_are_bounded_by_the_message_size_and_the_buffer() -> None:
    partials = Partials(100)
    for stream, size in ((1, 100), (2, 30)):
        assert partials.join(Message(bytes(size), stream=stream, complete=False), 30) is None
    with pytest.raises(ReceivedTooLargeError, match="of 2 streams, not yet whole.* 130 bytes"):
        partials.join(Message(b"x", stream=3, complete=False), 30)
    # A whole one takes no room here.
    whole = Message(bytes(100), stream=4)
    assert partials.join(whole, 30) is whole
    joined = partials.join(Message(b"", stream=1, cumulative_tsn=9), 30)
    assert joined is not None
    assert (len(joined.data), joined.cumulative_tsn) == (100, 9)
    # What became whole, or was dropped, has made room.
    assert partials.join(Message(bytes(100), stream=5, complete=False), 30) is None
    partials.drop(5)
    assert partials.join(Message(bytes(100), stream=6, complete=False), 30) is None
    partials.clear()
    assert not partials
    assert partials.join(Message(bytes(100), stream=7, complete=False), 30) is None
    assert partials.join(Message(bytes(30), stream=8, complete=False), 30) is None


@pytest.mark.parametrize(("limit", "most"), [(30, 64), (512 * 1000 - 100, 1000)])
async def test_the_number_of_messages_in_part_is_bounded(limit: int, most: int) -> None:
    """With I-DATA a peer can have one open on each of 65536 streams, of a byte each."""
    partials = Partials(100)
    for stream in range(most):
        assert partials.join(Message(b"", stream=stream, complete=False), limit) is None
    with pytest.raises(ReceivedTooLargeError, match=f"{most} messages are not yet whole"):
        partials.join(Message(b"", stream=most, complete=False), limit)
    assert partials.join(Message(b"", stream=0), limit) is not None
    assert partials.join(Message(b"", stream=most, complete=False), limit) is None


async def test_streams_that_were_added_are_counted_unless_the_request_failed() -> None:
    association = make(asyncio.get_running_loop())
    association.up(3, 10, 20)
    for flags, counts in (
        (StreamResetFlags.DENIED, (10, 20)),
        (StreamResetFlags.FAILED, (10, 20)),
        (StreamResetFlags(0), (13, 24)),
    ):
        association.take_event(StreamChange(flags, 4, 3, 3))
        assert (association.outbound_streams, association.inbound_streams) == counts


async def test_messages_of_one_that_stops_sharing_come_along() -> None:
    loop = asyncio.get_running_loop()
    shared = Unread(loop, 5_000)
    one, other = (
        Association(loop, unread=shared, max_message_size=100, hub=EventHub(loop), shared=True)
        for _ in range(2)
    )
    for number, association in ((1, one), (2, other)):
        association.up(number, 1, 1)
        association.feed(Message(b"of %d" % number, association_id=number))
    one.own_unread()
    assert (one.shared, one.unread.limit) == (False, 5_000)
    assert (taken(one), taken(other)) == ([b"of 1"], [b"of 2"])
    # A close drops what is its own alone.
    other.feed(Message(b"still here", association_id=2))
    other.close_here()
    assert taken(other) == [b"still here"]


def lost(
    state: AssociationState, error: ErrorCause = ErrorCause.NO_ERROR, info: bytes = b""
) -> AssociationChange:
    return AssociationChange(state, error, 0, 0, 3, info)


REFUSED = b"\0\x0c\0\x06no"
CUT, CANT = AssociationState.COMM_LOST, AssociationState.CANT_STR_ASSOC
ABORT = ErrorCause.USER_INITIATED_ABORT


@pytest.mark.parametrize(
    ("code", "event", "kind", "number"),
    [
        (0, None, AssociationLostError, errno.ETIMEDOUT),
        (errno.EPIPE, None, AssociationLostError, errno.EPIPE),
        (errno.ECONNRESET, None, AssociationAbortedError, None),
        (errno.ECONNABORTED, None, AssociationAbortedError, None),
        (0, lost(CUT), AssociationLostError, errno.ETIMEDOUT),
        (0, lost(CUT, ABORT), AssociationAbortedError, None),
        (0, lost(CUT, info=REFUSED), AssociationAbortedError, None),
        # The socket knows better.
        (errno.ETIMEDOUT, lost(CUT, ABORT, REFUSED), AssociationLostError, errno.ETIMEDOUT),
        (0, lost(CANT), TimeoutError, errno.ETIMEDOUT),
        (0, lost(CANT, ABORT), ConnectionRefusedError, errno.ECONNREFUSED),
        (0, lost(CANT, info=REFUSED), ConnectionRefusedError, errno.ECONNREFUSED),
        (errno.ECONNRESET, lost(CANT), ConnectionRefusedError, errno.ECONNREFUSED),
        (errno.ENETUNREACH, lost(CANT), OSError, errno.ENETUNREACH),
    ],
)
def test_how_it_ended_is_told_by_the_error_and_the_last_event(
    code: int, event: AssociationChange | None, kind: type[Exception], number: int | None
) -> None:
    raw = Script()
    end = ended_by(code, event, Address("127.0.0.1", 5), cast(StackSocket, raw))
    raw.close()
    assert type(end) is kind
    if number is not None:
        assert getattr(end, "errno") == number  # noqa: B009
    if event is not None and event.info and isinstance(end, AssociationAbortedError):
        assert end.cause == b"no"
    if event is not None and event.state is CANT:
        assert "no association with 127.0.0.1:5; no answer" in str(end)
