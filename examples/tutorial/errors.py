"""Step 5: what can go wrong, and what you get."""

import asyncio

from sctpio import AssociationEnded, Conn, connect, listen


async def collect(conn: Conn) -> None:
    message = await conn.receive()
    if message.data == b"bye":
        return  # `serve` closes the association: a graceful end
    float(message.data)  # an error aborts it, and is logged


async def ask(conn: Conn, text: bytes) -> None:
    try:
        await conn.send(text)
        print(await conn.receive())
    except AssociationEnded as end:
        print(f"{text!r}: {type(end).__name__}: {end}")


async def main() -> None:
    async with listen("127.0.0.1:0") as listener:
        serving = asyncio.create_task(listener.serve(collect))
        for text in (b"bye", b"warm"):
            async with connect(listener.local_addresses) as conn:
                await ask(conn, text)
        nobody = listener.local_addresses
    await serving
    try:
        await connect(nobody, timeout=5)
    except OSError as error:
        print(type(error).__name__)


asyncio.run(main())
