"""Socket addresses: bytes <-> `Address`, for Linux and BSD shapes of sockaddr."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from .address import Address, Host
from .errors import DecodeError

__all__ = ["SockaddrCodec"]

_INET = struct.Struct("!H4s8x")
_INET6 = struct.Struct("!HI16s")


class SockaddrCodec:
    """Packs and unpacks sockaddr_in and sockaddr_in6.

    `af_inet` and `af_inet6` are the family numbers; `length_byte` says that the family shares its
    16 bits with a length (BSD). The two callables convert scope ids to and from interface
    numbers; an interface that has no name (any more) keeps its number as scope id.
    """

    def __init__(
        self,
        af_inet: int,
        af_inet6: int,
        *,
        length_byte: bool = False,
        scope_to_index: Callable[[str], int] = int,
        index_to_scope: Callable[[int], str] = str,
    ) -> None:
        self._families = {af_inet: 16, af_inet6: 28}
        self._inet = af_inet
        self._inet6 = af_inet6
        self._length_byte = length_byte
        self._head = struct.Struct("=BB" if length_byte else "=H")
        self._scope_to_index = scope_to_index
        self._index_to_scope = index_to_scope

    def pack(self, address: Address) -> bytes:
        """Pack all hosts, one sockaddr after the other, each with the port.

        Raises:
            ValueError: the address is the wildcard, which is no sockaddr.
            OSError: `scope_to_index` knows no such interface.
        """
        if not address.hosts:
            raise ValueError(f"{str(address)!r} names no host to pack")
        return b"".join(self._pack_host(host, address.port) for host in address.hosts)

    def _pack_host(self, host: Host, port: int) -> bytes:
        if isinstance(host, IPv4Address):
            return self._pack_head(self._inet) + _INET.pack(port, host.packed)
        scope = self._scope_to_index(host.scope_id) if host.scope_id is not None else 0
        body = _INET6.pack(port, 0, host.packed)
        return self._pack_head(self._inet6) + body + struct.pack("=I", scope)

    def _pack_head(self, family: int) -> bytes:
        if self._length_byte:
            return self._head.pack(self._families[family], family)
        return self._head.pack(family)

    def unpack(self, data: bytes) -> Address:
        """Read the one sockaddr at the start of `data`; what follows it is ignored.

        Raises:
            DecodeError: it is not an IPv4 or IPv6 sockaddr, or is cut short.
        """
        host, port, _ = self._unpack_host(data, 0)
        return Address(host, port)

    def unpack_all(self, data: bytes) -> Address:
        """Read a packed array of sockaddrs that share one port; a host is kept once.

        Raises:
            DecodeError: there is none, one is malformed or cut short, or the ports differ.
        """
        hosts: dict[Host, int] = {}
        offset = 0
        while offset < len(data):
            host, port, offset = self._unpack_host(data, offset)
            hosts.setdefault(host, port)
        ports = set(hosts.values())
        if len(ports) != 1:
            raise DecodeError(f"the ports of packed addresses differ or are missing: {ports}")
        try:
            return Address(hosts, ports.pop())
        except ValueError as error:
            raise DecodeError(str(error)) from None

    def _unpack_host(self, data: bytes, offset: int) -> tuple[Host, int, int]:
        """Return the host, the port, and the offset after them."""
        if len(data) - offset < 2:
            raise DecodeError(f"a socket address is cut short at byte {offset}")
        family = self._head.unpack_from(data, offset)[-1]
        size = self._families.get(family)
        if size is None:
            raise DecodeError(f"{family} is not the family of an IPv4 or IPv6 address")
        end = offset + size
        if len(data) < end:
            raise DecodeError(f"a socket address of {size} bytes is cut short at byte {offset}")
        if family == self._inet:
            port, packed = _INET.unpack_from(data, offset + 2)
            return IPv4Address(packed), port, end
        port, _, packed = _INET6.unpack_from(data, offset + 2)
        (scope,) = struct.unpack_from("=I", data, offset + 24)
        return self._ipv6(packed, scope), port, end

    def _ipv6(self, packed: bytes, index: int) -> Host:
        host = IPv6Address(packed)
        if host.ipv4_mapped is not None:
            return host.ipv4_mapped
        # Linux puts the incoming interface into every scope id; only a link-local one means it.
        if not index or not host.is_link_local:
            return host
        try:
            return Address(f"{host}%{self._index_to_scope(index)}", 0).hosts[0]
        except (OSError, ValueError):
            return IPv6Address(f"{host}%{index}")
