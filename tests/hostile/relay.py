"""Associations of usrsctp through a relay that keeps their packets, for replaying them."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from hostile.packets import kinds
from sctpio import (
    Address,
    AssocInfo,
    EnableStreamReset,
    Listener,
    PeerAddressParameters,
    RtoInfo,
    UdpEncapsulation,
    connect,
)
from sctpio.stacks.usrsctp import udp_ports
from support import Pair, until

# An address for each end, as if they were two hosts.
CLIENT, SERVER = "127.0.0.2", "127.0.0.1"


class Relay:
    """A UDP port between the two ends: what comes from one goes to the other, and is kept.

    `without` is a chunk whose packets end here.
    """

    def __init__(self) -> None:
        self.without = -1
        # Whether to flip a bit of the next message.
        self.spoil = False
        self.stack: int = udp_ports.settings.started or 0
        self.ends = {SERVER: udp_socket(SERVER)}
        self.port: int = self.ends[SERVER].getsockname()[1]
        self.ends[CLIENT] = udp_socket(CLIENT, self.port)
        self.cut = False
        self.kept: dict[int, list[bytes]] = {}

    def __enter__(self) -> Self:
        for host, sock in self.ends.items():
            asyncio.get_running_loop().add_reader(sock, self.forward, sock, self.other(host))
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self.ends.values():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def other(self, host: str) -> str:
        return CLIENT if host == SERVER else SERVER

    def forward(self, sock: socket.socket, source: str) -> None:
        """Pass on all that has come for the end whose place `sock` has, as from `source`."""
        try:
            while True:
                packet = sock.recv(65536)
                for kind in kinds(packet):
                    kept = self.kept.setdefault(kind, [])
                    if len(kept) < 50:
                        kept.append(packet)
                if self.spoil and 0 in kinds(packet):
                    packet = packet[:-1] + bytes([packet[-1] ^ 1])
                    self.spoil = False
                if not self.cut and self.without not in kinds(packet):
                    self.ends[source].sendto(packet, (self.other(source), self.stack))
        except BlockingIOError:
            return

    def send(self, packet: bytes, source: str) -> bool:
        """Send an end a datagram as from the other one, if it is taken now."""
        try:
            self.ends[source].sendto(packet, (self.other(source), self.stack))
        except BlockingIOError:
            return False
        return True


def udp_socket(host: str, port: int = 0) -> socket.socket:
    """Make a socket that does not block."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((host, port))
    made.setblocking(False)
    return made


# Quick, and never given up for a machine that does other things for two seconds.
HURRIED = [
    RtoInfo(initial=0.1, minimum=0.1, maximum=0.2),
    AssocInfo(max_retransmissions=1000),
    PeerAddressParameters(heartbeat_interval=0.1, path_max_retransmissions=1000),
    EnableStreamReset(reset_streams=True, reset_association=True, add_streams=True),
]


@asynccontextmanager
async def relayed(
    listener: Listener, relay: Relay, local: Address, *, one_more: bool = False
) -> AsyncIterator[Pair]:
    """Connect through a relay, and let both ends do what they can.

    With `one_more` the client gets another address, by which packets may pass the relay by.
    """
    options = [*HURRIED, UdpEncapsulation(port=relay.port)]
    async with connect(listener.local_addresses, local=local, options=options) as client:
        async with await listener.accept() as server:
            pair = Pair(client, server, listener)
            for size in (1, 1000, 5000):
                for unordered in (False, True):
                    await client.send(bytes(size), unordered=unordered)
                    assert len((await server.receive()).data) == size
            await client.reset_streams(1)
            await client.add_streams(outbound=1)
            if one_more:
                client.add_local_address(Address("127.0.0.6", client.local_addresses.port))
                await until(lambda: 0x80 in relay.kept)
                yield pair
                return
            while 0xC0 not in relay.kept:
                # Lost once, and too old when it would be sent again.
                relay.cut = True
                await client.send(b"too late", lifetime=0.05)
                await asyncio.sleep(0.07)
                relay.cut = False
                await client.flush()
            await until(lambda: 5 in relay.kept)
            await client.send(b"done")
            while (await server.receive()).data != b"done":
                """One that was not too late."""
            await client.flush()
            yield pair


def port_of_the_stack() -> tuple[int, int]:
    """Return how many bytes wait at the stack's UDP port, and how many datagrams found it full so far."""
    port = f":{udp_ports.settings.started:04X}"
    lines = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    found = [
        (int(words[4].partition(":")[2], 16), int(words[-1])) for words in lines if words[1].endswith(port)
    ]
    return sum(waiting for waiting, _ in found), sum(dropped for _, dropped in found)


def resident() -> int:
    """Give the memory that this process has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
