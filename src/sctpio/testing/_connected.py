"""Both ends of an association in one process."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from ..conn import Conn
from ..connecting import connect
from ..events import Event
from ..listener import Mode, listen
from ..options import DelayedSack, InitMsg, Option, RtoInfo
from ._relay import Relay

QUICK: tuple[Option, ...] = (
    RtoInfo(initial=0.1, maximum=1.0, minimum=0.05),
    DelayedSack(delay=0.02, frequency=2),
)
"""Options for tests, for `options=`: what is lost is sent again after 0.05 to 1 s, in place of 1 to 60 s."""


class Pair(NamedTuple):
    """Both ends of one association."""

    client: Conn
    server: Conn


class RelayedPair(NamedTuple):
    """Both ends of one association, and the relay between them."""

    client: Conn
    server: Conn
    relay: Relay


@asynccontextmanager
async def connected(
    *,
    relay: Relay | None = None,
    host: str | None = None,
    mode: Mode = Mode.ONE_TO_ONE,
    init: InitMsg | None = None,
    options: Iterable[Option] = (),
    events: Iterable[type[Event]] = (),
    stack: str | None = None,
) -> AsyncIterator[Pair]:
    """Connect two ends in this process: `async with connected() as (client, server):`.

    `relay` is an open `Relay` that their packets go through. `mode` is the server's kind of socket; `init`,
    `options`, `events` and `stack` are those of `connect`, for both ends. `host` is 127.0.0.1 by default, or
    the host of the relay. Leaving the `async with` aborts the association, if it is still there.

    Raises:
        ValueError: the relay leads to another process, or `stack` or `host` is another than the relay's.
        Exception: as `listen` and `connect` do.
    """
    if relay is not None:
        if relay.stack is None:
            raise ValueError("the relay is to another process: give connect() its `relay.option`")
        for name, given, own in (("stack", stack, relay.stack), ("host", host, relay.host)):
            if given not in (None, own):
                raise ValueError(f"{name} is {given!r}, but that of the relay is {own!r}")
        stack = relay.stack
    where = (host or (relay.host if relay else "127.0.0.1"), 0)
    options, events = tuple(options), tuple(events)
    async with listen(where, mode=mode, init=init, options=options, events=events, stack=stack) as listener:
        to = listener.local_addresses
        if relay:
            client = await relay.connect(to, init=init, options=options, events=events)
        else:
            client = await connect(to, local=where, init=init, options=options, events=events, stack=stack)
        try:
            server = await listener.accept()
            try:
                yield Pair(client, server)
            finally:
                await server.abort()
        finally:
            await client.abort()
