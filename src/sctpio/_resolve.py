"""Host names in addresses, resolved by the loop's resolver (off the loop, in its executor)."""

import asyncio
import socket

from .address import Address, AddressLike, is_literal, split_like


async def resolve(address: AddressLike) -> list[Address]:
    """Give the addresses that `address` can mean, the best first.

    An address without names means itself. A single name can mean each of the addresses that it resolves
    to, one after another: they need not be one host. Beside other hosts, a name means its first address.
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


async def _lookup(name: str) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
