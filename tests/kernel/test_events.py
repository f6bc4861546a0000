"""Every notification of the real kernel, provoked: what it says is what the other end did."""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from kernel.lab import IMPATIENT, Lab, joined
from sctpio import (
    Adaptation,
    AdaptationIndication,
    Address,
    AddressState,
    AsconfSupported,
    AssociationChange,
    AssociationLostError,
    AssociationReset,
    AssociationState,
    AssociationStatistics,
    AssocInfo,
    AuthActiveKey,
    AuthChunk,
    AuthDeactivateKey,
    AuthDeleteKey,
    AuthenticationEvent,
    AuthenticationState,
    AuthKey,
    AuthSupported,
    Conn,
    EnableStreamReset,
    ErrorCause,
    Event,
    EventStream,
    ExposePotentiallyFailed,
    InitMsg,
    Mode,
    PartialDelivery,
    PartialDeliveryPoint,
    PartialDeliveryState,
    PathError,
    PathState,
    PeerAddressChange,
    PeerAddressThresholds,
    PrimaryAddress,
    PrStreamStatus,
    ReceiveBuffer,
    ReconfigSupported,
    ReconfigurationError,
    RemoteError,
    RtoInfo,
    SendBuffer,
    SenderDry,
    SendFailed,
    ShutdownEvent,
    StreamChange,
    StreamReset,
    StreamResetFlags,
    connect,
    listen,
    open_endpoint,
)
from sctpio.stacks._native import EVENT_SUBSCRIPTION, SOL_SCTP
from sctpio.stacks.base import ALWAYS_SUBSCRIBED, StackSocket
from sctpio.stacks.kernel import KernelSocket
from support import PATIENCE, Pair, Style, associations, connected, until

# Not by conftest's BOTH_MODES: it goes by the name of a module, and tests/pure has one of this name.
both_modes = pytest.mark.parametrize("_mode", list(Mode), ids=[mode.value for mode in Mode], indirect=True)

KINDS: list[type[Event]] = [
    AssociationChange,
    PeerAddressChange,
    SendFailed,
    RemoteError,
    ShutdownEvent,
    PartialDelivery,
    AdaptationIndication,
    AuthenticationEvent,
    SenderDry,
    StreamReset,
    AssociationReset,
    StreamChange,
]

NOTHING = StreamResetFlags(0)
INCOMING, OUTGOING = StreamResetFlags.INCOMING, StreamResetFlags.OUTGOING
DENIED = StreamResetFlags.DENIED

RECONFIG = (ReconfigSupported(), EnableStreamReset(True, True, True))
NO_GRANTS = (ReconfigSupported(), EnableStreamReset(False, False, False))
FAST = RtoInfo(initial=0.2, maximum=0.3, minimum=0.1)
# Quick to try again, slow to give up: a cut lasts as long as the guest's tools take.
STUBBORN = (FAST, AssocInfo(max_retransmissions=1000))


async def following(events: EventStream[Any]) -> Any:
    """Give the next event."""
    async with asyncio.timeout(30 * PATIENCE):
        return await anext(events)


async def until_seen(events: EventStream[Any], wanted: Callable[[Any], bool]) -> list[Any]:
    """Give the events up to the first that is wanted."""
    seen: list[Any] = []
    while not seen or not wanted(seen[-1]):
        seen.append(await following(events))
    return seen


async def rest(events: EventStream[Any]) -> list[Any]:
    """Give the events up to the end of the association."""
    async with asyncio.timeout(30 * PATIENCE):
        return [event async for event in events]


async def received(conn: Conn) -> bytes:
    async with asyncio.timeout(30 * PATIENCE):
        return (await conn.receive()).data


async def still_works(client: Conn, server: Conn) -> None:
    await client.send(b"there")
    assert await received(server) == b"there"
    await server.send(b"and back")
    assert await received(client) == b"and back"


# AssociationChange


@both_modes
async def test_it_came_up_with_the_negotiated_streams() -> None:
    async with connected(
        listen_with={"init": InitMsg(8, 6), "events": [AssociationChange]},
        connect_with={"init": InitMsg(5, 7), "events": [AssociationChange]},
    ) as pair:
        up = AssociationState.COMM_UP
        # The smaller of what one end wants and the other one allows.
        for conn, outbound, inbound in ((pair.client, 5, 7), (pair.server, 7, 5)):
            event = await following(conn.events(AssociationChange))
            assert event == AssociationChange(
                up, ErrorCause.NO_ERROR, outbound, inbound, conn.association_id, event.info
            )
            assert event.cause == b""
        assert pair.client.association_id != pair.server.association_id


@pytest.mark.parametrize("cause", [b"", b"the reason", bytes(range(251))])
@both_modes
async def test_it_was_aborted_with_a_cause(cause: bytes) -> None:
    # Only a one-to-many socket can send one.
    async with open_endpoint("127.0.0.1:0") as peer:
        async with listen("127.0.0.1:0", mode=Style.mode) as listener:
            identifier = await peer.connect(listener.local_addresses)
            server = await listener.accept()
            events = server.events(AssociationChange)
            await peer.abort(identifier, cause)
            (event,) = await rest(events)
            assert (event.state, event.error) == (
                AssociationState.COMM_LOST,
                ErrorCause.USER_INITIATED_ABORT,
            )
            assert event.association_id == server.association_id
            assert event.cause == cause
            # The cause as it was on the wire, its padding aside.
            assert event.info == struct.pack("!HH", 12, 4 + len(cause)) + cause


@both_modes
async def test_the_peer_has_vanished(lab: Lab) -> None:
    async with joined(lab, listen_with={"options": IMPATIENT}) as pair:
        events = pair.server.events(AssociationChange)
        identifier = pair.server.association_id
        lab.cut()
        (event,) = await rest(events)
        assert (event.state, event.association_id) == (AssociationState.COMM_LOST, identifier)
        assert event.error is ErrorCause.NO_ERROR
        assert (event.info, event.cause) == (b"", b"")


@pytest.mark.parametrize("closer", ["client", "server"])
@both_modes
async def test_it_was_shut_down(closer: str) -> None:
    async with connected() as pair:
        closing, other = pair.client, pair.server
        if closer == "server":
            closing, other = other, closing
        ends = {conn: conn.events(AssociationChange, ShutdownEvent) for conn in (closing, other)}
        await closing.close()
        for conn, events in ends.items():
            seen = await rest(events)
            last = seen.pop()
            assert (last.state, last.error) == (AssociationState.SHUTDOWN_COMP, ErrorCause.NO_ERROR)
            assert (last.association_id, last.cause) == (conn.association_id, b"")
            # Whose peer began it is told so.
            assert seen == ([ShutdownEvent(conn.association_id)] if conn is other else [])


async def test_it_could_not_be_started() -> None:
    async with open_endpoint("127.0.0.1:0", events=[AssociationChange]) as endpoint:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await endpoint.connect("127.0.0.1:1")
        events = endpoint.events(AssociationChange)
        first, second = await following(events), await following(events)
        for event in (first, second):
            assert event.state is AssociationState.CANT_STR_ASSOC
        assert 0 < first.association_id != second.association_id
        await endpoint.close()
        assert await rest(events) == []


class Restarted:
    """A client that came again on the same port while the server has its association still."""

    PORT = 4001

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.local = f"{lab.links[0].local}:{self.PORT}"

    async def again(self, pair: Pair, **connect_with: Any) -> Conn:
        """Let the client die without a word to the server (the link is cut), and come again."""
        await pair.client.abort()
        await until(lambda: not associations())
        options = (*connect_with.pop("options", ()), FAST)
        remote = pair.listener.local_addresses
        connecting = asyncio.create_task(_connect(remote, local=self.local, options=options, **connect_with))
        # Not before it is there again: else the host would answer for it, by an ABORT.
        await until(lambda: len(associations()) == 1)
        self.lab.mend()
        async with asyncio.timeout(30 * PATIENCE):
            return await connecting


async def _connect(remote: Address, **connect_with: Any) -> Conn:
    return await connect(remote, **connect_with)


@both_modes
async def test_the_peer_has_restarted(lab: Lab) -> None:
    peer = Restarted(lab)
    client = {"local": peer.local, "init": InitMsg(9, 8)}
    async with joined(lab, connect_with=client) as pair:
        server = pair.server
        events = server.events()
        assert (server.outbound_streams, server.inbound_streams) == (8, 9)
        for number in range(3):
            await pair.client.send(b"%d" % number)
            assert await received(server) == b"%d" % number
        lab.cut()
        await server.send(b"for the one that died", stream=2, ppid=60, context=7)
        identifier = server.association_id
        async with await peer.again(pair, init=InitMsg(4, 6)) as client_again:
            (failed, restart) = await until_seen(events, lambda event: isinstance(event, AssociationChange))
            assert (failed.data, failed.stream, failed.ppid, failed.context, failed.sent) == (
                b"for the one that died",
                2,
                60,
                7,
                True,
            )
            assert restart == AssociationChange(
                AssociationState.RESTART, ErrorCause.NO_ERROR, 6, 4, identifier, restart.info
            )
            assert (server.outbound_streams, server.inbound_streams) == (6, 4)
            assert server.association_id == identifier
            await still_works(client_again, server)
            # Both directions count from the beginning.
            await client_again.send(b"x", stream=3)
            assert (await server.receive()).ssn == 0
            await server.send(b"x", stream=5)
            assert (await client_again.receive()).ssn == 0
            # No second one: that was the same association all the time.
            with lab.inside():
                assert len(associations()) == 1


@both_modes
async def test_a_half_received_message_of_a_peer_that_restarts_is_dropped(lab: Lab) -> None:
    peer = Restarted(lab)
    async with joined(lab, connect_with={"local": peer.local}) as pair:
        events = pair.server.events(AssociationChange)
        lab.netem("rate 200kbit", lab.links[0], there=False)
        await pair.client.send(bytes(80_000))
        # Some of its fragments have come.
        await until(lambda: pair.client.get_option(AssociationStatistics).sacks_received > 1)
        lab.cut()
        async with await peer.again(pair) as again:
            assert (await following(events)).state is AssociationState.RESTART
            await again.send(b"whole")
            await again.send(b"y" * 40_000)
            await again.send(b"z")
            assert await received(pair.server) == b"whole"
            assert await received(pair.server) == b"y" * 40_000
            assert await received(pair.server) == b"z"
            await still_works(again, pair.server)


@both_modes
async def test_a_flush_does_not_outwait_a_peer_that_restarts(lab: Lab) -> None:
    """What it waits for was given back: nobody will ever acknowledge it."""
    peer = Restarted(lab)
    async with joined(lab, connect_with={"local": peer.local}) as pair:
        events = pair.server.events(AssociationChange)
        lab.cut()
        await pair.server.send(b"lost")
        flushing = asyncio.create_task(pair.server.flush())
        await asyncio.sleep(0.05)
        assert not flushing.done()
        async with await peer.again(pair) as again:
            assert (await following(events)).state is AssociationState.RESTART
            async with asyncio.timeout(10 * PATIENCE):
                await asyncio.gather(flushing, return_exceptions=True)
            await still_works(again, pair.server)
            async with asyncio.timeout(10 * PATIENCE):
                await pair.server.flush()


@both_modes
async def test_a_request_outlives_a_peer_that_restarts(lab: Lab) -> None:
    """A reconfiguration that the old peer never answered is put to the new one."""
    peer = Restarted(lab)
    both = {"options": (*RECONFIG, *STUBBORN)}
    async with joined(lab, connect_with={"local": peer.local, **both}, listen_with=both) as pair:
        lab.cut()
        asking = asyncio.create_task(pair.server.add_streams(outbound=2))
        await asyncio.sleep(0.05)
        async with await peer.again(pair, **both) as again:
            async with asyncio.timeout(30 * PATIENCE):
                await asking
            assert pair.server.outbound_streams == pair.server.status().outbound_streams == 12
            await pair.server.send(b"new", stream=11)
            assert await received(again) == b"new"


# PeerAddressChange


def of_path(events: list[Any], host: str) -> list[Any]:
    """Give what was told of one address: state and error."""
    return [(event.state, event.error) for event in events if str(event.address.hosts[0]) == host]


@both_modes
async def test_a_path_fails_step_by_step_and_comes_back(lab: Lab) -> None:
    options = (
        FAST,
        *IMPATIENT[1:],
        ExposePotentiallyFailed(True),
        PeerAddressThresholds(None, 2, 0, 65535),
    )
    async with joined(lab, links=2, connect_with={"options": options}, listen_with={}) as pair:
        client = pair.client
        other = f"{lab.links[1].remote}:{pair.listener.port}"
        await until(lambda: client.path(other).state is PathState.ACTIVE)
        client.set_primary(other)
        events = client.events(PeerAddressChange)
        lab.cut(lab.links[0])
        down = await until_seen(
            events, lambda event: event.state in (AddressState.UNREACHABLE, AddressState.AVAILABLE)
        )
        dead = lab.links[0].remote
        assert {event.association_id for event in down} == {client.association_id}
        assert {event.address for event in down} == {Address(dead, pair.listener.port)}
        assert of_path(down, dead) == [
            (AddressState.POTENTIALLY_FAILED, PathError.FAILED_THRESHOLD),
            (AddressState.UNREACHABLE, PathError.FAILED_THRESHOLD),
        ]
        lab.mend(lab.links[0])
        up = await until_seen(events, lambda event: event.state is AddressState.AVAILABLE)
        assert of_path(up, dead)[-1] == (AddressState.AVAILABLE, PathError.HEARTBEAT_SUCCESS)


@both_modes
async def test_potentially_failed_is_told_only_where_it_is_exposed(lab: Lab) -> None:
    options = (*IMPATIENT, ExposePotentiallyFailed(False), PeerAddressThresholds(None, 2, 0, 65535))
    async with joined(lab, connect_with={"options": options}) as pair:
        events = pair.client.events(PeerAddressChange)
        lab.cut()
        states = [event.state for event in await rest(events)]
        assert AddressState.UNREACHABLE in states
        assert AddressState.POTENTIALLY_FAILED not in states


@both_modes
async def test_paths_that_the_peer_named_are_confirmed(lab: Lab) -> None:
    keeping: dict[str, Any] = {"events": [PeerAddressChange], "options": [FAST]}
    first, second = lab.links
    async with lab.listen(f"{first.remote}/{second.remote}", **keeping) as listener:
        known = f"{first.remote}:{listener.port}"
        local = f"{first.local}/{second.local}:0"
        async with connect(known, local=local, **keeping) as client, await listener.accept() as server:
            port = client.local_addresses.port
            # The ones by which it came up need no confirmation.
            for conn, path in (
                (client, Address(second.remote, listener.port)),
                (server, Address(second.local, port)),
            ):
                assert await following(conn.events(PeerAddressChange)) == PeerAddressChange(
                    path, AddressState.CONFIRMED, PathError.HEARTBEAT_SUCCESS, conn.association_id
                )
                assert conn.path(path).state is PathState.ACTIVE


@both_modes
async def test_addresses_come_and_go() -> None:
    asconf: dict[str, Any] = {"options": [AuthSupported(), AsconfSupported()]}
    async with connected(listen_with=asconf, connect_with={**asconf, "local": "127.0.0.2:0"}) as pair:
        client, server, _ = pair
        port = client.local_addresses.port
        events, own = server.events(PeerAddressChange), client.events(PeerAddressChange)
        old, new = Address("127.0.0.2", port), Address("127.0.0.3", port)

        async def told(*wanted: tuple[AddressState, Address]) -> None:
            left = list(wanted)
            while left:
                event = await following(events)
                assert event.association_id == server.association_id
                if (event.state, event.address) in left:
                    left.remove((event.state, event.address))

        client.add_local_address("127.0.0.3:0")
        await told((AddressState.ADDED, new), (AddressState.CONFIRMED, new))
        client.set_peer_primary("127.0.0.3:0")
        await told((AddressState.MADE_PRIMARY, new))
        client.remove_local_address("127.0.0.2:0")
        await told((AddressState.REMOVED, old))
        assert server.peer_addresses == new
        # Who changes its own addresses is told nothing of them.
        await pair.server.close()
        assert [event.state for event in await rest(own)] == []


@both_modes
async def test_a_primary_path_of_our_own_choice_is_told_to_us_alone(lab: Lab) -> None:
    async with joined(lab, links=2) as pair:
        second = f"{lab.links[1].remote}:{pair.listener.port}"
        await until(lambda: pair.client.path(second).state is PathState.ACTIVE)
        events, there = pair.client.events(PeerAddressChange), pair.server.events(PeerAddressChange)
        pair.client.set_option(PrimaryAddress(Address.parse(second)))
        assert str(pair.client.primary_path) == second
        await pair.client.close()
        states = [(event.state, str(event.address)) for event in await rest(events)]
        assert [state for state in states if state[0] is not AddressState.CONFIRMED] in (
            [],
            [(AddressState.MADE_PRIMARY, second)],
        )
        assert AddressState.MADE_PRIMARY not in [event.state for event in await rest(there)]


# RemoteError


def crc32c(data: bytes) -> int:
    """Compute the checksum of RFC 9260 appendix A."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def packet(source: int, destination: int, tag: int, chunk: bytes) -> bytes:
    """Make an SCTP packet with one chunk."""
    body = struct.pack("!HHI", source, destination, tag), chunk + bytes(-len(chunk) % 4)
    return body[0] + struct.pack("<I", crc32c(body[0] + bytes(4) + body[1])) + body[1]


class Forger:
    """Learns the verification tags of an association on lo, and injects chunks with them."""

    def __init__(self) -> None:
        self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._tap.bind(("lo", 0x0800))
        self._tap.setblocking(False)
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        self.tags: dict[tuple[int, int], int] = {}

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
            except BlockingIOError:
                return {(port, listening), (listening, port)} <= self.tags.keys()

        await until(learnt)

    def inject(self, source: int, destination: int, chunk: bytes) -> None:
        """Send a chunk as if one port had sent it to the other one."""
        made = packet(source, destination, self.tags[source, destination], chunk)
        self._raw.sendto(made, ("127.0.0.1", 0))


def test_the_checksum_is_the_right_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    "content", [b"what nobody knows", b"", bytes(range(256))], ids=["odd", "empty", "long"]
)
@both_modes
async def test_the_peer_did_not_recognise_a_chunk(content: bytes) -> None:
    forger = Forger()
    try:
        async with connected() as pair:
            client, server, listener = pair
            await forger.learn(client, server, listener.port)
            events, there = client.events(RemoteError), server.events(RemoteError)
            # 11 in its upper bits: skip it and report it (RFC 9260 3.2).
            chunk = struct.pack("!BBH", 0xFE, 0, 4 + len(content)) + content
            forger.inject(client.local_addresses.port, listener.port, chunk)
            event = await following(events)
            assert event == RemoteError(
                ErrorCause.UNRECOGNIZED_CHUNK_TYPE,
                client.association_id,
                chunk + bytes(-len(chunk) % 4),
            )
            # Both are still there; one was told.
            await still_works(client, server)
            await client.close()
            assert await rest(events) == await rest(there) == []
    finally:
        forger.close()


@both_modes
async def test_every_cause_of_an_error_chunk_is_told() -> None:
    forger = Forger()
    try:
        async with connected(connect_with={"events": [RemoteError]}) as pair:
            client, server, listener = pair
            await forger.learn(client, server, listener.port)
            stream = struct.pack("!HHHH", ErrorCause.INVALID_STREAM_IDENTIFIER, 8, 99, 0)
            nonsense = struct.pack("!HH", 0x4321, 7) + b"abc\0"
            empty = struct.pack("!HH", ErrorCause.OUT_OF_RESOURCE, 4)
            causes = stream + nonsense + empty
            forger.inject(
                listener.port,
                client.local_addresses.port,
                struct.pack("!BBH", 9, 0, 4 + len(causes)) + causes,
            )
            events = client.events(RemoteError)
            identifier = client.association_id
            assert [await following(events) for _ in range(3)] == [
                RemoteError(ErrorCause.INVALID_STREAM_IDENTIFIER, identifier, stream[4:]),
                RemoteError(ErrorCause(0x4321), identifier, b"abc\0"),
                RemoteError(ErrorCause.OUT_OF_RESOURCE, identifier, b""),
            ]
            await still_works(client, server)
    finally:
        forger.close()


# SendFailed


def joined_data(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events)


def check_fragments(events: list[Any]) -> None:
    """Look that these are the fragments of one message: the first has the B bit, the last the E bit."""
    marks = [event.flags & 3 for event in events]
    assert marks == ([3] if len(marks) == 1 else [2, *[0] * (len(marks) - 2), 1])


@both_modes
async def test_a_lifetime_that_expires_unsent_gives_the_message_back(lab: Lab) -> None:
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        client = pair.client
        events = client.events(SendFailed)
        lab.cut()
        # More than the first window: the rest waits here.
        for _ in range(8):
            await client.send(bytes(1400))
        await client.send(
            b"too late", stream=3, ppid=60, context=99, unordered=True, lifetime=0.05, sack_immediately=True
        )
        await asyncio.sleep(0.1)
        # The kernel looks at it when its turn comes.
        lab.mend()
        event = await following(events)
        assert event == SendFailed(
            data=b"too late",
            sent=False,
            error=ErrorCause.NO_ERROR,
            stream=3,
            ppid=60,
            context=99,
            unordered=True,
            flags=event.flags,
            association_id=client.association_id,
        )
        # A whole message (0x3), unordered (0x4).
        assert event.flags & 0x7 == 0x7
        for _ in range(8):
            assert await received(pair.server) == bytes(1400)
        await still_works(client, pair.server)


@both_modes
@pytest.mark.parametrize("policy", ["lifetime", "max_retransmissions"])
async def test_what_is_given_up_after_it_was_sent_is_counted_and_not_given_back(
    lab: Lab, policy: str
) -> None:
    """RFC 6458 6.1.11 has an event for it too; Linux gives up what it has sent without a word."""
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        client = pair.client
        events = client.events(SendFailed)
        lab.cut()
        limit: dict[str, Any] = {policy: 0.05 if policy == "lifetime" else 0}
        await client.send(b"on its way", stream=1, **limit)
        await client.send(b"next", stream=1)
        await until(lambda: client.get_option(AssociationStatistics).retransmitted_chunks > 0)
        lab.mend()
        # What comes after it is not held up by what is missing.
        assert await received(pair.server) == b"next"
        status = client.get_option(PrStreamStatus(1))
        assert (status.abandoned_unsent, status.abandoned_sent) == (0, 1)
        await client.close()
        assert await rest(events) == []


@both_modes
async def test_a_large_message_is_given_back_in_its_fragments(lab: Lab) -> None:
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        events = pair.client.events(SendFailed)
        lab.cut()
        for _ in range(8):
            await pair.client.send(bytes(1400))
        data = os.urandom(9000)
        await pair.client.send(data, stream=2, ppid=46, context=1234, lifetime=0.05)
        await asyncio.sleep(0.1)
        lab.mend()
        seen = await until_seen(events, lambda event: event.flags & 1)
        assert joined_data(seen) == data
        check_fragments(seen)
        assert {(e.stream, e.ppid, e.context, e.sent, e.unordered) for e in seen} == {
            (2, 46, 1234, False, False)
        }


STALLING: dict[str, Any] = {
    "listen_with": {"options": [ReceiveBuffer(size=8192)], "receive_buffer": 1},
    "connect_with": {"options": [SendBuffer(size=200_000)]},
}


async def check_given_back(sender: Conn, receiver: Conn, abort: Callable[[], Any]) -> None:
    """Send what the other end does not read, let it abort: what never left is given back, in order."""
    events = sender.events(SendFailed, AssociationChange)
    messages = [b"%d" % number * 3000 for number in range(10)]
    for number, message in enumerate(messages):
        await sender.send(message, stream=number % 3, ppid=number, context=100 + number)
    await until(lambda: sender.status().rwnd < 3000)
    await abort()
    seen = await rest(events)
    failed = [event for event in seen if isinstance(event, SendFailed)]
    assert [event.state for event in seen if isinstance(event, AssociationChange)] == [
        AssociationState.COMM_LOST
    ]
    assert {event.association_id for event in failed} == {sender.association_id}
    by_context: dict[int, list[SendFailed]] = {}
    for event in failed:
        by_context.setdefault(event.context, []).append(event)
    # What had not been acknowledged is at the end.
    assert 109 in by_context
    assert sorted(by_context) == list(range(110 - len(by_context), 110))
    for context, parts in by_context.items():
        number = context - 100
        assert messages[number].endswith(joined_data(parts))
        assert {(part.stream, part.ppid) for part in parts} == {(number % 3, number)}
    assert joined_data(by_context[109]) == messages[9]
    check_fragments(by_context[109])
    assert not by_context[109][-1].sent
    assert {part.error for part in by_context[109]} == {ErrorCause.USER_INITIATED_ABORT}


@both_modes
async def test_what_was_queued_when_the_peer_aborted_is_given_back_to_the_client() -> None:
    async with connected(**STALLING) as pair:
        await check_given_back(pair.client, pair.server, pair.server.abort)


@both_modes
async def test_what_was_queued_when_the_peer_aborted_is_given_back_to_the_server() -> None:
    swapped = {"listen_with": STALLING["connect_with"], "connect_with": STALLING["listen_with"]}
    async with connected(**swapped) as pair:
        await check_given_back(pair.server, pair.client, pair.client.abort)


@both_modes
async def test_what_was_queued_when_the_peer_vanished_is_given_back(lab: Lab) -> None:
    options = (FAST, AssocInfo(max_retransmissions=10))
    async with joined(lab, listen_with={"options": options}) as pair:
        events = pair.server.events(SendFailed)
        lab.cut()
        await pair.server.send(b"sent", context=1)
        for _ in range(8):
            await pair.server.send(bytes(1400), context=2)
        await pair.server.send(b"unsent", stream=4, context=3)
        seen = await rest(events)
        assert [event.context for event in seen] == [1, *[2] * 8, 3]
        assert (seen[0].data, seen[0].sent) == (b"sent", True)
        assert (seen[-1].data, seen[-1].stream, seen[-1].sent) == (b"unsent", 4, False)


# ShutdownEvent


@both_modes
async def test_the_peer_shuts_down_while_messages_are_on_their_way(lab: Lab) -> None:
    async with joined(lab) as pair:
        events = pair.server.events(ShutdownEvent)
        lab.netem("delay 50ms", lab.links[0])
        await pair.client.send(b"last words")
        await pair.client.close()
        assert await rest(events) == [ShutdownEvent(pair.server.association_id)]
        assert await received(pair.server) == b"last words"


# AdaptationIndication


@pytest.mark.parametrize(("here", "there"), [(1, 0xFFFFFFFE), (0x01020304, 0x04030201)])
@both_modes
async def test_each_end_tells_its_adaptation_layer(here: int, there: int) -> None:
    async with connected(
        listen_with={"options": [Adaptation(there)], "events": [AdaptationIndication]},
        connect_with={"options": [Adaptation(here)], "events": [AdaptationIndication]},
    ) as pair:
        for conn, number in ((pair.client, there), (pair.server, here)):
            event = await following(conn.events(AdaptationIndication))
            assert event == AdaptationIndication(number, conn.association_id)


@both_modes
async def test_without_an_adaptation_layer_at_the_peer_nothing_is_told() -> None:
    async with connected(
        listen_with={"options": [Adaptation(7)], "events": [AdaptationIndication]},
        connect_with={"events": [AdaptationIndication]},
    ) as pair:
        events = pair.client.events(), pair.server.events(AdaptationIndication)
        await still_works(pair.client, pair.server)
        await pair.client.close()
        assert [event for event in await rest(events[0]) if isinstance(event, AdaptationIndication)]
        assert await rest(events[1]) == []


# PartialDelivery


async def half(pair: Pair, lab: Lab, **send_with: Any) -> bytes:
    """Send a large message, of which only the first part is there."""
    data = os.urandom(100_000)
    lab.netem("rate 400kbit", lab.links[0], there=False)
    await pair.client.send(data, **send_with)
    await until(lambda: pair.server._association.has_partial)
    return data


IN_PARTS: dict[str, Any] = {"options": [PartialDeliveryPoint(4096)]}


@both_modes
async def test_a_large_message_is_broken_off_by_an_abort(lab: Lab) -> None:
    async with joined(lab, listen_with=IN_PARTS) as pair:
        events = pair.server.events(PartialDelivery, AssociationChange)
        await half(pair, lab, stream=2)
        lab.netem("delay 0ms", lab.links[0], there=False)
        await pair.client.abort()
        partial, lost = await rest(events)
        if isinstance(partial, AssociationChange):
            partial, lost = lost, partial
        # Without I-DATA it does not tell which.
        assert partial == PartialDelivery(PartialDeliveryState.ABORTED, 0, 0, pair.server.association_id)
        assert lost.state is AssociationState.COMM_LOST
        assert not pair.server._association.has_partial
        assert pair.server.statistics().unread_messages == 0


@both_modes
async def test_a_large_message_is_broken_off_by_its_lifetime(lab: Lab) -> None:
    async with joined(lab, listen_with=IN_PARTS, connect_with={"options": STUBBORN}) as pair:
        client, server, _ = pair
        events, back = server.events(PartialDelivery), client.events(SendFailed)
        # Fragments must be under way as it expires: of those that never left, Linux tells the peer nothing.
        began = asyncio.get_running_loop().time()
        await half(pair, lab, stream=2, lifetime=1.0)
        lab.cut()
        assert pair.server._association.has_partial
        await asyncio.sleep(max(0.0, began + 1.2 - asyncio.get_running_loop().time()))
        lab.mend()
        await until_seen(back, lambda event: event.flags & 1)
        assert await following(events) == PartialDelivery(
            PartialDeliveryState.ABORTED, 0, 0, server.association_id
        )
        # What is left of it mixes with nothing.
        after = os.urandom(20_000)
        await client.send(after, stream=2)
        await client.send(b"small", stream=2)
        assert await received(server) == after
        assert await received(server) == b"small"
        await still_works(client, server)


# AuthenticationEvent


@pytest.mark.parametrize("without", ["client", "server", "both"])
@both_modes
async def test_a_peer_without_authentication_is_told(without: str) -> None:
    def having(end: str) -> dict[str, Any]:
        on = without not in (end, "both")
        # Without AUTH there must be no ASCONF either: the peer would refuse that.
        return {
            "options": [AuthSupported(on), AsconfSupported(False)],
            "events": [AuthenticationEvent],
        }

    async with connected(listen_with=having("server"), connect_with=having("client")) as pair:
        for conn in (pair.client, pair.server):
            event = await following(conn.events(AuthenticationEvent))
            assert event == AuthenticationEvent(AuthenticationState.NO_AUTH, 0, 0, conn.association_id)


@both_modes
async def test_keys_are_told_as_they_are_used_and_given_up() -> None:
    signed = {"options": [AuthSupported(), AuthChunk(0)], "events": [AuthenticationEvent]}
    async with connected(listen_with=signed, connect_with=signed) as pair:
        client, server, _ = pair
        here, there = client.events(AuthenticationEvent), server.events(AuthenticationEvent)
        for conn in (client, server):
            conn.set_option(AuthKey(5, b"five"))
            conn.set_option(AuthKey(6, b"six"))
        client.set_option(AuthActiveKey(5))
        await client.send(b"by five")
        assert await received(server) == b"by five"
        # The peer began to use a key that was not the active one here.
        assert await following(there) == AuthenticationEvent(
            AuthenticationState.NEW_KEY, 5, 0, server.association_id
        )
        client.set_option(AuthActiveKey(6))
        await client.flush()
        client.set_option(AuthDeactivateKey(5))
        assert await following(here) == AuthenticationEvent(
            AuthenticationState.FREE_KEY, 5, 0, client.association_id
        )
        client.set_option(AuthDeleteKey(5))
        await client.send(b"by six")
        assert await received(server) == b"by six"
        event = await until_seen(there, lambda event: event.key == 6)
        assert event[-1].indication is AuthenticationState.NEW_KEY


# SenderDry


@both_modes
async def test_everything_was_acknowledged(lab: Lab) -> None:
    async with joined(lab, connect_with={"options": STUBBORN}) as pair:
        events = pair.client.events(SenderDry)
        # Nothing is under way as it is subscribed: that is told at once.
        assert await following(events) == SenderDry(pair.client.association_id)
        lab.cut()
        await pair.client.send(b"1")
        await pair.client.send(b"2", stream=3)
        waiting = asyncio.create_task(following(events))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        lab.mend()
        assert await waiting == SenderDry(pair.client.association_id)
        assert pair.client.status().unacknowledged == 0
        assert {await received(pair.server), await received(pair.server)} == {b"1", b"2"}


# StreamReset, AssociationReset, StreamChange


@both_modes
async def test_streams_were_reset_by_either_end() -> None:
    both = {"options": RECONFIG, "events": [StreamReset]}
    async with connected(listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        here, there = client.events(StreamReset), server.events(StreamReset)
        one, two = client.association_id, server.association_id
        await client.reset_streams(1, 7)
        assert await following(here) == StreamReset(OUTGOING, (1, 7), one)
        assert await following(there) == StreamReset(INCOMING, (1, 7), two)
        await server.reset_streams()
        assert await following(there) == StreamReset(OUTGOING, (), two)
        assert await following(here) == StreamReset(INCOMING, (), one)
        # The peer is asked to reset its own: it is the one that does.
        await client.reset_streams(3, outgoing=False, incoming=True)
        event = await following(here)
        assert (event.flags, event.streams) == (INCOMING, (3,))
        # By then what was told before is told: nothing is told twice.
        await client.close()
        assert await rest(here) == []
        assert {event.flags for event in await rest(there)} <= {OUTGOING}


@pytest.mark.parametrize("incoming", [False, True])
@both_modes
async def test_a_denied_reset_is_told_to_who_asked(incoming: bool) -> None:
    async with connected(
        listen_with={"options": NO_GRANTS, "events": [StreamReset]},
        connect_with={"options": RECONFIG, "events": [StreamReset]},
    ) as pair:
        with pytest.raises(ReconfigurationError) as caught:
            await pair.client.reset_streams(2, outgoing=not incoming, incoming=incoming)
        direction = INCOMING if incoming else OUTGOING
        assert caught.value.flags == direction | DENIED
        here, there = pair.client.events(StreamReset), pair.server.events(StreamReset)
        assert await following(here) == StreamReset(direction | DENIED, (2,), pair.client.association_id)
        await pair.client.close()
        assert await rest(here) == await rest(there) == []


@both_modes
async def test_the_association_was_reset() -> None:
    both = {"options": RECONFIG, "events": [AssociationReset]}
    async with connected(listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        await still_works(client, server)
        await client.reset_association()
        here = await following(client.events(AssociationReset))
        there = await following(server.events(AssociationReset))
        assert (here.flags, here.association_id) == (NOTHING, client.association_id)
        assert (there.flags, there.association_id) == (NOTHING, server.association_id)
        await client.send(b"x")
        message = await server.receive()
        await server.send(b"y")
        answer = await client.receive()
        # What an end sends with is the local one.
        assert (here.local_tsn, here.remote_tsn) == (message.tsn, answer.tsn)
        assert (there.local_tsn, there.remote_tsn) == (answer.tsn, message.tsn)


@both_modes
async def test_a_denied_reset_of_the_association() -> None:
    async with connected(
        listen_with={"options": NO_GRANTS, "events": [AssociationReset]},
        connect_with={"options": RECONFIG, "events": [AssociationReset]},
    ) as pair:
        here, there = pair.client.events(AssociationReset), pair.server.events(AssociationReset)
        with pytest.raises(ReconfigurationError):
            await pair.client.reset_association()
        event = await following(here)
        assert (event.flags, event.association_id) == (DENIED, pair.client.association_id)
        await still_works(pair.client, pair.server)
        await pair.client.close()
        assert await rest(here) == await rest(there) == []


@both_modes
async def test_streams_were_added() -> None:
    both = {"options": RECONFIG, "events": [StreamChange]}
    async with connected(listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        here, there = client.events(StreamChange), server.events(StreamChange)
        one, two = client.association_id, server.association_id
        await client.add_streams(outbound=3)
        assert await following(here) == StreamChange(NOTHING, 0, 3, one)
        assert await following(there) == StreamChange(NOTHING, 3, 0, two)
        await client.add_streams(inbound=2)
        assert await following(here) == StreamChange(NOTHING, 2, 0, one)
        assert await following(there) == StreamChange(NOTHING, 0, 2, two)
        # One event for each direction, at the asking end.
        await client.add_streams(outbound=4, inbound=5)
        assert {await following(here), await following(here)} == {
            StreamChange(NOTHING, 0, 4, one),
            StreamChange(NOTHING, 5, 0, one),
        }


@both_modes
async def test_denied_streams_are_told_with_their_count() -> None:
    async with connected(
        listen_with={"options": NO_GRANTS}, connect_with={"options": RECONFIG, "events": [StreamChange]}
    ) as pair:
        here, there = pair.client.events(StreamChange), pair.server.events(StreamChange)
        with pytest.raises(ReconfigurationError):
            await pair.client.add_streams(outbound=3)
        assert await following(here) == StreamChange(DENIED, 0, 3, pair.client.association_id)
        with pytest.raises(ReconfigurationError):
            await pair.client.add_streams(inbound=2)
        assert await following(here) == StreamChange(DENIED, 2, 0, pair.client.association_id)
        await pair.client.close()
        assert await rest(there) == []


@both_modes
async def test_a_reset_waits_at_the_peer_for_what_was_lost_before_it(lab: Lab) -> None:
    """The request overtakes messages that must be sent again: they still come first, in their old order."""
    both = {"options": RECONFIG}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        client, server, _ = pair
        for number in range(3):
            await client.send(b"before %d" % number, stream=1)
            assert await received(server) == b"before %d" % number
        await client.flush()
        lab.netem("loss 100%", lab.links[0], there=False)
        for number in range(3):
            await client.send(b"lost %d" % number, stream=1)
        lab.netem("delay 0ms", lab.links[0], there=False)
        async with asyncio.timeout(30 * PATIENCE):
            await client.stream(1).reset()
        for number in range(5):
            await client.send(b"after %d" % number, stream=1)
        got = [await server.receive() for _ in range(8)]
        assert [(message.data, message.ssn) for message in got] == [
            *((b"lost %d" % number, 3 + number) for number in range(3)),
            *((b"after %d" % number, number) for number in range(5)),
        ]


@both_modes
async def test_a_request_that_is_never_answered_ends_with_the_association(lab: Lab) -> None:
    both = {"options": (*RECONFIG, *IMPATIENT)}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        lab.cut()
        asking = [
            asyncio.create_task(pair.client.add_streams(outbound=1)),
            asyncio.create_task(pair.client.stream(1).reset()),
            asyncio.create_task(pair.server.reset_association()),
        ]
        async with asyncio.timeout(30 * PATIENCE):
            results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result) for result in results] == [AssociationLostError] * 3
        assert pair.client.outbound_streams == 10


@both_modes
async def test_a_request_that_waits_for_another_ends_with_the_association(lab: Lab) -> None:
    """The first was cancelled, and goes on in the kernel; the second is never even made."""
    both = {"options": (*RECONFIG, *IMPATIENT)}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        lab.cut()
        first = asyncio.create_task(pair.client.add_streams(outbound=1))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        with pytest.raises(AssociationLostError):
            async with asyncio.timeout(30 * PATIENCE):
                await pair.client.stream(1).reset()


@both_modes
async def test_a_request_that_waits_for_another_does_not_spin(lab: Lab) -> None:
    """A cancelled request goes on in the kernel, unanswered here: the next one must wait for its end."""
    both = {"options": RECONFIG}
    async with joined(lab, listen_with=both, connect_with=both) as pair:
        client = pair.client
        lab.cut()
        first = asyncio.create_task(client.add_streams(outbound=1))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(client.stream(1).reset())
        await asyncio.sleep(0.05)
        before = client.statistics().wakeups
        await asyncio.sleep(0.5)
        woken = client.statistics().wakeups - before
        lab.mend()
        async with asyncio.timeout(30 * PATIENCE):
            await second
        assert client.outbound_streams == 11
        assert woken < 30


# Subscriptions


SCTP_EVENT = 127
NUMBERS = {kind: KernelSocket.codec.event_numbers[kind][0] for kind in KINDS}


def subscribed(raw: StackSocket, identifier: int) -> set[type[Event]]:
    """Ask the kernel which events are on (SCTP_EVENT); 0 is what associations to come start with."""
    assert isinstance(raw, KernelSocket)
    on: set[type[Event]] = set()
    for kind, number in NUMBERS.items():
        query = EVENT_SUBSCRIPTION.pack(identifier, number, 0)
        code, answer, _ = raw._query(SOL_SCTP, SCTP_EVENT, query)
        assert code >= 0
        if EVENT_SUBSCRIPTION.unpack_from(answer)[2]:
            on.add(kind)
    return on


def of(conn: Conn) -> set[type[Event]]:
    return subscribed(conn._link.carrier.raw, conn.association_id)


BASE = set(ALWAYS_SUBSCRIBED)
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
one_loop = pytest.mark.one_loop


def test_no_event_is_forgotten() -> None:
    assert set(KINDS) == set(KernelSocket.codec.event_numbers)


@one_loop
@by_kind
@both_modes
async def test_each_is_subscribed_for_itself_before_the_association(kind: type[Event]) -> None:
    async with connected(listen_with={"events": [kind]}, connect_with={"events": [kind]}) as pair:
        assert of(pair.client) == of(pair.server) == BASE | {kind}
        assert subscribed(pair.listener._raw, 0) == BASE | {kind}
        # The first iterator takes over, and its end is that of the subscription.
        events = pair.server.events(kind)
        assert of(pair.server) == BASE | {kind}
        await events.aclose()
        assert of(pair.server) == BASE
        assert of(pair.client) == BASE | {kind}


@one_loop
@by_kind
@both_modes
async def test_each_is_subscribed_for_itself_on_an_association(kind: type[Event]) -> None:
    async with connected() as pair:
        assert of(pair.server) == of(pair.client) == BASE
        async with pair.server.events(kind):
            async with pair.server.events(kind):
                assert of(pair.server) == BASE | {kind}
            assert of(pair.server) == BASE | {kind}
            assert of(pair.client) == BASE
        assert of(pair.server) == BASE
        assert subscribed(pair.listener._raw, 0) == BASE


@one_loop
@by_kind
@both_modes
async def test_each_is_subscribed_on_a_listener_for_what_it_accepts(kind: type[Event]) -> None:
    async with listen("127.0.0.1:0", mode=Style.mode) as listener:
        events = listener.events(kind)
        assert subscribed(listener._raw, 0) == BASE | {kind}
        async with connect(listener.local_addresses), await listener.accept() as server:
            assert of(server) == BASE | {kind}
            await events.aclose()
            assert subscribed(listener._raw, 0) == BASE
        await listener.close()


@one_loop
@by_kind
async def test_what_is_peeled_off_keeps_its_subscription(kind: type[Event]) -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, events=[kind]) as listener:
        async with connect(listener.local_addresses), await listener.accept() as server:
            await server.peel_off()
            assert of(server) == BASE | {kind}
            await server.events(kind).aclose()
            assert of(server) == BASE
            async with server.events(kind):
                assert of(server) == BASE | {kind}


@one_loop
@by_kind
async def test_each_is_subscribed_on_an_endpoint(kind: type[Event]) -> None:
    async with open_endpoint("127.0.0.1:0", events=[kind]) as endpoint:
        async with connect(endpoint.local_addresses):
            await until(lambda: len(endpoint.associations) == 1)
            (identifier,) = endpoint.associations
            assert subscribed(endpoint._raw, 0) == BASE | {kind}
            assert subscribed(endpoint._raw, identifier) == BASE | {kind}
            conn = await endpoint.peel_off(identifier)
            assert of(conn) == BASE | {kind}
            await conn.close()


@both_modes
async def test_all_are_subscribed_but_one_where_none_is_named() -> None:
    async with connected() as pair:
        async with pair.server.events():
            assert of(pair.server) == set(KINDS) - {SenderDry}
        assert of(pair.server) == BASE


async def test_what_a_listener_subscribed_comes_to_a_peeled_off_association() -> None:
    options: dict[str, Any] = {"options": [*RECONFIG, Adaptation(3)]}
    kinds: list[type[Event]] = [AssociationChange, AdaptationIndication, StreamReset]
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY, events=kinds, **options) as listener:
        async with connect(listener.local_addresses, **options) as client, await listener.accept() as server:
            await client.stream(1).reset()
            await server.peel_off()
            await client.stream(2).reset()
            events = server.events(*kinds)
            identifier = server.association_id
            seen = [await following(events) for _ in range(4)]
            assert seen[0].state is AssociationState.COMM_UP
            assert seen[1:] == [
                AdaptationIndication(3, identifier),
                StreamReset(INCOMING, (1,), identifier),
                StreamReset(INCOMING, (2,), identifier),
            ]


async def test_an_endpoint_is_told_of_all_its_associations() -> None:
    async with open_endpoint("127.0.0.1:0", options=RECONFIG, events=[StreamReset]) as endpoint:
        async with connect(endpoint.local_addresses, options=RECONFIG) as one:
            async with connect(endpoint.local_addresses, options=RECONFIG) as two:
                await one.stream(1).reset()
                await two.stream(2).reset()
                events = endpoint.events(StreamReset)
                first, second = await following(events), await following(events)
                assert [event.streams for event in (first, second)] == [(1,), (2,)]
                assert {first.association_id, second.association_id} == set(endpoint.associations)


@both_modes
async def test_what_the_kernel_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected() as pair:
        # A number that no kernel has.
        numbers = {**KernelSocket.codec.event_numbers, AuthenticationEvent: (0x80FE,)}
        monkeypatch.setattr(KernelSocket.codec, "event_numbers", MappingProxyType(numbers))
        for call in (pair.client.events, pair.server.events, pair.listener.events):
            with pytest.raises(OSError, match="SCTP_EVENT AuthenticationEvent") as caught:
                call(StreamReset, AuthenticationEvent)
            assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="AuthenticationEvent"):
            await listen("127.0.0.1:0", mode=Style.mode, events=[AuthenticationEvent])
        # Where none is named, that one is left out.
        async with pair.client.events() as events:
            assert of(pair.client) == set(KINDS) - {SenderDry, AuthenticationEvent}
            await pair.server.close()
            assert [type(event) for event in await rest(events)] == [ShutdownEvent, AssociationChange]


@both_modes
async def test_a_refused_subscription_leaves_no_other_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will ever iterate over the ones that were granted before the refusal."""
    async with connected() as pair:
        numbers = {**KernelSocket.codec.event_numbers, AuthenticationEvent: (0x80FE,)}
        with monkeypatch.context() as patch:
            patch.setattr(KernelSocket.codec, "event_numbers", MappingProxyType(numbers))
            with pytest.raises(OSError, match="AuthenticationEvent"):
                pair.server.events(PeerAddressChange, RemoteError, AuthenticationEvent, StreamReset)
        assert of(pair.server) == BASE
