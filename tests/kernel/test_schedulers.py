"""Stream schedulers (RFC 8260): streams compete for a slow link, and the wire shows who went first."""

import asyncio
import errno
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import pytest

import sctpio
from kernel.capture import Data, Dissector
from kernel.lab import Lab, joined
from sctpio import Conn, Mode, Option, Scheduler, StreamScheduler
from support import PATIENCE, Pair

# Real time passes on these links; the loop makes no difference.
pytestmark = pytest.mark.one_loop

# What leaves takes this long (less than the least RTO there and back), so that everything is queued before
SLOW = f"delay {round(120 * PATIENCE**0.5)}ms rate 2mbit"

# Messages of this size do not share a packet.
SIZE = 1000

# Goes ahead of those that compete, and fills the congestion window: they have to queue.
AHEAD, AHEAD_COUNT = 0, 6


@pytest.fixture
def lab(module_lab: Lab) -> Iterator[Lab]:
    """Give the module's namespace, without the faults of the test before."""
    yield module_lab
    module_lab.clean()


async def queue(conn: Conn, messages: Iterable[tuple[int, int]]) -> int:
    """Queue messages (stream, size) behind a full congestion window: how many that are."""
    sizes = [(AHEAD, SIZE)] * AHEAD_COUNT + list(messages)
    for stream, size in sizes:
        await conn.send(bytes(size), stream=stream)
    return len(sizes)


async def sent_on(
    dissector: Dissector,
    lab: Lab,
    sender: Conn,
    receiver: Conn,
    messages: Iterable[tuple[int, int]],
    then: Callable[[], object] = lambda: None,
) -> list[Data]:
    """Queue messages and do `then`; give the DATA of those that compete, in the order of the wire."""
    lab.netem(SLOW, lab.links[0])
    port = sender.local_addresses.port
    with dissector.capture(lab.links[0].here) as wire:
        count = await queue(sender, messages)
        then()
        async with asyncio.timeout(30 * PATIENCE):
            for _ in range(count):
                await receiver.receive()
    chunks = [chunk for chunk in wire.data(port=port) if chunk.sid != AHEAD]
    # Not a word about the scheduler if the association had sent them one by one.
    assert len(wire.data(port=port)) > len(chunks) == len({chunk.tsn for chunk in chunks})
    return chunks


async def order(
    dissector: Dissector,
    lab: Lab,
    pair: Pair,
    streams: Iterable[int],
    then: Callable[[], object] = lambda: None,
) -> list[int]:
    """Queue a message of one size for each of `streams`: in which order they left."""
    messages = [(stream, SIZE) for stream in streams]
    return [chunk.sid for chunk in await sent_on(dissector, lab, pair.client, pair.server, messages, then)]


def prioritise(conn: Conn, **values: int) -> None:
    """Give streams their values: `s3=7`."""
    for name, value in values.items():
        conn.stream(int(name[1:])).priority = value


def use(scheduler: Scheduler) -> dict[str, tuple[Option, ...]]:
    """Set a scheduler before the association."""
    return {"options": (StreamScheduler(scheduler),)}


MIXED = [3, 3, 1, 2, 3, 1, 1, 2, 2, 3, 1, 2]


# First come, first served


async def test_first_come_first_served_is_the_default(dissector: Dissector, lab: Lab) -> None:
    """Messages leave in the order of `send`, whatever their streams, and values are ignored."""
    async with joined(lab) as pair:
        assert pair.client.get_option(StreamScheduler) == StreamScheduler(Scheduler.FCFS)
        prioritise(pair.client, s1=1, s2=2, s3=3)
        assert [pair.client.stream(sid).priority for sid in (1, 2, 3)] == [0, 0, 0]
        assert await order(dissector, lab, pair, MIXED) == MIXED


# By priority


async def test_a_lower_priority_value_goes_first(dissector: Dissector, lab: Lab) -> None:
    """With PRIORITY all messages of the stream with the lowest value leave before those of the next."""
    async with joined(lab) as pair:
        pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
        prioritise(pair.client, s1=20, s2=10, s3=30)
        assert [pair.client.stream(sid).priority for sid in (0, 1, 2, 3)] == [0, 20, 10, 30]
        assert await order(dissector, lab, pair, MIXED) == [2] * 4 + [1] * 4 + [3] * 4


async def test_the_scheduler_of_options_is_there_from_the_start(dissector: Dissector, lab: Lab) -> None:
    """`options=` of connect sets the scheduler of the association."""
    async with joined(lab, connect_with=use(Scheduler.PRIORITY)) as pair:
        assert pair.client.get_option(StreamScheduler) == StreamScheduler(Scheduler.PRIORITY)
        assert pair.server.get_option(StreamScheduler) == StreamScheduler(Scheduler.FCFS)
        prioritise(pair.client, s1=65535, s2=65534, s3=1)
        assert await order(dissector, lab, pair, MIXED) == [3] * 4 + [2] * 4 + [1] * 4


@pytest.mark.parametrize("mode", Mode)
async def test_the_listeners_scheduler_is_that_of_its_associations(
    dissector: Dissector, lab: Lab, mode: Mode
) -> None:
    """`options=` of listen counts for what the server sends."""
    async with joined(lab, listen_with={**use(Scheduler.PRIORITY), "mode": mode}) as pair:
        assert pair.server.get_option(StreamScheduler) == StreamScheduler(Scheduler.PRIORITY)
        prioritise(pair.server, s1=2, s2=1)
        messages = [(stream, SIZE) for stream in (1, 2, 1, 2, 1, 2)]
        chunks = await sent_on(dissector, lab, pair.server, pair.client, messages)
        assert [chunk.sid for chunk in chunks] == [2] * 3 + [1] * 3


async def test_associations_of_one_socket_have_their_own_schedulers(dissector: Dissector, lab: Lab) -> None:
    """What is set on one association of a one-to-many listener leaves the others as they are."""
    async with joined(lab, listen_with={"mode": Mode.ONE_TO_MANY}) as pair:
        other = await sctpio.connect(pair.listener.local_addresses)
        served = await pair.listener.accept()
        try:
            option = StreamScheduler(Scheduler.PRIORITY)
            pair.listener.set_option(option, association=pair.server.association_id)
            assert pair.server.get_option(StreamScheduler) == option
            assert served.get_option(StreamScheduler) == StreamScheduler(Scheduler.FCFS)
            assert pair.listener.get_option(StreamScheduler) == StreamScheduler(Scheduler.FCFS)
            prioritise(pair.server, s1=2, s2=1)
            messages = [(stream, SIZE) for stream in (1, 2, 1, 2)]
            chunks = await sent_on(dissector, lab, pair.server, pair.client, messages)
            assert [chunk.sid for chunk in chunks] == [2, 2, 1, 1]
            chunks = await sent_on(dissector, lab, served, other, messages)
            assert [chunk.sid for chunk in chunks] == [1, 2, 1, 2]
        finally:
            await served.abort()
            await other.abort()


async def test_streams_of_one_priority_take_turns(dissector: Dissector, lab: Lab) -> None:
    """Of streams with the same value none waits for all messages of another."""
    async with joined(lab, connect_with=use(Scheduler.PRIORITY)) as pair:
        prioritise(pair.client, s1=5, s2=5, s3=4)
        sids = await order(dissector, lab, pair, [1] * 4 + [2] * 4 + [3] * 4)
        assert sids[:4] == [3] * 4
        assert [set(sids[n : n + 2]) for n in range(4, 12, 2)] == [{1, 2}] * 4


async def test_a_priority_counts_for_what_is_queued(dissector: Dissector, lab: Lab) -> None:
    """A value that is set when the messages are queued already reorders them."""
    async with joined(lab, connect_with=use(Scheduler.PRIORITY)) as pair:
        prioritise(pair.client, s1=1, s2=2)
        sids = await order(
            dissector, lab, pair, [1] * 3 + [2] * 3, lambda: prioritise(pair.client, s1=9, s2=8)
        )
        assert sids == [2] * 3 + [1] * 3


async def test_a_scheduler_counts_for_what_is_queued(dissector: Dissector, lab: Lab) -> None:
    """Another scheduler can be chosen while messages wait."""

    async with joined(lab) as pair:

        def change() -> None:
            pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
            prioritise(pair.client, s1=2, s2=1)

        assert await order(dissector, lab, pair, [1] * 3 + [2] * 3, change) == [2] * 3 + [1] * 3


async def test_another_scheduler_forgets_the_values(lab: Lab) -> None:
    """Setting the same one again keeps them."""
    async with joined(lab, connect_with=use(Scheduler.PRIORITY)) as pair:
        prioritise(pair.client, s1=7)
        pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
        assert pair.client.stream(1).priority == 7
        pair.client.set_option(StreamScheduler(Scheduler.ROUND_ROBIN))
        pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
        assert pair.client.stream(1).priority == 0


# In turns


async def test_round_robin(dissector: Dissector, lab: Lab) -> None:
    """Streams take turns, message by message; where one has no more, the others go on."""
    async with joined(lab, connect_with=use(Scheduler.ROUND_ROBIN)) as pair:
        sids = await order(dissector, lab, pair, [1] * 6 + [2] * 4 + [3] * 4)
        assert [set(sids[n : n + 3]) for n in range(0, 12, 3)] == [{1, 2, 3}] * 4
        # Not only each in each round: always in the same turn.
        assert sids[:12] == sids[:3] * 4
        assert sids[12:] == [1, 1]


async def test_fragments_of_a_message_stay_together(dissector: Dissector, lab: Lab) -> None:
    """Without I-DATA streams take turns between messages only: all fragments of one leave in a row."""
    async with joined(lab, connect_with=use(Scheduler.ROUND_ROBIN)) as pair:
        messages = [(1, 4000), (1, 4000), (2, 4000), (2, 4000)]
        chunks = await sent_on(dissector, lab, pair.client, pair.server, messages)
        runs = [(key, sum(chunk.length for chunk in run)) for key, run in groupby(chunks, _message)]
        assert sorted(runs) == [((1, 0), 4000), ((1, 1), 4000), ((2, 0), 4000), ((2, 1), 4000)]
        sids = [sid for (sid, _), _ in runs]
        assert sids == sids[:2] * 2


def _message(chunk: Data) -> tuple[int, int]:
    return chunk.sid, chunk.ssn


# By capacity; the kernel has these since 6.4


def bytes_at_half(chunks: list[Data]) -> dict[int, int]:
    """Count the bytes of each stream that were in the first half of all that was sent."""
    half, total = sum(chunk.length for chunk in chunks) // 2, 0
    counts = dict.fromkeys({chunk.sid for chunk in chunks}, 0)
    for chunk in chunks:
        if total >= half:
            break
        total += chunk.length
        counts[chunk.sid] += chunk.length
    return counts


def lacks(scheduler: Scheduler) -> bool:
    """Whether this kernel has no such scheduler: by asking it, not by its version."""
    return scheduler not in sctpio.capabilities().schedulers


async def test_fair_capacity(dissector: Dissector, lab: Lab) -> None:
    """Streams get the same number of bytes, however large their messages are; or the kernel has it not."""
    async with joined(lab) as pair:
        option = StreamScheduler(Scheduler.FAIR_CAPACITY)
        if lacks(Scheduler.FAIR_CAPACITY):
            await refused_everywhere(lab, pair, option)
            return
        pair.client.set_option(option)
        assert pair.client.get_option(StreamScheduler) == option
        messages = [(1, 1200)] * 10 + [(2, 300)] * 40
        chunks = await sent_on(dissector, lab, pair.client, pair.server, messages)
        counts = bytes_at_half(chunks)
        assert abs(counts[1] - counts[2]) <= 2400, counts


async def test_weighted_fair(dissector: Dissector, lab: Lab) -> None:
    """Streams get bytes by their weights, whatever the order of `send`; or the kernel has it not."""
    async with joined(lab) as pair:
        option = StreamScheduler(Scheduler.WEIGHTED_FAIR)
        if lacks(Scheduler.WEIGHTED_FAIR):
            await refused_everywhere(lab, pair, option)
            return
        pair.client.set_option(option)
        # A stream that nothing was sent on has no weight yet; it begins with 1.
        assert pair.client.stream(1).priority == 0
        prioritise(pair.client, s2=3)
        assert pair.client.stream(2).priority == 3
        chunks = await sent_on(dissector, lab, pair.client, pair.server, [(1, SIZE)] * 20 + [(2, SIZE)] * 20)
        counts = bytes_at_half(chunks)
        assert abs(3 * counts[1] - counts[2]) <= 4 * SIZE, counts
        assert pair.client.stream(1).priority == 1
        with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER_VALUE") as caught:
            pair.client.stream(1).priority = 0
        assert caught.value.errno == errno.EINVAL


async def refused_everywhere(lab: Lab, pair: Pair, option: StreamScheduler) -> None:
    """A scheduler that the kernel lacks is EINVAL, and the one that was set stays."""
    for sock in (pair.client, pair.listener):
        with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER") as caught:
            sock.set_option(option)
        assert caught.value.errno == errno.EINVAL
        assert sock.get_option(StreamScheduler) == StreamScheduler(Scheduler.FCFS)
    with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER") as caught:
        await sctpio.connect(pair.listener.local_addresses, options=(option,))
    assert caught.value.errno == errno.EINVAL


async def test_the_schedulers_that_there_are_can_be_set(lab: Lab) -> None:
    """`capabilities().schedulers` names those that an association takes, and no other one."""
    async with joined(lab) as pair:
        there = sctpio.capabilities().schedulers
        assert {Scheduler.FCFS, Scheduler.PRIORITY, Scheduler.ROUND_ROBIN} <= set(there)
        for scheduler in there:
            pair.client.set_option(StreamScheduler(scheduler))
            assert pair.client.get_option(StreamScheduler) == StreamScheduler(scheduler)
        for scheduler in set(Scheduler) - set(there):
            with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER") as caught:
                pair.client.set_option(StreamScheduler(scheduler))
            assert caught.value.errno == errno.EINVAL
