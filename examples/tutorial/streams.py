"""Step 3: readings on one stream, alarms on another. Neither waits for the other."""

import asyncio

from sctpio import Conn, InitMsg, StreamOutOfRangeError, connect, listen

READINGS, ALARMS = 1, 2
THREE = InitMsg(outbound_streams=3, inbound_streams=3)


async def words(conn: Conn, stream: int) -> str:
    return " ".join([message.data.decode() async for message in conn.stream(stream)])


async def collect(conn: Conn) -> None:
    readings, alarms = await asyncio.gather(words(conn, READINGS), words(conn, ALARMS))
    print(f"readings: {readings}")
    print(f"alarms: {alarms}")


async def main() -> None:
    async with listen("127.0.0.1:0", init=THREE) as listener:
        serving = asyncio.create_task(listener.serve(collect))
        async with connect(listener.local_addresses, init=THREE) as conn:
            readings, alarms = conn.stream(READINGS), conn.stream(ALARMS)
            await readings.send(b"21.5")
            await readings.send(b"21.6")
            await alarms.send(b"fire", ppid=7)
            await readings.send(b"98.0")
            try:
                await conn.send(b"?", stream=3)
            except StreamOutOfRangeError as error:
                print(error)
    await serving


asyncio.run(main())
