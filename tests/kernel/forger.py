"""Packets of an association on lo that neither of its ends sends."""

import socket
import struct

from hostile.packets import packet
from kernel.events.following import still_works
from sctpio import Conn
from support import until


class Forger:
    """Learns the verification tags of an association on lo, and injects chunks with them."""

    def __init__(self) -> None:
        self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._tap.bind(("lo", 0x0800))
        self._tap.setblocking(False)
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        # By source and destination port: the verification tag, and the TSN that was sent last.
        self.tags: dict[tuple[int, int], int] = {}
        self.tsns: dict[tuple[int, int], int] = {}

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
                        if seen[header + 12] == 0:
                            (self.tsns[source, destination],) = struct.unpack_from("!I", seen, header + 16)
            except BlockingIOError:
                return {(port, listening), (listening, port)} <= self.tags.keys() & self.tsns.keys()

        await until(learnt)

    def inject(self, source: int, destination: int, chunk: bytes) -> None:
        """Send a chunk as if one port had sent it to the other one."""
        made = packet(source, destination, self.tags[source, destination], chunk + bytes(-len(chunk) % 4))
        self._raw.sendto(made, ("127.0.0.1", 0))
