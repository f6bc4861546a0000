"""What fuzzing has found worth keeping goes through the targets (`make fuzz` looks for more)."""

import pytest

from fuzz.run import C_TARGETS, corpus_of, inputs_of
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_corpus_finds_nothing(name: str) -> None:
    check, inputs = TARGETS[name](), inputs_of(name)
    assert len(inputs) > 3
    for data in inputs:
        check(data)
        # Cut, too.
        check(data[: len(data) // 2])


def test_every_target_has_a_corpus_and_no_other_is_kept() -> None:
    folder = corpus_of("event").parent
    assert {path.name for path in folder.iterdir()} == {
        corpus_of(name).name for name in {*TARGETS, *C_TARGETS}
    }
    assert sum(path.stat().st_size for path in folder.iterdir()) < 400_000
