"""Step 9: tests of the gateway, on any machine: `pytest test_gateway.py`."""

import asyncio

import pytest
from gateway import ALARMS, READINGS, collect

from sctpio import AssociationAbortedError
from sctpio.testing import Faults, Pair, RelayedPair

pytestmark = pytest.mark.asyncio


async def test_alarms_are_answered_before_readings_are_read(sctp_pair: Pair) -> None:
    station, server = sctp_pair
    serving = asyncio.create_task(collect(server))
    await station.send(b"98.0", stream=ALARMS)
    assert (await station.stream(ALARMS).receive()).data == b"help is coming"
    await station.close()
    await serving


async def test_every_reading_is_noted_over_a_bad_line(sctp_relayed_pair: RelayedPair) -> None:
    station, server, relay = sctp_relayed_pair
    relay.faults = Faults(loss=0.1, reorder=0.05)
    serving = asyncio.create_task(collect(server))
    for _ in range(20):
        await station.send(b"21.5", stream=READINGS)
    answers = [(await station.receive()).data for _ in range(20)]
    assert answers == [b"noted"] * 20
    await station.close()
    await serving


async def test_an_abort_ends_the_handler(sctp_pair: Pair) -> None:
    station, server = sctp_pair
    serving = asyncio.create_task(collect(server))
    await station.abort()
    with pytest.raises(ExceptionGroup) as caught:
        await serving
    assert caught.group_contains(AssociationAbortedError)
