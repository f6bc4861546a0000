"""Channels of objects: each stream carries one type of Python object, and has a codec for it.

The codec is JSON here. Any other pair of functions will do: `msgspec_codec` is one that is faster and checks
what comes (pip install msgspec).
"""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, NamedTuple, TypeVar

from sctpio import Conn, InitMsg, connect, listen

T = TypeVar("T")


class Codec(NamedTuple, Generic[T]):
    """How objects become bytes, and bytes objects. `decode` raises an error for bytes that are none."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def json_codec(kind: Callable[..., T]) -> Codec[T]:
    """Return the codec for a dataclass whose fields JSON knows."""

    def encode(value: Any) -> bytes:
        return json.dumps(dataclasses.asdict(value)).encode()

    return Codec(encode, lambda data: kind(**json.loads(data)))


def msgspec_codec(kind: type[T]) -> Codec[T]:
    """Return the codec of msgspec for any type that it knows."""
    import msgspec

    return Codec(msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(kind).decode)


class Channel(Generic[T]):
    """One stream, both ways, of objects of one type."""

    def __init__(self, conn: Conn, number: int, codec: Codec[T]) -> None:
        self._stream = conn.stream(number)
        self._codec = codec

    async def send(self, value: T) -> None:
        await self._stream.send(self._codec.encode(value))

    async def receive(self) -> T:
        return self._codec.decode((await self._stream.receive()).data)

    async def __aiter__(self) -> AsyncIterator[T]:
        async for message in self._stream:
            yield self._codec.decode(message.data)


@dataclasses.dataclass
class Reading:
    """What a station measures."""

    station: str
    degrees: float


@dataclasses.dataclass
class Alarm:
    """What cannot wait for readings."""

    station: str
    reason: str


FOUR = InitMsg(outbound_streams=4, inbound_streams=4)


def channels(conn: Conn, codec: Callable[[type[Any]], Codec[Any]]) -> tuple[Channel[Reading], Channel[Alarm]]:
    """Return the channels of an association: both ends make them in the same way."""
    return Channel(conn, 1, codec(Reading)), Channel(conn, 2, codec(Alarm))


async def main(codec: Callable[[type[Any]], Codec[Any]] = json_codec) -> None:
    async with (
        listen("127.0.0.1:0", init=FOUR) as listener,
        connect(listener.local_addresses, init=FOUR) as conn,
    ):
        server = await listener.accept()
        readings, alarms = channels(conn, codec)
        await readings.send(Reading("north", 21.5))
        await readings.send(Reading("north", 98.0))
        await alarms.send(Alarm("north", "it burns"))
        await conn.shutdown()
        got_readings, got_alarms = channels(server, codec)
        print(await got_alarms.receive())
        print([reading async for reading in got_readings])


if __name__ == "__main__":
    asyncio.run(main())
