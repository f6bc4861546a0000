"""Two hosts, two links between them: cut one while messages flow, and see how long the association pauses.

Needs root: the second host is a network namespace. Try it in the guest:
tests/guest/run .venv/bin/python examples/failover.py
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from sctpio import (
    Address,
    AssociationChange,
    Conn,
    DelayedSack,
    EndOfAssociation,
    ExposePotentiallyFailed,
    Option,
    PeerAddressChange,
    PeerAddressParameters,
    PeerAddressThresholds,
    RtoInfo,
    connect,
    listen,
)

HERE, THERE = "10.77.1.1/10.77.2.1:0", "10.77.1.2/10.77.2.2:5000"
STREAMS = 3
TUNED: tuple[Option, ...] = (
    # The peer acknowledges within 50 ms, so after 200 ms without an acknowledgement the path is in trouble.
    RtoInfo(initial=0.2, minimum=0.2, maximum=0.4),
    DelayedSack(delay=0.05),
    PeerAddressParameters(heartbeat_interval=0.2, path_max_retransmissions=2),
    PeerAddressThresholds(potentially_failed=0, change_primary=65535),
    ExposePotentiallyFailed(True),
)


def sh(*commands: str) -> None:
    for command in commands:
        subprocess.run(command.split(), check=True)


def wire(namespace: str) -> None:
    """Make the second host, and two links to it: a1-b1 and a2-b2."""
    sh(f"ip netns add {namespace}", f"ip -n {namespace} link set lo up")
    for n in (1, 2):
        sh(
            f"ip link add a{n} type veth peer name b{n} netns {namespace}",
            f"ip addr add 10.77.{n}.1/24 dev a{n}",
            f"ip -n {namespace} addr add 10.77.{n}.2/24 dev b{n}",
            f"ip link set a{n} up",
            f"ip -n {namespace} link set b{n} up",
        )


async def serve(options: Sequence[Option]) -> None:
    """Be the other host: send every number back, and check that each stream's come once and in order."""
    async with listen(THERE, options=options) as listener:
        print("listening", flush=True)
        async with await listener.accept() as conn:
            expected = [0] * STREAMS
            async for message in conn:
                number = int(message.data)
                if number != expected[message.stream]:
                    sys.exit(f"stream {message.stream}: {number} in place of {expected[message.stream]}")
                expected[message.stream] += 1
                # Its last messages are counted, although the client has left without their echoes.
                with contextlib.suppress(EndOfAssociation):
                    await conn.send(message.data, stream=message.stream)
    print(f"the server got {sum(expected)} messages: none lost, none twice, none out of order", flush=True)


async def print_events(conn: Conn) -> None:
    async for event in conn.events(PeerAddressChange, AssociationChange):
        match event:
            case PeerAddressChange(address, state):
                print(f"  path {address}: {state.name}")


async def send_numbers(conn: Conn, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        for sid in range(STREAMS):
            await conn.send(b"%d" % number, stream=sid)
        number += 1
        await asyncio.sleep(0.01)


async def echo_of_a_new_message(conn: Conn) -> float:
    """Wait for the echo of a message that is sent from now on; return how many seconds that took."""
    began = time.monotonic()
    sent = conn.statistics().messages_sent // STREAMS
    while int((await conn.receive()).data) <= sent:
        pass
    return time.monotonic() - began


async def path_is(conn: Conn, path: Address, state: str) -> None:
    while conn.path(path).state.name != state:
        await conn.receive()


async def talk(cut: Sequence[str], mend: Sequence[str], options: Sequence[Option]) -> None:
    async with asyncio.TaskGroup() as tasks, connect(THERE, local=HERE, options=options) as conn:
        tasks.create_task(print_events(conn))
        first = conn.primary_path
        stop = asyncio.Event()
        sender = tasks.create_task(send_numbers(conn, stop))
        usual = await echo_of_a_new_message(conn)
        sh(*cut)
        print(f"  {cut[-1]}")
        pause = await echo_of_a_new_message(conn)
        print(f"  switched over in {pause * 1000:.0f} ms (a usual round trip: {usual * 1000:.0f} ms)")
        sh(*mend)
        print(f"  {mend[-1]}")
        await path_is(conn, first, "ACTIVE")
        conn.set_primary(first)
        back = await echo_of_a_new_message(conn)
        print(f"  back on {conn.primary_path}: {back * 1000:.0f} ms")
        stop.set()
        await sender


async def run(namespace: str) -> None:
    ends = ((f"-n {namespace}", "b1"), ("", "a1"))
    cuts = {
        "the link goes down": (["ip link set a1 down"], ["ip link set a1 up"]),
        "the link loses everything": (
            [
                "tc qdisc add dev a1 root netem loss 100%",
                f"tc -n {namespace} qdisc add dev b1 root netem loss 100%",
            ],
            [f"tc {where} qdisc del dev {end} root" for where, end in ends],
        ),
    }
    for title, (cut, mend) in cuts.items():
        for name, options in (("default", ()), ("tuned", TUNED)):
            print(f"{title}, {name} parameters:", flush=True)
            command = ["ip", "netns", "exec", namespace, sys.executable, __file__, f"--serve={name}"]
            server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert server.stdout is not None
            await server.stdout.readline()
            await talk(cut, mend, options)
            print(f"  {(await server.stdout.read()).decode().strip()}", flush=True)
            if await server.wait():
                sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=("default", "tuned"), help="be the other host")
    role = parser.parse_args().serve
    if role is not None:
        asyncio.run(serve(TUNED if role == "tuned" else ()))
        return
    namespace = f"sctpio-failover-{os.getpid()}"
    try:
        wire(namespace)
        asyncio.run(run(namespace))
    finally:
        # This removes the links too.
        sh(f"ip netns del {namespace}")


if __name__ == "__main__":
    main()
