"""A listening socket that somebody else made becomes a Listener: systemd, a parent, another library."""

import os
import socket

import pytest

from sctpio import Listener, connect
from support import within

SCTP = 132


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET], ids=["stream", "seqpacket"])
async def test_a_listening_socket_is_taken_over(kind: int) -> None:
    theirs = socket.socket(socket.AF_INET, kind, SCTP)
    theirs.bind(("127.0.0.1", 0))
    theirs.listen(5)
    async with await Listener.from_fd(theirs.detach(), ppid=46) as listener:
        async with connect(listener.local_addresses) as client:
            server = await within(listener.accept())
            await client.send(b"hello", stream=1, ppid=60)
            message = await within(server.receive())
            assert (message.data, message.stream, message.ppid) == (b"hello", 1, 60)
            await server.send(b"welcome")
            assert (await within(client.receive())).ppid == 46
            await client.close()
            await within(server.wait_closed())


async def test_a_socket_that_others_have_too_goes_on_listening_for_them() -> None:
    """As with systemd, which starts the service again for an association that waits."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP) as theirs:
        theirs.bind(("127.0.0.1", 0))
        theirs.listen(5)
        first = await Listener.from_fd(theirs.dup().detach())
        async with connect(first.local_addresses) as early:
            await first.close()
            async with (
                connect(first.local_addresses) as late,
                Listener.from_fd(theirs.dup().detach()) as again,
            ):
                for client in (early, late):
                    server = await within(again.accept())
                    assert server.peer_addresses == client.local_addresses
                    await server.close()


async def test_other_descriptors_stay_the_callers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP) as idle, socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        for each in (idle, tcp):
            with pytest.raises(ValueError, match="no SCTP socket that listens"):
                await Listener.from_fd(each.fileno())
            os.fstat(each.fileno())
        idle.bind(("127.0.0.1", 0))
        idle.listen()
        with pytest.raises(ValueError, match="ONE_TO_MANY"):
            await Listener.from_fd(idle.fileno(), slow_reader="abort")
        os.fstat(idle.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        await Listener.from_fd(12345)
