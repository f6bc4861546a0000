"""A Conn over a scripted one-to-one socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from pure.loop.scripted import HERE, PEER, SCRIPTED, ScriptOfOne
from sctpio import Conn, Event
from sctpio._loop.link import Link
from sctpio._loop.settings import Settings
from sctpio.stacks.base import StackSocket
from support import turns, until


class Bench:
    """An association that is up, on a socket of its own."""

    def __init__(self, receive_buffer: int, events: tuple[type[Event], ...]) -> None:
        self.script = ScriptOfOne()
        settings = Settings(None, (), events, SCRIPTED, receive_buffer, 1_000_000)
        self.script.up(3)
        self.socket = settings.new_socket(cast("StackSocket", self.script))
        self.socket.association.peer = PEER
        self.conn = Conn(Link(self.socket.association, self.socket), HERE)

    async def read(self) -> None:
        """Wait until all is read, and those who were woken have run."""
        await until(lambda: not self.script.unread)
        await turns()


@asynccontextmanager
async def opened(
    *, receive_buffer: int = 100_000, events: tuple[type[Event], ...] = (), start: bool = True
) -> AsyncIterator[Bench]:
    """Open a Conn on a script; at the end no descriptor is left, whatever the test left."""
    bench = Bench(receive_buffer, events)
    if start:
        bench.socket.start()
    try:
        yield bench
    finally:
        if hasattr(bench, "conn"):
            await bench.conn.abort()
    await asyncio.sleep(0)
    assert bench.script.closed
    assert all(watch.fileno() == -1 for watch in bench.script.watches)
