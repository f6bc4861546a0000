"""The log of associations: one line when something happens that an operator wants to know.

Up, ended and how, restarted, a path down or up again or made primary. The logger is "sctpio.association"
unless the owner gave another; every record has the attributes `association` (its id), `peer`, `path` and
`cause`, None where they do not apply. Lines are INFO: nothing here is a fault of this program.

A thousand associations that flap do not flood: beyond `BURST` lines at once and `RATE` a second, lines are
left out, and the next one that is written says how many.
"""

import logging
import time
import traceback
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from ..address import Address
from ..errors import AssociationAbortedError
from ..events import AddressState, Event, PeerAddressChange
from ..stacks.base import StackSocket

if TYPE_CHECKING:
    from .association import Association

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

logger = logging.getLogger("sctpio.association")

BURST = 100
RATE = 20.0

# What a change of a path's state is called; the others are steps on the way.
PATHS = {
    AddressState.AVAILABLE: "is up",
    AddressState.UNREACHABLE: "is down",
    AddressState.REMOVED: "was removed by the peer",
    AddressState.ADDED: "was added by the peer",
    AddressState.MADE_PRIMARY: "is the primary path now",
}


class Bucket:
    """Lets through `BURST` lines at once, and `RATE` a second for long."""

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._filled = time.monotonic()
        self._left_out = 0

    def take(self) -> int:
        """Return how many lines were left out before this one; -1 if this one is, too."""
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._filled) * RATE, float(BURST))
        self._filled = now
        if self._tokens < 1:
            self._left_out += 1
            return -1
        self._tokens -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out


bucket = Bucket()


def writes(log: Logger) -> bool:
    """Return whether lines are wanted at all."""
    return log.isEnabledFor(logging.INFO)


def followed(log: Logger) -> tuple[type[Event], ...]:
    """Return the events that are subscribed for the log alone."""
    return (PeerAddressChange,) if writes(log) else ()


def write(
    log: Logger,
    text: str,
    *args: object,
    level: int = logging.INFO,
    association: int | None = None,
    peer: str | None = None,
    path: str | None = None,
    cause: bytes | None = None,
) -> None:
    """Write one line.

    An error of the log's handlers is printed, as `logging` itself does: it must not stop what the line tells.
    """
    fields = {"association": association, "peer": peer, "path": path, "cause": cause}
    try:
        _log(log, level, text, args, {"extra": fields})
    except Exception:
        if logging.raiseExceptions:
            traceback.print_exc()


def _log(
    log: Logger, level: int, text: str, args: tuple[object, ...], kwargs: MutableMapping[str, Any]
) -> None:
    if isinstance(log, logging.LoggerAdapter):
        # An adapter puts its own fields in the place of those that are given.
        fields = kwargs["extra"]
        text, kwargs = log.process(text, kwargs)
        kwargs["extra"] = {**fields, **(kwargs.get("extra") or {})}
        _log(log.logger, level, text, args, kwargs)
    else:
        log.log(level, text, *args, **kwargs)


def listening(log: Logger, local: Address, raw: StackSocket) -> None:
    """Write that a local endpoint takes associations."""
    if writes(log):
        write(log, "listening on %s, %s", local, raw.transport())


def came_up(association: "Association") -> None:
    """Write that an association is up."""
    if writes(association.log):
        streams = f"{association.outbound_streams} streams out, {association.inbound_streams} in"
        _write(association, f"is up: {streams}, {association.stack}")


def restarted(association: "Association") -> None:
    """Write that the peer has restarted."""
    if writes(association.log):
        _write(association, "goes on with a peer that has restarted")


def ended(association: "Association", how: Exception) -> None:
    """Write how an association ended."""
    if writes(association.log):
        cause = how.cause if isinstance(how, AssociationAbortedError) else None
        text = how.strerror if isinstance(how, OSError) else str(how)
        _write(association, f"has ended: {text}", cause=cause)


def path_changed(association: "Association", event: PeerAddressChange) -> None:
    """Write what became of a path."""
    what = PATHS.get(event.state)
    if what is not None and writes(association.log):
        path = str(event.address.hosts[0])
        _write(association, f"path {path} {what}", path=path)


def _write(
    association: "Association", text: str, *, path: str | None = None, cause: bytes | None = None
) -> None:
    left_out = bucket.take()
    if left_out < 0:
        return
    if left_out:
        write(association.log, "%d lines about associations were left out here", left_out)
    write(
        association.log,
        "association %d with %s %s",
        association.id,
        association.peer,
        text,
        association=association.id,
        peer=str(association.peer),
        path=path,
        cause=cause,
    )
