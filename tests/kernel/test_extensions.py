"""Extensions through the public API, and what a dissector sees of them: authentication, interleaving, partial
reliability, UDP encapsulation, path MTU probing, parameters of INIT."""

import asyncio
import contextlib
import errno
import hashlib
import random
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import sctpio
from kernel.capture import (
    ETHERNET,
    PCAP_HEADER,
    Dissector,
    recorded,
)
from kernel.lab import DeadEnd, Lab, data_of, failures, joined, run
from sctpio import (
    Adaptation,
    AdaptationIndication,
    Address,
    AsconfSupported,
    AssociationChange,
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
    DefaultPrInfo,
    EcnSupported,
    FragmentInterleave,
    HmacIdentifier,
    HmacIdentifiers,
    InitMsg,
    InterleavingSupported,
    LocalAuthChunks,
    Message,
    MessageTooLargeError,
    Mode,
    Option,
    PathState,
    PeerAuthChunks,
    PlpmtudProbeInterval,
    PrAssociationStatus,
    PrPolicy,
    PrStreamStatus,
    PrSupported,
    ReceiveBuffer,
    RtoInfo,
    Scheduler,
    Scope,
    SendBuffer,
    SendFailed,
    StreamScheduler,
    UdpEncapsulation,
    connect,
    listen,
    open_endpoint,
)
from support import PATIENCE, Pair, associations, connected, path_of, until

# Timers of the kernel take their time on any loop.
pytestmark = pytest.mark.one_loop

FAST: tuple[Option, ...] = (RtoInfo(initial=0.2, maximum=0.3, minimum=0.1),)
# As FAST, and never given up: outages last as long as the guest's tools take.
STUBBORN = (*FAST, AssocInfo(max_retransmissions=1000))

DATA, INIT, INIT_ACK, HEARTBEAT, HEARTBEAT_ACK, AUTH, I_DATA, PAD = 0, 1, 2, 4, 5, 15, 64, 132

# Parameters of INIT (RFC 9260 3.3.2, RFC 3758, RFC 4895, RFC 5061).
UNRECOGNIZED, ECN, FORWARD_TSN, RANDOM, ADAPTATION = 8, 0x8000, 0xC000, 0x8002, 0xC006


# UDP ports of this namespace and the other one (RFC 6951).
HERE_PORT, THERE_PORT = 9899, 19899


# What `capture` has no classes for: any chunk, with every field that tshark names


@dataclass(frozen=True, slots=True)
class Seen:
    """A chunk, by the names of tshark; `udp` are the ports of the datagram that it came in."""

    packet: int
    destination: str
    port: int
    udp: tuple[int, int] | None
    type: int
    fields: dict[str, tuple[int, ...]]

    def __getitem__(self, name: str) -> int:
        (value,) = self.fields[name]
        return value

    def all(self, name: str) -> tuple[int, ...]:
        return self.fields.get(name, ())


class Analyst(Dissector):
    """A dissector that shows all of SCTP, in UDP too."""

    def __init__(self) -> None:
        preferences = ["-o", "sctp.reassembly:FALSE", "-o", "sctp.relative_tsns:FALSE"]
        ports = [f"-dudp.port=={port},sctp" for port in (HERE_PORT, THERE_PORT)]
        self._tshark = subprocess.Popen(
            [
                "tshark",
                "-n",
                "-Q",
                "-l",
                "-r",
                "-",
                "-T",
                "pdml",
                "-J",
                "ip udp sctp data",
                *preferences,
                *ports,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._feed(ETHERNET)

    @contextlib.contextmanager
    def look(self, interface: str = "lo") -> Iterator[list[Seen]]:
        """Capture while the block runs; the list is filled when it has ended."""
        seen: list[Seen] = []
        with recorded("(sctp or udp)", interface) as recording:
            yield seen
        seen += self.see(recording.raw[PCAP_HEADER:], recording.marker)

    def see(self, raw: bytes, marker: bytes) -> list[Seen]:
        """Dissect the packets of a capture that ends with the frame of the marker."""
        feeder = threading.Thread(target=self._feed, args=(raw,))
        feeder.start()
        seen: list[Seen] = []
        try:
            for packet in self._packets():
                if marker.hex() in packet:
                    return seen
                seen += _seen(ElementTree.fromstring(packet))
        finally:
            feeder.join()
        raise AssertionError("tshark ended")


def _seen(packet: ElementTree.Element) -> Iterator[Seen]:
    about, ip = (packet.find(f"./proto[@name='{name}']") for name in ("geninfo", "ip"))
    udp = packet.find("./proto[@name='udp']")
    for part in packet.iterfind("./proto[@name='sctp']"):
        for chunk in part.iterfind("./field"):
            if chunk.find("./field[@name='sctp.chunk_type']") is None:
                continue
            assert about is not None
            assert ip is not None
            fields: dict[str, tuple[int, ...]] = {}
            for field in chunk.iter("field"):
                name, show = field.get("name", ""), field.get("show", "")
                with contextlib.suppress(ValueError):
                    fields[name] = (*fields.get(name, ()), int(show, 0))
            yield Seen(
                packet=_field(about, "num"),
                destination=_text(ip, "ip.dst"),
                port=_field(part, "sctp.srcport")
                if part.find(_NAMED.format("sctp.srcport")) is not None
                else 0,
                udp=None if udp is None else (_field(udp, "udp.srcport"), _field(udp, "udp.dstport")),
                type=fields["sctp.chunk_type"][0],
                fields=fields,
            )


_NAMED = ".//field[@name='{}']"


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.find(_NAMED.format(name))
    assert found is not None, name
    return found.get("show", "")


def _field(element: ElementTree.Element, name: str) -> int:
    return int(_text(element, name), 0)


@pytest.fixture(scope="module")
def analyst(_needed: None) -> Iterator[Analyst]:
    """Give the tshark of this module."""
    made = Analyst()
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def _mtu() -> Iterator[None]:
    # With the 64 KiB of lo no message would need fragments.
    run("ip", "link", "set", "lo", "mtu", "1500")
    yield
    run("ip", "link", "set", "lo", "mtu", "65536")


@pytest.fixture
def lab(module_lab: Lab) -> Iterator[Lab]:
    """Give the module's namespace, without the faults of the test before."""
    yield module_lab
    module_lab.clean()


@contextlib.contextmanager
def refused(code: int, match: str) -> Iterator[None]:
    """Expect an OSError with this errno, and words about what it needs."""
    with pytest.raises(OSError, match=match) as caught:
        yield
    assert caught.value.errno == code


async def nothing_comes(conn: Conn) -> None:
    """Only time can show that nothing comes."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5 * PATIENCE):
            await conn.receive()


def both(*options: Option) -> dict[str, Any]:
    """Set options at both ends, before the association."""
    return {"listen_with": {"options": options}, "connect_with": {"options": options}}


# Authentication (RFC 4895)

# Changing addresses, which the guest's sysctls turn on, would have chunks of its own authenticated.
NO_ASCONF = AsconfSupported(False)
AUTHENTICATED = (AuthSupported(), NO_ASCONF, AuthChunk(DATA))


def authenticated_by(seen: list[Seen], port: int) -> list[tuple[int, int] | None]:
    """Give key and algorithm of the AUTH chunk right before each DATA chunk of a port, None without one."""
    found: list[tuple[int, int] | None] = []
    for before, chunk in pairwise([seen[0], *seen]):
        if chunk.port == port and chunk.type == DATA:
            signed = before.type == AUTH and before.packet == chunk.packet
            found.append((before["sctp.shared_key_id"], before["sctp.hmac_id"]) if signed else None)
    return found


async def test_data_is_authenticated(analyst: Analyst) -> None:
    """With AuthChunk(0) at both ends an AUTH chunk precedes DATA, by the empty key 0 to begin with."""
    with analyst.look() as seen:
        async with connected(**both(*AUTHENTICATED)) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            assert pair.client.get_option(AuthSupported) == AuthSupported(True)
            for conn in (pair.client, pair.server):
                assert DATA in conn.get_option(LocalAuthChunks).chunks
                assert DATA in conn.get_option(PeerAuthChunks).chunks
            await pair.client.send(b"question")
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
    for port, kind in zip(ports, (INIT, INIT_ACK), strict=True):
        (init,) = [chunk for chunk in seen if chunk.type == kind]
        assert init.port == port
        assert RANDOM in init.all("sctp.parameter_type")
        assert DATA in init.all("sctp.chunk_type_to_auth")
        assert AUTH in init.all("sctp.supported_chunk_type")
        assert authenticated_by(seen, port) == [(0, HmacIdentifier.SHA1)]


async def test_the_key_of_each_message(analyst: Analyst) -> None:
    """AuthActiveKey is the key of messages that name none; `auth_key` that of one message."""
    with analyst.look() as seen:
        async with connected(**both(*AUTHENTICATED)) as pair:
            port = pair.client.local_addresses.port
            for conn in (pair.client, pair.server):
                conn.set_option(AuthKey(5, b"five"))
                conn.set_option(AuthKey(65535, b"last"))
            assert pair.client.get_option(AuthActiveKey) == AuthActiveKey(0)
            await pair.client.send(b"0")
            assert await data_of(pair.server) == b"0"
            await pair.client.stream(1).send(b"1", auth_key=65535)
            assert await data_of(pair.server) == b"1"
            pair.client.set_option(AuthActiveKey(5))
            assert pair.client.get_option(AuthActiveKey) == AuthActiveKey(5)
            for number, key in enumerate((None, 0, 65535, 5), 2):
                await pair.client.send(b"%d" % number, auth_key=key)
                assert await data_of(pair.server) == b"%d" % number
    keys = [signed and signed[0] for signed in authenticated_by(seen, port)]
    assert keys == [0, 65535, 5, 0, 65535, 5]


async def test_a_key_is_deactivated_and_deleted() -> None:
    """A deactivated key is told to be free; messages can name neither that nor a deleted one."""
    async with connected(**both(*AUTHENTICATED)) as pair:
        for conn in (pair.client, pair.server):
            conn.set_option(AuthKey(5, b"five"))
        events = pair.client.events(AuthenticationEvent)
        await pair.client.send(b"five", auth_key=5)
        assert await data_of(pair.server) == b"five"
        await pair.client.flush()
        pair.client.set_option(AuthActiveKey(5))
        for option in (AuthDeactivateKey(5), AuthDeleteKey(5)):
            with refused(errno.EINVAL, "SCTP_AUTH_"):
                pair.client.set_option(option)
        pair.client.set_option(AuthActiveKey(0))
        pair.client.set_option(AuthDeactivateKey(5))
        async with asyncio.timeout(10 * PATIENCE):
            event = await anext(events)
        assert isinstance(event, AuthenticationEvent)
        assert (event.indication, event.key) == (AuthenticationState.FREE_KEY, 5)
        with refused(errno.EINVAL, "send"):
            await pair.client.send(b"late", auth_key=5)
        with refused(errno.EINVAL, "SCTP_AUTH_ACTIVE_KEY"):
            pair.client.set_option(AuthActiveKey(5))
        pair.client.set_option(AuthDeleteKey(5))
        with refused(errno.EINVAL, "SCTP_AUTH_DELETE_KEY"):
            pair.client.set_option(AuthDeleteKey(5))
        await pair.client.send(b"goes on")
        assert await data_of(pair.server) == b"goes on"


async def test_numbers_of_keys() -> None:
    """A number without a key is EINVAL; a number that cannot be one, or a key without bytes, a ValueError."""
    async with connected(**both(*AUTHENTICATED)) as pair:
        with refused(errno.EINVAL, "send"):
            await pair.client.send(b"x", auth_key=9)
        for number in (-1, 65536):
            with pytest.raises(ValueError, match=f"auth_key is {number}"):
                await pair.client.send(b"x", auth_key=number)
            with pytest.raises(ValueError, match=f"number={number}"):
                AuthKey(number, b"key")
        with pytest.raises(ValueError, match="key=<0 bytes>"):
            AuthKey(1, b"")
        with refused(errno.EINVAL, "SCTP_AUTH_ACTIVE_KEY"):
            pair.client.set_option(AuthActiveKey(9))
        await pair.client.send(b"whole")
        assert await data_of(pair.server) == b"whole"
        assert pair.client.statistics().messages_sent == 1


async def test_the_peer_prefers_an_algorithm(analyst: Analyst) -> None:
    """The first of the receiver's HmacIdentifiers authenticates what is sent to it."""
    preferred = HmacIdentifiers((HmacIdentifier.SHA256, HmacIdentifier.SHA1))
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": (*AUTHENTICATED, preferred)}, connect_with={"options": AUTHENTICATED}
        ) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            await pair.client.send(b"question")
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
    assert [authenticated_by(seen, port) for port in ports] == [
        [(0, HmacIdentifier.SHA256)],
        [(0, HmacIdentifier.SHA1)],
    ]


async def test_messages_by_another_key_are_never_delivered(analyst: Analyst) -> None:
    """Keys that differ: the association is up, such messages are dropped without a word."""
    with analyst.look() as seen:
        async with connected(**both(*AUTHENTICATED, *STUBBORN)) as pair:
            port = pair.client.local_addresses.port
            pair.client.set_option(AuthKey(6, b"six"))
            pair.server.set_option(AuthKey(6, b"SIX"))
            # Not in one packet with what the server takes.
            await pair.client.send(b"dropped", stream=1, auth_key=6)
            await pair.client.send(b"fine", stream=2)
            assert await data_of(pair.server) == b"fine"
            await nothing_comes(pair.server)
            assert not pair.client.is_closed
            assert not pair.server.is_closed
            # It was never acknowledged: the retransmission is taken once the keys are the same.
            pair.server.set_option(AuthKey(6, b"six"))
            assert await data_of(pair.server) == b"dropped"
    tries = [key for key in authenticated_by(seen, port) if key is not None and key[0] == 6]
    assert len(tries) > 1


async def test_only_who_asks_for_it_gets_authenticated_data(analyst: Analyst) -> None:
    """AuthChunk(0) is what the receiver asks for: DATA the other way has no AUTH, `auth_key` or not."""
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": AUTHENTICATED}, connect_with={"options": (AuthSupported(), NO_ASCONF)}
        ) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            assert DATA in pair.client.get_option(PeerAuthChunks).chunks
            assert DATA not in pair.server.get_option(PeerAuthChunks).chunks
            for conn in (pair.client, pair.server):
                conn.set_option(AuthKey(5, b"five"))
            await pair.client.send(b"question", auth_key=5)
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer", auth_key=5)
            assert await data_of(pair.client) == b"answer"
    assert [authenticated_by(seen, port) for port in ports] == [[(5, HmacIdentifier.SHA1)], [None]]


async def test_authentication_at_one_end_only(analyst: Analyst) -> None:
    """An event tells that the peer has none: nothing is authenticated, and keys are EACCES."""
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": (AuthSupported(False), NO_ASCONF)},
            connect_with={"options": AUTHENTICATED, "events": [AuthenticationEvent]},
        ) as pair:
            ports = pair.client.local_addresses.port, pair.listener.port
            async with asyncio.timeout(10 * PATIENCE):
                event = await anext(pair.client.events(AuthenticationEvent))
            assert isinstance(event, AuthenticationEvent)
            assert event.indication is AuthenticationState.NO_AUTH
            for conn in (pair.client, pair.server):
                assert conn.get_option(AuthSupported) == AuthSupported(False)
                for option in (AuthKey(5, b"five"), AuthActiveKey(5), AuthDeleteKey(5), AuthDeactivateKey(5)):
                    with refused(errno.EACCES, r"SCTP_AUTH_\w*KEY; needs AuthSupported"):
                        conn.set_option(option)
                for kind in (LocalAuthChunks, PeerAuthChunks):
                    with refused(errno.EACCES, r"SCTP_\w+_AUTH_CHUNKS; needs AuthSupported"):
                        conn.get_option(kind)
            await pair.client.send(b"question")
            assert await data_of(pair.server) == b"question"
            await pair.server.send(b"answer")
            assert await data_of(pair.client) == b"answer"
    assert [authenticated_by(seen, port) for port in ports] == [[None], [None]]


@pytest.mark.parametrize(
    "option",
    [AuthChunk(DATA), AuthKey(1, b"key"), HmacIdentifiers((HmacIdentifier.SHA1,))],
    ids=lambda option: type(option).__name__,
)
async def test_options_of_authentication_that_is_not_enabled(option: Option) -> None:
    """In `options=` without AuthSupported they are EACCES, and the error says what they need."""
    options = (AuthSupported(False), NO_ASCONF, option)
    with refused(errno.EACCES, r"SCTP_\w+; needs AuthSupported on the socket"):
        await listen("127.0.0.1:0", options=options)
    with refused(errno.EACCES, r"SCTP_\w+; needs AuthSupported on the socket"):
        await connect("127.0.0.1:5000", options=options)
    with refused(errno.EACCES, r"SCTP_\w+; needs AuthSupported on the socket"):
        await open_endpoint(options=options)


@pytest.mark.parametrize("mode", Mode)
async def test_keys_of_a_listener_are_those_of_its_associations(analyst: Analyst, mode: Mode) -> None:
    """Keys in `options=`, or set on the listener, are there when an association begins."""
    key, other = AuthKey(5, b"five"), AuthKey(7, b"seven")
    options = (*AUTHENTICATED, key, AuthActiveKey(5))
    with analyst.look() as seen:
        async with listen("127.0.0.1:0", options=options, mode=mode) as listener:
            listener.set_option(other)
            async with connect(listener.local_addresses, options=(*options, other)) as client:
                port = client.local_addresses.port
                server = await listener.accept()
                await client.send(b"five")
                assert await data_of(server) == b"five"
                await server.send(b"seven", auth_key=7)
                assert await data_of(client) == b"seven"
            await server.wait_closed()
    assert authenticated_by(seen, port) == [(5, HmacIdentifier.SHA1)]
    assert authenticated_by(seen, listener.port) == [(7, HmacIdentifier.SHA1)]


# Interleaving (RFC 8260)

INTERLEAVED = (FragmentInterleave(1), InterleavingSupported())


def sysctl(name: str, value: int) -> None:
    """Set net.sctp.NAME of the namespace that this thread is in."""
    Path("/proc/sys/net/sctp", name).write_text(f"{value}\n")


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
    small = (*INTERLEAVED, *FAST, ReceiveBuffer(size=20_000))
    turns = (*INTERLEAVED, *FAST, StreamScheduler(Scheduler.ROUND_ROBIN), SendBuffer(size=150_000))
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
        "options": (*INTERLEAVED, *FAST, ReceiveBuffer(size=20_000)),
        "mode": mode,
        "max_message_size": 50_000,
        "receive_buffer": 20_000,
    }
    options = (*INTERLEAVED, *FAST, StreamScheduler(Scheduler.ROUND_ROBIN), SendBuffer(size=200_000))
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
    async with open_endpoint(options=(*INTERLEAVED, *FAST), init=init) as endpoint:
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


# Partial reliability (RFC 3758, RFC 7496)


def given_up(conn: Conn, policy: PrPolicy = PrPolicy.ALL, stream: int | None = None) -> tuple[int, int]:
    """Count what was given up unsent and sent, of a policy, in all or on one stream."""
    status: PrAssociationStatus | PrStreamStatus
    if stream is None:
        status = conn.get_option(PrAssociationStatus(policy))
    else:
        status = conn.get_option(PrStreamStatus(stream, policy))
    assert status.abandoned_unsent is not None
    assert status.abandoned_sent is not None
    return status.abandoned_unsent, status.abandoned_sent


@asynccontextmanager
async def outage(lab: Lab, **both_with: Any) -> AsyncIterator[Pair]:
    """Connect over a link that takes nothing from here until `lab.redirect`; no message is under way."""
    async with joined(lab, connect_with={"options": (*STUBBORN, *both_with.get("options", ()))}) as pair:
        await pair.client.send(b"before")
        assert await data_of(pair.server) == b"before"
        await pair.client.flush()
        lab.misdirect(lab.links[0])
        yield pair


async def test_lifetime(lab: Lab) -> None:
    """Messages that get too old are counted, sent and unsent apart, by stream.

    Those that never left come back as SendFailed. Of those that did Linux tells nothing but the counters.
    """
    async with outage(lab) as pair:
        client = pair.client
        events = client.events(SendFailed)
        # The window takes some of these; all the others wait.
        for number in range(20):
            await client.send(bytes(1400), stream=1 + number % 2, context=number, lifetime=0.1)
        await client.send(b"no policy", stream=3)
        await client.send(b"young", stream=3, lifetime=60)
        await until(lambda: sum(given_up(client)) == 20)
        unsent, sent = given_up(client, PrPolicy.LIFETIME)
        assert unsent + sent == 20
        assert unsent > 0
        assert sent > 0
        assert given_up(client) == (unsent, sent)
        for policy in (PrPolicy.RETRANSMISSIONS, PrPolicy.PRIORITY):
            assert given_up(client, policy) == (0, 0)
        by_stream = [given_up(client, PrPolicy.LIFETIME, sid) for sid in (1, 2, 3)]
        assert [sum(counts) for counts in by_stream] == [10, 10, 0]
        assert sum(counts[0] for counts in by_stream) == unsent
        lab.redirect(lab.links[0])
        assert [await data_of(pair.server) for _ in range(2)] == [b"no policy", b"young"]
        failed = await failures(events, unsent)
        assert [event.context for event in failed] == list(range(sent, 20))
        assert {(event.stream, len(event.data), event.sent) for event in failed} == {
            (1, 1400, False),
            (2, 1400, False),
        }
        assert pair.server.statistics().messages_received == 3


@pytest.mark.parametrize("most", [0, 2])
async def test_max_retransmissions(analyst: Analyst, lab: Lab, most: int) -> None:
    """A message is sent once and `max_retransmissions` times more, and then skipped."""
    async with outage(lab) as pair:
        client = pair.client
        port = client.local_addresses.port
        events = client.events(SendFailed)
        with analyst.look(lab.links[0].here) as seen:
            await client.send(b"given up", stream=1, ppid=60, context=7, max_retransmissions=most)
            await until(lambda: given_up(client) == (0, 1))
            lab.redirect(lab.links[0])
            await client.send(b"after", stream=1)
            assert await data_of(pair.server) == b"after"
        assert given_up(client, PrPolicy.RETRANSMISSIONS) == (0, 1)
        assert given_up(client, PrPolicy.RETRANSMISSIONS, 1) == (0, 1)
        assert given_up(client, PrPolicy.LIFETIME) == (0, 0)
        # As it was sent, Linux has no event for it.
        assert await failures(events, 0) == []
        assert pair.server.statistics().messages_received == 2
    tries = [
        chunk for chunk in seen if chunk.type == DATA and chunk.port == port and chunk["sctp.data_ssn"] == 0
    ]
    assert len(tries) == 1 + most


async def test_priority(lab: Lab) -> None:
    """Where there is no room, messages of lower priority (a higher number) make room; others stay."""
    async with outage(lab, options=(SendBuffer(size=20_000),)) as pair:
        client = pair.client
        events = client.events(SendFailed)
        kept = [b"kept %d" % number for number in range(3)]
        for data in kept:
            await client.send(data, stream=1)
        count = 0
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.2 * PATIENCE):
                    await client.send(bytes(1000), stream=2, priority=9)
                count += 1
        assert count > 10
        assert given_up(client) == (0, 0)
        important = b"important" * 100
        # What makes room may have been sent: that room is there when the peer knows that it is skipped.
        sending = asyncio.create_task(client.send(important, stream=3, priority=1))
        await until(lambda: sum(given_up(client)) > 0)
        lab.redirect(lab.links[0])
        await sending
        await client.flush()
        unsent, sent = given_up(client, PrPolicy.PRIORITY)
        assert 0 < unsent + sent < count
        assert given_up(client, PrPolicy.PRIORITY, 2) == given_up(client) == (unsent, sent)
        got = [await pair.server.receive() for _ in range(3 + count - unsent - sent + 1)]
        assert [message.data for message in got if message.stream == 1] == kept
        assert [message.data for message in got if message.stream == 3] == [important]
        # Linux has no event for what made room.
        assert await failures(events, 0) == []
        assert pair.server.statistics().messages_received == 1 + len(got)


SENDERS: dict[str, Callable[[Conn], Any]] = {
    "send": lambda conn: conn.send(b"x", stream=1),
    "send_many": lambda conn: conn.send_many([b"x", Message(b"y", stream=1), b"z"], stream=1),
    "Stream.send": lambda conn: conn.stream(1).send(b"x"),
}
SENT_BY = {"send": 1, "send_many": 3, "Stream.send": 1}


async def test_a_default_policy_counts_for_every_way_to_send(lab: Lab) -> None:
    """DefaultPrInfo is what `send`, `send_many` and `Stream.send` go by."""
    async with outage(lab) as pair:
        pair.client.set_option(DefaultPrInfo(max_retransmissions=0))
        expected = 0
        for by, send in SENDERS.items():
            await send(pair.client)
            expected += SENT_BY[by]
        await until(lambda: sum(given_up(pair.client, PrPolicy.RETRANSMISSIONS, 1)) == expected)
        lab.redirect(lab.links[0])
        pair.client.set_option(DefaultPrInfo())
        assert pair.client.get_option(DefaultPrInfo) == DefaultPrInfo()
        await pair.client.send(b"reliable", stream=1)
        assert await data_of(pair.server) == b"reliable"


@pytest.mark.parametrize(
    "default",
    [DefaultPrInfo(priority=20), DefaultPrInfo(max_retransmissions=20)],
    ids=["priority", "retransmissions"],
)
async def test_a_default_is_not_taken_for_a_lifetime(lab: Lab, default: DefaultPrInfo) -> None:
    """The kernel would take the number for milliseconds; what waits for longer than these is delivered."""
    async with outage(lab) as pair:
        pair.client.set_option(default)
        for send in SENDERS.values():
            await send(pair.client)
        await asyncio.sleep(0.1)
        lab.redirect(lab.links[0])
        for _ in range(sum(SENT_BY.values())):
            assert len(await data_of(pair.server)) == 1
        assert given_up(pair.client) == (0, 0)


async def test_a_policy_of_the_message_goes_before_the_default(lab: Lab) -> None:
    """`send` with a policy goes by that one."""
    async with outage(lab, options=(DefaultPrInfo(lifetime=0.05),)) as pair:
        await pair.client.send(b"stays", stream=1, max_retransmissions=1000)
        await pair.client.send(b"goes", stream=2)
        await until(lambda: sum(given_up(pair.client, PrPolicy.LIFETIME, 2)) == 1)
        lab.redirect(lab.links[0])
        assert await data_of(pair.server) == b"stays"
        assert given_up(pair.client, PrPolicy.ALL, 1) == (0, 0)


DEFAULT = DefaultPrInfo(lifetime=0.05)


async def gives_up(lab: Lab, conn: Conn) -> bool:
    """Whether a conn of the other end has DEFAULT; what it sends arrives nowhere or late."""
    assert conn.get_option(DefaultPrInfo) in (DEFAULT, DefaultPrInfo())
    before = given_up(conn)
    lab.netem("loss 100%", lab.links[0], here=False)
    await conn.send(b"to be given up", stream=1)
    await asyncio.sleep(0.1)
    lab.netem("loss 0%", lab.links[0], here=False)
    await conn.send(b"reliable", stream=2, max_retransmissions=1000)
    await conn.flush()
    return given_up(conn) != before


@pytest.mark.parametrize("mode", Mode)
async def test_a_default_policy_of_a_listener(lab: Lab, mode: Mode) -> None:
    """In `options=`, or set on the listener, it is that of associations to come."""
    async with lab.listen(lab.links[0].remote, options=(*STUBBORN, DEFAULT), mode=mode) as listener:
        for expected in (True, False, True):
            listener.set_option(DEFAULT if expected else DefaultPrInfo())
            async with connect(listener.local_addresses) as client:
                server = await listener.accept()
                assert await gives_up(lab, server) is expected
                await server.abort()
                await client.wait_closed()


@pytest.mark.parametrize(
    ("scope", "now", "later"),
    [(Scope.FUTURE, False, True), (Scope.CURRENT, True, False), (Scope.ALL, True, True)],
)
async def test_scopes_of_a_default_policy(lab: Lab, scope: Scope, now: bool, later: bool) -> None:
    """Scope says whether it counts for the associations that there are, for those to come, or both."""
    options = {"options": STUBBORN, "mode": Mode.ONE_TO_MANY}
    async with lab.listen(lab.links[0].remote, **options) as listener:
        async with connect(listener.local_addresses) as first:
            server = await listener.accept()
            listener.set_option(DEFAULT, association=scope)
            assert await gives_up(lab, server) is now
            async with connect(listener.local_addresses) as second:
                newer = await listener.accept()
                assert await gives_up(lab, newer) is later
                await newer.abort()
                await second.wait_closed()
            await server.abort()
            await first.wait_closed()


async def test_a_default_policy_survives_being_handed_over(lab: Lab) -> None:
    """A descriptor that was detached and adopted has the policy, and not its number as a lifetime."""
    async with lab.listen(lab.links[0].remote, options=STUBBORN) as listener:
        client = await connect(listener.local_addresses, options=(*STUBBORN, DefaultPrInfo(priority=20)))
        server = await listener.accept()
        async with await Conn.from_fd(client.detach()) as adopted:
            assert adopted.get_option(DefaultPrInfo) == DefaultPrInfo(priority=20)
            lab.misdirect(lab.links[0])
            await adopted.send(b"delivered")
            await asyncio.sleep(0.1)
            lab.redirect(lab.links[0])
            await adopted.send(b"next", lifetime=60)
            assert await data_of(server) == b"delivered"
        await server.wait_closed()


async def test_a_default_policy_that_is_taken_back_before_accept(lab: Lab) -> None:
    """Begun while it was set, accepted when it was not: messages are not given up unasked."""
    async with lab.listen(lab.links[0].remote, options=(*STUBBORN, DefaultPrInfo(priority=20))) as listener:
        async with connect(listener.local_addresses, events=[AssociationChange]) as client:
            listener.set_option(DefaultPrInfo())
            server = await listener.accept()
            lab.netem("loss 100%", lab.links[0], here=False)
            await server.send(b"delivered")
            await asyncio.sleep(0.1)
            lab.netem("loss 0%", lab.links[0], here=False)
            await server.send(b"next", lifetime=60)
            assert await data_of(client) == b"delivered"
            await server.abort()
            await client.wait_closed()


@pytest.mark.parametrize("without", ["listen_with", "connect_with"])
async def test_partial_reliability_at_one_end_only(analyst: Analyst, lab: Lab, without: str) -> None:
    """Where one end is without it messages are delivered however old they are, and nothing is counted."""
    off = {without: {"options": (*STUBBORN, PrSupported(False))}}
    with analyst.look(lab.links[0].here) as seen:
        async with joined(lab, **{**both(*STUBBORN), **off}) as pair:
            for conn in (pair.client, pair.server):
                assert conn.get_option(PrSupported) == PrSupported(False)
            lab.misdirect(lab.links[0])
            await pair.client.send(b"old", lifetime=0.01)
            await pair.client.send(b"tried", max_retransmissions=0)
            await asyncio.sleep(0.1)
            lab.redirect(lab.links[0])
            assert [await data_of(pair.server) for _ in range(2)] == [b"old", b"tried"]
            assert given_up(pair.client) == (0, 0)
    init, answer = [chunk.all("sctp.parameter_type") for chunk in seen if chunk.type in (INIT, INIT_ACK)]
    assert (FORWARD_TSN in init) is (without == "listen_with")
    # The answer does not offer it: it says that this parameter was not recognised.
    assert (FORWARD_TSN in answer) is (UNRECOGNIZED in answer) is (without == "listen_with")


# SCTP over UDP (RFC 6951)


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
                    options=(*FAST, UdpEncapsulation(port=THERE_PORT)),
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


# Path MTU probing (RFC 8899)


async def test_path_mtu_probes(analyst: Analyst, lab: Lab) -> None:
    """With PlpmtudProbeInterval heartbeats padded to a size are sent, and the peer answers them."""
    interval = 5.0
    with analyst.look(lab.links[0].here) as seen:
        async with joined(lab, connect_with={"options": (PlpmtudProbeInterval(interval=interval),)}) as pair:
            port = pair.client.local_addresses.port
            path = path_of(pair.client)
            assert pair.client.get_option(PlpmtudProbeInterval, path=path) == PlpmtudProbeInterval(
                path, interval
            )
            before = pair.client.get_option(sctpio.AssociationStatistics).control_chunks_sent
            await until(
                lambda: pair.client.get_option(sctpio.AssociationStatistics).control_chunks_sent > before,
                seconds=20,
            )
            pair.client.set_option(PlpmtudProbeInterval(path, 0.0))
            assert pair.client.get_option(PlpmtudProbeInterval, path=path) == PlpmtudProbeInterval(path, 0.0)
            await pair.client.send(b"goes on")
            assert await data_of(pair.server) == b"goes on"
    probes = {chunk.packet for chunk in seen if chunk.type == PAD and chunk.port == port}
    assert probes
    assert probes <= {chunk.packet for chunk in seen if chunk.type == HEARTBEAT and chunk.port == port}
    answers = {chunk.packet for chunk in seen if chunk.type == HEARTBEAT_ACK and chunk.port != port}
    assert any(packet > min(probes) for packet in answers)


# What INIT says


@pytest.mark.parametrize("on", [True, False])
async def test_ecn_is_offered_where_it_is_on(analyst: Analyst, on: bool) -> None:
    """EcnSupported is the ECN parameter of INIT; an association has it where both ends do."""
    with analyst.look() as seen:
        async with connected(connect_with={"options": (EcnSupported(on),)}) as pair:
            assert pair.client.get_option(EcnSupported) == EcnSupported(on)
            assert pair.server.get_option(EcnSupported) == EcnSupported(on)
    inits = [chunk.all("sctp.parameter_type") for chunk in seen if chunk.type in (INIT, INIT_ACK)]
    assert [ECN in parameters for parameters in inits] == [on, on]


async def test_adaptation_indication(analyst: Analyst) -> None:
    """Adaptation is a parameter of INIT and INIT ACK, and an event at the other end."""
    with analyst.look() as seen:
        async with connected(
            listen_with={"options": (Adaptation(0x01020304),), "events": [AdaptationIndication]},
            connect_with={"options": (Adaptation(0xFFFFFFFF),), "events": [AdaptationIndication]},
        ) as pair:
            for conn, expected in ((pair.client, 0x01020304), (pair.server, 0xFFFFFFFF)):
                async with asyncio.timeout(10 * PATIENCE):
                    event = await anext(conn.events(AdaptationIndication))
                assert isinstance(event, AdaptationIndication)
                assert event.indication == expected
    told = {
        chunk.type: chunk["sctp.adaptation_layer_indication"]
        for chunk in seen
        if ADAPTATION in chunk.all("sctp.parameter_type")
    }
    assert told == {INIT: 0xFFFFFFFF, INIT_ACK: 0x01020304}
