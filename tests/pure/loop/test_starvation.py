"""The grace before ReceiveBufferFullError: it begins anew whenever something was taken."""

import asyncio
from collections.abc import Callable

import pytest

from sctpio import Message, ReceiveBufferFullError
from sctpio._loop.starvation import STARVED_AFTER
from sctpio._loop.unread import MESSAGE_OVERHEAD, Inbox, Unread
from sctpio._loop.waiting import Waiters
from support import turns, within

pytestmark = pytest.mark.one_loop

SIZE = 1_000


def message(association_id: int = 1, stream: int = 0) -> Message:
    return Message(
        data=bytes(SIZE),
        stream=stream,
        ppid=0,
        ssn=0,
        tsn=0,
        cumulative_tsn=0,
        unordered=False,
        context=0,
        association_id=association_id,
        source=None,
        complete=True,
    )


class Clock:
    """The loop's time, which a test can put forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._time: Callable[[], float] = loop.time
        self._ahead = 0.0
        monkeypatch.setattr(loop, "time", self)

    def __call__(self) -> float:
        return self._time() + self._ahead

    def forward(self, seconds: float) -> None:
        self._ahead += seconds


def full() -> tuple[Unread, Inbox]:
    """Make a buffer that one message fills, and the inbox of a stream that has none."""
    unread = Unread(asyncio.get_running_loop(), SIZE + MESSAGE_OVERHEAD)
    unread.put(message())
    assert unread.full
    return unread, unread.claim(7)


def waiting(unread: Unread, inbox: Inbox) -> asyncio.Task[None]:
    """Wait for a message of the claimed stream."""
    return asyncio.create_task(waiting_here(unread, inbox))


async def waiting_here(unread: Unread, inbox: Inbox) -> None:
    """Wait for a message of the claimed stream, in this task."""
    while not inbox.messages:
        await unread.wait(inbox.waiters, lambda: inbox.messages, inbox)


async def begun(unread: Unread, inbox: Inbox) -> None:
    """Let a wait begin its grace, and be given up."""
    task = waiting(unread, inbox)
    await turns()
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def has_grace(unread: Unread, inbox: Inbox, clock: Clock) -> None:
    """Look that a wait is not given up at once, and is after the grace."""
    task = waiting(unread, inbox)
    await turns()
    assert not task.done()
    clock.forward(2 * STARVED_AFTER)
    with pytest.raises(ReceiveBufferFullError):
        await within(task)


async def test_a_buffer_that_fills_to_the_same_number_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    unread, inbox = full()
    await begun(unread, inbox)
    unread.take(unread.inbox)
    # As the reader does whose socket does not read.
    unread.note_taken()
    unread.put(message())
    clock.forward(100)
    # Whoever took is no reader any more: nobody would be waited for.
    unread.inbox._reader = None
    await has_grace(unread, inbox, clock)


async def test_a_buffer_that_another_association_fills_after_one_has_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    unread, inbox = full()
    await begun(unread, inbox)
    other = Unread(asyncio.get_running_loop(), SIZE)
    unread.move(1, other)
    assert (unread.size, other.full) == (0, True)
    unread.put(message(association_id=2))
    clock.forward(100)
    await has_grace(unread, inbox, clock)


async def refused(task: asyncio.Task[None], clock: Clock) -> ReceiveBufferFullError:
    """Look that a wait which has begun its grace is refused after it."""
    await turns()
    assert not task.done()
    clock.forward(2 * STARVED_AFTER)
    with pytest.raises(ReceiveBufferFullError) as caught:
        await within(task)
    return caught.value


async def goes_on(task: asyncio.Task[None], inbox: Inbox, clock: Clock) -> None:
    """Look that a wait goes on however long it takes and however often it looks."""
    for _ in range(2):
        await turns()
        clock.forward(2 * STARVED_AFTER)
        inbox.waiters.wake_all()
    await turns()
    assert not task.done()


async def test_the_error_names_the_streams_that_fill_the_buffer_and_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    limit = 3 * (SIZE + MESSAGE_OVERHEAD)
    unread = Unread(asyncio.get_running_loop(), limit)
    unread.claim(5)
    empty = unread.claim(7)
    for stream in (9, 5, 2):
        unread.put(message(stream=stream))
    error = await refused(waiting(unread, empty), clock)
    assert (error.streams, error.limit) == ((2, 5, 9), limit)


async def test_who_waits_for_no_stream_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    unread, empty = full()
    waiters = Waiters(unread.loop)

    async def wait() -> None:
        while True:
            await unread.wait(waiters, lambda: False)

    task, other = asyncio.create_task(wait()), waiting(unread, empty)
    await refused(task, clock)
    with pytest.raises(ReceiveBufferFullError):
        await within(other)


async def test_a_wait_goes_on_while_a_task_waits_where_the_messages_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    unread, empty = full()
    attending = asyncio.create_task(unread.inbox.waiters.wait(lambda: False))
    await turns()
    task = waiting(unread, empty)
    await goes_on(task, empty, clock)
    attending.cancel()
    await turns()
    empty.waiters.wake_all()
    await refused(task, clock)


async def test_a_wait_goes_on_while_the_one_that_reads_the_messages_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    unread, empty = full()
    leave = asyncio.Event()

    async def read() -> None:
        unread.take(unread.inbox)
        unread.put(message())
        await leave.wait()

    reader = asyncio.create_task(read())
    await turns()
    given_up, task = waiting(unread, empty), waiting(unread, empty)
    await goes_on(task, empty, clock)
    given_up.cancel()
    await turns()
    # One of `task`, and nothing is left of the other.
    assert len(reader._callbacks) == 1
    leave.set()
    await reader
    await refused(task, clock)


async def test_those_who_read_and_wait_themselves_do_not_help_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    unread, empty = full()

    async def read() -> None:
        unread.take(unread.inbox)
        unread.put(message())
        await waiting_here(unread, empty)

    reader = asyncio.create_task(read())
    await turns()
    other = waiting(unread, unread.claim(8))
    await refused(reader, clock)
    with pytest.raises(ReceiveBufferFullError):
        await within(other)


async def test_who_has_messages_of_its_own_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    unread, _ = full()
    task = asyncio.create_task(unread.wait(unread.inbox.waiters, lambda: False, unread.inbox))
    await turns()
    clock.forward(2 * STARVED_AFTER)
    await turns()
    # Woken once, as it would be to take one.
    assert not task.done()
    unread.inbox.waiters.wake()
    await within(task)
