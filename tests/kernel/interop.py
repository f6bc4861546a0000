"""The kernel's SCTP and usrsctp at the ends of one association, in the test's process, over UDP (RFC 6951).

usrsctp has one UDP port for all the process, in this namespace. The kernel's end is in this namespace too
(over lo), or in the other one of a `Lab` (over its links).
"""

import contextlib
import itertools
import types
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kernel.lab import FAST, Lab, at_once, run, two_links
from sctpio import (
    Address,
    AssocInfo,
    Conn,
    Listener,
    Mode,
    Option,
    PeerAddressParameters,
    available_stacks,
    connect,
    listen,
    usrsctp_config,
)
from sctpio.stacks import choose
from sctpio.stacks.usrsctp import udp_ports
from support import Pair, until

T = TypeVar("T")

KERNEL_UDP, USRSCTP_UDP = 9899, 9900
KERNEL_AND_USRSCTP, USRSCTP_AND_KERNEL = STACKS = (("kernel", "usrsctp"), ("usrsctp", "kernel"))
MODES = tuple(Mode)
BUFFERS = 4 << 20
# Of this host, but not what the kernel would send from.
OTHER_HOSTS = ["127.0.0.3", "127.0.0.4"]
# Linux hands several packets of SCTP to an interface as one, to be taken apart there. Where they go in UDP,
# most of them are lost on that way (seen with 6.1, on lo and veth): so none is larger than a packet.
NO_GSO = ("gso_max_size", "1500")

STUBBORN: tuple[Option, ...] = (
    FAST,
    AssocInfo(max_retransmissions=1000),
    PeerAddressParameters(path_max_retransmissions=1000),
)


def both(*options: Option) -> dict[str, Any]:
    """Set options at both ends, before the association."""
    return {"listen_with": {"options": options}, "connect_with": {"options": options}}


# The two ends


@dataclass(frozen=True, slots=True)
class Ends:
    """Which stack is at which end, and on which kind of socket."""

    server: str
    client: str
    server_mode: Mode = Mode.ONE_TO_ONE
    client_mode: Mode = Mode.ONE_TO_ONE

    def __str__(self) -> str:
        kinds = {Mode.ONE_TO_ONE: "one", Mode.ONE_TO_MANY: "many"}
        return f"{self.server}-{kinds[self.server_mode]}-{self.client}-{kinds[self.client_mode]}"


every_stack = pytest.mark.parametrize("ends", [Ends(*stacks) for stacks in STACKS], ids=str)
every_end = pytest.mark.parametrize(
    "ends", [Ends(*stacks, *modes) for stacks in STACKS for modes in itertools.product(MODES, MODES)], ids=str
)


def sysctl(name: str, value: int | None = None) -> int:
    """Read or write a number of this namespace."""
    path = Path("/proc/sys/net", *name.split("."))
    before = int(path.read_text().split()[0])
    if value is not None:
        path.write_text(str(value))
    return before


@contextlib.contextmanager
def sysctls(**values: int) -> Iterator[None]:
    """Have sysctls of net at these values (`core__wmem_max` is `net.core.wmem_max`) while the block runs."""
    before = {name: sysctl(name.replace("__", "."), value) for name, value in values.items()}
    try:
        yield
    finally:
        for name, value in before.items():
            sysctl(name.replace("__", "."), value)


@pytest.fixture(scope="module")
def encapsulated(_needed: None) -> Iterator[None]:
    """Let both stacks have their UDP ports, large buffers, and packets that are no larger than usual."""
    if "usrsctp" not in available_stacks():
        pytest.fail("the usrsctp stack was not built: apt install libusrsctp-dev")
    if udp_ports.settings.started is None:
        usrsctp_config(udp_port=USRSCTP_UDP, remote_udp_port=KERNEL_UDP)
    choose("usrsctp").open().close()
    assert udp_ports.settings.started == USRSCTP_UDP
    run("ip", "link", "set", "lo", "mtu", "1500", *NO_GSO)
    try:
        with sysctls(
            sctp__udp_port=KERNEL_UDP,
            sctp__encap_port=USRSCTP_UDP,
            core__wmem_max=BUFFERS,
            core__rmem_max=BUFFERS,
        ):
            yield
    finally:
        run("ip", "link", "set", "lo", "mtu", "65536", "gso_max_size", "65536")


@pytest.fixture(scope="module")
def encapsulated_lab(encapsulated: None) -> Iterator[Lab]:
    with two_links() as made:
        for link in made.links:
            run("ip", "link", "set", link.here, *NO_GSO)
            run("ip", "-n", made.namespace, "link", "set", link.there, *NO_GSO)
        with made.inside():
            # They end with the namespace.
            sysctl("sctp.udp_port", KERNEL_UDP)
            sysctl("sctp.encap_port", USRSCTP_UDP)
        yield made


@pytest.fixture
def interop_lab(encapsulated_lab: Lab) -> Iterator[Lab]:
    """Give one namespace to all tests, with the kernel's UDP port in it; without faults."""
    yield encapsulated_lab
    for link in encapsulated_lab.links:
        with contextlib.suppress(AssertionError):
            encapsulated_lab.mend(link)
        encapsulated_lab.plug(link)


@types.coroutine
def there(lab: Lab, awaitable: Awaitable[T]) -> Generator[Any, Any, T]:
    """Await something whose every step is done in the other namespace."""
    steps = awaitable.__await__()
    step = partial(steps.send, None)
    while True:
        try:
            with lab.inside():
                future = step()
        except StopIteration as done:
            value: T = done.value
            return value
        try:
            step = partial(steps.send, (yield future))
        except BaseException as error:
            step = partial(steps.throw, error)


def left(lab: Lab | None = None) -> list[str]:
    """List the associations of both stacks."""
    from sctpio.stacks._usrsctp import lib

    def kernel() -> list[str]:
        return Path("/proc/thread-self/net/sctp/assocs").read_text().splitlines()[1:]

    found = [f"usrsctp {number}" for number in range(lib.sctpio_established())] + kernel()
    if lab is not None:
        with lab.inside():
            found += kernel()
    return found


@asynccontextmanager
async def linked(
    ends: Ends,
    local: str = "127.0.0.1",
    *,
    lab: Lab | None = None,
    links: int = 1,
    listen_with: dict[str, Any] | None = None,
    connect_with: dict[str, Any] | None = None,
) -> AsyncIterator[Pair]:
    """Connect two stacks over lo, or over the links of a lab; what is left of it is aborted at the end.

    A client of a one-to-many socket calls from a listener of its own.
    """
    server_at = client_at = local
    if lab is not None:
        here = "/".join(link.local for link in lab.links[:links])
        away = "/".join(link.remote for link in lab.links[:links])
        server_at, client_at = (away, here) if ends.server == "kernel" else (here, away)
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(
            _listening(lab, ends.server, server_at, mode=ends.server_mode, **(listen_with or {}))
        )
        if ends.client_mode is Mode.ONE_TO_MANY:
            calling = await stack.enter_async_context(
                _listening(lab, ends.client, client_at, mode=Mode.ONE_TO_MANY, **(connect_with or {}))
            )
            client = await calling.connect(listener.local_addresses)
        else:
            client = await call(
                lab, ends.client, listener.local_addresses, f"{client_at}:0", **(connect_with or {})
            )
        stack.push_async_callback(client.abort)
        server = await listener.accept()
        stack.push_async_callback(server.abort)
        yield Pair(client, server, listener)
    await until(lambda: left(lab) == [])


@asynccontextmanager
async def _listening(lab: Lab | None, stack: str, at: str, **listen_with: Any) -> AsyncIterator[Listener]:
    if lab is not None and stack == "kernel":
        listener = lab.listen(at, stack=stack, **listen_with)
    else:
        listener = at_once(listen(f"{at}:0", stack=stack, **listen_with))
    async with listener:
        yield listener


async def call(lab: Lab | None, stack: str, remote: Address, local: str, **connect_with: Any) -> Conn:
    """Connect from where the stack is."""
    opening = connect(remote, local=local, stack=stack, **connect_with)
    return await (there(lab, opening) if lab is not None and stack == "kernel" else opening)


def outage(lab: Lab, stack: str, *, over: bool = False) -> None:
    """Lose what a stack sends over the first link, and nothing of the other one; or end that."""
    here = stack == "usrsctp"
    lab.netem("loss 0%" if over else "loss 100%", lab.links[0], here=here, there=not here)
