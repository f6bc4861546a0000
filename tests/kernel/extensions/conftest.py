"""Tests of extensions look at packets of the usual size ."""

from collections.abc import Iterator

import pytest

from kernel.lab import Lab, run


@pytest.fixture(autouse=True, scope="module")
def _mtu() -> Iterator[None]:
    # With the 64 KiB of lo no message would need fragments.
    run("ip", "link", "set", "lo", "mtu", "1500")
    yield
    run("ip", "link", "set", "lo", "mtu", "65536")


@pytest.fixture
def lab(module_lab: Lab) -> Iterator[Lab]:
    """Give the module's namespace, without the faults of the test before."""
    yield module_lab
    module_lab.clean()
