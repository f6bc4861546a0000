"""Figures of many measured times: least, mean, percentiles, most."""

from collections.abc import Sequence

from .output import duration

__all__ = ["summary", "summary_text"]

PERCENTILES = (50, 90, 99)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of the ordered values do not exceed (nearest rank)."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank) - 1, 0)]


def summary(values: Sequence[float]) -> dict[str, float] | None:
    """Return the figures of values; None if there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return {
        "min": ordered[0],
        "mean": sum(ordered) / len(ordered),
        **{f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES},
        "max": ordered[-1],
    }


def summary_text(values: Sequence[float]) -> str:
    """Return the figures of durations for people; "" if there are none."""
    figures = summary(values) or {}
    return ", ".join(f"{name} {duration(value)}" for name, value in figures.items())
