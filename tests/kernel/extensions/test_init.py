"""What INIT offers, and path MTU probing (RFC 8899)."""

import asyncio

import pytest

import sctpio
from kernel.extensions.analyst import ADAPTATION, ECN, HEARTBEAT, HEARTBEAT_ACK, INIT, INIT_ACK, PAD, Analyst
from kernel.lab import Lab, data_of, joined
from sctpio import Adaptation, AdaptationIndication, EcnSupported, PlpmtudProbeInterval
from support import PATIENCE, connected, path_of, until

# Timers of the kernel take their time on any loop.
pytestmark = pytest.mark.one_loop


# Path MTU probing (RFC 8899)


async def test_path_mtu_probes(analyst: Analyst, lab: Lab) -> None:
    """With PlpmtudProbeInterval heartbeats padded to a size are sent, and the peer answers them."""
    interval = 5.0
    with analyst.look(lab.links[0].here) as seen:
        async with joined(lab, connect_with={"options": (PlpmtudProbeInterval(interval=interval),)}) as pair:
            port = pair.client.local_addresses.port
            path = path_of(pair.client)
            assert pair.client.get_option(PlpmtudProbeInterval, path=path) == PlpmtudProbeInterval(
                path, interval
            )
            before = pair.client.get_option(sctpio.AssociationStatistics).control_chunks_sent
            await until(
                lambda: pair.client.get_option(sctpio.AssociationStatistics).control_chunks_sent > before,
                seconds=20,
            )
            pair.client.set_option(PlpmtudProbeInterval(path, 0.0))
            assert pair.client.get_option(PlpmtudProbeInterval, path=path) == PlpmtudProbeInterval(path, 0.0)
            await pair.client.send(b"goes on")
            assert await data_of(pair.server) == b"goes on"
    probes = {chunk.packet for chunk in seen if chunk.type == PAD and chunk.port == port}
    assert probes
    assert probes <= {chunk.packet for chunk in seen if chunk.type == HEARTBEAT and chunk.port == port}
    answers = {chunk.packet for chunk in seen if chunk.type == HEARTBEAT_ACK and chunk.port != port}
    assert any(packet > min(probes) for packet in answers)


# What INIT says


@pytest.mark.parametrize("on", [True, False])
async def test_ecn_is_offered_where_it_is_on(analyst: Analyst, on: bool) -> None:
    """EcnSupported is the ECN parameter of INIT; an association has it where both ends do."""
    with analyst.look() as seen:
        async with connected(connect_with={"options": (EcnSupported(on),)}) as pair:
            assert pair.client.get_option(EcnSupported) == EcnSupported(on)
            assert pair.server.get_option(EcnSupported) == EcnSupported(on)
    inits = [chunk.all("sctp.parameter_type") for chunk in seen if chunk.type in (INIT, INIT_ACK)]
    assert [ECN in parameters for parameters in inits] == [on, on]


async def test_adaptation_indication(analyst: Analyst) -> None:
    """Adaptation is a parameter of INIT and INIT ACK, and an event at the other end."""
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": (Adaptation(0x01020304),), "events": [AdaptationIndication]},
            connect_with={"options": (Adaptation(0xFFFFFFFF),), "events": [AdaptationIndication]},
        ) as pair:
            for conn, expected in ((pair.client, 0x01020304), (pair.server, 0xFFFFFFFF)):
                async with asyncio.timeout(10 * PATIENCE):
                    event = await anext(conn.events(AdaptationIndication))
                assert isinstance(event, AdaptationIndication)
                assert event.indication == expected
    told = {
        chunk.type: chunk["sctp.adaptation_layer_indication"]
        for chunk in seen
        if ADAPTATION in chunk.all("sctp.parameter_type")
    }
    assert told == {INIT: 0xFFFFFFFF, INIT_ACK: 0x01020304}
