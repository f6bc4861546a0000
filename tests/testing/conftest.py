"""Each test leaves nothing behind; the kernel's stack can be reached over UDP meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import STACK, no_leak, start_stack

UDP_PORT = Path("/proc/sys/net/sctp/udp_port")


@pytest.fixture(scope="module", autouse=True)
def _started() -> Iterator[None]:
    start_stack()
    if STACK != "kernel":
        yield
        return
    before = UDP_PORT.read_text()
    UDP_PORT.write_text("9899")
    yield
    UDP_PORT.write_text(before)


@pytest.fixture(autouse=True)
def _no_leak(_started: None, request: pytest.FixtureRequest) -> Iterator[None]:
    yield from no_leak(request)
