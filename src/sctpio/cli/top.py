"""`sctpio top`: the associations of this host's kernel, live, whichever program they belong to.

Each look is taken in a thread by `diagnostics`, and made into rows by `top_view`. On a terminal the rows are
redrawn in place by rich; `--plain`, a pipe and `--json` need nothing beyond this package.
"""

import argparse
import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .. import diagnostics
from ..diagnostics.values import HostAssociation
from ..options import PathState
from .arguments import count, seconds
from .exits import CommandError, Exit
from .output import Output
from .top_view import COLUMNS, SORTS, Filter, Look, Row, cells, look_of, sort_rows

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = """
examples:
  sctpio top                          all associations, redrawn every second
  sctpio top --once                   the same, once
  sctpio top :38412 10.0.0.1          those with this port or this address at either end
  sctpio top --sort retransmitted     those first that retransmit most
  sctpio top --json --count 2 | jq    two looks, an object each; the second one has rates
"""

NONE_HERE = (
    "no associations of the kernel here. Those of usrsctp live inside their process: it can serve them itself"
    " (sctpio.metrics)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "filters",
        nargs="*",
        type=_filter,
        metavar="ADDRESS",
        help="show those with this IP address, ':PORT' or both, at either end",
    )
    parser.add_argument("--once", action="store_true", help="take one look, and end; there are no rates then")
    parser.add_argument("--count", type=count(1, 1 << 31), metavar="N", help="take so many looks, and end")
    parser.add_argument(
        "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between two looks (default: 1)"
    )
    parser.add_argument("--sort", choices=sorted(SORTS), default="local", help="by what (default: local)")
    parser.add_argument("--plain", action="store_true", help="lines of text on a terminal too, without rich")


def _filter(text: str) -> Filter:
    try:
        return Filter.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def run(arguments: argparse.Namespace, output: Output) -> Exit:
    """Show looks until their count is reached."""
    if arguments.stack == "usrsctp":
        raise CommandError(Exit.USAGE, "top shows the kernel's associations; " + NONE_HERE.partition(". ")[2])
    looks = 1 if arguments.once else arguments.count
    if arguments.json or arguments.plain or not output.terminal:
        await _lines(arguments, output, looks)
    else:
        await _redrawn(arguments, looks)
    return Exit.DONE


class Looks:
    """Takes looks, `most` of them or for ever, an interval apart."""

    def __init__(self, arguments: argparse.Namespace, most: int | None) -> None:
        self._arguments = arguments
        self._left = most
        self._last: Look | None = None

    def __aiter__(self) -> "Looks":
        return self

    async def __anext__(self) -> Look:
        if self._left == 0:
            raise StopAsyncIteration
        if self._last is not None:
            await asyncio.sleep(self._arguments.interval)
        if self._left is not None:
            self._left -= 1
        found = await asyncio.to_thread(diagnostics.associations)
        self._last = look_of(found, time.monotonic(), self._last, self._arguments.filters)
        return self._last


# Plain text and JSON


async def _lines(arguments: argparse.Namespace, output: Output, most: int | None) -> None:
    first = True
    async for look in Looks(arguments, most):
        rows = sort_rows(look.rows, arguments.sort)
        if arguments.json:
            await output.put_record(record(rows))
            continue
        text = "" if first else "\n"
        await output.put(text + ("\n".join(table([cells(row) for row in rows])) if rows else NONE_HERE))
        first = False


def table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Give the lines of a table with its heading."""
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def record(rows: Iterable[Row]) -> dict[str, Any]:
    """Return a look for JSON: the fields of `HostAssociation` with the rates, and those that have ended."""
    rows = list(rows)
    return {
        "time": time.time(),
        "associations": [_fields(row) for row in rows if not row.ended],
        "ended": [_fields(row) for row in rows if row.ended],
    }


def _fields(row: Row) -> dict[str, Any]:
    one = row.association
    shown = {field.name: getattr(one, field.name) for field in fields(HostAssociation)}
    shown["paths"] = [
        {"host": str(path.host), "state": path.state, "primary": path.primary, "rto": path.rto}
        for path in one.paths
    ]
    shown["owners"] = [{"pid": owner.pid, "name": owner.name} for owner in one.owners]
    rates = ("sent_rate", "received_rate", "retransmitted_rate")
    return shown | {name: getattr(row, name) for name in rates}


# On a terminal


async def _redrawn(arguments: argparse.Namespace, most: int | None) -> None:
    try:
        from rich.console import Console
        from rich.live import Live
    except ModuleNotFoundError:
        raise CommandError(
            Exit.USAGE, "a table that is redrawn needs rich: pip install 'sctpio[cli]', or use --plain"
        ) from None
    console = Console()
    if most == 1:
        async for look in Looks(arguments, most):
            console.print(painted(look, arguments.sort))
        return
    # The screen is as it was when this ends, however it ends.
    with Live(console=console, screen=True, auto_refresh=False) as live:
        async for look in Looks(arguments, most):
            live.update(painted(look, arguments.sort), refresh=True)


NUMBERS = frozenset(COLUMNS[4:15])


def painted(look: Look, sort: str) -> "Table":
    """Return a look as a table of rich; what needs an eye has a colour."""
    from rich.table import Table
    from rich.text import Text

    rows = sort_rows(look.rows, sort)
    shown = Table(
        title=None if rows else NONE_HERE,
        caption=f"{len(look.alive)} associations, {time.strftime('%H:%M:%S')}; Ctrl-C ends",
        box=None,
        pad_edge=False,
    )
    for name in COLUMNS:
        shown.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    for row in rows:
        down = any(
            path.state in (PathState.INACTIVE, PathState.POTENTIALLY_FAILED) for path in row.association.paths
        )
        texts = [Text(cell) for cell in cells(row)]
        if down:
            texts[3].stylize("bold red")
        if row.retransmitted_rate:
            texts[12].stylize("yellow")
        shown.add_row(*texts, style="dim" if row.ended else "")
    return shown
