"""A connected pair for who does not use pytest's fixtures, and which stack it is on."""

import asyncio
import inspect
import os
import subprocess
import sys

import pytest

import sctpio.testing
from sctpio import AssociationChange, AssociationState, InitMsg, Mode, RtoInfo, UnavailableError
from sctpio.stacks import choose
from sctpio.testing import QUICK, Faults, Relay, _stack, connected
from support import PATIENCE, STACK, associations, until


@pytest.mark.parametrize("relayed", [False, True])
@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_ends_are_connected_and_gone_afterwards(host: str, mode: Mode, relayed: bool) -> None:
    async with asyncio.timeout(20 * PATIENCE), Relay(host=host) as relay:
        between = relay if relayed else None
        async with connected(relay=between, mode=mode, host=host) as (client, server):
            await client.send(b"there", stream=3)
            await server.send((await server.receive()).data + b" and back")
            assert (await client.receive()).data == b"there and back"
            assert str(client.peer_addresses.hosts[0]) == host
        assert client.is_closed
        assert server.is_closed
        await until(lambda: not associations())
        assert (relay.to_server.counters.forwarded > 2) == relayed
        assert (relay.to_client.counters.forwarded > 2) == relayed


async def test_settings_are_for_both_ends() -> None:
    rto = RtoInfo(initial=0.2, maximum=0.3, minimum=0.1)
    opening = connected(options=iter([rto]), init=InitMsg(7, 8), events=[AssociationChange])
    async with opening as pair:
        for end in pair:
            assert end.get_option(RtoInfo) == rto
            assert (end.outbound_streams, end.inbound_streams) == (7, 7)
            event = await anext(end.events(AssociationChange))
            assert isinstance(event, AssociationChange)
            assert event.state is AssociationState.COMM_UP


async def test_several_pairs_go_through_one_relay() -> None:
    async with Relay() as relay, connected(relay=relay) as one, connected(relay=relay) as two:
        for number, (client, server) in enumerate((one, two)):
            await client.send(b"%d" % number)
            assert (await server.receive()).data == b"%d" % number
            await server.send(b"back %d" % number)
            assert (await client.receive()).data == b"back %d" % number


SERVER = """
import asyncio, sctpio
from sctpio.testing import _stack, QUICK

async def main():
    stack, udp_port = _stack.encapsulating(None)
    async with sctpio.listen("127.0.0.1:0", stack=stack, options=QUICK) as listener:
        print(udp_port, listener.port, flush=True)
        async with await listener.accept() as conn:
            async for message in conn:
                await conn.send(message.data + b" and back", stream=message.stream)

asyncio.run(main())
"""


async def test_a_relay_leads_to_another_process() -> None:
    environment = {**os.environ, "SCTPIO_UDP_PORT": "0"}
    command = [sys.executable, "-W", "error", "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            udp_port, port = map(int, process.stdout.readline().split())
            faults = Faults(loss=0.1, reorder=0.1, duplicate=0.1)
            async with asyncio.timeout(20 * PATIENCE), Relay(faults, to=("127.0.0.1", udp_port)) as relay:
                async with relay.connect(("127.0.0.1", port), options=QUICK) as client:
                    for number in range(30):
                        await client.send(b"%d" % number)
                        assert (await client.receive()).data == b"%d and back" % number
                assert relay.to_server.counters.lost + relay.to_client.counters.lost > 0
                # The server's end may take packets after the client's.
                await until(lambda: process.poll() is not None)
            assert process.returncode == 0
        finally:
            process.kill()


async def test_an_error_inside_is_raised_and_closes_everything() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Relay() as relay, connected(relay=relay, options=QUICK) as (client, _):
            relay.cut()
            await client.send(b"x")
            raise ZeroDivisionError
    assert client.is_closed
    assert not relay.is_open
    await until(lambda: not associations())


async def test_what_contradicts_the_relay_is_an_error() -> None:
    async with Relay() as relay:
        for wrong in ({"stack": "other"}, {"host": "127.0.0.9"}):
            with pytest.raises(ValueError, match=next(iter(wrong.values()))):
                await connected(relay=relay, **wrong).__aenter__()  # type: ignore[arg-type]
    async with Relay(to=("127.0.0.1", 9)) as relay:
        assert relay.stack is None
        with pytest.raises(ValueError, match="another process"):
            await connected(relay=relay).__aenter__()
    with pytest.raises(RuntimeError, match="not open"):
        await connected(relay=Relay(stack=STACK)).__aenter__()


async def test_a_stack_that_cannot_speak_udp_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        name = "kernel"

    monkeypatch.setattr(_stack, "choose", lambda name: Kernel())
    monkeypatch.setattr(_stack, "KERNEL_UDP_PORT", _stack.KERNEL_UDP_PORT / "nowhere")
    for name in ("kernel", None):
        with pytest.raises(UnavailableError, match=r"sysctl net\.sctp\.udp_port=9899"):
            await Relay(stack=name).__aenter__()


@pytest.fixture(scope="module")
def _usrsctp() -> None:
    """Let it make what it keeps, before descriptors are counted."""
    choose("usrsctp").open().close()


@pytest.mark.usefixtures("_usrsctp")
async def test_where_nobody_asked_for_a_stack_one_that_speaks_udp_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Kernel:
        name = "kernel"

    monkeypatch.delenv("SCTPIO_STACK", raising=False)
    monkeypatch.setattr(_stack, "choose", lambda name: choose(name) if name == "usrsctp" else Kernel())
    monkeypatch.setattr(_stack, "available_stacks", lambda: ("kernel", "usrsctp"))
    monkeypatch.setattr(_stack, "KERNEL_UDP_PORT", _stack.KERNEL_UDP_PORT / "nowhere")
    async with Relay() as relay:
        assert relay.stack == "usrsctp"


def test_pytest_is_not_needed() -> None:
    code = "import sys, sctpio.testing; assert not [n for n in sys.modules if 'pytest' in n]"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={**os.environ})


def test_all_that_is_public_is_described() -> None:
    for name in sctpio.testing.__all__:
        assert inspect.getdoc(getattr(sctpio.testing, name))
