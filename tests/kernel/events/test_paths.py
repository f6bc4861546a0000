"""PeerAddressChange: what becomes of a path."""

from typing import Any

import pytest

from kernel.events.following import following, rest, until_seen
from kernel.lab import FAST, IMPATIENT, Lab, joined
from sctpio import (
    Address,
    AddressState,
    AsconfSupported,
    AuthSupported,
    ExposePotentiallyFailed,
    PathError,
    PathState,
    PeerAddressChange,
    PeerAddressThresholds,
    PrimaryAddress,
    connect,
)
from support import connected, until


def of_path(events: list[Any], host: str) -> list[Any]:
    """Give what was told of one address: state and error."""
    return [(event.state, event.error) for event in events if str(event.address.hosts[0]) == host]


@pytest.mark.both_modes
async def test_a_path_fails_step_by_step_and_comes_back(lab: Lab) -> None:
    options = (
        FAST,
        *IMPATIENT[1:],
        ExposePotentiallyFailed(True),
        PeerAddressThresholds(None, 2, 0, 65535),
    )
    async with joined(lab, links=2, connect_with={"options": options}, listen_with={}) as pair:
        client = pair.client
        other = f"{lab.links[1].remote}:{pair.listener.port}"
        await until(lambda: client.path(other).state is PathState.ACTIVE)
        client.set_primary(other)
        events = client.events(PeerAddressChange)
        lab.cut(lab.links[0])
        down = await until_seen(
            events, lambda event: event.state in (AddressState.UNREACHABLE, AddressState.AVAILABLE)
        )
        dead = lab.links[0].remote
        assert {event.association_id for event in down} == {client.association_id}
        assert {event.address for event in down} == {Address(dead, pair.listener.port)}
        assert of_path(down, dead) == [
            (AddressState.POTENTIALLY_FAILED, PathError.FAILED_THRESHOLD),
            (AddressState.UNREACHABLE, PathError.FAILED_THRESHOLD),
        ]
        lab.mend(lab.links[0])
        up = await until_seen(events, lambda event: event.state is AddressState.AVAILABLE)
        assert of_path(up, dead)[-1] == (AddressState.AVAILABLE, PathError.HEARTBEAT_SUCCESS)


@pytest.mark.both_modes
async def test_potentially_failed_is_told_only_where_it_is_exposed(lab: Lab) -> None:
    options = (*IMPATIENT, ExposePotentiallyFailed(False), PeerAddressThresholds(None, 2, 0, 65535))
    async with joined(lab, connect_with={"options": options}) as pair:
        events = pair.client.events(PeerAddressChange)
        lab.cut()
        states = [event.state for event in await rest(events)]
        assert AddressState.UNREACHABLE in states
        assert AddressState.POTENTIALLY_FAILED not in states


@pytest.mark.both_modes
async def test_paths_that_the_peer_named_are_confirmed(lab: Lab) -> None:
    keeping: dict[str, Any] = {"events": [PeerAddressChange], "options": [FAST]}
    first, second = lab.links
    async with lab.listen(f"{first.remote}/{second.remote}", **keeping) as listener:
        known = f"{first.remote}:{listener.port}"
        local = f"{first.local}/{second.local}:0"
        async with connect(known, local=local, **keeping) as client, await listener.accept() as server:
            port = client.local_addresses.port
            # The ones by which it came up need no confirmation.
            for conn, path in (
                (client, Address(second.remote, listener.port)),
                (server, Address(second.local, port)),
            ):
                assert await following(conn.events(PeerAddressChange)) == PeerAddressChange(
                    path, AddressState.CONFIRMED, PathError.HEARTBEAT_SUCCESS, conn.association_id
                )
                assert conn.path(path).state is PathState.ACTIVE


@pytest.mark.both_modes
async def test_addresses_come_and_go() -> None:
    asconf: dict[str, Any] = {"options": [AuthSupported(), AsconfSupported()]}
    async with connected(listen_with=asconf, connect_with={**asconf, "local": "127.0.0.2:0"}) as pair:
        client, server, _ = pair
        port = client.local_addresses.port
        events, own = server.events(PeerAddressChange), client.events(PeerAddressChange)
        old, new = Address("127.0.0.2", port), Address("127.0.0.3", port)

        async def told(*wanted: tuple[AddressState, Address]) -> None:
            left = list(wanted)
            while left:
                event = await following(events)
                assert event.association_id == server.association_id
                if (event.state, event.address) in left:
                    left.remove((event.state, event.address))

        client.add_local_address("127.0.0.3:0")
        await told((AddressState.ADDED, new), (AddressState.CONFIRMED, new))
        client.set_peer_primary("127.0.0.3:0")
        await told((AddressState.MADE_PRIMARY, new))
        client.remove_local_address("127.0.0.2:0")
        await told((AddressState.REMOVED, old))
        assert server.peer_addresses == new
        # Who changes its own addresses is told nothing of them.
        await pair.server.close()
        assert [event.state for event in await rest(own)] == []


@pytest.mark.both_modes
async def test_a_primary_path_of_our_own_choice_is_told_to_us_alone(lab: Lab) -> None:
    async with joined(lab, links=2) as pair:
        second = f"{lab.links[1].remote}:{pair.listener.port}"
        await until(lambda: pair.client.path(second).state is PathState.ACTIVE)
        events, there = pair.client.events(PeerAddressChange), pair.server.events(PeerAddressChange)
        pair.client.set_option(PrimaryAddress(Address.parse(second)))
        assert str(pair.client.primary_path) == second
        await pair.client.close()
        states = [(event.state, str(event.address)) for event in await rest(events)]
        assert [state for state in states if state[0] is not AddressState.CONFIRMED] in (
            [],
            [(AddressState.MADE_PRIMARY, second)],
        )
        assert AddressState.MADE_PRIMARY not in [event.state for event in await rest(there)]
