"""The listener forgets what was peeled off; its socket and its bounds are its own."""

import asyncio
import os

import pytest

from api.one_to_many.peel_off.moving import MANY, NARROW, QUICK, listening_associations, shared, talk
from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationError,
    Conn,
    EndOfAssociation,
    MessageTooLargeError,
    ReceiveBuffer,
    RtoInfo,
    connect,
    listen,
    open_endpoint,
)
from support import (
    KIB,
    LOCAL,
    PATIENCE,
    PER_SOCKET,
    associations,
    connected,
    descriptor_count,
    paired,
    until,
    within,
)

# The listener, and the descriptor


async def test_the_listener_forgets_what_was_peeled_off() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        async with paired(listener, None) as pair, paired(listener, None) as other:
            assert listening_associations(listener) == 2
            await pair.server.peel_off()
            assert listening_associations(listener) == 1
            result = await listener.broadcast(b"to those that are left")
            assert result.reached == (other.server.association_id,)
            assert result.failed == {}
            assert (await within(other.client.receive())).data == b"to those that are left"
            with pytest.raises(AssociationError, match=str(pair.server.association_id)):
                listener.get_option(RtoInfo, association=pair.server.association_id)
            await listener.close()
            await talk(pair.client, pair.server)
            await talk(other.client, other.server)
            assert not pair.client.statistics().unread_messages


async def test_an_association_of_a_closed_listener_can_be_peeled_off() -> None:
    before = descriptor_count()
    async with shared() as pair:
        await pair.listener.close()
        shared_descriptor = pair.server.fileno()
        assert descriptor_count() == before + 2 * PER_SOCKET
        await pair.server.peel_off()
        # The one that was shared went with the last that used it.
        assert descriptor_count() == before + 2 * PER_SOCKET
        assert pair.server.fileno() != shared_descriptor
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(shared_descriptor)
        await talk(pair.client, pair.server)


async def test_the_new_descriptor_neither_blocks_nor_is_inherited() -> None:
    async with shared() as pair:
        before = descriptor_count()
        old = pair.server.fileno()
        assert old == pair.listener.fileno()
        await pair.server.peel_off()
        new = pair.server.fileno()
        assert pair.listener.fileno() == old != new
        assert descriptor_count() == before + PER_SOCKET
        assert not os.get_blocking(new)
        assert not os.get_inheritable(new)
        await talk(pair.client, pair.server)
        await pair.server.close()
        assert pair.server.fileno() == -1
        await pair.client.wait_closed()
        assert descriptor_count() == before - PER_SOCKET


@pytest.mark.parametrize("local", ["127.0.0.1/127.0.0.2:0", "[::1]:0", "[::1]/127.0.0.1:0", ":0"])
async def test_addresses_and_options_stay_those_of_the_association(local: str) -> None:
    async with listen(local, mode=MANY) as listener:
        target = listener.local_addresses
        async with connect(Address(target.hosts[:1], target.port)) as client:
            server = await listener.accept()
            server.set_option(RtoInfo(initial=0.7, minimum=0.2))

            def addresses() -> list[object]:
                ends = server.local_addresses, server.peer_addresses
                return [*((set(end.hosts), end.port) for end in ends), server.primary_path]

            before = addresses()
            counts = server.outbound_streams, server.inbound_streams, server.association_id
            await server.peel_off()
            assert addresses() == before
            assert (server.outbound_streams, server.inbound_streams, server.association_id) == counts
            assert server.get_option(RtoInfo).initial == 0.7
            server.set_option(RtoInfo(initial=0.9, minimum=0.2))
            assert server.get_option(RtoInfo).initial == 0.9
            assert listener.get_option(RtoInfo).initial not in (0.7, 0.9)
            assert server.path(server.primary_path).address == server.primary_path
            await talk(client, server)
            await server.send(b"over a path", path=server.primary_path)
            assert (await client.receive()).data == b"over a path"
            await client.close()
            await within(server.wait_closed())


async def test_an_association_that_was_begun_here_can_be_peeled_off() -> None:
    async with listen(LOCAL, mode=MANY) as here, listen(LOCAL, mode=MANY) as there:
        begun = await here.connect(there.local_addresses)
        accepted = await there.accept()
        await begun.peel_off()
        await accepted.peel_off()
        assert begun.local_addresses == here.local_addresses
        assert accepted.peer_addresses == here.local_addresses
        assert listening_associations(here) == listening_associations(there) == 0
        await talk(begun, accepted)
        await here.close()
        await there.close()
        await talk(begun, accepted)
        await begun.close()
        with pytest.raises(EndOfAssociation):
            await within(accepted.receive())


async def test_a_handler_of_serve_can_peel_off() -> None:
    async def handler(conn: Conn) -> None:
        await conn.peel_off()
        async for message in conn:
            await conn.send(message.data, stream=message.stream)

    async with listen(LOCAL, mode=MANY) as listener:
        serving = asyncio.create_task(listener.serve(handler))
        clients = [await connect(listener.local_addresses) for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send(b"%d" % number, stream=number)
        for number, client in enumerate(clients):
            assert (await within(client.receive())).data == b"%d" % number
        assert listening_associations(listener) == 0
        await listener.close()
        for client in clients:
            await client.close()
        await within(serving)


# Bounds


async def test_peeling_off_the_slow_reader_lets_the_others_go_on() -> None:
    async with listen(LOCAL, mode=MANY, receive_buffer=32 * KIB) as listener:
        async with paired(listener, {"options": QUICK}) as slow, paired(listener, None) as other:
            flooding = asyncio.create_task(slow.client.send_many([bytes(5_000)] * 100))
            await until(lambda: listener.statistics().reading_paused)
            assert listener.statistics().paused_by == (slow.server.association_id,)
            receiving = asyncio.create_task(other.server.receive())
            await slow.server.peel_off()
            assert not listener.statistics().reading_paused
            await other.client.send(b"at last")
            assert (await within(receiving)).data == b"at last"
            # It still has its own bound.
            assert slow.server.statistics().reading_paused
            await asyncio.sleep(0.1)
            assert slow.server.statistics().unread_bytes < 200 * KIB
            for _ in range(100):
                await within(slow.server.receive())
            await flooding


async def test_the_receive_buffer_bounds_what_is_unread_afterwards() -> None:
    listen_with = {"mode": MANY, "receive_buffer": 32 * KIB, "options": [ReceiveBuffer(64 * KIB)]}
    async with connected(listen_with=listen_with, connect_with={"options": QUICK}) as pair:
        await pair.server.peel_off()
        flooding = asyncio.create_task(pair.client.send_many([bytes(5_000)] * 100))
        await until(lambda: pair.server.statistics().reading_paused)
        assert 32 * KIB - 7 * 256 <= pair.server.statistics().unread_bytes <= 200 * KIB
        for _ in range(100):
            assert len((await within(pair.server.receive())).data) == 5_000
        await flooding


@pytest.mark.parametrize("partly", [False, True], ids=["after", "in its middle"])
async def test_a_message_that_is_too_large_ends_the_association(partly: bool) -> None:
    listen_with = {"mode": MANY, "options": NARROW, "max_message_size": 200_000}
    async with connected(listen_with=listen_with, connect_with={"options": NARROW}) as pair:
        if partly:
            await pair.client.send(bytes(300_000))
            # In the turn after the one that brought a part: the rest may be there soon.
            async with asyncio.timeout(20 * PATIENCE):
                while not pair.server._association.partials:
                    await asyncio.sleep(0)
        await pair.server.peel_off()
        if not partly:
            await pair.client.send(bytes(200_001))
        with pytest.raises(MessageTooLargeError, match="200000"):
            await within(pair.server.receive())
        with pytest.raises(AssociationAbortedError):
            await within(pair.client.receive())
        assert pair.server.fileno() == -1


# SharedSocket


async def test_two_hundred_peeled_off_one_after_another_leave_no_descriptor() -> None:
    async with listen(LOCAL, mode=MANY) as listener, open_endpoint(LOCAL) as endpoint:
        before = descriptor_count()
        for number in range(200):
            client = await connect((endpoint if number % 2 else listener).local_addresses)
            await client.send(b"%d" % number)
            if number % 2:
                message = await within(endpoint.receive())
                server = await endpoint.peel_off(message.association_id)
                assert message.data == b"%d" % number
            else:
                server = await listener.accept()
                await server.peel_off()
                assert (await within(server.receive())).data == b"%d" % number
            match number % 8:
                case 0 | 1:
                    await asyncio.gather(client.close(), server.close())
                case 2 | 3:
                    await client.close()
                    await within(server.wait_closed())
                case 4 | 5:
                    await client.abort()
                    with pytest.raises(AssociationAbortedError):
                        await within(server.receive())
                case _:
                    await server.abort(b"enough")
                    with pytest.raises(AssociationAbortedError):
                        await within(client.receive())
        assert descriptor_count() == before
        assert listening_associations(listener) == 0
        assert endpoint.associations == ()
    await until(lambda: not associations())


async def test_many_peeled_off_at_the_same_time_each_keep_their_own_messages() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        clients = [await connect(listener.local_addresses) for _ in range(30)]
        servers = [await listener.accept() for _ in range(30)]
        for number, client in enumerate(clients):
            await client.send(b"before %d" % number)
        await asyncio.gather(*(server.peel_off() for server in servers))
        assert len({server.fileno() for server in servers}) == 30
        for number, client in enumerate(clients):
            await client.send(b"after %d" % number)
        ports = [client.local_addresses.port for client in clients]
        for server in servers:
            number = ports.index(server.peer_addresses.port)
            assert (await within(server.receive())).data == b"before %d" % number
            assert (await within(server.receive())).data == b"after %d" % number
        await asyncio.gather(*(server.close() for server in servers))
        for client in clients:
            await within(client.wait_closed())
