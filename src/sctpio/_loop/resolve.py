"""Resolving host names in addresses, with the loop's own resolver (which works in its executor)."""

import asyncio
import socket

from ..address import Address, AddressLike, is_literal, split_like, split_remote


async def resolve(address: AddressLike) -> list[Address]:
    """Return the addresses that `address` can mean, in the order in which to try them; raises OSError.

    An address without names means itself. A name alone can mean any one of the addresses that it resolves to:
    they need not belong to one host. A name among other hosts means the first address that it resolves to.
    """
    if isinstance(address, Address):
        return [address]
    hosts, port = split_like(address)
    if all(map(is_literal, hosts)):
        return [Address(hosts, port)]
    if len(hosts) == 1:
        return [Address(host, port) for host in await _lookup(hosts[0])]
    first = [host if is_literal(host) else (await _lookup(host))[0] for host in hosts]
    return [Address(first, port)]


async def resolve_remote(address: AddressLike) -> list[Address]:
    """Return the addresses that a peer's address can mean; raises ValueError for the wildcard, too."""
    split_remote(address)
    return await resolve(address)


async def _lookup(name: str) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        # Its own text does not say which name.
        raise socket.gaierror(error.errno, f"{error.strerror}: {name!r}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
