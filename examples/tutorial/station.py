"""Step 8: a station. It sends readings, and comes back if the gateway is away for a while."""

import asyncio
import sys

from sctpio import Conn, InitMsg, KeepAlive, connect

READINGS, ALARMS = 1, 2
THREE = InitMsg(outbound_streams=3, inbound_streams=3)


async def report(conn: Conn) -> None:
    readings, alarms = conn.stream(READINGS), conn.stream(ALARMS)
    for degrees in (21.5, 21.6, 98.0):
        stream = alarms if degrees > 60 else readings
        await stream.send(str(degrees).encode())
        print(degrees, (await stream.receive()).data.decode())


async def run(address: str) -> None:
    async for conn in connect(address, init=THREE, options=[KeepAlive(detect_within=3.0)]):
        try:
            async with conn:
                await report(conn)
            break
        except (OSError, EOFError) as error:
            print(f"{error}; trying again")


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1/127.0.0.2:5000"))
