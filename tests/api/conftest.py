"""Each test of the public API leaves nothing behind: no descriptor, no association."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from sctpio import Mode
from support import Pair, Style, associations, connected, no_leak, until

# What holds for a one-to-one server holds for a one-to-many one.
BOTH_MODES = {
    "test_backpressure",
    "test_cancellation",
    "test_conn",
    "test_ending",
    "test_event_stream",
    "test_stream",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of those modules against both kinds of servers."""
    only = metafunc.definition.get_closest_marker("one_to_one")
    if metafunc.module.__name__.rpartition(".")[2] in BOTH_MODES and only is None:
        modes = list(Mode)
        metafunc.parametrize("_mode", modes, ids=[mode.value for mode in modes], indirect=True)


@pytest.fixture(autouse=True)
def _mode(request: pytest.FixtureRequest) -> Iterator[None]:
    Style.mode = getattr(request, "param", Mode.ONE_TO_ONE)
    yield
    Style.mode = Mode.ONE_TO_ONE


@pytest.fixture(autouse=True)
def _no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    yield from no_leak(request)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    """Give a connected pair, and look that the kernel forgets its association afterwards."""
    async with connected() as both:
        yield both
    await until(lambda: not associations())
