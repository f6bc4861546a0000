"""A graceful end that is begun without waiting: `Conn.shutdown`."""

import pytest

from sctpio import ClosedError, EndOfAssociation
from support import connected, drain, until, within

pytestmark = [pytest.mark.both_modes, pytest.mark.both_loops]


async def test_what_the_peer_still_sends_can_be_read() -> None:
    async with connected() as (client, server, _):
        await server.send_many([b"%d" % number for number in range(20)])
        await client.send(b"the last")
        await client.shutdown()
        # The SHUTDOWN waits for nothing here: what the peer sends meets it on the way.
        received = [message.data async for message in client]
        assert received == [b"%d" % number for number in range(20)]
        assert [message.data async for message in server] == [b"the last"]
        with pytest.raises(EndOfAssociation):
            await client.receive()
        await within(client.wait_closed())
        assert client.is_closed


async def test_nothing_more_can_be_sent() -> None:
    async with connected() as (client, server, _):
        await client.shutdown()
        with pytest.raises(ClosedError, match="shut down here"):
            await client.send(b"late")
        with pytest.raises(ClosedError, match="shut down here"):
            await client.send_many([b"late"])
        await within(drain(server))
        await within(server.close())
        await within(client.close())


async def test_a_close_after_it_drops_the_rest_and_waits() -> None:
    async with connected() as (client, server, _):
        await server.send(b"unread")
        await client.shutdown()
        await client.shutdown()
        await within(client.close())
        assert client.is_closed
        with pytest.raises(ClosedError):
            await client.receive()
        await until(lambda: server.is_closed)


async def test_it_does_nothing_after_the_end() -> None:
    async with connected() as (client, server, _):
        await server.close()
        await within(drain(client))
        await client.shutdown()
        await client.close()
        await client.shutdown()
