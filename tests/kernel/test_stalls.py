"""Floods at default settings: the kernel loses nothing in the receiving host and waits for no timeout."""

import asyncio
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sctpio
from kernel.lab import Lab, joined
from sctpio import (
    ClosedError,
    Conn,
    Mode,
    Option,
    PeerAddressParameters,
    ReceiveBuffer,
    Scheduler,
    SendBuffer,
    Status,
    StreamScheduler,
    connect,
    listen,
)
from sctpio._loop.loop_socket import MOST_STALL_PAUSE
from sctpio.stacks.kernel import allowance
from sctpio.stacks.kernel.allowance import BURST
from sctpio.stacks.kernel.socket import KernelSocket
from support import PATIENCE, Pair, connected, drain, read_again, settled, stop_reading, until, within

pytestmark = pytest.mark.one_loop

KIB = 1024
CAP_NET_ADMIN = 12

# Enough of each size to fill the first window at least twice; small ones fill the memory behind it.
FLOODS = [(64, 16_000), (KIB, 4000), (8 * KIB, 400), (200_000, 20)]
MODES = [Mode.ONE_TO_ONE, Mode.ONE_TO_MANY]

# A small window, of a peer that lets nothing lie unread.
FEW: dict[str, Any] = {"receive_buffer": 1, "options": [ReceiveBuffer(8 * KIB)]}


def counted() -> tuple[int, int]:
    """Return the timeouts of retransmissions and the dropped chunks of this namespace."""
    lines = Path("/proc/thread-self/net/sctp/snmp").read_text().splitlines()
    found = dict(line.split() for line in lines)
    return int(found["SctpT3Retransmits"]), int(found["SctpInDataChunkDiscards"])


@contextmanager
def nothing_lost(lab: Lab | None = None) -> Iterator[None]:
    """See that no timeout and no drop is counted, in the other namespace of a lab either."""

    def all_counted() -> list[tuple[int, int]]:
        if lab is None:
            return [counted()]
        with lab.inside():
            there = counted()
        return [counted(), there]

    before = all_counted()
    yield
    assert all_counted() == before


async def flood(pair: Pair, size: int, count: int, *, pause: float = 0.0, pauses: int = 0) -> None:
    """Send messages as fast as may be, while a reader takes them that pauses now and then."""

    async def send() -> None:
        for number in range(count):
            await pair.client.send(number.to_bytes(4, "big") + bytes(size - 4))

    sender = asyncio.create_task(send())
    async with asyncio.timeout(120 * PATIENCE):
        for number in range(count):
            message = await pair.server.receive()
            assert int.from_bytes(message.data[:4], "big") == number
            if pauses and number % (count // pauses) == 0:
                await asyncio.sleep(pause)
        await sender


@pytest.fixture
def plain_user() -> Iterator[None]:
    """Be without CAP_NET_ADMIN, which lets buffers be larger than the sysctls say."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, now = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    for sets in (before, now):
        assert libc.capget(header, sets) == 0
    # The first of them are the effective ones.
    now[0] &= ~(1 << CAP_NET_ADMIN)
    assert libc.capset(header, now) == 0
    yield
    assert libc.capset(header, before) == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "count"), FLOODS)
async def test_a_flood_on_loopback_loses_nothing(size: int, count: int, mode: Mode) -> None:
    with nothing_lost():
        async with connected(listen_with={"mode": mode}) as pair:
            await flood(pair, size, count)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "count"), FLOODS)
async def test_a_flood_over_a_link_loses_nothing(module_lab: Lab, size: int, count: int, mode: Mode) -> None:
    with nothing_lost(module_lab):
        async with joined(module_lab, listen_with={"mode": mode}) as pair:
            await flood(pair, size, count)


@pytest.mark.parametrize(("size", "count"), FLOODS)
async def test_nor_does_it_where_the_sysctls_bind(plain_user: None, size: int, count: int) -> None:
    with nothing_lost():
        async with connected() as pair:
            await flood(pair, size, count)


@pytest.mark.parametrize(("size", "count"), FLOODS)
async def test_nor_where_the_reader_pauses(plain_user: None, size: int, count: int) -> None:
    with nothing_lost():
        async with connected() as pair:
            await flood(pair, size, count, pauses=2, pause=1.2)


async def test_the_messages_of_send_many_are_held_back_too(plain_user: None) -> None:
    with nothing_lost():
        async with connected() as pair:
            async with asyncio.timeout(60 * PATIENCE), asyncio.TaskGroup() as tasks:
                tasks.create_task(pair.client.send_many([bytes(64)] * 12_000))
                for _ in range(12_000):
                    await pair.server.receive()


async def test_a_sender_lets_a_reader_in_the_same_process_read() -> None:
    async with connected() as pair:
        task = asyncio.create_task(_send_forever(pair.client))
        async with asyncio.timeout(20 * PATIENCE):
            await pair.server.receive()
        assert pair.client.statistics().bytes_sent <= 3 * BURST
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _send_forever(conn: Conn) -> None:
    while True:
        await conn.send(bytes(KIB))


# What stands where, and what takes its place


def limit(memory: str) -> int:
    return int(Path(f"/proc/sys/net/core/{memory}_max").read_text())


def buffers(conn: Conn) -> tuple[int | None, int | None]:
    return conn.get_option(ReceiveBuffer).size, conn.get_option(SendBuffer).size


@pytest.mark.parametrize("mode", MODES)
async def test_buffers_are_as_large_as_the_receive_buffer(mode: Mode) -> None:
    both: dict[str, Any] = {"receive_buffer": 600 * KIB}
    async with connected(listen_with={"mode": mode, **both}, connect_with=both) as pair:
        for conn in pair.client, pair.server:
            assert buffers(conn) == (1200 * KIB, 1200 * KIB)
            assert conn.get_option(Status).rwnd == 600 * KIB


async def test_a_process_that_may_not_have_them_has_what_the_sysctls_allow(plain_user: None) -> None:
    async with connected() as pair:
        assert buffers(pair.client) == buffers(pair.server) == (2 * limit("rmem"), 2 * limit("wmem"))
    found = sctpio.capabilities().buffers
    assert not found
    assert found.needs == "sysctl net.core.rmem_max=1048576 net.core.wmem_max=1048576"


async def test_capabilities_are_content_where_the_process_may() -> None:
    found = sctpio.capabilities()
    assert found.buffers == sctpio.Feature(True, True)
    assert found.separate_memory.needs == "sysctl net.sctp.rcvbuf_policy=1"


async def test_a_small_receive_buffer_leaves_the_kernels_own() -> None:
    async with connected(listen_with={"receive_buffer": 1}, connect_with={"receive_buffer": 1}) as pair:
        assert buffers(pair.client) == buffers(pair.server) == (212_992, 212_992)


@pytest.mark.parametrize("mode", MODES)
async def test_buffers_that_were_chosen_stay(mode: Mode) -> None:
    chosen = [ReceiveBuffer(30 * KIB), SendBuffer(40 * KIB)]
    async with connected(
        listen_with={"mode": mode, "options": chosen}, connect_with={"options": chosen}
    ) as pair:
        for conn in pair.client, pair.server:
            assert buffers(conn) == (60 * KIB, 80 * KIB)
            assert conn.get_option(Status).rwnd == 30 * KIB


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_packets_within_this_host_are_small(host: str, mode: Mode) -> None:
    async with connected(f"{host}:0", listen_with={"mode": mode}) as pair:
        for conn in pair.client, pair.server:
            assert conn.get_option(Status).primary.mtu == 1500


async def test_packets_to_an_address_of_a_network_card_of_this_host_are_small_too(module_lab: Lab) -> None:
    async with connected(f"{module_lab.links[0].local}:0") as pair:
        for conn in pair.client, pair.server:
            assert conn.get_option(Status).primary.mtu == 1500


async def test_packets_on_a_network_are_found_out_by_the_kernel(module_lab: Lab) -> None:
    async with joined(module_lab) as pair:
        for conn in pair.client, pair.server:
            assert conn.get_option(PeerAddressParameters).path_mtu_discovery


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("chosen", "mtu"),
    [
        (PeerAddressParameters(path_mtu_discovery=True), 65532),
        (PeerAddressParameters(path_mtu=9000, path_mtu_discovery=False), 9000),
    ],
)
async def test_a_path_mtu_that_was_chosen_stays(chosen: Option, mtu: int, mode: Mode) -> None:
    async with connected(
        listen_with={"mode": mode, "options": [chosen]}, connect_with={"options": [chosen]}
    ) as pair:
        for conn in pair.client, pair.server:
            assert conn.get_option(Status).primary.mtu == mtu


async def test_other_path_parameters_leave_the_path_mtu_alone() -> None:
    async with connected(
        connect_with={"options": [PeerAddressParameters(path_max_retransmissions=3)]}
    ) as pair:
        assert pair.client.get_option(Status).primary.mtu == 1500


@pytest.mark.parametrize(
    "chosen", [SendBuffer(100 * KIB), sctpio.StreamScheduler(sctpio.Scheduler.PRIORITY)], ids=str
)
async def test_a_chosen_send_buffer_or_scheduler_lets_the_kernel_have_it_all(chosen: Option) -> None:
    async with connected(
        listen_with=FEW,
        connect_with={"options": [chosen]},
    ) as pair:
        # Eight times what the peer has space for.
        async with asyncio.timeout(20 * PATIENCE):
            for _ in range(64):
                await pair.client.send(bytes(KIB))


async def test_a_path_mtu_of_one_association_leaves_later_ones_the_default() -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as listener:
        async with connect(listener.local_addresses), await listener.accept() as chosen:
            chosen.set_option(PeerAddressParameters(path_mtu=9000, path_mtu_discovery=False))
            assert chosen.get_option(Status).primary.mtu == 9000
            async with connect(listener.local_addresses), await listener.accept() as later:
                assert later.get_option(Status).primary.mtu == 1500


async def test_a_scheduler_of_one_association_leaves_the_others_to_wait_for_their_peers() -> None:
    async with (
        listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as listener,
        connect(listener.local_addresses, **FEW) as one,
        await listener.accept() as chosen,
        connect(listener.local_addresses, **FEW) as other,
        await listener.accept() as usual,
    ):
        stop_reading(one)
        stop_reading(other)
        chosen.set_option(StreamScheduler(Scheduler.PRIORITY))
        await within(chosen.send_many([bytes(KIB)] * 64))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1 * PATIENCE):
                await usual.send_many([bytes(KIB)] * 64)
        await asyncio.gather(*(conn.abort() for conn in (chosen, usual, one, other)))


async def test_without_them_a_sender_waits_for_the_peer() -> None:
    async with connected(listen_with=FEW) as pair:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1 * PATIENCE):
                for _ in range(64):
                    await pair.client.send(bytes(KIB))
        # A message that the kernel may give up is for it to keep.
        await pair.client.send(bytes(KIB), lifetime=60)


async def test_a_peer_that_says_nothing_for_seconds_is_asked() -> None:
    async with connected(listen_with=FEW) as pair:
        task = asyncio.create_task(_send_forever(pair.client))
        await asyncio.sleep(1)
        before = pair.client.statistics().messages_sent
        async with asyncio.timeout(20 * PATIENCE):
            while pair.client.statistics().messages_sent == before:
                await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# How a sender hears that the peer has space again: nothing tells it, so it looks from time to time


@contextmanager
def questions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Note what the kernel is asked; no sender loses its patience meanwhile."""
    asked: list[int] = []
    ask = KernelSocket.ask

    def noted(sock: KernelSocket, number: int, association_id: int, size: int) -> bytes | None:
        asked.append(number)
        return ask(sock, number, association_id, size)

    with monkeypatch.context() as patches:
        patches.setattr(KernelSocket, "ask", noted)
        patches.setattr(allowance, "PATIENCE", float("inf"))
        yield asked


async def _closed_window(pair: Pair) -> asyncio.Task[None]:
    """Return a task that sends to a client that does not read, and waits."""
    stop_reading(pair.client)
    task = asyncio.create_task(_send_forever(pair.server))
    await until(lambda: pair.server.statistics().waiting_senders == 1)
    await settled(lambda: pair.server.statistics().messages_sent)
    return task


@pytest.mark.parametrize("mode", MODES)
async def test_a_sender_that_waits_for_the_peer_looks_now_and_then(
    monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    async with connected(listen_with={"mode": mode}, connect_with=FEW) as pair:
        with questions(monkeypatch) as asked:
            task = await _closed_window(pair)
            before, woken, sent = len(asked), pair.server.statistics().wakeups, pair.server.statistics()
            await asyncio.sleep(2)
            # Two questions each time.
            assert 4 <= len(asked) - before <= 2 * (2 / MOST_STALL_PAUSE + 1)
            assert pair.server.statistics().wakeups - woken <= 2 / MOST_STALL_PAUSE + 1
            reader = asyncio.create_task(drain(pair.client))
            read_again(pair.client)
            await until(lambda: pair.server.statistics().messages_sent > sent.messages_sent + 100)
            for each in task, reader:
                each.cancel()
            await asyncio.gather(task, reader, return_exceptions=True)


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_sender_has_sent_nothing_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    async with connected(listen_with={"mode": mode}, connect_with=FEW) as pair:
        with questions(monkeypatch):
            task = await _closed_window(pair)
            sent = pair.server.statistics().messages_sent
            waiting = [asyncio.create_task(pair.server.send(b"%d" % number)) for number in range(3)]
            await until(lambda: pair.server.statistics().waiting_senders == 4)
            for each in task, waiting[1]:
                each.cancel()
            await asyncio.gather(task, waiting[1], return_exceptions=True)
            read_again(pair.client)
            got = [(await within(pair.client.receive())).data for _ in range(sent + 2)]
            assert got == [bytes(KIB)] * sent + [b"0", b"2"]
            await within(asyncio.gather(waiting[0], waiting[2]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [16, 500, 3000])
async def test_a_batch_goes_as_the_window_opens(mode: Mode, size: int) -> None:
    count = 100 * KIB // size
    async with connected(listen_with={"mode": mode}, connect_with=FEW) as pair:
        stop_reading(pair.client)
        sent = [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]
        sender = asyncio.create_task(pair.server.send_many(sent))
        await until(lambda: pair.server.statistics().waiting_senders == 1)
        assert 0 < pair.server.statistics().messages_sent < count
        read_again(pair.client)
        assert [(await within(pair.client.receive(), 60)).data for _ in range(count)] == sent
        await within(sender)
        assert pair.server.statistics().messages_sent == count


@pytest.mark.parametrize("mode", MODES)
async def test_flush_and_close_are_about_what_the_kernel_has_taken(mode: Mode) -> None:
    async with connected(listen_with={"mode": mode}, connect_with=FEW) as pair:
        task = await _closed_window(pair)
        await within(pair.server.flush())
        sent = pair.server.statistics().messages_sent
        closing = asyncio.create_task(pair.server.close())
        with pytest.raises(ClosedError):
            await within(task)
        read_again(pair.client)
        assert len([message async for message in pair.client]) == sent
        await within(closing)
