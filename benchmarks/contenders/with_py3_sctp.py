"""py3-sctp (PyPI): sctp_recvv and sctp_sendv. pysctp has the same module name: each has its own folder."""

import socket
import sys
from pathlib import Path

from common import PPID, Run, main
from queued import MSG_EOR, Piece, Queued, contender

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "build/bench/py3-sctp"))
import sctp

# Its errors have no errno.
WOULD_BLOCK = "[11, "


class Socket(Queued):
    def __init__(self, sock: socket.socket, run: Run) -> None:
        super().__init__(sock, run)
        self.sctp = sctp.sctp_socket(sock.family, sock.type, socket.IPPROTO_SCTP, sock.detach())
        self.sock = self.sctp.sock
        self.sock.setblocking(False)
        self.one_to_many = self.sock.type == socket.SOCK_SEQPACKET

    def read(self) -> Piece:
        try:
            data, sender, info, _kind, flags = self.sctp.sctp_recvv(self.room)
        except OSError as error:
            if WOULD_BLOCK in str(error):
                raise BlockingIOError from None
            raise
        whole = bool(flags & MSG_EOR)
        if info is None:
            return Piece(data, whole, 0, 0, 0)
        return Piece(
            data, whole, info["rcv_sid"], socket.ntohl(info["rcv_ppid"]), info["rcv_assoc_id"], sender
        )

    def write(self, data: bytes, stream: int, to: Piece | None) -> None:
        info = sctp.sctp_sndinfo(snd_sid=stream, snd_ppid=socket.htonl(PPID))
        if to and self.one_to_many:
            info["snd_assoc_id"] = to.association
        try:
            self.sctp.sctp_sendv((data,), None, info)
        except OSError as error:
            if WOULD_BLOCK in str(error):
                raise BlockingIOError from None
            raise


if __name__ == "__main__":
    main(contender(Socket))
