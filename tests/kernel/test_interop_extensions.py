"""Extensions between the kernel's SCTP and usrsctp, and what a packet dissector says of it all.

Partial reliability (RFC 3758, RFC 7496), changes of streams (RFC 6525), authentication (RFC 4895).
"""

import asyncio
import contextlib
import errno
import hashlib
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from kernel.capture import recorded
from kernel.extensions.analyst import AUTH, DATA, I_DATA, Analyst, authenticated_by
from kernel.extensions.ends import given_up
from kernel.interop import (
    KERNEL_UDP,
    STUBBORN,
    USRSCTP_UDP,
    Ends,
    both,
    every_stack,
    linked,
    outage,
    sysctls,
)
from kernel.lab import Lab, data_of, failures
from sctpio import (
    AsconfSupported,
    AssociationReset,
    AuthActiveKey,
    AuthChunk,
    AuthDeleteKey,
    AuthKey,
    AuthSupported,
    Conn,
    EnableStreamReset,
    FragmentInterleave,
    HmacIdentifier,
    HmacIdentifiers,
    InterleavingSupported,
    LocalAuthChunks,
    PeerAuthChunks,
    PrPolicy,
    PrSupported,
    ReceiveBuffer,
    ReconfigSupported,
    ReconfigurationError,
    SendBuffer,
    SendFailed,
    StreamChange,
    StreamReset,
    StreamResetFlags,
)
from sctpio._loop import reconfig as _reconfig
from support import KIB, PATIENCE, Pair, until

# Timers of both stacks take their time on any loop.
# test_interop.py is the part of it that everyday runs have.
pytestmark = [pytest.mark.one_loop, pytest.mark.endurance, pytest.mark.usefixtures("encapsulated")]

FORWARD_TSN, RECONFIG, INIT, INIT_ACK = 192, 130, 1, 2

by_both = pytest.mark.parametrize("by", ["client", "server"])


class Sides(NamedTuple):
    """A pair, seen from one end of it; `stack` is that end's."""

    one: Conn
    other: Conn
    stack: str


def sides(pair: Pair, ends: Ends, by: str) -> Sides:
    """See a pair from one end."""
    if by == "client":
        return Sides(pair.client, pair.server, ends.client)
    return Sides(pair.server, pair.client, ends.server)


# Partial reliability


@asynccontextmanager
async def cut_off(lab: Lab, ends: Ends, by: str, *options: Any) -> AsyncIterator[Sides]:
    """Connect over a link that takes nothing of one end until `outage(over=True)`."""
    async with linked(ends, lab=lab, **both(*STUBBORN, *options)) as pair:
        sender = sides(pair, ends, by)
        await sender.one.send(b"before")
        assert await data_of(sender.other) == b"before"
        await sender.one.flush()
        outage(lab, sender.stack)
        try:
            yield sender
        finally:
            outage(lab, sender.stack, over=True)


@pytest.mark.endurance
@every_stack
@by_both
async def test_messages_that_get_too_old_are_given_up(
    analyst: Analyst, interop_lab: Lab, ends: Ends, by: str
) -> None:
    """FORWARD TSN skips those that were sent; the sender counts and tells, the rest arrives."""
    with analyst.look(interop_lab.links[0].here) as seen:
        async with cut_off(interop_lab, ends, by) as (sender, receiver, stack):
            port = sender.local_addresses.port
            events = sender.events(SendFailed)
            for number in range(20):
                await sender.send(bytes(1400), stream=1 + number % 2, context=number, ppid=46, lifetime=0.1)
            await sender.send(b"no policy", stream=3)
            await sender.send(b"young", stream=3, lifetime=60)
            await until(lambda: sum(given_up(sender)) == 20)
            unsent, sent = given_up(sender, PrPolicy.LIFETIME)
            assert sent > 0
            # usrsctp takes what is too old for sent, where it was to be sent.
            assert unsent > 0 or stack == "usrsctp"
            assert given_up(sender, PrPolicy.RETRANSMISSIONS) == given_up(sender, PrPolicy.PRIORITY) == (0, 0)
            assert [sum(given_up(sender, stream=sid)) for sid in (1, 2, 3)] == [10, 10, 0]
            outage(interop_lab, stack, over=True)
            assert [await data_of(receiver) for _ in range(2)] == [b"no policy", b"young"]
            # Linux has no event for what was sent.
            failed = await failures(events, 20 if stack == "usrsctp" else unsent)
            assert sorted({event.context for event in failed}) == sorted(event.context for event in failed)
            assert {(event.ppid, len(event.data)) for event in failed} == {(46, 1400)}
            assert all(event.stream == 1 + event.context % 2 for event in failed)
            assert sum(not event.sent for event in failed) == unsent
            # The association lives on, on those streams too.
            await sender.send(b"later", stream=1)
            assert await data_of(receiver) == b"later"
            await receiver.send(b"and back")
            assert await data_of(sender) == b"and back"
            assert receiver.statistics().messages_received == 4
    assert any(chunk.type == FORWARD_TSN and chunk.port == port for chunk in seen)


@pytest.mark.parametrize("most", [0, 2])
@every_stack
@pytest.mark.parametrize("by", ["client", pytest.param("server", marks=pytest.mark.endurance)])
async def test_a_message_that_was_tried_often_enough_is_given_up(
    analyst: Analyst, interop_lab: Lab, ends: Ends, by: str, most: int
) -> None:
    with analyst.look(interop_lab.links[0].here) as seen:
        async with cut_off(interop_lab, ends, by) as (sender, receiver, stack):
            port = sender.local_addresses.port
            events = sender.events(SendFailed)
            await sender.send(b"given up", stream=1, ppid=60, context=7, max_retransmissions=most)
            await until(lambda: given_up(sender) == (0, 1))
            assert given_up(sender, stream=1) == (0, 1)
            assert given_up(sender, PrPolicy.LIFETIME) == (0, 0)
            outage(interop_lab, stack, over=True)
            await sender.send(b"after", stream=1)
            message = await receiver.receive()
            # The number was skipped.
            assert (message.data, message.ssn) == (b"after", 1)
            failed = await failures(events, 1 if stack == "usrsctp" else 0)
            assert [(event.context, event.ppid, event.sent) for event in failed] == [(7, 60, True)] * len(
                failed
            )
            assert receiver.statistics().messages_received == 2
    assert any(chunk.type == FORWARD_TSN and chunk.port == port for chunk in seen)


@every_stack
async def test_messages_of_low_priority_make_room_in_the_kernel(interop_lab: Lab, ends: Ends) -> None:
    """A higher number is a lower priority; what has none stays, and what was given up does not arrive."""
    by = "client" if ends.client == "kernel" else "server"
    async with cut_off(interop_lab, ends, by, SendBuffer(size=20_000)) as (sender, receiver, stack):
        kept = [b"kept %d" % number for number in range(3)]
        for data in kept:
            await sender.send(data, stream=1)
        count = 0
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.2 * PATIENCE):
                    await sender.send(b"%d " % count * 250, stream=2, priority=9)
                count += 1
        assert count > 10
        assert given_up(sender) == (0, 0)
        important = b"important" * 100
        sending = asyncio.create_task(sender.send(important, stream=3, priority=1))
        await until(lambda: sum(given_up(sender)) > 0)
        outage(interop_lab, stack, over=True)
        async with asyncio.timeout(30 * PATIENCE):
            await sending
            await sender.flush()
        gone = sum(given_up(sender, PrPolicy.PRIORITY))
        assert 0 < gone < count
        assert sum(given_up(sender, stream=2)) == sum(given_up(sender)) == gone
        async with asyncio.timeout(30 * PATIENCE):
            got = [await receiver.receive() for _ in range(3 + count - gone + 1)]
        assert [message.data for message in got if message.stream == 1] == kept
        assert [message.data for message in got if message.stream == 3] == [important]
        numbers = [int(message.data.split()[0]) for message in got if message.stream == 2]
        assert numbers == sorted(set(numbers))
        await sender.send(b"done")
        assert await data_of(receiver) == b"done"


@pytest.mark.endurance
@every_stack
@by_both
async def test_under_loss_what_is_given_up_and_what_arrives_is_everything(
    interop_lab: Lab, ends: Ends, by: str
) -> None:
    """Each message is either received once, in order, or counted as given up."""
    # Else all messages can be under way at once, and one timeout gives up most of them.
    window = ReceiveBuffer(104 * KIB)
    interop_lab.netem("loss 30%", interop_lab.links[0])
    try:
        async with linked(ends, lab=interop_lab, **both(*STUBBORN, window)) as pair:
            sender, receiver, _ = sides(pair, ends, by)
            count = 300
            async with asyncio.timeout(60 * PATIENCE):
                for number in range(count):
                    await sender.send(b"%d " % number * 50, stream=number % 3, max_retransmissions=1)
                for stream in range(3):
                    await sender.send(b"last", stream=stream)
                got: dict[int, list[bytes]] = {stream: [] for stream in range(3)}
                while not all(data and data[-1] == b"last" for data in got.values()):
                    message = await receiver.receive()
                    got[message.stream].append(message.data)
                await sender.flush()
            numbers = {stream: [int(data.split()[0]) for data in got[stream][:-1]] for stream in got}
            for stream, found in numbers.items():
                assert found == sorted(set(found))
                assert all(number % 3 == stream for number in found)
            arrived = sum(map(len, numbers.values()))
            assert arrived < count
            # Given up by the sender, and yet received: where the acknowledgement was lost.
            assert count - arrived <= sum(given_up(sender)) < count / 2
    finally:
        interop_lab.mend(interop_lab.links[0])


@every_stack
@pytest.mark.parametrize("without", ["listen_with", "connect_with"])
async def test_partial_reliability_at_one_end_only(interop_lab: Lab, ends: Ends, without: str) -> None:
    """Messages are delivered however old they are."""
    options = both(*STUBBORN) | {without: {"options": (*STUBBORN, PrSupported(False))}}
    async with linked(ends, lab=interop_lab, **options) as pair:
        for by in ("client", "server"):
            sender, receiver, stack = sides(pair, ends, by)
            assert sender.get_option(PrSupported) == PrSupported(False)
            outage(interop_lab, stack)
            await sender.send(b"old", lifetime=0.01)
            await sender.send(b"tried", max_retransmissions=0)
            await asyncio.sleep(0.1)
            outage(interop_lab, stack, over=True)
            assert [await data_of(receiver) for _ in range(2)] == [b"old", b"tried"]
            assert given_up(sender) == (0, 0)


# Streams that are changed

ENABLED = (ReconfigSupported(), EnableStreamReset(True, True, True))


async def ssns(sender: Conn, receiver: Conn, *streams: int) -> list[int]:
    """Send a message on each of these streams: the sequence numbers with which they came."""
    found = []
    async with asyncio.timeout(20 * PATIENCE):
        for stream in streams:
            await sender.send(b"x", stream=stream)
            message = await receiver.receive()
            assert message.stream == stream
            found.append(message.ssn)
    return found


@every_stack
@by_both
async def test_streams_that_are_reset_count_from_0(ends: Ends, by: str) -> None:
    async with asyncio.timeout(15 * PATIENCE), linked(ends, **both(*ENABLED)) as pair:
        one, other, _ = sides(pair, ends, by)
        told = other.events(StreamReset)
        for a, b in ((one, other), (other, one)):
            assert await ssns(a, b, 3, 3, 4, 4, 7) == [0, 1, 0, 1, 0]
        await one.stream(3).reset()
        event = await anext(told)
        assert isinstance(event, StreamReset)
        assert (event.streams, StreamResetFlags.INCOMING in event.flags) == ((3,), True)
        assert await ssns(one, other, 3, 3, 4) == [0, 1, 2]
        assert await ssns(other, one, 3) == [2]
        await one.reset_streams(3, 4)
        assert await ssns(one, other, 3, 4, 7) == [0, 0, 1]
        # What the other end sends on.
        await one.reset_streams(3, outgoing=False, incoming=True)
        assert await ssns(other, one, 3, 4) == [0, 2]
        await one.reset_streams(4, incoming=True)
        assert await ssns(one, other, 4) == [0]
        assert await ssns(other, one, 4) == [0]
        await one.reset_streams()
        assert await ssns(one, other, *range(10)) == [0] * 10
        # Data goes on, in order, over many resets.
        for turn in range(4):
            await one.send_many([b"%d %d" % (turn, number) for number in range(30)], stream=2)
            await one.stream(2).reset()
        got = [await data_of(other) for _ in range(120)]
        assert got == [b"%d %d" % (turn, number) for turn in range(4) for number in range(30)]


@every_stack
@by_both
async def test_streams_that_are_added_are_there_at_both_ends(
    ends: Ends, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(15 * PATIENCE), linked(ends, **both(*ENABLED)) as pair:
        one, other, _ = sides(pair, ends, by)
        told = other.events(StreamChange)
        await one.add_streams(outbound=3)
        event = await anext(told)
        assert isinstance(event, StreamChange)
        assert (event.inbound_streams, event.outbound_streams) == (3, 0)
        assert (one.outbound_streams, one.inbound_streams) == (13, 10)
        await until(lambda: (other.outbound_streams, other.inbound_streams) == (10, 13))
        assert await ssns(one, other, 12, 12, 0) == [0, 1, 0]
        await one.stream(12).reset()
        assert await ssns(one, other, 12) == [0]
        # Linux answers this by a request of its own alone. usrsctp goes on to wait for a response, so this is
        # the last thing that it can ask for.
        await one.add_streams(inbound=2)
        assert (one.outbound_streams, one.inbound_streams) == (13, 12)
        await until(lambda: (other.outbound_streams, other.inbound_streams) == (12, 13))
        assert await ssns(other, one, 11, 11) == [0, 1]
        status = other.status()
        assert (status.outbound_streams, status.inbound_streams) == (12, 13)
        if getattr(ends, by) == "usrsctp":
            monkeypatch.setattr(_reconfig, "MOST_PATIENCE", 0.2)
            with pytest.raises(OSError, match="SCTP_ADD_STREAMS") as caught:
                await one.add_streams(outbound=1)
            assert caught.value.errno == errno.EALREADY


async def begin_anew(one: Conn, other: Conn) -> None:
    """Reset the association, as both ends tell it alike; then messages of both ends are numbered from 0."""
    assert await ssns(one, other, 1, 1, 5) == [0, 1, 0]
    assert await ssns(other, one, 1, 1) == [0, 1]
    # usrsctp 0.9.5 takes "in progress", the answer of a peer with data under way, for a failure.
    await one.flush()
    await other.flush()
    async with one.events(AssociationReset) as seen, other.events(AssociationReset) as told:
        await one.reset_association()
        here, there = await anext(seen), await anext(told)
    assert isinstance(here, AssociationReset)
    assert isinstance(there, AssociationReset)
    assert here.flags == there.flags == 0
    assert (here.local_tsn, here.remote_tsn) == (there.remote_tsn, there.local_tsn)
    for sender, receiver, tsn in ((one, other, here.local_tsn), (other, one, there.local_tsn)):
        await sender.send(b"first", stream=1)
        message = await receiver.receive()
        assert (message.data, message.tsn, message.ssn) == (b"first", tsn, 0)


@every_stack
async def test_an_association_that_the_kernel_resets_begins_anew(ends: Ends) -> None:
    async with asyncio.timeout(15 * PATIENCE), linked(ends, **both(*ENABLED)) as pair:
        kernel, usrsctp, _ = sides(pair, ends, "client" if ends.client == "kernel" else "server")
        await begin_anew(kernel, usrsctp)
        for turn in range(1, 20):
            assert await ssns(kernel, usrsctp, 1, 5) == [turn, turn - 1]
            assert await ssns(usrsctp, kernel, 1, 5) == [turn, turn - 1]


@every_stack
@by_both
async def test_requests_that_are_denied_raise(ends: Ends, by: str) -> None:
    """The other end knows the extension and grants nothing; the association goes on."""
    denying = {"options": (ReconfigSupported(), EnableStreamReset(False, False, False))}
    options = both(*ENABLED) | {"listen_with" if by == "client" else "connect_with": denying}
    async with asyncio.timeout(15 * PATIENCE), linked(ends, **options) as pair:
        one, other, _ = sides(pair, ends, by)
        assert await ssns(one, other, 1, 1) == [0, 1]
        for request in (
            one.add_streams(outbound=1),
            one.add_streams(inbound=1),
            one.reset_streams(1, outgoing=False, incoming=True),
            *([one.reset_association()] if getattr(ends, by) == "kernel" else []),
        ):
            with pytest.raises(ReconfigurationError) as caught:
                await request
            assert caught.value.errno == errno.EPERM
        assert await ssns(one, other, 2, 2) == [0, 1]
        assert await ssns(other, one, 2) == [0]
        assert (one.outbound_streams, other.inbound_streams) == (10, 10)


@every_stack
async def test_streams_of_a_peer_that_does_not_know_how(ends: Ends) -> None:
    for by in ("client", "server"):
        without = {"options": (ReconfigSupported(False),)}
        options = both(*ENABLED) | {"listen_with" if by == "client" else "connect_with": without}
        async with asyncio.timeout(15 * PATIENCE), linked(ends, **options) as pair:
            one, other, _ = sides(pair, ends, by)
            for request in (one.stream(1).reset(), one.add_streams(outbound=1)):
                with pytest.raises(OSError, match="SCTP_") as caught:
                    await request
                assert caught.value.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP)
            assert await ssns(one, other, 1) == [0]


# Authentication

AUTHENTICATED = (AuthSupported(), AsconfSupported(False), AuthChunk(DATA))


@every_stack
@by_both
async def test_data_is_authenticated_by_the_active_key(analyst: Analyst, ends: Ends, by: str) -> None:
    """By the empty key 0 first, then by others while the association lives."""
    with analyst.look() as seen:
        async with asyncio.timeout(15 * PATIENCE), linked(ends, **both(*AUTHENTICATED)) as pair:
            one, other, _ = sides(pair, ends, by)
            ports = one.local_addresses.port, other.local_addresses.port
            for conn in (one, other):
                assert conn.get_option(AuthSupported) == AuthSupported(True)
                assert DATA in conn.get_option(LocalAuthChunks).chunks
                assert DATA in conn.get_option(PeerAuthChunks).chunks
            await one.send(b"by none")
            assert await data_of(other) == b"by none"
            for number, key in ((5, b"five"), (9, b"a longer one " * 20)):
                for conn in (one, other):
                    conn.set_option(AuthKey(number, key))
                one.set_option(AuthActiveKey(number))
                await one.send(b"by %d" % number, stream=number)
                assert await data_of(other) == b"by %d" % number
                # The other end takes it, and answers by its own active key.
                await other.send(b"answer %d" % number)
                assert await data_of(one) == b"answer %d" % number
                await one.flush()
            one.set_option(AuthDeleteKey(5))
            await one.send(b"still by 9")
            assert await data_of(other) == b"still by 9"
            data = random.Random(7).randbytes(200_000)
            await one.send(data)
            assert hashlib.sha256(await data_of(other)).digest() == hashlib.sha256(data).digest()
    keys = [signed and signed[0] for signed in authenticated_by(seen, ports[0])]
    assert keys[:3] == [0, 5, 9]
    assert set(keys[3:]) == {9}
    assert {signed and signed[0] for signed in authenticated_by(seen, ports[1])} == {0}


@every_stack
@by_both
async def test_data_by_another_key_is_not_delivered(ends: Ends, by: str) -> None:
    """It is dropped, the association stays; the retransmission is taken once the keys are the same."""
    async with asyncio.timeout(15 * PATIENCE), linked(ends, **both(*AUTHENTICATED, *STUBBORN)) as pair:
        one, other, _ = sides(pair, ends, by)
        one.set_option(AuthKey(6, b"six"))
        other.set_option(AuthKey(6, b"SIX"))
        one.set_option(AuthActiveKey(6))
        await one.send(b"forged")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5 * PATIENCE):
                await other.receive()
        assert not one.is_closed
        assert not other.is_closed
        await other.send(b"the other way")
        assert await data_of(one) == b"the other way"
        other.set_option(AuthKey(6, b"six"))
        assert await data_of(other) == b"forged"


@every_stack
async def test_usrsctp_signs_by_sha_1_whatever_the_kernel_prefers(analyst: Analyst, ends: Ends) -> None:
    """Debian's usrsctp has no other algorithm: RFC 4895 has the two agree on what both have."""
    preferred = HmacIdentifiers((HmacIdentifier.SHA256, HmacIdentifier.SHA1))
    options = both(*AUTHENTICATED)
    kernel_end = "listen_with" if ends.server == "kernel" else "connect_with"
    options[kernel_end] = {"options": (*AUTHENTICATED, preferred)}
    with analyst.look() as seen:
        async with asyncio.timeout(15 * PATIENCE), linked(ends, **options) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            await pair.client.send(b"question")
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
            usrsctp = pair.client if ends.client == "usrsctp" else pair.server
            with pytest.raises(OSError, match="SCTP_HMAC_IDENT"):
                usrsctp.set_option(preferred)
    for port in ports:
        assert authenticated_by(seen, port) == [(0, HmacIdentifier.SHA1)]


@every_stack
@by_both
async def test_only_who_asks_for_it_gets_authenticated_data(analyst: Analyst, ends: Ends, by: str) -> None:
    plain = {"options": (AuthSupported(), AsconfSupported(False))}
    options = both(*AUTHENTICATED) | {"connect_with" if by == "client" else "listen_with": plain}
    with analyst.look() as seen:
        async with asyncio.timeout(15 * PATIENCE), linked(ends, **options) as pair:
            one, other, _ = sides(pair, ends, by)
            ports = one.local_addresses.port, other.local_addresses.port
            await one.send(b"signed")
            assert await data_of(other) == b"signed"
            await other.send(b"plain")
            assert await data_of(one) == b"plain"
    assert [signed is not None for signed in authenticated_by(seen, ports[0])] == [True]
    assert authenticated_by(seen, ports[1]) == [None]


@every_stack
@pytest.mark.parametrize("without", ["kernel", "usrsctp"])
async def test_authentication_at_one_end_only(analyst: Analyst, ends: Ends, without: str) -> None:
    """The association is up, and both ends say that it has none.

    Unsigned data is taken by the kernel. usrsctp, where it asked for signed data, drops it all the same, as
    RFC 4895 6.3 has it.
    """
    end = "listen_with" if ends.server == without else "connect_with"
    options = both(*AUTHENTICATED) | {end: {"options": (AsconfSupported(False), AuthSupported(False))}}
    with analyst.look() as seen:
        async with asyncio.timeout(15 * PATIENCE), linked(ends, **options) as pair:
            for conn in (pair.client, pair.server):
                assert conn.get_option(AuthSupported) == AuthSupported(False)
            kernel, usrsctp = pair[:2] if ends.client == "kernel" else pair[1::-1]
            await usrsctp.send(b"plain")
            assert await data_of(kernel) == b"plain"
            await kernel.send(b"plain, too")
            if without == "usrsctp":
                assert await data_of(usrsctp) == b"plain, too"
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5 * PATIENCE):
                        await usrsctp.receive()
    assert AUTH not in {chunk.type for chunk in seen}


# Interleaving


@pytest.fixture
def _interleaving() -> Iterator[None]:
    with sysctls(sctp__intl_enable=1):
        yield


@pytest.mark.usefixtures("_interleaving")
@every_stack
async def test_usrsctp_has_no_i_data_so_the_kernel_sends_data(analyst: Analyst, ends: Ends) -> None:
    """usrsctp 0.9.5 in Debian has no option for I-DATA (RFC 8260) in its header: DATA is sent."""
    kernel_end = "listen_with" if ends.server == "kernel" else "connect_with"
    options: dict[str, Any] = {kernel_end: {"options": (FragmentInterleave(2), InterleavingSupported())}}
    with analyst.look() as seen:
        async with asyncio.timeout(15 * PATIENCE), linked(ends, **options) as pair:
            kernel = pair.server if ends.server == "kernel" else pair.client
            assert kernel.get_option(InterleavingSupported) == InterleavingSupported(False)
            usrsctp = pair.client if ends.server == "kernel" else pair.server
            with pytest.raises(OSError, match="SCTP_INTERLEAVING_SUPPORTED"):
                usrsctp.get_option(InterleavingSupported)
            for a, b in ((pair.client, pair.server), (pair.server, pair.client)):
                await a.send(bytes(50_000), stream=1)
                assert await data_of(b) == bytes(50_000)
    types = {chunk.type for chunk in seen}
    assert DATA in types
    assert I_DATA not in types


# What a packet dissector says


FIELDS = (
    "udp.srcport",
    "udp.dstport",
    "sctp.srcport",
    "sctp.checksum.status",
    "sctp.chunk_type",
    "_ws.malformed",
)


@contextlib.contextmanager
def captured() -> Iterator[list[dict[str, str]]]:
    """Capture lo while the block runs: a row of FIELDS for each packet, when it has ended."""
    rows: list[dict[str, str]] = []
    with recorded("(sctp or udp)") as recording:
        yield rows
    command = ["tshark", "-n", "-r", "-", "-d", f"udp.port=={KERNEL_UDP},sctp", "-Y", "udp or sctp"]
    command += ["-o", "sctp.checksum:crc-32c", "-o", "sctp.reassembly:FALSE", "-T", "fields"]
    for name in FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, input=recording.raw, capture_output=True, check=True)
    rows += [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.decode().splitlines()]


@every_stack
async def test_a_whole_conversation_is_sctp_over_udp_as_a_dissector_knows_it(ends: Ends) -> None:
    """Each packet is in UDP between the two ports, its CRC32c is right, and nothing in it is malformed."""
    everything = both(*AUTHENTICATED, *ENABLED)
    with captured() as rows:
        async with asyncio.timeout(15 * PATIENCE), linked(ends, **everything) as (client, server, _):
            ports = {"client": client.local_addresses.port, "server": server.local_addresses.port}
            for size in (1, 2, 3, 4, 5, 1000, *range(1420, 1450), 50_000):
                for a, b in ((client, server), (server, client)):
                    await a.send(bytes(size), stream=size % 10, unordered=size == 5)
                    assert await data_of(b) == bytes(size)
            await client.stream(1).reset()
            await server.add_streams(outbound=1)
            await server.close()
    for row in rows:
        kernel_sent = row["sctp.srcport"] == str(ports["client" if ends.client == "kernel" else "server"])
        udp = (KERNEL_UDP, USRSCTP_UDP) if kernel_sent else (USRSCTP_UDP, KERNEL_UDP)
        assert (row["udp.srcport"], row["udp.dstport"]) == (str(udp[0]), str(udp[1])), row
        assert row["sctp.checksum.status"] == "1", row
        assert row["_ws.malformed"] == "", row
    assert {row["sctp.srcport"] for row in rows} == {str(port) for port in ports.values()}
    types = {int(number, 0) for row in rows for number in row["sctp.chunk_type"].split(",")}
    assert {DATA, AUTH, INIT, INIT_ACK, RECONFIG} <= types
