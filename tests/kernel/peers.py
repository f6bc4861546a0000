"""Another program with associations: Python's own sockets, and nothing of this package."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

# A server, and a client of it with `count` associations, that end with their standard input.
PEERS = """
import resource, socket, sys
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count + 100,) * 2)
def make():
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    made.setsockopt(132, 2, bytes.fromhex("0200020000000000"))  # two streams each way (SCTP_INITMSG)
    return made
server = make()
server.bind(("127.0.0.1", 0))
server.listen(7)
kept = []
for _ in range(count):
    client = make()
    client.bind(("127.0.0.1", 0))
    client.connect(server.getsockname())
    kept += [client, server.accept()[0]]
kept[0].send(b"x" * 100)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


class Peers(NamedTuple):
    """The other program."""

    port: int
    process: subprocess.Popen[str]


@contextmanager
def peers(count: int) -> Iterator[Peers]:
    """Run the other program."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", PEERS, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        yield Peers(int(process.stdout.readline()), process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(20) == 0
