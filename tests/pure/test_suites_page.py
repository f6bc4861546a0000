"""docs/suites.md names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "suites.md"
NAMED = re.compile(r"`([a-z_]+(?:/[a-z_]+)+)(?:::(\w+))?`")
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]


def files(name: str) -> list[Path]:
    """Find what a name means: a file of tests, or a folder of them."""
    path = TESTS / name
    return [path.with_name(f"test_{path.name}.py")] if not path.is_dir() else sorted(path.rglob("test_*.py"))


def test_every_test_that_is_named_is_there() -> None:
    missing = []
    for row in ROWS:
        for name, test in NAMED.findall(row.rpartition(" | ")[2]):
            texts = [file.read_text(encoding="utf-8") for file in files(name) if file.exists()]
            if not texts or (test and not any(f"def test_{test}(" in text for text in texts)):
                missing.append(f"{name}::{test}")
    assert missing == []


def test_every_row_has_a_test_or_a_reason() -> None:
    assert len(ROWS) > 90
    assert all(re.fullmatch(r"\| .+ \| .+ \|", row) for row in ROWS)
