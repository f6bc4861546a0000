"""Packets that no honest peer sends, forged into an association: what is told, and what goes on."""

import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kernel.events.following import following, rest, still_works
from kernel.forger import Forger
from sctpio import AssociationAbortedError, AssociationError, ErrorCause, RemoteError
from support import Pair, connected, within

pytestmark = pytest.mark.both_modes

DATA, SACK, COOKIE_ECHO, SHUTDOWN_COMPLETE = 0, 3, 10, 14


class Forged:
    """A pair, and a forger that knows it."""

    def __init__(self, pair: Pair, forger: Forger) -> None:
        self.pair = pair
        self._forger = forger

        self._ports = pair.client.local_addresses.port, pair.listener.port

    @property
    def sent(self) -> int:
        """The TSN that the client sent last."""
        return self._forger.tsns[self._ports]

    @property
    def received(self) -> int:
        """The TSN that the server sent last."""
        return self._forger.tsns[self._ports[::-1]]

    def to_server(self, chunk: bytes) -> None:
        """Inject a chunk as the client's."""
        self._forger.inject(*self._ports, chunk)


@pytest_asyncio.fixture
async def forged() -> AsyncIterator[Forged]:
    """Give one; its association may end."""
    forger = Forger()
    try:
        async with connected(connect_with={"events": [RemoteError]}) as pair:
            await forger.learn(pair.client, pair.server, pair.listener.port)
            yield Forged(pair, forger)
    finally:
        forger.close()


def chunk(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """Return a chunk."""
    return struct.pack("!BBH", kind, flags, 4 + len(body)) + body


# The two upper bits say what to do with a chunk of an unknown type (RFC 9260 3.2).
@pytest.mark.parametrize("kind", [0x3E, 0x7E, 0xBE, 0xFE], ids=hex)
async def test_an_unknown_chunk_of_each_kind(forged: Forged, kind: int) -> None:
    client, server, _ = forged.pair
    events = client.events(RemoteError)
    unknown = chunk(kind, b"abcd")
    forged.to_server(unknown)
    if kind & 0x40:
        told = await following(events)
        assert told == RemoteError(ErrorCause.UNRECOGNIZED_CHUNK_TYPE, client.association_id, unknown)
    await still_works(client, server)
    await client.close()
    assert await rest(events) == []


async def test_data_without_any(forged: Forged) -> None:
    """The kernel ends such an association, and says why (RFC 9260 6.2)."""
    client, server, _ = forged.pair
    forged.to_server(chunk(DATA, struct.pack("!IHHI", (forged.sent + 1) % (1 << 32), 0, 0, 0), flags=3))
    with pytest.raises(AssociationAbortedError) as caught:
        await within(client.receive())
    assert caught.value.error == ErrorCause.NO_USER_DATA
    with pytest.raises(AssociationError):
        await within(server.receive())


async def test_an_acknowledgement_of_what_was_never_sent(forged: Forged) -> None:
    """The kernel ends such an association, too."""
    client, server, _ = forged.pair
    beyond = (forged.received + 1000) % (1 << 32)
    forged.to_server(chunk(SACK, struct.pack("!IIHH", beyond, 65_536, 0, 0)))
    with pytest.raises(AssociationAbortedError) as caught:
        await within(client.receive())
    assert caught.value.error == ErrorCause.PROTOCOL_VIOLATION
    with pytest.raises(AssociationError):
        await within(server.receive())


@pytest.mark.parametrize(
    "stray",
    [chunk(COOKIE_ECHO, bytes(64)), chunk(SHUTDOWN_COMPLETE)],
    ids=["COOKIE ECHO of nobody", "SHUTDOWN COMPLETE too early"],
)
async def test_a_chunk_in_a_wrong_state_changes_nothing(forged: Forged, stray: bytes) -> None:
    client, server, _ = forged.pair
    forged.to_server(stray)
    await still_works(client, server)
