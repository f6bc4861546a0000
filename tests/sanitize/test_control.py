"""The walk over control messages, against a model of it and over a corpus of buffers that lie."""

import random
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from sanitize.harness import Library, Room, ffi

SCTP = 132
SNDRCV, RCVINFO, NXTINFO, AUTHINFO = 1, 3, 4, 6
NO_INFO = 0x40000000

CMSG = struct.Struct("@Nii")
ALIGN = struct.calcsize("@N")
RCV = struct.Struct("=HHHxxIIIIi")
SND = struct.Struct("=HHHxxIIIIIi")

FIELDS = ("stream", "ssn", "flags", "ppid", "tsn", "cumulative_tsn", "context", "association_id")

SEED = 132
RANDOM_BUFFERS = 100_000


def cmsg(level: int, kind: int, data: bytes) -> bytes:
    packed = CMSG.pack(CMSG.size + len(data), level, kind) + data
    return packed + bytes(-len(packed) % ALIGN)


def rcvinfo(n: int) -> bytes:
    return cmsg(SCTP, RCVINFO, RCV.pack(n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7))


def sndrcv(n: int) -> bytes:
    return cmsg(SCTP, SNDRCV, SND.pack(n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8))


NEXT = cmsg(SCTP, NXTINFO, b"\x11" * 16)
TIMESTAMP = cmsg(1, 29, b"\x22" * 16)
FOREIGN = cmsg(41, RCVINFO, b"\x33" * 28)
EMPTY = cmsg(SCTP, RCVINFO, b"")
SHORT = cmsg(SCTP, RCVINFO, b"\x44" * 27)
KEY = cmsg(SCTP, AUTHINFO, b"\x07\x00")

VALID = [
    [rcvinfo(100)],
    [sndrcv(200)],
    [sndrcv(200), rcvinfo(100)],
    [rcvinfo(100), sndrcv(200)],
    [rcvinfo(100), NEXT],
    [NEXT, rcvinfo(100), KEY],
    [TIMESTAMP, FOREIGN, rcvinfo(100), NEXT, sndrcv(200)],
    [EMPTY, SHORT, rcvinfo(100), rcvinfo(300)],
    [sndrcv(200), sndrcv(400), TIMESTAMP],
    [cmsg(SCTP, SNDRCV, bytes(31)), KEY, sndrcv(200)],
]


def model(control: bytes) -> dict[str, int]:
    """Say what the walk finds: the last RCVINFO, else the first SNDRCV, ahead of a length that lies."""
    rcv: tuple[int, ...] | None = None
    snd: tuple[int, ...] | None = None
    while len(control) >= CMSG.size:
        length, level, kind = CMSG.unpack_from(control)
        if not CMSG.size <= length <= len(control):
            break
        data = control[CMSG.size : length]
        if (level, kind) == (SCTP, RCVINFO) and len(data) >= RCV.size:
            rcv = RCV.unpack_from(data)
        elif (level, kind) == (SCTP, SNDRCV) and len(data) >= SND.size and snd is None:
            stream, ssn, flags, ppid, context, _, tsn, cumulative, association = SND.unpack_from(data)
            snd = stream, ssn, flags, ppid, tsn, cumulative, context, association
        control = control[length + -length % ALIGN :]
    found = rcv or snd
    fields = dict(zip(FIELDS, found or [0] * 8, strict=True))
    return fields | {"ppid": socket.ntohl(fields["ppid"]), "msg_flags": 0 if found else NO_INFO}


def parse(library: Library, control: bytes, lead: int) -> dict[str, int]:
    room, record = Room(control, lead), ffi.new("sctpio_record *")
    library.c.sctpio_parse_control(room.at, room.size, record)
    return {name: getattr(record, name) for name in (*FIELDS, "msg_flags")}


def check(library: Library, corpus: Iterable[tuple[bytes, int]]) -> int:
    """Compare the walk with the model over (buffer, misalignment); the number of buffers."""
    count = 0
    for control, lead in corpus:
        found = parse(library, control, lead)
        assert found == model(control), (control.hex(), lead)
        count += 1
    return count


def heads(messages: list[bytes]) -> list[int]:
    """Where the messages begin."""
    return [sum(map(len, messages[:index])) for index in range(len(messages))]


@pytest.mark.parametrize("messages", VALID)
def test_every_prefix_at_every_alignment(library: Library, messages: list[bytes]) -> None:
    whole = b"".join(messages)
    assert parse(library, whole, 0)["msg_flags"] == 0
    assert check(library, ((whole[:end], lead) for end in range(len(whole) + 1) for lead in range(16)))


@pytest.mark.parametrize("messages", VALID)
def test_lengths_that_lie(library: Library, messages: list[bytes]) -> None:
    whole = b"".join(messages)
    limit = 1 << (8 * ALIGN)

    def corpus() -> Iterator[tuple[bytes, int]]:
        for head in heads(messages):
            rest = len(whole) - head
            lengths = {*range(CMSG.size + 2), *range(rest - 9, rest + 10)}
            # Those that wrap when they are aligned, or added to a pointer.
            lengths |= {limit - n for n in range(1, 20)} | {limit // 2 + n for n in range(-9, 9)}
            lengths |= {(1 << 32) % limit, (1 << 32) - 1, (1 << 31), limit - head, limit - rest}
            for length in lengths:
                lie = struct.pack("@N", length % limit)
                yield whole[:head] + lie + whole[head + len(lie) :], head % 16

    assert check(library, corpus())


@pytest.mark.parametrize("messages", VALID)
def test_every_byte_changed(library: Library, messages: list[bytes]) -> None:
    whole = b"".join(messages)
    assert check(
        library,
        (
            (whole[:at] + bytes([value]) + whole[at + 1 :], at % 16)
            for at in range(len(whole))
            for value in (0, 1, 0x0F, 0x11, 0x7F, 0x80, 0x84, 0xFF)
        ),
    )


def test_random_splices(library: Library) -> None:
    source = random.Random(SEED)
    pieces = [message for messages in VALID for message in messages]

    def piece() -> bytes:
        kind = source.randrange(5)
        if kind == 0:
            return source.randbytes(source.randrange(48))
        if kind == 1:
            data = source.randbytes(source.randrange(40))
            level, number = source.choice([1, 41, SCTP]), source.randrange(10)
            return (
                CMSG.pack(source.choice([0, 1, 16, 44, 48, 1000, CMSG.size + len(data)]), level, number)
                + data
            )
        message = source.choice(pieces)
        return message if kind > 2 else message[: source.randrange(len(message) + 1)]

    buffers = (b"".join(piece() for _ in range(source.randrange(6))) for _ in range(RANDOM_BUFFERS))
    assert check(library, ((buffer, source.randrange(16)) for buffer in buffers)) == RANDOM_BUFFERS


def test_nothing_and_no_memory_at_all(library: Library) -> None:
    record: Any = ffi.new("sctpio_record *")
    library.c.sctpio_parse_control(ffi.NULL, 0, record)
    assert record.msg_flags == NO_INFO
