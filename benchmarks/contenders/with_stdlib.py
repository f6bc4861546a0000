"""The standard library's sockets: recvmsg and sendmsg, with the ancillary data packed and unpacked here."""

import socket
import struct

from common import PPID, main
from queued import IPPROTO_SCTP, MSG_EOR, Piece, Queued, contender

SCTP_SNDINFO, SCTP_RCVINFO = 2, 3
SNDINFO = struct.Struct("=HHIIi")
RCVINFO = struct.Struct("=HHH2xIIIIi")
SPACE = socket.CMSG_SPACE(RCVINFO.size)
NETWORK_PPID = socket.htonl(PPID)


class Socket(Queued):
    def read(self) -> Piece:
        data, ancillary, flags, sender = self.sock.recvmsg(self.room, SPACE)
        for level, kind, info in ancillary:
            if level == IPPROTO_SCTP and kind == SCTP_RCVINFO:
                stream, _ssn, _flags, ppid, _tsn, _cumulative, _context, association = RCVINFO.unpack(info)
                return Piece(data, bool(flags & MSG_EOR), stream, socket.ntohl(ppid), association, sender)
        return Piece(data, bool(flags & MSG_EOR), 0, 0, 0)

    def write(self, data: bytes, stream: int, to: Piece | None) -> None:
        info = SNDINFO.pack(stream, 0, NETWORK_PPID, 0, to.association if to else 0)
        self.sock.sendmsg([data], [(IPPROTO_SCTP, SCTP_SNDINFO, info)], socket.MSG_NOSIGNAL)


if __name__ == "__main__":
    main(contender(Socket))
