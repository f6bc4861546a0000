"""A chat: all associations share one socket of the server, and each line goes to everybody by one call."""

import asyncio

from sctpio import Address, Conn, Listener, Mode, connect, listen


class Room:
    """Who is in it, by the number of the association."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.names: dict[int, str] = {}
        self.full = asyncio.Event()

    async def serve(self, conn: Conn) -> None:
        name = (await conn.receive()).data.decode(errors="replace")
        self.names[conn.association_id] = name
        if len(self.names) == 3:
            self.full.set()
        try:
            async for message in conn:
                await self.listener.broadcast(f"{name}: {message.data.decode(errors='replace')}".encode())
        finally:
            del self.names[conn.association_id]


async def talk(server: Address, name: str, line: str | None, until: str) -> list[str]:
    """Enter, say a line, and return what was heard until somebody says the last one."""
    heard: list[str] = []
    async with connect(server) as conn:
        await conn.send(name.encode())
        while not heard or heard[-1] != until:
            said = (await conn.receive()).data.decode()
            if said == "all are here":
                if line:
                    await conn.send(line.encode())
            else:
                heard.append(said)
    return heard


async def main() -> None:
    async with listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as listener:
        room = Room(listener)
        serving = asyncio.create_task(listener.serve(room.serve))
        last = "Ann: who is there?"
        talks = [
            asyncio.create_task(talk(listener.local_addresses, name, line, last))
            for name, line in (("Ann", "who is there?"), ("Bob", None), ("Eve", None))
        ]
        await room.full.wait()
        await listener.broadcast(b"all are here")
        for name, heard in zip(("Ann", "Bob", "Eve"), await asyncio.gather(*talks), strict=True):
            print(f"{name} heard {heard}")
    await serving


if __name__ == "__main__":
    asyncio.run(main())
