"""What a stack is to the rooms above it: bytes in, bytes out, OSError up.

`Stack` makes sockets; a `StackSocket` is one descriptor that can be polled. Nothing here waits: what
would block says so in its result (`None`, `False`, a batch's state), every other failure is an OSError with
its errno.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from .._codec import Codec
from .._dataclass import dataclass
from ..address import Address
from ..events import AssociationChange, Event, PartialDelivery, ShutdownEvent, StreamChange
from ..features import Capabilities
from ..options import Option

Buffer: TypeAlias = bytes | bytearray | memoryview

T = TypeVar("T", bound=Option)

# How a batch ended (its state); every other value is a negative errno.
MORE = 0
EOF = 1

# Set in a record's msg_flags when no stream, PPID or association id came with the data.
NO_INFO = 0x40000000

# The life of an association is known from these alone, a broken-off message, and how many streams there are.
ALWAYS_SUBSCRIBED = (AssociationChange, ShutdownEvent, PartialDelivery, StreamChange)

# offset, length, msg_flags, association_id, ppid, tsn, cumulative_tsn, context, stream, ssn, flags,
# source_length, source
RawRecord: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int, int, bytes]


class Arena(Protocol):
    """Memory that receives; a slice is a copy."""

    def __getitem__(self, index: slice, /) -> bytes: ...


# Records that one receive call may bring.
RECORDS = 128


# What one call received: how it ended, and records that name slices of an arena. Valid until the same thread
# receives again: take the slices at once. A plain tuple, as there is one for every wake-up.
Batch: TypeAlias = tuple[int, Iterable[RawRecord], Arena]


@dataclass(frozen=True, slots=True)
class SendExtras:
    """What a message needs beyond stream, flags, PPID and context (RFC 6458 5.3.7, 5.3.8)."""

    pr_policy: int = 0
    pr_value: int = 0
    path: bytes = b""
    auth_key: int = -1


class Head(NamedTuple):
    """What a message of a batch is sent with."""

    stream: int
    flags: int
    ppid: int
    context: int


# One message of a batch; messages that are sent alike share their head.
Outgoing: TypeAlias = tuple[Buffer, Head]


# association_id, data, stream, flags, ppid, context, extras: whether there was room (StackSocket.send).
SendOne: TypeAlias = Callable[[int, Buffer, int, int, int, int, SendExtras | None], bool]


class EndWatch(Protocol):
    """A descriptor that turns readable when something new happened to an association that ends."""

    def fileno(self) -> int: ...
    def acknowledge(self) -> None: ...
    def close(self) -> None: ...


class StackSocket(Protocol):
    """One socket of a stack. `association_id` 0 means the only one, or the endpoint.

    `shares_send_buffer` tells that the associations of a one-to-many socket fill one send buffer together.
    """

    codec: Codec
    shares_send_buffer: bool

    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def detach(self) -> int: ...
    def reuse_address(self) -> None: ...
    def bind(self, local: Address) -> None: ...
    def unbind(self, local: Address) -> None: ...
    def listen(self, backlog: int) -> None: ...
    def connect(self, remote: Address) -> int: ...
    def accept(self) -> "tuple[StackSocket, Address] | None": ...
    def receive(self, room: int, most: int | None = None) -> Batch: ...
    def send(
        self,
        association_id: int,
        data: Buffer,
        stream: int,
        flags: int,
        ppid: int,
        context: int,
        extras: SendExtras | None,
    ) -> bool: ...
    def send_batch(self, association_id: int, messages: Sequence[Outgoing]) -> int: ...
    def shutdown(self, association_id: int) -> None: ...
    def abort(self, association_id: int, cause: bytes) -> bool: ...
    def peel_off(self, association_id: int) -> "StackSocket": ...
    def find_association(self, address: Address) -> int | None: ...
    def error(self) -> int: ...
    def source(self, raw: bytes, association_id: int) -> Address: ...
    def pack_path(self, path: Address) -> bytes: ...
    def local_addresses(self, association_id: int) -> Address: ...
    def peer_addresses(self, association_id: int) -> Address: ...
    def bound_port(self) -> int: ...
    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None: ...
    def get_option(self, query: type[T] | T, association_id: int, address: Address | None) -> T: ...
    def set_option(self, value: Option, association_id: int) -> None: ...
    def watch_end(self) -> EndWatch: ...


class Stack(Protocol):
    """Who speaks SCTP."""

    name: str

    def open(self, *addresses: Address, one_to_many: bool = False) -> StackSocket: ...
    def adopt(self, descriptor: int) -> StackSocket: ...
    def capabilities(self) -> Capabilities: ...
