"""A compiler that answers questions about numbers and structs, beside the answers of a table."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from sctpio._abi.layout import Layout

__all__ = ["about_layouts", "answers", "ask", "find_compiler"]

SCALARS = {"int", "unsigned int", "sctp_assoc_t"}


def find_compiler() -> str:
    """Find the compiler, without which nothing is compared."""
    found = shutil.which("cc")
    if found is None:
        pytest.fail("there is no C compiler (`cc`): install one, the table must be compared")
    return found


def about_layouts(
    layouts: Iterable[Layout], tails: Mapping[str, str], known: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, str]]:
    """Give what to ask about structs, and the C expression that answers it.

    `tails` are the names in C of the flexible arrays that structs end with; `known` tells which structs the
    header has.
    """
    for layout in layouts:
        if not known(layout.name):
            continue
        kind = layout.name if layout.name in SCALARS else f"struct {layout.name}"
        yield f"size {layout.name}", f"sizeof({kind})"
        for member in layout.members if layout.name not in SCALARS else ():
            yield f"offset {layout.name}.{member.path}", f"offsetof({kind}, {member.path})"
            yield f"size {layout.name}.{member.path}", f"sizeof((({kind} *)0)->{member.path})"
        if layout.name in tails:
            yield f"tail {layout.name}", f"offsetof({kind}, {tails[layout.name]})"


def answers(numbers: Mapping[str, int], layouts: Iterable[Layout]) -> dict[str, int]:
    """Give the table's answers to the questions `number NAME` and to those about its structs."""
    found = {f"number {name}": int(number) for name, number in numbers.items()}
    for layout in layouts:
        found[f"size {layout.name}"] = found[f"tail {layout.name}"] = layout.size
        for member in layout.members:
            found[f"offset {layout.name}.{member.path}"] = member.offset
            found[f"size {layout.name}.{member.path}"] = member.size
    return found


def ask(
    compiler: str,
    asked: Mapping[str, str],
    directory: Path,
    headers: Iterable[str],
    *,
    functions: str = "",
    before: str = "",
    after: str = "",
    libraries: tuple[str, ...] = (),
) -> dict[str, int]:
    """Let a compiled program answer: it prints the number of each expression.

    `functions` stand before its main, `before` and `after` are what main does first and last.
    """
    source, program = directory / "referee.c", directory / "referee"
    lines = [f'    printf("%lld\\n", (long long)({expression}));' for expression in asked.values()]
    includes = ["<stddef.h>", "<stdint.h>", "<stdio.h>", "<string.h>", "<sys/socket.h>", *headers]
    source.write_text(
        "".join(f"#include {name}\n" for name in includes)
        + f"{functions}\nint main(void)\n{{\n    {before}\n"
        + "\n".join(lines)
        + f"\n    {after}\n    return 0;\n}}\n"
    )
    built = subprocess.run(
        [compiler, "-Wall", "-Werror", "-o", str(program), str(source), *libraries],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.fail(f"the program that asks the compiler cannot be built:\n{built.stderr}")
    run = subprocess.run([str(program)], capture_output=True, text=True, check=True, timeout=30)
    return dict(zip(asked, map(int, run.stdout.split()), strict=True))
