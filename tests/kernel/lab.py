"""A second network namespace, joined to this one by veth pairs whose faults the tests choose.

Both ends of an association live in the test's process: a socket belongs to the namespace in which it was
made, and what a listener accepts belongs to the listener's.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sctpio import AssocInfo, Conn, Listener, Option, PeerAddressParameters, RtoInfo, SendFailed, listen
from support import PATIENCE, Pair, Style, paired

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
NOWHERE = "02:00:00:00:00:fe"  # nobody's MAC address

# Timers that cost a test little; an emulated kernel is too slow for these.
TICK = 0.05 if PATIENCE == 1 else 0.1
# The minimum first: usrsctp wants minimum, initial and maximum in that order.
FAST = RtoInfo(minimum=TICK, initial=2 * TICK, maximum=3 * TICK)
# A peer that does not answer counts as lost after a second or two, and not after minutes.
IMPATIENT: tuple[Option, ...] = (
    FAST,
    AssocInfo(max_retransmissions=3),
    PeerAddressParameters(path_max_retransmissions=1, heartbeat_interval=TICK),
)

_numbers = itertools.count()


def run(*command: str, script: str = "") -> str:
    """Run a program of iproute2; its complaint is the error."""
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{script}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair: interfaces and addresses of its two ends."""

    here: str
    there: str
    local: str
    remote: str
    local_v6: str
    remote_v6: str
    local_scoped: str
    remote_scoped: str


class Lab:
    """The other namespace and the links to it."""

    def __init__(self, links: int) -> None:
        number = next(_numbers)
        self.namespace = f"lab{number}"
        self.links = tuple(
            Link(
                f"h{number}x{n}",
                f"t{number}x{n}",
                f"10.77.{n}.1",
                f"10.77.{n}.2",
                f"fd77:{n}::1",
                f"fd77:{n}::2",
                f"fe80::{n}:1",
                f"fe80::{n}:2",
            )
            for n in range(links)
        )

    def build(self) -> None:
        """Make it."""
        run("ip", "netns", "add", self.namespace)
        here, there = [], ["link set lo up"]
        for link in self.links:
            here.append(
                f"link add {link.here} type veth peer name {link.there} netns {self.namespace}\n"
                f"link set {link.here} addrgenmode none\n"
                f"link set {link.here} up\n"
                f"address add {link.local}/24 dev {link.here}\n"
                f"address add {link.local_v6}/64 dev {link.here} nodad\n"
                f"address add {link.local_scoped}/64 dev {link.here} nodad"
            )
            there.append(
                f"link set {link.there} addrgenmode none\n"
                f"link set {link.there} up\n"
                f"address add {link.remote}/24 dev {link.there}\n"
                f"address add {link.remote_v6}/64 dev {link.there} nodad\n"
                f"address add {link.remote_scoped}/64 dev {link.there} nodad"
            )
        run("ip", "-batch", "-", script="\n".join(here) + "\n")
        run("ip", "-n", self.namespace, "-batch", "-", script="\n".join(there) + "\n")

    def remove(self) -> None:
        """Take it away, links first: a namespace lives on while a socket is in it."""
        for link in self.links:
            subprocess.run(["ip", "link", "del", link.here], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True, check=False)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Be in the other namespace (this thread only); nothing in the block may wait."""
        libc = ctypes.CDLL(None, use_errno=True)
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            other = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if libc.setns(other, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(other)
            try:
                yield
            finally:
                if libc.setns(home, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(home)

    def listen(self, hosts: str, **listen_with: Any) -> Listener:
        """Listen in the other namespace, on a free port."""
        with self.inside():
            return at_once(listen(f"{hosts}:0", **{"mode": Style.mode, **listen_with}))

    def netem(self, rule: str, *links: Link, here: bool = True, there: bool = True) -> None:
        """Give links a fault, on what leaves their ends: `loss 100%`, `rate 2mbit`."""
        for link in links or self.links:
            if here:
                run("tc", "qdisc", "replace", "dev", link.here, "root", "netem", *rule.split())
            if there:
                tc = ("tc", "-n", self.namespace)
                run(*tc, "qdisc", "replace", "dev", link.there, "root", "netem", *rule.split())

    def cut(self, *links: Link) -> None:
        """Lose every packet, both ways."""
        self.netem("loss 100%", *links)

    def mend(self, *links: Link) -> None:
        """Take the faults away."""
        for link in links or self.links:
            run("tc", "qdisc", "del", "dev", link.here, "root")
            run("tc", "-n", self.namespace, "qdisc", "del", "dev", link.there, "root")

    def clean(self) -> None:
        """Take away whatever faults there are, links that are down aside."""
        # One process for all of it: those are slow in a guest.
        commands = [
            command
            for link in self.links
            for command in (
                f"tc qdisc del dev {link.here} root",
                f"tc -n {self.namespace} qdisc del dev {link.there} root",
                f"ip neigh del {link.remote} dev {link.here}",
            )
        ]
        subprocess.run("; ".join(commands), shell=True, capture_output=True, check=False)

    def unplug(self, link: Link) -> None:
        """Take the far end down, so that this end has no carrier."""
        run("ip", "-n", self.namespace, "link", "set", link.there, "down")

    def plug(self, link: Link) -> None:
        """Take the far end up again."""
        run("ip", "-n", self.namespace, "link", "set", link.there, "up")

    def misdirect(self, link: Link) -> None:
        """Let what is sent leave this end, where a capture sees it, and be taken by nobody."""
        neighbour = ("lladdr", NOWHERE, "nud", "permanent", "dev", link.here)
        run("ip", "neigh", "replace", link.remote, *neighbour)

    def redirect(self, link: Link) -> None:
        """End `misdirect`."""
        run("ip", "neigh", "del", link.remote, "dev", link.here)


def at_once(awaitable: Awaitable[T]) -> T:
    """Give the result of what does not have to wait."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError(f"{awaitable!r} had to wait")


@asynccontextmanager
async def joined(
    lab: Lab,
    *,
    links: int = 1,
    listen_with: dict[str, Any] | None = None,
    connect_with: dict[str, Any] | None = None,
) -> AsyncIterator[Pair]:
    """Connect a client here with a listener there, over one link or several."""
    used = lab.links[:links]
    listener = lab.listen("/".join(link.remote for link in used), **(listen_with or {}))
    local = "/".join(link.local for link in used) + ":0"
    async with listener, paired(listener, {"local": local, **(connect_with or {})}) as pair:
        yield pair


@contextlib.contextmanager
def two_links() -> Iterator[Lab]:
    """Make a namespace behind two links, and take it away."""
    made = Lab(2)
    try:
        made.build()
        yield made
    finally:
        made.remove()


async def data_of(conn: Conn) -> bytes:
    """Receive one message's data."""
    async with asyncio.timeout(30 * PATIENCE):
        return (await conn.receive()).data


async def failures(events: AsyncIterator[object], count: int) -> list[SendFailed]:
    """Wait for that many SendFailed events, and see that no other one follows."""
    found: list[SendFailed] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout((10 if len(found) < count else 0.3) * PATIENCE):
                event = await anext(events)
            assert isinstance(event, SendFailed)
            found.append(event)
    assert len(found) == count
    return found


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """An interface whose packets can be captured and arrive nowhere, and an address behind it."""

    interface: str
    address: str
    local: str


@contextlib.contextmanager
def dead_end() -> Iterator[DeadEnd]:
    """Make one (a dummy interface)."""
    name = f"dead{next(_numbers)}"
    run("ip", "-batch", "-", script=f"link add {name} type dummy\nlink set {name} up\n")
    try:
        run("ip", "address", "add", "10.78.0.1/24", "dev", name)
        yield DeadEnd(name, "10.78.0.2", "10.78.0.1")
    finally:
        run("ip", "link", "del", name)
