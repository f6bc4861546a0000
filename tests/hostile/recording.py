"""What associations sent, and datagrams made of it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hostile.packets import chunk, flipped, kinds, packet, with_checksum
from hostile.relay import CLIENT, HURRIED, Relay, relayed
from sctpio import Address, AssociationAbortedError, EndOfAssociation, listen
from support import Pair, until

# By number, those that two ends of this stack send each other (RFC 9260, 3758, 4895, 5061, 6525).
RECORDED = {
    0: "DATA",
    1: "INIT",
    2: "INIT ACK",
    3: "SACK",
    4: "HEARTBEAT",
    5: "HEARTBEAT ACK",
    6: "ABORT",
    7: "SHUTDOWN",
    8: "SHUTDOWN ACK",
    10: "COOKIE ECHO",
    11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE",
    15: "AUTH",
    0x80: "ASCONF-ACK",
    0x82: "RE-CONFIG",
    0xC0: "FORWARD TSN",
    0xC1: "ASCONF",
}
# Kinds that this stack does not send, with a size that they may have.
MADE_UP = {9: 8, 12: 8, 13: 4, 0x40: 24, 0x81: 24, 0xC2: 12}
ABORT = 6


class Recording:
    """The packets of associations that were, and of the one that lives: between the same SCTP ports."""

    def __init__(self, dead: list[Relay], live: Relay, pair: Pair) -> None:
        self.dead = [packet for relay in dead for kept in relay.kept.values() for packet in kept]
        self.live = live
        tags = {packet[4:8] for packet in self.packets()}
        self.live_tags = tags - {bytes(4)}
        self.ports = pair.client.local_addresses.port, pair.listener.port

    def packets(self) -> list[bytes]:
        """Return those of the living one, without ABORTs: each of them would end it, sent again or not."""
        every = (packet for kept in self.live.kept.values() for packet in kept)
        return [packet for packet in every if ABORT not in kinds(packet)]


def replayed(recording: Recording, rng: random.Random) -> bytes:
    """Make a datagram of a recorded one. What has a live tag and a good checksum is as it was recorded: who
    knows the tag may write what it likes."""
    live = recording.packets()

    def wrong_tag() -> bytes:
        while True:
            tag = rng.choice([bytes(4), rng.randbytes(4), rng.choice(recording.dead)[4:8]])
            if tag not in recording.live_tags:
                return tag

    whole = rng.choice(recording.dead if rng.random() < 0.5 else live)
    while len(whole) > 600 and rng.random() < 0.9:
        whole = rng.choice(recording.dead if rng.random() < 0.5 else live)
    match rng.randrange(6):
        case 0:
            return whole
        case 1:
            return whole[: rng.randrange(len(whole))]
        case 2:
            # The checksum is wrong then.
            return flipped(whole, rng, 0)
        case 3:
            return with_checksum(whole[:4] + wrong_tag() + whole[8:])
        case 4:
            cut = whole[: rng.randrange(12, len(whole) + 1)]
            return with_checksum(cut[:4] + wrong_tag() + cut[8:])
        case _:
            if rng.random() < 0.2:
                kind = rng.choice(list(MADE_UP))
                made = chunk(kind, rng.getrandbits(8), rng.randbytes(MADE_UP[kind]))
                source, destination = rng.sample(recording.ports, 2)
                return packet(source, destination, int.from_bytes(wrong_tag(), "big"), made)
            changed = flipped(whole, rng, 12)
            return with_checksum(changed[:4] + wrong_tag() + changed[8:])


@asynccontextmanager
async def recorded() -> AsyncIterator[tuple[Pair, Recording, list[Relay]]]:
    """Give a living association, what it and three that ended between the same ports sent, and two relays by
    which datagrams come as from its peers: the one that it goes through, and one with another UDP port."""
    with Relay() as first, Relay() as second, Relay() as third, Relay() as live, Relay() as elsewhere:
        async with listen("127.0.0.1:0", options=HURRIED) as listener:
            async with relayed(listener, first, Address(CLIENT, 0)) as pair:
                local = Address(CLIENT, pair.client.local_addresses.port)
                await pair.client.close()
                with pytest.raises(EndOfAssociation):
                    await pair.server.receive()
            async with relayed(listener, second, local) as pair:
                await pair.server.abort(b"enough")
                with pytest.raises(AssociationAbortedError):
                    await pair.client.receive()
            await until(lambda: 14 in first.kept and 6 in second.kept)
            async with relayed(listener, third, local, one_more=True) as pair:
                await pair.client.abort()
                with pytest.raises(AssociationAbortedError):
                    await pair.server.receive()
            assert set(RECORDED) <= set(first.kept) | set(second.kept) | set(third.kept)
            async with relayed(listener, live, local) as pair:
                recording = Recording([first, second, third], live, pair)
                assert len(recording.live_tags) == 2
                yield pair, recording, [live, elsewhere]
