"""The arguments that `listen`, `connect` and `open_endpoint` share, checked before any descriptor exists."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Self

from .._abi.contract import RECORDS
from .._value import dataclass
from ..events import Event
from ..options import InitMsg, Option
from ..stacks import choose
from ..stacks.base import RECEIVE_BUFFER as RECEIVE_BUFFER
from ..stacks.base import Stack, StackSocket
from . import journal, observing
from .association import Association
from .event_stream import EventHub, check_types, subscribable
from .journal import Logger
from .own_socket import OwnSocket
from .sending import check_has_effect, check_ppid
from .unread import Unread

MAX_MESSAGE_SIZE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked arguments of a constructor; they configure its sockets and associations."""

    init: InitMsg | None
    options: tuple[Option, ...]
    events: tuple[type[Event], ...]
    stack: Stack
    receive_buffer: int
    max_message_size: int
    receive_batch: int = RECORDS
    log: Logger = journal.logger
    ppid: int = 0

    @classmethod
    def check(
        cls,
        *,
        init: InitMsg | None = None,
        options: Iterable[Option] = (),
        events: Iterable[type[Event]],
        stack: str | None,
        receive_buffer: int,
        max_message_size: int,
        receive_batch: int,
        logger: Logger | None = None,
        ppid: int = 0,
    ) -> Self:
        """Check the arguments of a constructor; raises ValueError, TypeError or UnavailableError."""
        if init is not None and not isinstance(init, InitMsg):
            raise TypeError(f"init is {init!r}; it takes an InitMsg")
        if isinstance(options, Option):
            raise TypeError(
                f"options is {options!r}; it takes several: options=[{type(options).__name__}(...)]"
            )
        if isinstance(events, type):
            raise TypeError(f"events is {events!r}; it takes several: events=[{events.__name__}]")
        chosen = choose(stack)
        parts: list[Option] = []
        for option in options:
            if not isinstance(option, Option):
                raise TypeError(
                    f"options has {option!r}; it takes option values such as RtoInfo(initial=0.5)"
                )
            check_has_effect(option)
            parts += option.parts(chosen.name)
        if logger is not None and not isinstance(logger, logging.Logger | logging.LoggerAdapter):
            raise TypeError(f"logger is {logger!r}; it takes a logging.Logger or LoggerAdapter")
        for name, size in (("receive_buffer", receive_buffer), ("max_message_size", max_message_size)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} is {size!r}; it takes a number of bytes from 1")
        if isinstance(receive_batch, bool) or receive_batch not in range(1, RECORDS + 1):
            raise ValueError(f"receive_batch is {receive_batch!r}; it takes a number from 1 to {RECORDS}")
        check_ppid(ppid)
        return cls(
            init=init,
            options=tuple(parts),
            events=check_types(tuple(events)),
            stack=chosen,
            receive_buffer=receive_buffer,
            max_message_size=max_message_size,
            receive_batch=receive_batch,
            log=logger or journal.logger,
            # Not a member of an enum: this is what the fast path takes.
            ppid=int(ppid),
        )

    def apply_new(self, raw: StackSocket) -> None:
        """Set the stack's defaults on a socket that was made here, then what `apply` sets."""
        raw.use_defaults(self.receive_buffer)
        self.apply(raw)

    def apply(self, raw: StackSocket) -> None:
        """Set the options and subscribe the events on a new socket; raises OSError."""
        if self.init is not None:
            raw.set_option(self.init, 0)
        for option in self.options:
            raw.set_option(option, 0)
        for kind in subscribable(raw, self.events + journal.followed(self.log)):
            raw.subscribe(kind, True, 0)

    def tell(self, association: Association) -> None:
        """Report the options of an association that is set up from here to observers."""
        for option in (self.init, *self.options):
            if option is not None:
                observing.option(association, option, was_set=True)

    def new_association(self, parent: EventHub | None = None, unread: Unread | None = None) -> Association:
        """Return the state of a new association.

        If it shares `unread` with others, only the iterators of `parent` get what `events=` keeps.
        """
        loop = asyncio.get_running_loop()
        # Observers are told of its events from the first one on.
        return observing.kind()(
            loop,
            unread=unread or Unread(loop, self.receive_buffer),
            max_message_size=self.max_message_size,
            hub=EventHub(loop, () if unread else self.events, parent),
            shared=unread is not None,
            stack=self.stack.name,
            log=self.log,
            ppid=self.ppid,
        )

    def new_socket(self, raw: StackSocket, parent: EventHub | None = None) -> OwnSocket:
        """Return the loop's side of a socket with one association."""
        return OwnSocket(raw, asyncio.get_running_loop(), self.new_association(parent), self.receive_batch)
