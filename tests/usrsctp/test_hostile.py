"""Bytes of any kind at the UDP port: the process lives, and so does the association beside them.

Seeded: a run that fails can be repeated (`SCTPIO_TEST_SEED`), and lengthened (`SCTPIO_TEST_DATAGRAMS`).
"""

import asyncio
import os
import random
import socket
from collections.abc import Iterator

import pytest

from hostile.packets import CHUNKS, chunk, init, packet
from hostile.recording import recorded
from hostile.relay import CLIENT, HURRIED, Relay
from hostile.storm import KINDS, Storm
from sctpio import Address, EndOfAssociation, UdpEncapsulation, connect, listen
from sctpio.stacks.usrsctp import udp_ports
from support import Pair, associations, connected, until

SEED = int(os.environ.get("SCTPIO_TEST_SEED", "9899"))
DATAGRAMS = int(os.environ.get("SCTPIO_TEST_DATAGRAMS", "20000"))


def lies(pair: Pair, rng: random.Random) -> Iterator[bytes]:
    """Make datagrams: noise, chunks for the association and for the listener, broken ones."""
    client, server = pair.client.local_addresses.port, pair.listener.port
    while True:
        source, destination = rng.choice(
            [(client, server), (server, client), (rng.randrange(1, 65536), server)]
        )
        tag = rng.choice([0, 0, rng.getrandbits(32)])
        match rng.randrange(5):
            case 0:
                yield rng.randbytes(rng.randrange(0, 200))
            case 1:
                yield packet(source, destination, 0, init(rng))
            case 2:
                chunks = b"".join(
                    chunk(
                        rng.choice(CHUNKS),
                        rng.getrandbits(8),
                        rng.randbytes(rng.randrange(60)),
                        rng.choice([None, None, rng.randrange(70)]),
                    )
                    for _ in range(rng.randrange(1, 4))
                )
                yield packet(source, destination, tag, chunks)
            case 3:
                whole = packet(source, destination, 0, init(rng))
                yield whole[: rng.randrange(len(whole))]
            case _:
                flipped = bytearray(packet(source, destination, tag, init(rng)))
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
                yield bytes(flipped)


async def exchange(pair: Pair, number: int) -> None:
    """Send a message each way."""
    async with asyncio.timeout(20):
        await pair.client.send(b"%d" % number, stream=number % 10)
        assert (await pair.server.receive()).data == b"%d" % number
        await pair.server.send(b"back")
        assert (await pair.client.receive()).data == b"back"


async def throw(pair: Pair, source: str, every: int = 0) -> None:
    """Send datagrams from an address to the stack's UDP port, with messages of the association in between."""
    rng = random.Random(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.setblocking(False)
        for number, datagram in zip(range(DATAGRAMS), lies(pair, rng), strict=False):
            try:
                sender.sendto(datagram, ("127.0.0.1", udp_ports.settings.started or 0))
            except BlockingIOError:
                await asyncio.sleep(0.001)
            if every and number % every == 0:
                await exchange(pair, number)


@pytest.mark.one_loop
@pytest.mark.timeout(600)
async def test_an_association_lives_beside_any_datagrams() -> None:
    async with connected() as pair:
        await throw(pair, "127.0.0.99", every=100)
        await pair.client.close()
        with pytest.raises(EOFError):
            await pair.server.receive()


@pytest.mark.one_loop
@pytest.mark.timeout(600)
async def test_the_stack_lives_with_any_datagrams_from_a_peers_address() -> None:
    """usrsctp 0.9.5 goes by the UDP port of a packet before it looks at its tag, so that whoever has a peer's
    address can silence its associations: not end them, nor what is set up afterwards."""
    async with connected() as pair:
        await throw(pair, "127.0.0.1")
        assert not pair.client.is_closed
        async with connected() as another:
            await exchange(another, 1)


@pytest.mark.one_loop
async def test_a_packet_whose_checksum_is_wrong_is_not_taken_whatever_came_before() -> None:
    """usrsctp 0.9.5 looks at no checksum any more once it has received a packet from its own address."""
    async with connected() as pair:
        await exchange(pair, 1)
    with Relay() as relay:
        async with listen("127.0.0.1:0", options=HURRIED) as listener:
            options = [*HURRIED, UdpEncapsulation(port=relay.port)]
            local = Address(CLIENT, 0)
            async with connect(listener.local_addresses, local=local, options=options) as client:
                async with await listener.accept() as server:
                    relay.spoil = True
                    await client.send(b"what was sent...")
                    assert (await server.receive()).data == b"what was sent..."
                    assert not relay.spoil
    await until(lambda: not associations())


@pytest.mark.one_loop
@pytest.mark.timeout(3600)
async def test_an_association_lives_beside_all_that_attackers_send() -> None:
    """`make hostile` throws a million packets like these."""
    async with recorded() as (pair, recording, relays):
        report = await Storm(pair, recording, relays, SEED).run(DATAGRAMS)
        await pair.client.close()
        with pytest.raises(EndOfAssociation):
            await pair.server.receive()
    report.check()
    assert set(report.kinds) == set(KINDS)
    assert report.handshakes > 0
    await until(lambda: not associations())
