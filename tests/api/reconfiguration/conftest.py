"""Pairs whose ends may change everything."""

from collections.abc import AsyncIterator

import pytest_asyncio

from api.reconfiguration.requests import ON
from support import Pair, associations, connected, until


@pytest_asyncio.fixture
async def both() -> AsyncIterator[Pair]:
    """Give a pair whose ends may change everything."""
    async with connected(listen_with=ON, connect_with=ON) as pair:
        yield pair
    await until(lambda: not associations())
