"""`connect`, which sets up one association, or one after another.

It tries each address that a name means in its turn (`_loop.time_limits`), and gives back what it has opened
if it fails or is cancelled.
"""

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from ._abi.contract import RECORDS
from ._loop.homing import as_called, come_home, known_local
from ._loop.journal import Logger
from ._loop.link import Link
from ._loop.opening import Opening
from ._loop.reconnecting import Reconnecting
from ._loop.resolve import resolve
from ._loop.settings import MAX_MESSAGE_SIZE, RECEIVE_BUFFER, Settings
from ._loop.time_limits import CONNECT_TIMEOUT, answer_within, check_timeout, first_that_answers
from .address import Address, AddressLike, split_like, split_remote
from .conn import Conn
from .events import Event
from .options import InitMsg, Option

__all__ = ["Connecting", "connect"]


class Connecting(Opening[Conn]):
    """What `connect` returns: to `await`, for `async with`, or for `async for`."""

    def __init__(
        self,
        name: str,
        open_it: Callable[[], Coroutine[Any, Any, Conn]],
        remote: AddressLike,
        log: Logger,
    ) -> None:
        super().__init__(name, open_it)
        self._remote = remote
        self._log = log

    def __aiter__(self) -> Reconnecting[Conn]:
        self._used = True
        remote = self._remote if isinstance(self._remote, str) else str(Address(*split_like(self._remote)))
        return Reconnecting(self._open_it, remote, self._log)


def connect(
    remote: AddressLike,
    *,
    local: AddressLike | None = None,
    init: InitMsg | None = None,
    options: Iterable[Option] = (),
    events: Iterable[type[Event]] = (),
    stack: str | None = None,
    receive_buffer: int = RECEIVE_BUFFER,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_batch: int = RECORDS,
    timeout: float | None = CONNECT_TIMEOUT,
    logger: Logger | None = None,
    ppid: int = 0,
) -> Connecting:
    """Set up an association with a peer: `conn = await connect("10.0.0.1/10.1.0.1:2904")`, or `async with`.

    `async for conn in connect(...)` sets up one association after another, for clients that come back: each
    turn of the loop has an association, and when the turn is over it is closed, if it is not, and the next
    one is made. Attempts that fail for a reason that may pass are repeated, with pauses that double from 0.1
    to 30 seconds, with jitter; an association that has lived 10 seconds starts them afresh. Other errors are
    raised.

    All hosts of `remote` are addresses of one peer (sctp_connectx). `local` is the port and the addresses
    to bind; by default the stack chooses. `options` are set, and `events` subscribed, before the first
    packet; these events are kept for the first `conn.events()`. `receive_buffer` is how many bytes may be
    unread before reading pauses, and `max_message_size` the largest message that is accepted, both in
    bytes. `receive_batch` is the most messages that are taken before other callbacks of the loop run; while
    its turns are long, fewer. `ppid` is that of every message that is sent without one.

    If the peer has not answered within `timeout` seconds (None: as long as the stack tries, see InitMsg), it
    raises TimeoutError. Where a name means several addresses, each gets its share of that time.

    `logger` takes the lines about the association instead of the logger "sctpio.association".

    Cancelling it closes the socket and stops the INITs. Raises OSError (ConnectionRefusedError, TimeoutError,
    EADDRINUSE and others; the text names the stack, and its UDP ports), ValueError for an address that cannot
    be parsed, and UnavailableError if there is no SCTP.
    """
    split_remote(remote)
    check_timeout(timeout)
    if local is not None:
        split_like(local)
    settings = Settings.check(
        init=init,
        options=options,
        events=events,
        stack=stack,
        receive_buffer=receive_buffer,
        max_message_size=max_message_size,
        receive_batch=receive_batch,
        logger=logger,
        ppid=ppid,
    )
    return Connecting("connect", partial(_connect, remote, local, settings, timeout), remote, settings.log)


async def _connect(
    remote: AddressLike, local: AddressLike | None, settings: Settings, timeout: float | None
) -> Conn:
    bound = None if local is None else (await resolve(local))[0]
    return await first_that_answers(
        await resolve(remote), partial(_connect_to, local=bound, settings=settings), timeout
    )


async def _connect_to(
    remote: Address, timeout: float | None, *, local: Address | None, settings: Settings
) -> Conn:
    raw = settings.stack.open(*(() if local is None else (local,)), towards=remote)
    async with answer_within(timeout, remote, raw):
        try:
            settings.apply_new(raw)
            if local is not None:
                raw.bind(local)
            sock = settings.new_socket(raw)
            sock.association.peer = remote
            called = as_called(raw, remote)
            sock.association.id = raw.connect(called)
        except BaseException:
            raw.close()
            raise
        link = Link(sock.association, sock)
        settings.tell(sock.association)
        try:
            sock.start()
            await sock.association.set_up()
            come_home(raw, sock.association, remote, called, set())
        except BaseException:
            link.abort()
            raise
    return Conn(link, known_local(raw, local))
