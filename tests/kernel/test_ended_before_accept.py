"""An association that ends before it is accepted: Linux keeps it, and the next one from its port waits."""

import asyncio

import pytest

from kernel.lab import FAST
from sctpio import AssociationError, Conn, EndOfAssociation, InitMsg, connect, listen
from sctpio.diagnostics import counters
from support import LOCAL, until, within


@pytest.mark.parametrize("gracefully", [True, False], ids=["close", "abort"])
async def test_the_next_one_from_its_port_comes_up_once_it_is_accepted(gracefully: bool) -> None:
    """Accepting is all that it takes: what has ended is closed here at once."""
    async with listen(LOCAL) as listener:
        first = await connect(listener.local_addresses)
        own = first.local_addresses
        await (first.close() if gracefully else first.abort())
        before = counters()["SctpInPktDiscards"]
        init = InitMsg(max_attempts=100)

        async def reconnect() -> Conn:
            return await connect(listener.local_addresses, local=own, init=init, options=[FAST])

        again = asyncio.create_task(reconnect())
        # Its COOKIE ECHO is ignored, again and again.
        await until(lambda: counters()["SctpInPktDiscards"] > before + 2)
        assert not again.done()
        ended = await within(listener.accept())
        with pytest.raises(EndOfAssociation if gracefully else AssociationError):
            await within(ended.receive())
        client = await within(again)
        server = await within(listener.accept())
        await client.send(b"through")
        assert (await within(server.receive())).data == b"through"
        await client.close()
        await server.close()
