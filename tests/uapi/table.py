"""Write docs/reference-uapi.md from the tables of both stacks: `PYTHONPATH=tests python -m uapi.table`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sctpio._abi.linux import LINUX
from sctpio._abi.platform import OptionSpec
from sctpio._abi.usrsctp import USRSCTP
from sctpio.options import Scope
from uapi import usrsctp
from uapi.inventory import INSIDE, NO_OPTION

PAGE = Path(__file__).parents[2] / "docs" / "reference-uapi.md"

HEAD = """<!-- Written by `PYTHONPATH=tests python -m uapi.table`: change the tables in src, not this. -->
# The kernel's interface, and usrsctp's

Everything in linux/sctp.h, and where it is here. *Linux* is the first release that has it; a kernel without
it makes an OSError (ENOPROTOOPT) that names the option and that release. *usrsctp* is whether that stack has
it too, in version 0.9.5; what it has not is an OSError (ENOPROTOOPT) there that names the option. The numbers
and structs of the two differ; the values that a program sees are the same.

## Options

*For* is what an option can be set for: an association (a), one path of it (p), and on listeners and
one-to-many sockets FUTURE (F), CURRENT (C) and ALL (A) associations, see
{py:class}`~sctpio.options.Scope`. None of these: for the socket.

"""


FIELDS = """Besides, {py:class}`~sctpio.options.PeerAddressParameters` has no `sack_delay` and `delayed_sack`
there ({py:class}`~sctpio.options.DelayedSack` is for all paths), and
{py:class}`~sctpio.options.StreamScheduler` no `WEIGHTED_FAIR`. The `error` of
{py:class}`~sctpio.events.PeerAddressChange` is always `FAILED_THRESHOLD`.
"""


def _cells(rows: Iterable[tuple[str, ...]]) -> str:
    """Lay out the rows of a table, the first one as its head."""
    head, *rest = rows
    lines = [head, ("---",) * len(head), *rest]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _usrsctp(spec: OptionSpec) -> str:
    """Tell whether usrsctp has an option, and which of its fields or values it has not."""
    there = next((other for other in USRSCTP.options if other.kind is spec.kind), None)
    if there is None:
        return "no"
    other = "yes" if there.name == spec.name else f"as {there.name}"
    without = [f"`{name}`" for name in there.absent]
    return f"{other}, without {', '.join(without)}" if without else other


def _scopes(spec: OptionSpec) -> str:
    own = "a" * spec.per_association + "p" * spec.per_path
    return " ".join([*own, *(Scope(scope).name[0] for scope in spec.scopes)])


def _rfc(text: str) -> str:
    return f"RFC {text}" if text else ""


def render() -> str:
    """Make the page."""
    options = [("name", "type", "RFC", "Linux", "get, set", "for", "usrsctp")]
    for spec in sorted(LINUX.options, key=lambda spec: (spec.level != 132, spec.number)):
        options.append(
            (
                spec.name,
                f"{{py:class}}`~sctpio.options.{spec.kind.__name__}`",
                _rfc(spec.rfc),
                spec.since,
                " ".join(["get"] * spec.readable + ["set"] * spec.writable),
                _scopes(spec),
                _usrsctp(spec),
            )
        )
    events = [("name", "type", "RFC", "Linux", "usrsctp")]
    there = {row.name for row in USRSCTP.events}
    for row in sorted(LINUX.events, key=lambda row: row.number):
        events.append(
            (
                row.name,
                f"{{py:class}}`~sctpio.events.{row.kind.__name__}`",
                _rfc(row.rfc),
                row.since,
                "yes" if row.name in there else "no",
            )
        )
    inside = [("name", "where it is used"), *sorted(INSIDE.items())]
    without = [("name", "why"), *sorted(NO_OPTION.items())]
    lacking = [("name", "type", "why")]
    lacking += [
        (lack.name, f"{{py:class}}`~sctpio.options.{lack.kind.__name__}`", lack.why)
        for lack in USRSCTP.lacking
    ]
    more = [("name", "why"), *sorted(usrsctp.NO_OPTION.items())]
    return (
        f"{HEAD}{_cells(options)}\n## Notifications\n\n{_cells(events)}\n## Used inside\n\n{_cells(inside)}"
        f"\n## Left out\n\n{_cells(without)}"
        f"\n## What usrsctp does not have\n\n{_cells(lacking)}"
        f"\n{FIELDS}\n## Left out of usrsctp\n\n{_cells(more)}"
    )


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
