"""AuthenticationEvent: which keys are used."""

from typing import Any

import pytest

from kernel.events.following import following, received, until_seen
from sctpio import (
    AsconfSupported,
    AuthActiveKey,
    AuthChunk,
    AuthDeactivateKey,
    AuthDeleteKey,
    AuthenticationEvent,
    AuthenticationState,
    AuthKey,
    AuthSupported,
)
from support import connected


@pytest.mark.parametrize("without", ["client", "server", "both"])
@pytest.mark.both_modes
async def test_a_peer_without_authentication_is_told(without: str) -> None:
    def having(end: str) -> dict[str, Any]:
        on = without not in (end, "both")
        # Without AUTH there must be no ASCONF either: the peer would refuse that.
        return {
            "options": [AuthSupported(on), AsconfSupported(False)],
            "events": [AuthenticationEvent],
        }

    async with connected(listen_with=having("server"), connect_with=having("client")) as pair:
        for conn in (pair.client, pair.server):
            event = await following(conn.events(AuthenticationEvent))
            assert event == AuthenticationEvent(AuthenticationState.NO_AUTH, 0, 0, conn.association_id)


@pytest.mark.both_modes
async def test_keys_are_told_as_they_are_used_and_given_up() -> None:
    signed = {"options": [AuthSupported(), AuthChunk(0)], "events": [AuthenticationEvent]}
    async with connected(listen_with=signed, connect_with=signed) as pair:
        client, server, _ = pair
        here, there = client.events(AuthenticationEvent), server.events(AuthenticationEvent)
        for conn in (client, server):
            conn.set_option(AuthKey(5, b"five"))
            conn.set_option(AuthKey(6, b"six"))
        client.set_option(AuthActiveKey(5))
        await client.send(b"by five")
        assert await received(server) == b"by five"
        # The peer began to use a key that was not the active one here.
        assert await following(there) == AuthenticationEvent(
            AuthenticationState.NEW_KEY, 5, 0, server.association_id
        )
        client.set_option(AuthActiveKey(6))
        await client.flush()
        client.set_option(AuthDeactivateKey(5))
        assert await following(here) == AuthenticationEvent(
            AuthenticationState.FREE_KEY, 5, 0, client.association_id
        )
        client.set_option(AuthDeleteKey(5))
        await client.send(b"by six")
        assert await received(server) == b"by six"
        event = await until_seen(there, lambda event: event.key == 6)
        assert event[-1].indication is AuthenticationState.NEW_KEY
