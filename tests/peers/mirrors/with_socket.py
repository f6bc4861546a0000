"""Python's own socket: ancillary data by hand (RFC 6458 sections 5.3.4 and 5.3.5)."""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from peers.mirrors.common import GREETING, IPPROTO_SCTP, LONGEST, PPID, RECVRCVINFO, STREAM, run

SNDINFO, RCVINFO = 2, 3  # types of ancillary data
SENT = struct.Struct("HHIIi")
RECEIVED = struct.Struct("HHHxxIIIIi")


class Message(NamedTuple):
    """What is sent, and what comes."""

    data: bytes
    stream: int
    ppid: int
    flags: int = 0


def send(sock: socket.socket, message: Message) -> None:
    info = SENT.pack(message.stream, message.flags, socket.htonl(message.ppid), 0, 0)
    sock.sendmsg([message.data], [(IPPROTO_SCTP, SNDINFO, info)])


def messages(sock: socket.socket) -> Iterator[Message]:
    """Receive until the peer shuts down."""
    sock.setsockopt(IPPROTO_SCTP, RECVRCVINFO, 1)
    parts = b""
    while True:
        data, ancillary, flags, _ = sock.recvmsg(LONGEST, 64)
        if not data:
            return
        parts += data
        if flags & socket.MSG_EOR:
            info = next(data for *kind, data in ancillary if kind == [IPPROTO_SCTP, RCVINFO])
            stream, _, received, ppid, *_ = RECEIVED.unpack(info)
            yield Message(parts, stream, socket.ntohl(ppid), received & 1)
            parts = b""


def mirror(sock: socket.socket) -> None:
    send(sock, Message(GREETING, STREAM, PPID))
    for message in messages(sock):
        send(sock, message)


if __name__ == "__main__":
    run(mirror)
