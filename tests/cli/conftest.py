"""Servers that several tests share: each process takes its time to start."""

from collections.abc import Iterator

import pytest

from cli.program import Shared, serving


@pytest.fixture(scope="package")
def echo_server() -> Iterator[Shared]:
    """Give a server on two hosts that sends each message back."""
    with serving("listen", "127.0.0.1/127.0.0.2:0", "--keep", "--echo") as server:
        yield server


@pytest.fixture(scope="package")
def perf_server() -> Iterator[Shared]:
    """Give a server of `perf`."""
    with serving("perf", "--server", "127.0.0.1:0") as server:
        yield server
