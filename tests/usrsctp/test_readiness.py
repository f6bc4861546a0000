"""What the loop is told: everything that happens, once, and nothing when nothing happens."""

import asyncio
import os
import random
import select
import signal
import subprocess
import sys
import time

import pytest

from sctpio import (
    AssociationAbortedError,
    AssociationLostError,
    AssocInfo,
    ClosedError,
    Conn,
    EndOfAssociation,
    Event,
    Mode,
    PeerAddressParameters,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    SenderDry,
    connect,
    listen,
)
from sctpio.stacks._usrsctp import lib
from sctpio.stacks.native import NativeSocket
from support import (
    PATIENCE,
    StackSocketType,
    associations,
    connected,
    read_again,
    settled,
    stop_reading,
    until,
)

pytestmark = pytest.mark.both_loops

MESSAGES = int(os.environ.get("SCTPIO_TEST_MESSAGES", "20000"))

# Of the contract: the peer acknowledges at once (RFC 7053).
SACK_IMMEDIATELY = 0x8

VICTIM = """
import asyncio, sctpio, sys

async def main():
    conn = await sctpio.connect(sys.argv[1])
    await conn.send(b"ready")
    await asyncio.Event().wait()

asyncio.run(main())
"""


def ready(descriptor: int) -> int:
    """Ask poll(2) what a descriptor is ready for."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLOUT)
    return dict(poll.poll(0)).get(descriptor, 0)


async def test_nothing_wakes_the_loop_when_nothing_happens() -> None:
    async with connected() as pair:
        await pair.client.send(b"x")
        await pair.server.receive()
        await pair.client.flush()
        before = lib.sctpio_signals(), pair.client.statistics().wakeups, pair.server.statistics().wakeups
        await asyncio.sleep(0.5)
        assert (
            lib.sctpio_signals(),
            pair.client.statistics().wakeups,
            pair.server.statistics().wakeups,
        ) == before


async def test_a_round_trip_wakes_each_end_a_few_times_at_most() -> None:
    async with connected() as pair:
        before = pair.client.statistics().wakeups + pair.server.statistics().wakeups
        for _ in range(200):
            await pair.client.send(b"ping")
            await pair.server.receive()
            await pair.server.send(b"pong")
            await pair.client.receive()
        woken = pair.client.statistics().wakeups + pair.server.statistics().wakeups - before
        assert 400 <= woken <= 1200


async def test_the_descriptor_is_level_triggered_for_anybody_who_polls() -> None:
    async with connected(connect_with={"options": [SendBuffer(64 * 1024)]}) as pair:
        await until(lambda: ready(pair.server.fileno()) == select.POLLOUT)
        stop_reading(pair.server)
        await pair.client.send(b"x")
        await until(lambda: ready(pair.server.fileno()) == select.POLLIN | select.POLLOUT)
        assert ready(pair.server.fileno()) & select.POLLIN
        sender = asyncio.create_task(pair.client.send_many([bytes(1000)] * 2000))
        await until(lambda: pair.client.statistics().waiting_senders == 1)
        await until(lambda: not ready(pair.client.fileno()) & select.POLLOUT)
        read_again(pair.server)
        for _ in range(2001):
            await pair.server.receive()
        await sender
        await until(lambda: ready(pair.client.fileno()) & select.POLLOUT != 0)
        await until(lambda: not ready(pair.server.fileno()) & select.POLLIN)


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
async def test_a_sender_is_woken_once_there_is_room_and_not_before(mode: Mode) -> None:
    """While the peer's window is closed the descriptor is not writable, and nobody asks in vain."""
    small = {"options": [SendBuffer(20_000), ReceiveBuffer(20_000)]}
    async with connected(listen_with={**small, "mode": mode}, connect_with=small) as pair:
        source, target = pair.server, pair.client
        stop_reading(target)
        sending = asyncio.create_task(source.send_many([bytes(1000)] * 200))
        await until(lambda: source.statistics().waiting_senders == 1)
        await settled(lambda: source.statistics().messages_sent)
        before = lib.sctpio_signals(), source.statistics().wakeups
        began = time.monotonic()
        await asyncio.sleep(0.5)
        # Answers to probes of the closed window; whoever asks in vain asks some thousand times a second.
        most = 50 * (time.monotonic() - began)
        assert lib.sctpio_signals() - before[0] <= most
        assert source.statistics().wakeups - before[1] <= most
        if mode is Mode.ONE_TO_ONE:
            # Of room on a one-to-many socket usrsctp does not tell.
            assert not ready(source.fileno()) & select.POLLOUT
        read_again(target)
        for _ in range(200):
            assert len((await target.receive()).data) == 1000
        await sending
        # Level-triggered: it stays so.
        await until(lambda: ready(source.fileno()) & select.POLLOUT != 0)
        for _ in range(3):
            assert ready(source.fileno()) & select.POLLOUT
            await asyncio.sleep(0)


def ready_soon(descriptor: int, wanted: int) -> bool:
    """Wait until a descriptor is ready: whether it was, in a time that only a lost wake-up takes."""
    poll = select.poll()
    poll.register(descriptor, wanted)
    return bool(poll.poll(5000 * PATIENCE))


@pytest.mark.one_loop
async def test_what_arrives_while_a_call_finds_nothing_is_told() -> None:
    """usrsctp's thread and ours meet at all moments of a call: none may be the wrong one."""
    async with connected() as pair:
        stop_reading(pair.server)
        source, target = pair.client._link.raw, pair.server._link.raw
        late = 0
        for _ in range(2 * MESSAGES):
            assert source.send(0, b"x", 0, 0, 0, 0, None)
            while not target.receive(1000)[1]:
                late += 1
                assert ready_soon(target.fileno(), select.POLLIN), "a wake-up was lost"
        assert late > 0


@pytest.mark.one_loop
async def test_room_that_is_made_while_a_call_finds_none_is_told() -> None:
    """The same of sending: each time there is one acknowledgement that makes room."""
    options = [SendBuffer(2000)]
    async with connected(connect_with={"options": options}) as pair:
        stop_reading(pair.server)
        source, target = pair.client._link.raw, pair.server._link.raw
        late = 0
        for _ in range(MESSAGES):
            while not source.send(0, bytes(1200), 0, SACK_IMMEDIATELY, 0, 0, None):
                late += 1
                assert ready_soon(source.fileno(), select.POLLOUT), "a wake-up was lost"
            target.receive(1000)
        assert late > 0


async def test_a_one_to_many_socket_tells_of_all_its_associations() -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, options=[SendBuffer(20_000)]) as listener:
        clients = [await connect(listener.local_addresses) for _ in range(5)]
        servers = {}
        for client in clients:
            await client.send(b"who")
            conn = await listener.accept()
            await conn.receive()
            servers[conn.peer_addresses.port] = conn
        await until(lambda: ready(listener.fileno()) == select.POLLOUT)
        # One does not read: the others go on, and it is served as soon as it does.
        slow, *others = clients
        stop_reading(slow)
        waiting = asyncio.create_task(servers[slow.local_addresses.port].send_many([bytes(1000)] * 2000))
        for client in others:
            await client.send(b"in")
            assert (await servers[client.local_addresses.port].receive()).data == b"in"
        read_again(slow)
        for _ in range(2000):
            await slow.receive()
        await waiting
        await until(lambda: ready(listener.fileno()) == select.POLLOUT)
        for conn in (*clients, *servers.values()):
            await conn.abort()
    await until(lambda: not associations())


async def test_a_flush_that_finds_the_association_ended_just_now_says_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """usrsctp's threads end an association between two calls of ours."""
    async with connected(listen_with={"mode": Mode.ONE_TO_MANY}) as pair:
        subscribe = StackSocketType.subscribe

        def ended_before(sock: NativeSocket, kind: type[Event], on: bool, association_id: int) -> None:
            if kind is SenderDry and lib.sctpio_established():
                pair.client._link.raw.abort(0, b"enough")
                deadline = time.monotonic() + 20 * PATIENCE
                while lib.sctpio_established() and time.monotonic() < deadline:
                    time.sleep(0.001)
            subscribe(sock, kind, on, association_id)

        await pair.client.send(b"x")
        await pair.server.receive()
        monkeypatch.setattr(StackSocketType, "subscribe", ended_before)
        with pytest.raises(AssociationAbortedError):
            await pair.server.flush()


async def test_loops_in_two_threads_use_the_stack_at_once() -> None:
    """Each has ends of its own, and of associations with the other."""
    loop = asyncio.get_running_loop()
    factory = type(loop)
    told: list[asyncio.Future[str]] = [loop.create_future() for _ in range(4)]

    async def tell(number: int, text: str) -> str:
        """Tell the other thread something, and hear what it tells."""
        loop.call_soon_threadsafe(told[number].set_result, text)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait(number ^ 1), loop))

    async def wait(number: int) -> str:
        return await told[number]

    async def talk(number: int) -> int:
        async with listen("127.0.0.1:0") as listener:
            address = str(listener.local_addresses)
            other = await tell(number, address)
            clients = [await connect(address), await connect(other)]
            servers = [await listener.accept() for _ in range(2)]

            async def send(conn: Conn) -> None:
                for index in range(1000):
                    await conn.send(index.to_bytes(4, "big") + bytes(200))

            async def read(conn: Conn) -> int:
                for index in range(1000):
                    message = await conn.receive()
                    assert message.data[:4] == index.to_bytes(4, "big")
                return 1000

            async with asyncio.TaskGroup() as group:
                sending = [group.create_task(send(conn)) for conn in clients]
                reading = [group.create_task(read(conn)) for conn in servers]
            assert all(task.done() for task in sending)
            # The other thread may still be reading what came from here.
            await tell(2 + number, "has all")
            for conn in (*clients, *servers):
                await conn.abort()
            return sum(task.result() for task in reading)

    def run(number: int) -> int:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(talk(number))

    async with asyncio.timeout(30 * PATIENCE):
        assert await asyncio.gather(*(asyncio.to_thread(run, number) for number in range(2))) == [2000, 2000]
    await until(lambda: not associations())


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
async def test_what_only_a_timer_finds_out_is_told(mode: Mode) -> None:
    """A killed process: no packet tells of it, and usrsctp makes no upcall for what its timers do."""
    impatient = [
        RtoInfo(initial=0.1, minimum=0.1, maximum=0.2),
        AssocInfo(max_retransmissions=2),
        PeerAddressParameters(heartbeat_interval=0.1),
    ]
    async with listen("127.0.0.1:0", mode=mode, options=impatient) as listener:
        peer = subprocess.Popen([sys.executable, "-c", VICTIM, str(listener.local_addresses)])
        try:
            server = await listener.accept()
            assert (await server.receive()).data == b"ready"
            peer.send_signal(signal.SIGKILL)
            async with asyncio.timeout(20 * PATIENCE):
                with pytest.raises(AssociationLostError):
                    await server.receive()
        finally:
            peer.kill()
            peer.wait()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
async def test_readers_writers_closers_and_cancellations_lose_nothing(mode: Mode) -> None:
    """Small buffers, so that everybody waits all the time; each association is checked message by message."""
    rng = random.Random(5)
    each, at_once = 1000, 4
    rounds = max(1, MESSAGES // (each * at_once))

    async def one(number: int) -> None:
        server: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        waiting[number] = server
        async with await connect(listener.local_addresses, options=[SendBuffer(20_000)]) as client:
            await client.send(number.to_bytes(4, "big"))
            conn = await server
            received: list[int] = []

            async def read() -> None:
                while len(received) < each:
                    task = asyncio.ensure_future(conn.receive())  # type: ignore[attr-defined]
                    if rng.random() < 0.05:
                        await asyncio.sleep(0)
                        task.cancel()
                    try:
                        received.append(int.from_bytes((await task).data[:4], "big"))
                    except asyncio.CancelledError:
                        continue

            reader = asyncio.create_task(read())
            for index in range(each):
                await client.send(index.to_bytes(4, "big") + bytes(rng.randrange(300)), stream=0)
            async with asyncio.timeout(60 * PATIENCE):
                await reader
            assert received == list(range(each))
            if number % 2:
                await client.close()
                with pytest.raises(EndOfAssociation):
                    await conn.receive()  # type: ignore[attr-defined]
            else:
                await conn.close()  # type: ignore[attr-defined]
                with pytest.raises((EndOfAssociation, ClosedError)):
                    await client.receive()
            await conn.abort()  # type: ignore[attr-defined]

    async def accept() -> None:
        async for conn in listener:
            number = int.from_bytes((await conn.receive()).data, "big")
            waiting[number].set_result(conn)

    waiting: dict[int, asyncio.Future[object]] = {}
    async with listen("127.0.0.1:0", mode=mode, options=[ReceiveBuffer(20_000)]) as listener:
        accepting = asyncio.create_task(accept())
        for turn in range(rounds):
            await asyncio.gather(*(one(turn * at_once + index) for index in range(at_once)))
        accepting.cancel()
    await until(lambda: not associations())
