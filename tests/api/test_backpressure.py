"""Promises 2, 3 and the rules of waiting: bounded memory, no hang, no spin."""

import asyncio
import random

import pytest

from sctpio import (
    AssociationAbortedError,
    AssociationChange,
    ClosedError,
    DelayedSack,
    MessageTooLargeError,
    ReceiveBuffer,
    ReceiveBufferFullError,
    ReceivedTooLargeError,
    RtoInfo,
    SendBuffer,
    connect,
    listen,
)
from sctpio._loop.starvation import STARVED_AFTER
from sctpio.stacks.native import LEAST_ARENA, NativeSocket
from support import STACK, Pair, connected, drain, read_again, settled, stop_reading, until

pytestmark = [pytest.mark.both_loops, pytest.mark.both_modes]

KIB = 1024

# Wake-ups in half a second by answers to probes of a closed window: usrsctp tells of every packet.
PROBES = 4 if STACK == "usrsctp" else 1


async def test_send_waits_while_the_peer_does_not_read() -> None:
    async with connected(
        listen_with={
            "receive_buffer": 64 * KIB,
            "options": [ReceiveBuffer(64 * KIB), DelayedSack(delay=0.02, frequency=2)],
        },
        connect_with={"options": [SendBuffer(64 * KIB), RtoInfo(initial=0.2, maximum=0.2, minimum=0.1)]},
    ) as pair:
        total = 100
        sender = asyncio.create_task(pair.client.send_many([bytes(10 * KIB)] * total))
        await until(lambda: pair.client.statistics().waiting_senders == 1)
        await until(lambda: pair.server.statistics().reading_paused)
        # Everybody waits: memory does not grow, and nobody is woken. Only probes of the window may find
        # room for one more, a few times.
        sent = -1
        while sent != pair.client.statistics().messages_sent:
            before = pair.client.statistics(), pair.server.statistics()
            sent = before[0].messages_sent
            await asyncio.sleep(0.5)
        after = pair.client.statistics(), pair.server.statistics()
        assert after[1].unread_bytes <= 64 * KIB + LEAST_ARENA
        assert sent < total // 2
        assert after[0].wakeups - before[0].wakeups <= PROBES
        assert after[1].wakeups - before[1].wakeups <= PROBES
        received = 0
        while received < total:
            received += len(await pair.server.receive_many())
            assert pair.server.statistics().unread_bytes <= 64 * KIB + LEAST_ARENA
        await sender
        assert pair.server.statistics().pauses >= 1


async def test_waiting_senders_take_turns(pair: Pair) -> None:
    stop_reading(pair.server)
    sender = asyncio.create_task(pair.client.send_many([bytes(20_000)] * 100))
    await until(lambda: pair.client.statistics().waiting_senders == 1)
    await settled(lambda: pair.client.statistics().messages_sent)
    order: list[int] = []

    async def send(number: int) -> None:
        await pair.client.send(b"%d" % number)
        order.append(number)

    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(send(number)))
        await until(lambda number=number: pair.client.statistics().waiting_senders == number + 2)  # type: ignore[misc]
    tasks[2].cancel()
    read_again(pair.server)
    small: list[bytes] = []
    while len(small) < 4:
        message = await pair.server.receive()
        if len(message.data) == 1:
            small.append(message.data)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 3, 4]
    assert small == [b"0", b"1", b"3", b"4"]
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_an_idle_association_wakes_nobody(pair: Pair) -> None:
    receiver = asyncio.create_task(pair.server.receive())
    await pair.client.send(b"settle")
    await receiver
    receiver = asyncio.create_task(pair.server.receive())
    await settled(lambda: pair.client.statistics().wakeups + pair.server.statistics().wakeups)
    before = pair.client.statistics().wakeups, pair.server.statistics().wakeups
    await asyncio.sleep(0.5)
    assert (pair.client.statistics().wakeups, pair.server.statistics().wakeups) == before
    receiver.cancel()


@pytest.mark.one_to_one
async def test_an_association_that_the_peer_shut_down_does_not_spin() -> None:
    async with connected(
        listen_with={"options": [ReceiveBuffer(100 * KIB)]},
        connect_with={"options": [SendBuffer(200 * KIB)]},
    ) as pair:
        # The peer has sent SHUTDOWN; ours waits for what the peer does not read. The socket is readable all
        # that time.
        stop_reading(pair.server)
        sender = asyncio.create_task(pair.client.send_many([bytes(20_000)] * 60))
        await until(lambda: pair.client.statistics().waiting_senders == 1)
        pair.server._association.close_here()
        pair.server._link.socket.raw.shutdown(0)
        with pytest.raises(EOFError):
            await sender
        await until(lambda: pair.client._association.is_inbound_over)
        await settled(lambda: pair.client.statistics().wakeups)
        before = pair.client.statistics().wakeups
        await asyncio.sleep(0.5)
        assert not pair.client.is_closed
        assert pair.client.statistics().wakeups - before <= 2
        # Once the peer reads again, all is delivered and the shutdown completes.
        read_again(pair.server)
        async with asyncio.timeout(20):
            await pair.client.wait_closed()
            await pair.server.wait_closed()


async def test_a_receive_that_could_never_be_served_names_the_streams() -> None:
    async with connected(listen_with={"receive_buffer": 32 * KIB}) as pair:
        stream = pair.server.stream(7)
        waiting = asyncio.create_task(stream.receive())
        flood = asyncio.create_task(_flood(pair, (2, 5)))
        async with asyncio.timeout(20):
            with pytest.raises(ReceiveBufferFullError) as caught:
                await waiting
        assert caught.value.streams == (2, 5)
        assert caught.value.limit == 32 * KIB
        assert "2, 5" in str(caught.value)
        # A later one says so at once, and so do those that wait for the events of the association.
        with pytest.raises(ReceiveBufferFullError):
            await stream.receive()
        # Reading what is there heals it.
        await pair.server.receive_many()
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def test_claimed_streams_can_starve_the_conn_events_and_flush() -> None:
    async with connected(listen_with={"receive_buffer": 32 * KIB}) as pair:
        claimed = pair.server.stream(3)
        await pair.client.send(b"claim", stream=3)
        await claimed.receive()
        flood = asyncio.create_task(_flood(pair, (3,)))
        for wait in (
            pair.server.receive,
            pair.server.receive_many,
            pair.server.wait_closed,
            pair.server.events(AssociationChange).__anext__,
        ):
            async with asyncio.timeout(20):
                with pytest.raises(ReceiveBufferFullError) as caught:
                    await wait()
            assert caught.value.streams == (3,)
        async with asyncio.timeout(20):
            with pytest.raises(ReceiveBufferFullError):
                await pair.server.flush()
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def test_a_slow_reader_of_another_stream_is_waited_for() -> None:
    async with connected(listen_with={"receive_buffer": 32 * KIB}) as pair:
        slow_may_go_on = asyncio.Event()
        read: list[int] = []

        async def slow() -> None:
            async for message in pair.server.stream(1):
                read.append(message.data[0])
                await slow_may_go_on.wait()

        reader = asyncio.create_task(slow())
        waiting = asyncio.create_task(pair.server.stream(2).receive())

        async def send() -> None:
            await pair.client.send_many([bytes([i]) * 8 * KIB for i in range(50)], stream=1)
            await pair.client.send(b"at last", stream=2)

        sender = asyncio.create_task(send())
        await until(lambda: pair.server.statistics().reading_paused)
        # Longer than a wait is held up where nobody reads.
        await asyncio.sleep(2 * STARVED_AFTER)
        assert not waiting.done()
        slow_may_go_on.set()
        async with asyncio.timeout(20):
            assert (await waiting).data == b"at last"
        await sender
        await pair.client.close()
        await reader
        assert read == list(range(50))


async def test_a_slow_reader_that_dies_is_noticed() -> None:
    async with connected(listen_with={"receive_buffer": 32 * KIB}) as pair:

        async def slow() -> None:
            await pair.server.stream(1).receive()
            await asyncio.Event().wait()

        reader = asyncio.create_task(slow())
        waiting = asyncio.create_task(pair.server.stream(2).receive())
        flood = asyncio.create_task(_flood(pair, (1,)))
        await until(lambda: pair.server.statistics().reading_paused)
        assert not waiting.done()
        reader.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(ReceiveBufferFullError):
                await waiting
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def test_starved_waiters_do_not_depend_on_each_other() -> None:
    async with connected(listen_with={"receive_buffer": 32 * KIB}) as pair:

        async def slow() -> None:
            await pair.server.receive()
            await asyncio.Event().wait()

        reader = asyncio.create_task(slow())
        first, second = (asyncio.create_task(pair.server.stream(number).receive()) for number in (1, 2))
        flood = asyncio.create_task(_flood(pair, (0,)))
        await until(lambda: pair.server.statistics().reading_paused)
        # One of them leaves; the other must still be told that the reader has died.
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        reader.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(ReceiveBufferFullError):
                await second
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def test_a_reader_that_begins_late_starves_nobody() -> None:
    async with connected(listen_with={"receive_buffer": 32 * KIB}) as pair:
        events = asyncio.create_task(anext(pair.server.events(AssociationChange)))
        closed = asyncio.create_task(pair.server.wait_closed())
        flood = asyncio.create_task(_flood(pair, (0,)))
        await until(lambda: pair.server.statistics().reading_paused)
        for _ in range(20):
            # On Python 3.11 each of these is a task of its own.
            await asyncio.wait_for(pair.server.receive(), 10)
        assert not events.done()
        assert not closed.done()
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        await pair.client.abort()
        await asyncio.gather(events, closed, drain(pair.server), return_exceptions=True)


async def test_flush_goes_on_when_the_full_buffer_is_read() -> None:
    async with connected(listen_with={"receive_buffer": 32 * KIB}) as pair:
        go_on = asyncio.Event()

        async def reader() -> None:
            # It has read once and lives, so nobody counts as starved.
            await pair.server.receive()
            await go_on.wait()
            for _ in range(7):
                await pair.server.receive()
            # Its end would wake the flush too.
            await asyncio.Event().wait()

        reading = asyncio.create_task(reader())
        await pair.client.send(b"first")
        await until(lambda: pair.server.statistics().messages_received == 1)
        # Just enough to fill it: nothing comes afterwards that would wake the flush.
        await pair.client.send_many([bytes(5_000)] * 7)
        await until(lambda: pair.server.statistics().reading_paused)
        flushing = asyncio.create_task(pair.server.flush())
        await until(lambda: len(pair.server._link.socket.resumed) == 1)
        assert pair.server._association.unread.full
        go_on.set()
        async with asyncio.timeout(20):
            await flushing
        reading.cancel()


async def test_a_descriptor_number_used_again_after_a_too_large_message_is_watched() -> None:
    async with listen("127.0.0.1:0", max_message_size=1_000) as listener:
        numbers = set()
        for _ in range(3):
            client = await connect(listener.local_addresses)
            server = await listener.accept()
            numbers.add(server.fileno())
            await client.send(b"small")
            async with asyncio.timeout(10):
                assert (await server.receive()).data == b"small"
            await client.send(bytes(2_000))
            with pytest.raises(MessageTooLargeError):
                await server.receive()
            with pytest.raises(AssociationAbortedError):
                await client.receive()
        # The numbers did come back, else this shows nothing.
        assert len(numbers) < 3


@pytest.mark.one_to_one
async def test_out_of_descriptors_an_ending_association_is_looked_at_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_descriptor(self: object) -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(NativeSocket, "watch_end", no_descriptor)
    async with connected(
        listen_with={"options": [ReceiveBuffer(100 * KIB)]},
        connect_with={"options": [SendBuffer(200 * KIB)]},
    ) as pair:
        await pair.server.send_many([b"%d" % number for number in range(50)])
        await until(lambda: pair.client.statistics().unread_messages == 50)
        stop_reading(pair.server)
        sender = asyncio.create_task(pair.client.send_many([bytes(20_000)] * 60))
        await until(lambda: pair.client.statistics().waiting_senders == 1)
        pair.server._association.close_here()
        pair.server._link.socket.raw.shutdown(0)
        with pytest.raises(EOFError):
            await sender
        assert [message.data async for message in pair.client] == [b"%d" % number for number in range(50)]
        before = pair.client.statistics().wakeups
        await asyncio.sleep(0.5)
        assert pair.client.statistics().wakeups - before <= 15
        assert not pair.client.statistics().reading_paused
        read_again(pair.server)
        async with asyncio.timeout(20):
            await pair.client.wait_closed()


async def test_a_message_beyond_max_message_size_ends_the_association() -> None:
    async with connected(listen_with={"max_message_size": 50_000}) as pair:
        await pair.client.send(b"fits" * 12_500)
        await pair.client.send(bytes(50_001))
        assert len((await pair.server.receive()).data) == 50_000
        for _ in range(2):
            with pytest.raises(ReceivedTooLargeError, match="50000"):
                await pair.server.receive()
        with pytest.raises(ReceivedTooLargeError):
            await pair.server.send(b"x")
        assert type(pair.server.end) is ReceivedTooLargeError
        with pytest.raises(AssociationAbortedError):
            await pair.client.receive()


async def test_parts_of_a_large_message_are_bounded_too() -> None:
    buffers = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with connected(
        listen_with={"max_message_size": 150_000, "options": buffers}, connect_with={"options": buffers}
    ) as pair:
        await pair.client.send(random.Random(1).randbytes(300_000))
        with pytest.raises(MessageTooLargeError):
            await pair.server.receive()
        assert pair.server.statistics().messages_received == 0


async def test_a_message_larger_than_the_receive_buffer_is_reassembled() -> None:
    buffers = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with connected(
        listen_with={"receive_buffer": 10 * KIB, "options": buffers}, connect_with={"options": buffers}
    ) as pair:
        data = random.Random(2).randbytes(350_000)
        await pair.client.send(data, stream=1, ppid=9)
        await pair.client.send(b"next", stream=2)
        message = await pair.server.receive()
        assert message.data == data
        assert (message.stream, message.ppid) == (1, 9)
        assert (await pair.server.receive()).data == b"next"


async def test_a_socket_that_says_writable_and_takes_nothing_does_not_make_the_loop_spin(pair: Pair) -> None:
    # As under memory pressure in the kernel: EPOLLOUT is there, and sendmsg gives EAGAIN.
    link = pair.client._link
    attempts = 0
    ready = False

    def attempt(*message: object) -> bool:
        nonlocal attempts
        attempts += 1
        return ready

    link.sender.attempt = attempt
    message = (0, b"x", 0, 0, 0, 0, None)
    sender = asyncio.create_task(link.sender.send_prepared(message))
    await until(lambda: attempts >= 3)
    await asyncio.sleep(0.5)
    assert attempts < 60
    assert link.socket.wakeups < 60
    # Cancelled in a stall, the next sender must still be woken.
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    again = asyncio.create_task(link.sender.send_prepared(message))
    await asyncio.sleep(0)
    ready = True
    async with asyncio.timeout(10):
        await again


async def test_a_send_that_waits_ends_with_the_association() -> None:
    async with listen("127.0.0.1:0") as listener:
        for end in ("abort", "close here"):
            client = await connect(listener.local_addresses)
            server = await listener.accept()
            stop_reading(server)
            sender = asyncio.create_task(client.send_many([bytes(20_000)] * 200))
            await until(lambda client=client: client.statistics().waiting_senders == 1)  # type: ignore[misc]
            if end == "abort":
                await server.abort()
                with pytest.raises(AssociationAbortedError):
                    await sender
            else:
                closing = asyncio.create_task(client.close())
                with pytest.raises(ClosedError):
                    await sender
                closing.cancel()
                await asyncio.gather(closing, return_exceptions=True)
                await server.abort()


async def _flood(pair: Pair, streams: tuple[int, ...]) -> None:
    while True:
        for stream in streams:
            await pair.client.send(bytes(5_000), stream=stream)
