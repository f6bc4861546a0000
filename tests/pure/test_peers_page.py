"""docs/peers.md is the table of a run with other programs: `make test-peers` writes it."""

import re

from peers.page import ABSENT, COLUMNS, PAGE
from peers.programs import ALL, NOWHERE

TEXT = PAGE.read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]


def test_it_has_a_row_for_each_program_that_it_does_not_name_as_absent() -> None:
    absent = TEXT.partition(ABSENT)[2]
    shown = {row[0] for row in ROWS[2:]}
    wanted = {program.name for program in ALL} | set(NOWHERE)
    assert {name for name in wanted - shown if f"- {name}: " not in absent} == set()
    assert shown <= wanted


def test_each_row_says_who_with_what_and_how_it_went() -> None:
    header, rule, *rows = ROWS
    assert tuple(header) == COLUMNS
    assert set(rule) == {"---"}
    for row in rows:
        program, version, stack, listener, checked, result = row
        assert re.match(r"v?\d|OpenJDK \d", version), program
        assert re.match(r"Linux \d|usrsctp$", stack), program
        assert listener
        assert checked
        assert re.fullmatch(r"passed, \d+ tests?|FAILED: \d+ of \d+ tests?", result), program


def test_every_row_passed() -> None:
    assert [row for row in ROWS[2:] if not row[5].startswith("passed")] == []


def test_both_stacks_have_their_rows() -> None:
    assert {row[2].split()[0] for row in ROWS[2:]} == {"Linux", "usrsctp"}
