"""The plots of docs/performance.md, from the records."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from cases import (
    ASSOCIATIONS,
    BASE,
    C_BATCHES,
    C_BUNDLES,
    CONNS,
    PYSCTP,
    SCTPIO,
    SCTPIO_BATCHES,
    SCTPIO_BUNDLES,
    SIZES,
    C,
    of_associations,
    of_size,
)
from figures import Measure, Record, receive_cpu, send_cpu
from matplotlib.figure import Figure as Canvas

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
PREFIX = "performance-"
SHOWN = (C, C_BATCHES, C_BUNDLES, SCTPIO, SCTPIO_BATCHES, SCTPIO_BUNDLES, PYSCTP, CONNS)
SIDES: tuple[tuple[str, Measure], ...] = (("receive", receive_cpu), ("send", send_cpu))


def plot(records: Mapping[str, Record]) -> dict[str, list[str]]:
    """Draw all of them into docs/images; gives the files of each place."""
    # The same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "sctpio", "svg.fonttype": "none"})
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob(f"{PREFIX}*.svg"):
        old.unlink()
    return {place: _of_place(record) for place, record in records.items()}


def _of_place(record: Record) -> list[str]:
    files = []
    if BASE in record.cases:
        files.append(_bars(record))
    varied = [("size", "bytes of a message", [(size, of_size(size)) for size in SIZES])]
    for mode in ("one", "many"):
        points = [(number, of_associations(number, mode)) for number in ASSOCIATIONS]
        varied.append((f"associations-{mode}", f"associations, one-to-{mode}", points))
    for name, label, points in varied:
        if any(case in record.cases for _, case in points if case != BASE):
            files.append(_lines(record, name, label, points))
    return files


def _save(record: Record, name: str, canvas: Canvas) -> str:
    file = f"{PREFIX}{record.place}-{name}.svg"
    canvas.savefig(IMAGES / file, metadata={"Date": None})
    return file


def _bars(record: Record) -> str:
    """Draw CPU time per message of everyone, at 64 bytes."""
    names = [name for name in record.contenders(BASE) if record.figure(BASE, name, receive_cpu)]
    canvas = Canvas(figsize=(8, 0.5 * len(names) + 1.2), layout="constrained")
    axes = canvas.subplots()
    for offset, (label, measure) in zip((-0.2, 0.2), SIDES, strict=True):
        found = [figure for name in names if (figure := record.figure(BASE, name, measure))]
        errors = [[each.median - each.low for each in found], [each.high - each.median for each in found]]
        middles = [each.median for each in found]
        places = [position + offset for position in range(len(names))]
        axes.barh(places, middles, 0.38, xerr=errors, label=label, error_kw={"lw": 0.8})
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("CPU time of a message, µs: median, lowest to highest")
    axes.set_title(f"64 bytes, one way: {record.data['title']}")
    axes.legend()
    return _save(record, "base", canvas)


def _lines(record: Record, name: str, label: str, points: Sequence[tuple[int, str]]) -> str:
    """Draw CPU time per message, receiving and sending, over what varies."""
    canvas = Canvas(figsize=(9, 3.6), layout="constrained")
    for axes, (side, measure) in zip(canvas.subplots(1, 2, sharey=True), SIDES, strict=True):
        for contender in SHOWN:
            found = [
                (x, figure)
                for x, case in points
                if case in record.cases and (figure := record.figure(case, contender, measure))
            ]
            if len(found) > 1:
                middles = [each.median for _, each in found]
                below = [each.median - each.low for _, each in found]
                above = [each.high - each.median for _, each in found]
                style = {"capsize": 2, "marker": "o", "markersize": 3, "linewidth": 1}
                axes.errorbar([x for x, _ in found], middles, [below, above], label=contender, **style)
        axes.set(xscale="log", yscale="log", xlabel=label, title=side)
    canvas.axes[0].set_ylabel("CPU time of a message, µs")
    canvas.axes[0].legend(fontsize="small")
    canvas.suptitle(record.data["title"])
    return _save(record, name, canvas)
