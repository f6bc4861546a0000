"""What `UsrsctpSocket` makes up for: a default reliability that usrsctp ignores, counts that are totals."""

import asyncio
from collections.abc import Callable

import pytest

from sctpio import (
    AssociationChange,
    AssociationState,
    Conn,
    DefaultPrInfo,
    ErrorCause,
    Mode,
    PeerAddressParameters,
    PrAssociationStatus,
    Status,
    StreamChange,
    StreamResetFlags,
    connect,
    listen,
)
from sctpio.stacks.base import Head, SendExtras, StackSocket
from sctpio.stacks.usrsctp.socket import STACK
from sctpio.testing import QUICK, Relay, connected
from support import until

NEVER_AGAIN = DefaultPrInfo(max_retransmissions=0)
NOTHING = StreamResetFlags(0)


def raw_of(conn: Conn) -> StackSocket:
    return conn._link.socket.raw


def single(raw: StackSocket, association_id: int) -> None:
    assert raw.send(association_id, b"x", 1, 0, 0, 0, None)


def with_extras(raw: StackSocket, association_id: int) -> None:
    assert raw.send(association_id, b"x", 1, 0, 0, 0, SendExtras())


def batch(raw: StackSocket, association_id: int) -> None:
    assert raw.send_batch(association_id, [(b"x", Head(1, 0, 0, 0))], True) == 1


def given_up(conn: Conn) -> int:
    status = conn.get_option(PrAssociationStatus)
    return (status.abandoned_sent or 0) + (status.abandoned_unsent or 0)


@pytest.mark.parametrize("send", [single, with_extras, batch])
async def test_a_default_is_named_with_each_message(send: Callable[[StackSocket, int], None]) -> None:
    async with Relay(stack="usrsctp") as relay, connected(relay=relay, options=QUICK) as (client, _):
        raw = raw_of(client)
        raw.set_option(NEVER_AGAIN, client.association_id)
        relay.cut()
        send(raw, client.association_id)
        await until(lambda: given_up(client) == 1)


@pytest.mark.parametrize("send", [single, batch])
async def test_a_default_that_is_taken_back_counts_no_more(send: Callable[[StackSocket, int], None]) -> None:
    async with Relay(stack="usrsctp") as relay, connected(relay=relay, options=QUICK) as (client, server):
        raw = raw_of(client)
        raw.set_option(NEVER_AGAIN, client.association_id)
        raw.set_option(DefaultPrInfo(), client.association_id)
        relay.cut()
        send(raw, client.association_id)
        await asyncio.sleep(0.5)
        relay.heal()
        assert (await server.receive()).data == b"x"
        assert given_up(client) == 0


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
async def test_an_accepted_association_has_what_the_listener_had_when_it_began(mode: Mode) -> None:
    async with (
        Relay(stack="usrsctp") as relay,
        listen("127.0.0.1:0", mode=mode, options=QUICK, stack="usrsctp") as listener,
    ):
        raw = listener._raw
        for option, expected in ((NEVER_AGAIN, 1), (DefaultPrInfo(), 0)):
            raw.set_option(option, 0)
            async with relay.connect(listener.local_addresses, options=QUICK) as client:
                raw.set_option(DefaultPrInfo() if expected else NEVER_AGAIN, 0)
                server = await listener.accept()
                relay.cut()
                single(raw_of(server), server.association_id)
                if expected:
                    await until(lambda conn=server: given_up(conn) == 1)  # type: ignore[misc]
                relay.heal()
                if not expected:
                    assert (await client.receive()).data == b"x"
                    assert given_up(server) == 0
                await client.abort()
                await server.abort()


async def test_a_default_moves_along() -> None:
    """It is there in an adopted socket and in one that was peeled off."""
    async with Relay(stack="usrsctp") as relay, connected(relay=relay, options=QUICK) as (client, _):
        raw_of(client).set_option(NEVER_AGAIN, client.association_id)
        adopted = await Conn.from_fd(client.detach(), stack="usrsctp")
        relay.cut()
        single(raw_of(adopted), adopted.association_id)
        await until(lambda: given_up(adopted) == 1)
        await adopted.abort()
    async with (
        Relay(stack="usrsctp") as relay,
        connected(relay=relay, mode=Mode.ONE_TO_MANY, options=QUICK) as (_, server),
    ):
        raw_of(server).set_option(NEVER_AGAIN, server.association_id)
        await server.peel_off()
        relay.cut()
        single(raw_of(server), server.association_id)
        await until(lambda: given_up(server) == 1)


async def test_nobody_asks_where_no_default_was_ever_set(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listen("127.0.0.1:0", stack="usrsctp") as listener:
        client = await connect(listener.local_addresses, stack="usrsctp")
        server = await Conn.from_fd((await listener.accept()).detach(), stack="usrsctp")
        for conn in (client, server):
            monkeypatch.setattr(type(raw_of(conn)), "get_option", None)
            single(raw_of(conn), conn.association_id)
            batch(raw_of(conn), conn.association_id)
            monkeypatch.undo()
        await client.abort()
        await server.abort()


def change(
    state: AssociationState, association_id: int, outbound: int = 10, inbound: int = 10
) -> AssociationChange:
    return AssociationChange(state, ErrorCause.NO_ERROR, outbound, inbound, association_id)


def test_a_stream_change_has_the_streams_that_were_added() -> None:
    sock = STACK.open()
    try:
        pack, up = sock.codec.encode_event, AssociationState.COMM_UP
        for event in (change(up, 5), change(up, 6, 1, 2)):
            assert sock.decode_event(pack(event)) == event
        for totals, added in (((13, 10), (3, 0)), ((13, 10), (0, 0)), ((13, 14), (0, 4))):
            told = StreamChange(NOTHING, *totals, 5)
            assert sock.decode_event(pack(told)) == StreamChange(NOTHING, *added, 5)
        assert sock.decode_event(pack(StreamChange(NOTHING, 3, 2, 6))) == StreamChange(NOTHING, 1, 1, 6)
        # A restart is another beginning, and a number may come again.
        for state in (AssociationState.RESTART, AssociationState.SHUTDOWN_COMP, up):
            sock.decode_event(pack(change(state, 5)))
        assert sock.decode_event(pack(StreamChange(NOTHING, 11, 10, 5))) == StreamChange(NOTHING, 1, 0, 5)
    finally:
        sock.close()


async def test_streams_are_counted_on_from_a_status() -> None:
    """As in an adopted socket, which does not read that its association came up."""
    async with connected(stack="usrsctp") as (client, _):
        adopted = STACK.adopt(client.detach())
        try:
            status = adopted.get_option(Status, 0, None)
            event = StreamChange(
                NOTHING, status.inbound_streams, status.outbound_streams + 2, status.association_id
            )
            expected = StreamChange(NOTHING, 0, 2, status.association_id)
            assert adopted.decode_event(adopted.codec.encode_event(event)) == expected
        finally:
            adopted.abort(0, b"")
            adopted.close()


async def test_a_heartbeat_on_demand_without_an_address_goes_to_the_peer() -> None:
    async with Relay(stack="usrsctp") as relay, connected(relay=relay) as (client, _):
        await client.flush()
        before = relay.to_client.counters.received
        client.set_option(PeerAddressParameters(demand_heartbeat=True))
        # It is answered.
        await until(lambda: relay.to_client.counters.received > before)
