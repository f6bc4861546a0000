"""The sanitizers themselves: a lie that the C cannot see through must be reported."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sanitize.build import SANITIZERS, VARIABLE

# Which stack's C is looked at.
STACK = os.environ.get("SCTPIO_STACK", "kernel")

OPEN = {
    "kernel": """
import socket
from sctpio.stacks._kernel import ffi, lib
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
""",
    "usrsctp": """
import sctpio
from sctpio.stacks._usrsctp import ffi, lib
sock = sctpio.stacks.choose("usrsctp").open()
""",
}

# 16 bytes are there: a header that asks for another one.
READ_TOO_FAR = """
control = ffi.new("uint8_t[]", (16).to_bytes(8, "little") + bytes(8))
lib.sctpio_parse_control(control, 4096, ffi.new("sctpio_record *"))
"""

# The same of an address: 15 bytes are there.
ADDRESS_READ_TOO_FAR = """
address = ffi.new("uint8_t[15]", (2).to_bytes(2, "little") + bytes(13))
lib.sctpio_find(sock.fileno(), address, 16, ffi.new("int32_t *"))
"""

# getsockname writes 16 bytes where 15 are.
WRITTEN_TOO_FAR = """
name = ffi.new("uint8_t[15]")
lib.sctpio_name(sock.fileno(), name, ffi.new("uint32_t *", 28))
del name
"""

MISALIGNED = """
records = ffi.new("sctpio_record[2]")
lib.sctpio_parse_control(b"", 0, ffi.cast("sctpio_record *", ffi.cast("uint8_t *", records) + 1))
"""

# The accelerator believes how large the memory is that it is given: 16 bytes are there.
ACCELERATOR_READS_TOO_FAR = """
from sctpio._abi.contract import MSG_EOR, RECORD
from sctpio._loop.records import decoder
record = RECORD.pack(0, 64, MSG_EOR, *[0] * 9, b"")
decoder(lambda source, association: None).messages(record, 0, 1, ffi.buffer(ffi.new("uint8_t[16]"), 64))
"""

LIES = {
    "address": {
        ACCELERATOR_READS_TOO_FAR: "heap-buffer-overflow",
        READ_TOO_FAR if STACK == "kernel" else ADDRESS_READ_TOO_FAR: "heap-buffer-overflow",
        WRITTEN_TOO_FAR: "heap-buffer-overflow",
        MISALIGNED: "misaligned address",
    },
    "undefined": {WRITTEN_TOO_FAR: "free(): invalid pointer", MISALIGNED: "misaligned address"},
}


def test_the_instrumented_modules_are_what_is_imported() -> None:
    for name in (f"sctpio.stacks._{STACK}", "sctpio._fast"):
        module = importlib.import_module(name)
        assert Path(module.__file__ or "").is_relative_to(SANITIZERS[os.environ[VARIABLE]].package)


@pytest.mark.parametrize("lie", LIES.get(os.environ.get(VARIABLE, ""), ()))
def test_a_lie_is_reported(lie: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN[STACK] + lie], capture_output=True, text=True, check=False
    )
    assert done.returncode < 0, done.stderr
    assert LIES[os.environ[VARIABLE]][lie] in done.stderr
