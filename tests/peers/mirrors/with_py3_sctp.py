"""py3-sctp (PyPI): sctp_recvv and sctp_sendv, whose PPIDs are as in the packet."""

import socket
import sys
from pathlib import Path

from peers.mirrors.common import GREETING, IPPROTO_SCTP, LONGEST, PPID, RECVRCVINFO, STREAM, run

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "build/peers/py3-sctp"))
import sctp

UNORDERED = 1


def mirror(sock: socket.socket) -> None:
    sock.setsockopt(IPPROTO_SCTP, RECVRCVINFO, 1)
    ours = sctp.sctp_socket(sock.family, sock.type, socket.IPPROTO_SCTP, sock.detach())

    def send(data: bytes, stream: int, flags: int, ppid: int) -> None:
        ours.sctp_sendv((data,), None, sctp.sctp_sndinfo(snd_sid=stream, snd_flags=flags, snd_ppid=ppid))

    send(GREETING, STREAM, 0, socket.htonl(PPID))
    parts = b""
    while True:
        data, _, info, _, flags = ours.sctp_recvv(LONGEST)
        if not data:
            return
        parts += data
        if flags & socket.MSG_EOR:
            send(parts, info["rcv_sid"], info["rcv_flags"] & UNORDERED, info["rcv_ppid"])
            parts = b""


run(mirror)
