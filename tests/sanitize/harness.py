"""The instrumented library of a stack, and memory that ends where a test says."""

import os
from collections.abc import Sequence
from typing import Any

from cffi import FFI

from sanitize.build import HERE, ROOT, SANITIZERS, VARIABLE

ffi = FFI()
ffi.cdef((ROOT / "csrc" / "sctpio.h").read_text())
ffi.cdef((HERE / "doubles.h").read_text())
ffi.cdef("void *malloc(size_t size); void free(void *memory);")
_libc: Any = ffi.dlopen(None)


class Room:
    """An allocation of its own that ends with the last of `size` bytes; `at` is `lead` bytes into it."""

    def __init__(self, content: bytes | int, lead: int = 0) -> None:
        self.size = content if isinstance(content, int) else len(content)
        # An allocation of nothing has a byte: none begins at its end.
        lead = lead or int(self.size == 0)
        self._memory: Any = ffi.gc(_libc.malloc(lead + self.size), _libc.free)
        self.at: Any = ffi.cast("uint8_t *", self._memory) + lead
        if not isinstance(content, int):
            ffi.memmove(self.at, content, len(content))

    def __bytes__(self) -> bytes:
        return bytes(ffi.buffer(self.at, self.size))


class Library:
    """The functions of a stack. `script` says what the next system calls answer."""

    def __init__(self, stack: str) -> None:
        sanitizer = SANITIZERS[os.environ[VARIABLE]]
        self.c: Any = ffi.dlopen(str(sanitizer.library(stack)))
        self._kept: list[Any] = []

    def script(self, *answers: dict[str, Any]) -> None:
        """Set the answers: fields of `double_answer`, where bytes stand for themselves and their length."""
        self._kept = [ffi.new("double_answer[]", len(answers))]
        for place, given in zip(self._kept[0], answers, strict=True):
            for name, value in given.items():
                if isinstance(value, bytes):
                    self._kept.append(ffi.new("uint8_t[]", value or b"\0"))
                    setattr(place, name, self._kept[-1])
                    setattr(place, f"{name}_length", len(value))
                else:
                    setattr(place, name, value)
        self.c.double_script(self._kept[0], len(answers))

    @property
    def unused(self) -> int:
        """How many answers of the script were not asked for."""
        left: int = self.c.double_left()
        return left

    def receive(self, fd: int, size: int, capacity: int) -> tuple[int, int, list[Any], Room]:
        """Receive into rooms of just these sizes: the count, the state, the records, the arena."""
        arena = Room(size)
        records = Room(capacity * ffi.sizeof("sctpio_record"))
        array: Any = ffi.cast("sctpio_record *", records.at)
        state = ffi.new("int32_t *", 12345)
        count = self.c.sctpio_receive(fd, arena.at, size, array, capacity, state)
        # A copy: the room goes with this call.
        copies = [ffi.new("sctpio_record *", array[index]) for index in range(max(count, 0))]
        return count, state[0], copies, arena


def words(values: Sequence[int]) -> bytes:
    """Pack 32-bit numbers as the kernel has them in memory."""
    return bytes(ffi.buffer(ffi.new("uint32_t[]", list(values))))
