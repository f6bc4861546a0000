"""A mirror: greets on each association, then sends back what comes as it came, until the association ends.

    MIRROR listen|connect PORT

Each program here does that by another SCTP API, and says `ready` when it listens. The greeting is of stream 1
and has the PPID that a packet shows as 0x01020304, so that nothing can be swapped twice and pass.

Receive buffers stay as they are where they cannot be set before the association: the window would be the old
one, and with a larger buffer Linux begins no partial delivery: a message longer than the window never comes.
"""

import socket
import sys
from collections.abc import Callable

IPPROTO_SCTP = 132
INITMSG, NODELAY, RECVRCVINFO = 2, 3, 32
GREETING, STREAM, PPID = b"greeting", 1, 0x01020304
STREAMS = bytes.fromhex("0a000a0000000000")  # ten each way
BUFFERS = 1 << 20
LONGEST = 1 << 18


def socket_of(role: str, port: int) -> socket.socket:
    """Listen for an association, or set one up."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP)
    made.setsockopt(IPPROTO_SCTP, INITMSG, STREAMS)
    made.setsockopt(IPPROTO_SCTP, NODELAY, 1)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFERS)
    if role == "connect":
        made.connect(("127.0.0.1", port))
        return made
    made.bind(("127.0.0.1", port))
    made.listen()
    print("ready", flush=True)
    return made.accept()[0]


def run(mirror: Callable[[socket.socket], None]) -> None:
    """Do what the command line says."""
    mirror(socket_of(sys.argv[1], int(sys.argv[2])))
