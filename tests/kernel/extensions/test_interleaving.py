"""Interleaved messages (RFC 8260), and what a dissector sees of them."""

import asyncio
import contextlib
import errno
import hashlib
import random
from itertools import pairwise
from typing import Any

import pytest

import sctpio
from kernel.extensions.analyst import DATA, I_DATA, INIT, INIT_ACK, Analyst, Seen
from kernel.extensions.ends import both, refused, sysctl
from kernel.lab import FAST, DeadEnd, Lab, data_of, joined
from sctpio import (
    Conn,
    FragmentInterleave,
    InitMsg,
    InterleavingSupported,
    MessageTooLargeError,
    Mode,
    ReceiveBuffer,
    Scheduler,
    SendBuffer,
    StreamScheduler,
    connect,
    open_endpoint,
)
from support import PATIENCE, associations, connected, until

# Timers of the kernel take their time on any loop.
pytestmark = pytest.mark.one_loop

INTERLEAVED = (FragmentInterleave(1), InterleavingSupported())


def digest(data: bytes) -> str:
    """Name large data by something that can be shown."""
    return hashlib.sha256(data).hexdigest()[:16]


async def test_i_data(analyst: Analyst) -> None:
    """With InterleavingSupported at both ends messages go as I-DATA, with MID and FSN, and never as DATA."""
    with analyst.look() as seen:
        async with connected(**both(*INTERLEAVED)) as pair:
            port = pair.client.local_addresses.port
            for conn in (pair.client, pair.server):
                assert conn.get_option(InterleavingSupported) == InterleavingSupported(True)
            await pair.client.send(b"first", stream=3, ppid=60)
            await pair.client.send(bytes(4000), stream=3, ppid=61)
            await pair.client.send(b"loose", stream=4, ppid=62, unordered=True)
            got = [await pair.server.receive() for _ in range(3)]
            assert [(m.data, m.stream, m.ppid, m.unordered) for m in got] == [
                (b"first", 3, 60, False),
                (bytes(4000), 3, 61, False),
                (b"loose", 4, 62, True),
            ]
    for init in (chunk for chunk in seen if chunk.type in (INIT, INIT_ACK)):
        assert I_DATA in init.all("sctp.supported_chunk_type")
    assert [chunk for chunk in seen if chunk.type == DATA] == []
    first, *fragments, loose = [chunk for chunk in seen if chunk.type == I_DATA and chunk.port == port]
    assert (first["sctp.data_mid"], first["sctp.data_payload_proto_id"]) == (0, 60)
    assert [fragment["sctp.data_mid"] for fragment in fragments] == [1, 1, 1]
    beginning, middle, end = fragments
    assert (beginning["sctp.data_payload_proto_id"], beginning.all("sctp.data_fsn")) == (61, ())
    # Where they begin is not said here: Linux gives the second fragment 0.
    assert end["sctp.data_fsn"] == middle["sctp.data_fsn"] + 1
    assert (loose["sctp.data_u_bit"], loose["sctp.data_payload_proto_id"]) == (1, 62)


@pytest.mark.parametrize("without", ["listen_with", "connect_with"])
async def test_interleaving_at_one_end_only(analyst: Analyst, without: str) -> None:
    """Where one end is without it messages go as DATA, and the option says so at both."""
    with analyst.look() as seen:
        async with connected(**{**both(*INTERLEAVED), without: {}}) as pair:
            for conn in (pair.client, pair.server):
                assert conn.get_option(InterleavingSupported) == InterleavingSupported(False)
            await pair.client.send(bytes(4000))
            assert await data_of(pair.server) == bytes(4000)
    assert {chunk.type for chunk in seen} & {DATA, I_DATA} == {DATA}


def streams_of_fragments(seen: list[Seen], port: int) -> list[int]:
    """Give the streams of a port's I-DATA in the order of the wire, retransmissions left out."""
    first: dict[int, int] = {}
    for chunk in seen:
        if chunk.type == I_DATA and chunk.port == port:
            first.setdefault(chunk["sctp.data_tsn_raw"], chunk["sctp.data_sid"])
    return list(first.values())


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("unordered", [False, True], ids=["ordered", "unordered"])
async def test_large_messages_of_several_streams_are_mixed_and_put_together(
    analyst: Analyst, mode: Mode, unordered: bool
) -> None:
    """Fragments of all streams alternate on the wire, parts of all messages come mixed: each arrives whole.

    The receive buffer holds less than one message, so every one of them is delivered in parts.
    """
    streams, count, size = 3, 2, 60_000
    chance = random.Random(8260)
    sent = {(sid, n): chance.randbytes(size + sid) for sid in range(streams) for n in range(count)}
    small = (*INTERLEAVED, FAST, ReceiveBuffer(size=20_000))
    turns = (*INTERLEAVED, FAST, StreamScheduler(Scheduler.ROUND_ROBIN), SendBuffer(size=150_000))
    got: dict[int, list[str]] = {sid: [] for sid in range(streams)}
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": small, "mode": mode}, connect_with={"options": turns}
        ) as pair:
            port = pair.client.local_addresses.port
            assert (pair.server.get_option(ReceiveBuffer).size or 0) < size

            async def send() -> None:
                for (sid, _), data in sorted(sent.items(), key=lambda item: item[0][1]):
                    await pair.client.send(data, stream=sid, ppid=sid, unordered=unordered)

            sending = asyncio.create_task(send())
            async with asyncio.timeout(40 * PATIENCE):
                for _ in sent:
                    message = await pair.server.receive()
                    assert (message.ppid, message.unordered) == (message.stream, unordered)
                    got[message.stream].append(digest(message.data))
                await sending
    expected = {sid: [digest(sent[sid, n]) for n in range(count)] for sid in range(streams)}
    if unordered:
        got, expected = ({sid: sorted(all_) for sid, all_ in each.items()} for each in (got, expected))
    assert got == expected
    on_the_wire = streams_of_fragments(seen, port)
    changes = sum(sid != following for sid, following in pairwise(on_the_wire))
    assert changes > len(on_the_wire) / 2


SLOW = "delay 50ms rate 4mbit"


@pytest.mark.parametrize("interleaved", [True, False], ids=["i-data", "data"])
async def test_a_small_message_overtakes_a_large_one(lab: Lab, interleaved: bool) -> None:
    """With I-DATA a small message of a preferred stream is delivered before the large one under way."""
    options = (*(INTERLEAVED if interleaved else ()), StreamScheduler(Scheduler.PRIORITY))
    large = bytes(60_000)
    with lab.inside():
        sysctl("intl_enable", int(interleaved))
    async with joined(lab, **both(*options)) as pair:
        lab.netem(SLOW, lab.links[0])
        pair.client.stream(1).priority = 9
        pair.client.stream(2).priority = 1
        await pair.client.send(large, stream=1)
        await pair.client.send(b"small", stream=2)
        got = [await data_of(pair.server) for _ in range(2)]
    assert got == ([b"small", large] if interleaved else [large, b"small"])


async def flood(conn: Conn, sizes: list[int]) -> None:
    """Send a message of each size, each on a stream of its own, until the association ends."""
    with contextlib.suppress(OSError):
        for sid, size in enumerate(sizes):
            await conn.send(bytes(size), stream=sid)
        await conn.flush()


@pytest.mark.parametrize("mode", Mode)
async def test_a_message_beyond_max_message_size_ends_its_association_only(mode: Mode) -> None:
    """The receiver gets MessageTooLargeError, the sender an ABORT; other associations go on."""
    small: dict[str, Any] = {
        "options": (*INTERLEAVED, ReceiveBuffer(size=20_000)),
        "mode": mode,
        "max_message_size": 50_000,
        "receive_buffer": 20_000,
    }
    client_with: dict[str, Any] = {"options": (*INTERLEAVED, SendBuffer(size=150_000))}
    async with connected(listen_with=small, connect_with=client_with) as pair:
        async with connect(pair.listener.local_addresses, **client_with) as other:
            neighbour = await pair.listener.accept()
            await pair.client.send(bytes(50_000))
            assert await data_of(pair.server) == bytes(50_000)
            flooding = asyncio.create_task(flood(pair.client, [50_001]))
            with pytest.raises(MessageTooLargeError, match="stream 0 is larger than max_message_size, 50000"):
                await data_of(pair.server)
            async with asyncio.timeout(10 * PATIENCE):
                await pair.client.wait_closed()
                await flooding
            for size in (50_000, 5):
                await other.send(bytes(size), stream=1)
                assert await data_of(neighbour) == bytes(size)
        await neighbour.wait_closed()


@pytest.mark.parametrize("mode", Mode)
async def test_messages_in_part_are_bounded_together(mode: Mode) -> None:
    """Parts of messages of many streams hold max_message_size and the receive buffer together, no more."""
    small: dict[str, Any] = {
        "options": (*INTERLEAVED, FAST, ReceiveBuffer(size=20_000)),
        "mode": mode,
        "max_message_size": 50_000,
        "receive_buffer": 20_000,
    }
    options = (*INTERLEAVED, FAST, StreamScheduler(Scheduler.ROUND_ROBIN), SendBuffer(size=200_000))
    client_with: dict[str, Any] = {"options": options}
    async with connected(listen_with=small, connect_with=client_with) as pair:
        async with connect(pair.listener.local_addresses, **client_with) as other:
            neighbour = await pair.listener.accept()
            # None of them is too large.
            flooding = asyncio.create_task(flood(pair.client, [49_000] * 5))
            with pytest.raises(MessageTooLargeError, match="not yet whole"):
                while True:
                    assert len(await data_of(pair.server)) == 49_000
            async with asyncio.timeout(10 * PATIENCE):
                await pair.client.wait_closed()
                await flooding
            await other.send(b"goes on", stream=1)
            assert await data_of(neighbour) == b"goes on"
        await neighbour.wait_closed()


async def test_interleaving_without_the_sysctl(lab: Lab) -> None:
    """With intl_enable=0 the option is EPERM and says so; `capabilities` knew."""
    with lab.inside():
        sysctl("intl_enable", 0)
    with refused(errno.EPERM, "SCTP_INTERLEAVING_SUPPORTED; needs FragmentInterleave and the sysctl"):
        lab.listen(lab.links[0].remote, options=INTERLEAVED)
    with lab.inside():
        feature = sctpio.capabilities().interleaving
    assert not feature
    assert feature.needs == "sysctl net.sctp.intl_enable=1"
    assert sctpio.capabilities().interleaving
    # The other way round it is a matter of order.
    with refused(errno.EPERM, "SCTP_INTERLEAVING_SUPPORTED; needs FragmentInterleave"):
        await connect("127.0.0.1:5000", options=INTERLEAVED[::-1])


@pytest.mark.parametrize("call", ["send", "connect"])
async def test_an_address_that_does_not_answer_does_not_block_the_loop(nowhere: DeadEnd, call: str) -> None:
    """With I-DATA a send that begins an association waits in the kernel: the library must not get there."""
    init = InitMsg(max_attempts=1, max_init_timeout=0.3)
    async with open_endpoint(options=(*INTERLEAVED, FAST), init=init) as endpoint:
        remote = f"{nowhere.address}:5000"
        waiting = endpoint.send(b"x", to=remote) if call == "send" else endpoint.connect(remote)
        task = asyncio.ensure_future(waiting)
        await until(lambda: bool(associations()) or task.done())
        # A call that had blocked would have come back with the end of the attempt.
        assert not task.done()
        assert associations()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20 * PATIENCE):
                await task
    await until(lambda: not associations())
