"""What a stack is to the layers above it: bytes in, bytes out, failures as OSError.

A `Stack` makes sockets, and a `StackSocket` is one descriptor that an event loop can watch. This is the whole
interface between the event loop's side (`_loop`) and the stacks, and these are its rules:

- No call blocks. Where a system call would, the result says so: None, False, 0, or a batch's state.
- Every other failure is an OSError with the stack's errno, and a text that names the call or the option.
- `association_id` chooses an association of a one-to-many socket. On a socket of one association it is
  ignored; 0 means that one, or the socket itself.
- The methods are safe to call from any thread, but not on one socket from two threads at once.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from .._abi.codec import Codec
from .._value import dataclass
from ..address import Address, Host
from ..events import AssociationChange, Event, PartialDelivery, ShutdownEvent, StreamChange
from ..options import Option, Status

Buffer: TypeAlias = bytes | bytearray | memoryview

T = TypeVar("T", bound=Option)

# The bytes that may lie unread, unless the user chose another number.
RECEIVE_BUFFER = 1024 * 1024

# What counts as a large message, in bytes.
LARGE_SIZE = 64 * 1024

# The state of a batch that is one large message, in bytes of its own: whoever has space for more asks again.
LARGE = 2

# Every socket has these subscribed, because the event loop's side follows them: the life of an association,
# a message that was broken off, and the number of streams.
ALWAYS_SUBSCRIBED = (AssociationChange, ShutdownEvent, PartialDelivery, StreamChange)


class Memory(Protocol):
    """Memory that a receive call fills; a slice of it is a copy."""

    def __getitem__(self, index: slice, /) -> bytes: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...


# What one call received: how it ended (MORE, EOF, LARGE or a negative errno), the number of records, those
# as `_abi.contract.RECORD` packs them, and the arena whose slices they name. Valid until the same thread
# receives again, so take them at once. It is a plain tuple because one is made for every wake-up.
Batch: TypeAlias = tuple[int, int, Memory, Memory]


@dataclass(frozen=True, slots=True)
class SendExtras:
    """What few messages need beyond stream, flags, PPID and context (RFC 6458 sections 5.3.7 and 5.3.8).

    `pr_policy` and `pr_value` are a PR-SCTP policy of `_abi.contract` and its number (0: what the association
    has as its default); `path` is a packed address of the peer, b"" for the primary one; `auth_key` is the
    number of a shared key, -1 for the active one.
    """

    pr_policy: int = 0
    pr_value: int = 0
    path: bytes = b""
    auth_key: int = -1


class Head(NamedTuple):
    """How a message of a batch is sent; `ppid` is in host order."""

    stream: int
    flags: int
    ppid: int
    context: int


# One message of a batch; messages that are sent alike share their head.
Outgoing: TypeAlias = tuple[Buffer, Head]


# StackSocket.send: association_id, data, stream, flags, ppid, context, extras. False where the send buffer
# has no space for the message now.
SendOne: TypeAlias = Callable[[int, Buffer, int, int, int, int, SendExtras | None], bool]


class EndWatch(Protocol):
    """A descriptor that turns readable when there is news of an association that the peer has shut down.

    The socket itself cannot be watched for that: it stays readable from the peer's SHUTDOWN on. `acknowledge`
    makes the descriptor quiet until there is more news.
    """

    def fileno(self) -> int: ...
    def acknowledge(self) -> None: ...
    def close(self) -> None: ...


class PlainCall(NamedTuple):
    """What the accelerator needs for sending as the kernel's `send` and `send_batch` do, and for receiving.

    The addresses of sctpio_send_plain, sctpio_send_batch and sctpio_receive, and what the peer of each
    association can take, by its id (see `kernel.allowance`), with the class of that.
    """

    address: int
    batch_address: int
    receive_address: int
    allowances: dict[int, Any]
    allowance: type


class StackSocket(Protocol):
    """One socket of a stack; `native.NativeSocket` documents each method.

    `stack` is the stack's name, and `transport` says for people how its packets travel, with advice where a
    peer gives `no_answer`. `shares_send_buffer` tells that the associations of a one-to-many socket fill one
    send buffer together, so one of them can leave the others without space. `named` are the
    addresses that were bound by name. `has_large` is set by whoever received LARGE_SIZE bytes or more.
    """

    codec: Codec
    has_large: bool
    named: tuple[Host, ...]
    shares_send_buffer: bool
    stack: str

    def transport(self, *, no_answer: bool = False) -> str: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def detach(self) -> int: ...
    def disown(self) -> None: ...
    @property
    def versions(self) -> frozenset[int]: ...
    def why_left_out(self) -> str: ...
    def why_too_large(self, association_id: int) -> str: ...
    def use_defaults(self, receive_buffer: int) -> None: ...
    def reuse_address(self) -> None: ...
    def bind(self, local: Address) -> None: ...
    def unbind(self, local: Address) -> None: ...
    def listen(self, backlog: int) -> None: ...
    def connect(self, remote: Address) -> int: ...
    def accept(self) -> "tuple[StackSocket, Address] | None": ...
    def receive(self, space: int, most: int | None = None) -> Batch: ...
    def decode_event(self, data: bytes) -> Event: ...
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
    def plain_call(self) -> PlainCall | None: ...
    def send_batch(self, association_id: int, messages: Sequence[Outgoing], bundle: bool) -> int: ...
    def shutdown(self, association_id: int) -> None: ...
    def abort(self, association_id: int, cause: bytes) -> bool: ...
    def peel_off(self, association_id: int) -> "StackSocket": ...
    def find_association(self, address: Address) -> int | None: ...
    def error(self) -> int: ...
    def source(self, raw: bytes, association_id: int) -> Address: ...
    def pack_path(self, path: Address) -> bytes: ...
    def local_addresses(self, association_id: int) -> Address: ...
    def peer_addresses(self, association_id: int) -> Address: ...
    def announced(self, association_id: int) -> Address: ...
    def bound_port(self) -> int: ...
    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None: ...
    def get_option(self, query: type[T] | T, association_id: int, address: Address | None) -> T: ...
    def set_option(self, value: Option, association_id: int) -> None: ...
    def watch_end(self) -> EndWatch: ...


class Stack(Protocol):
    """Who speaks SCTP: `kernel.socket.KernelStack` or `usrsctp.socket.UsrsctpStack`.

    `open` makes a socket that can bind the addresses, and reach those of the peer that it is to be connected
    `towards`. `adopt` takes over a descriptor that has one association already, and `adopt_listener`
    one that listens; it tells whether that is a one-to-many socket.
    """

    name: str

    def open(
        self, *addresses: Address, one_to_many: bool = False, towards: Address | None = None
    ) -> StackSocket: ...
    def adopt(self, descriptor: int) -> StackSocket: ...
    def adopt_listener(self, descriptor: int) -> tuple[StackSocket, bool]: ...


def alive(raw: StackSocket, association_id: int) -> bool:
    """Ask a stack whether an association is still there (EINVAL once it is not)."""
    try:
        raw.get_option(Status, association_id, None)
    except OSError:
        return False
    return True
