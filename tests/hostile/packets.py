"""SCTP packets made by hand: good ones, and ones that lie."""

import random
import struct

PARAMETERS = [5, 6, 7, 8, 9, 11, 12, *range(0x8000, 0x8009), *range(0xC000, 0xC007)]
CHUNKS = [*range(16), 0x40, 0x80, 0x81, 0x82, 0x84, 0xC0, 0xC1, 0xC2]


def crc32c(data: bytes) -> int:
    """Compute the checksum of SCTP (RFC 9260 appendix B)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()


def packet(source: int, destination: int, tag: int, chunks: bytes) -> bytes:
    """Write an SCTP packet with a good checksum."""
    head = struct.pack("!HHI", source, destination, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunks)) + chunks


def chunk(kind: int, flags: int, value: bytes, length: int | None = None) -> bytes:
    """Write a chunk, whose length may lie."""
    size = 4 + len(value) if length is None else length
    return struct.pack("!BBH", kind, flags, size) + value + bytes(-len(value) % 4)


def init(rng: random.Random) -> bytes:
    """Write an INIT chunk that is good but for what follows in it."""
    fixed = struct.pack("!IIHHI", rng.getrandbits(32) | 1, 100_000, 10, 10, rng.getrandbits(32))
    parameters = b""
    for _ in range(rng.randrange(4)):
        value = rng.randbytes(rng.randrange(24))
        length = rng.choice([4 + len(value), rng.randrange(65536), 0, 3])
        parameters += struct.pack("!HH", rng.choice(PARAMETERS), length) + value + bytes(-len(value) % 4)
    return chunk(1, 0, fixed + parameters)


def kinds(packet: bytes) -> list[int]:
    """Name the chunks of a packet."""
    found, at = [], 12
    while at + 4 <= len(packet):
        kind, _, length = struct.unpack_from("!BBH", packet, at)
        found.append(kind)
        at += max(4, (length + 3) & ~3)
    return found


def with_checksum(packet: bytes) -> bytes:
    """Make the checksum right."""
    return packet[:8] + struct.pack("<I", crc32c(packet[:8] + bytes(4) + packet[12:])) + packet[12:]


def flipped(packet: bytes, rng: random.Random, first: int) -> bytes:
    """Flip some bits, from an offset on."""
    changed = bytearray(packet)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(first, len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)
