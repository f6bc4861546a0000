"""Socket addresses: bytes <-> `Address`, in the form of sockaddr_in and sockaddr_in6 that Linux has."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from ..address import Address, Host
from ..errors import DecodeError

__all__ = ["SockaddrCodec"]

_FAMILY = struct.Struct("=H")
_INET = struct.Struct("!H4s8x")
_INET6 = struct.Struct("!HI16s")


class SockaddrCodec:
    """Packs and unpacks sockaddr_in and sockaddr_in6.

    `af_inet` and `af_inet6` are the numbers of the address families. `scope_to_index` and `index_to_scope`
    convert IPv6 scope ids to and from interface numbers; an interface that has no name, or none any more,
    keeps its number as scope id.
    """

    def __init__(
        self,
        af_inet: int,
        af_inet6: int,
        *,
        scope_to_index: Callable[[str], int] = int,
        index_to_scope: Callable[[int], str] = str,
    ) -> None:
        self._families = {af_inet: 16, af_inet6: 28}
        self._inet = af_inet
        self._inet6 = af_inet6
        self._scope_to_index = scope_to_index
        self._index_to_scope = index_to_scope

    def pack(self, address: Address) -> bytes:
        """Pack all hosts, one sockaddr after the other, each with the port.

        Raises:
            ValueError: the address is the wildcard, which has no sockaddr.
            OSError: this host has no interface of that scope id.
        """
        if not address.hosts:
            raise ValueError(f"{str(address)!r} names no host to pack")
        return b"".join(self._pack_host(host, address.port) for host in address.hosts)

    def _pack_host(self, host: Host, port: int) -> bytes:
        if isinstance(host, IPv4Address):
            return _FAMILY.pack(self._inet) + _INET.pack(port, host.packed)
        scope = self._scope_to_index(host.scope_id) if host.scope_id is not None else 0
        body = _INET6.pack(port, 0, host.packed)
        return _FAMILY.pack(self._inet6) + body + struct.pack("=I", scope)

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
        """Return the host and port at `offset`, and the offset of what follows."""
        if len(data) - offset < 2:
            raise DecodeError(f"a socket address is cut short at byte {offset}")
        (family,) = _FAMILY.unpack_from(data, offset)
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
        # Linux names the incoming interface with every IPv6 source; it is part of link-local addresses only.
        if not index or not host.is_link_local:
            return host
        try:
            return Address(f"{host}%{self._index_to_scope(index)}", 0).hosts[0]
        except (OSError, ValueError):
            return IPv6Address(f"{host}%{index}")
