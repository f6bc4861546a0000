"""Tests of the instrumented C: they mean nothing without it."""

import os

import pytest

from sanitize.build import STACKS, VARIABLE
from sanitize.harness import Library

# Nothing of the kernel's stack is in it, and the library may not be here.
collect_ignore = [] if os.environ.get("SCTPIO_STACK") == "usrsctp" else ["test_usrsctp_threads.py"]


@pytest.fixture(autouse=True, scope="session")
def _needed() -> None:
    if not os.environ.get(VARIABLE):
        pytest.fail("tests/sanitize needs an instrumented build: run it by make sanitize")


@pytest.fixture(params=[name for name, stack in STACKS.items() if stack.doubles], scope="session")
def library(_needed: None, request: pytest.FixtureRequest) -> Library:
    """Give each stack's functions."""
    return Library(request.param)


@pytest.fixture
def kernel(_needed: None) -> Library:
    """Give the kernel stack's functions, whose system calls answer as a test wants."""
    return Library("kernel")
