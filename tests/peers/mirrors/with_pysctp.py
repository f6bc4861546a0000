"""pysctp (PyPI): sctp_recv gives the PPID as it came, sctp_send swaps it."""

import socket
import sys
from pathlib import Path

from peers.mirrors.common import GREETING, LONGEST, PPID, STREAM, run

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "build/peers/pysctp"))
import sctp


def mirror(sock: socket.socket) -> None:
    ours = sctp.sctpsocket(socket.AF_INET, sctp.TCP_STYLE, sock)
    ours.events.data_io = 1
    ours.sctp_send(GREETING, ppid=PPID, stream=STREAM)
    parts = b""
    while True:
        _, flags, data, info = ours.sctp_recv(LONGEST)
        if not data:
            return
        parts += data
        if flags & sctp.FLAG_EOR:
            ppid = socket.ntohl(info.ppid)
            ours.sctp_send(parts, ppid=ppid, flags=info.flags & sctp.MSG_UNORDERED, stream=info.stream)
            parts = b""


run(mirror)
