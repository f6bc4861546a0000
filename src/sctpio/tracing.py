"""A trace of what the associations of this process do, as lines of text or of JSON.

`Tracer` is an observer that writes a line for each message, event, step and option. A program needs no
change to be traced: the environment variable SCTPIO_TRACE names a file, or is ``-`` for standard error, and
the trace begins when sctpio is imported. SCTPIO_TRACE_FORMAT is ``text`` (the default) or ``json``,
SCTPIO_TRACE_BYTES how many bytes of each message are shown (32). `sctpio trace COMMAND` sets them. Of several
processes each appends to the same file.

Text has no byte of a peer in it but in hexadecimal, or escaped, so it is safe on a terminal.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from ._loop.association import State
from ._loop.observing import Observation, Observed, Sent, observe
from .events import Event
from .message import Message
from .options import Option

__all__ = ["Tracer", "start_from"]

HEAD = 32
FORMATS = ("text", "json")


class Tracer:
    """An observer that writes lines to a descriptor; `head` is how many bytes of a message it shows.

    Each line is written at once, with one call, so that lines of several threads and processes do not mix. It
    blocks while that does: a trace belongs into a file.
    """

    def __init__(self, descriptor: int, *, json: bool = False, head: int = HEAD) -> None:
        self._descriptor = descriptor
        self._json = json
        self._head = head

    def message_sent(self, association: Observed, message: Sent) -> None:
        """Write a message that was sent."""
        self._message(association, "sent", message.data, message.stream, message.ppid, message.unordered)

    def message_received(self, association: Observed, message: Message) -> None:
        """Write a message that has come."""
        self._message(association, "received", message.data, message.stream, message.ppid, message.unordered)

    def event(self, association: Observed, event: Event) -> None:
        """Write an event."""
        kind = type(event).__name__
        self._write(association, "event", f"{kind}: {escaped(event)}", event=kind, said=str(event))

    def state(self, association: Observed, state: State, end: Exception | None) -> None:
        """Write a step of an association's life."""
        name = state.name.lower()
        how = end.strerror if isinstance(end, OSError) and end.strerror else end and str(end)
        why = f": {escaped(how)}" if how else ""
        self._write(association, "state", name + why, state=name, end=how)

    def option(self, association: Observed, option: Option, *, was_set: bool) -> None:
        """Write an option that was set or read."""
        what = "set" if was_set else "read"
        self._write(association, f"option {what}", escaped(option), option=repr(option))

    def _message(
        self, association: Observed, what: str, data: bytes, stream: int, ppid: int, unordered: bool
    ) -> None:
        head = data[: self._head].hex(" ", -4) + (" ..." if len(data) > self._head else "")
        order = ", unordered" if unordered else ""
        text = f"{len(data)} bytes, stream {stream}, ppid {ppid}{order}  {head}".rstrip()
        self._write(
            association,
            what,
            text,
            size=len(data),
            stream=stream,
            ppid=ppid,
            unordered=unordered,
            hex=data[: self._head].hex(),
        )

    def _write(self, association: Observed, what: str, text: str, **fields: Any) -> None:
        now = time.time()
        if self._json:
            who = {"process": os.getpid(), "number": association.number, "association": association.id}
            where = {"peer": str(association.peer), "stack": association.stack}
            line = json.dumps({"time": now, **who, **where, "what": what, **fields})
        else:
            stamp = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1e6):06}"
            who_text = f"{os.getpid()}#{association.number}"
            line = f"{stamp} {who_text} {association.peer} {what} {text}"
        os.write(self._descriptor, f"{line}\n".encode(errors="backslashreplace"))


def escaped(value: object) -> str:
    """Return the text of a value without what could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def start_from(environment: Mapping[str, str]) -> Observation | None:
    """Begin the trace that the environment asks for; None if it asks for none.

    Raises:
        ValueError: a variable cannot be read; it is quoted.
        OSError: the file cannot be opened.
    """
    where = environment.get("SCTPIO_TRACE")
    if not where:
        return None
    kind = environment.get("SCTPIO_TRACE_FORMAT") or "text"
    if kind not in FORMATS:
        raise ValueError(f"SCTPIO_TRACE_FORMAT is {kind!r}; accepted: {' or '.join(FORMATS)}")
    head = environment.get("SCTPIO_TRACE_BYTES") or str(HEAD)
    if not (head.isascii() and head.isdecimal()):
        raise ValueError(f"SCTPIO_TRACE_BYTES is {head!r}; accepted: a number of bytes")
    descriptor = 2
    if where != "-":
        descriptor = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return observe(Tracer(descriptor, json=kind == "json", head=int(head)))
