"""Situations that users of other SCTP programs reported; each name says whose tracker it is from."""

import asyncio

import pytest

from sctpio import (
    EnableStreamReset,
    EndOfAssociation,
    Mode,
    ReconfigSupported,
    connect,
    listen,
    open_endpoint,
)
from support import Pair, connected, within

pytestmark = pytest.mark.one_loop


async def test_kamailio_2429_the_second_address_of_a_peer_leads_to_the_association_that_is_there() -> None:
    hosts = "127.0.0.1/127.0.0.2:0"
    async with listen(hosts) as listener, open_endpoint(hosts) as endpoint:
        for number, host in enumerate(("127.0.0.1", "127.0.0.2", "127.0.0.1")):
            await within(endpoint.send(b"%d" % number, to=f"{host}:{listener.port}"))
        async with await listener.accept() as server:
            received = [(await within(server.receive())).data for _ in range(3)]
            assert received == [b"0", b"1", b"2"]
            assert len(endpoint.associations) == 1


async def test_ussdgateway_49_peers_with_one_port_are_told_apart_by_their_addresses() -> None:
    async with listen("127.0.0.1:0") as probe:
        port = probe.port
    async with (
        listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as listener,
        connect(listener.local_addresses, local=f"127.0.0.2:{port}") as first,
        await listener.accept() as one,
        connect(listener.local_addresses, local=f"127.0.0.3:{port}") as second,
        await listener.accept() as two,
    ):
        assert one.peer_addresses == first.local_addresses
        assert two.peer_addresses == second.local_addresses
        for _ in range(20):
            await first.send(b"of the first")
            await second.send(b"of the second")
            assert (await within(one.receive())).data == b"of the first"
            assert (await within(two.receive())).data == b"of the second"
        for conn in (first, second):
            await conn.abort()
        for conn in (one, two):
            await conn.abort()


@pytest.mark.both_modes
async def test_otp_8837_large_messages_between_events_stay_whole() -> None:
    async with connected(listen_with={"receive_batch": 1}) as pair:
        events = pair.server.events()
        for number in range(5):
            sending = asyncio.create_task(pair.client.send(bytes([number]) * 190_000))
            assert (await within(pair.server.receive())).data == bytes([number]) * 190_000
            await pair.server.send(b"answer")
            await within(pair.server.flush())
            await within(pair.client.receive())
            await sending
        await events.aclose()


@pytest.mark.both_modes
async def test_pion_238_a_stream_that_is_reset_with_messages_under_way_is_used_again_at_once() -> None:
    on = {"options": [ReconfigSupported(), EnableStreamReset(reset_streams=True)]}
    async with connected(listen_with=on, connect_with=on) as pair:
        for turn in range(3):
            sent = [b"%d %d" % (turn, number) for number in range(50)]
            for data in sent:
                await pair.client.send(data, stream=3)
            resetting = asyncio.create_task(pair.client.stream(3).reset())
            received = [await within(pair.server.receive()) for _ in sent]
            await within(resetting)
            assert [message.data for message in received] == sent
            assert received[0].ssn == 0


@pytest.mark.both_modes
async def test_sipp_789_closing_what_the_peer_has_closed_is_no_error(pair: Pair) -> None:
    closing = asyncio.create_task(pair.client.close())
    with pytest.raises(EndOfAssociation):
        await within(pair.server.receive())
    for _ in range(2):
        await within(pair.server.close())
    await pair.server.abort()
    await within(closing)
