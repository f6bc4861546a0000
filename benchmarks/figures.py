"""What the recorded runs come to: medians, ranges, ratios to the yardstick of the same round."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cases import C

Run = Mapping[str, Any]
Measure = Callable[[Run], float]
MICRO = 1e6


@dataclass(frozen=True)
class Figure:
    """The median of some rounds, the lowest and the highest."""

    median: float
    low: float
    high: float


def receive_cpu(run: Run) -> float:
    """CPU time of the receiver for a message, in microseconds."""
    return float(run["server"]["cpu"] / run["server"]["messages"] * MICRO)


def send_cpu(run: Run) -> float:
    """The sender's."""
    return float(run["client"]["cpu"] / run["client"]["messages"] * MICRO)


def rate(run: Run) -> float:
    """Messages (or round trips, associations) a second."""
    return float(run["client"]["messages"] / run["client"]["seconds"])


def p50(run: Run) -> float:
    """The median round trip, in microseconds."""
    return float(run["client"]["p50"] * MICRO)


def p99(run: Run) -> float:
    """The round trip that one of a hundred exceeds, in microseconds."""
    return float(run["client"]["p99"] * MICRO)


def client_bytes(run: Run) -> float:
    """Memory of an association, in bytes, at the end that connected."""
    return float(run["client"]["bytes"] / run["client"]["associations"])


def server_bytes(run: Run) -> float:
    """The same at the end that accepted."""
    return float(run["server"]["bytes"] / run["server"]["associations"])


def milliseconds(run: Run) -> float:
    """CPU time of a process, in milliseconds."""
    return float(run["cpu"] * 1000)


class Record:
    """A place's record."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.place: str = data["place"]
        self.cases: dict[str, Mapping[str, Any]] = {case["case"]: case for case in data["cases"]}

    def contenders(self, case: str) -> list[str]:
        return list(self.cases[case]["runs"]) if case in self.cases else []

    def other_end(self, case: str) -> str:
        """Name who sends where a contender receives, and the other way round; "" is the contender itself."""
        return str(self.cases[case].get("other_end", ""))

    def runs(self, case: str, contender: str) -> list[Run]:
        if case not in self.cases:
            return []
        runs: list[Run] = self.cases[case]["runs"].get(contender, [])
        return runs

    def figure(self, case: str, contender: str, measure: Measure) -> Figure | None:
        """Give a contender's figure, None where no run was good."""
        return summarise([measure(run) for run in self.runs(case, contender) if "failed" not in run])

    def ratio(
        self,
        case: str,
        contender: str,
        measure: Measure,
        to: str = C,
        to_case: str | None = None,
        to_measure: Measure | None = None,
    ) -> Figure | None:
        """Give the ratios to another contender's run (or another case's) of the same round."""
        both = zip(self.runs(case, contender), self.runs(to_case or case, to), strict=False)
        good = [(one, other) for one, other in both if "failed" not in one and "failed" not in other]
        pairs = [(measure(one), (to_measure or measure)(other)) for one, other in good]
        return summarise([one / other for one, other in pairs if other])

    def disturbed(self, case: str, contender: str) -> dict[str, int]:
        """Sum up the counters that should not have grown while it ran."""
        total: dict[str, int] = {}
        for run in self.runs(case, contender):
            for name, number in run.get("grown", {}).items():
                total[name] = total.get(name, 0) + number
        return total

    def failures(self) -> list[tuple[str, str, list[str]]]:
        """List the cases and contenders of which runs failed, and why."""
        return [
            (case, contender, reasons)
            for case in self.cases
            for contender in self.contenders(case)
            if (reasons := [run["failed"] for run in self.runs(case, contender) if "failed" in run])
        ]

    def spins(self) -> list[float]:
        """List how long the work that is always the same took, in seconds."""
        return [spin for case in self.cases.values() for spin in case["spins"]]


def summarise(values: list[float]) -> Figure | None:
    return Figure(statistics.median(values), min(values), max(values)) if values else None
