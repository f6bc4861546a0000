"""Tests of the usrsctp stack itself need nothing but that it was built; each leaves nothing behind."""

from collections.abc import Iterator

import pytest

import sctpio
from support import STACK, no_leak, start_stack


@pytest.fixture(autouse=True, scope="session")
def _started() -> None:
    if STACK != "usrsctp":
        pytest.fail(
            f"tests/usrsctp needs SCTPIO_STACK=usrsctp; the stacks here are {sctpio.available_stacks()}"
        )
    start_stack()


@pytest.fixture(autouse=True)
def _no_leak(_started: None, request: pytest.FixtureRequest) -> Iterator[None]:
    yield from no_leak(request)
