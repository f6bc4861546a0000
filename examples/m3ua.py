"""M3UA: an application server process (ASP) becomes active at a signalling gateway, and sends traffic.

PPID 3, port 2905 (RFC 4666). Stream 0 is for management, and never for DATA (section 1.4.7).
"""

import asyncio
import struct
from typing import NamedTuple

from sctpio import Conn, Port, Ppid, connect, listen

MANAGEMENT = 0
ROUTING_CONTEXT, PROTOCOL_DATA = 0x0006, 0x0210
CONTEXT = struct.pack("!I", 100)

# Message class and type (section 3.1).
NAMES = {
    (0, 1): "NTFY",
    (1, 1): "DATA",
    (3, 1): "ASPUP",
    (3, 4): "ASPUP ACK",
    (3, 2): "ASPDN",
    (3, 5): "ASPDN ACK",
    (4, 1): "ASPAC",
    (4, 3): "ASPAC ACK",
}
NUMBERS = {name: numbers for numbers, name in NAMES.items()}
ANSWERS = {"ASPUP": "ASPUP ACK", "ASPAC": "ASPAC ACK", "ASPDN": "ASPDN ACK"}


class M3ua(NamedTuple):
    """A message: its name, and the parameters by their tags."""

    name: str
    parameters: dict[int, bytes]

    def encode(self) -> bytes:
        body = b"".join(
            struct.pack("!HH", tag, 4 + len(value)) + value + bytes(-len(value) % 4)
            for tag, value in self.parameters.items()
        )
        return struct.pack("!BxBBI", 1, *NUMBERS[self.name], 8 + len(body)) + body

    @classmethod
    def decode(cls, data: bytes) -> "M3ua":
        version, kind, number, length = struct.unpack_from("!BxBBI", data)
        if version != 1 or length != len(data) or (kind, number) not in NAMES:
            raise ValueError(f"{data[:8].hex()} is not the header of an M3UA message that is known here")
        parameters, rest = {}, data[8:]
        while rest:
            tag, size = struct.unpack_from("!HH", rest)
            if size < 4:
                raise ValueError(f"a parameter has the length {size}; the least is 4")
            parameters[tag], rest = rest[4:size], rest[size + (-size % 4) :]
        return cls(NAMES[kind, number], parameters)


async def gateway(conn: Conn) -> None:
    """The signalling gateway process: it acknowledges, and tells that the application server is active."""
    async for message in conn:
        got = M3ua.decode(message.data)
        print(f"gateway: {got.name} on stream {message.stream}")
        if got.name in ANSWERS:
            await conn.send(M3ua(ANSWERS[got.name], got.parameters).encode(), stream=MANAGEMENT)
        if got.name == "ASPAC":
            active = M3ua("NTFY", {0x000D: struct.pack("!HH", 1, 3), ROUTING_CONTEXT: CONTEXT})
            await conn.send(active.encode(), stream=MANAGEMENT)


async def asp(conn: Conn) -> None:
    async def ask(name: str, answer: str, parameters: dict[int, bytes]) -> None:
        await conn.send(M3ua(name, parameters).encode(), stream=MANAGEMENT)
        got = M3ua.decode((await conn.receive()).data)
        if got.name != answer:
            raise ValueError(f"{got.name} in place of {answer}")
        print(f"ASP: {got.name}")

    await ask("ASPUP", "ASPUP ACK", {})
    await ask("ASPAC", "ASPAC ACK", {ROUTING_CONTEXT: CONTEXT})
    print(f"ASP: {M3ua.decode((await conn.receive()).data).name}, ready for traffic")
    for sls in (1, 2):
        # Messages with the same SLS stay in order, so they share a stream; any but 0.
        label = struct.pack("!IIBBBB", 1, 2, 3, 0, 0, sls)
        data = M3ua("DATA", {ROUTING_CONTEXT: CONTEXT, PROTOCOL_DATA: label + b"an SCCP message"})
        await conn.send(data.encode(), stream=1 + sls % (conn.outbound_streams - 1))
    await conn.flush()
    await ask("ASPDN", "ASPDN ACK", {})


async def main() -> None:
    async with listen(f"127.0.0.1:{Port.M3UA}", ppid=Ppid.M3UA) as listener:
        serving = asyncio.create_task(listener.serve(gateway))
        async with connect(listener.local_addresses, ppid=Ppid.M3UA) as conn:
            await asp(conn)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
