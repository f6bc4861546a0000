"""Unread without a socket: which inbox a message is in, and how much room is left."""

import asyncio

import pytest

from sctpio import Message
from sctpio._loop.unread import MESSAGE_OVERHEAD, Inbox, Unread
from support import turns

pytestmark = pytest.mark.one_loop


def data(inbox: Inbox) -> list[bytes]:
    return [message.data for message in inbox.messages]


def filled() -> Unread:
    """Have four messages of three streams, of two associations."""
    unread = Unread(asyncio.get_running_loop(), 10_000)
    for stream, content, association in ((1, b"a", 3), (2, b"bb", 4), (1, b"ccc", 4), (3, b"dddd", 3)):
        unread.put(Message(content, stream=stream, association_id=association))
    assert unread.size == 10 + 4 * MESSAGE_OVERHEAD
    return unread


async def test_a_claim_takes_along_what_its_stream_has_and_gets_what_comes() -> None:
    unread = filled()
    claimed = unread.claim(1)
    assert (data(claimed), data(unread.inbox)) == ([b"a", b"ccc"], [b"bb", b"dddd"])
    assert unread.claim(1) is claimed
    assert (unread.count(), unread.size) == ((4, 10), 10 + 4 * MESSAGE_OVERHEAD)
    unread.put(Message(b"e", stream=1))
    unread.put_all([Message(b"f", stream=2), Message(b"g", stream=1)], 2)
    assert (data(claimed), data(unread.inbox)) == ([b"a", b"ccc", b"e", b"g"], [b"bb", b"dddd", b"f"])
    assert (claimed.streams(), unread.inbox.streams()) == ({1}, {2, 3})
    assert (unread.count(), unread.size) == ((7, 13), 13 + 7 * MESSAGE_OVERHEAD)


async def test_what_comes_for_a_claimed_stream_wakes_its_own_readers_alone() -> None:
    unread = Unread(asyncio.get_running_loop(), 10_000)
    claimed = unread.claim(1)

    async def wait(inbox: Inbox) -> None:
        await unread.wait(inbox.waiters, lambda: inbox.messages, inbox)

    inboxes = (claimed, claimed, claimed, unread.inbox)
    readers = [asyncio.create_task(wait(inbox)) for inbox in inboxes]
    await turns()
    unread.put_all([Message(b"x", stream=1), Message(b"y", stream=1)], 2)
    await turns()
    assert [reader.done() for reader in readers] == [True, True, False, False]
    unread.wake_all()
    await asyncio.gather(*readers)


async def test_as_many_are_taken_as_were_asked_for_and_their_room_is_free() -> None:
    unread = filled()
    assert [message.data for message in unread.take_all(unread.inbox, 3)] == [b"a", b"bb", b"ccc"]
    assert unread.size == 4 + MESSAGE_OVERHEAD
    assert [message.data for message in unread.take_all(unread.inbox, 1)] == [b"dddd"]
    assert (unread.size, unread.take_all(unread.inbox, None)) == (0, [])
    unread = filled()
    assert len(unread.take_all(unread.inbox, None)) == 4
    assert (unread.size, unread.space, unread.full) == (0, 10_000, False)


async def test_the_messages_of_one_association_move_in_order() -> None:
    unread, other = filled(), Unread(asyncio.get_running_loop(), 5 + 2 * MESSAGE_OVERHEAD)
    unread.move(3, other)
    assert (data(unread.inbox), data(other.inbox)) == ([b"bb", b"ccc"], [b"a", b"dddd"])
    assert (unread.size, other.size, other.full) == (5 + 2 * MESSAGE_OVERHEAD, other.limit, True)


async def test_what_is_dropped_leaves_nothing_in_any_inbox() -> None:
    unread = filled()
    claimed = unread.claim(1)
    unread.clear()
    assert (data(claimed), data(unread.inbox), unread.size, unread.count()) == ([], [], 0, (0, 0))


async def test_a_reader_is_remembered_until_its_task_is_done() -> None:
    unread = filled()
    assert unread.inbox.reader is None

    async def read() -> bool:
        unread.take(unread.inbox)
        return unread.inbox.reader is asyncio.current_task()

    reader = asyncio.create_task(read())
    assert await reader
    assert unread.inbox.reader is None
