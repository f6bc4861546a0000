"""The bytes of sock_diag: a recorded answer of Linux 6.1, cut and newer ones, and any bytes at all."""

import errno
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import Address
from sctpio.diagnostics import wire

ANSWERS = Path(__file__).parent / "answers"
IPV4 = (ANSWERS / "ipv4.bin").read_bytes()
IPV6 = (ANSWERS / "ipv6.bin").read_bytes()

SEQUENCE = 1

LISTEN, ESTABLISHED = 10, 3


def netlink(kind: int, body: bytes, sequence: int = SEQUENCE) -> bytes:
    """Pack one message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 2, sequence, 0) + body


def bodies(answer: bytes) -> list[bytes]:
    """Return the bodies of the messages of an answer that are rows."""
    found, offset = [], 0
    while offset < len(answer):
        length, kind = struct.unpack_from("=IH", answer, offset)
        if kind == wire.SOCK_DIAG_BY_FAMILY:
            found.append(answer[offset + 16 : offset + length])
        offset += wire.aligned(length)
    return found


def rows_of(answer: bytes) -> list[wire.Row]:
    """Read the rows of an answer."""
    return [one.row for one in wire.read(answer) if one.row is not None]


def test_the_request_for_endpoints_is_as_in_the_header() -> None:
    head = struct.pack("=IHHII", 72, 20, 0x301, 7, 0)
    asked = wire.endpoints_of(wire.AF_INET, 7)
    assert asked == head + struct.pack("=BBBBI", 2, 132, 2, 0, 0x480) + bytes(40) + bytes(8)


def test_the_request_for_an_association_is_as_in_the_header() -> None:
    head = struct.pack("=IHHII", 72, 20, 0x001, 9, 0) + struct.pack("=BBBBI", 2, 132, 2, 0, 0xFFFFFFFF)
    ends = struct.pack("!HH", 5000, 41000) + bytes((10, 0, 0, 1, *bytes(12), 10, 0, 0, 2, *bytes(12)))
    asked = wire.association(ip_address("10.0.0.1"), 5000, ip_address("10.0.0.2"), 41000, 9)
    assert asked == head + ends + bytes(4) + b"\xff" * 8


def test_the_associations_of_a_recorded_answer() -> None:
    answers = wire.read(IPV4)
    assert [answer.done for answer in answers] == [False] * (len(answers) - 1) + [True]
    associations = {row.port == 5000: row for row in rows_of(IPV4) if row.peers}
    server, client = associations[True], associations[False]
    assert server.state == client.state == server.info.state == ESTABLISHED
    assert server.local == Address("127.0.0.1", 5000)
    assert str(server.peer) == f"127.0.0.1/127.0.0.2/127.0.0.3/127.0.0.4:{client.port}"
    assert client.local.hosts == server.peer.hosts
    assert client.peer == server.local
    assert (client.info.tag, client.info.peer_tag) == (server.info.peer_tag, server.info.tag)
    assert server.primary == ip_address("127.0.0.1")
    assert client.info.outstrms == client.info.instrms == 10
    assert client.info.oodchunks == server.info.iodchunks == 5
    # Linux measures from the first acknowledgement that it waits for.
    assert client.info.p_rto == 1000
    assert server.info.p_rto == 3000


def test_the_endpoints_of_a_recorded_answer() -> None:
    rows = rows_of(IPV4)
    listening = {str(row.local): (row.rqueue, row.wqueue) for row in rows if row.state == LISTEN}
    assert listening.keys() == {"127.0.0.1:5000", "127.0.0.1:5001"}


def test_ipv6_and_the_wildcard() -> None:
    rows = rows_of(IPV6)
    assert next(str(row.local) for row in rows if row.state == LISTEN) == "[::]:6000"
    associations = [row for row in rows if row.peers]
    assert {row.primary for row in associations} == {ip_address("::1")}
    assert {host for row in associations for host in row.peer.hosts} == {
        ip_address("::1"),
        *(ip_address(f"127.0.0.{n}") for n in range(1, 5)),
    }


@pytest.mark.parametrize("kind", [wire.NLMSG_ERROR, wire.NLMSG_DONE])
def test_a_failure_is_told_by_its_errno(kind: int) -> None:
    failure = netlink(kind, struct.pack("=i", -errno.ENOENT) + bytes(16), 5)
    assert wire.read(failure) == [(5, None, errno.ENOENT, True)]
    assert wire.read(netlink(kind, b"", 5)) == [(5, None, 0, True)]


@given(st.integers(0, len(IPV4)))
def test_a_cut_answer_gives_the_rows_that_are_whole(length: int) -> None:
    whole, answers = wire.read(IPV4), wire.read(IPV4[:length])
    assert answers == whole[: len(answers)]
    assert (len(answers) == len(whole)) == (length == len(IPV4))


def test_a_cut_attribute_is_left_out() -> None:
    body = bodies(IPV4)[-1]
    for length in range(wire.MESSAGE.size, len(body)):
        [row] = rows_of(netlink(20, body[:length]))
        assert row.port == 5000
        assert len(row.peers) in (0, 4)


def test_what_a_newer_kernel_has_more_is_ignored() -> None:
    body = bodies(IPV4)[-1]
    [before] = rows_of(netlink(20, body))
    longer, offset = body[: wire.MESSAGE.size], wire.MESSAGE.size
    while offset < len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        value = body[offset + 4 : offset + length]
        if kind == wire.INET_DIAG_INFO:
            value += b"\x77" * 24
        longer += struct.pack("=HH", 4 + len(value), kind) + value
        longer += bytes(-len(value) % 4) + struct.pack("=HHI", 8, 999, 0xDEADBEEF)
        offset += wire.aligned(length)
    assert rows_of(netlink(20, longer)) == [before]


def test_an_older_kernels_shorter_struct_has_zeros_at_its_end() -> None:
    info = struct.pack("=3I", 1, 3, 99)
    body = bodies(IPV4)[-1][: wire.MESSAGE.size] + struct.pack("=HH", 4 + len(info), 2) + info
    [row] = rows_of(netlink(20, body))
    assert row.info == wire.NO_INFO._replace(tag=1, state=3, rwnd=99)


@given(st.binary(max_size=600))
def test_no_bytes_of_a_row_do_harm(noise: bytes) -> None:
    [row] = rows_of(netlink(20, bodies(IPV4)[-1][: wire.MESSAGE.size] + noise))
    assert row.local.port == row.port


@given(st.data())
def test_no_change_of_a_recorded_answer_does_harm(data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from((IPV4, IPV6))))
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=30)):
        changed[place] = data.draw(st.integers(0, 255))
    for row in rows_of(bytes(changed)):
        assert 0 <= row.local.port <= 65535
        assert row.peer.hosts == row.peers


@given(st.binary(max_size=400))
def test_no_bytes_do_harm(noise: bytes) -> None:
    assert len(wire.read(noise)) <= len(noise) // 16
