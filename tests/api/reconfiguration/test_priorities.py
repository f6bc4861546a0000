"""Priorities of streams."""

import errno
from typing import Any

import pytest

from api.reconfiguration.requests import still_works
from sctpio import InitMsg, Scheduler, StreamScheduler
from support import STACK, Pair, connected

pytestmark = pytest.mark.both_modes


async def test_a_priority_is_read_back_and_that_of_one_stream(both: Pair) -> None:
    client, server, _ = both
    client.set_option(StreamScheduler(Scheduler.PRIORITY))
    stream = client.stream(3)
    assert stream.priority == 0
    for value in (1, 65_535, 0, 7):
        stream.priority = value
        assert stream.priority == client.stream(3).priority == value
    assert client.stream(2).priority == 0
    if STACK == "kernel":
        # usrsctp has them only with that scheduler.
        assert server.stream(3).priority == 0
    await still_works(both)


@pytest.mark.kernel_only("without a scheduler of priorities usrsctp refuses them: EINVAL")
async def test_a_priority_goes_with_the_scheduler(both: Pair) -> None:
    stream = both.client.stream(3)
    # The first scheduler of all takes it without a word and keeps nothing.
    stream.priority = 9
    assert stream.priority == 0
    both.client.set_option(StreamScheduler(Scheduler.PRIORITY))
    stream.priority = 9
    assert stream.priority == 9


@pytest.mark.parametrize("value", [-1, 65_536, 1.5, True], ids=repr)
async def test_a_priority_out_of_range(both: Pair, value: Any) -> None:
    both.client.set_option(StreamScheduler(Scheduler.PRIORITY))
    stream = both.client.stream(3)
    stream.priority = 4
    with pytest.raises(ValueError, match="StreamSchedulerValue"):
        stream.priority = value
    assert stream.priority == 4


async def test_a_priority_of_a_stream_that_only_the_peer_has() -> None:
    async with connected(connect_with={"init": InitMsg(outbound_streams=3)}) as pair:
        pair.client.set_option(StreamScheduler(Scheduler.PRIORITY))
        stream = pair.client.stream(5)
        with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER_VALUE|SCTP_SS_VALUE") as caught:
            stream.priority = 1
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="SCTP_STREAM_SCHEDULER_VALUE|SCTP_SS_VALUE"):
            _ = stream.priority
