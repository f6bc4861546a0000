"""Tools: socat and ncat, which know bytes alone, with a `cat` behind them; and those of lksctp-tools."""

import re
import socket
from collections import Counter

from peers.meeting import SIZES, associated, every_way
from peers.programs import NCAT, SCTP_DARN, SCTP_TEST, SOCAT, Program
from sctpio import EndOfAssociation, Mode
from support import until

PPID = 0x01020304
# What each says of a piece of a message that it received.
SAID = {
    SCTP_DARN.name: r"sinfo_stream (\d+)\s.*?sinfo_flags (\S+)\s.*?sinfo_ppid (\d+)\s.*?DATA\((\d+)\)",
    SCTP_TEST.name: r"SNDRCV\(stream=(\d+) .*?flags=(\S+) ppid=(\d+)",
}


@every_way("1, 1452, 65536, 200000 bytes come back", SOCAT, NCAT)
async def test_a_pipe_sends_the_bytes_back(program: Program, role: str, mode: Mode) -> None:
    async with associated(program, role, mode) as (conn, _):
        for size in SIZES:
            sent, back = bytes(at % 251 for at in range(size)), b""
            await conn.send(sent, stream=0)
            # In pieces of the program's own.
            while len(back) < size:
                back += (await conn.receive()).data
            assert back == sent


@every_way(
    "payload, stream, PPID, unordered as it prints them; 1, 1452, 65536, 200000 bytes",
    SCTP_DARN,
    roles=["listen"],
)
async def test_sctp_darn_prints_what_it_was_sent(program: Program, role: str, mode: Mode) -> None:
    async with associated(program, role, mode) as (conn, darn):
        for stream, size in enumerate(SIZES):
            await conn.send(b"x" * size, stream=stream, ppid=PPID, unordered=stream == 1)

        def received() -> dict[tuple[int, int, int], int]:
            """Add up the pieces of each message."""
            found: Counter[tuple[int, int, int]] = Counter()
            for stream, flags, ppid, size in re.findall(SAID[program.name], darn.said(), re.DOTALL):
                found[int(stream), int(flags, 16), socket.ntohl(int(ppid))] += int(size)
            return found

        wanted = {(stream, int(stream == 1), PPID): size for stream, size in enumerate(SIZES)}
        await until(lambda: received() == wanted)


@every_way("stream, PPID, unordered as it prints them; 1452 bytes", SCTP_TEST, roles=["listen"])
async def test_sctp_test_prints_what_it_was_sent(program: Program, role: str, mode: Mode) -> None:
    async with associated(program, role, mode) as (conn, other):
        for stream in range(4):
            await conn.send(b"x" * 1452, stream=stream, ppid=PPID, unordered=stream == 1)

        def received() -> list[tuple[int, int, int]]:
            rows = re.findall(SAID[program.name], other.said())
            return [(int(stream), int(flags, 16), socket.ntohl(int(ppid))) for stream, flags, ppid in rows]

        # Of the first message of all it prints the size alone.
        await until(lambda: received() == [(stream, int(stream == 1), PPID) for stream in range(1, 4)])
        assert other.said().count("Data 1452 bytes") == 4


@every_way("payload; its end of the association", SCTP_DARN, roles=["connect"])
async def test_sctp_darn_sends_a_line(program: Program, role: str, mode: Mode) -> None:
    async with associated(program, role, mode, typed=b"a line\n") as (conn, _):
        assert (await conn.receive()).data == b"a line\n\0"
        await conn.close()


@every_way(
    "1, 1452, 65536, 200000 bytes: payload, stream, PPID, ordered and not; its end of the association",
    SCTP_TEST,
    roles=["connect"],
)
async def test_sctp_test_sends_what_it_says(program: Program, role: str, mode: Mode) -> None:
    for size in SIZES:
        # Ten messages, by turns on the streams 0 to 3, by turns ordered.
        work = ("-c", str(-size), "-x", "1", "-o", "2", "-t", "0", "-M", "4")
        async with associated(program, role, mode, *work) as (conn, other):
            messages = [await conn.receive() for _ in range(10)]
            assert {message.data for message in messages} == {_pattern(size)}
            got = [(message.stream, int(message.unordered), message.ppid) for message in messages]
            assert await other.ends() == 0
            said = re.findall(r"SNDRCV\(stream=(\d+)\s+flags=(\S+)\s+ppid=(\d+)", other.said())
            sent = [(int(stream), int(flags, 16), socket.ntohl(int(ppid))) for stream, flags, ppid in said]
            # What is not ordered overtakes.
            assert sorted(got) == sorted(sent)
            assert {flags for _, flags, _ in got} == {0, 1}
            assert {stream for stream, _, _ in got} == {0, 1, 2, 3}
            while True:
                try:
                    await conn.receive()
                except EndOfAssociation:
                    break


def _pattern(size: int) -> bytes:
    return (b"0123456789" * (size // 10 + 1))[: size - 1] + b"\0"
