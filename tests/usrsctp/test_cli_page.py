"""The examples of the page on the command line print what it says: it was recorded on this stack."""

import pytest

from cli.page import PAGE, blocks, commands, masked, play

BLOCKS = blocks(PAGE.read_text())


@pytest.mark.parametrize("block", BLOCKS, ids=[commands(block)[0][:40] for block in BLOCKS])
def test_example(block: str) -> None:
    played, shown = masked(play(commands(block))), masked(block)
    if commands(block)[0].startswith("sctpio check"):
        # What is found is this machine's own.
        played, shown = played[:4], shown[:4]
    assert played == shown
