"""Diameter: two nodes exchange capabilities, watch each other, and part.

PPID 46, port 3868 (RFC 6733). An answer is matched to its request by the hop-by-hop identifier, so order does
not matter: after the first exchange, all messages can go unordered on stream 0 (section 2.1.1).
"""

import asyncio
import ipaddress
import itertools
import struct
from typing import NamedTuple

from sctpio import Conn, Port, Ppid, connect, listen

NAMES = {257: "CE", 280: "DW", 282: "DP"}
REQUEST = 0x80
HOST, REALM, RESULT, CAUSE, ADDRESS, VENDOR, PRODUCT, APPLICATION = 264, 296, 268, 273, 257, 266, 269, 258
RELAY = b"\xff\xff\xff\xff"
SUCCESS = struct.pack("!I", 2001)
identifiers = itertools.count(1)


class Diameter(NamedTuple):
    """A message: its command code, whether it is a request, its hop-by-hop identifier, and its AVPs."""

    code: int
    is_request: bool
    hop_by_hop: int
    avps: list[tuple[int, bytes]]

    @property
    def name(self) -> str:
        return NAMES.get(self.code, str(self.code)) + ("R" if self.is_request else "A")

    def encode(self) -> bytes:
        body = b"".join(
            # The M bit: who does not know this AVP must refuse the message.
            struct.pack("!IB", code, 0 if code == PRODUCT else 0x40)
            + (8 + len(value)).to_bytes(3)
            + value
            + bytes(-len(value) % 4)
            for code, value in self.avps
        )
        flags = REQUEST if self.is_request else 0
        head = b"\x01" + (20 + len(body)).to_bytes(3) + bytes([flags]) + self.code.to_bytes(3)
        return head + struct.pack("!III", 0, self.hop_by_hop, self.hop_by_hop) + body

    @classmethod
    def decode(cls, data: bytes) -> "Diameter":
        if len(data) < 20 or data[0] != 1 or int.from_bytes(data[1:4]) != len(data):
            raise ValueError(f"{data[:20].hex()} is not the header of one Diameter message")
        avps, rest = [], data[20:]
        while rest:
            code, flags = struct.unpack_from("!IB", rest)
            size = int.from_bytes(rest[5:8])
            head = 12 if flags & 0x80 else 8
            if size < head:
                raise ValueError(f"an AVP has the length {size}; the least is {head}")
            avps.append((code, rest[head:size]))
            rest = rest[size + (-size % 4) :]
        return cls(int.from_bytes(data[5:8]), bool(data[4] & REQUEST), int.from_bytes(data[12:16]), avps)


def identity(name: str) -> list[tuple[int, bytes]]:
    return [(HOST, name.encode()), (REALM, b"example.net")]


def capabilities(name: str) -> list[tuple[int, bytes]]:
    address = b"\x00\x01" + ipaddress.IPv4Address("127.0.0.1").packed
    return [
        *identity(name),
        (ADDRESS, address),
        (VENDOR, bytes(4)),
        (PRODUCT, b"sctpio"),
        (APPLICATION, RELAY),
    ]


async def server(conn: Conn) -> None:
    async for message in conn:
        request = Diameter.decode(message.data)
        print(f"server: {request.name}")
        avps = capabilities("server.example.net") if request.code == 257 else identity("server.example.net")
        answer = Diameter(request.code, False, request.hop_by_hop, [(RESULT, SUCCESS), *avps])
        await conn.send(answer.encode(), unordered=message.unordered)


async def client(conn: Conn) -> None:
    async def ask(code: int, avps: list[tuple[int, bytes]], *, unordered: bool) -> None:
        request = Diameter(code, True, next(identifiers), avps)
        await conn.send(request.encode(), unordered=unordered)
        answer = Diameter.decode((await conn.receive()).data)
        if (answer.hop_by_hop, dict(answer.avps)[RESULT]) != (request.hop_by_hop, SUCCESS):
            raise ValueError(f"{request.name} was answered with {answer}")
        print(f"client: {answer.name} from {dict(answer.avps)[HOST].decode()}")

    me = "client.example.net"
    # Not unordered: nothing may overtake the answer.
    await ask(257, capabilities(me), unordered=False)
    await ask(280, identity(me), unordered=True)
    # Not unordered: it must not overtake what was sent before.
    await ask(282, [*identity(me), (CAUSE, bytes(4))], unordered=False)


async def main() -> None:
    async with listen(f"127.0.0.1:{Port.DIAMETER}", ppid=Ppid.DIAMETER) as listener:
        serving = asyncio.create_task(listener.serve(server))
        async with connect(listener.local_addresses, ppid=Ppid.DIAMETER) as conn:
            await client(conn)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
