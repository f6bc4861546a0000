"""osmo-stp, a Signalling Transfer Point, with sctpio at the Application Server Processes (M3UA, RFC 4666)."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from peers.programs import OSMO_STP
from peers.running import PATIENT, PORTS, started
from sctpio import Conn, Ppid, connect, listen

MANAGEMENT, TRANSFER, STATE, TRAFFIC, ROUTING = 0, 1, 3, 4, 9  # classes of messages
UP, UP_ACK, ACTIVE, ACTIVE_ACK, REGISTER, REGISTERED, DATA = (
    *((STATE, 1), (STATE, 4)),
    *((TRAFFIC, 1), (TRAFFIC, 3)),
    *((ROUTING, 1), (ROUTING, 2)),
    (TRANSFER, 1),
)
CONTEXT, PROTOCOL_DATA, KEY, RESULT, KEY_NUMBER, POINT_CODE = 0x0006, 0x0210, 0x0207, 0x0208, 0x020A, 0x020B
# Others may come in between.
AWAITED = (UP_ACK, ACTIVE_ACK, REGISTERED, DATA)

CONFIGURATION = """
line vty
 no login
cs7 instance 0
 point-code 1.1.1
 xua rkm routing-key-allocation dynamic-permitted
 asp called {called} 0 m3ua
  local-ip 127.0.0.1
  remote-ip 127.0.0.1
  role sg
  sctp-role client
 as called m3ua
  asp called
  routing-key 77 0.1.0
  traffic-mode override
 route-table system
  update route 0.1.0 7.255.7 linkset called
 listen m3ua {listening}
  local-ip 127.0.0.1
  accept-asp-connections dynamic-permitted
"""
# Of user data in a message of MTP3 (ITU-T Q.704).
LONGEST = 268
CALLED, CALLED_CONTEXT = 0o10, 77  # the point code 0.1.0


class Stp(NamedTuple):
    """One that runs: the port where it listens, and who listens for its call."""

    port: int
    called: AsyncIterator[Conn]


@pytest.fixture
async def stp(tmp_path: Path) -> AsyncIterator[Stp]:
    listening, called = next(PORTS), next(PORTS)
    (tmp_path / "stp.cfg").write_text(CONFIGURATION.format(listening=listening, called=called))
    async with listen(f"127.0.0.1:{called}") as listener:
        with started(["osmo-stp", "-c", str(tmp_path / "stp.cfg")]) as program:
            await program.listens(listening)
            yield Stp(listening, aiter(listener))
            program.process.terminate()


def parameter(tag: int, value: bytes) -> bytes:
    return struct.pack("!HH", tag, 4 + len(value)) + value + bytes(-len(value) % 4)


def number(tag: int, value: int) -> bytes:
    return parameter(tag, value.to_bytes(4))


def parameters(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        tag, length = struct.unpack_from("!HH", data)
        yield tag, data[4:length]
        data = data[length + -length % 4 :]


class Process:
    """An Application Server Process."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn
        self.context = CALLED_CONTEXT

    async def send(self, kind: tuple[int, int], *values: bytes, stream: int = 0) -> None:
        body = b"".join(values)
        head = struct.pack("!BBBBI", 1, 0, *kind, 8 + len(body))
        await self.conn.send(head + body, stream=stream, ppid=Ppid.M3UA)

    async def answer(self, wanted: tuple[int, int]) -> dict[int, bytes]:
        """Wait for the next message of those that matter, and see that it is this one."""
        while True:
            message = await self.conn.receive()
            assert message.ppid == Ppid.M3UA
            version, _, *kind, length = struct.unpack_from("!BBBBI", message.data)
            assert (version, length) == (1, len(message.data))
            if tuple(kind) in AWAITED:
                assert tuple(kind) == wanted
                # Management and the state of processes are of stream 0 (RFC 4666 section 1.4.7).
                assert (message.stream == 0) == (wanted != DATA)
                return dict(parameters(message.data[8:]))

    async def rise(self, point_code: int | None = None) -> None:
        """Come up, register a point code unless the STP knows it, and become active."""
        await self.send(UP)
        await self.answer(UP_ACK)
        if point_code is not None:
            await self.send(REGISTER, parameter(KEY, number(KEY_NUMBER, 5) + number(POINT_CODE, point_code)))
            result = dict(parameters((await self.answer(REGISTERED))[RESULT]))
            self.context = int.from_bytes(result[CONTEXT])
        await self.send(ACTIVE, number(CONTEXT, self.context))
        await self.answer(ACTIVE_ACK)

    async def transfer(self, origin: int, destination: int, data: bytes) -> None:
        label = struct.pack("!IIBBBB", origin, destination, 3, 2, 0, 1)
        await self.send(DATA, number(CONTEXT, self.context), parameter(PROTOCOL_DATA, label + data), stream=1)

    async def transferred(self) -> tuple[int, int, bytes]:
        value = (await self.answer(DATA))[PROTOCOL_DATA]
        return *struct.unpack_from("!II", value), value[12:]


async def routed(one: Process, one_code: int, other: Process, other_code: int) -> None:
    """See that DATA goes both ways."""
    for size in (1, 200, LONGEST):
        there, back = bytes(size), b"\xff" * size
        await one.transfer(one_code, other_code, there)
        assert await other.transferred() == (one_code, other_code, there)
        await other.transfer(other_code, one_code, back)
        assert await one.transferred() == (other_code, one_code, back)


@asynccontextmanager
async def calling(stp: Stp, point_code: int) -> AsyncIterator[Process]:
    async with connect(f"127.0.0.1:{stp.port}") as conn:
        process = Process(conn)
        await process.rise(point_code)
        yield process


@pytest.mark.peer(
    OSMO_STP, "the program", "M3UA: ASP up, registration, active; DATA routed between two that called it"
)
async def test_an_stp_routes_between_those_that_call_it(stp: Stp) -> None:
    async with asyncio.timeout(PATIENT), calling(stp, 9) as one, calling(stp, 10) as other:
        await routed(one, 9, other, 10)


@pytest.mark.peer(
    OSMO_STP, "sctpio, and the program", "M3UA: the same between one that it called and one that called it"
)
async def test_an_stp_routes_between_whom_it_calls_and_who_calls_it(stp: Stp) -> None:
    async with asyncio.timeout(PATIENT), await anext(stp.called) as conn:
        called = Process(conn)
        await called.rise()
        async with calling(stp, 9) as caller:
            await routed(caller, 9, called, CALLED)
