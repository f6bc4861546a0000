"""Addresses as the stacks write them."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure.abi.by_hand import codec, native, plain, sin, sin6, storage
from sctpio._abi.codec import Codec
from sctpio._abi.linux import LINUX
from sctpio.address import Address
from sctpio.errors import DecodeError


def test_pack_addresses() -> None:
    packed = codec.pack_addresses(Address("10.0.0.1/[2001:db8::1]/[fe80::1%eth0]", 5000))
    assert packed == (sin("10.0.0.1", 5000) + sin6("2001:db8::1", 5000) + sin6("fe80::1", 5000, 2))
    assert len(packed) == 16 + 28 + 28


def test_pack_addresses_refuses_the_wildcard_and_unknown_scopes() -> None:
    with pytest.raises(ValueError, match="':5000' names no host"):
        codec.pack_addresses(Address((), 5000))
    with pytest.raises(ValueError, match="eth0"):
        plain.pack_addresses(Address("fe80::1%eth0", 5000))
    assert plain.pack_addresses(Address("fe80::1%7", 1)) == sin6("fe80::1", 1, 7)


def test_unpack_addresses() -> None:
    data = (
        sin6("fe80::1", 5000, 2)
        + sin("10.0.0.1", 5000)
        + sin6("::ffff:10.0.0.1", 5000)
        + sin6("::ffff:10.0.0.2", 5000)
        + sin6("2001:db8::1", 5000, 2, flow=9)
    )
    address = codec.unpack_addresses(data)
    assert str(address) == "[fe80::1%eth0]/10.0.0.1/10.0.0.2/[2001:db8::1]:5000"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\2",
        sin("10.0.0.1", 1)[:15],
        sin6("::1", 1)[:27],
        sin("10.0.0.1", 1) + b"\0",
        sin("10.0.0.1", 1) + sin("10.0.0.2", 2),
        sin("10.0.0.1", 1) + bytes(16),
        sin("0.0.0.0", 1) + sin("10.0.0.2", 1),
        native("H", 99) + bytes(26),
    ],
)
def test_unpack_addresses_refuses(data: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.unpack_addresses(data)


def test_unpack_address() -> None:
    assert codec.unpack_address(storage(sin("10.0.0.1", 80))) == Address("10.0.0.1", 80)
    assert codec.unpack_address(sin6("::ffff:1.2.3.4", 80)) == Address("1.2.3.4", 80)
    assert codec.unpack_address(sin6("::1", 80, 1)) == Address("::1", 80)
    assert codec.unpack_address(storage(sin6("fe80::1", 80, 1))) == Address("fe80::1%lo", 80)
    assert codec.unpack_address(sin6("fe80::1", 80)) == Address("fe80::1", 80)
    assert plain.unpack_address(sin6("fe80::1", 80, 7)) == Address("fe80::1%7", 80)
    with pytest.raises(DecodeError, match="0 is not the family"):
        codec.unpack_address(bytes(128))


def test_an_interface_without_a_usable_name_keeps_its_number() -> None:
    assert codec.unpack_address(sin6("fe80::1", 80, 9)) == Address("fe80::1%9", 80)
    odd = Codec(LINUX, index_to_scope=lambda index: "a]b")
    assert odd.unpack_address(sin6("fe80::1", 80, 9)) == Address("fe80::1%9", 80)


def is_not_mapped(host: Any) -> bool:
    return host.ipv4_mapped is None


hosts = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6).filter(is_not_mapped),
    st.sampled_from(["fe80::1%eth0", "fe80::2%lo", "fe80::3"]),
)
one_host = st.builds(Address, st.lists(hosts, min_size=1, max_size=1), st.integers(0, 65535))


@given(st.lists(hosts, min_size=1, max_size=6), st.integers(0, 65535))
def test_addresses_survive(given_hosts: list[Any], port: int) -> None:
    try:
        address = Address(given_hosts, port)
    except ValueError:
        return
    assert codec.unpack_addresses(codec.pack_addresses(address)) == address


@given(st.binary(max_size=80))
def test_any_bytes_are_an_address_or_a_decode_error(data: bytes) -> None:
    for prefix in (b"", native("H", 2), native("H", 10), sin("10.0.0.1", 1)):
        for unpack in (codec.unpack_address, codec.unpack_addresses):
            with contextlib.suppress(DecodeError):
                assert isinstance(unpack(prefix + data), Address)
