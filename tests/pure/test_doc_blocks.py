"""The manual's code blocks: those in Python are whole and know their names, and nothing is without a test.

`make lint` checks their types, `tests/examples/test_sessions.py` plays the sessions, and
`tests/usrsctp/test_cli_page.py` those of the command line.
"""

import configparser
import json
import re
import subprocess
from pathlib import Path

import pytest

from doc_blocks import ROOT, Block, all_blocks, blocks, free_names, module, pages

# Languages whose blocks some test runs or reads, and those that are for people alone.
CHECKED = {"python", "console", "sh", "ini", "json"}
SHOWN = {"text", "yaml", "dockerfile"}


def test_every_block_of_python_knows_its_names_and_compiles() -> None:
    compile(module(), "blocks", "exec")


def test_a_name_that_is_not_known_is_told() -> None:
    assert free_names("x = 1\nprint(x, y)\nasync with connect(z) as conn:\n    await conn.send(b'')") == {
        "connect",
        "y",
        "z",
    }


def test_every_block_has_a_language_that_is_known() -> None:
    unknown = [
        f"{block.place}: {block.language}"
        for page in pages()
        for block in blocks(page)
        if block.language not in CHECKED | SHOWN and not block.language.startswith("{")
    ]
    assert unknown == []


@pytest.mark.parametrize("block", all_blocks("sh"), ids=lambda block: block.place)
def test_a_shell_reads_the_commands(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_of_settings_can_be_read() -> None:
    for block in all_blocks("ini"):
        configparser.ConfigParser(strict=False).read_string(block.text)
    for block in all_blocks("json"):
        json.loads(block.text)


def test_every_example_is_run_by_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "examples").glob("*.py"))
    sessions = "".join(block.text for block in all_blocks("console"))
    examples = [path.relative_to(ROOT / "examples") for path in (ROOT / "examples").rglob("*.py")]
    assert [str(one) for one in examples if not named(one, tests) and not named(one, sessions)] == []


def named(example: Path, text: str) -> bool:
    return re.search(rf"[\"/ ]{re.escape(example.name)}\b", text) is not None
