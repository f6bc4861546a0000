"""The kernel's SCTP and usrsctp over networks that lose, delay, reorder and fail, and peers that are killed.

usrsctp is in the test's namespace, the kernel's end in the other one of a lab.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest

from kernel.interop import (
    KERNEL_UDP,
    MODES,
    STUBBORN,
    Ends,
    both,
    every_stack,
    left,
    linked,
)
from kernel.lab import IMPATIENT, Lab
from kernel.test_interop import exchange
from sctpio import (
    Address,
    AddressState,
    AssociationAbortedError,
    AssociationChange,
    AssociationLostError,
    AssociationState,
    Conn,
    EndOfAssociation,
    Listener,
    Mode,
    PathState,
    PeerAddressChange,
    UdpEncapsulation,
    connect,
    listen,
)
from support import PATIENCE, until

# Timers of both stacks take their time on any loop.
# test_interop.py is the part of it that everyday runs have.
pytestmark = [pytest.mark.one_loop, pytest.mark.endurance, pytest.mark.usefixtures("encapsulated")]

# With the timers of IMPATIENT a peer is given up in some two seconds; the rest is for slow guests.
GIVEN_UP = 30.0 * PATIENCE

ONE_OF_TWO = Counter([PathState.ACTIVE, PathState.INACTIVE])

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)

FAULTS = {
    "loss 5%": "loss 5%",
    "loss 20%": "loss 20%",
    "delay": "delay 10ms 4ms",
    "reordered": "delay 5ms reorder 50% 50%",
    "duplicated": "duplicate 20%",
    "all": "delay 5ms 5ms loss 8% duplicate 5%",
}


@every_stack
@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        # The last one is all of them.
        *(
            pytest.param(
                Mode.ONE_TO_ONE,
                FAULTS[name],
                id=f"one-to-one-{name}",
                marks=[] if name == "all" else pytest.mark.endurance,
            )
            for name in FAULTS
        ),
        pytest.param(Mode.ONE_TO_MANY, FAULTS["all"], id="one-to-many-all"),
    ],
)
async def test_nothing_is_lost_doubled_or_reordered(
    interop_lab: Lab, ends: Ends, mode: Mode, fault: str
) -> None:
    """Digests of what was sent and what was received are the same, both ways at once."""
    interop_lab.netem(fault, interop_lab.links[0])
    ends = Ends(ends.server, ends.client, mode, mode)
    rng = random.Random(fault)
    sizes = [rng.choice((10, 200, 1400, 3000, 9000)) for _ in range(40)]
    async with asyncio.timeout(60 * PATIENCE):
        async with linked(ends, lab=interop_lab, **both(*STUBBORN)) as (client, server, _):
            async with asyncio.TaskGroup() as ways:
                ways.create_task(exchange(client, server, 1, sizes))
                ways.create_task(exchange(server, client, 2, sizes))
            await client.send_many([b"%d" % number for number in range(50)])
            closing = asyncio.create_task(client.close())
            # What was sent comes before the end, whatever is lost on the way.
            assert [message.data async for message in server] == [b"%d" % number for number in range(50)]
            await closing


@every_stack
@every_mode
async def test_both_ends_find_out_that_the_network_is_gone(interop_lab: Lab, ends: Ends, mode: Mode) -> None:
    """The one that sends by retransmissions, the one that is idle by heartbeats."""
    ends = Ends(ends.server, ends.client, mode, mode)
    async with linked(ends, lab=interop_lab, **both(*IMPATIENT)) as pair:
        await pair.client.send(b"there")
        assert (await pair.server.receive()).data == b"there"
        events = [conn.events(AssociationChange) for conn in (pair.client, pair.server)]
        interop_lab.cut(interop_lab.links[0])
        await pair.client.send(b"to nobody")
        async with asyncio.timeout(GIVEN_UP):
            for conn in (pair.client, pair.server):
                with pytest.raises(AssociationLostError):
                    await conn.receive()
                with pytest.raises(AssociationLostError):
                    await conn.send(b"late")
            for stream in events:
                states = [event.state async for event in stream]  # type: ignore[union-attr]
                assert states == [AssociationState.COMM_LOST]


@every_stack
async def test_a_short_outage_loses_nothing(interop_lab: Lab, ends: Ends) -> None:
    link = interop_lab.links[0]
    async with asyncio.timeout(60 * PATIENCE):
        async with linked(ends, lab=interop_lab, **both(*STUBBORN)) as pair:
            for one, other in ((pair.client, pair.server), (pair.server, pair.client)):
                interop_lab.cut(link)
                for number in range(50):
                    await one.send(b"%d" % number, stream=number % 2)
                assert one.status().unacknowledged + one.status().pending > 0
                interop_lab.mend(link)
                got = [await other.receive() for _ in range(50)]
                for stream in (0, 1):
                    data = [message.data for message in got if message.stream == stream]
                    assert data == [b"%d" % number for number in range(stream, 50, 2)]


# Several paths


@every_stack
@pytest.mark.parametrize("fault", ["cut", "unplug"])
async def test_traffic_moves_to_the_other_link(interop_lab: Lab, ends: Ends, fault: str) -> None:
    """With one link gone messages go on over the other one, and come back to the first one."""
    async with linked(ends, lab=interop_lab, links=2, **both(*IMPATIENT)) as pair:
        client, server, _ = pair
        for conn in (client, server):
            assert len(conn.peer_addresses.hosts) == 2
            await until(lambda conn=conn: states(conn) == [PathState.ACTIVE] * 2)  # type: ignore[misc]
        events = {conn: conn.events(PeerAddressChange) for conn in (client, server)}
        dead = interop_lab.links[0]
        for conn in (client, server):
            conn.set_primary(Address((_of(conn, dead.local, dead.remote),), conn.peer_addresses.port))
        got: dict[str, list[int]] = {"client": [], "server": []}

        async def receive(name: str, conn: Conn) -> None:
            async for message in conn:
                got[name].append(int(message.data.split()[0]))

        async def send(first: int, last: int) -> None:
            for number in range(first, last):
                for conn in (client, server):
                    await conn.send(b"%d " % number * 100)

        tasks = [asyncio.create_task(receive(*each)) for each in (("client", client), ("server", server))]
        async with asyncio.timeout(2 * GIVEN_UP):
            await send(0, 50)
            if fault == "cut":
                interop_lab.cut(dead)
            else:
                interop_lab.unplug(dead)
            await send(50, 100)
            await until(lambda: [len(numbers) for numbers in got.values()] == [100, 100])
            for conn in (client, server):
                await _told(events[conn], {dead.local, dead.remote}, AddressState.UNREACHABLE)
                # These timers are quick enough to give up a good path too, for a moment.
                await until(lambda conn=conn: Counter(states(conn)) == ONE_OF_TWO)  # type: ignore[misc]
            # And back again.
            if fault == "cut":
                interop_lab.mend(dead)
            else:
                interop_lab.plug(dead)
            for conn in (client, server):
                await _told(events[conn], {dead.local, dead.remote}, AddressState.AVAILABLE)
                await until(lambda conn=conn: states(conn) == [PathState.ACTIVE] * 2)  # type: ignore[misc]
            await send(100, 150)
            await until(lambda: [len(numbers) for numbers in got.values()] == [150, 150])
            tasks[0].cancel()
            await client.close()
            await tasks[1]
        assert got == {"client": [*range(150)], "server": [*range(150)]}


def states(conn: Conn) -> list[PathState]:
    """Give the state of each path of a conn."""
    peer = conn.peer_addresses
    return [conn.path(Address((host,), peer.port)).state for host in peer.hosts]


def _of(conn: Conn, *hosts: str) -> IPv4Address | IPv6Address:
    (found,) = [host for host in conn.peer_addresses.hosts if str(host) in hosts]
    return found


async def _told(events: AsyncIterator[object], hosts: set[str], state: AddressState) -> None:
    async for event in events:
        assert isinstance(event, PeerAddressChange)
        if str(event.address.hosts[0]) in hosts and event.state is state:
            return
    raise AssertionError(f"the association ended, {hosts} never became {state}")


@every_stack
async def test_a_peer_is_reached_by_its_second_address(interop_lab: Lab, ends: Ends) -> None:
    """Where the first one is dead the association is set up anyway."""
    interop_lab.cut(interop_lab.links[0])
    async with asyncio.timeout(GIVEN_UP):
        async with linked(ends, lab=interop_lab, links=2, **both(*IMPATIENT)) as (client, server, _):
            for one, other in ((client, server), (server, client)):
                await one.send(b"by the second")
                assert (await other.receive()).data == b"by the second"


# Processes that are killed

PEER = """
import asyncio, sys, sctpio

async def main():
    stack, role, text, keep = sys.argv[1:]
    if role == "client":
        conn = await sctpio.connect(text, stack=stack, options=[])
    else:
        listener = await sctpio.listen("127.0.0.1:0", stack=stack)
        print(listener.port, flush=True)
        conn = await listener.accept()
    await conn.send(b"mine")
    if keep == "read":
        assert (await conn.receive()).data == b"yours"
        print("read", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def process(stack: str, role: str, address: str, keep: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a peer in a process of its own, which the test may kill."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCTPIO_")} | {
        "SCTPIO_UDP_PORT": "9911",
        "SCTPIO_REMOTE_UDP_PORT": str(KERNEL_UDP),
    }
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PEER), stack, role, address, keep]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as peer:
        try:
            yield peer
        finally:
            peer.kill()


async def _line(peer: "subprocess.Popen[str]") -> str:
    assert peer.stdout is not None
    return (await asyncio.to_thread(peer.stdout.readline)).strip()


@asynccontextmanager
async def _listening(stack: str, mode: Mode) -> AsyncIterator[Listener]:
    async with listen("127.0.0.1:0", stack=stack, mode=mode, options=IMPATIENT) as listener:
        yield listener


@every_mode
@pytest.mark.parametrize("sends", [True, False], ids=["sending", "idle"])
async def test_a_usrsctp_process_that_is_killed_is_lost(mode: Mode, sends: bool) -> None:
    """Nobody tells the kernel: retransmissions or heartbeats do."""
    async with asyncio.timeout(GIVEN_UP), _listening("kernel", mode) as listener:
        with process("usrsctp", "client", str(listener.local_addresses), "idle") as peer:
            server = await listener.accept()
            assert (await server.receive()).data == b"mine"
            peer.send_signal(signal.SIGKILL)
            peer.wait(20)
            if sends:
                await server.send(b"to nobody")
            with pytest.raises(AssociationLostError):
                await server.receive()
            assert server.is_closed
        # The port is free for the next one, who is served as before.
        with process("usrsctp", "client", str(listener.local_addresses), "read") as peer:
            server = await listener.accept()
            assert (await server.receive()).data == b"mine"
            await server.send(b"yours")
            assert await _line(peer) == "read"
            await server.abort()
    await until(lambda: left() == [])


@every_mode
@pytest.mark.parametrize("keep", ["read", "unread"])
async def test_a_process_on_the_kernel_that_is_killed_tells_usrsctp(mode: Mode, keep: str) -> None:
    """Its kernel ends the association: by SHUTDOWN where it had read all, else by ABORT."""
    async with asyncio.timeout(GIVEN_UP), _listening("usrsctp", mode) as listener:
        with process("kernel", "client", str(listener.local_addresses), keep) as peer:
            server = await listener.accept()
            assert (await server.receive()).data == b"mine"
            if keep == "read":
                await server.send(b"yours")
                assert await _line(peer) == "read"
            else:
                peer.send_signal(signal.SIGSTOP)
                await server.send(b"never read")
                await server.flush()
            peer.send_signal(signal.SIGKILL)
            with pytest.raises(EndOfAssociation if keep == "read" else AssociationAbortedError):
                await server.receive()
            await server.close()
    await until(lambda: left() == [])


async def test_a_client_of_a_killed_usrsctp_server_is_told_or_finds_out() -> None:
    """As seen from the kernel that called it; the UDP port is told by the option."""
    with process("usrsctp", "server", "", "read") as peer:
        port = int(await _line(peer))
        async with asyncio.timeout(GIVEN_UP):
            client = await connect(
                f"127.0.0.1:{port}", stack="kernel", options=(*IMPATIENT, UdpEncapsulation(port=9911))
            )
            assert (await client.receive()).data == b"mine"
            await client.send(b"yours")
            assert await _line(peer) == "read"
            peer.send_signal(signal.SIGKILL)
            with pytest.raises(AssociationLostError):
                await client.receive()
    await until(lambda: left() == [])
