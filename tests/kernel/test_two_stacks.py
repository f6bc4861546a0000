"""Both stacks in one process: each object is of one of them, and says so where the other is meant."""

import asyncio
import os

import pytest

from sctpio import Conn, Listener, available_stacks, connect, listen, usrsctp_config
from sctpio.stacks import choose

STACKS = ["kernel", "usrsctp"]

pytestmark = pytest.mark.one_loop


@pytest.fixture(autouse=True, scope="session")
def _both() -> None:
    if "usrsctp" not in available_stacks():
        pytest.fail("this needs both stacks: build sctpio where libusrsctp-dev is")
    try:
        usrsctp_config(udp_port=9900)
    except RuntimeError:
        # Another test was first.
        return
    choose("usrsctp").open().close()


def other(stack: str) -> str:
    """Name the stack that is not this one."""
    return STACKS[1 - STACKS.index(stack)]


async def echo(listener: Listener, client: Conn) -> None:
    """Send a message and its answer."""
    async with await listener.accept() as server:
        await client.send(b"there")
        await server.send((await server.receive()).data + b" and back")
        assert (await client.receive()).data == b"there and back"


async def test_both_are_there_and_each_is_had_by_name() -> None:
    assert available_stacks() == ("kernel", "usrsctp")
    for stack in STACKS:
        async with listen("127.0.0.1:0", stack=stack) as listener:
            async with connect(listener.local_addresses, stack=stack) as client:
                await echo(listener, client)


async def test_they_have_ports_of_their_own() -> None:
    async with listen("127.0.0.1:0", stack="kernel") as first:
        async with listen(first.local_addresses, stack="usrsctp") as second:
            for listener, stack in ((first, "kernel"), (second, "usrsctp")):
                async with connect(first.local_addresses, stack=stack) as client:
                    await echo(listener, client)


@pytest.mark.parametrize("stack", STACKS)
async def test_a_descriptor_of_the_other_stack_is_not_adopted(stack: str) -> None:
    async with listen("127.0.0.1:0", stack=stack) as listener:
        client = await connect(listener.local_addresses, stack=stack)
        async with await listener.accept() as server:
            descriptor = client.detach()
            with pytest.raises(ValueError, match="no SCTP socket of one association"):
                await Conn.from_fd(descriptor, stack=other(stack))
            # It is the caller's still, and its own stack takes it.
            async with Conn.from_fd(descriptor, stack=stack) as again:
                await again.send(b"still there")
                assert (await server.receive()).data == b"still there"


@pytest.mark.parametrize("stack", STACKS)
async def test_a_port_of_the_other_stack_is_not_reached_by_its_number_alone(stack: str) -> None:
    """A listener of the kernel's, called by usrsctp, and the reverse: nobody is there."""
    async with listen("127.0.0.1:0", stack=stack) as listener:
        with pytest.raises((ConnectionRefusedError, TimeoutError)):
            async with asyncio.timeout(2):
                await connect(listener.local_addresses, stack=other(stack))
        async with connect(listener.local_addresses, stack=stack) as client:
            await echo(listener, client)


@pytest.mark.parametrize("stack", STACKS)
async def test_the_environment_names_a_stack_and_the_argument_has_the_last_word(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCTPIO_STACK", stack)
    assert choose(None).name == stack
    assert choose(other(stack)).name == other(stack)
    async with listen("127.0.0.1:0") as mine, listen("127.0.0.1:0", stack=other(stack)) as theirs:
        for listener, wanted in ((mine, None), (theirs, other(stack))):
            async with connect(listener.local_addresses, stack=wanted) as client:
                await echo(listener, client)
    assert os.environ["SCTPIO_STACK"] == stack


def test_a_stack_that_nobody_has_is_named() -> None:
    with pytest.raises(ValueError, match="stack is 'lksctp'; it takes 'kernel' or 'usrsctp'"):
        connect("127.0.0.1:5000", stack="lksctp")
