"""SCTP over UDP (RFC 6951)."""

from collections.abc import Iterator

import pytest

import sctpio
from kernel.extensions.analyst import DATA, HERE_PORT, INIT, INIT_ACK, THERE_PORT, Analyst, Seen
from kernel.extensions.ends import sysctl
from kernel.lab import FAST, Lab, data_of, joined
from sctpio import Address, InitMsg, Mode, PathState, UdpEncapsulation, connect
from support import path_of, until

# Timers of the kernel take their time on any loop.
pytestmark = pytest.mark.one_loop


@pytest.fixture
def tunnels(lab: Lab) -> Iterator[Lab]:
    """Let the kernel take SCTP over UDP, here and there."""
    sysctl("udp_port", HERE_PORT)
    try:
        with lab.inside():
            sysctl("udp_port", THERE_PORT)
        yield lab
    finally:
        sysctl("udp_port", 0)
        with lab.inside():
            sysctl("udp_port", 0)


def udp_ports(seen: list[Seen], port: int) -> set[tuple[int, int] | None]:
    """Name the UDP ports, from and to, of what an SCTP port sent."""
    return {chunk.udp for chunk in seen if chunk.port == port}


@pytest.mark.parametrize("mode", Mode)
async def test_udp_encapsulation(analyst: Analyst, tunnels: Lab, mode: Mode) -> None:
    """With UdpEncapsulation all packets are in UDP, to the port given; the peer learns the port from them."""
    with analyst.look(tunnels.links[0].here) as seen:
        options = {"options": (UdpEncapsulation(port=THERE_PORT),)}
        async with joined(tunnels, connect_with=options, listen_with={"mode": mode}) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            assert pair.client.get_option(UdpEncapsulation, path=path_of(pair.client)).port == THERE_PORT
            assert pair.server.get_option(UdpEncapsulation, path=path_of(pair.server)).port == HERE_PORT
            await pair.client.send(bytes(5000), stream=1, ppid=60)
            message = await pair.server.receive()
            assert (message.data, message.ppid) == (bytes(5000), 60)
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
            await pair.client.close()
    assert udp_ports(seen, ports[0]) == {(HERE_PORT, THERE_PORT)}
    assert udp_ports(seen, ports[1]) == {(THERE_PORT, HERE_PORT)}
    assert {INIT, INIT_ACK, DATA} <= {chunk.type for chunk in seen}


async def test_udp_encapsulation_of_one_path(analyst: Analyst, tunnels: Lab) -> None:
    """A path has a port of its own: one goes in UDP, the other as plain SCTP."""
    first, second = tunnels.links
    async with joined(tunnels, links=2) as pair:
        port = pair.client.local_addresses.port
        paths = [Address.parse(f"{link.remote}:{pair.listener.port}") for link in (first, second)]
        back = Address.parse(f"{second.local}:{port}")
        # Not before both ends have probed their paths: a plain packet of the peer turns it off again.
        await until(lambda: all(pair.client.path(path).state is PathState.ACTIVE for path in paths))
        await until(lambda: pair.server.path(back).state is PathState.ACTIVE)
        pair.client.set_option(UdpEncapsulation(paths[1], THERE_PORT))
        assert [pair.client.get_option(UdpEncapsulation, path=path).port for path in paths] == [0, THERE_PORT]
        with analyst.look(first.here) as plain, analyst.look(second.here) as wrapped:
            for number, path in enumerate(paths * 2):
                await pair.client.send(b"%d" % number, path=path)
                assert await data_of(pair.server) == b"%d" % number
    for seen, expected in ((plain, None), (wrapped, (HERE_PORT, THERE_PORT))):
        data = [chunk for chunk in seen if chunk.port == port and chunk.type == DATA]
        assert {chunk.udp for chunk in data} == {expected}


async def test_a_path_goes_by_the_last_packet_of_the_peer(tunnels: Lab) -> None:
    """A plain packet of the peer ends the encapsulation, one in UDP begins it."""
    async with joined(tunnels) as pair:
        path, back = path_of(pair.client), path_of(pair.server)
        pair.client.set_option(UdpEncapsulation(path, THERE_PORT))
        await pair.client.send(b"in UDP")
        assert await data_of(pair.server) == b"in UDP"
        assert pair.server.get_option(UdpEncapsulation, path=back).port == HERE_PORT
        await pair.client.flush()
        pair.server.set_option(UdpEncapsulation(back, 0))
        await pair.server.send(b"plain")
        assert await data_of(pair.client) == b"plain"
        assert pair.client.get_option(UdpEncapsulation, path=path).port == 0


async def test_a_peer_without_udp_is_not_reached(lab: Lab) -> None:
    """Where the peer's net.sctp.udp_port is off nothing answers; `capabilities` names the sysctl."""
    feature = sctpio.capabilities().udp_encapsulation
    assert not feature
    assert "net.sctp.udp_port" in feature.needs
    sysctl("udp_port", HERE_PORT)
    try:
        assert sctpio.capabilities().udp_encapsulation
        async with lab.listen(lab.links[0].remote) as listener:
            with pytest.raises((TimeoutError, ConnectionError)):
                await connect(
                    listener.local_addresses,
                    options=(FAST, UdpEncapsulation(port=THERE_PORT)),
                    init=InitMsg(max_attempts=1, max_init_timeout=0.3),
                )
            # Without the encapsulation it is.
            async with connect(listener.local_addresses) as client:
                server = await listener.accept()
                await client.send(b"plain")
                assert await data_of(server) == b"plain"
            await server.wait_closed()
    finally:
        sysctl("udp_port", 0)
