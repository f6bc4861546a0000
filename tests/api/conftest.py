"""Each test of the public API leaves nothing behind: no descriptor, no association."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from support import Pair, associations, connected, no_leak, start_stack, until


@pytest.fixture(scope="session", autouse=True)
def _started() -> None:
    start_stack()


@pytest.fixture(autouse=True)
def _no_leak(_started: None, request: pytest.FixtureRequest) -> Iterator[None]:
    yield from no_leak(request)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    """Give a connected pair, and look that the stack forgets its association afterwards."""
    async with connected() as both:
        yield both
    await until(lambda: not associations())
