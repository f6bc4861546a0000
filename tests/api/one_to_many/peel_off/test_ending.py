"""How an association ends that was peeled off."""

import asyncio
import gc

import pytest

from api.one_to_many.peel_off.moving import MANY, QUICK, SHUTDOWN_COMP, shared
from sctpio import AssociationAbortedError, AssociationChange, ClosedError, EndOfAssociation, connect, listen
from support import (
    LOCAL,
    PER_SOCKET,
    SMALL,
    collect,
    connected,
    descriptor_count,
    read_again,
    stop_reading,
    turns,
    until,
    within,
)


async def test_a_close_is_graceful_and_delivers_everything_first() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        stop_reading(pair.client)
        await turns()
        events = pair.client.events(AssociationChange)
        sent = [b"%d " % number + bytes(1_000) for number in range(12)]
        await pair.server.send_many(sent[:6])
        await pair.server.peel_off()
        await pair.server.send_many(sent[6:])
        closing = asyncio.create_task(pair.server.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        with pytest.raises(ClosedError):
            await pair.server.send(b"late")
        read_again(pair.client)
        assert [message.data async for message in pair.client] == sent
        await within(closing)
        with pytest.raises(EndOfAssociation):
            await pair.client.receive()
        assert [event.state for event in await collect(events)] == [SHUTDOWN_COMP]
        assert pair.server.is_closed
        with pytest.raises(ClosedError):
            await pair.server.receive()


async def test_closing_drops_what_is_unread_and_still_ends_gracefully() -> None:
    async with shared() as pair:
        await pair.client.send_many([bytes(10_000)] * 5)
        await until(lambda: pair.server.statistics().unread_messages == 5)
        await pair.server.peel_off()
        await pair.client.send_many([bytes(10_000)] * 5)
        await within(pair.server.close())
        with pytest.raises(EndOfAssociation):
            await within(pair.client.receive())


async def test_leaving_the_block_closes_and_an_exception_aborts() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        for error in (None, LookupError):
            client = await connect(listener.local_addresses)
            server = await listener.accept()
            try:
                async with server:
                    await server.peel_off()
                    if error is not None:
                        raise error
            except LookupError:
                pass
            with pytest.raises(EndOfAssociation if error is None else AssociationAbortedError):
                await within(client.receive())


async def test_a_cancelled_close_aborts() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        await pair.server.peel_off()
        stop_reading(pair.client)
        await turns()
        await pair.server.send_many([bytes(1_000)] * 10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await pair.server.close()
        assert pair.server.is_closed
        assert pair.server.fileno() == -1
        read_again(pair.client)
        with pytest.raises(AssociationAbortedError):
            async for _ in pair.client:
                pass


async def test_an_abort_carries_its_cause() -> None:
    async with shared() as pair:
        await pair.server.peel_off()
        receiving = asyncio.create_task(pair.server.receive())
        await turns()
        await pair.server.abort(b"out of service")
        with pytest.raises(ClosedError):
            await receiving
        with pytest.raises(AssociationAbortedError) as caught:
            await within(pair.client.receive())
        assert caught.value.cause == b"out of service"
        assert pair.server.fileno() == -1


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_the_peers_end_is_seen_after_what_it_sent(end: str) -> None:
    async with listen(LOCAL, mode=MANY) as here, listen(LOCAL, mode=MANY) as there:
        # So that its abort can have a cause.
        peer = await there.connect(here.local_addresses)
        server = await here.accept()
        await server.peel_off()
        await peer.send_many([b"1", b"2", b"3"])
        await peer.flush()
        if end == "close":
            await within(peer.close())
        else:
            await peer.abort(b"no more")
        await within(server.wait_closed())
        assert [(await within(server.receive())).data for _ in range(3)] == [b"1", b"2", b"3"]
        error = EndOfAssociation if end == "close" else AssociationAbortedError
        for call in (server.receive, lambda: server.send(b"x"), server.flush, server.peel_off):
            with pytest.raises(error) as caught:
                await within(call())
            if isinstance(caught.value, AssociationAbortedError):
                assert caught.value.cause == b"no more"
        assert server.fileno() == -1


async def test_an_association_that_the_peer_is_shutting_down_can_be_peeled_off() -> None:
    async with connected(listen_with={"mode": MANY, "options": QUICK}, connect_with=SMALL) as pair:
        # Its SHUTDOWN has come; it ends when what we sent is delivered.
        stop_reading(pair.client)
        await turns()
        await pair.client.send(b"the last")
        sent = [b"%d " % number + bytes(1_000) for number in range(12)]
        await pair.server.send_many(sent)
        pair.client._link.socket.raw.shutdown(0)
        await until(lambda: pair.server._association.is_inbound_over)
        await pair.server.peel_off()
        assert not pair.server.is_closed
        with pytest.raises(EndOfAssociation):
            await pair.server.send(b"late")
        assert (await within(pair.server.receive())).data == b"the last"
        read_again(pair.client)
        assert [message.data async for message in pair.client] == sent
        await within(pair.server.wait_closed())
        with pytest.raises(EndOfAssociation):
            await within(pair.server.receive())


async def test_a_peeled_off_conn_that_is_forgotten_warns_and_ends() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        await server.peel_off()
        await server.send(b"the last word")
        before = descriptor_count()
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Conn open"):
            del server
            gc.collect()
        await until(lambda: descriptor_count() <= before - PER_SOCKET)
        assert (await within(client.receive())).data == b"the last word"
        with pytest.raises((EndOfAssociation, AssociationAbortedError)):
            await within(client.receive())
