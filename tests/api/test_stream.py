"""Stream: both directions of one number, and who gets its messages."""

import asyncio

import pytest

from sctpio import InitMsg, StreamOutOfRangeError
from support import Pair, connected, until

pytestmark = [pytest.mark.both_loops, pytest.mark.both_modes]


async def test_a_stream_sends_with_its_number_and_ppid(pair: Pair) -> None:
    stream = pair.client.stream(3, ppid=60)
    assert (stream.id, stream.ppid) == (3, 60)
    await stream.send(b"default")
    await stream.send(b"other", ppid=18, unordered=True)
    first, second = await pair.server.receive(), await pair.server.receive()
    assert (first.stream, first.ppid, first.unordered) == (3, 60, False)
    assert (second.stream, second.ppid, second.unordered) == (3, 18, True)


async def test_the_first_read_claims_what_is_buffered_and_what_comes(pair: Pair) -> None:
    await pair.client.send_many([b"a1", b"a2"], stream=1)
    await pair.client.send_many([b"b1"], stream=2)
    await until(lambda: pair.server.statistics().unread_messages == 3)
    one = pair.server.stream(1)
    assert (await one.receive()).data == b"a1"
    await pair.client.send(b"a3", stream=1)
    await pair.client.send(b"b2", stream=2)
    await until(lambda: pair.server.statistics().unread_messages == 4)
    assert [(await pair.server.receive()).data for _ in range(2)] == [b"b1", b"b2"]
    assert [(await one.receive()).data for _ in range(2)] == [b"a2", b"a3"]


async def test_a_stream_that_only_sends_claims_nothing(pair: Pair) -> None:
    stream = pair.server.stream(1)
    await stream.send(b"out")
    await pair.client.send(b"in", stream=1)
    assert (await pair.server.receive()).data == b"in"


async def test_stream_objects_of_one_number_share_its_messages(pair: Pair) -> None:
    await pair.client.send_many([b"1", b"2"], stream=4)
    assert (await pair.server.stream(4).receive()).data == b"1"
    assert (await pair.server.stream(4).receive()).data == b"2"


async def test_tasks_on_different_streams_each_get_their_own(pair: Pair) -> None:
    async def reader(number: int) -> list[bytes]:
        return [message.data async for message in pair.server.stream(number)]

    tasks = [asyncio.create_task(reader(number)) for number in range(5)]
    for index in range(20):
        for number in range(5):
            await pair.client.send(b"%d" % index, stream=number)
    await pair.client.close()
    for received in await asyncio.gather(*tasks):
        assert received == [b"%d" % index for index in range(20)]


async def test_numbers_of_one_direction_only() -> None:
    streams = {"outbound_streams": 3, "inbound_streams": 8}
    async with connected(
        listen_with={"init": InitMsg(outbound_streams=8, inbound_streams=8)},
        connect_with={"init": InitMsg(**streams)},
    ) as pair:
        assert (pair.client.outbound_streams, pair.client.inbound_streams) == (3, 8)
        assert (pair.server.outbound_streams, pair.server.inbound_streams) == (8, 3)
        inbound_only = pair.client.stream(7)
        with pytest.raises(StreamOutOfRangeError, match="no stream 7.* 3 streams"):
            await inbound_only.send(b"x")
        await pair.server.send(b"down", stream=7)
        assert (await inbound_only.receive()).data == b"down"
        outbound_only = pair.server.stream(5)
        with pytest.raises(StreamOutOfRangeError, match="no stream 5.* 3 streams"):
            await outbound_only.receive()
        for bad in (8, -1, 65_536, True, "1"):
            with pytest.raises(StreamOutOfRangeError):
                pair.client.stream(bad)  # type: ignore[arg-type]
