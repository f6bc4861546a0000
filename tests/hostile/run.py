"""A million hostile packets at usrsctp's port, beside an association that must not notice (`make hostile`).

    run.py [--packets 1000000] [--seed N] [--record docs/hostile.md]

A seed that is not given is chosen. What fails says which one it was, and where the last packets are.
"""

import argparse
import asyncio
import faulthandler
import os
import random
import sys
import time
from pathlib import Path

# Chosen before the first import that looks at it.
os.environ["SCTPIO_STACK"] = "usrsctp"

import pytest

from hostile.recording import recorded
from hostile.storm import Report, Storm
from sctpio import EndOfAssociation
from support import start_stack

BEGIN, END = "<!-- begin hostile -->", "<!-- end hostile -->"
MIB = 1 << 20


async def storm(packets: int, seed: int) -> Report:
    """Throw the packets, and end the association as both ends want."""
    told = 0.0

    def tell(report: Report) -> None:
        nonlocal told
        if time.monotonic() > told + 10:
            told = time.monotonic()
            print(f"{report.packets:>9} packets, {report.memory[-1] / MIB:.1f} MiB", flush=True)

    async with recorded() as (pair, recording, relays):
        report = await Storm(pair, recording, relays, seed).run(packets, tell)
        await pair.client.close()
        with pytest.raises(EndOfAssociation):
            await pair.server.receive()
    report.check()
    return report


def table(report: Report) -> str:
    """Write a report as a table."""
    early = len(report.memory) // 5
    rows = [
        ("seed", str(report.seed)),
        ("packets", f"{report.packets}, in {report.seconds:.0f} s"),
        ("of these", ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))),
        ("that found the port full", str(report.dropped)),
        ("strangers' handshakes, accepted", f"{report.handshakes}, {report.strangers}"),
        ("messages beside them", f"{report.messages}; lost, doubled, reordered, altered: 0"),
        ("wake-ups of the association's sockets", str(report.wakeups)),
        (
            "RSS: before, after a fifth, at most, at the end",
            ", ".join(
                f"{size / MIB:.1f}"
                for size in (report.memory[0], report.memory[early], max(report.memory), report.memory[-1])
            )
            + " MiB",
        ),
    ]
    return "| | |\n| --- | --- |\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)


def record(page: Path, begin: str, end: str, text: str) -> None:
    """Put a text between two marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument(
        "--record", type=Path, metavar="PAGE", help="write the table into a page of the manual"
    )
    given = parser.parse_args()
    if given.packets < 1 or given.seed < 0:
        parser.error("--packets takes a number from 1, --seed one from 0")
    faulthandler.enable()
    start_stack()
    print(f"hostile: {given.packets} packets of the seed {given.seed}", flush=True)
    report = asyncio.run(storm(given.packets, given.seed))
    print(table(report))
    if given.record:
        record(given.record, BEGIN, END, table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
