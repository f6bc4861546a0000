"""Addresses: a port and the IP addresses of one endpoint, and their text form.

The text form is ``host/host/...:port``. IPv6 hosts are in brackets, and no host at all is the wildcard::

    10.50.1.1/10.50.2.1:2904    10.50.1.1/[2001:db8::1]:2904    [fe80::1%eth0]:5000    :5000

An IPv4-mapped IPv6 address (``[::ffff:10.0.0.1]``) means the IPv4 address, and becomes it. A scope id is the
name of an interface or its number (RFC 4007 section 11.2).

An `Address` has IP addresses only. `split`, `split_like` and `split_remote` accept host names too, for
callers that resolve them. All rules about what is an address are in this module, and every error quotes the
text that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["Address", "AddressLike", "Host", "is_literal", "scope_of", "split", "split_like", "split_remote"]

Host = IPv4Address | IPv6Address

_ACCEPTED = (
    "accepted: 'host:port', 'host/host:port', '[IPv6 host]:port' or ':port' for the wildcard, "
    "with a decimal port from 0 to 65535"
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")  # RFC 1035: a label has up to 63
_PORT = re.compile(r"[0-9]{1,5}")
_SCOPE = re.compile(r"[^\s/\[\]%]+")
_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


@dataclass(frozen=True, slots=True, init=False)
class Address:
    """One endpoint: a port number and the IP addresses that share it (RFC 9260 section 1.3).

    `hosts` are the IP addresses in the order in which they were given, with their IPv6 scope ids; an empty
    tuple is the wildcard. `port` is from 0 to 65535, and 0 means any port where one is to be bound.
    """

    hosts: tuple[Host, ...]
    port: int

    def __init__(self, hosts: str | Host | Iterable[str | Host], port: int) -> None:
        """Make an address of IP addresses, given as `ipaddress` objects or as text.

        One text may hold several hosts, ``"10.0.0.1/10.1.0.1"``; the empty text is the wildcard.

        Raises:
            ValueError: a host is no IP address, is given twice, or is a wildcard among others;
                or the port is out of range.
            TypeError: a host or the port is of another type.
        """
        if isinstance(hosts, str):
            hosts = _elements(hosts)
        elif isinstance(hosts, (IPv4Address, IPv6Address)):
            hosts = (hosts,)
        normal = tuple(_ip(host) for host in hosts)
        _check_together(normal)
        object.__setattr__(self, "hosts", normal)
        object.__setattr__(self, "port", _checked_port(port))

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address from its text form; `str()` is the way back.

        Raises:
            TypeError: it is no text.
            ValueError: the text is malformed or names a host that is no IP address.
        """
        hosts, port = split(text)
        try:
            return cls(hosts, port)
        except ValueError as error:
            raise _bad(text, str(error)) from None

    def __str__(self) -> str:
        hosts = (f"[{host}]" if isinstance(host, IPv6Address) else str(host) for host in self.hosts)
        return f"{'/'.join(hosts)}:{self.port}"


AddressLike = str | Address | tuple[str, int]
"""What is accepted wherever an address is taken: text, an `Address`, or a tuple ``(host, port)``."""


def split(text: str) -> tuple[tuple[str, ...], int]:
    """Split the text form into host texts, without brackets, and the port.

    A host is an IP address or a host name of letters, digits, ``-``, ``_`` and ``.``. A name whose last label
    is all digits is refused as a bad IPv4 address. Whether a name exists is not looked up here.

    Raises:
        TypeError: it is no text.
        ValueError: the text is malformed; the message quotes it.
    """
    if not isinstance(text, str):
        raise _no_address(text)
    hosts, colon, port = text.rpartition(":")
    if not colon:
        raise _bad(text, "the port is missing")
    if not _PORT.fullmatch(port) or int(port) > 0xFFFF:
        raise _bad(text, f"{port!r} is not a port")
    try:
        return _hosts_of(_elements(hosts), bare=False), int(port)
    except ValueError as error:
        raise _bad(text, str(error)) from None


def split_remote(address: AddressLike) -> tuple[tuple[str, ...], int]:
    """Split a peer's address as `split_like` does; raises ValueError for the wildcard, too."""
    hosts, port = split_like(address)
    if not hosts:
        raise ValueError(f"{str(address)!r} names no host of a peer: the wildcard is for local addresses")
    return hosts, port


def split_like(address: AddressLike) -> tuple[tuple[str, ...], int]:
    """Split any form of address into host texts and the port.

    In a tuple an IPv6 host needs no brackets, ``("::1", 5000)``, several hosts are separated by slashes, and
    the empty text is the wildcard.

    Raises:
        TypeError: it is none of the three forms.
        ValueError: it is malformed; the message quotes it.
    """
    if isinstance(address, str):
        return split(address)
    if isinstance(address, Address):
        return tuple(str(host) for host in address.hosts), address.port
    if not _is_pair(address):
        raise _no_address(address)
    hosts, port = address
    try:
        return _hosts_of(_elements(hosts), bare=True), _checked_port(port)
    except ValueError as error:
        raise _bad(address, str(error)) from None


def _is_pair(value: object) -> bool:
    match value:
        case (str(), bool()):
            return False
        case (str(), int()):
            return isinstance(value, tuple)
    return False


def _no_address(given: object) -> TypeError:
    """Return the error for what has none of the types of an address."""
    hint = ""
    if isinstance(given, int) and not isinstance(given, bool):
        hint = f"; ':{given}' is a port of this host, 'host:{given}' that of a peer"
    elif isinstance(given, (list, set, frozenset)) or (isinstance(given, tuple) and not _port_is_text(given)):
        hint = "; several hosts of one endpoint are one value, '10.0.0.1/10.1.0.1:5000'"
    return TypeError(
        f"{given!r} is not an address; accepted: a str such as '10.0.0.1:5000', an Address, or a tuple "
        f"(str, int){hint}"
    )


def _port_is_text(given: tuple[object, ...]) -> bool:
    return len(given) == 2 and isinstance(given[1], str) and _PORT.fullmatch(given[1]) is not None


def _bad(given: object, reason: str) -> ValueError:
    return ValueError(f"{given!r} is not an address: {reason}; {_ACCEPTED}")


def _checked_port(port: int) -> int:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port {port!r} is not an int")
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"port {port!r} is out of range; accepted: 0 to 65535")
    return port


def _elements(hosts: str) -> tuple[str, ...]:
    return tuple(hosts.split("/")) if hosts else ()


def _hosts_of(elements: tuple[str, ...], *, bare: bool) -> tuple[str, ...]:
    parsed = tuple(_host(element, bare=bare) for element in elements)
    _check_together(parsed)
    return tuple(
        str(host) if isinstance(host, IPv4Address) else element.strip("[]")
        for element, host in zip(elements, parsed, strict=True)
    )


def _host(element: str, *, bare: bool) -> Host | str:
    """Return the IP address that a host text names, or the host name in lower case.

    `bare` allows an IPv6 address without brackets.
    """
    if not element:
        raise ValueError("a host is empty")
    if element.startswith("[") and element.endswith("]"):
        return _ipv6(element[1:-1])
    if ":" in element:
        if not bare:
            raise ValueError(f"the IPv6 host in {element!r} lacks its brackets")
        return _ipv6(element)
    if not _NAME.fullmatch(element):
        raise ValueError(f"{element!r} is not a host")
    if element.rstrip(".").rpartition(".")[2].isdigit():
        return IPv4Address(element)
    return element.rstrip(".").lower()


def _ipv6(text: str) -> Host:
    host = IPv6Address(text)
    if host.scope_id is not None and not _SCOPE.fullmatch(host.scope_id):
        raise ValueError(f"{host.scope_id!r} is not an IPv6 scope id")
    if host.ipv4_mapped is None:
        return host
    if host.scope_id is not None:
        raise ValueError(f"{text!r} is an IPv4 address, which has no scope id")
    return host.ipv4_mapped


def _ip(host: str | Host) -> Host:
    if isinstance(host, str):
        parsed = _host(host, bare=True)
        if isinstance(parsed, str):
            raise ValueError(f"{host!r} is not an IP address")
        return parsed
    if isinstance(host, IPv6Address):
        return _ipv6(str(host))
    if isinstance(host, IPv4Address):
        return host
    raise TypeError(f"host {host!r} is neither a str nor an ipaddress object")


def _check_together(hosts: tuple[Host | str, ...]) -> None:
    if len(set(hosts)) < len(hosts):
        raise ValueError("a host is given twice")
    if len(hosts) > 1 and any(not isinstance(h, str) and h.is_unspecified for h in hosts):
        raise ValueError("a wildcard host stands among others")


def is_literal(host: str) -> bool:
    """Tell whether a host is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def scope_of(host: Host) -> int:
    """Return how near a host is: 0 global, 1 private, 2 on the link, 3 on this host.

    This is how the stacks see it (RFC 4007 and 1918); a unique-local IPv6 address is global to them.
    """
    if host.is_loopback:
        return 3
    if host.is_link_local:
        return 2
    private = isinstance(host, IPv4Address) and any(host in network for network in _PRIVATE)
    return int(private or (not isinstance(host, IPv4Address) and host.is_site_local))
