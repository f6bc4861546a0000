"""KeepAlive(3.0): after how long a dead peer is known, and false alarms over a slow network with loss.

    python benchmarks/keep_alive.py           # 30 associations a case, in a guest; and record (5 minutes)
    python benchmarks/keep_alive.py --quick   # 5 a case, not recorded
    python benchmarks/keep_alive.py --report  # what was recorded: the table of the manual's page

What is measured is tests/kernel/test_keep_alive.py, which has the cases and how they are made.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from head_of_line import GUEST, quantile, write_block

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
RESULTS = HERE.parent / "results" / "keep_alive.json"
PAGE = ROOT / "docs" / "howto" / "production.md"

Cases = dict[str, dict[str, list[float]]]


def measure(count: int, seconds: float) -> Cases:
    """Run the tests in a guest, and return the times of all cases."""
    with tempfile.NamedTemporaryFile() as file:
        settings = {
            "SCTPIO_STACK": "kernel",
            "SCTPIO_KEEP_ALIVE": file.name,
            "SCTPIO_KEEP_ALIVE_COUNT": str(count),
            "SCTPIO_KEEP_ALIVE_SECONDS": str(seconds),
        }
        tests = [sys.executable, "-m", "pytest", "-q", "--everything", "tests/kernel/test_keep_alive.py"]
        command = [str(GUEST), "--timeout", "1700", *tests, "-o", f"timeout={seconds + 120}"]
        subprocess.run(command, cwd=ROOT, env=os.environ | settings, check=True)
        cases: Cases = defaultdict(lambda: defaultdict(list))
        for line in Path(file.name).read_text().splitlines():
            found = json.loads(line)
            name = found.pop("case")
            for stack, times in found.items():
                cases[name][stack] += times
    return cases


def table(cases: Cases) -> str:
    """Return the figures as a table of the manual."""
    rows = [
        "| association | stack that finds out | associations | shortest | median | longest |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, stacks in cases.items():
        for stack, times in stacks.items() if name != "healthy" else ():
            figures = " | ".join(f"{quantile(sorted(times), part):.2f} s" for part in (0, 0.5, 1))
            rows.append(f"| {name} | {stack} | {len(times)} | {figures} |")
    hours = sum(cases["healthy"]["seconds"]) / 3600
    note = f"False alarms in {hours:.1f} hours of associations, 50 ms of round trip, 1 % of loss: none."
    return "\n".join([*rows, "", note])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="5 associations a case, not recorded")
    parser.add_argument("--report", action="store_true", help="measure nothing: write the recorded figures")
    options = parser.parse_args()
    if not options.report:
        cases = measure(5, 5.0) if options.quick else measure(15, 100.0)
        if options.quick:
            print(table(cases))
            return
        RESULTS.write_text(json.dumps(cases, indent=1) + "\n")
    write_block(PAGE, "keep-alive", table(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
