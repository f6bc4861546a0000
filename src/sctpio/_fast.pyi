# The compiled accelerator as Python sees it: csrc/fast/fast.c.

from collections.abc import Callable
from typing import Any, Literal, Protocol, final

from .address import Address
from .message import Message

class _Memory(Protocol):
    def __buffer__(self, flags: int, /) -> memoryview: ...

def receive_own(address: int, fd: int, size: int, records: _Memory, /) -> tuple[int, int, bytes]: ...

@final
class Layout:
    def __new__(
        cls,
        type_: type,
        kind: Literal["message", "association", "allowance", "unread", "inbox", "partials"],
        /,
    ) -> Layout: ...

@final
class Decoder:
    def __new__(cls, layout: Layout, find: Callable[[bytes, int], Address], /) -> Decoder: ...
    def messages(
        self, records: _Memory, first: int, count: int, arena: _Memory, /
    ) -> tuple[list[Message], int, bool, int, int]: ...

@final
class PlainSender:
    def __new__(
        cls,
        of_association: Layout,
        of_allowance: Layout,
        association: object,
        up: object,
        queue: list[Any],
        raw: object,
        allowances: dict[int, Any],
        address: int,
        batch_address: int,
        /,
    ) -> PlainSender: ...
    def send(self, data: object, stream: int, ppid: int, unordered: bool, context: int, /) -> int | None: ...
    def send_many(
        self, messages: list[Any], first: int, stream: int, flags: int, ppid: int, bundle: bool, /
    ) -> int: ...

@final
class Reading:
    def __new__(
        cls,
        of_association: Layout,
        of_unread: Layout,
        of_inbox: Layout,
        of_partials: Layout,
        up: object,
        deque: Callable[[], object],
        nothing: object,
        address: int,
        /,
    ) -> Reading: ...
    def read(
        self, association: object, raw: object, decoder: object, space: int, most: int, /
    ) -> int | tuple[int, int, Any, Any] | None: ...
