"""The unit that is sent and received."""

from __future__ import annotations

from ._dataclass import dataclass
from .address import Address

__all__ = ["Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was received, always with its boundaries (RFC 6458 section 5.3.5).

    Numbers are in host order; `ppid` is the number that a packet dissector shows. `ssn` is 0 for
    an unordered message. `context` is the value set with SCTP_CONTEXT, `source` the peer's
    address that the last part came from. `complete` is False only where a caller asked for parts
    of a message; the library itself hands out whole messages.
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


class Received(Message):
    """A message while it is filled field by field, for a tenth of what the constructor costs.

    `object.__new__(Received)` makes one; it is a `Message`, and frozen, once that is its `__class__`.
    """

    __slots__ = ()

    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__
