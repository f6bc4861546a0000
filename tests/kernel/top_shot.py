"""Make docs/images/top.svg: `sctpio top` beside a multi-homed association one path of which is down.

`PYTHONPATH=tests tests/guest/run .venv/bin/python tests/kernel/top_shot.py docs/images/top.svg`; it prints
the plain table, too.
"""

import asyncio
import io
import sys
import time

from rich.console import Console

from kernel.lab import FAST, TICK, joined, two_links
from kernel.peers import peers
from sctpio import Option, PathState, PeerAddressParameters, diagnostics
from sctpio.cli.top import painted, table
from sctpio.cli.top_view import cells, look_of, sort_rows
from support import until


async def main(path: str) -> None:
    options: tuple[Option, ...] = (
        FAST,
        PeerAddressParameters(path_max_retransmissions=1, heartbeat_interval=TICK),
    )
    given = {"options": options}
    with two_links() as lab, peers(1):
        async with joined(lab, links=2, listen_with=given, connect_with=given) as pair:
            for _ in range(20):
                await pair.client.send(bytes(1000))
                await pair.server.receive()
            lab.cut(lab.links[1])
            await until(lambda: PathState.INACTIVE in {path.state for path in pair.client.paths()})
            first = look_of(diagnostics.associations(), time.monotonic(), None, [])
            for _ in range(50):
                await pair.client.send(bytes(1000))
                await pair.server.receive()
            await asyncio.sleep(1)
            look = look_of(diagnostics.associations(), time.monotonic(), first, [])
    console = Console(record=True, width=190, file=io.StringIO(), force_terminal=True)
    console.print(painted(look, "local"))
    console.save_svg(path, title="sctpio top")
    print("\n".join(table([cells(row) for row in sort_rows(look.rows, "local")])))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
