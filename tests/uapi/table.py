"""Write docs/reference-uapi.md from the Linux table: `PYTHONPATH=tests python -m uapi.table`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sctpio._codec import LINUX, OptionSpec
from sctpio.options import Scope
from uapi.inventory import INSIDE, NO_OPTION, read_names

PAGE = Path(__file__).parents[2] / "docs" / "reference-uapi.md"

# What usrsctp has under another name.
RENAMED = {
    "SCTP_STREAM_SCHEDULER": "SCTP_PLUGGABLE_SS",
    "SCTP_STREAM_SCHEDULER_VALUE": "SCTP_SS_VALUE",
}

HEAD = """<!-- Written by `PYTHONPATH=tests python -m uapi.table`: change the tables in src, not this. -->
# The kernel's interface

Everything in linux/sctp.h, and where it is here. *Linux* is the first release that has it; a kernel without
it makes an OSError (ENOPROTOOPT) that names the option and that release. *usrsctp* is whether the header of
usrsctp 0.9.5 has it too.

## Options

*For* is what an option can be set for: an association (a), one path of it (p), and on listeners and
one-to-many sockets FUTURE (F), CURRENT (C) and ALL (A) associations, see
{py:class}`~sctpio.options.Scope`. None of these: for the socket.

"""


def _cells(rows: Iterable[tuple[str, ...]]) -> str:
    """Lay out the rows of a table, the first one as its head."""
    head, *rest = rows
    lines = [head, ("---",) * len(head), *rest]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _usrsctp(name: str, offered: set[str]) -> str:
    other = RENAMED.get(name)
    if other is not None and other in offered:
        return f"as {other}"
    return "yes" if name in offered else "no"


def _scopes(spec: OptionSpec) -> str:
    own = "a" * spec.per_association + "p" * spec.per_path
    return " ".join([*own, *(Scope(scope).name[0] for scope in spec.scopes)])


def _rfc(text: str) -> str:
    return f"RFC {text}" if text else ""


def render() -> str:
    """Make the page."""
    offered = read_names("usrsctp.txt")
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
                _usrsctp(spec.name, offered) if spec.level == 132 else "yes",
            )
        )
    events = [("name", "type", "RFC", "Linux", "usrsctp")]
    for row in sorted(LINUX.events, key=lambda row: row.number):
        events.append(
            (
                row.name,
                f"{{py:class}}`~sctpio.events.{row.kind.__name__}`",
                _rfc(row.rfc),
                row.since,
                _usrsctp(row.name, offered),
            )
        )
    inside = [("name", "where it is used"), *sorted(INSIDE.items())]
    without = [("name", "why"), *sorted(NO_OPTION.items())]
    return (
        f"{HEAD}{_cells(options)}\n## Notifications\n\n{_cells(events)}\n## Used inside\n\n{_cells(inside)}"
        f"\n## Left out\n\n{_cells(without)}"
    )


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
