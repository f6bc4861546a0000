"""Tables and plots from the records: everything between the markers of docs/performance*.md.

    report.py [--check]

makes them anew from benchmarks/results/*.json, without measuring. The text around the markers is written by
hand. With --check it only says, by its status, whether the page is what the records give.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from cases import (
    ASSOCIATIONS,
    BASE,
    BURSTS,
    ECHO,
    IDLE,
    IDLE_PYTHON,
    IMPORT,
    PLACES,
    PYSCTP,
    SCTPIO,
    SCTPIO_BUNDLES,
    SETUP,
    SIZES,
    STREAMS,
    TCP,
    C,
    of_associations,
    of_burst,
    of_size,
    of_streams,
)
from figures import (
    Figure,
    Measure,
    Record,
    client_bytes,
    milliseconds,
    p50,
    p99,
    rate,
    receive_cpu,
    send_cpu,
    server_bytes,
    summarise,
)
from plots import IMAGES, SHOWN, plot
from targets import Records, targets

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "docs" / name for name in ("performance.md", "performance-tables.md")]
MARKERS = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)
MARK = "†"

Row = Sequence[str]
Column = tuple[Measure, bool]


def read(folder: Path) -> dict[str, Record]:
    """Read the records of a folder, in the places' order."""
    files = {name: folder / f"{name}.json" for name in PLACES}
    return {name: Record(json.loads(file.read_text())) for name, file in files.items() if file.exists()}


# --- words and cells


def number(value: float) -> str:
    """Give three digits of it, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2f}"


def span(figure: Figure | None, unit: str = "") -> str:
    if figure is None:
        return "failed"
    return f"{number(figure.median)}{unit} ({number(figure.low)} to {number(figure.high)})"


def times(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.median:.2f}"


def table(head: Row, rows: Iterable[Row]) -> str:
    """Make a table; the first column is text, the others numbers."""
    rule = [":--", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def marked(record: Record, case: str, contender: str) -> str:
    return MARK if record.disturbed(case, contender) else ""


# --- tables of a place


def compared(record: Record, case: str, columns: Iterable[Column]) -> list[Row]:
    """Make a row for each contender of a case; a column is a figure, or with `to_c` its ratio to C's."""
    return [row(record, case, name, columns) for name in record.contenders(case)]


def row(record: Record, case: str, name: str, columns: Iterable[Column], label: str = "") -> Row:
    """Make a contender's row of a case."""
    cells = [
        times(record.ratio(case, name, measure)) if to_c else span(record.figure(case, name, measure))
        for measure, to_c in columns
    ]
    return [label + name + marked(record, case, name), *cells]


FLOOD: Sequence[Column] = (
    (rate, False),
    (receive_cpu, False),
    (receive_cpu, True),
    (send_cpu, False),
    (send_cpu, True),
)
FLOOD_HEAD = ("messages/s", "receive CPU, µs", "to C", "send CPU, µs", "to C")


def other_ends(record: Record, cases: Iterable[str]) -> str:
    """Say who is at the other end of those that are measured."""
    met = {record.other_end(case) for case in cases}
    if met == {C}:
        return (
            "C sends what is received here, and receives what is sent; messages/s is with the contender"
            " itself at both ends, as is all of TCP.\n\n"
        )
    return "Each contender sends to itself.\n\n"


def base(record: Record) -> str:
    """Compare everyone at one-way messages of 64 bytes."""
    head = ["64 bytes, one way", *FLOOD_HEAD]
    return other_ends(record, [BASE]) + table(head, compared(record, BASE, FLOOD))


def bursts(record: Record) -> str:
    """Compare receivers where C sends so many messages before they run."""
    known = {burst: case for burst in BURSTS if (case := of_burst(burst)) in record.cases}
    names = {name: None for case in known.values() for name in record.contenders(case)}
    rows = []
    for name in names:
        cells = []
        for case in known.values():
            figure = record.figure(case, name, receive_cpu)
            cells.append("failed" if figure is None else number(figure.median))
            cells.append(times(record.ratio(case, name, receive_cpu)))
        rows.append([name, *cells])
    head = ["messages that C sends at a time, 64 bytes"]
    for burst in known:
        head += [f"{burst}: receive CPU, µs", "to C"]
    return table(head, rows)


def echo(record: Record) -> str:
    """Compare everyone at request and response."""
    columns = ((rate, False), (p50, False), (p50, True), (p99, False), (receive_cpu, False))
    head = ["64 bytes, there and back", "trips/s", "p50, µs", "to C", "p99, µs", "server's CPU, µs"]
    return table(head, compared(record, ECHO, columns))


def varied(record: Record, title: str, points: Sequence[tuple[str, str]]) -> str:
    """Compare some at what varies: each point's label, and the case."""
    known = [(label, case) for label, case in points if case in record.cases]
    names = {name: None for _, case in known for name in record.contenders(case)}
    rows = []
    for label, case in known:
        for name in names:
            if not record.runs(case, name) or (case == BASE and name not in SHOWN):
                continue
            rows.append(row(record, case, name, FLOOD, f"{label}: "))
    others = [case for _, case in known if case != BASE]
    return other_ends(record, others) + table([title, *FLOOD_HEAD], rows)


SIZE_POINTS = [(f"{size} bytes", of_size(size)) for size in SIZES]
STREAM_POINTS = [(f"{streams}", of_streams(streams)) for streams in STREAMS]
ASSOCIATION_POINTS = [
    (f"{associations}, one-to-{mode}", of_associations(associations, mode))
    for mode in ("one", "many")
    for associations in ASSOCIATIONS
]


def setup(record: Record) -> str:
    """Compare associations set up and shut down, one after the other."""
    columns = ((rate, False), (rate, True), (receive_cpu, False), (send_cpu, False))
    head = ["set up and shut down", "associations/s", "to C", "server's CPU, µs", "client's CPU, µs"]
    return table(head, compared(record, SETUP, columns))


def idle(record: Record) -> str:
    """Compare the memory of idle associations."""
    rows = [
        [
            f"{name}, {what}",
            span(record.figure(case, name, client_bytes)),
            span(record.figure(case, name, server_bytes)),
        ]
        for case, what in ((IDLE_PYTHON, "Python's (tracemalloc)"), (IDLE, "resident"))
        for name in record.contenders(case)
    ]
    return table(["bytes of an idle association", "that connected", "that was accepted"], rows)


def imports(record: Record) -> str:
    """Compare the start of interpreters."""
    rows = [
        [f"`{name}`", span(record.figure(IMPORT, name, milliseconds))] for name in record.contenders(IMPORT)
    ]
    return table(["start of an interpreter", "CPU, ms"], rows)


def troubles(record: Record) -> str:
    """Tell of runs that failed, and of retransmits and discards."""
    lines = []
    for case, contender, reasons in record.failures():
        last = reasons[0].strip().splitlines()[-1] if reasons[0].strip() else "?"
        lines.append(
            f"- {case}, {contender}: {len(reasons)} of {record.data['rounds']} runs failed: `{last[:200]}`"
        )
    for case in record.cases:
        for contender in record.contenders(case):
            if grown := record.disturbed(case, contender):
                counts = ", ".join(f"{name} {number}" for name, number in grown.items())
                lines.append(f"- {MARK} {case}, {contender}: {counts}")
    head = f"Runs that failed, and ({MARK}) counters that grew in all rounds of a case together:\n\n"
    return head + "\n".join(lines) + "\n" if lines else "No run failed, no retransmits and no discards.\n"


def about(records: Records) -> str:
    """Tell where and when it was measured, and how steady that was."""
    rows = []
    for record in records.values():
        data, spins = record.data, summarise(record.spins())
        assert spins is not None
        host = data.get("host", {})
        rows.append(
            [
                data["title"],
                data["kernel"],
                str(data["cpus"]),
                data.get("date", "?"),
                host.get("commit", "?"),
                f"{data['rounds']}",
                f"{data.get('seconds', 0):.0f} s",
                span(Figure(spins.median * 1000, spins.low * 1000, spins.high * 1000), " ms"),
                str(host.get("load", "?")),
            ]
        )
    hosts = {
        (record.data["host"]["cpu"], record.data["host"]["cpus"], record.data["host"]["kernel"])
        for record in records.values()
        if "host" in record.data
    }
    versions = {
        " ".join(f"{name} {version}" for name, version in record.data["versions"].items())
        for record in records.values()
    }
    head = ["place", "kernel", "CPUs", "date", "commit", "rounds", "took", "noise", "load before"]
    lines = [f"Machine: {cpu}, {cpus} CPUs, Linux {kernel}." for cpu, cpus, kernel in sorted(hosts)]
    lines += [f"Versions: {text}." for text in sorted(versions)]
    lines.append(
        "Noise: a piece of work that is always the same, timed before each round: median (lowest to highest)."
    )
    return table(head, rows) + "\n" + "\n".join(lines) + "\n"


def headlines(records: Records) -> str:
    """Give six numbers."""
    guest = records.get("6.12")
    if guest is None:
        return "Not measured yet.\n"
    c_send = guest.figure(BASE, C, send_cpu)
    in_c = "" if c_send is None else f" ({number(c_send.median)} µs)"
    ratios: list[tuple[str, Figure | None]] = [
        ("a message that `async for` receives, to C", guest.ratio(BASE, SCTPIO, receive_cpu)),
        (f"a message that `send` sends, to C{in_c}", guest.ratio(BASE, SCTPIO, send_cpu)),
        ("a message of `send_many`, to C's `sendmsg`", guest.ratio(BASE, SCTPIO_BUNDLES, send_cpu)),
        ("receiving, to pysctp", guest.ratio(BASE, SCTPIO, receive_cpu, PYSCTP)),
        ("request and response, to TCP on asyncio streams", guest.ratio(ECHO, SCTPIO, p50, TCP)),
    ]
    rows = [[what, times(found) or "not measured yet"] for what, found in ratios]
    memory = guest.figure(IDLE_PYTHON, SCTPIO, server_bytes)
    if memory is not None:
        rows.append(["an idle association in Python's memory", f"{memory.median / 1024:.1f} KiB"])
    return table(["64 bytes; CPU time, or the median round trip", ""], rows)


def missed(records: Records) -> str:
    """List the targets that are missed."""
    lines = [
        f"- {target.what}: {span(found, target.unit)} instead of {target.limit:g}{target.unit}"
        for target in targets()
        if (found := target.find(records)) is not None and found.median > target.limit
    ]
    return "\n".join(lines or ["None."]) + "\n"


def target_table(records: Records, whole: bool = True) -> str:
    """Tell which targets are met; where not `whole`, of those that were measured."""
    rows = []
    for target in targets():
        found = target.find(records)
        if found is None and not whole:
            continue
        verdict = "not measured" if found is None else "met" if found.median <= target.limit else "**missed**"
        measured = "" if found is None else span(found, target.unit)
        rows.append([target.what, f"{target.limit:g}{target.unit}", measured, verdict])
    return table(["target (in the 6.12 guest where it is a ratio)", "at most", "measured", ""], rows)


def place_tables(record: Record) -> Iterator[str]:
    """Make all tables of a place that it has figures for."""
    if BASE in record.cases:
        yield base(record)
    if any(of_burst(burst) in record.cases for burst in BURSTS):
        yield bursts(record)
    if ECHO in record.cases:
        yield echo(record)
    for title, points in (
        ("size", SIZE_POINTS),
        ("streams", STREAM_POINTS),
        ("associations", ASSOCIATION_POINTS),
    ):
        if any(case in record.cases for _, case in points if case != BASE):
            yield varied(record, title, points)
    simple: tuple[tuple[str, Callable[[Record], str]], ...] = (
        (SETUP, setup),
        (IDLE_PYTHON, idle),
        (IMPORT, imports),
    )
    for case, make in simple:
        if case in record.cases:
            yield make(record)
    yield troubles(record)


def tables(records: Records) -> str:
    """Make all tables, for a terminal."""
    parts = [about(records), target_table(records, whole=False)]
    for record in records.values():
        parts += [f"== {record.data['title']}", *place_tables(record)]
    return "\n".join(parts)


# --- the page


def sections(records: Records, images: dict[str, list[str]]) -> dict[str, str]:
    """Make what goes between each pair of markers."""
    if not records:
        return {}
    found = {
        "machine": about(records),
        "headlines": headlines(records),
        "missed": missed(records),
        "targets": target_table(records),
    }
    where = RESULTS / "where.json"
    if where.exists():
        pieces = json.loads(where.read_text())["pieces"]
        rows = [[what, number(nanoseconds / 1000)] for what, nanoseconds in pieces.items()]
        found["where"] = table(["piece", "µs of CPU"], rows)
    for place, record in records.items():
        pictures = [f"![CPU time of a message]({IMAGES.name}/{file})\n" for file in images.get(place, [])]
        found[place] = "\n".join([*pictures, *place_tables(record)])
    return found


def write(records: Records) -> None:
    """Bring the pages up to date."""
    parts = sections(records, plot(records))

    def fill(match: re.Match[str]) -> str:
        body = parts.get(match[2], "Not measured yet.\n")
        return f"{match[1]}\n{body}\n{match[3]}"

    for page in PAGES:
        page.write_text(MARKERS.sub(fill, page.read_text()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    before = [page.read_text() for page in PAGES]
    write(read(RESULTS))
    if options.check and [page.read_text() for page in PAGES] != before:
        for page, text in zip(PAGES, before, strict=True):
            page.write_text(text)
        print("docs/performance*.md are not what benchmarks/results/ give")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
