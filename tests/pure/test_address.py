from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio.address import Address, scope_of, split, split_like

V4 = IPv4Address("10.50.1.1")
V6 = IPv6Address("2001:db8::1")

scopes = st.text("abcdefghijklmnopqrstuvwxyz0123456789.:-", min_size=1, max_size=15)
ips = st.one_of(
    st.ip_addresses().filter(lambda host: getattr(host, "ipv4_mapped", None) is None),
    st.builds(
        lambda low, scope: IPv6Address(f"{IPv6Address((0xFE80 << 112) | low)}%{scope}"),
        st.integers(1, 2**64 - 1),
        scopes,
    ),
)
addresses = st.one_of(
    st.builds(Address, ips, st.integers(0, 65535)),
    st.builds(
        Address,
        st.lists(ips.filter(lambda host: not host.is_unspecified), unique=True, max_size=5),
        st.integers(0, 65535),
    ),
)


@pytest.mark.parametrize(
    ("text", "hosts", "port"),
    [
        ("10.50.1.1/10.50.2.1:2904", (V4, IPv4Address("10.50.2.1")), 2904),
        ("10.50.1.1/[2001:db8::1]:2904", (V4, V6), 2904),
        ("[2001:db8::1]/10.50.1.1:0", (V6, V4), 0),
        ("[fe80::1%eth0]:5000", (IPv6Address("fe80::1%eth0"),), 5000),
        ("[fe80::1%eth0:1]:5000", (IPv6Address("fe80::1%eth0:1"),), 5000),
        (
            "[fe80::1%eth0]/[fe80::1%eth1]:1",
            tuple(map(IPv6Address, ("fe80::1%eth0", "fe80::1%eth1"))),
            1,
        ),
        (":5000", (), 5000),
        ("0.0.0.0:80", (IPv4Address(0),), 80),
        ("[::]:65535", (IPv6Address(0),), 65535),
        ("[fe80::1%2]:5000", (IPv6Address("fe80::1%2"),), 5000),
    ],
)
def test_parse_and_str(text: str, hosts: tuple[Any, ...], port: int) -> None:
    address = Address.parse(text)
    assert address.hosts == hosts
    assert address.port == port
    assert str(address) == text


def test_an_ipv4_mapped_host_is_the_ipv4_host() -> None:
    expected = Address("10.50.1.1", 80)
    mapped = "::ffff:10.50.1.1"
    assert (
        Address.parse(f"[{mapped}]:80") == Address(mapped, 80) == Address(IPv6Address(mapped), 80) == expected
    )
    assert split(f"[{mapped}]:80") == split_like((mapped, 80)) == (("10.50.1.1",), 80)
    for twice in (f"10.50.1.1/[{mapped}]:80", f"[{mapped}]/[::FFFF:a32:101]:80"):
        with pytest.raises(ValueError, match="twice"):
            Address.parse(twice)


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("8.8.8.8", 0),
        ("2001:db8::1", 0),
        ("fd01::1", 0),
        ("10.0.0.1", 1),
        ("172.16.0.1", 1),
        ("172.32.0.1", 0),
        ("192.168.1.1", 1),
        ("fec0::1", 1),
        ("169.254.1.1", 2),
        ("fe80::1%2", 2),
        ("127.0.0.2", 3),
        ("::1", 3),
    ],
)
def test_how_near_a_host_is(host: str, scope: int) -> None:
    assert scope_of(Address(host, 0).hosts[0]) == scope


@given(addresses)
def test_parse_is_the_way_back_from_str(address: Address) -> None:
    assert Address.parse(str(address)) == address
    assert Address(address.hosts, address.port) == address
    assert hash(Address.parse(str(address))) == hash(address)


MALFORMED = [
    "1.2.3.4//5.6.7.8:80",
    "1.2.3.4/:80",
    "/1.2.3.4:80",
    "/:80",
    "",
    ":",
    "1.2.3.4",
    "1.2.3.4:",
    "1.2.3.4:+80",
    "1.2.3.4:-1",
    "1.2.3.4: 80",
    "1.2.3.4:80 ",
    "1.2.3.4:80\n",
    "1.2.3.4:8_0",
    "1.2.3.4:٨٠",
    "1.2.3.4:²",
    "1.2.3.4:65536",
    "1.2.3.4:000080",
    "1.2.3.4:0x50",
    "1.2.3.4:http",
    "1.2.3.256:80",
    "1.2.3:80",
    "1.2.3.4.:80",
    "01.2.3.4:80",
    "5:80",
    "host.5:80",
    "١.٢.٣.٤:80",  # noqa: RUF001
    " 1.2.3.4:80",
    "1.2.3.4 /5.6.7.8:80",
    "fe80::1:5000",
    "2001:db8::1",
    "::1:80",
    "10.0.0.1/2001:db8::1:80",
    "[1.2.3.4]:80",
    "[host]:80",
    "[]:80",
    "[::1:80",
    "::1]:80",
    "[[::1]]:80",
    "[::1]x:80",
    "[::1]]:80",
    "[fe80::1%]:80",
    "[fe80::1%a%b]:80",
    "[fe80::1%a]b]:80",
    "[fe80::1%a b]:80",
    "[::ffff:1.2.3.4%lo]:80",
    "1.2.3.4/1.2.3.4:80",
    "[::1]/[0::1]:80",
    "0.0.0.0/1.2.3.4:80",
    "1.2.3.4/[::]:80",
    "a..b:80",
    ".:80",
    ".host:80",
    "ho$t:80",
    "bücher:80",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_text_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="accepted: 'host:port'") as caught:
        Address.parse(text)
    assert str(caught.value).startswith(repr(text))
    with pytest.raises(ValueError, match="accepted: 'host:port'") as caught:
        split(text)
    assert str(caught.value).startswith(repr(text))


@pytest.mark.parametrize("text", ["localhost:80", "a-b_c.example.:80", "10.0.0.1/host:80"])
def test_a_name_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address; accepted") as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value)


@given(st.text(alphabet="0123456789.:/[]%abf \t", max_size=30))
def test_any_text_parses_or_is_a_value_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        with pytest.raises(ValueError, match=re.escape(repr(text))):
            Address.parse(text)
    else:
        assert Address.parse(str(address)) == address


def test_split_lets_names_through() -> None:
    assert split("Example.org/10.0.0.1/[2001:DB8::1]/x2:80") == (
        ("Example.org", "10.0.0.1", "2001:DB8::1", "x2"),
        80,
    )
    assert split("4ever.4u_-:1") == (("4ever.4u_-",), 1)
    assert split("host.:1") == (("host.",), 1)
    assert split(":0") == ((), 0)


@pytest.mark.parametrize("text", ["host/HOST:80", "host/host.:80"])
def test_split_refuses_a_name_twice(text: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        split(text)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1/host:80", (("10.0.0.1", "host"), 80)),
        (Address("10.0.0.1/[::1]", 80), (("10.0.0.1", "::1"), 80)),
        (Address((), 80), ((), 80)),
        (("127.0.0.1", 5000), (("127.0.0.1",), 5000)),
        (("::1", 5000), (("::1",), 5000)),
        (("[::1]", 5000), (("::1",), 5000)),
        (("fe80::1%lo", 5000), (("fe80::1%lo",), 5000)),
        (("10.0.0.1/10.1.0.1", 5000), (("10.0.0.1", "10.1.0.1"), 5000)),
        (("localhost", 0), (("localhost",), 0)),
        (("", 5000), ((), 5000)),
    ],
)
def test_split_like(address: Any, expected: tuple[tuple[str, ...], int]) -> None:
    assert split_like(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        None,
        5000,
        b"10.0.0.1:80",
        ["10.0.0.1", 80],
        ("10.0.0.1", "80"),
        ("10.0.0.1", True),
        ("10.0.0.1", 80.0),
        ("::1", 80, 0, 0),
        (V4, 80),
        (),
    ],
)
def test_split_like_quotes_what_is_no_address(address: Any) -> None:
    with pytest.raises(TypeError) as caught:
        split_like(address)
    assert repr(address) in str(caught.value)


SEVERAL = "several hosts of one endpoint are one value, '10.0.0.1/10.1.0.1:5000'"


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        (0, "':0' is a port of this host, 'host:0' that of a peer"),
        (5000, "':5000' is a port of this host, 'host:5000' that of a peer"),
        (["10.0.0.1:5000"], SEVERAL),
        (["10.0.0.1:5000", "10.1.0.1:5000"], SEVERAL),
        (("10.0.0.1:5000", "10.1.0.1:5000"), SEVERAL),
        ({"10.0.0.1:5000"}, SEVERAL),
        ((["10.0.0.1", "10.1.0.1"], 5000), SEVERAL),
        ([Address("10.0.0.1", 5000), Address("10.1.0.1", 5000)], SEVERAL),
        (("10.0.0.1", "5000"), "a tuple (str, int)"),
        (True, "a tuple (str, int)"),
        (None, "a tuple (str, int)"),
        (b":5000", "a tuple (str, int)"),
    ],
)
@pytest.mark.parametrize("read", [split_like, split, Address.parse])
def test_what_was_meant_is_told(read: Callable[[Any], object], address: Any, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        read(address)
    assert str(caught.value).startswith(
        f"{address!r} is not an address; accepted: a str such as '10.0.0.1:5000'"
    )
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize(
    "address",
    [
        ("10.0.0.1", 65536),
        ("10.0.0.1", -1),
        ("10.0.0.1/", 1),
        ("1.2.3", 1),
        ("ho st", 1),
        ("a" * 64 + ".example", 1),
    ],
)
def test_split_like_quotes_a_malformed_pair(address: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match="is not an address") as caught:
        split_like(address)
    assert repr(address) in str(caught.value)


def test_the_constructor_normalises() -> None:
    expected = (V4, V6)
    assert Address("10.50.1.1/2001:db8::1", 1).hosts == expected
    assert Address("10.50.1.1/[2001:db8::1]", 1).hosts == expected
    assert Address(["10.50.1.1", V6], 1).hosts == expected
    assert Address((host for host in expected), 1).hosts == expected
    assert Address(V6, 1).hosts == (V6,)
    assert Address("", 1).hosts == ()
    assert Address((), 1) == Address("", 1)


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ("localhost", "'localhost' is not an IP address"),
        (["10.0.0.1", "10.0.0.1"], "twice"),
        ([V4, "10.50.1.1"], "twice"),
        (["0.0.0.0", "10.0.0.1"], "wildcard"),
        (["10.0.0.1", ""], "empty"),
        (["10.0.0.1/10.0.0.2"], "not a host"),
        (IPv6Address("fe80::1%a b"), "scope id"),
    ],
)
def test_the_constructor_refuses_hosts(hosts: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Address(hosts, 80)


@pytest.mark.parametrize("port", [-1, 65536])
def test_the_constructor_refuses_a_port_out_of_range(port: int) -> None:
    with pytest.raises(ValueError, match=f"port {port} is out of range; accepted: 0 to 65535"):
        Address("10.0.0.1", port)


@pytest.mark.parametrize("port", ["80", True, 80.0, None])
def test_the_constructor_refuses_a_port_of_another_type(port: Any) -> None:
    with pytest.raises(TypeError, match="is not an int"):
        Address("10.0.0.1", port)


def test_the_constructor_refuses_a_host_of_another_type() -> None:
    with pytest.raises(TypeError, match="167772161"):
        Address([167772161], 80)  # type: ignore[list-item]


def test_it_is_a_frozen_value() -> None:
    address = Address("10.0.0.1", 80)
    with pytest.raises(dataclasses.FrozenInstanceError):
        address.port = 81  # type: ignore[misc]
    assert not hasattr(address, "__dict__")
    assert hash(address) == hash(Address.parse("10.0.0.1:80"))
    assert address != Address("10.0.0.1", 81)
    assert copy.copy(address) == address
    assert pickle.loads(pickle.dumps(address)) == address
    assert dataclasses.replace(address, port=81) == Address("10.0.0.1", 81)
