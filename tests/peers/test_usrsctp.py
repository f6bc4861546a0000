"""usrsctp's own program, over UDP (RFC 6951): from the kernel's SCTP, and from usrsctp in this process."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from kernel.interop import NO_GSO, sysctls
from kernel.lab import run
from peers.meeting import SIZES, STREAMS
from peers.programs import PPIDS, USRSCTP_ECHO
from peers.running import PATIENT, started
from sctpio import Conn, UdpEncapsulation, connect
from sctpio.stacks.usrsctp import udp_ports
from support import STACK, free_udp_port

ECHO = 7  # the port where it listens
KERNEL_UDP = 9899
SMALL_ENOUGH = [size for size in (*SIZES, USRSCTP_ECHO.longest) if size <= USRSCTP_ECHO.longest]


@pytest.fixture
def udp() -> Iterator[tuple[str, str]]:
    """Give the UDP ports of the program and of this end, in the order in which it takes them."""
    theirs = free_udp_port(usual=False)
    if STACK == "usrsctp":
        yield theirs, str(udp_ports.settings.started)
        return
    # See kernel/interop.py: in UDP, the kernel is not to leave the cutting of packets to an interface.
    run("ip", "link", "set", "lo", "mtu", "1500", *NO_GSO)
    try:
        with sysctls(sctp__udp_port=KERNEL_UDP, sctp__encap_port=int(theirs)):
            yield theirs, str(KERNEL_UDP)
    finally:
        run("ip", "link", "set", "lo", "mtu", "65536", "gso_max_size", "65536")


async def up(udp_port: str) -> Conn:
    """Connect with the program as soon as it listens."""
    while True:
        with contextlib.suppress(ConnectionError):
            encapsulation = UdpEncapsulation(port=int(udp_port))
            return await connect(f"127.0.0.1:{ECHO}", init=STREAMS, options=[encapsulation])
        await asyncio.sleep(0.05)


@pytest.mark.peer(
    USRSCTP_ECHO,
    "the program",
    "payload, stream, PPID, unordered, 1, 1452, 10240 bytes; 200 messages in order; over UDP",
)
async def test_an_echo_shows_what_it_was_sent(udp: tuple[str, str]) -> None:
    with started([USRSCTP_ECHO.needs, *udp]):
        async with asyncio.timeout(PATIENT), await up(udp[0]) as conn:
            # Of longer ones it sends back the last part alone.
            for number, size in enumerate(SMALL_ENOUGH):
                data = bytes(at % 251 for at in range(size))
                for unordered in (False, True):
                    for ppid in PPIDS:
                        await conn.send(data, stream=number, ppid=ppid, unordered=unordered)
                        back = await conn.receive()
                        assert back.data == data
                        assert (back.stream, back.ppid, back.unordered) == (number, ppid, unordered)
            await conn.send_many([b"%d" % number for number in range(200)], stream=9)
            for number in range(200):
                assert (await conn.receive()).data == b"%d" % number
