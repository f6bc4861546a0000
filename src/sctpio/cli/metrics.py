"""`sctpio metrics`: the associations of this host's kernel, for Prometheus."""

import argparse
import asyncio
from typing import TYPE_CHECKING

from .. import diagnostics
from .arguments import count
from .exits import CommandError, Exit, text_of
from .output import Output

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

EXAMPLES = """
examples:
  sctpio metrics --port 9899                    serve them on http://127.0.0.1:9899/metrics
  sctpio metrics --port 9899 --address 0.0.0.0  to other hosts, too
  sctpio metrics --once > sctp.prom             for the textfile collector of node_exporter
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument("--port", type=count(0, 65535), help="serve HTTP on this TCP port; 0: on a free one")
    parser.add_argument("--address", default="127.0.0.1", help="serve on this address (default: 127.0.0.1)")
    parser.add_argument("--once", action="store_true", help="write them to standard output, and end")
    parser.add_argument(
        "--per-association", action="store_true", help="series for each association: for a host with few"
    )


async def run(arguments: argparse.Namespace, output: Output) -> Exit:
    """Serve until it is interrupted, or write once."""
    if arguments.once == (arguments.port is not None):
        raise CommandError(Exit.USAGE, "give either --port PORT or --once")
    if arguments.stack == "usrsctp":
        raise CommandError(
            Exit.USAGE,
            "metrics serves the kernel's associations; a process on usrsctp serves its own: sctpio.metrics",
        )
    try:
        from prometheus_client import CollectorRegistry, generate_latest

        from ..metrics import HostCollector
    except ModuleNotFoundError:
        raise CommandError(
            Exit.USAGE, "metrics needs prometheus_client: pip install 'sctpio[metrics]'"
        ) from None
    # Where there is no SCTP, say so now and not at each scrape.
    diagnostics.counters()
    registry = CollectorRegistry()
    registry.register(HostCollector(per_association=arguments.per_association))
    if arguments.once:
        await output.data(generate_latest(registry))
        return Exit.DONE
    await _serve(arguments, output, registry)
    return Exit.DONE


async def _serve(arguments: argparse.Namespace, output: Output, registry: "CollectorRegistry") -> None:
    from prometheus_client import start_http_server

    host = f"[{arguments.address}]" if ":" in arguments.address else arguments.address
    try:
        server, thread = start_http_server(arguments.port, arguments.address, registry)
    except OSError as error:
        text = f"cannot serve on {host}:{arguments.port}: {text_of(error)}"
        raise CommandError(Exit.USAGE, text) from None
    try:
        url = f"http://{host}:{server.server_port}/metrics"
        output.record({"url": url}) if arguments.json else output.say(f"serving {url}")
        await asyncio.Event().wait()
    finally:
        # Its loop looks for this every half second.
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()
