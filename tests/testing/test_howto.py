"""The manual's page about tests has tests that pass."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "testing.md"

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.any_stack


def test_the_examples_of_the_manual_pass(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    pytester.makepyfile(**{f"test_{number}": block for number, block in enumerate(blocks)})
    auto = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    result = pytester.runpytest_subprocess("-W", "error", *auto)
    result.assert_outcomes(passed=5)
