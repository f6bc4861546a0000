"""Tests of the real kernel need root, the kernel's SCTP and some tools; each leaves nothing behind."""

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

import sctpio
from kernel.capture import Dissector
from kernel.extensions.analyst import Analyst
from kernel.interop import encapsulated, encapsulated_lab, interop_lab
from kernel.lab import DeadEnd, Lab, dead_end, two_links
from sctpio.stacks import choose
from support import no_leak

# Fixtures of the modules test_interop*.
__all__ = ["encapsulated", "encapsulated_lab", "interop_lab"]

TOOLS = {"ip": "iproute2", "tc": "iproute2", "tcpdump": "tcpdump", "tshark": "tshark"}


@pytest.fixture(autouse=True, scope="session")
def _needed() -> None:
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if os.geteuid() or missing or "kernel" not in sctpio.available_stacks():
        lacks = f"; not installed: {', '.join(missing)}" if missing else ""
        pytest.fail(f"tests/kernel needs root and a kernel with SCTP: run it by tests/guest/run{lacks}")


@pytest.fixture(autouse=True)
def _no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    yield from no_leak(request)


@pytest.fixture(scope="session")
def dissector(_needed: None) -> Iterator[Dissector]:
    """Give the tshark of the session."""
    tshark = Dissector()
    yield tshark
    tshark.close()


@pytest.fixture(scope="module")
def analyst(_needed: None) -> Iterator[Analyst]:
    """Give a tshark that shows all of SCTP."""
    made = Analyst()
    yield made
    made.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Give a namespace behind two links."""
    with two_links() as made:
        yield made


@pytest.fixture(scope="module")
def module_lab(_needed: None) -> Iterator[Lab]:
    """Give one namespace to all tests of a module, as it takes longer to make than most of them."""
    with two_links() as made:
        yield made


@pytest.fixture
def nowhere() -> Iterator[DeadEnd]:
    """Give an address that swallows packets."""
    with dead_end() as made:
        yield made


@pytest.fixture(scope="session")
def _usrsctp(_needed: None) -> None:
    """Let usrsctp make what it keeps until the process ends."""
    with contextlib.suppress(RuntimeError):
        sctpio.usrsctp_config(udp_port=9900)
    choose("usrsctp").open().close()
