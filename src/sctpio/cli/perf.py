"""`sctpio perf`: throughput or round trips between two hosts, in the manner of iperf3.

The server (`--server`) does what clients ask for, one test an association; `perf_flow` has the protocol.
The client (`--client`) shows intervals as it runs and sums up; with `--json` it writes one object, in the
shape of iperf3's: start, intervals, end. In it, a "stream" is an association, and those of SCTP are
"sctp_streams".
"""

import argparse
import asyncio
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

from ..conn import Conn
from ..connecting import connect
from ..errors import AssociationEnded
from ..listener import Listener, Mode, listen
from ..options import InitMsg
from .arguments import add_options, address, count, given_options, seconds, size
from .exits import CommandError, Exit, exit_of, refused_is_usage, text_of
from .output import Output
from .perf_flow import LAST, LONGEST, Counts, Plan, Usage, accept_plan, request, run_client, run_server
from .perf_report import Report, rate, start_of
from .perf_watch import Watch, timeouts

EXAMPLES = """
examples:
  sctpio perf --server :5201                           serve until Ctrl-C
  sctpio perf --client 10.0.0.1:5201                   send for 10 seconds
  sctpio perf -c 10.50.1.1/10.50.2.1:5201 -t 30 -P 4   four associations, two paths each
  sctpio perf -c 10.0.0.1:5201 -R -l 64k --nstreams 8  the server sends, over 8 streams
  sctpio perf -c 10.0.0.1:5201 --round-trips -l 100    requests and responses of 100 bytes
  sctpio perf -c 10.0.0.1:5201 -n 100M --json | jq .end.sum_received.bits_per_second
"""

SERVER_STREAMS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("-s", "--server", type=address, metavar="ADDRESS", help="serve tests on this address")
    side.add_argument("-c", "--client", type=address, metavar="ADDRESS", help="test with the server there")
    parser.add_argument("-1", "--one-off", action="store_true", help="serve one association, and end")
    parser.add_argument(
        "--one-to-many", action="store_true", help="one socket for all associations of this end"
    )
    parser.add_argument("--local", type=address, metavar="ADDRESS", help="the client's addresses and port")
    parser.add_argument(
        "--wait", type=seconds, default=10.0, metavar="SECONDS", help="for the associations (default: 10)"
    )
    test = parser.add_argument_group("what the client asks for")
    test.add_argument("-l", "--length", type=size, default=8192, help="of each message, bytes (default: 8k)")
    much = test.add_mutually_exclusive_group()
    much.add_argument(
        "-t", "--time", type=seconds, default=10.0, metavar="SECONDS", help="for so long (default: 10)"
    )
    much.add_argument("-n", "--bytes", type=size, help="so many bytes, each association")
    much.add_argument(
        "-k", "--count", type=count(1, 1 << 40), metavar="N", help="so many messages, each association"
    )
    test.add_argument(
        "-i", "--interval", type=seconds, default=1.0, metavar="SECONDS", help="of what is shown (1)"
    )
    test.add_argument(
        "-P", "--parallel", type=count(1, 1000), default=1, metavar="N", help="so many associations"
    )
    test.add_argument("-R", "--reverse", action="store_true", help="the server sends")
    test.add_argument(
        "--nstreams", type=count(1, 65535), default=1, metavar="N", help="over so many streams in turn"
    )
    test.add_argument("--unordered", action="store_true", help="outside the order of the streams")
    test.add_argument("--round-trips", action="store_true", help="requests and responses, one at a time")
    add_options(parser)


async def run(arguments: argparse.Namespace, output: Output) -> Exit:
    """Serve, or test."""
    if arguments.server is not None:
        return await serve(arguments, output)
    if arguments.round_trips and arguments.reverse:
        raise CommandError(Exit.USAGE, "--round-trips goes both ways: --reverse adds nothing to it")
    if arguments.length > LONGEST or arguments.time > LAST:
        raise CommandError(Exit.USAGE, f"accepted: --length up to {LONGEST} bytes, --time up to {LAST:g} s")
    async with AsyncExitStack() as stack:
        conns = await _open(arguments, stack)
        try:
            return await _test(conns, arguments, output)
        except BaseExceptionGroup as several:
            # One reason is enough.
            raise several.exceptions[0] from None


# The server


async def serve(arguments: argparse.Namespace, output: Output) -> Exit:
    """Do what clients ask for, until it is interrupted."""
    mode = Mode.ONE_TO_MANY if arguments.one_to_many else Mode.ONE_TO_ONE
    options, init = given_options(arguments)
    init = init or InitMsg(outbound_streams=SERVER_STREAMS)
    with refused_is_usage():
        listener = await listen(
            arguments.server, mode=mode, options=options, init=init, stack=arguments.stack
        )
    async with listener:
        if output.json:
            output.record({"type": "listening", "address": listener.local_addresses})
        else:
            output.note(f"listening on {listener.local_addresses}, for `sctpio perf --client`")
        try:
            if arguments.one_off:
                async with await listener.accept() as conn:
                    return await _serve_one(conn, output)
            await listener.serve(lambda conn: _serve_many(conn, output))
        except asyncio.CancelledError:
            await listener.shutdown(timeout=1)
    return Exit.DONE


async def _serve_many(conn: Conn, output: Output) -> None:
    try:
        await _serve_one(conn, output)
    except CommandError as error:
        output.note(f"{conn.peer_addresses}: {error}")
    except (AssociationEnded, OSError) as error:
        output.note(f"{conn.peer_addresses}: {text_of(error)}")


async def _serve_one(conn: Conn, output: Output) -> Exit:
    counts = Counts()
    plan = await accept_plan(conn)
    await run_server(conn, plan, counts)
    if output.json:
        output.record({"type": "test", "peer": conn.peer_addresses, **counts.plain()})
    else:
        did = "sent" if plan.reverse else "answered" if plan.round_trips else "received"
        output.say(f"{conn.peer_addresses}: {did} {rate(counts.bytes, counts.messages, counts.seconds)}")
    # The client ends it when it has the report.
    with suppress(AssociationEnded, TimeoutError):
        async with asyncio.timeout(10):
            async for _ in conn:
                pass
    return Exit.DONE


# The client


async def _open(arguments: argparse.Namespace, stack: AsyncExitStack) -> list[Conn]:
    """Set up the associations: each on a socket of its own, or all on one."""
    options, init = given_options(arguments)
    if init is None or init.outbound_streams is None:
        given = {} if init is None else {name: getattr(init, name) for name in InitMsg.__match_args__}
        init = InitMsg(**{**given, "outbound_streams": max(arguments.nstreams, 10)})
    how: dict[str, Any] = {"options": options, "init": init, "stack": arguments.stack}
    try:
        with refused_is_usage():
            if arguments.one_to_many:
                return await _open_on_one_socket(arguments, stack, how)
            return [
                await stack.enter_async_context(
                    connect(arguments.client, local=arguments.local, timeout=arguments.wait, **how)
                )
                for _ in range(arguments.parallel)
            ]
    except OSError as error:
        raise CommandError(exit_of(error), f"{arguments.client}: {text_of(error)}") from None


async def _open_on_one_socket(
    arguments: argparse.Namespace, stack: AsyncExitStack, how: dict[str, Any]
) -> list[Conn]:
    if arguments.parallel > 1:
        text = "--one-to-many with --parallel: a socket has one association with each peer"
        raise CommandError(Exit.USAGE, text)
    opening = listen(arguments.local or ":0", mode=Mode.ONE_TO_MANY, **how)
    listener: Listener = await stack.enter_async_context(opening)
    conn = await listener.connect(arguments.client, timeout=arguments.wait)
    return [await stack.enter_async_context(conn)]


async def _test(conns: list[Conn], arguments: argparse.Namespace, output: Output) -> Exit:
    messages = arguments.count or (-(-arguments.bytes // arguments.length) if arguments.bytes else 0)
    plan = Plan(
        arguments.length,
        LAST if messages else arguments.time,
        messages,
        arguments.nstreams,
        arguments.reverse,
        arguments.round_trips,
        arguments.unordered,
    )
    for conn in conns:
        await request(conn, plan)
    report = Report(start_of(conns, plan, arguments), plan, output)
    counts = [Counts() for _ in conns]
    watches = [Watch(conn, plan.length) for conn in conns]
    before, usage = timeouts(), Usage()
    try:
        async with asyncio.TaskGroup() as group:
            sides = [group.create_task(watch.run()) for watch in watches]
            sides.append(group.create_task(_show_intervals(counts, report, arguments.interval)))
            flows = [
                group.create_task(run_client(conn, plan, own))
                for conn, own in zip(conns, counts, strict=True)
            ]
            results = [await flow for flow in flows]
            report.last_interval(counts, arguments.interval)
            for task in sides:
                task.cancel()
    except asyncio.CancelledError:
        report.break_off(counts)
        raise
    for watch in watches:
        with suppress(AssociationEnded):
            watch.look()
    after = timeouts() if conns[0].stack == "kernel" else None
    lost = None if before is None or after is None else after - before
    report.sum_up(counts, results, watches, usage.percent(), lost)
    return Exit.DONE


async def _show_intervals(counts: list[Counts], report: Report, interval: float) -> None:
    began = time.monotonic()
    number = 0
    while True:
        number += 1
        await asyncio.sleep(max(began + number * interval - time.monotonic(), 0))
        report.interval(counts)
