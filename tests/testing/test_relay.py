"""The relay does to datagrams what it says, counts it, and does the same for the same seed."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sctpio.testing import Counters, Faults, Relay
from sctpio.testing._faults import Dice
from support import PATIENCE, until

CLIENT, SERVER = 1111, 2222
BATCH = 25


def numbered(number: int, *, source: int, destination: int) -> bytes:
    """Write what the relay takes for an SCTP packet."""
    return struct.pack("!HHII", source, destination, 0, number)


def number_of(packet: bytes) -> int:
    """Read it."""
    number: int = struct.unpack_from("!I", packet, 8)[0]
    return number


class End:
    """A UDP socket that keeps what comes."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, port))
        self.got: list[bytes] = []
        self.peer: Any = None

    def count(self) -> int:
        """Take what has come: how much, in all."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, self.peer = self.socket.recvfrom(65536)
                self.got.append(data)
        return len(self.got)

    @property
    def numbers(self) -> list[int]:
        """What has come."""
        self.count()
        return [number_of(packet) for packet in self.got]


def batches(packets: list[bytes]) -> list[list[bytes]]:
    """Divide packets into what a socket has room for."""
    return [packets[at : at + BATCH] for at in range(0, len(packets), BATCH)]


class Wire:
    """Both ends, and the relay between them."""

    def __init__(self, relay: Relay, client: End, server: End) -> None:
        self.relay, self.client, self.server = relay, client, server

    async def to_server(
        self, count: int, *, first: int = 0, client: End | None = None, port: int = CLIENT
    ) -> None:
        """Send numbered packets to the server, and wait until the relay has taken them."""
        to = (self.relay.host, self.relay.port)
        packets = (numbered(first + n, source=port, destination=SERVER) for n in range(count))
        await self._send(packets, (client or self.client).socket, to, self.relay.to_server.counters)

    async def to_client(self, count: int, *, port: int = CLIENT) -> None:
        """Send numbered packets back, to where the server heard from the client."""
        await until(lambda: self.server.count() > 0)
        packets = (numbered(n, source=SERVER, destination=port) for n in range(count))
        await self._send(packets, self.server.socket, self.server.peer, self.relay.to_client.counters)

    async def _send(
        self, packets: Iterable[bytes], sender: socket.socket, to: Any, counters: Counters
    ) -> None:
        for some in batches(list(packets)):
            taken = counters.received
            for packet in some:
                sender.sendto(packet, to)
            await until(lambda: counters.received == taken + len(some))  # noqa: B023
            # Sockets hold little.
            self.server.count(), self.client.count()

    async def settled(self) -> None:
        """Wait until both ends have what the relay forwards."""
        ways = ((self.relay.to_server, self.server), (self.relay.to_client, self.client))
        await until(lambda: all(not w.waiting and e.count() == w.counters.forwarded for w, e in ways))


@asynccontextmanager
async def wired(faults: Faults | None = None, *, host: str = "127.0.0.1", **more: Any) -> AsyncIterator[Wire]:
    """Open a relay between two sockets of ours."""
    with contextlib.ExitStack() as closing:
        client, server = End(host), End(host)
        for end in (client, server):
            closing.enter_context(end.socket)
        to = (host, server.socket.getsockname()[1])
        async with Relay(faults or Faults(), to=to, **more) as relay:
            yield Wire(relay, client, server)


def balanced(counters: Counters) -> bool:
    """Whether each packet was forwarded or dropped."""
    return counters.received + counters.duplicated == counters.forwarded + counters.dropped


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_without_faults_all_pass_in_order(host: str) -> None:
    async with wired(host=host) as wire:
        await wire.to_server(100)
        await wire.settled()
        assert wire.server.numbers == list(range(100))
        await wire.to_client(100)
        await wire.settled()
        assert wire.client.numbers == list(range(100))
        assert wire.client.peer[:2] == (host, wire.relay.port)
        for way in (wire.relay.to_server, wire.relay.to_client):
            assert way.counters == Counters(received=100, forwarded=100)


async def test_loss_loses_that_part() -> None:
    async with wired(Faults(loss=0.3), seed=1) as wire:
        await wire.to_server(300)
        await wire.settled()
        counters = wire.relay.to_server.counters
        assert 50 < counters.lost < 150
        assert balanced(counters)
        got = wire.server.numbers
        assert len(got) == 300 - counters.lost
        assert got == sorted(set(got))


async def test_a_loss_of_1_loses_everything_and_of_0_nothing() -> None:
    async with wired() as wire:
        wire.relay.to_server.faults = Faults(loss=1)
        await wire.to_server(50)
        wire.relay.to_server.faults = Faults(loss=0)
        await wire.to_server(50, first=50)
        await wire.settled()
        assert wire.server.numbers == list(range(50, 100))
        assert wire.relay.to_server.counters.lost == 50


async def test_duplicates_come_twice() -> None:
    async with wired(Faults(duplicate=1)) as wire:
        await wire.to_server(50)
        await wire.settled()
        assert wire.server.numbers == [number for number in range(50) for _ in range(2)]
        assert wire.relay.to_server.counters == Counters(received=50, forwarded=100, duplicated=50)


async def test_reordered_packets_let_one_to_four_others_pass() -> None:
    packets, faults, counters = 300, Faults(reorder=0.1), Counters()
    async with wired(faults, seed=5) as wire:
        await wire.to_server(packets)
        await wire.settled()
        got = wire.server.numbers
        assert sorted(got) == list(range(packets))
        dice = Dice("5 to the server")
        held = {
            number: copy.overtaking
            for number in range(packets)
            for copy in dice.roll(b"x", faults, counters)
            if copy.overtaking
        }
        assert len(held) == wire.relay.to_server.counters.reordered > 10
        assert set(held.values()) == {1, 2, 3, 4}
        # Those that were not held keep their order.
        assert [number for number in got if number not in held] == [
            number for number in range(packets) if number not in held
        ]
        assert any(got[number] != number for number in range(packets))
        for number, overtaking in held.items():
            passed = [other for other in got[: got.index(number)] if other > number and other not in held]
            assert len(passed) <= overtaking


async def test_a_packet_that_nothing_overtakes_goes_on_all_the_same() -> None:
    async with wired(Faults(reorder=1)) as wire:
        await wire.to_server(3)
        await wire.settled()
        assert sorted(wire.server.numbers) == [0, 1, 2]


async def test_delayed_packets_come_no_sooner_and_in_order() -> None:
    async with wired(Faults(delay=0.1)) as wire:
        began = asyncio.get_running_loop().time()
        await wire.to_server(20)
        await wire.settled()
        # Timers of loops are not exact.
        assert asyncio.get_running_loop().time() - began >= 0.098
        assert wire.server.numbers == list(range(20))


async def test_jitter_lets_packets_overtake() -> None:
    async with wired(Faults(jitter=0.2), seed=1) as wire:
        await wire.to_server(50)
        await wire.settled()
        got = wire.server.numbers
        assert sorted(got) == list(range(50)) != got


async def test_delays_shorter_than_a_loops_timers_pass_too(caplog: pytest.LogCaptureFixture) -> None:
    async with wired(Faults(jitter=0.002), seed=2) as wire:
        for first in range(0, 200, 50):
            wire.relay.faults = Faults(delay=first * 1e-6, jitter=0.0008)
            await wire.to_server(50, first=first)
        await wire.settled()
        assert sorted(wire.server.numbers) == list(range(200))
    assert not caplog.records


async def test_a_shorter_delay_overtakes_a_longer_one() -> None:
    async with wired(Faults(delay=0.5 * PATIENCE)) as wire:
        await wire.to_server(1)
        wire.relay.faults = Faults(delay=0.01)
        await wire.to_server(1, first=1)
        await wire.settled()
        assert wire.server.numbers == [1, 0]


async def test_corrupt_packets_have_one_bit_changed() -> None:
    async with wired(Faults(corrupt=1)) as wire:
        await wire.to_server(50)
        await wire.settled()
        assert wire.relay.to_server.counters.corrupted == 50
        for number, packet in enumerate(wire.server.got):
            sent = numbered(number, source=CLIENT, destination=SERVER)
            changed = int.from_bytes(packet, "big") ^ int.from_bytes(sent, "big")
            assert (changed.bit_count(), len(packet)) == (1, len(sent))


async def test_cut_lets_nothing_pass_until_it_is_healed() -> None:
    async with wired() as wire:
        await wire.to_server(1)
        wire.relay.cut()
        await wire.to_server(10)
        await wire.to_client(10)
        assert (wire.relay.to_server.counters.cut, wire.relay.to_client.counters.cut) == (10, 10)
        wire.relay.heal()
        await wire.to_server(1, first=99)
        await wire.to_client(1)
        await wire.settled()
        assert (wire.server.numbers, wire.client.numbers) == ([0, 99], [0])


async def test_one_direction_can_be_cut() -> None:
    async with wired() as wire:
        wire.relay.to_client.cut()
        assert (wire.relay.to_client.is_cut, wire.relay.to_server.is_cut) == (True, False)
        await wire.to_server(5)
        await wire.settled()
        await wire.to_client(5)
        await wire.settled()
        assert (wire.server.count(), wire.client.count()) == (5, 0)


async def test_what_waits_is_cut_off_too() -> None:
    async with wired(Faults(delay=60)) as wire:
        await wire.to_server(5)
        wire.relay.faults = Faults(reorder=1)
        await wire.to_server(1)
        assert wire.relay.to_server.waiting == 6
        wire.relay.cut()
        wire.relay.heal()
        wire.relay.faults = Faults()
        await wire.to_server(1, first=99)
        await wire.settled()
        assert wire.server.numbers == [99]
        assert wire.relay.to_server.counters.cut == 6
        assert balanced(wire.relay.to_server.counters)


@pytest.mark.parametrize("faults", [Faults(delay=60), Faults(delay=60, duplicate=1), Faults(reorder=1)])
@pytest.mark.parametrize("most", [{"max_packets": 10}, {"max_bytes": 125}])
async def test_no_more_waits_than_is_allowed(faults: Faults, most: dict[str, Any]) -> None:
    relay = Relay(faults, to=("127.0.0.1", 9), **most)
    relay.to_server.attach(asyncio.get_running_loop(), lambda data, to: True)
    for number in range(40):
        relay.to_server.take(numbered(number, source=CLIENT, destination=SERVER))
        assert relay.to_server.waiting <= 10
    counters = relay.to_server.counters
    assert counters.overflowed == 40 + counters.duplicated - 10
    relay.to_server.cut()


async def test_a_relay_closes_with_packets_that_wait() -> None:
    async with wired(Faults(delay=60)) as wire:
        await wire.to_server(5)
    assert (wire.relay.is_open, wire.relay.to_server.waiting) == (False, 0)
    assert balanced(wire.relay.to_server.counters)
    assert "5 cut" in str(wire.relay)


async def outcome(faults: Faults, **more: Any) -> tuple[list[bytes], list[bytes]]:
    """Send 200 packets each way: what came."""
    async with wired(faults, **more) as wire:
        await wire.to_server(200)
        await wire.to_client(200)
        await wire.settled()
        return wire.server.got, wire.client.got


async def test_the_same_seed_does_the_same() -> None:
    faults = Faults(loss=0.2, duplicate=0.2, corrupt=0.2)
    first = await outcome(faults, seed=7)
    assert await outcome(faults, seed=7) == first
    assert await outcome(faults, seed=8) != first
    there, back = ([packet[8:] for packet in way] for way in first)
    assert there[-100:] != back[-100:]


def test_what_a_packet_meets_depends_on_its_number_and_not_on_other_faults() -> None:
    few, many = Dice("1"), Dice("1")
    seen = Counters(), Counters()
    with_few = [few.roll(b"x", Faults(loss=0.3), seen[0]) for _ in range(200)]
    everything = Faults(loss=0.3, duplicate=0.5, reorder=0.5, corrupt=0.5, jitter=1)
    with_many = [many.roll(b"x", everything, seen[1]) for _ in range(200)]
    assert [bool(copies) for copies in with_few] == [bool(copies) for copies in with_many]
    assert seen[0].lost == seen[1].lost > 0


def test_the_dice_of_a_seed_do_not_change_with_the_version() -> None:
    dice, counters = Dice("2026 to the server"), Counters()
    faults = Faults(loss=0.25, duplicate=0.25, reorder=0.25)
    fates = "".join(
        "-" if not copies else "2" if len(copies) > 1 else "r" if copies[0].overtaking else "."
        for copies in (dice.roll(b"packet", faults, counters) for _ in range(40))
    )
    assert fates == "--.2.-r-...r...--r-2r.2.2.r....22r...2.-"


async def test_clients_of_several_ports_get_their_own_answers() -> None:
    async with wired() as wire:
        other = End("127.0.0.1")
        with other.socket:
            await wire.to_server(1)
            await wire.to_server(1, client=other, port=3333)
            await wire.to_client(2)
            await wire.to_client(3, port=3333)
            await until(lambda: wire.client.count() + other.count() == 5)
            assert (wire.client.count(), other.count()) == (2, 3)
            await wire.to_client(1, port=4444)
            assert wire.relay.to_client.counters.strayed == 1
            assert balanced(wire.relay.to_client.counters)


async def test_packets_of_any_size_pass_and_what_is_none_does_not() -> None:
    async with wired() as wire:
        for size in (0, 1, 11, 12, 60_000):
            taken = wire.relay.to_server.counters.received
            wire.client.socket.sendto(bytes(size), ("127.0.0.1", wire.relay.port))
            await until(lambda: wire.relay.to_server.counters.received > taken)  # noqa: B023
        await wire.settled()
        assert [len(packet) for packet in wire.server.got] == [12, 60_000]
        assert wire.relay.to_server.counters.strayed == 3


async def test_a_server_that_is_not_there_for_a_while_does_no_harm() -> None:
    async with wired() as wire:
        port = wire.server.socket.getsockname()[1]
        wire.server.socket.close()
        wire.server = End("127.0.0.1")
        await wire.to_server(5)
        wire.server.socket.close()
        wire.server = End("127.0.0.1", port)
        with wire.server.socket:
            # What was sent into the void may cost one more packet.
            await wire.to_server(3, first=5)
            await until(lambda: 7 in wire.server.numbers)


@pytest.mark.parametrize("name", ["loss", "reorder", "duplicate", "corrupt"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), 10])
def test_what_is_no_probability_is_an_error(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value!r}; it takes a probability from 0 to 1"):
        Faults(**{name: value})


@pytest.mark.parametrize("name", ["delay", "jitter"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_what_is_no_time_is_an_error(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value!r}; it takes seconds from 0"):
        Faults(**{name: value})


def test_what_is_no_number_is_an_error() -> None:
    for value in ("0.1", None, True):
        with pytest.raises(TypeError, match=f"loss is {value!r}"):
            Faults(loss=value)  # type: ignore[arg-type]
    for wrong in (0.1, {"loss": 0.1}, None):
        with pytest.raises(TypeError, match="it takes Faults"):
            Relay(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="it takes Faults"):
            Relay().faults = wrong  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seed": -1}, "seed is -1; it takes a number from 0"),
        ({"seed": "7"}, "seed is '7'"),
        ({"seed": True}, "seed is True"),
        ({"max_packets": 0}, "max_packets is 0; it takes a number from 1"),
        ({"max_bytes": None}, "max_bytes is None"),
        ({"to": "127.0.0.1:9899"}, "to is '127.0.0.1:9899'; it takes a host and a UDP port"),
        ({"to": ("127.0.0.1", 0)}, r"to is \('127.0.0.1', 0\)"),
        ({"to": ("127.0.0.1", 65536)}, "65536"),
        ({"to": ("127.0.0.1", 9899), "stack": "usrsctp"}, "another process"),
    ],
)
def test_bad_arguments_are_errors_that_quote_them(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Relay(**arguments)


async def test_a_relay_that_is_not_open_says_so() -> None:
    relay = Relay(to=("127.0.0.1", 9))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not open"):
            _ = relay.option
        async with relay:
            assert relay.option.port == relay.port
            with pytest.raises(RuntimeError, match="open already"):
                await relay.__aenter__()
            assert relay.is_open


async def test_an_address_that_cannot_be_had_is_an_error_and_leaves_nothing() -> None:
    for relay in (Relay(to=("127.0.0.1", 9), host="192.0.2.1"), Relay(host="192.0.2.1")):
        with pytest.raises(OSError, match="assign"):
            await relay.__aenter__()
        assert not relay.is_open


async def test_a_cancelled_opening_leaves_nothing() -> None:
    for turn in range(20):
        relay = Relay(to=("127.0.0.1", 9))
        opening = asyncio.create_task(relay.__aenter__())
        await asyncio.sleep(turn * 0.0002)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
            await relay.__aexit__()
        assert not relay.is_open
    # Descriptors are counted afterwards.


async def test_the_seed_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCTPIO_TEST_SEED", raising=False)
    chosen = Relay().seed
    assert Relay().seed == chosen
    monkeypatch.setenv("SCTPIO_TEST_SEED", "12")
    assert (Relay().seed, Relay(seed=3).seed) == (12, 3)
    for bad in ("x", "-1", "1.5"):
        monkeypatch.setenv("SCTPIO_TEST_SEED", bad)
        with pytest.raises(ValueError, match=rf"\$SCTPIO_TEST_SEED is '{bad}'"):
            Relay()
