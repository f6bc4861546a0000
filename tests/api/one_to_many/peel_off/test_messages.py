"""Peeling off loses no message and changes no order, whatever is under way."""

import asyncio
import random

import pytest

from api.one_to_many.peel_off.moving import MANY, NARROW, listening_associations, shared, talk
from sctpio import Conn, FragmentInterleave, InterleavingSupported, Option, Scheduler, StreamScheduler, listen
from support import KIB, LOCAL, PATIENCE, Pair, paired, read_again, stop_reading, turns, until, within


async def test_what_came_before_is_received_before_what_comes_after() -> None:
    async with shared() as pair:
        await pair.client.send_many([b"0", b"1"])
        await until(lambda: pair.server.statistics().unread_messages == 2)
        stop_reading(pair.server)
        await turns()
        await pair.client.send_many([b"2", b"3"])
        await until(lambda: pair.client.status().unacknowledged == 0)
        # Two are here, two still in the kernel.
        assert pair.server.statistics().unread_messages == 2
        assert await pair.server.peel_off() is pair.server
        await pair.client.send_many([b"4", b"5"])
        got = [await within(pair.server.receive()) for _ in range(6)]
        assert [message.data for message in got] == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert {message.association_id for message in got} == {pair.server.association_id}
        assert pair.server.statistics().messages_received == 6


@pytest.mark.parametrize("moment", ["at once", "while it is read", "when much is unread"])
@pytest.mark.parametrize("size", [10, 2_000])
async def test_a_flood_goes_on_without_loss_or_disorder(size: int, moment: str) -> None:
    count = 400
    async with listen(LOCAL, mode=MANY, receive_buffer=128 * KIB) as listener:
        async with paired(listener, None) as pair, paired(listener, None) as other:

            async def flood(conn: Conn) -> None:
                for number in range(count):
                    await conn.send(b"%d " % number + bytes(size), stream=number % 4, ppid=number)
                    if number % 7 == 0:
                        await asyncio.sleep(0)

            async def read(conn: Conn, peel_at: int | None) -> dict[int, list[int]]:
                got: dict[int, list[int]] = {}
                for number in range(count):
                    if number == peel_at:
                        await conn.peel_off()
                    message = await within(conn.receive())
                    assert message.data == b"%d " % message.ppid + bytes(size)
                    got.setdefault(message.stream, []).append(message.ppid)
                return got

            floods = [asyncio.create_task(flood(both.client)) for both in (pair, other)]
            beside = asyncio.create_task(read(other.server, None))
            if moment == "when much is unread":
                await until(lambda: pair.server.statistics().unread_messages > 50)
            got = await read(pair.server, 0 if moment == "at once" else 60)
            assert pair.server.fileno() != listener.fileno()
            expected = {stream: list(range(stream, count, 4)) for stream in range(4)}
            assert got == expected
            assert await beside == expected
            await asyncio.gather(*floods)
            assert listening_associations(listener) == 1
            for both in (pair, other):
                assert both.server.statistics().unread_messages == 0
                await talk(both.client, both.server)


# With I-DATA, messages of several streams come in parts at the same time.
INTERLEAVED: tuple[Option, ...] = (
    FragmentInterleave(1),
    InterleavingSupported(),
    StreamScheduler(Scheduler.ROUND_ROBIN),
)

NO_I_DATA = pytest.mark.kernel_only("usrsctp 0.9.5 has no I-DATA")


@pytest.mark.parametrize("kind", ["ordered", "unordered", pytest.param("interleaved", marks=NO_I_DATA)])
async def test_large_messages_in_the_middle_of_their_delivery_move_whole(kind: str) -> None:
    count = 9
    unordered, under_way = kind == "unordered", 2 if kind == "interleaved" else 1
    random_ = random.Random(1)
    sent = [random_.randbytes(random_.randrange(100_000, 200_000)) for _ in range(count)]
    settings = (*(INTERLEAVED if kind == "interleaved" else ()), *NARROW)
    async with listen(LOCAL, mode=MANY, options=settings) as listener:
        options = {"options": settings}
        async with paired(listener, options) as pair, paired(listener, options) as other:

            async def flood(conn: Conn) -> None:
                for number, data in enumerate(sent):
                    await conn.send(data, stream=number % 3, ppid=number, unordered=unordered)
                    await conn.send(b"small", stream=5, ppid=number)

            async def read(conn: Conn) -> None:
                large: list[int] = []
                small: list[int] = []
                while len(large) < count or len(small) < count:
                    message = await within(conn.receive())
                    if message.stream == 5:
                        small.append(message.ppid)
                    else:
                        assert message.data == sent[message.ppid]
                        assert message.unordered is unordered
                        large.append(message.ppid)
                assert small == list(range(count))
                if unordered:
                    assert sorted(large) == list(range(count))
                else:
                    assert [[n for n in large if n % 3 == k] for k in range(3)] == [
                        list(range(k, count, 3)) for k in range(3)
                    ]

            stop_reading(pair.server)
            floods = [asyncio.create_task(flood(both.client)) for both in (pair, other)]
            beside = asyncio.create_task(read(other.server))
            # As much has come as the windows take. No more of it is read than it takes to be in the middle.
            await until(lambda: pair.client.statistics().waiting_senders == 1)
            partials, socket = pair.server._association.partials.open, pair.server._link.socket
            async with asyncio.timeout(20 * PATIENCE):
                while len(partials) < under_way:
                    socket._read_batch(128 * KIB, 1)
                    await asyncio.sleep(0)
            await pair.server.peel_off()
            read_again(other.server)
            await read(pair.server)
            await beside
            await asyncio.gather(*floods)
            await talk(pair.client, pair.server)


async def test_claimed_streams_stay_claimed() -> None:
    async with shared() as pair:
        claimed = pair.server.stream(2, ppid=9)
        await pair.client.send(b"first", stream=2)
        assert (await claimed.receive()).data == b"first"
        await pair.client.send(b"second", stream=2)
        await pair.client.send(b"other", stream=1)
        await until(lambda: pair.server.statistics().unread_messages == 2)
        await pair.server.peel_off()
        await pair.client.send(b"third", stream=2)
        await pair.client.send(b"another", stream=1)
        assert [(await within(pair.server.receive())).data for _ in range(2)] == [b"other", b"another"]
        assert [(await within(claimed.receive())).data for _ in range(2)] == [b"second", b"third"]
        assert (await within(_claim_and_wait(pair, 7))) == b"claimed after"
        await claimed.send(b"back")
        message = await within(pair.client.receive())
        assert (message.data, message.stream, message.ppid) == (b"back", 2, 9)


async def _claim_and_wait(pair: Pair, stream: int) -> bytes:
    waiting = asyncio.create_task(pair.server.stream(stream).receive())
    await turns()
    await pair.client.send(b"claimed after", stream=stream)
    return (await waiting).data
