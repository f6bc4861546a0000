"""The bytes of sock_diag: NETLINK_SOCK_DIAG of Linux, for SCTP (linux/inet_diag.h, linux/sctp.h). Pure.

`endpoints_of` asks for all endpoints of one family, `association` for one association, `read` reads what
comes back. That may be cut, and may be of a newer kernel: a message, an attribute or a struct that is cut
short is left out, or its missing fields are 0; attributes that are not known are skipped, and what a struct
has at its end beyond the known is ignored. No bytes raise an error.

Associations are asked for one by one: to send all of them, Linux walks all paths of the host once for each
socket, which takes seconds where there are thousands.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from ..address import Address, Host

__all__ = ["AF_INET", "AF_INET6", "Answer", "Info", "Row", "association", "endpoints_of", "read"]

AF_INET, AF_INET6 = 2, 10
IPPROTO_SCTP = 132

SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300

INET_DIAG_INFO, INET_DIAG_LOCALS, INET_DIAG_PEERS = 2, 12, 13
WANTED = 1 << (INET_DIAG_INFO - 1)

HEADER = struct.Struct("=IHHII")
# Family, protocol, attributes wanted, states wanted; the id: ports, addresses, interface, cookie (none).
REQUEST = struct.Struct("=BBBxI HH 16s 16s 4x Q")
NO_COOKIE = 0xFFFFFFFFFFFFFFFF
LISTEN_AND_CLOSE = 1 << 10 | 1 << 7
# inet_diag_msg. The id has ports and addresses, which come whole in the attributes; expires is left out.
MESSAGE = struct.Struct("=BBBB HH 32x 4x 8s I IIII")
ATTRIBUTE = struct.Struct("=HH")
ERROR = struct.Struct("=i")
FAMILY = struct.Struct("=H")
PORT = struct.Struct("!H")
SCOPE = struct.Struct("=I")
# struct sctp_info; the kernel pads each address to a sockaddr_storage.
INFO = struct.Struct("=3I 4H 8I 4x 14Q 128x i 10I")
STORAGE = 128


class Info(NamedTuple):
    """struct sctp_info, in its order; times as the kernel has them: see `host`."""

    tag: int
    state: int
    rwnd: int
    unackdata: int
    penddata: int
    instrms: int
    outstrms: int
    fragmentation_point: int
    inqueue: int
    outqueue: int
    overall_error: int
    max_burst: int
    maxseg: int
    peer_rwnd: int
    peer_tag: int
    isacks: int
    osacks: int
    opackets: int
    ipackets: int
    rtxchunks: int
    outofseqtsns: int
    idupchunks: int
    gapcnt: int
    ouodchunks: int
    iuodchunks: int
    oodchunks: int
    iodchunks: int
    octrlchunks: int
    ictrlchunks: int
    p_state: int
    p_cwnd: int
    p_srtt: int
    p_rto: int
    p_hbinterval: int
    p_pathmaxrxt: int
    p_sackdelay: int
    p_sackfreq: int
    p_ssthresh: int
    p_partial_bytes_acked: int
    p_flight_size: int


class Row(NamedTuple):
    """One endpoint, or one association if it has `peers`."""

    state: int
    port: int
    peer_port: int
    locals: tuple[Host, ...]
    peers: tuple[Host, ...]
    primary: Host | None
    info: Info
    rqueue: int
    wqueue: int
    uid: int
    inode: int
    cookie: bytes

    @property
    def local(self) -> Address:
        """The local addresses."""
        return Address(self.locals, self.port)

    @property
    def peer(self) -> Address:
        """The peer's addresses."""
        return Address(self.peers, self.peer_port)


class Answer(NamedTuple):
    """One message: the number of the request, a row or the errno of a failure, and whether it is the last."""

    sequence: int
    row: Row | None
    error: int
    done: bool


NO_INFO = Info(*INFO.unpack(bytes(INFO.size)))


def endpoints_of(family: int, sequence: int) -> bytes:
    """Return the request for all endpoints of a family that listen or have no association."""
    return _request(
        sequence, NLM_F_DUMP, REQUEST.pack(family, IPPROTO_SCTP, WANTED, LISTEN_AND_CLOSE, 0, 0, b"", b"", 0)
    )


def association(local: Host, port: int, peer: Host, peer_port: int, sequence: int) -> bytes:
    """Return the request for the association that has these addresses among its own."""
    family = AF_INET if isinstance(peer, IPv4Address) else AF_INET6
    ports = (PORT.unpack(struct.pack("=H", port))[0], PORT.unpack(struct.pack("=H", peer_port))[0])
    body = REQUEST.pack(
        family, IPPROTO_SCTP, WANTED, 0xFFFFFFFF, *ports, local.packed, peer.packed, NO_COOKIE
    )
    return _request(sequence, 0, body)


def _request(sequence: int, flags: int, body: bytes) -> bytes:
    return (
        HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | flags, sequence, 0) + body
    )


def read(data: bytes) -> list[Answer]:
    """Read one datagram."""
    answers: list[Answer] = []
    offset = 0
    while len(data) - offset >= HEADER.size:
        length, kind, _flags, sequence, _port = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > len(data):
            break
        body = data[offset + HEADER.size : offset + length]
        offset += aligned(length)
        if kind in (NLMSG_DONE, NLMSG_ERROR):
            # Either has the errno, negative; 0 is success.
            code = ERROR.unpack_from(body)[0] if len(body) >= ERROR.size else 0
            answers.append(Answer(sequence, None, abs(code), True))
        elif kind == SOCK_DIAG_BY_FAMILY and len(body) >= MESSAGE.size:
            answers.append(Answer(sequence, _row(body), 0, False))
    return answers


def _row(body: bytes) -> Row:
    _family, state, _timer, _retrans, _, _, cookie, _expires, rqueue, wqueue, uid, inode = (
        MESSAGE.unpack_from(body)
    )
    (port,), (peer_port,) = PORT.unpack_from(body, 4), PORT.unpack_from(body, 6)
    info, primary = NO_INFO, None
    locals_: tuple[Host, ...] = ()
    peers: tuple[Host, ...] = ()
    for kind, start, end in _attributes(body, MESSAGE.size):
        if kind == INET_DIAG_INFO:
            info, primary = _info(body[start:end])
        elif kind == INET_DIAG_LOCALS:
            locals_ = _hosts(body, start, end)
        elif kind == INET_DIAG_PEERS:
            peers = _hosts(body, start, end)
    return Row(state, port, peer_port, locals_, peers, primary, info, rqueue, wqueue, uid, inode, cookie)


def _attributes(body: bytes, offset: int) -> Iterator[tuple[int, int, int]]:
    """Give the kind, the start and the end of each attribute that is whole."""
    size = len(body)
    while size - offset >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        if length < ATTRIBUTE.size or offset + length > size:
            return
        yield kind, offset + ATTRIBUTE.size, offset + length
        offset += aligned(length)


def _info(data: bytes) -> tuple[Info, Host | None]:
    # An older kernel's struct ends earlier.
    data = data.ljust(INFO.size, b"\0")
    return Info._make(INFO.unpack_from(data)), _host(data, PRIMARY)


# Where the primary path's address is in struct sctp_info.
PRIMARY = struct.calcsize("=3I 4H 8I 4x 14Q")


def _hosts(body: bytes, start: int, end: int) -> tuple[Host, ...]:
    """Read an array of sockaddr_storage; a host is kept once, and one that cannot be read is left out."""
    found: dict[Host, None] = {}
    for offset in range(start, end - STORAGE + 1, STORAGE):
        host = _host(body, offset)
        if host is not None:
            found[host] = None
    if len(found) > 1:
        found = {host: None for host in found if not host.is_unspecified}
    return tuple(found)


def _host(data: bytes, offset: int) -> Host | None:
    (family,) = FAMILY.unpack_from(data, offset)
    if family == AF_INET:
        return _ipv4(data[offset + 4 : offset + 8])
    if family != AF_INET6:
        return None
    return _ipv6(data[offset + 8 : offset + 24], *SCOPE.unpack_from(data, offset + 24))


# Thousands of associations share a few hosts.
_ipv4 = lru_cache(maxsize=4096)(IPv4Address)


@lru_cache(maxsize=4096)
def _ipv6(packed: bytes, scope: int) -> Host:
    host = IPv6Address(packed)
    if host.ipv4_mapped is not None:
        return host.ipv4_mapped
    return IPv6Address(f"{host}%{scope}") if scope and host.is_link_local else host


def aligned(length: int) -> int:
    """Round a length up as netlink aligns it."""
    return (length + 3) & ~3
