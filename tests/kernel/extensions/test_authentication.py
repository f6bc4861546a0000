"""Authenticated chunks (RFC 4895), and what a dissector sees of them."""

import asyncio
import errno

import pytest

from kernel.extensions.analyst import AUTH, DATA, INIT, INIT_ACK, RANDOM, Analyst, authenticated_by
from kernel.extensions.ends import STUBBORN, both, nothing_comes, refused
from kernel.lab import data_of
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
    HmacIdentifier,
    HmacIdentifiers,
    LocalAuthChunks,
    Mode,
    Option,
    PeerAuthChunks,
    connect,
    listen,
    open_endpoint,
)
from support import PATIENCE, connected

# Timers of the kernel take their time on any loop.
pytestmark = pytest.mark.one_loop

# Changing addresses, which the guest's sysctls turn on, would have chunks of its own authenticated.
NO_ASCONF = AsconfSupported(False)
AUTHENTICATED = (AuthSupported(), NO_ASCONF, AuthChunk(DATA))


async def test_data_is_authenticated(analyst: Analyst) -> None:
    """With AuthChunk(0) at both ends an AUTH chunk precedes DATA, by the empty key 0 to begin with."""
    with analyst.look() as seen:
        async with connected(**both(*AUTHENTICATED)) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            assert pair.client.get_option(AuthSupported) == AuthSupported(True)
            for conn in (pair.client, pair.server):
                assert DATA in conn.get_option(LocalAuthChunks).chunks
                assert DATA in conn.get_option(PeerAuthChunks).chunks
            await pair.client.send(b"question")
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
    for port, kind in zip(ports, (INIT, INIT_ACK), strict=True):
        (init,) = [chunk for chunk in seen if chunk.type == kind]
        assert init.port == port
        assert RANDOM in init.all("sctp.parameter_type")
        assert DATA in init.all("sctp.chunk_type_to_auth")
        assert AUTH in init.all("sctp.supported_chunk_type")
        assert authenticated_by(seen, port) == [(0, HmacIdentifier.SHA1)]


async def test_the_key_of_each_message(analyst: Analyst) -> None:
    """AuthActiveKey is the key of messages that name none; `auth_key` that of one message."""
    with analyst.look() as seen:
        async with connected(**both(*AUTHENTICATED)) as pair:
            port = pair.client.local_addresses.port
            for conn in (pair.client, pair.server):
                conn.set_option(AuthKey(5, b"five"))
                conn.set_option(AuthKey(65535, b"last"))
            assert pair.client.get_option(AuthActiveKey) == AuthActiveKey(0)
            await pair.client.send(b"0")
            assert await data_of(pair.server) == b"0"
            await pair.client.stream(1).send(b"1", auth_key=65535)
            assert await data_of(pair.server) == b"1"
            pair.client.set_option(AuthActiveKey(5))
            assert pair.client.get_option(AuthActiveKey) == AuthActiveKey(5)
            for number, key in enumerate((None, 0, 65535, 5), 2):
                await pair.client.send(b"%d" % number, auth_key=key)
                assert await data_of(pair.server) == b"%d" % number
    keys = [signed and signed[0] for signed in authenticated_by(seen, port)]
    assert keys == [0, 65535, 5, 0, 65535, 5]


async def test_a_key_is_deactivated_and_deleted() -> None:
    """A deactivated key is told to be free; messages can name neither that nor a deleted one."""
    async with connected(**both(*AUTHENTICATED)) as pair:
        for conn in (pair.client, pair.server):
            conn.set_option(AuthKey(5, b"five"))
        events = pair.client.events(AuthenticationEvent)
        await pair.client.send(b"five", auth_key=5)
        assert await data_of(pair.server) == b"five"
        await pair.client.flush()
        pair.client.set_option(AuthActiveKey(5))
        for option in (AuthDeactivateKey(5), AuthDeleteKey(5)):
            with refused(errno.EINVAL, "SCTP_AUTH_"):
                pair.client.set_option(option)
        pair.client.set_option(AuthActiveKey(0))
        pair.client.set_option(AuthDeactivateKey(5))
        async with asyncio.timeout(10 * PATIENCE):
            event = await anext(events)
        assert isinstance(event, AuthenticationEvent)
        assert (event.indication, event.key) == (AuthenticationState.FREE_KEY, 5)
        with refused(errno.EINVAL, "send"):
            await pair.client.send(b"late", auth_key=5)
        with refused(errno.EINVAL, "SCTP_AUTH_ACTIVE_KEY"):
            pair.client.set_option(AuthActiveKey(5))
        pair.client.set_option(AuthDeleteKey(5))
        with refused(errno.EINVAL, "SCTP_AUTH_DELETE_KEY"):
            pair.client.set_option(AuthDeleteKey(5))
        await pair.client.send(b"goes on")
        assert await data_of(pair.server) == b"goes on"


async def test_numbers_of_keys() -> None:
    """A number without a key is EINVAL; a number that cannot be one, or a key without bytes, a ValueError."""
    async with connected(**both(*AUTHENTICATED)) as pair:
        with refused(errno.EINVAL, "send"):
            await pair.client.send(b"x", auth_key=9)
        for number in (-1, 65536):
            with pytest.raises(ValueError, match=f"auth_key is {number}"):
                await pair.client.send(b"x", auth_key=number)
            with pytest.raises(ValueError, match=f"number={number}"):
                AuthKey(number, b"key")
        with pytest.raises(ValueError, match="key=<0 bytes>"):
            AuthKey(1, b"")
        with refused(errno.EINVAL, "SCTP_AUTH_ACTIVE_KEY"):
            pair.client.set_option(AuthActiveKey(9))
        await pair.client.send(b"whole")
        assert await data_of(pair.server) == b"whole"
        assert pair.client.statistics().messages_sent == 1


async def test_the_peer_prefers_an_algorithm(analyst: Analyst) -> None:
    """The first of the receiver's HmacIdentifiers authenticates what is sent to it."""
    preferred = HmacIdentifiers((HmacIdentifier.SHA256, HmacIdentifier.SHA1))
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": (*AUTHENTICATED, preferred)}, connect_with={"options": AUTHENTICATED}
        ) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            await pair.client.send(b"question")
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
    assert [authenticated_by(seen, port) for port in ports] == [
        [(0, HmacIdentifier.SHA256)],
        [(0, HmacIdentifier.SHA1)],
    ]


async def test_messages_by_another_key_are_never_delivered(analyst: Analyst) -> None:
    """Keys that differ: the association is up, such messages are dropped without a word."""
    with analyst.look() as seen:
        async with connected(**both(*AUTHENTICATED, *STUBBORN)) as pair:
            port = pair.client.local_addresses.port
            pair.client.set_option(AuthKey(6, b"six"))
            pair.server.set_option(AuthKey(6, b"SIX"))
            # Not in one packet with what the server takes.
            await pair.client.send(b"dropped", stream=1, auth_key=6)
            await pair.client.send(b"fine", stream=2)
            assert await data_of(pair.server) == b"fine"
            await nothing_comes(pair.server)
            assert not pair.client.is_closed
            assert not pair.server.is_closed
            # It was never acknowledged: the retransmission is taken once the keys are the same.
            pair.server.set_option(AuthKey(6, b"six"))
            assert await data_of(pair.server) == b"dropped"
    tries = [key for key in authenticated_by(seen, port) if key is not None and key[0] == 6]
    assert len(tries) > 1


async def test_only_who_asks_for_it_gets_authenticated_data(analyst: Analyst) -> None:
    """AuthChunk(0) is what the receiver asks for: DATA the other way has no AUTH, `auth_key` or not."""
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": AUTHENTICATED}, connect_with={"options": (AuthSupported(), NO_ASCONF)}
        ) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            assert DATA in pair.client.get_option(PeerAuthChunks).chunks
            assert DATA not in pair.server.get_option(PeerAuthChunks).chunks
            for conn in (pair.client, pair.server):
                conn.set_option(AuthKey(5, b"five"))
            await pair.client.send(b"question", auth_key=5)
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer", auth_key=5)
            assert await data_of(pair.client) == b"answer"
    assert [authenticated_by(seen, port) for port in ports] == [[(5, HmacIdentifier.SHA1)], [None]]


async def test_authentication_at_one_end_only(analyst: Analyst) -> None:
    """An event tells that the peer has none: nothing is authenticated, and keys are EACCES."""
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": (AuthSupported(False), NO_ASCONF)},
            connect_with={"options": AUTHENTICATED, "events": [AuthenticationEvent]},
        ) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            async with asyncio.timeout(10 * PATIENCE):
                event = await anext(pair.client.events(AuthenticationEvent))
            assert isinstance(event, AuthenticationEvent)
            assert event.indication is AuthenticationState.NO_AUTH
            for conn in (pair.client, pair.server):
                assert conn.get_option(AuthSupported) == AuthSupported(False)
                for option in (AuthKey(5, b"five"), AuthActiveKey(5), AuthDeleteKey(5), AuthDeactivateKey(5)):
                    with refused(errno.EACCES, r"SCTP_AUTH_\w*KEY; needs AuthSupported"):
                        conn.set_option(option)
                for kind in (LocalAuthChunks, PeerAuthChunks):
                    with refused(errno.EACCES, r"SCTP_\w+_AUTH_CHUNKS; needs AuthSupported"):
                        conn.get_option(kind)
            await pair.client.send(b"question")
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
    assert [authenticated_by(seen, port) for port in ports] == [[None], [None]]


@pytest.mark.parametrize(
    "option",
    [AuthChunk(DATA), AuthKey(1, b"key"), HmacIdentifiers((HmacIdentifier.SHA1,))],
    ids=lambda option: type(option).__name__,
)
async def test_options_of_authentication_that_is_not_enabled(option: Option) -> None:
    """In `options=` without AuthSupported they are EACCES, and the error says what they need."""
    options = (AuthSupported(False), NO_ASCONF, option)
    with refused(errno.EACCES, r"SCTP_\w+; needs AuthSupported on the socket"):
        await listen("127.0.0.1:0", options=options)
    with refused(errno.EACCES, r"SCTP_\w+; needs AuthSupported on the socket"):
        await connect("127.0.0.1:5000", options=options)
    with refused(errno.EACCES, r"SCTP_\w+; needs AuthSupported on the socket"):
        await open_endpoint(options=options)


@pytest.mark.parametrize("mode", Mode)
async def test_keys_of_a_listener_are_those_of_its_associations(analyst: Analyst, mode: Mode) -> None:
    """Keys in `options=`, or set on the listener, are there when an association begins."""
    key, other = AuthKey(5, b"five"), AuthKey(7, b"seven")
    options = (*AUTHENTICATED, key, AuthActiveKey(5))
    with analyst.look() as seen:
        async with listen("127.0.0.1:0", options=options, mode=mode) as listener:
            listener.set_option(other)
            async with connect(listener.local_addresses, options=(*options, other)) as client:
                port = client.local_addresses.port
                server = await listener.accept()
                await client.send(b"five")
                assert await data_of(server) == b"five"
                await server.send(b"seven", auth_key=7)
                assert await data_of(client) == b"seven"
            await server.wait_closed()
    assert authenticated_by(seen, port) == [(5, HmacIdentifier.SHA1)]
    assert authenticated_by(seen, listener.port) == [(7, HmacIdentifier.SHA1)]
