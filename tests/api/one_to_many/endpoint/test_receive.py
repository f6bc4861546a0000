"""An Endpoint's messages: of all associations, in the order in which they came."""

import asyncio
import random

import pytest

from api.one_to_many.endpoint.joined import Peer, assert_from, joined, unread
from sctpio import connect, open_endpoint
from support import LOCAL, until, within


async def test_messages_of_all_associations_come_in_the_order_of_their_arrival() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        order = [one, two, two, one, two, one]
        for number, peer in enumerate(order):
            await peer.conn.send(b"%d" % number, stream=number, ppid=60 + number, unordered=number == 2)
            await unread(endpoint, number + 1)
        for number, peer in enumerate(order):
            message = await endpoint.receive()
            assert (message.data, message.stream, message.ppid) == (b"%d" % number, number, 60 + number)
            assert message.unordered is (number == 2)
            assert message.association_id == peer.id
            assert_from(message, peer.conn)


async def test_async_for_gives_the_messages_of_associations_that_come_and_go() -> None:
    async with open_endpoint(LOCAL) as endpoint:

        async def talk(name: bytes) -> None:
            async with connect(endpoint.local_addresses) as conn:
                for number in range(20):
                    await conn.send(b"%s %d" % (name, number))

        talking = asyncio.gather(talk(b"a"), talk(b"b"), talk(b"c"))
        got: dict[bytes, list[int]] = {b"a": [], b"b": [], b"c": []}
        async for message in endpoint:
            name, number = message.data.split()
            got[name].append(int(number))
            if sum(map(len, got.values())) == 60:
                break
        assert got == {name: list(range(20)) for name in got}
        await talking


async def test_cancelled_receives_lose_and_double_nothing() -> None:
    random_ = random.Random(1)
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:

        async def send(peer: Peer) -> None:
            for number in range(150):
                await peer.conn.send(b"%d" % number)
                await asyncio.sleep(0)

        sending = asyncio.gather(send(one), send(two))
        got: dict[int, list[int]] = {one.id: [], two.id: []}
        while sum(map(len, got.values())) < 300:
            task = asyncio.create_task(endpoint.receive())
            for _ in range(random_.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(result, BaseException):
                got[result.association_id].append(int(result.data))
        await sending
        assert got == {peer.id: list(range(150)) for peer in (one, two)}


async def test_the_message_of_a_woken_and_cancelled_receiver_goes_to_the_next() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        first, second = (asyncio.create_task(endpoint.receive()) for _ in range(2))
        waiters = endpoint._unread.inbox.waiters
        await until(lambda: len(waiters) == 2)
        waiters.wake()
        first.cancel()
        await peer.conn.send(b"for the second")
        assert (await within(second)).data == b"for the second"
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_what_came_before_an_association_ended_is_received(end: str) -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer, joined(endpoint) as other:
        await peer.conn.send_many([b"1", b"2", b"3"])
        await peer.conn.flush()
        await getattr(peer.conn, end)()
        await until(lambda: endpoint.associations == (other.id,))
        await other.conn.send(b"4")
        await unread(endpoint, 4)
        got = [await endpoint.receive() for _ in range(4)]
        assert [message.data for message in got] == [b"1", b"2", b"3", b"4"]
        assert [message.association_id for message in got] == [peer.id] * 3 + [other.id]


async def test_what_an_ended_association_left_unread_is_counted() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        await peer.conn.send(b"12345")
        await unread(endpoint, 1)
        await peer.conn.close()
        await until(lambda: not endpoint.associations)
        statistics = endpoint.statistics()
        assert (statistics.associations, statistics.unread_messages, statistics.unread_bytes) == (0, 1, 5)
