"""Bytes written by hand, as a compiler would lay them out, and codecs that read them."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sctpio._abi.codec import Codec
from sctpio._abi.linux import LINUX

NAMES = {"eth0": 2, "lo": 1}


def name_of(index: int) -> str:
    for name, number in NAMES.items():
        if number == index:
            return name
    raise OSError(6, "No such device or address")


codec = Codec(LINUX, scope_to_index=NAMES.__getitem__, index_to_scope=name_of, tick=0.004)
plain = Codec(LINUX)


def native(code: str, *values: Any) -> bytes:
    return struct.pack(f"={code}", *values)


def sin(host: str, port: int) -> bytes:
    return native("H", 2) + struct.pack("!H4s8x", port, IPv4Address(host).packed)


def sin6(host: str, port: int, scope: int = 0, flow: int = 0) -> bytes:
    body = struct.pack("!HI16s", port, flow, IPv6Address(host).packed)
    return native("H", 10) + body + native("I", scope)


def storage(data: bytes) -> bytes:
    return data.ljust(128, b"\0")


def net16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def net32(value: int) -> bytes:
    return value.to_bytes(4, "big")
