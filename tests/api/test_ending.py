"""How an association ends, what every later call says, and who is woken."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    AssociationEnded,
    AssociationError,
    AssociationState,
    ClosedError,
    Conn,
    EndOfAssociation,
    ErrorCause,
    PeerAddressParameters,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    ShutdownEvent,
    connect,
    listen,
)
from sctpio._loop import sending
from sctpio.stacks.base import StackSocket, alive
from sctpio.stacks.native import NativeSocket
from support import (
    QUEUE,
    STACK,
    Pair,
    StackSocketType,
    abort_unread,
    associations,
    collect,
    connected,
    stop_reading,
    until,
)

pytestmark = [pytest.mark.both_loops, pytest.mark.both_modes]


def calls(conn: Conn) -> list[Callable[[], Coroutine[Any, Any, Any]]]:
    """Everything that waits on a Conn."""
    return [
        conn.receive,
        conn.receive_many,
        conn.stream(1).receive,
        lambda: conn.send(b"x"),
        lambda: conn.send_many([b"x", b"y"]),
        lambda: conn.stream(1).send(b"x"),
        conn.flush,
    ]


async def assert_ended(conn: Conn, kind: type[Exception]) -> None:
    """Every call, twice, raises the same, each time as an exception of its own."""
    raised = []
    for call in calls(conn) * 2:
        async with asyncio.timeout(10):
            with pytest.raises(kind) as caught:
                await call()
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == len(raised)
    assert {type(error) for error in raised} == {type(raised[0])}
    assert_end(conn, type(raised[0]), str(raised[0]))
    for query in (conn.status, lambda: conn.get_option(RtoInfo), lambda: conn.set_option(RtoInfo(initial=1))):
        with pytest.raises(kind):
            query()
    await conn.wait_closed()
    assert conn.is_closed
    assert conn.fileno() == -1
    assert "closed" in repr(conn)
    assert [event async for event in conn.events()] == []


def assert_end(conn: Conn, kind: type[BaseException], text: str) -> None:
    """The end is what calls raise, and as theirs an exception of its own."""
    end, again = conn.end, conn.end
    assert type(end) is kind
    assert isinstance(end, AssociationEnded)
    assert str(end) == text
    assert end is not again
    assert end.__traceback__ is None


async def test_an_association_has_no_end_while_it_lives(pair: Pair) -> None:
    await pair.client.send(b"x")
    await pair.server.receive()
    assert pair.client.end is None
    assert pair.server.end is None


async def test_the_peers_shutdown_is_the_end_while_messages_are_unread(pair: Pair) -> None:
    await pair.client.send(b"unread")
    await pair.client.close()
    await until(lambda: pair.server.end is not None)
    assert type(pair.server.end) is EndOfAssociation
    assert (await pair.server.receive()).data == b"unread"
    await pair.server.close()
    assert pair.server.end is not None


async def test_a_close_is_the_end_while_it_still_waits(pair: Pair) -> None:
    closing = asyncio.create_task(pair.client.close())
    await asyncio.sleep(0)
    assert type(pair.client.end) is ClosedError
    await closing


async def test_one_except_is_enough(pair: Pair) -> None:
    ended = []

    async def talk(conn: Conn) -> None:
        try:
            while True:
                await conn.send(b"x")
                await conn.receive()
        except AssociationEnded as end:
            ended.append(type(end))

    async with connected() as other, asyncio.TaskGroup() as tasks:
        for conn in (*pair[:2], *other[:2]):
            tasks.create_task(talk(conn))
        await until(lambda: other.server.statistics().messages_received > 2)
        await pair.client.close()
        await other.client.abort()
    assert sorted(kind.__name__ for kind in ended) == [
        "AssociationAbortedError",
        "ClosedError",
        "ClosedError",
        "EndOfAssociation",
    ]


async def test_a_graceful_close_delivers_everything_first(pair: Pair) -> None:
    sent = [os.urandom(3_000) for _ in range(100)]
    await pair.client.send_many(sent)
    closing = asyncio.create_task(pair.client.close())
    received = [message.data async for message in pair.server]
    assert received == sent
    await closing
    await assert_ended(pair.client, ClosedError)
    await pair.server.wait_closed()
    await assert_ended(pair.server, EndOfAssociation)


async def test_async_for_ends_quietly_after_a_shutdown_and_raises_after_an_abort(pair: Pair) -> None:
    await pair.client.send(b"1")
    await pair.client.close()
    assert [message.data async for message in pair.server] == [b"1"]
    async with connected() as other:
        await other.client.send(b"1")
        await until(lambda: other.server.statistics().unread_messages == 1)
        await other.client.abort()
        received = []
        with pytest.raises(AssociationAbortedError):
            async for message in other.server:
                received.append(message.data)
        assert received == [b"1"]


async def test_the_peer_aborts(pair: Pair) -> None:
    waiting = [asyncio.create_task(call()) for call in calls(pair.server)[:3]]
    await asyncio.sleep(0)
    await pair.client.abort()
    for task in waiting:
        with pytest.raises(AssociationAbortedError) as caught:
            await task
        assert caught.value.error is ErrorCause.USER_INITIATED_ABORT
        assert caught.value.errno == 104
        assert caught.value.cause == b""
        assert isinstance(caught.value, ConnectionResetError)
    await assert_ended(pair.server, AssociationAbortedError)
    await assert_ended(pair.client, ClosedError)


async def test_the_one_error_of_the_kernel_taken_by_send_is_not_lost(pair: Pair) -> None:
    # Nobody reads at the server, so its send is the first to meet ECONNRESET.
    await pair.client.send(b"before the abort")
    await until(lambda: pair.server.statistics().unread_messages == 1)
    stop_reading(pair.server)
    await pair.client.send(b"still in the kernel")
    await pair.client.abort()
    await until(lambda: not associations())
    with pytest.raises(AssociationAbortedError) as caught:
        await pair.server.send(b"x")
    assert caught.value.error is ErrorCause.USER_INITIATED_ABORT
    assert (await pair.server.receive()).data == b"before the abort"
    assert (await pair.server.receive()).data == b"still in the kernel"
    await assert_ended(pair.server, AssociationAbortedError)


async def test_send_after_the_peers_shutdown_says_end_of_association(pair: Pair) -> None:
    raw, identifier = pair.server._link.socket.raw, pair.server.association_id
    stop_reading(pair.server)
    await pair.client.close()
    await until(lambda: not alive(raw, identifier))
    with pytest.raises(EndOfAssociation):
        await pair.server.send(b"x")
    await assert_ended(pair.server, EndOfAssociation)


async def test_abort_before_a_waiting_message_is_read_keeps_it(pair: Pair) -> None:
    await pair.client.send_many([b"1", b"2", b"3"])
    await pair.client.flush()
    await pair.client.abort()
    received = []
    with pytest.raises(AssociationAbortedError):
        while True:
            received.append((await pair.server.receive()).data)
    assert received == [b"1", b"2", b"3"]


async def test_an_abort_with_a_cause_says_that_it_cannot_carry_it(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    await pair.client.abort(b"out of service")
    with pytest.raises(AssociationAbortedError) as caught:
        await pair.server.receive()
    # Where the stack can carry it there is nothing to say.
    assert caught.value.cause == b"out of service" or "out of service" in caplog.text


async def test_closing_wakes_everybody_here(pair: Pair) -> None:
    waiting = [asyncio.create_task(call()) for call in calls(pair.server)[:3]]
    events = asyncio.create_task(collect(pair.server.events(AssociationChange)))
    waits = asyncio.create_task(pair.server.wait_closed())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await pair.server.close()
    for task in waiting:
        with pytest.raises(ClosedError):
            await task
    await waits
    [end] = await events
    assert end.state is AssociationState.SHUTDOWN_COMP


async def test_closing_twice_and_at_once(pair: Pair) -> None:
    await asyncio.gather(*(pair.client.close() for _ in range(3)))
    await pair.client.close()
    await pair.client.abort()
    await assert_ended(pair.client, ClosedError)


async def test_both_sides_close_at_once(pair: Pair) -> None:
    await asyncio.gather(pair.client.close(), pair.server.close())
    assert pair.client.is_closed
    assert pair.server.is_closed


async def test_closing_drops_what_is_unread_and_still_ends_gracefully(pair: Pair) -> None:
    events = pair.client.events(AssociationChange)
    await pair.client.send_many([bytes(10_000)] * 5)
    await until(lambda: pair.server.statistics().unread_messages == 5)
    await pair.server.close()
    assert pair.server.statistics().unread_messages == 0
    with pytest.raises(EndOfAssociation):
        await pair.client.receive()
    [end] = [event async for event in events]
    assert isinstance(end, AssociationChange)
    assert end.state is AssociationState.SHUTDOWN_COMP


async def test_closing_while_the_receive_buffer_is_full_completes() -> None:
    async with connected(listen_with={"receive_buffer": 10_000}) as pair:
        sender = asyncio.create_task(pair.client.send_many([bytes(10_000)] * 100))
        await until(lambda: pair.server.statistics().reading_paused)
        async with asyncio.timeout(30):
            await pair.server.close()
        await asyncio.gather(sender, return_exceptions=True)


async def test_close_raises_where_the_peer_aborts_before_all_is_delivered() -> None:
    async with connected(connect_with={"options": QUEUE}) as pair:
        stop_reading(pair.server)
        sender = asyncio.create_task(pair.client.send_many([bytes(20_000)] * 100))
        await until(lambda: pair.client.statistics().waiting_senders == 1)
        closing = asyncio.create_task(pair.client.close())
        with pytest.raises(ClosedError):
            await sender
        await pair.server.abort()
        with pytest.raises(AssociationAbortedError):
            await closing
        with pytest.raises(ClosedError):
            await pair.client.receive()


async def test_an_exception_that_leaves_the_block_aborts(pair: Pair) -> None:
    async with listen("127.0.0.1:0") as listener:
        with pytest.raises(LookupError):
            async with connect(listener.local_addresses) as client:
                server = await listener.accept()
                raise LookupError
        assert client.is_closed
        with pytest.raises(AssociationAbortedError):
            await server.receive()


async def test_the_events_of_an_end_come_in_order(pair: Pair) -> None:
    events = pair.server.events(AssociationChange, ShutdownEvent)
    await pair.client.close()
    seen = [event async for event in events]
    assert [type(event) for event in seen] == [ShutdownEvent, AssociationChange]


async def test_a_refused_association() -> None:
    # No ephemeral port: a client that is given its target's number would connect to itself.
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError) as caught:
            await connect("127.0.0.1:1")
        assert caught.value.errno == 111
        assert not isinstance(caught.value, AssociationError)


async def test_the_peer_aborts_in_the_middle_of_a_message() -> None:
    # SharedSocket of the peer's windows: it has a part of it when the abort comes.
    size = 4_000_000 if STACK == "usrsctp" else 180_000
    # The packets of loopback, which are larger than the window: of small ones all would have come by then.
    large = PeerAddressParameters(path_mtu_discovery=True)
    async with connected(
        listen_with={"options": [ReceiveBuffer(50_000), large]},
        connect_with={"options": [SendBuffer(size), large]},
    ) as pair:
        await pair.client.send(bytes(size))
        await until(lambda: bool(pair.server._association.partials.open) or pair.server.is_closed)
        await pair.client.abort()
        with pytest.raises(AssociationAbortedError):
            await pair.server.receive()
        assert pair.server.statistics().messages_received == 0


@pytest.mark.kernel_only("a process that is killed takes its stack along: the peer learns of it by timeouts")
async def test_a_peer_process_that_dies_ends_the_association() -> None:
    program = (
        "import asyncio, sctpio, sys\n"
        "async def main():\n"
        "    conn = await sctpio.connect(sys.argv[1])\n"
        "    await conn.send(b'ready')\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    async with listen("127.0.0.1:0") as listener:
        peer = subprocess.Popen([sys.executable, "-c", program, str(listener.local_addresses)])
        try:
            server = await listener.accept()
            assert (await server.receive()).data == b"ready"
            peer.send_signal(signal.SIGKILL)
            async with asyncio.timeout(20):
                with pytest.raises((AssociationAbortedError, EndOfAssociation)):
                    await server.receive()
        finally:
            peer.kill()
            peer.wait()


@pytest.mark.one_to_one
async def test_sigpipe_is_never_raised() -> None:
    old = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        async with connected() as pair:
            stop_reading(pair.server)
            await pair.client.abort()
            await until(lambda: not associations())
            # The raw socket: ECONNRESET once at most, then EPIPE, which is where the signal would come.
            seen = []
            for _ in range(3):
                with pytest.raises(OSError, match="send") as caught:
                    pair.server._link.socket.raw.send(0, b"x", 0, 0, 0, 0, None)
                seen.append(caught.value.errno)
            assert seen[0] in (104, 32)
            assert seen[1:] == [32, 32]
    finally:
        signal.signal(signal.SIGPIPE, old)


async def test_the_kernels_silence_after_an_abort_does_not_hang_a_later_receive(pair: Pair) -> None:
    await pair.client.abort()
    for _ in range(3):
        async with asyncio.timeout(10):
            with pytest.raises(AssociationAbortedError):
                await pair.server.receive()


async def test_an_end_between_two_looks_is_told_as_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The association can end gracefully after the socket was read and before the stack is asked for it."""
    shutdown = StackSocketType.shutdown

    def refused(self: NativeSocket, association_id: int) -> None:
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))

    def asked_late(raw: StackSocket, association_id: int) -> bool:
        # The loop is held; the stack goes on.
        assert isinstance(raw, NativeSocket)
        shutdown(raw, association_id)
        while alive(raw, association_id):
            time.sleep(0.001)
        return False

    async with connected() as pair:
        monkeypatch.setattr(StackSocketType, "shutdown", refused)
        monkeypatch.setattr(sending, "alive", asked_late)
        await pair.client.close()
        with pytest.raises(EndOfAssociation):
            await pair.server.receive()


@pytest.mark.both_modes
@pytest.mark.parametrize(
    "ask",
    [Conn.status, Conn.paths, lambda conn: conn.set_primary("127.0.0.1:0")],
    ids=["status", "paths", "set_primary"],
)
async def test_asking_an_association_that_ended_unread_says_how_it_ended(
    ask: Callable[[Conn], object],
) -> None:
    """Its stack has forgotten it, and the loop has not read of that yet."""
    async with connected() as pair:
        abort_unread(pair.client, pair.server)
        with pytest.raises(AssociationAbortedError):
            ask(pair.server)
        assert pair.server.snapshot().end is not None
