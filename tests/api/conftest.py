"""Each test of the public API leaves nothing behind: no descriptor, no association."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from support import Pair, associations, connected, descriptor_count, until


@pytest.fixture(autouse=True)
def _no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    # The loop's own descriptors come and go with it, hence it is made first.
    if "_asyncio_loop_factory" in request.fixturenames:
        request.getfixturevalue("_function_scoped_runner")
    before = descriptor_count()
    yield
    after = descriptor_count()
    assert after <= before, f"{after - before} descriptors leaked"


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    """Give a connected pair, and look that the kernel forgets its association afterwards."""
    async with connected() as both:
        yield both
    await until(lambda: not associations())
