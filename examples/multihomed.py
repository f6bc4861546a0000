"""Multihoming: several addresses are one value, for listening and for connecting."""

import asyncio

from sctpio import Address, connect, listen


async def main() -> None:
    async with listen("127.0.0.1/127.0.0.2:0") as listener:
        print(f"server: listening on {' and '.join(map(str, listener.local_addresses.hosts))}")
        # All hosts are tried, and the local ones are announced to the peer.
        remote = Address("127.0.0.1/127.0.0.2", listener.port)
        async with connect(remote, local="127.0.0.3/127.0.0.4:0") as conn, await listener.accept() as server:
            print(f"server: the peer is at {' and '.join(sorted(map(str, server.peer_addresses.hosts)))}")
            for host in sorted(conn.peer_addresses.hosts, key=str):
                path = conn.path(Address(host, remote.port))
                print(f"client: path to {host}: MTU {path.mtu}, congestion window {path.cwnd} bytes")
            # This message goes over the path that is named, not over the primary one.
            await conn.send(b"by the second path", path=Address("127.0.0.2", remote.port))
            message = await server.receive()
            print(f"server: {message.data.decode()}")


if __name__ == "__main__":
    asyncio.run(main())
