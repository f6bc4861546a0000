"""The work that `guard.py` counts: run under callgrind, with guard_socketpair.c preloaded.

Prints a line `NAME OPERATIONS` for each dump of callgrind. What is not counted stands outside of `counted`.
"""

import asyncio
import gc
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

MESSAGES = 64
DATA = bytes(64)
# Without the accelerator only what it has a part in is counted, and called so.
PURE = os.environ["SCTPIO_FAST"] == "0"
# The interpreter adapts to the code that it has run a few times; after that all rounds are the same.
WARM_UP, ROUNDS = 12, 3


@contextmanager
def counted(name: str, operations: int) -> Iterator[None]:
    """Count what runs inside: callgrind forgets at the one call and dumps at the other (see `guard.py`)."""
    os.getpgrp()
    try:
        yield
    finally:
        os.getsid(0)
    print(name, operations)


# Another layout of the memory for each number (see LAYOUTS).
_shift = [bytes(size) for size in range(16, 256, 16) for _ in range(7 * int(sys.argv[1]))]

gc.disable()
with nullcontext() if PURE else counted("load sctpio", 1):
    import sctpio
    from sctpio import Conn, connect, listen

    _ = connect, listen

from sctpio import Event, Message, Option  # noqa: E402 -- what it takes to load is counted above
from sctpio._loop import pace  # noqa: E402
from sctpio.observer import Observed, Sent, State, observe  # noqa: E402
from sctpio.stacks.kernel.allowance import Allowance  # noqa: E402


def in_rounds(name: str, operations: int) -> Iterator[AbstractContextManager[None]]:
    """Give what each round's work is to run in: the first ones are not counted."""
    for round_ in range(WARM_UP + ROUNDS):
        yield nullcontext() if round_ < WARM_UP else counted(name, operations)


def python_itself() -> None:
    """What tells one build of Python from another."""
    layout = struct.Struct("=IHHI")

    def work() -> list[str]:
        found: dict[int, tuple[int, ...]] = {}
        for number in range(300):
            found[number % 50] = layout.unpack(layout.pack(number, number, 0, number))
        return [f"{name}: {len(values)}" for name, values in sorted(found.items())]

    for count in in_rounds("Python itself", 1):
        with count:
            work()


async def receive(conn: Conn, peer: socket.socket, count: AbstractContextManager[None]) -> None:
    for _ in range(MESSAGES):
        peer.send(DATA)
    with count:
        for _ in range(MESSAGES):
            await conn.receive()


async def receive_many(conn: Conn, peer: socket.socket, count: AbstractContextManager[None]) -> None:
    for _ in range(MESSAGES):
        peer.send(DATA)
    with count:
        left = MESSAGES
        while left:
            left -= len(await conn.receive_many())


async def send(conn: Conn, peer: socket.socket, count: AbstractContextManager[None]) -> None:
    with count:
        for _ in range(MESSAGES):
            await conn.send(DATA, stream=3, ppid=60)
    for _ in range(MESSAGES):
        peer.recv(100)


async def send_many(conn: Conn, peer: socket.socket, count: AbstractContextManager[None]) -> None:
    batch = [DATA] * MESSAGES
    with count:
        await conn.send_many(batch, stream=3, ppid=60)
    for _ in range(MESSAGES):
        peer.recv(100)


async def echo(conn: Conn, peer: socket.socket, count: AbstractContextManager[None]) -> None:
    """Each message is waited for: a round is the loop's and the peer's as well."""
    with count:
        for _ in range(MESSAGES):
            peer.send(DATA)
            message = await conn.receive()
            await conn.send(message.data, stream=message.stream, ppid=message.ppid)
            peer.recv(100)


class Nobody:
    """An observer that makes nothing of what it is told."""

    def message_sent(self, association: Observed, message: Sent) -> None: ...
    def message_received(self, association: Observed, message: Message) -> None: ...
    def event(self, association: Observed, event: Event) -> None: ...
    def state(self, association: Observed, state: State, end: Exception | None) -> None: ...
    def option(self, association: Observed, option: Option, *, was_set: bool) -> None: ...


async def traffic() -> None:
    """Messages through an association that is a socket pair."""
    # How long a turn of the loop takes is a matter of the machine, and must not decide the size of a batch.
    pace.LONG_TURN = float("inf")
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    conn = await Conn.from_fd(ours.detach(), stack="kernel")
    peer.send(DATA)
    message = await conn.receive()
    assert (message.data, message.stream, message.ppid) == (DATA, 3, 60), message
    for work in (receive, receive_many, send, send_many, echo):
        for count in in_rounds(f"{work.__name__} (pure)" if PURE else work.__name__, MESSAGES):
            await work(conn, peer, count)
    # As a socket has it that was made here: `from_fd` takes one as it is.
    allowance = Allowance(1 << 20, 1 << 10)
    conn._link.raw._allowances[conn.association_id] = allowance  # type: ignore[attr-defined]
    for work in (send, send_many):
        for count in in_rounds(f"{work.__name__}, window{' (pure)' if PURE else ''}", MESSAGES):
            allowance.left = 1 << 20
            await work(conn, peer, count)
    with observe(Nobody()):
        for work in (receive, send):
            for count in in_rounds(f"{work.__name__}, observed", MESSAGES):
                allowance.left = 1 << 20
                await work(conn, peer, count)
    # This peer cannot shut down: nothing is closed.
    sys.stdout.flush()
    os._exit(0)


def codec() -> None:
    """Events and options, without a socket."""
    from sctpio._abi.codec import Codec
    from sctpio._abi.linux import LINUX

    ours = Codec(LINUX)
    address = sctpio.Address("10.0.0.1", 5000)
    events = [
        ours.encode_event(event)
        for event in (
            sctpio.AssociationChange(
                sctpio.AssociationState.COMM_UP, sctpio.ErrorCause.NO_ERROR, 10, 10, 1, b""
            ),
            sctpio.PeerAddressChange(
                address, sctpio.AddressState.CONFIRMED, sctpio.PathError.HEARTBEAT_SUCCESS, 1
            ),
            sctpio.SendFailed(DATA, True, sctpio.ErrorCause.NO_ERROR, 3, 60, 7, False, 3, 1),
            sctpio.SenderDry(1),
            sctpio.ShutdownEvent(1),
            sctpio.StreamReset(sctpio.StreamResetFlags.INCOMING, (1, 2, 3), 1),
        )
    ]
    options = (
        sctpio.RtoInfo(0.5, 10.0, 0.1),
        sctpio.InitMsg(10, 10, 4, 1.0),
        sctpio.NoDelay(),
        sctpio.PeerAddressParameters(address, heartbeat_interval=5.0, path_max_retransmissions=3),
        sctpio.DelayedSack(0.1, 2),
    )
    results = [(type(option), ours.encode_result(option, 7)) for option in options]
    works: dict[str, Callable[[], object]] = {
        "decode 6 events": lambda: [ours.decode_event(event) for event in events],
        "encode 5 options": lambda: [ours.encode_option(option, 7) for option in options],
        "decode 5 options": lambda: [ours.decode_option(*result) for result in results],
    }
    for name, work in works.items():
        for count in in_rounds(name, 1):
            with count:
                work()


if __name__ == "__main__":
    if not PURE:
        python_itself()
        codec()
    asyncio.run(traffic())
