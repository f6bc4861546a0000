"""RemoteError: the peer's ERROR chunks, forged by a raw socket."""

import socket
import struct

import pytest

from kernel.events.following import following, rest, still_works
from sctpio import Conn, ErrorCause, RemoteError
from support import connected, until


def crc32c(data: bytes) -> int:
    """Compute the checksum of RFC 9260 appendix A."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def packet(source: int, destination: int, tag: int, chunk: bytes) -> bytes:
    """Make an SCTP packet with one chunk."""
    body = struct.pack("!HHI", source, destination, tag), chunk + bytes(-len(chunk) % 4)
    return body[0] + struct.pack("<I", crc32c(body[0] + bytes(4) + body[1])) + body[1]


class Forger:
    """Learns the verification tags of an association on lo, and injects chunks with them."""

    def __init__(self) -> None:
        self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._tap.bind(("lo", 0x0800))
        self._tap.setblocking(False)
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        self.tags: dict[tuple[int, int], int] = {}

    def close(self) -> None:
        self._tap.close()
        self._raw.close()

    async def learn(self, client: Conn, server: Conn, listening: int) -> None:
        """Let a message go each way, and look at its packet."""
        await still_works(client, server)
        port = client.local_addresses.port

        def learnt() -> bool:
            try:
                while True:
                    seen = self._tap.recv(65535)
                    header = (seen[0] & 15) * 4
                    if seen[9] == socket.IPPROTO_SCTP:
                        source, destination, tag = struct.unpack_from("!HHI", seen, header)
                        if seen[header + 12] != 1:
                            self.tags[source, destination] = tag
            except BlockingIOError:
                return {(port, listening), (listening, port)} <= self.tags.keys()

        await until(learnt)

    def inject(self, source: int, destination: int, chunk: bytes) -> None:
        """Send a chunk as if one port had sent it to the other one."""
        made = packet(source, destination, self.tags[source, destination], chunk)
        self._raw.sendto(made, ("127.0.0.1", 0))


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
