"""Each notification is subscribed for itself, on every kind of socket."""

import errno
from types import MappingProxyType
from typing import Any

import pytest

from kernel.events.following import INCOMING, KINDS, RECONFIG, following, rest
from sctpio import (
    Adaptation,
    AdaptationIndication,
    AssociationChange,
    AssociationState,
    AuthenticationEvent,
    Conn,
    Event,
    Mode,
    PeerAddressChange,
    RemoteError,
    SenderDry,
    ShutdownEvent,
    StreamReset,
    connect,
    listen,
    open_endpoint,
)
from sctpio.stacks.base import ALWAYS_SUBSCRIBED, StackSocket
from sctpio.stacks.kernel.socket import KernelSocket
from sctpio.stacks.native import EVENT_SUBSCRIPTION, SOL_SCTP
from support import Style, connected, until

SCTP_EVENT = 127
NUMBERS = {kind: KernelSocket.codec.event_numbers[kind][0] for kind in KINDS}


def subscribed(raw: StackSocket, identifier: int) -> set[type[Event]]:
    """Ask the kernel which events are on (SCTP_EVENT); 0 is what associations to come start with."""
    assert isinstance(raw, KernelSocket)
    on: set[type[Event]] = set()
    for kind, number in NUMBERS.items():
        query = EVENT_SUBSCRIPTION.pack(identifier, number, 0)
        code, answer, _ = raw._query(SOL_SCTP, SCTP_EVENT, query)
        assert code >= 0
        if EVENT_SUBSCRIPTION.unpack_from(answer)[2]:
            on.add(kind)
    return on


def of(conn: Conn) -> set[type[Event]]:
    return subscribed(conn._link.socket.raw, conn.association_id)


BASE = set(ALWAYS_SUBSCRIBED)
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
one_loop = pytest.mark.one_loop


def test_no_event_is_forgotten() -> None:
    assert set(KINDS) == set(KernelSocket.codec.event_numbers)


@one_loop
@by_kind
@pytest.mark.both_modes
async def test_each_is_subscribed_for_itself_before_the_association(kind: type[Event]) -> None:
    async with connected(listen_with={"events": [kind]}, connect_with={"events": [kind]}) as pair:
        assert of(pair.client) == of(pair.server) == BASE | {kind}
        assert subscribed(pair.listener._raw, 0) == BASE | {kind}
        # The first iterator takes over, and its end is that of the subscription.
        events = pair.server.events(kind)
        assert of(pair.server) == BASE | {kind}
        await events.aclose()
        assert of(pair.server) == BASE
        assert of(pair.client) == BASE | {kind}


@one_loop
@by_kind
@pytest.mark.both_modes
async def test_each_is_subscribed_for_itself_on_an_association(kind: type[Event]) -> None:
    async with connected() as pair:
        assert of(pair.server) == of(pair.client) == BASE
        async with pair.server.events(kind):
            async with pair.server.events(kind):
                assert of(pair.server) == BASE | {kind}
            assert of(pair.server) == BASE | {kind}
            assert of(pair.client) == BASE
        assert of(pair.server) == BASE
        assert subscribed(pair.listener._raw, 0) == BASE


@one_loop
@by_kind
@pytest.mark.both_modes
async def test_each_is_subscribed_on_a_listener_for_what_it_accepts(kind: type[Event]) -> None:
    async with listen("127.0.0.1:0", mode=Style.mode) as listener:
        events = listener.events(kind)
        assert subscribed(listener._raw, 0) == BASE | {kind}
        async with connect(listener.local_addresses), await listener.accept() as server:
            assert of(server) == BASE | {kind}
            await events.aclose()
            assert subscribed(listener._raw, 0) == BASE
        await listener.close()


@one_loop
@by_kind
async def test_what_is_peeled_off_keeps_its_subscription(kind: type[Event]) -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, events=[kind]) as listener:
        async with connect(listener.local_addresses), await listener.accept() as server:
            await server.peel_off()
            assert of(server) == BASE | {kind}
            await server.events(kind).aclose()
            assert of(server) == BASE
            async with server.events(kind):
                assert of(server) == BASE | {kind}


@one_loop
@by_kind
async def test_each_is_subscribed_on_an_endpoint(kind: type[Event]) -> None:
    async with open_endpoint("127.0.0.1:0", events=[kind]) as endpoint:
        async with connect(endpoint.local_addresses):
            await until(lambda: len(endpoint.associations) == 1)
            (identifier,) = endpoint.associations
            assert subscribed(endpoint._raw, 0) == BASE | {kind}
            assert subscribed(endpoint._raw, identifier) == BASE | {kind}
            conn = await endpoint.peel_off(identifier)
            assert of(conn) == BASE | {kind}
            await conn.close()


@pytest.mark.both_modes
async def test_all_are_subscribed_but_one_where_none_is_named() -> None:
    async with connected() as pair:
        async with pair.server.events():
            assert of(pair.server) == set(KINDS) - {SenderDry}
        assert of(pair.server) == BASE


async def test_what_a_listener_subscribed_comes_to_a_peeled_off_association() -> None:
    options: dict[str, Any] = {"options": [*RECONFIG, Adaptation(3)]}
    kinds: list[type[Event]] = [AssociationChange, AdaptationIndication, StreamReset]
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, events=kinds, **options) as listener:
        async with connect(listener.local_addresses, **options) as client, await listener.accept() as server:
            await client.stream(1).reset()
            await server.peel_off()
            await client.stream(2).reset()
            events = server.events(*kinds)
            identifier = server.association_id
            seen = [await following(events) for _ in range(4)]
            assert seen[0].state is AssociationState.COMM_UP
            assert seen[1:] == [
                AdaptationIndication(3, identifier),
                StreamReset(INCOMING, (1,), identifier),
                StreamReset(INCOMING, (2,), identifier),
            ]


async def test_an_endpoint_is_told_of_all_its_associations() -> None:
    async with open_endpoint("127.0.0.1:0", options=RECONFIG, events=[StreamReset]) as endpoint:
        async with connect(endpoint.local_addresses, options=RECONFIG) as one:
            async with connect(endpoint.local_addresses, options=RECONFIG) as two:
                await one.stream(1).reset()
                await two.stream(2).reset()
                events = endpoint.events(StreamReset)
                first, second = await following(events), await following(events)
                assert [event.streams for event in (first, second)] == [(1,), (2,)]
                assert {first.association_id, second.association_id} == set(endpoint.associations)


@pytest.mark.both_modes
async def test_what_the_kernel_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected() as pair:
        # A number that no kernel has.
        numbers = {**KernelSocket.codec.event_numbers, AuthenticationEvent: (0x80FE,)}
        monkeypatch.setattr(KernelSocket.codec, "event_numbers", MappingProxyType(numbers))
        for call in (pair.client.events, pair.server.events, pair.listener.events):
            with pytest.raises(OSError, match="SCTP_EVENT AuthenticationEvent") as caught:
                call(StreamReset, AuthenticationEvent)
            assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="AuthenticationEvent"):
            await listen("127.0.0.1:0", mode=Style.mode, events=[AuthenticationEvent])
        # Where none is named, that one is left out.
        async with pair.client.events() as events:
            assert of(pair.client) == set(KINDS) - {SenderDry, AuthenticationEvent}
            await pair.server.close()
            assert [type(event) for event in await rest(events)] == [ShutdownEvent, AssociationChange]


@pytest.mark.both_modes
async def test_a_refused_subscription_leaves_no_other_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will ever iterate over the ones that were granted before the refusal."""
    async with connected() as pair:
        numbers = {**KernelSocket.codec.event_numbers, AuthenticationEvent: (0x80FE,)}
        with monkeypatch.context() as patch:
            patch.setattr(KernelSocket.codec, "event_numbers", MappingProxyType(numbers))
            with pytest.raises(OSError, match="AuthenticationEvent"):
                pair.server.events(PeerAddressChange, RemoteError, AuthenticationEvent, StreamReset)
        assert of(pair.server) == BASE
