"""A listener over a scripted one-to-many socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from pure.loop.scripted import HERE, PEER, SCRIPTED, Script
from sctpio import Conn, Listener, RtoInfo, SenderDry
from sctpio._loop.event_stream import EventHub
from sctpio._loop.settings import Settings
from sctpio._loop.shared_socket import SharedSocket
from sctpio.stacks.base import StackSocket
from support import until


class Bench:
    """A listener on a script."""

    def __init__(self, *, backlog: int, abort_slow: bool, receive_buffer: int, max_message_size: int) -> None:
        loop = asyncio.get_running_loop()
        self.script = Script()
        self.hub = EventHub(loop)
        settings = Settings(None, (), (), SCRIPTED, receive_buffer, max_message_size)
        self.many = SharedSocket(
            cast("StackSocket", self.script),
            loop,
            hub=self.hub,
            new_association=lambda: settings.new_association(self.hub),
            most_waiting=backlog,
            abort_slow=abort_slow,
        )
        self.many.start()
        self.conns: list[Conn] = []
        self.listener = Listener(self.many, settings, HERE, self.hub)

    async def accept(self, *, keep: bool = True) -> Conn:
        """Take an association; it is held until the end, else the test may forget it."""
        async with asyncio.timeout(10):
            conn = await self.listener.accept()
        if keep:
            self.conns.append(conn)
        return conn

    async def new(self, identifier: int, *, keep: bool = True) -> Conn:
        """Let an association come up, and take it."""
        self.script.up(identifier)
        conn = await self.accept(keep=keep)
        assert conn.association_id == identifier
        return conn

    async def read(self) -> None:
        """Wait until all is read, and those who were woken have run."""
        await until(lambda: not self.script.unread)
        for _ in range(3):
            await asyncio.sleep(0)


@asynccontextmanager
async def opened(
    *,
    backlog: int = 100,
    abort_slow: bool = False,
    receive_buffer: int = 100_000,
    max_message_size: int = 1_000_000,
) -> AsyncIterator[Bench]:
    """Open a listener on a script; at the end no descriptor is left, whatever the test left."""
    bench = Bench(
        backlog=backlog,
        abort_slow=abort_slow,
        receive_buffer=receive_buffer,
        max_message_size=max_message_size,
    )
    try:
        yield bench
    finally:
        await bench.listener.close()
        for link in list(bench.many.members.values()):
            link.abort()
        for conn in bench.conns:
            await conn.abort()
    assert bench.script.closed


async def ended(conn: Conn, kind: type[Exception]) -> Exception:
    """Every call says how it ended, and nothing goes down to the stack: the number may be another's."""
    script = cast("Script", conn._link.raw)
    before = list(script.log)
    waiting: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        conn.receive,
        lambda: conn.send(b"stale"),
        lambda: conn.send_many([b"stale", b"stale"]),
        lambda: conn.stream(1).send(b"stale"),
        conn.stream(2).receive,
        conn.flush,
        conn.peel_off,
    ]
    for call in waiting * 2:
        with pytest.raises(kind) as caught:
            async with asyncio.timeout(10):
                await call()
        assert type(caught.value) is kind
    for query in (
        conn.status,
        lambda: conn.set_option(RtoInfo(initial=1.0)),
        lambda: conn.get_option(RtoInfo),
    ):
        with pytest.raises(kind):
            query()
    assert [event async for event in conn.events(SenderDry)] == []
    assert conn.peer_addresses == PEER
    await conn.wait_closed()
    await conn.close()
    await conn.abort(b"stale")
    assert (conn.is_closed, conn.fileno()) == (True, -1)
    assert script.log == before
    return caught.value
