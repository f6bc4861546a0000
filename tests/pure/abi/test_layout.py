"""Numbers, records and layouts are what C compilers make."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure.abi.by_hand import native, net16, net32
from sctpio._abi import layout as _layout
from sctpio._abi.contract import OUTGOING, RECORD
from sctpio._abi.layout import STORAGE, Layout, swap16, swap32
from sctpio.errors import DecodeError


def test_records_have_the_size_of_the_c_structs() -> None:
    assert RECORD.size == 68
    assert OUTGOING.size == 24


@given(st.integers(0, 2**32 - 1))
def test_network_order_is_one_function_both_ways(value: int) -> None:
    assert native("I", swap32(value)) == net32(value)
    assert swap32(swap32(value)) == value
    assert swap16(value & 0xFFFF).to_bytes(2, sys.byteorder) == net16(value & 0xFFFF)


@pytest.mark.parametrize(("order", "raw"), [("little", 0x3C000000), ("big", 60)])
def test_network_order_on_either_host(order: str, raw: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", order)
    assert _layout.swap32.__wrapped__(60) == raw
    assert _layout.swap16.__wrapped__(12) == (0x0C00 if order == "little" else 12)


def test_layouts_follow_the_compilers_rules() -> None:
    inner = Layout("inner", ("a", "B"), ("b", "H"))
    outer = Layout("outer", ("x", "B"), ("in", inner), ("y", "B"), ("z", "I"))
    assert (inner.size, inner.alignment) == (4, 2)
    assert (outer.size, outer.alignment) == (12, 4)
    assert [tuple(member) for member in outer.members] == [
        ("x", "x", 0, 1),
        ("a", "in.a", 2, 1),
        ("b", "in.b", 4, 2),
        ("y", "y", 6, 1),
        ("z", "z", 8, 4),
    ]
    packed = Layout("packed", ("x", "B"), ("z", "I"), ("y", "B"), packed=True)
    assert (packed.size, packed.alignment, packed.members[1].offset) == (8, 4, 1)
    assert Layout("s", ("id", "i"), ("address", STORAGE)).members[1].offset == struct.calcsize(
        "@il"
    ) - struct.calcsize("@l")
    assert repr(packed) == "<Layout packed 8 bytes>"


def test_a_layout_packs_zeros_and_checks_values() -> None:
    layout = Layout("s", ("a", "H"), ("b", "I"))
    assert layout.pack({"b": 1}) == native("HxxI", 0, 1)
    assert layout.unpack(native("HxxI", 2, 3) + b"rest") == {"a": 2, "b": 3}
    with pytest.raises(ValueError, match=r"^s: "):
        layout.pack({"a": 65536})
    with pytest.raises(DecodeError, match="s has 8 bytes, 7 were given"):
        layout.unpack(bytes(7))
