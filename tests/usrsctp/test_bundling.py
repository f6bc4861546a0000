"""`send_many` on usrsctp: small messages share packets, by Nagle's algorithm while the call lasts."""

import asyncio

import pytest

from sctpio import NoDelay, ReceiveBuffer, SendBuffer
from sctpio.testing import Relay, connected
from support import KIB, PATIENCE, read_again, stop_reading, until, within

pytestmark = pytest.mark.one_loop

SMALL = [b"message %04d" % number for number in range(50)]


async def packets_of(bundle: bool) -> int:
    """Return how many packets went to the server, for the messages and with acknowledgements."""
    async with Relay(stack="usrsctp") as relay, connected(relay=relay) as (client, server):
        await client.send(b"first")
        await within(server.receive())
        await client.flush()
        before = relay.to_server.counters.received
        await client.send_many(SMALL, bundle=bundle)
        assert [(await within(server.receive())).data for _ in SMALL] == SMALL
        await client.flush()
        assert client.get_option(NoDelay) == NoDelay(True)
        return relay.to_server.counters.received - before


async def test_small_messages_share_packets() -> None:
    assert await packets_of(bundle=True) <= 4


async def test_each_has_a_packet_of_its_own_without_it() -> None:
    assert await packets_of(bundle=False) >= len(SMALL)


async def test_nagles_algorithm_stays_on_where_it_was() -> None:
    async with connected(stack="usrsctp", options=[NoDelay(False)]) as (client, server):
        await client.send_many(SMALL)
        assert [(await within(server.receive())).data for _ in SMALL] == SMALL
        assert client.get_option(NoDelay) == NoDelay(False)


async def test_cancelled_while_it_waits_for_space() -> None:
    """What was counted as sent arrives, although nothing is sent after it."""
    options = [ReceiveBuffer(8 * KIB), SendBuffer(16 * KIB)]
    sent = SMALL * 200
    async with connected(stack="usrsctp", options=options) as (client, server):
        stop_reading(server)
        sending = asyncio.create_task(client.send_many(sent))
        await until(lambda: client.statistics().waiting_senders == 1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        count = client.statistics().messages_sent
        assert 0 < count < len(sent)
        assert client.get_option(NoDelay) == NoDelay(True)
        read_again(server)
        async with asyncio.timeout(20 * PATIENCE):
            assert [(await server.receive()).data for _ in range(count)] == sent[:count]
        await within(client.flush())
