"""docs/endurance.md: what `make soak RECORD=1` measured each minute, as tables and plots."""

import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "endurance.md"

STACKS = {"kernel": "the kernel", "usrsctp": "usrsctp"}

HEAD = """---
orphan: true
---

# Endurance

`make soak` (`STACK=kernel` for the kernel) lets tasks send, receive, flush, cancel, peel off, close and abort
by chance, on loops of all kinds in one process, and keeps an account of every message: what was taken for
sending and not aborted arrives once, in order. A storm of signals goes before it. It fails at the first
message that is lost, doubled or out of order, at the first exception that reaches a loop, and at the first
descriptor that is left over. `RECORD=1` makes this page.
"""

SECTION = """
## On {stack}

Linux {kernel}, {minutes} minutes, loops: {loops}.

| | at the beginning | at the end | most |
| --- | --: | --: | --: |
| episodes | 0 | {episodes} | |
{rows}
| messages lost, doubled or out of order | 0 | 0 | |

{storms}

![Memory, objects and descriptors by the minute](images/{image})
"""

MEASURES = (
    ("resident", "memory in use, MB", 1e6, ".1f"),
    ("objects", "Python objects", 1, ".0f"),
    ("descriptors", "descriptors", 1, ".0f"),
)


def section(stack: str, record: dict[str, Any]) -> str:
    """Return the part of the page on one stack, and draw its plot."""
    samples = record["samples"]
    canvas = Figure(figsize=(8, 4.5), layout="constrained")
    rows = []
    for axes, (key, label, unit, form) in zip(canvas.subplots(3, sharex=True), MEASURES, strict=True):
        values = [each[key] / unit for each in samples]
        cells = (values[0], values[-1], max(values))
        rows.append(f"| {label} | " + " | ".join(format(cell, form) for cell in cells) + " |")
        axes.plot([each["seconds"] / 60 for each in samples], values)
        axes.set_ylim(0, max(values) * 1.2)
        axes.set_ylabel(label.replace(", ", ",\n"))
    axes.set_xlabel("minutes")
    image = f"endurance-{stack}.svg"
    canvas.savefig(IMAGES / image, metadata={"Date": None})
    return SECTION.format(
        stack=STACKS[stack],
        kernel=record["kernel"],
        minutes=round(samples[-1]["seconds"] / 60),
        loops=", ".join(record["loops"]),
        episodes=samples[-1]["episodes"],
        rows="\n".join(rows),
        storms="\n".join(f"- {line}" for line in record["storms"]),
        image=image,
    )


def main() -> None:
    """Write the page."""
    # The same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "sctpio", "svg.fonttype": "none", "font.size": 9})
    found = {stack: ROOT / "benchmarks" / "results" / f"endurance-{stack}.json" for stack in STACKS}
    parts = [section(stack, json.loads(file.read_text())) for stack, file in found.items() if file.exists()]
    PAGE.write_text(HEAD + "".join(parts))
    print(f"endurance: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
