"""Ends that other hosts make in their own way: an ABORT without a cause, a host that has no SCTP."""

import asyncio
import errno
import socket
import struct

import pytest

from kernel.forger import Forger
from kernel.lab import DeadEnd
from sctpio import (
    AssociationAbortedError,
    AssociationError,
    AssociationLostError,
    Mode,
    connect,
    open_endpoint,
)
from support import Style, connected, within

ABORT = 6
# What is sent is seen only by those who want all protocols.
ETH_P_ALL = 3


@pytest.mark.both_modes
async def test_an_abort_without_a_cause() -> None:
    """A host that was started again, or that is short of memory, gives none."""
    forger = Forger()
    try:
        async with connected() as pair:
            client, server, listener = pair
            await forger.learn(client, server, listener.port)
            forger.inject(client.local_addresses.port, listener.port, struct.pack("!BBH", ABORT, 0, 4))
            with pytest.raises(AssociationError) as caught:
                await within(server.receive())
            if Style.mode is Mode.ONE_TO_MANY:
                # Linux tells it as a loss.
                assert type(caught.value) is AssociationLostError
                assert "or has aborted without a cause" in str(caught.value)
            else:
                assert type(caught.value) is AssociationAbortedError
                assert caught.value.cause == b""
            await client.abort()
    finally:
        forger.close()


async def no_sctp(packets: socket.socket) -> None:
    """Answer the next INIT as a host without SCTP: with ICMP, protocol unreachable."""
    loop = asyncio.get_running_loop()
    while True:
        packet = await loop.sock_recv(packets, 65535)
        if packet[9] == socket.IPPROTO_SCTP:
            break
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        head = struct.pack("!BBHI", 3, 2, 0, 0)
        checksum = sum(struct.unpack(f"!{len(head + packet) // 2}H", head + packet))
        while checksum >> 16:
            checksum = (checksum & 0xFFFF) + (checksum >> 16)
        head = struct.pack("!BBHI", 3, 2, checksum ^ 0xFFFF, 0)
        raw.sendto(head + packet, (socket.inet_ntoa(packet[12:16]), 0))


@pytest.mark.parametrize("one_to_many", [False, True])
async def test_a_host_without_sctp(nowhere: DeadEnd, one_to_many: bool) -> None:
    """It is refused, on both kinds of sockets."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as packets:
        packets.bind((nowhere.interface, ETH_P_ALL))
        packets.setblocking(False)
        answering = asyncio.create_task(no_sctp(packets))
        with pytest.raises(ConnectionRefusedError) as caught:
            if one_to_many:
                async with open_endpoint(f"{nowhere.local}:0") as endpoint:
                    await within(endpoint.connect(f"{nowhere.address}:5000"))
            else:
                await within(connect(f"{nowhere.address}:5000"))
        await answering
        assert caught.value.errno == errno.ECONNREFUSED
