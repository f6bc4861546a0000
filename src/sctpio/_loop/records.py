"""The records of a batch become messages: in C where the accelerator is used, else in Python.

Both do the same. `decoder` makes one for a socket: it keeps the last source, because messages that follow
each other mostly come from one.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeAlias

from .._abi.contract import MSG_CTRUNC, MSG_EOR, MSG_NOTIFICATION, NO_INFO, RECORD, UNORDERED
from .._accelerator import compiled
from ..address import Address
from ..message import Message, Received
from ..stacks.base import Memory

# Returns the address that a source means (the stack's bytes, the id of the association).
Find: TypeAlias = Callable[[bytes, int], Address]

# Messages in order, their bytes, whether all of them are whole (rather than parts), how many came without
# receive information, and the number of the record that follows: a notification's, or the end.
Run: TypeAlias = tuple[list[Message], int, bool, int, int]


class Decoder(Protocol):
    """Makes the messages of one socket."""

    def messages(self, records: Memory, first: int, count: int, arena: Memory, /) -> Run:
        """Return the messages from record number `first` up to the next notification or the end."""


SIZE = RECORD.size

# Typed as Any because mypy knows what struct unpacks as Any only.
unpack_record: Callable[..., Any] = RECORD.unpack_from

# Typed as Any because the fields of a `Received`, frozen for everybody else, are filled in here.
new: Callable[[type[Received]], Any] = object.__new__


class PythonDecoder:
    """The decoder without the accelerator."""

    __slots__ = ("_find", "_last")

    def __init__(self, find: Find) -> None:
        self._find = find
        # The last source as bytes, how many of them count, its association, and its address.
        self._last: tuple[bytes, int, int, Address | None] = (b"", 0, -1, None)

    def messages(self, records: Memory, first: int, count: int, arena: Memory, /) -> Run:
        """Return the messages from record number `first` up to the next notification or the end."""
        messages: list[Message] = []
        size, whole, lacking = 0, True, 0
        last, last_length, last_identifier, address = self._last
        rest: Iterable[Any]
        # One record is the common case of an echo, and making an iterator for it takes longer.
        if count == 1:
            rest = (unpack_record(records),)
        else:
            rest = RECORD.iter_unpack(records[first * SIZE : count * SIZE])
        for (
            offset,
            length,
            msg_flags,
            identifier,
            ppid,
            tsn,
            cumulative_tsn,
            context,
            stream,
            ssn,
            flags,
            source_length,
            source,
        ) in rest:
            complete = True
            if msg_flags != MSG_EOR:
                if msg_flags & MSG_NOTIFICATION:
                    count = first + len(messages)
                    break
                if msg_flags & (NO_INFO | MSG_CTRUNC):
                    lacking += 1
                complete = msg_flags & MSG_EOR != 0
                whole = whole and complete
            if source != last or identifier != last_identifier or source_length != last_length:
                address = self._find(source[:source_length], identifier) if source_length else None
                last, last_length, last_identifier = source, source_length, identifier
                self._last = last, last_length, last_identifier, address
            size += length
            message = new(Received)
            message.data = arena[offset : offset + length]
            message.stream = stream
            message.ppid = ppid
            message.ssn = ssn
            message.tsn = tsn
            message.cumulative_tsn = cumulative_tsn
            message.unordered = flags & UNORDERED != 0
            message.context = context
            message.association_id = identifier
            message.source = address
            message.complete = complete
            message.__class__ = Message
            messages.append(message)
        return messages, size, whole, lacking, count


def notification(records: Memory, number: int, arena: Memory) -> tuple[bytes, int, bytes]:
    """Return the bytes of a notification, its msg_flags, and the source that its record has."""
    offset, length, msg_flags, *_, source_length, source = unpack_record(records, number * SIZE)
    return arena[offset : offset + length], msg_flags, source[:source_length]


def _decoders() -> Callable[[Find], Decoder]:
    if compiled is None:
        return PythonDecoder
    return partial(compiled.decoder, compiled.layout(Message, "message"))


# Makes the decoder of a new socket.
decoder = _decoders()
