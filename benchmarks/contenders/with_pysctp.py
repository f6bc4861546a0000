"""pysctp (PyPI): sctp_recv and sctp_send. py3-sctp has the same module name: each has its own folder."""

import socket
import sys
from pathlib import Path

from common import PPID, Run, main
from queued import Piece, Queued, contender

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "build/bench/pysctp"))
import sctp


class Socket(Queued):
    def __init__(self, sock: socket.socket, run: Run) -> None:
        super().__init__(sock, run)
        style = sctp.UDP_STYLE if sock.type == socket.SOCK_SEQPACKET else sctp.TCP_STYLE
        self.sctp = sctp.sctpsocket(socket.AF_INET, style, sock)
        # Else it tells neither stream nor PPID.
        self.sctp.events.data_io = 1

    def read(self) -> Piece:
        sender, flags, data, info = self.sctp.sctp_recv(self.room)
        if flags & sctp.FLAG_NOTIFICATION:
            return Piece(b"notification", True, 0, 0, 0)
        whole = bool(flags & sctp.FLAG_EOR)
        return Piece(data or b"", whole, info.stream, info.ppid, info.assoc_id, sender)

    def write(self, data: bytes, stream: int, to: Piece | None) -> None:
        where = to.sender if to and to.sender else ("", 0)
        self.sctp.sctp_send(data, where, PPID, stream=stream)


if __name__ == "__main__":
    main(contender(Socket))
