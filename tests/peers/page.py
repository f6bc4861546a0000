"""Make docs/peers.md of what the last run of the tiers left; `make test-peers` ends with it."""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers.programs import ROOT, not_had

PAGE = ROOT / "docs" / "peers.md"
RESULTS = ROOT / "build" / "tiers"
TIERS = {"peers": "Linux {release}", "peers-usrsctp": "usrsctp"}
COLUMNS = ("Program", "Version", "sctpio on", "Listens", "Checked", "Result")
PASSED = "passed"

ABOUT = """\
# Other programs

`make test-peers` runs sctpio with others' programs at the other end, and writes this page. It installs
and builds them: Debian's packages, and those of PyPI, crates.io and the Go module proxy.

Where sctpio is between a client and a server, it passes on each message with its stream, PPID and order, and
so is at an end with both. A row stands for several tests where sctpio has one-to-one and one-to-many sockets
in turn. `tests/peers` has what is sent, and how a program is asked what it saw.
"""
ABSENT = "Not to be had where this was made, and so not tried:"


@dataclass(frozen=True)
class Row:
    """What a program and sctpio did together."""

    program: str
    version: str
    stack: str
    listener: str
    checked: str


def read(report: Path, stack: str) -> dict[Row, list[bool]]:
    """Take the rows out of pytest's report, each with whether its tests passed."""
    rows: dict[Row, list[bool]] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        told = {each.get("name"): each.get("value") or "?" for each in case.iter("property")}
        row = Row(told["program"], told["version"], stack, told["listener"], told["checked"])
        good = not any(case.find(bad) is not None for bad in ("failure", "error", "skipped"))
        rows.setdefault(row, []).append(good)
    return rows


def table(rows: Mapping[Row, Sequence[bool]]) -> Iterable[str]:
    """Write the rows."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"| {' | '.join('---' for _ in COLUMNS)} |"
    for row, results in sorted(rows.items(), key=lambda item: (item[0].stack, item[0].program)):
        failed = results.count(False)
        number = f"{len(results)} test{'s' * (len(results) != 1)}"
        result = f"FAILED: {failed} of {number}" if failed else f"{PASSED}, {number}"
        cells = (row.program, row.version, row.stack, row.listener, row.checked, result)
        yield f"| {' | '.join(cells)} |"


def page(rows: Mapping[Row, Sequence[bool]], absent: Mapping[str, str]) -> str:
    """Write the page."""
    lines = [ABOUT, *table(rows), ""]
    if absent:
        lines += [ABSENT, "", *(f"- {name}: {why}" for name, why in absent.items()), ""]
    return "\n".join(lines)


def main() -> int:
    rows: dict[Row, list[bool]] = {}
    for tier, name in TIERS.items():
        report, release = RESULTS / f"{tier}.1.xml", RESULTS / f"{tier}.1.kernel"
        if not report.exists():
            print(f"peers: the tier {tier} left no report: {PAGE.relative_to(ROOT)} stays as it is")
            return 1
        rows |= read(report, name.format(release=release.read_text().strip()))
    absent = not_had()
    PAGE.write_text(page(rows, absent))
    tests = [good for results in rows.values() for good in results]
    programs = {row.program for row in rows}
    print(
        f"peers: {len(programs)} programs, {tests.count(True)} tests passed, {tests.count(False)} failed:",
        end="",
    )
    print(f" {PAGE.relative_to(ROOT)}")
    for name, why in absent.items():
        print(f"peers: NOT TO BE HAD, NOT TRIED: {name}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
