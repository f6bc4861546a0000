"""RemoteError: the peer's ERROR chunks, forged by a raw socket."""

import struct

import pytest

from hostile.packets import crc32c
from kernel.events.following import following, rest, still_works
from kernel.forger import Forger
from sctpio import ErrorCause, RemoteError
from support import connected


def test_the_checksum_is_the_right_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    "content", [b"what nobody knows", b"", bytes(range(256))], ids=["odd", "empty", "long"]
)
@pytest.mark.both_modes
async def test_the_peer_did_not_recognise_a_chunk(content: bytes) -> None:
    forger = Forger()
    try:
        async with connected() as pair:
            client, server, listener = pair
            await forger.learn(client, server, listener.port)
            events, there = client.events(RemoteError), server.events(RemoteError)
            # 11 in its upper bits: skip it and report it (RFC 9260 3.2).
            chunk = struct.pack("!BBH", 0xFE, 0, 4 + len(content)) + content
            forger.inject(client.local_addresses.port, listener.port, chunk)
            event = await following(events)
            assert event == RemoteError(
                ErrorCause.UNRECOGNIZED_CHUNK_TYPE,
                client.association_id,
                chunk + bytes(-len(chunk) % 4),
            )
            # Both are still there; one was told.
            await still_works(client, server)
            await client.close()
            assert await rest(events) == await rest(there) == []
    finally:
        forger.close()


@pytest.mark.both_modes
async def test_every_cause_of_an_error_chunk_is_told() -> None:
    forger = Forger()
    try:
        async with connected(connect_with={"events": [RemoteError]}) as pair:
            client, server, listener = pair
            await forger.learn(client, server, listener.port)
            stream = struct.pack("!HHHH", ErrorCause.INVALID_STREAM_IDENTIFIER, 8, 99, 0)
            nonsense = struct.pack("!HH", 0x4321, 7) + b"abc\0"
            empty = struct.pack("!HH", ErrorCause.OUT_OF_RESOURCE, 4)
            causes = stream + nonsense + empty
            forger.inject(
                listener.port,
                client.local_addresses.port,
                struct.pack("!BBH", 9, 0, 4 + len(causes)) + causes,
            )
            events = client.events(RemoteError)
            identifier = client.association_id
            assert [await following(events) for _ in range(3)] == [
                RemoteError(ErrorCause.INVALID_STREAM_IDENTIFIER, identifier, stream[4:]),
                RemoteError(ErrorCause(0x4321), identifier, b"abc\0"),
                RemoteError(ErrorCause.OUT_OF_RESOURCE, identifier, b""),
            ]
            await still_works(client, server)
    finally:
        forger.close()
