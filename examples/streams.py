"""Streams: each keeps its own order and has its own reader; a slow one does not hold up the others."""

import asyncio

from sctpio import Conn, EndOfAssociation, InitMsg, StreamOutOfRangeError, connect, listen

FOUR = InitMsg(outbound_streams=4, inbound_streams=4)


async def collect(conn: Conn, sid: int) -> None:
    # The first read claims the stream: its messages come here, not to conn.receive().
    words = [message.data.decode() async for message in conn.stream(sid)]
    print(f"stream {sid}: {' '.join(words)}")


async def serve(conn: Conn) -> None:
    await asyncio.gather(collect(conn, 1), collect(conn, 2))
    try:
        rest = await conn.receive_many()
        print(f"the other streams: {[(message.stream, message.data) for message in rest]}")
    except EndOfAssociation:
        print("the other streams: nothing")


async def main() -> None:
    async with listen("127.0.0.1:0", init=FOUR) as listener:
        server = asyncio.create_task(listener.serve(serve))
        async with connect(listener.local_addresses, init=FOUR) as conn:
            numbers, letters = conn.stream(1), conn.stream(2, ppid=60)
            for number, letter in zip("123", "abc", strict=True):
                await numbers.send(number.encode())
                await letters.send(letter.encode())
            await conn.send(b"!", stream=0, unordered=True)
            try:
                await conn.send(b"?", stream=4)
            except StreamOutOfRangeError as error:
                print(error)
    await server


if __name__ == "__main__":
    asyncio.run(main())
