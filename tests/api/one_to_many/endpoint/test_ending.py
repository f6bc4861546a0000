"""Ending one association of an Endpoint, and what is said of a number that is no association's."""

import asyncio

import pytest

from api.one_to_many.endpoint.joined import QUICK, called, calls, check_unknown, joined, unread
from sctpio import AssociationAbortedError, AssociationError, EndOfAssociation, open_endpoint
from sctpio.stacks.base import alive
from support import LOCAL, SMALL, associations, read_again, stop_reading, turns, until, within


async def test_shutdown_delivers_what_is_queued_and_leaves_the_others() -> None:
    async with (
        open_endpoint(LOCAL, options=QUICK) as endpoint,
        joined(endpoint, **SMALL) as one,
        joined(endpoint) as two,
    ):
        stop_reading(one.conn)
        await turns()
        sent = [b"%d " % number + bytes(1000) for number in range(30)]
        for data in sent:
            await endpoint.send(data, to=one.id)
        ending = asyncio.create_task(endpoint.shutdown(one.id))
        with pytest.raises(AssociationError):
            while True:
                # Nothing more is taken from the moment that it begins.
                await asyncio.sleep(0)
                await endpoint.send(b"late", to=one.id)
        await asyncio.sleep(0.05)
        assert not ending.done()
        read_again(one.conn)
        assert [message.data async for message in one.conn] == sent
        await within(ending)
        assert endpoint.associations == (two.id,)
        await endpoint.send(b"goes on", to=two.id)
        assert (await two.conn.receive()).data == b"goes on"
        await two.conn.send(b"both ways")
        assert (await within(endpoint.receive())).data == b"both ways"


async def test_a_cancelled_shutdown_aborts() -> None:
    async with open_endpoint(LOCAL, options=QUICK) as endpoint, joined(endpoint, **SMALL) as peer:
        stop_reading(peer.conn)
        await turns()
        for _ in range(10):
            await endpoint.send(bytes(1_000), to=peer.id)
        ending = asyncio.create_task(endpoint.shutdown(peer.id))
        await asyncio.sleep(0.05)
        assert not ending.done()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert endpoint.associations == ()
        read_again(peer.conn)
        with pytest.raises(AssociationAbortedError):
            async for _ in peer.conn:
                pass


async def test_an_abort_carries_its_cause_and_leaves_the_others() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        await endpoint.abort(one.id, b"go away")
        assert endpoint.associations == (two.id,)
        with pytest.raises(AssociationAbortedError) as caught:
            await within(one.conn.receive())
        assert caught.value.cause == b"go away"
        await endpoint.send(b"goes on", to=two.id)
        assert (await two.conn.receive()).data == b"goes on"


@pytest.mark.parametrize("identifier", [-1, 0, 1, 2, 999_999, 2**31 - 1, 2**40])
async def test_the_number_of_no_association_is_an_error_everywhere(identifier: int) -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        await check_unknown(endpoint, identifier)
        await endpoint.send(b"fine", to=peer.id)
        assert (await peer.conn.receive()).data == b"fine"


async def test_the_number_of_an_ended_association_is_an_error_everywhere() -> None:
    async with open_endpoint(LOCAL) as endpoint:
        for end in ("close", "abort"):
            async with joined(endpoint) as peer:
                await getattr(peer.conn, end)()
                await until(lambda: not endpoint.associations)
                await check_unknown(endpoint, peer.id)
        async with joined(endpoint) as peer:
            await within(endpoint.shutdown(peer.id))
            await check_unknown(endpoint, peer.id)
        async with joined(endpoint) as peer:
            await endpoint.abort(peer.id)
            # At once, before its event was read.
            await check_unknown(endpoint, peer.id)
        # Numbers of other sockets are no numbers here.
        async with open_endpoint(LOCAL) as other, joined(other) as peer:
            await check_unknown(endpoint, peer.id)
            await other.send(b"fine", to=peer.id)
            assert (await peer.conn.receive()).data == b"fine"


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_end_that_was_not_yet_told_is_an_error_too(end: str) -> None:
    told = EndOfAssociation if end == "close" else AssociationAbortedError
    errors = [told, None, None, told, OSError, told, told, told]
    async with open_endpoint(LOCAL) as endpoint:
        for number, error in enumerate(errors):
            async with joined(endpoint) as peer:
                await peer.conn.send(b"before the end")
                await unread(endpoint, 1)
                stop_reading(endpoint)
                await turns()
                await within(getattr(peer.conn, end)())
                await until(lambda: not associations() and not alive(endpoint._raw, peer.id))
                result = calls(endpoint, peer.id)[number]
                if error is None:
                    # A shutdown or an abort has what it wants.
                    ending = asyncio.create_task(called(result))
                    await asyncio.sleep(0)
                    read_again(endpoint)
                    await asyncio.gather(within(ending), return_exceptions=end == "abort")
                else:
                    with pytest.raises(error):
                        await within(called(result))
                    read_again(endpoint)
                await until(lambda: not endpoint.associations)
                await check_unknown(endpoint, peer.id)
                assert (await within(endpoint.receive())).data == b"before the end"
