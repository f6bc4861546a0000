"""Many over a scripted stack: who gets what, whatever the stack tells, and in whatever order."""

import asyncio
import errno
import gc
import logging
import os
import random
import struct
import warnings
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import pytest

from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationError,
    AssociationLostError,
    AssociationState,
    ClosedError,
    Conn,
    EndOfAssociation,
    ErrorCause,
    Event,
    InitMsg,
    Listener,
    MessageTooLargeError,
    Option,
    PartialDelivery,
    PartialDeliveryState,
    PathState,
    PeerAddressInfo,
    ProtocolState,
    ReceiveBuffer,
    RtoInfo,
    Scope,
    SendBuffer,
    SenderDry,
    ShutdownEvent,
    Status,
    UnknownEvent,
)
from sctpio import _many as many_module
from sctpio._codec import MSG_EOR, MSG_NOTIFICATION, Codec
from sctpio._events import EventHub
from sctpio._many import Many
from sctpio._opening import Settings
from sctpio.stacks.base import MORE, Batch, Outgoing, RawRecord, SendExtras, Stack, StackSocket
from support import settled, until

# What a batch has is told exactly.
pytestmark = pytest.mark.usefixtures("full_batches")

T = TypeVar("T", bound=Option)

HERE = Address("127.0.0.1", 5000)
PEER = Address("127.0.0.1", 6000)


class Script:
    """A one-to-many socket whose associations do what the test says.

    `log` is what went down to the stack. `alive` are the associations that the stack has: it refuses calls
    for others, as the kernel does. What the test puts in is read through the loop, by a pipe.
    """

    codec = Codec()

    def __init__(self) -> None:
        self.shares_send_buffer = True
        self.log: list[tuple[Any, ...]] = []
        self.alive: dict[int, Address] = {}
        self.options: dict[type[Option], Option] = {
            InitMsg: InitMsg(10, 10, 8, 60.0),
            RtoInfo: RtoInfo(3.0, 60.0, 1.0),
            SendBuffer: SendBuffer(200_000),
            ReceiveBuffer: ReceiveBuffer(200_000),
        }
        self.has_room = True
        self.connects: deque[int | OSError] = deque()
        self.state = -errno.EAGAIN
        self._queue: deque[tuple[bytes, int, int, dict[str, int], bytes]] = deque()
        self._pipe = os.pipe()
        for descriptor in self._pipe:
            os.set_blocking(descriptor, False)
        self.closed = False

    # What the test does

    def _put(self, data: bytes, flags: int, identifier: int, fields: dict[str, int], source: bytes) -> None:
        if not self._queue:
            os.write(self._pipe[1], b"x")
        self._queue.append((data, flags, identifier, fields, source))

    @property
    def unread(self) -> int:
        return len(self._queue)

    def data(self, identifier: int, data: bytes, *, complete: bool = True, **fields: int) -> None:
        """Queue a message, or a part of one."""
        peer = self.alive.get(identifier, PEER)
        source = self.codec.pack_addresses(Address(peer.hosts[:1], peer.port))
        self._put(data, MSG_EOR if complete else 0, identifier, fields, source)

    def notification(self, data: bytes, *, complete: bool = True, peer: Address = PEER) -> None:
        """Queue the bytes of an event, or some of them."""
        flags = MSG_NOTIFICATION | (MSG_EOR if complete else 0)
        self._put(data, flags, 0, {}, self.codec.pack_addresses(Address(peer.hosts[:1], peer.port)))

    def event(self, event: Event) -> None:
        """Queue an event."""
        identifier = getattr(event, "association_id", 0)
        self.notification(self.codec.encode_event(event), peer=self.alive.get(identifier, PEER))

    def up(self, identifier: int, peer: Address = PEER, *, told: bool = True) -> None:
        """An association comes up."""
        self.alive[identifier] = peer
        if told:
            self.event(change(identifier, AssociationState.COMM_UP))

    def lost(
        self,
        identifier: int,
        *,
        state: AssociationState = AssociationState.COMM_LOST,
        cause: bytes | None = b"",
        told: bool = True,
    ) -> None:
        """An association ends: by an ABORT with this cause, or (None) as nobody answers any more."""
        self.alive.pop(identifier, None)
        if not told:
            return
        if cause is None:
            self.event(change(identifier, state))
        else:
            info = struct.pack("!HH", ErrorCause.USER_INITIATED_ABORT, 4 + len(cause)) + cause
            self.event(change(identifier, state, ErrorCause.USER_INITIATED_ABORT, info))

    def shut(self, identifier: int) -> None:
        """An association ends gracefully."""
        self.alive.pop(identifier, None)
        self.event(change(identifier, AssociationState.SHUTDOWN_COMP))

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        """Give the calls of one name."""
        return [call[1:] for call in self.log if call[0] == name]

    # What Many does

    def fileno(self) -> int:
        return -1 if self.closed else self._pipe[0]

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            for descriptor in self._pipe:
                os.close(descriptor)

    def _check(self, identifier: int, code: int) -> None:
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if identifier not in self.alive:
            raise OSError(code, os.strerror(code))

    def receive(self, room: int, most: int | None = None) -> Batch:
        assert not self.closed
        arena, records = b"", list[RawRecord]()
        while self._queue and len(arena) < room and len(records) < (most or 128):
            data, flags, identifier, fields, source = self._queue.popleft()
            head = (len(arena), len(data), flags, identifier, fields.get("ppid", 0))
            numbers = tuple(fields.get(name, 0) for name in ("tsn", "cumulative_tsn", "context"))
            rest = tuple(fields.get(name, 0) for name in ("stream", "ssn", "flags"))
            record = (*head, *numbers, *rest, len(source), source.ljust(28, b"\0"))
            records.append(cast("RawRecord", record))
            arena += data
            if not self._queue:
                os.read(self._pipe[0], 1)
        return MORE if self._queue else self.state, records, arena

    def listen(self, backlog: int) -> None:
        self.log.append(("listen", backlog))

    def connect(self, remote: Address) -> int:
        self.log.append(("connect", remote))
        answer = self.connects.popleft()
        if isinstance(answer, OSError):
            raise answer
        self.alive[answer] = remote
        return answer

    def send(
        self,
        association_id: int,
        data: bytes,
        stream: int,
        flags: int,
        ppid: int,
        context: int,
        extras: SendExtras | None,
    ) -> bool:
        self.log.append(("send", association_id, bytes(data)))
        self._check(association_id, errno.EPIPE)
        return self.has_room

    def send_batch(self, association_id: int, messages: Sequence[Outgoing]) -> int:
        self.log.append(("send_batch", association_id, [bytes(data) for data, _ in messages]))
        self._check(association_id, errno.EPIPE)
        return len(messages) if self.has_room else 0

    def shutdown(self, association_id: int) -> None:
        self.log.append(("shutdown", association_id))
        self._check(association_id, errno.EPIPE)

    def abort(self, association_id: int, cause: bytes) -> bool:
        self.log.append(("abort", association_id, cause))
        self.alive.pop(association_id, None)
        return True

    def source(self, raw: bytes, association_id: int) -> Address:
        return self.codec.unpack_address(raw)

    def local_addresses(self, association_id: int) -> Address:
        self._check(association_id, errno.EINVAL)
        return HERE

    def peer_addresses(self, association_id: int) -> Address:
        self._check(association_id, errno.EINVAL)
        return self.alive[association_id]

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        self.log.append(("subscribe", kind, on, association_id))
        if association_id not in tuple(Scope):
            self._check(association_id, errno.EINVAL)

    def get_option(self, kind: type[T], association_id: int, address: Address | None) -> T:
        if association_id not in tuple(Scope):
            self._check(association_id, errno.EINVAL)
        if kind is Status:
            path = PeerAddressInfo(PEER, PathState.ACTIVE, 4380, 0.0, 3.0, 1500)
            status = Status(ProtocolState.ESTABLISHED, 1, 0, 0, 7, 8, 1400, path, association_id)
            return cast("T", status)
        return cast("T", self.options[kind])

    def set_option(self, value: Option, association_id: int) -> None:
        self.log.append(("set_option", value, association_id))
        self._check(association_id, errno.EINVAL)


def change(
    identifier: int,
    state: AssociationState,
    error: ErrorCause = ErrorCause.NO_ERROR,
    info: bytes = b"",
) -> AssociationChange:
    return AssociationChange(state, error, 10, 10, identifier, info)


class Bench:
    """A listener on a script."""

    def __init__(self, *, backlog: int, abort_slow: bool, receive_buffer: int, max_message_size: int) -> None:
        loop = asyncio.get_running_loop()
        self.script = Script()
        self.hub = EventHub(loop)
        settings = Settings(None, (), (), cast("Stack", None), receive_buffer, max_message_size)
        self.many = Many(
            cast("StackSocket", self.script),
            loop,
            hub=self.hub,
            new_association=lambda: settings.new_association(self.hub),
            most_waiting=backlog,
            abort_slow=abort_slow,
        )
        self.many.start()
        self.conns: list[Conn] = []
        self.listener = Listener(self.many, settings, HERE, self.hub)

    async def accept(self, *, keep: bool = True) -> Conn:
        """Take an association; it is held until the end, else the test may forget it."""
        async with asyncio.timeout(10):
            conn = await self.listener.accept()
        if keep:
            self.conns.append(conn)
        return conn

    async def new(self, identifier: int, *, keep: bool = True) -> Conn:
        """Let an association come up, and take it."""
        self.script.up(identifier)
        conn = await self.accept(keep=keep)
        assert conn.association_id == identifier
        return conn

    async def read(self) -> None:
        """Wait until all is read, and those who were woken have run."""
        await until(lambda: not self.script.unread)
        for _ in range(3):
            await asyncio.sleep(0)


@asynccontextmanager
async def opened(
    *,
    backlog: int = 100,
    abort_slow: bool = False,
    receive_buffer: int = 100_000,
    max_message_size: int = 1_000_000,
) -> AsyncIterator[Bench]:
    """Open a listener on a script; at the end no descriptor is left, whatever the test left."""
    bench = Bench(
        backlog=backlog,
        abort_slow=abort_slow,
        receive_buffer=receive_buffer,
        max_message_size=max_message_size,
    )
    try:
        yield bench
    finally:
        await bench.listener.close()
        for link in list(bench.many.members.values()):
            link.abort()
        for conn in bench.conns:
            await conn.abort()
    assert bench.script.closed


async def ended(conn: Conn, kind: type[Exception]) -> Exception:
    """Every call says how it ended, and nothing goes down to the stack: the number may be another's."""
    script = cast("Script", conn._raw)
    before = list(script.log)
    waiting: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        conn.receive,
        lambda: conn.send(b"stale"),
        lambda: conn.send_many([b"stale", b"stale"]),
        lambda: conn.stream(1).send(b"stale"),
        conn.stream(2).receive,
        conn.flush,
        conn.peel_off,
    ]
    for call in waiting * 2:
        with pytest.raises(kind) as caught:
            async with asyncio.timeout(10):
                await call()
        assert type(caught.value) is kind
    for query in (
        conn.status,
        lambda: conn.set_option(RtoInfo(initial=1.0)),
        lambda: conn.get_option(RtoInfo),
    ):
        with pytest.raises(kind):
            query()
    assert [event async for event in conn.events(SenderDry)] == []
    assert conn.peer_addresses == PEER
    await conn.wait_closed()
    await conn.close()
    await conn.abort(b"stale")
    assert (conn.is_closed, conn.fileno()) == (True, -1)
    assert script.log == before
    return caught.value


# Who gets what


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
        await ended(three, MessageTooLargeError)
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


# Numbers that are given again


async def test_a_number_given_again_belongs_to_the_successor_alone() -> None:
    async with opened() as bench:
        old = await bench.new(5, keep=False)
        # All of it in one batch.
        bench.script.data(5, b"for the old")
        bench.script.data(5, b"half for the old", complete=False)
        bench.script.lost(5, cause=b"why")
        bench.script.up(5)
        bench.script.data(5, b"for the new")
        new = await bench.accept()
        assert [message.data for message in await new.receive_many()] == [b"for the new"]
        assert (await old.receive()).data == b"for the old"
        error = await ended(old, AssociationAbortedError)
        assert isinstance(error, AssociationAbortedError)
        assert (error.cause, error.error) == (b"why", ErrorCause.USER_INITIATED_ABORT)
        # Nothing of that touched the new one, nor does the end of the old object.
        del old
        gc.collect()
        await new.send(b"alive")
        bench.script.data(5, b"more")
        assert (await new.receive()).data == b"more"
        assert bench.script.calls("send") == [(5, b"alive")]
        assert not bench.script.calls("abort") + bench.script.calls("shutdown")


async def test_waiting_tasks_of_the_old_end_and_those_of_the_new_go_on() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.has_room = False
        waiting = [
            asyncio.create_task(call)
            for call in (
                old.receive(),
                old.stream(1).receive(),
                old.send(b"x"),
                old.flush(),
                old.receive_many(),
            )
        ]
        events = asyncio.create_task(_all(old.events(AssociationChange)))
        closed = asyncio.create_task(old.wait_closed())
        await until(lambda: old.statistics().waiting_senders == 1)
        bench.script.lost(5)
        bench.script.up(5)
        new = await bench.accept()
        for task in waiting:
            with pytest.raises(AssociationAbortedError):
                await task
        await closed
        assert [event.state for event in await events] == [AssociationState.COMM_LOST]
        sender = asyncio.create_task(new.send(b"x"))
        receiver = asyncio.create_task(new.receive())
        await until(lambda: new.statistics().waiting_senders == 1)
        bench.script.has_room = True
        bench.script.event(SenderDry(5))
        bench.script.data(5, b"y")
        async with asyncio.timeout(10):
            await sender
            assert (await receiver).data == b"y"


async def _all(events: Any) -> list[Any]:
    return [event async for event in events]


async def test_an_end_that_was_never_told_is_seen_when_the_number_is_given_again() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        receiver = asyncio.create_task(old.receive())
        await asyncio.sleep(0)
        bench.script.data(5, b"half", complete=False)
        bench.script.lost(5, told=False)
        bench.script.up(5)
        bench.script.data(5, b"for the new")
        new = await bench.accept()
        assert (await new.receive()).data == b"for the new"
        with pytest.raises(AssociationLostError):
            await receiver
        await ended(old, AssociationLostError)
        await new.send(b"alive")


async def test_an_end_that_was_never_told_ends_a_close_that_waits_for_it() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        closing = asyncio.create_task(old.close())
        await until(lambda: bench.script.calls("shutdown") == [(5,)])
        bench.script.lost(5, told=False)
        new = await bench.new(5)
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(10):
                await closing
        await ended(old, ClosedError)
        await new.send(b"alive")


async def test_our_own_association_with_a_number_whose_end_was_never_told() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        receiver = asyncio.create_task(old.receive())
        await asyncio.sleep(0)
        bench.script.lost(5, told=False)
        bench.script.connects.append(5)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        bench.script.up(5)
        new = await connecting
        bench.script.data(5, b"for the new")
        assert (await new.receive()).data == b"for the new"
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(1):
                await receiver
        await ended(old, AssociationLostError)
        await new.send(b"alive")


async def test_data_of_a_number_that_the_stack_does_not_have_reaches_nobody() -> None:
    async with opened() as bench:
        three = await bench.new(3)
        bench.script.data(99, b"whose is this")
        bench.script.data(99, b"and this", complete=False)
        bench.script.data(3, b"mine")
        assert (await three.receive()).data == b"mine"
        await bench.read()
        statistics = bench.listener.statistics()
        assert (statistics.associations, statistics.unaccepted, statistics.unread_messages) == (1, 0, 0)


async def test_data_of_an_association_whose_begin_was_not_told_begins_it() -> None:
    async with opened() as bench:
        bench.script.up(8, Address("10.0.0.8", 88), told=False)
        bench.script.data(8, b"first", stream=3)
        bench.script.data(8, b"second")
        conn = await bench.accept()
        assert [message.data for message in await conn.receive_many()] == [b"first", b"second"]
        assert (conn.association_id, conn.outbound_streams, conn.inbound_streams) == (8, 8, 7)
        assert conn.peer_addresses == Address("10.0.0.8", 88)
        await conn.send(b"answer")
        bench.script.shut(8)
        await conn.wait_closed()


async def test_what_is_left_of_an_association_that_was_aborted_here_reaches_nobody() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.data(5, b"unread")
        bench.script.data(5, b"half", complete=False)
        await until(lambda: not bench.script.unread)
        bench.script.data(5, b"left over")
        await old.abort(b"enough")
        bench.script.data(5, b"left over too")
        bench.script.event(ShutdownEvent(5))
        bench.script.lost(5)
        new = await bench.new(5)
        bench.script.data(5, b"for the new")
        assert [message.data for message in await new.receive_many()] == [b"for the new"]
        await ended(old, ClosedError)
        assert bench.script.calls("abort") == [(5, b"enough")]


async def test_a_successor_whose_begin_was_not_told_after_an_end_that_was_not_either() -> None:
    """Out of memory, a stack may lose both events; its refusal to send is then all that we have."""
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.lost(5, told=False)
        with pytest.raises(AssociationLostError):
            await old.send(b"x")
        bench.script.up(5, told=False)
        bench.script.data(5, b"for the new")
        await bench.read()
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(1):
                await old.receive()
        new = await bench.accept()
        assert (await new.receive()).data == b"for the new"


async def test_what_the_stack_says_of_a_send_ends_the_association_as_its_event_tells() -> None:
    async with opened() as bench:
        three, four = await bench.new(3), await bench.new(4)
        bench.script.data(3, b"unread")
        bench.script.lost(3, cause=b"the event is not read yet")
        for _ in range(2):
            with pytest.raises(AssociationAbortedError) as caught:
                await three.send(b"x")
            assert caught.value.cause == b"the event is not read yet"
        assert (await three.receive()).data == b"unread"
        await ended(three, AssociationAbortedError)
        await four.send(b"alive")


async def test_a_send_that_would_have_to_wait_says_how_the_association_ended() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        # More than its part of the buffer is under way: the next one waits, without asking the stack.
        await conn.send(bytes(60_000))
        bench.script.lost(3, cause=b"not read yet")
        with pytest.raises(AssociationAbortedError) as caught:
            async with asyncio.timeout(10):
                await conn.send(bytes(60_000))
        assert caught.value.cause == b"not read yet"
        await ended(conn, AssociationAbortedError)


async def test_flush_says_how_the_association_ended() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        await conn.send(b"x")
        bench.script.lost(3, cause=b"not read yet")
        with pytest.raises(AssociationAbortedError):
            await conn.flush()


# Events


async def test_events_go_to_their_association_and_to_the_listener() -> None:
    async with opened() as bench:
        all_of_them = bench.listener.events(AssociationChange, SenderDry, ShutdownEvent)
        three, four = await bench.new(3), await bench.new(4)
        of_three = three.events(SenderDry, ShutdownEvent)
        bench.script.event(SenderDry(4))
        bench.script.event(SenderDry(3))
        bench.script.event(ShutdownEvent(3))
        bench.script.shut(3)
        bench.script.event(SenderDry(99))
        await three.wait_closed()
        assert await _all(of_three) == [SenderDry(3), ShutdownEvent(3)]
        await bench.read()
        seen = [await anext(all_of_them) for _ in range(7)]
        up, end = AssociationState.COMM_UP, AssociationState.SHUTDOWN_COMP
        expected = [change(3, up), change(4, up), SenderDry(4), SenderDry(3)]
        assert seen == [*expected, ShutdownEvent(3), change(3, end), SenderDry(99)]
        assert not four.is_closed


async def test_an_event_that_nobody_knows_is_for_the_listener() -> None:
    async with opened() as bench:
        events = bench.listener.events()
        conn = await bench.new(3)
        mine = conn.events()
        await anext(events)
        unknown = struct.pack("=HHI", 0x80FF, 7, 12) + b"\3\0\0\0"
        bench.script.notification(unknown)
        bench.script.notification(b"\1")
        bench.script.data(3, b"goes on")
        assert (await conn.receive()).data == b"goes on"
        assert await anext(events) == UnknownEvent(0x80FF, 7, unknown)
        assert await anext(events) == UnknownEvent(0, 0, b"\1")
        bench.script.shut(3)
        assert await _all(mine) == [change(3, AssociationState.SHUTDOWN_COMP)]


@pytest.mark.parametrize("size", [1, 3, 19])
async def test_an_event_that_comes_in_parts_is_joined(size: int) -> None:
    async with opened() as bench:
        one, two = (bench.script.codec.encode_event(change(n, AssociationState.COMM_UP)) for n in (3, 4))
        bench.script.alive |= {3: PEER, 4: PEER}
        for data in (one, two):
            pieces = [data[place : place + size] for place in range(0, len(data), size)]
            for number, piece in enumerate(pieces, 1):
                bench.script.notification(piece, complete=number == len(pieces))
        bench.script.data(3, b"x")
        three, four = await bench.accept(), await bench.accept()
        assert (three.association_id, four.association_id) == (3, 4)
        assert (await three.receive()).data == b"x"


async def test_an_event_without_an_end_is_cut_off() -> None:
    async with opened() as bench:
        events = bench.listener.events(UnknownEvent)
        for _ in range(5):
            bench.script.notification(b"\0" * 60_000, complete=False)
        event = await anext(events)
        assert isinstance(event, UnknownEvent)
        assert len(event.raw) == 300_000
        assert (await bench.new(3)).association_id == 3


async def test_a_restart_of_the_peer_leaves_the_association_and_forgets_parts() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.data(3, b"half", complete=False)
        bench.script.event(change(3, AssociationState.RESTART))
        bench.script.data(3, b"whole")
        assert (await conn.receive()).data == b"whole"
        assert bench.listener.statistics().unaccepted == 0


# Accepting and closing


async def test_more_than_wait_to_be_accepted_are_aborted_and_counted() -> None:
    async with opened(backlog=2) as bench:
        for identifier in (3, 4, 5, 6):
            bench.script.up(identifier)
            bench.script.data(identifier, b"%d" % identifier)
        await bench.read()
        assert bench.script.calls("abort") == [(5, b"not accepted"), (6, b"not accepted")]
        statistics = bench.listener.statistics()
        assert (statistics.unaccepted, statistics.refused, statistics.associations) == (2, 2, 2)
        bench.script.lost(5)
        bench.script.lost(6)
        for identifier in (3, 4):
            assert (await (await bench.accept()).receive()).data == b"%d" % identifier
        # There is room again.
        assert (await bench.new(7)).association_id == 7
        assert bench.listener.statistics().refused == 2


async def test_an_association_that_ended_before_it_was_accepted_gives_what_it_had() -> None:
    async with opened() as bench:
        bench.script.up(3)
        bench.script.data(3, b"early")
        bench.script.shut(3)
        bench.script.up(3)
        bench.script.data(3, b"its successor")
        await bench.read()
        first, second = await bench.accept(), await bench.accept()
        assert (await first.receive()).data == b"early"
        await ended(first, EndOfAssociation)
        assert (await second.receive()).data == b"its successor"


async def test_an_accept_that_was_overtaken_keeps_its_place() -> None:
    async with opened() as bench:
        first, second = (asyncio.create_task(bench.listener.accept()) for _ in range(2))
        await until(lambda: len(bench.many._accepting) == 2)
        bench.script.up(3)
        # The event is read, and the task that it wakes has not run.
        bench.many.read_now()
        overtaking = await bench.accept()
        await asyncio.sleep(0)
        bench.script.up(4)
        bench.script.up(5)
        for identifier, task in ((4, first), (5, second)):
            bench.conns.append(await task)
            assert bench.conns[-1].association_id == identifier
        assert overtaking.association_id == 3


async def test_closing_aborts_who_was_not_accepted_and_who_comes_later() -> None:
    async with opened() as bench:
        taken = await bench.new(3)
        accepting = [asyncio.create_task(bench.listener.accept()) for _ in range(3)]
        await asyncio.sleep(0)
        await bench.listener.close()
        for task in accepting:
            with pytest.raises(ClosedError):
                await task
        assert bench.script.calls("listen") == [(0,)]
        assert bench.script.calls("abort") == []
        # One whose COMM_UP was on its way.
        bench.script.up(6)
        bench.script.data(6, b"for nobody")
        bench.script.data(3, b"still served")
        assert (await taken.receive()).data == b"still served"
        assert bench.script.calls("abort") == [(6, b"not accepted")]
        assert bench.listener.statistics().refused == 1
        assert bench.listener.fileno() == -1
        assert taken.fileno() == bench.script.fileno() >= 0


async def test_closing_aborts_all_that_wait() -> None:
    async with opened() as bench:
        for identifier in (3, 4, 5):
            bench.script.up(identifier)
        await bench.read()
        await bench.listener.close()
        assert bench.script.calls("abort") == [(identifier, b"not accepted") for identifier in (3, 4, 5)]
        # Nobody is left: the descriptor is gone.
        assert bench.script.closed
        with pytest.raises(ClosedError):
            await bench.listener.accept()
        with pytest.raises(ClosedError):
            await bench.listener.connect(PEER)
        with pytest.raises(ClosedError):
            await bench.listener.broadcast(b"x")


@pytest.mark.parametrize("how", ["shut", "lost", "aborted here", "closed here"])
async def test_the_descriptor_goes_with_the_last_association(how: str) -> None:
    async with opened() as bench:
        first, last = await bench.new(3), await bench.new(4)
        await bench.listener.close()
        bench.script.shut(3)
        await first.wait_closed()
        assert not bench.script.closed
        match how:
            case "shut":
                bench.script.shut(4)
            case "lost":
                bench.script.lost(4)
            case "aborted here":
                await last.abort()
            case "closed here":
                closing = asyncio.create_task(last.close())
                await until(lambda: bench.script.calls("shutdown") == [(4,)])
                assert not bench.script.closed
                bench.script.shut(4)
                await closing
        await last.wait_closed()
        await until(lambda: bench.script.closed)
        assert (first.fileno(), last.fileno()) == (-1, -1)
        assert last.statistics().messages_sent == 0


async def test_what_follows_in_a_batch_that_ended_the_last_association_is_nobodys() -> None:
    async with opened() as bench:
        await bench.new(3)
        await bench.listener.close()
        bench.script.shut(3)
        bench.script.up(4)
        bench.script.data(4, b"x")
        bench.script.data(3, b"y")
        bench.script.event(SenderDry(4))
        await until(lambda: bench.script.closed)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_a_forgotten_association_is_shut_down_and_its_messages_dropped() -> None:
    async with opened() as bench:
        conn = await bench.new(3, keep=False)
        other = await bench.new(4)
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Conn open association=3"):
            del conn
            gc.collect()
        assert bench.script.calls("shutdown") == [(3,)]
        bench.script.data(3, b"for nobody")
        bench.script.data(4, b"mine")
        assert (await other.receive()).data == b"mine"
        assert bench.listener.statistics().unread_messages == 0
        link = weakref.ref(bench.many.members[3])
        bench.script.shut(3)
        await bench.read()
        gc.collect()
        assert link() is None


async def test_a_forgotten_association_does_not_hold_the_descriptor() -> None:
    async with opened() as bench:
        conn = await bench.new(3, keep=False)
        await bench.listener.close()
        with pytest.warns(ResourceWarning):
            del conn
            gc.collect()
        assert bench.script.calls("shutdown") == [(3,)]
        assert bench.script.closed


async def test_a_forgotten_successor_does_not_hold_the_descriptor_when_the_old_is_closed() -> None:
    async with opened() as bench:
        old = await bench.new(5)
        bench.script.lost(5)
        new = await bench.new(5, keep=False)
        with pytest.warns(ResourceWarning):
            del new
            gc.collect()
        await old.close()
        await bench.listener.close()
        assert bench.script.closed


async def test_a_forgotten_listener_lets_its_associations_live() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.up(4)
        await bench.read()
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Listener open"):
            del bench.listener
            gc.collect()
        assert bench.script.calls("listen") == [(0,)]
        assert bench.script.calls("abort") == [(4, b"not accepted")]
        bench.script.data(3, b"x")
        assert (await conn.receive()).data == b"x"
        bench.listener = Listener(
            bench.many, Settings(None, (), (), cast("Stack", None), 1, 1), HERE, bench.hub
        )


async def test_nothing_is_kept_of_associations_that_have_ended() -> None:
    async with opened() as bench:
        references = []
        for identifier in range(3, 30):
            conn = await bench.new(identifier, keep=False)
            references.append(weakref.ref(conn._association))
            bench.script.has_room = False
            sender = asyncio.create_task(conn.send(b"x"))
            await until(lambda conn=conn: conn.statistics().waiting_senders == 1)  # type: ignore[misc]
            bench.script.data(identifier, b"unread")
            if identifier % 3:
                bench.script.lost(identifier)
            else:
                bench.script.shut(identifier)
            await asyncio.gather(sender, return_exceptions=True)
            del conn, sender
        # The loop itself lets go of the last exception, with its frames, one turn later.
        await bench.read()
        gc.collect()
        assert [reference() for reference in references if reference() is not None] == []
        assert bench.many.members == {}


# Associations that we begin


async def test_connect_gives_an_association_like_any_other() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        await asyncio.sleep(0)
        assert bench.listener.statistics().associations == 0
        bench.script.up(9)
        bench.script.data(9, b"hello")
        conn = await connecting
        assert (conn.association_id, conn.outbound_streams) == (9, 10)
        assert (await conn.receive()).data == b"hello"
        assert bench.listener.statistics().unaccepted == 0


@pytest.mark.parametrize(
    ("cause", "quick", "kind"),
    [
        (b"no", True, ConnectionRefusedError),
        (None, False, ConnectionRefusedError),
        (None, True, TimeoutError),
    ],
)
async def test_a_connect_that_fails_says_why(cause: bytes | None, quick: bool, kind: type[OSError]) -> None:
    """Without a cause only the time that it took tells a refusal from silence."""
    async with opened() as bench:
        if quick:
            bench.script.options[InitMsg] = InitMsg(10, 10, 1, 0.001)
            bench.script.options[RtoInfo] = RtoInfo(0.001, 1.0, 0.001)
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        await asyncio.sleep(0.01)
        bench.script.lost(9, state=AssociationState.CANT_STR_ASSOC, cause=cause)
        with pytest.raises(kind) as caught:
            await connecting
        assert not isinstance(caught.value, AssociationError)
        assert bench.many.members == {}
        # The number is free again.
        assert (await bench.new(9)).association_id == 9


async def test_a_connect_that_the_stack_refuses_leaves_nothing() -> None:
    async with opened() as bench:
        bench.script.connects.append(OSError(errno.EISCONN, "connected already"))
        with pytest.raises(OSError, match="connected already"):
            await bench.listener.connect(PEER)
        assert bench.many.members == {}


async def test_the_loss_of_an_association_that_we_began_is_no_refusal() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        bench.script.up(9)
        conn = await connecting
        # No path answers any more: no cause, no error.
        bench.script.lost(9, cause=None)
        with pytest.raises(AssociationLostError) as caught:
            await conn.receive()
        assert caught.value.errno == errno.ETIMEDOUT


async def test_a_connect_cancelled_while_it_waits_stops_it() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: bool(bench.script.calls("connect")))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert bench.script.calls("abort") == [(9, b"")]
        bench.script.lost(9, state=AssociationState.CANT_STR_ASSOC)
        await bench.read()
        assert bench.many.members == {}


async def test_a_connect_cancelled_at_any_turn_leaves_no_association_without_an_owner() -> None:
    for turns in range(12):
        async with opened() as bench:
            bench.script.connects.append(9)
            connecting = asyncio.create_task(bench.listener.connect(PEER))
            await until(lambda bench=bench: bool(bench.script.calls("connect")))  # type: ignore[misc]
            bench.script.up(9)
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            try:
                conn = await connecting
            except asyncio.CancelledError:
                await bench.read()
                assert bench.script.calls("abort") == [(9, b"")], turns
            else:
                await conn.send(b"x")
                await conn.abort()


async def test_a_connect_cancelled_as_it_comes_up_leaves_no_association_without_an_owner() -> None:
    async with opened() as bench:
        bench.script.connects.append(9)
        connecting = asyncio.create_task(bench.listener.connect(PEER))
        await until(lambda: 9 in bench.many.members)
        await asyncio.sleep(0)
        bench.script.up(9)
        # The event is read, and the task that it wakes has not run.
        bench.many.read_now()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert bench.script.calls("abort") == [(9, b"")]


# Slow readers


async def test_one_full_association_pauses_all_and_reading_it_resumes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(many_module, "LONG_PAUSE", 0.01)
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        statistics = bench.listener.statistics()
        assert (statistics.paused_by, statistics.pauses) == ((3,), 1)
        assert slow.statistics().reading_paused
        assert other.statistics().reading_paused
        for _ in range(50):
            bench.script.data(3, bytes(100))
            bench.script.data(4, b"x")
        await settled(lambda: bench.script.unread)
        # Nothing more is taken, and that is told.
        assert bench.script.unread == 100
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert "unread of 3" in record.message
        await slow.receive()
        await until(lambda: bench.listener.statistics().pauses == 2)
        received = 0
        while received < 50:
            received += len(await slow.receive_many())
        assert len(await other.receive_many()) == 50
        assert bench.listener.statistics().paused_by == ()
        assert not other.statistics().reading_paused


async def test_reading_goes_on_only_when_nobody_is_full_any_more() -> None:
    async with opened(receive_buffer=1_000) as bench:
        conns = [await bench.new(identifier) for identifier in (3, 4, 5)]
        for identifier in (3, 4):
            bench.script.data(identifier, bytes(1_000))
        bench.script.data(5, b"small")
        await until(lambda: bench.listener.statistics().paused_by == (3, 4))
        bench.script.data(5, b"later")
        await conns[0].receive()
        assert bench.listener.statistics().paused_by == (4,)
        assert bench.script.unread == 1
        await conns[1].receive()
        assert not bench.listener.statistics().reading_paused
        await bench.read()
        assert [message.data for message in await conns[2].receive_many()] == [b"small", b"later"]


@pytest.mark.parametrize("how", ["abort", "close", "forget"])
async def test_ending_the_slow_association_lets_the_others_go_on(how: str) -> None:
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3, keep=False), await bench.new(4)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().paused_by == (3,))
        bench.script.data(4, b"x")
        closing = None
        match how:
            case "abort":
                await slow.abort()
            case "close":
                closing = asyncio.create_task(slow.close())
            case "forget":
                with pytest.warns(ResourceWarning):
                    del slow
                    gc.collect()
        assert (await other.receive()).data == b"x"
        assert bench.listener.statistics().paused_by == ()
        if closing is not None:
            bench.script.shut(3)
            await closing


async def test_a_pause_does_not_warn_when_it_was_short(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(many_module, "LONG_PAUSE", 0.05)
    async with opened(receive_buffer=1_000) as bench:
        slow = await bench.new(3)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        await slow.receive()
        await asyncio.sleep(0.1)
        assert caplog.records == []
        # Nor after the end of the listener.
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        await bench.listener.close()
        await slow.abort()
        assert bench.script.closed
        await asyncio.sleep(0.1)
        assert caplog.records == []


async def test_a_slow_association_is_aborted_and_keeps_what_it_had() -> None:
    async with opened(receive_buffer=2_000, abort_slow=True) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        for number in range(5):
            bench.script.data(3, b"%d" % number + bytes(300))
            bench.script.data(4, b"%d" % number)
        await until(lambda: bench.script.calls("abort") == [(3, b"slow reader")])
        bench.script.data(3, b"late")
        bench.script.lost(3)
        bench.script.data(4, b"5")
        received = [message.data[:1] for message in await slow.receive_many()]
        assert received in ([b"0", b"1", b"2", b"3"], [b"0", b"1", b"2", b"3", b"4"])
        error = await ended(slow, AssociationAbortedError)
        assert isinstance(error, AssociationAbortedError)
        assert error.cause == b"slow reader"
        await bench.read()
        assert [message.data for message in await other.receive_many()] == [b"%d" % n for n in range(6)]
        assert not bench.listener.statistics().reading_paused


async def test_several_slow_associations_are_aborted_at_once() -> None:
    async with opened(receive_buffer=1_000, abort_slow=True) as bench:
        *slow, other = [await bench.new(identifier) for identifier in (3, 4, 5, 6)]
        for identifier in (3, 4, 5):
            bench.script.data(identifier, bytes(1_000))
        bench.script.data(6, b"x")
        await until(lambda: len(bench.script.calls("abort")) == 3)
        for conn in slow:
            assert len((await conn.receive()).data) == 1_000
            with pytest.raises(AssociationAbortedError):
                await conn.receive()
        assert (await other.receive()).data == b"x"
        await other.send(b"alive")


async def test_who_takes_its_messages_at_once_is_not_slow() -> None:
    async with opened(receive_buffer=1_000, abort_slow=True) as bench:
        conn = await bench.new(3)
        for size in (1_000, 5_000, 100):
            receiver = asyncio.create_task(conn.receive())
            await asyncio.sleep(0)
            bench.script.data(3, bytes(size - 50), complete=False)
            bench.script.data(3, bytes(50))
            async with asyncio.timeout(10):
                assert len((await receiver).data) == size
            await bench.read()
            assert bench.script.calls("abort") == []
        await conn.send(b"alive")


@pytest.mark.parametrize("how", ["abort", "close", "read"])
async def test_a_flush_that_waits_for_the_end_of_a_pause_ends_with_its_association(how: str) -> None:
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        await other.send(b"x")
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        flushing = asyncio.create_task(other.flush())
        await until(lambda: len(bench.many.resumed) == 1)
        closing = None
        match how:
            case "abort":
                await other.abort()
            case "close":
                closing = asyncio.create_task(other.close())
            case "read":
                await slow.receive()
                await until(lambda: (SenderDry, True, 4) in bench.script.calls("subscribe"))
                bench.script.event(SenderDry(4))
        async with asyncio.timeout(5):
            if how == "read":
                await flushing
            else:
                with pytest.raises(ClosedError):
                    await flushing
        assert bench.listener.statistics().reading_paused == (how != "read")
        if closing is not None:
            await slow.receive()
            bench.script.shut(4)
            await closing


async def test_one_that_nobody_has_accepted_yet_counts_too() -> None:
    async with opened(receive_buffer=1_000) as bench:
        other = await bench.new(3)
        bench.script.up(4)
        bench.script.data(4, bytes(1_000))
        await until(lambda: bench.listener.statistics().paused_by == (4,))
        bench.script.data(3, b"x")
        late = await bench.accept()
        await late.receive()
        assert (await other.receive()).data == b"x"


# Waiting for room


async def test_senders_wait_and_are_told_by_their_own_acknowledgement() -> None:
    async with opened() as bench:
        one, two = await bench.new(3), await bench.new(4)
        bench.script.has_room = False
        first, second = asyncio.create_task(one.send(b"1")), asyncio.create_task(two.send(b"2"))
        await until(lambda: bench.listener.statistics().waiting_senders == 2)
        assert bench.script.calls("subscribe") == [(SenderDry, True, 3), (SenderDry, True, 4)]
        bench.script.has_room = True
        bench.script.event(SenderDry(4))
        async with asyncio.timeout(10):
            await asyncio.gather(first, second)
        await bench.read()
        after = bench.script.calls("subscribe")[2:]
        assert sorted(after, key=lambda call: call[2]) == [(SenderDry, False, 3), (SenderDry, False, 4)]
        assert bench.listener.statistics().waiting_senders == 0


async def test_a_cancelled_sender_has_sent_nothing_and_the_next_goes() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.has_room = False
        senders = [asyncio.create_task(conn.send(b"%d" % number)) for number in range(3)]
        await until(lambda: conn.statistics().waiting_senders == 3)
        senders[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await senders[0]
        bench.script.has_room = True
        bench.script.log.clear()
        async with asyncio.timeout(10):
            await asyncio.gather(*senders[1:])
        assert bench.script.calls("send") == [(3, b"1"), (3, b"2")]


async def test_senders_of_one_association_keep_their_turns_however_often_they_are_woken() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.has_room = False
        senders = [asyncio.create_task(conn.send(b"%d" % number)) for number in range(5)]
        await until(lambda: conn.statistics().waiting_senders == 5)
        for _ in range(3):
            # An acknowledgement and two looks, before any of those whom they wake has run; all try in vain.
            bench.many._room.look()
            bench.many._room.dry(conn._association)
            bench.many._room.look()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        bench.script.has_room = True
        bench.script.log.clear()
        async with asyncio.timeout(10):
            await asyncio.gather(*senders)
        assert bench.script.calls("send") == [(3, b"%d" % number) for number in range(5)]


async def test_while_reading_is_paused_acknowledgements_are_not_waited_for() -> None:
    async with opened(receive_buffer=1_000) as bench:
        slow, other = await bench.new(3), await bench.new(4)
        bench.script.data(3, bytes(1_000))
        await until(lambda: bench.listener.statistics().reading_paused)
        async with asyncio.timeout(10):
            for _ in range(20):
                await other.send(bytes(50_000))
        await slow.receive()
        # From now on it has to wait for its turn again.
        sender = asyncio.create_task(other.send(bytes(50_000)))
        await until(lambda: other.statistics().waiting_senders == 1)
        bench.script.event(SenderDry(4))
        async with asyncio.timeout(10):
            await sender


# Whatever happens


async def test_an_error_of_the_socket_is_told_and_reading_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.state = -errno.ENOBUFS
        bench.script.data(3, b"1")
        assert (await conn.receive()).data == b"1"
        bench.script.state = -errno.EAGAIN
        bench.script.data(3, b"2")
        assert (await conn.receive()).data == b"2"
        assert "ENOBUFS" in caplog.text


async def test_any_story_keeps_generations_apart() -> None:
    """Few numbers, given again and again; each message says whose it is."""
    chance = random.Random(7)
    async with opened(backlog=4096, receive_buffer=10_000_000) as bench:
        generation: dict[int, int] = {}
        count, expected = 0, dict[int, list[bytes]]()
        for _ in range(1_500):
            identifier = chance.randrange(3, 7)
            mine = generation.get(identifier)
            match chance.randrange(6):
                case 0 if mine is None:
                    bench.script.up(identifier)
                    generation[identifier] = count
                    expected[count] = []
                    count += 1
                case 1 if mine is not None:
                    bench.script.lost(identifier, cause=b"%d" % mine)
                    del generation[identifier]
                case 2 if mine is not None:
                    bench.script.shut(identifier)
                    del generation[identifier]
                case 3 if mine is not None:
                    # Its end is not told; its successor comes at once.
                    bench.script.lost(identifier, told=False)
                    bench.script.up(identifier)
                    generation[identifier] = count
                    expected[count] = []
                    count += 1
                case 4 if mine is not None:
                    bench.script.data(identifier, b"part of %d" % mine, complete=False)
                    bench.script.data(identifier, b", rest")
                    expected[mine].append(b"part of %d, rest" % mine)
                case 5:
                    if mine is None:
                        bench.script.data(99, b"of nobody")
                    else:
                        bench.script.data(identifier, b"%d" % mine, complete=chance.random() < 0.9)
                        if bench.script._queue[-1][1] & MSG_EOR:
                            expected[mine].append(b"%d" % mine)
                        else:
                            bench.script.data(identifier, b"!")
                            expected[mine].append(b"%d!" % mine)
            if chance.random() < 0.1:
                await bench.read()
        await bench.read()
        assert count > 100
        for number in range(count):
            conn = await bench.accept()
            received = []
            while conn.statistics().unread_messages:
                received += [message.data for message in await conn.receive_many()]
            assert received == expected[number]
            if conn.is_closed:
                with pytest.raises((AssociationError, EndOfAssociation)) as caught:
                    await conn.receive()
                if isinstance(caught.value, AssociationAbortedError):
                    assert caught.value.cause == b"%d" % number
            else:
                assert generation[conn.association_id] == number
                await conn.abort()
        assert bench.listener.statistics().unaccepted == 0


async def test_a_loop_that_was_closed_leaves_no_descriptor() -> None:
    script: list[Script] = []

    def run() -> None:
        loop = asyncio.new_event_loop()

        async def begin() -> Bench:
            bench = Bench(backlog=5, abort_slow=False, receive_buffer=1_000, max_message_size=1_000)
            script.append(bench.script)
            await bench.new(3)
            return bench

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            bench = loop.run_until_complete(begin())
            loop.close()
            del bench
            gc.collect()

    await asyncio.to_thread(run)
    assert script[0].closed
