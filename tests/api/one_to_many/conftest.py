"""Each test with a one-to-many socket leaves no association behind, whatever its descriptors were."""

from collections.abc import AsyncIterator

import pytest_asyncio

from support import associations, until


@pytest_asyncio.fixture(autouse=True)
async def _no_association() -> AsyncIterator[None]:
    yield
    await until(lambda: not associations())
