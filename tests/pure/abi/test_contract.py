"""What Python takes for agreed with the C is what the compiled header says."""

import struct
from typing import Any

import pytest

from sctpio._abi import contract
from sctpio.stacks._kernel import ffi, lib

# Where the two names differ by more than the prefix.
NAMES = {
    "MSG_CTRUNC": "CTRUNC",
    "MSG_EOR": "EOR",
    "MSG_NOTIFICATION": "NOTIFICATION",
}

NUMBERS = [name for name in contract.__all__ if name not in ("OUTGOING", "RECORD", "RECORDS")]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_the_headers(name: str) -> None:
    assert getattr(contract, name) == getattr(lib, f"SCTPIO_{NAMES.get(name, name)}")


def test_every_number_of_the_header_is_here() -> None:
    found = {name for name in dir(lib) if name.startswith("SCTPIO_")}
    assert found == {f"SCTPIO_{NAMES.get(name, name)}" for name in NUMBERS}


@pytest.mark.parametrize(
    ("layout", "name", "members"),
    [
        (
            contract.RECORD,
            "sctpio_record",
            "offset length msg_flags association_id ppid tsn cumulative_tsn context stream ssn flags"
            " source_length source",
        ),
        (contract.OUTGOING, "sctpio_outgoing", "length ppid context pr_value stream flags pr_policy"),
    ],
)
def test_a_layout_is_the_headers(layout: struct.Struct, name: str, members: str) -> None:
    """Each member is filled in C with bytes of its own, and read where Python expects it."""
    # Any: the stub has no more of cffi than the library uses.
    known: Any = ffi
    assert layout.size == known.sizeof(name)
    memory = known.new(f"{name} *")
    expected: list[object] = []
    for number, member in enumerate(members.split(), 1):
        if member == "source":
            known.buffer(memory.source)[:] = bytes(range(28))
            expected.append(bytes(range(28)))
        else:
            setattr(memory, member, number)
            expected.append(number)
    assert list(layout.unpack(known.buffer(memory)[:])) == expected
