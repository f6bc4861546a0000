"""The message: the unit that is sent and received."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._value import dataclass
from .address import Address

__all__ = ["Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was received, always with its boundaries (RFC 6458 section 5.3.5).

    `data` are its bytes, 1 or more. `stream` is the inbound stream that it came on, `ssn` its number there (0
    if it is `unordered`), and `ppid` the number that a packet dissector shows (`Ppid` has the names): all
    numbers are in host order. `tsn` is the number of its last DATA chunk, `cumulative_tsn` that of the
    association when it was received. `context` is what the option `Context` has set here, `association_id`
    the association on its socket, and `source` the address of the peer that its last part came from, one
    host. `complete` is always True: a message that comes in parts is put together first.
    """

    data: bytes
    stream: int = 0
    ppid: int = 0
    ssn: int = 0
    tsn: int = 0
    cumulative_tsn: int = 0
    unordered: bool = False
    context: int = 0
    association_id: int = 0
    source: Address | None = None
    complete: bool = True

    def __repr__(self) -> str:
        from .ppid import fields_by_name

        return fields_by_name(self, self.__match_args__)


class Received(Message):
    """A message while it is filled field by field, which takes a tenth of the time of the constructor.

    `object.__new__(Received)` makes one. Setting its `__class__` to `Message` then makes it one, and frozen.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any, /) -> None: ...
        def __delattr__(self, name: str, /) -> None: ...
    else:
        __setattr__ = object.__setattr__
        __delattr__ = object.__delattr__
