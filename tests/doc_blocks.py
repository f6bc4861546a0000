"""The code blocks of the manual: `python tests/doc_blocks.py FILE` writes those in Python as a module.

A block of Python is a piece of a program. As such it has names that the text around it explains, and `GIVEN`
says what they are; names of sctpio and of the standard library are imported. `<!-- not run: REASON -->`
above a block marks one that no test can run.
"""

import ast
import builtins
import re
import symtable
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sctpio

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(r"^( *)```([^`\n]+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)

# What the text around a block has introduced.
GIVEN = {
    "answer": "async def answer(message: sctpio.Message) -> bytes: ...",
    "address": "address = '10.0.0.1:5000'",
    "conn": "conn: sctpio.Conn",
    "error": "error: OSError",
    "handler": "async def handler(conn: sctpio.Conn) -> None: ...",
    "listener": "listener: sctpio.Listener",
    "log": "log: logging.Logger",
    "newer_secret": "newer_secret = b''",
    "remote": "remote = '10.0.0.1:5000'",
    "request": "request = b''",
    "sample": "sample = b''",
    "secret": "secret = b''",
    "server": "async def server() -> None: ...",
    "work": "async def work(conn: sctpio.Conn) -> None: ...",
}


class Block(NamedTuple):
    """A fenced block; `mark` is the reason why it is not run, "" if it is."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page of the manual, and those at the root of the repository."""
    built = ROOT / "docs" / "_build"
    return [*ROOT.glob("*.md"), *(one for one in ROOT.glob("docs/**/*.md") if built not in one.parents)]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        before = text[: found.start()]
        mark = _MARK.search(before)
        body = textwrap.dedent(found[3])
        yield Block(page, before.count("\n") + 1, found[2], body, mark[1] if mark else "")


def all_blocks(language: str) -> list[Block]:
    return [block for page in sorted(pages()) for block in blocks(page) if block.language == language]


def free_names(code: str) -> set[str]:
    """Return the names that a block uses and does not make."""
    tree = ast.parse(code)
    made = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    wrapped = "async def block():\n" + textwrap.indent(code, "    ")
    used: set[str] = set()
    tables = [symtable.symtable(wrapped, "block", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        if table.get_type() != "module":
            used |= {one.get_name() for one in table.get_symbols() if one.is_global()}
    return used - made - set(dir(builtins)) - {"__file__", "__name__"}


def module() -> str:
    """Return a module with a function for each block."""
    lines = ["# mypy: disable-error-code=empty-body", "import logging", "import sctpio", ""]
    for number, block in enumerate(all_blocks("python")):
        body, names = block.text, free_names(block.text)
        lines += [f"async def block_{number}() -> None:  # {block.place}"]
        for name in sorted(names):
            lines += [f"    {line}" for line in textwrap.dedent(_given(name, block)).splitlines()]
        lines += [f"    {line}".rstrip() for line in body.splitlines()] + [""]
    return "\n".join(lines)


def _given(name: str, block: Block) -> str:
    if name in sctpio.__all__:
        return f"from sctpio import {name}"
    if name in GIVEN:
        return GIVEN[name]
    if name in sys.stdlib_module_names or name == "sctpio":
        return f"import {name}"
    raise ValueError(f"{block.place}: {name!r} is no name of sctpio; GIVEN says what else a block has")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(module(), encoding="utf-8")
