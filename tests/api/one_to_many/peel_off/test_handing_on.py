"""The descriptor of a peeled-off association is given to another Conn, or another process."""

import os
import socket
import subprocess
import sys

import pytest

from api.one_to_many.peel_off.moving import MANY, shared, talk
from sctpio import (
    AssociationAbortedError,
    ClosedError,
    Conn,
    EndOfAssociation,
    Endpoint,
    Listener,
    ShutdownEvent,
    listen,
    open_endpoint,
)
from support import LOCAL, STACK, collect, descriptor_count, paired, until, within


async def test_a_peeled_off_association_goes_on_in_another_conn() -> None:
    async with shared() as pair:
        await pair.server.peel_off()
        identifier, streams = pair.server.association_id, pair.server.outbound_streams
        local, peer = pair.server.local_addresses, pair.server.peer_addresses
        before = descriptor_count()
        descriptor = pair.server.detach()
        with pytest.raises(ClosedError):
            await pair.server.receive()
        with pytest.raises(ClosedError):
            await pair.server.peel_off()
        async with Conn.from_fd(descriptor) as again:
            assert descriptor_count() == before
            assert again.fileno() == descriptor
            assert (again.association_id, again.outbound_streams) == (identifier, streams)
            assert (again.local_addresses, again.peer_addresses) == (local, peer)
            await talk(pair.client, again)
            await again.flush()
            with pytest.raises(RuntimeError, match="own already"):
                await again.peel_off()
            os.set_blocking(descriptor, True)
            once_more = again.detach()
        async with Conn.from_fd(once_more, events=[ShutdownEvent]) as last:
            assert not os.get_blocking(last.fileno())
            assert not os.get_inheritable(last.fileno())
            await talk(pair.client, last)
            await pair.client.close()
            with pytest.raises(EndOfAssociation):
                await within(last.receive())
            assert await collect(last.events(ShutdownEvent)) == [ShutdownEvent(identifier)]


async def test_a_conn_of_a_descriptor_can_abort_with_a_cause_and_sees_the_peers() -> None:
    async with listen(LOCAL, mode=MANY) as here, listen(LOCAL, mode=MANY) as there:
        for by_peer in (False, True):
            peer = await there.connect(here.local_addresses)
            server = await here.accept()
            await server.peel_off()
            again = await Conn.from_fd(server.detach())
            await (peer if by_peer else again).abort(b"why not")
            with pytest.raises(AssociationAbortedError) as caught:
                await within((again if by_peer else peer).receive())
            assert caught.value.cause == b"why not"


async def test_an_association_that_shares_its_descriptor_cannot_give_it_away() -> None:
    async with shared() as pair:
        with pytest.raises(RuntimeError, match="peel it off first"):
            pair.server.detach()
        await talk(pair.client, pair.server)


async def test_unread_messages_are_not_lost_by_giving_the_descriptor_away() -> None:
    async with shared() as pair:
        await pair.client.send(b"unread")
        await until(lambda: pair.server.statistics().unread_messages == 1)
        await pair.server.peel_off()
        with pytest.raises(RuntimeError, match="read them first"):
            pair.server.detach()
        assert (await pair.server.receive()).data == b"unread"
        await pair.client.send(b"left in the kernel")
        await until(lambda: pair.client.status().unacknowledged == 0)
        assert (await within(pair.server.receive())).data == b"left in the kernel"
        async with Conn.from_fd(pair.server.detach()) as again:
            await talk(pair.client, again)


WORKER = """
import asyncio, socket, sys, sctpio

async def main():
    channel = socket.socket(fileno=int(sys.argv[1]))
    _, [descriptor], _, _ = socket.recv_fds(channel, 10, 1)
    async with sctpio.Conn.from_fd(descriptor) as conn:
        async for message in conn:
            if message.data == b"abort":
                await conn.abort(b"told to")
                return
            await conn.send(b"worker: " + message.data, stream=message.stream, ppid=message.ppid)
            if message.data == b"bye":
                return

asyncio.run(main())
"""


@pytest.mark.kernel_only("a socket of usrsctp is its process's own")
@pytest.mark.parametrize("last", [b"bye", b"abort"])
async def test_a_peeled_off_association_is_handed_to_another_process(last: bytes) -> None:
    ours, theirs = socket.socketpair()
    async with shared() as pair:
        command = [sys.executable, "-c", WORKER, str(theirs.fileno())]
        worker = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        with ours:
            await pair.server.peel_off()
            descriptor = pair.server.detach()
            socket.send_fds(ours, [b"x"], [descriptor])
            os.close(descriptor)
        await pair.client.send(b"who is there?", stream=4, ppid=46)
        reply = await within(pair.client.receive())
        assert (reply.data, reply.stream, reply.ppid) == (b"worker: who is there?", 4, 46)
        await pair.client.send(last)
        if last == b"bye":
            assert [message.data async for message in pair.client] == [b"worker: bye"]
        else:
            with pytest.raises(AssociationAbortedError) as caught:
                await within(pair.client.receive())
            assert caught.value.cause == b"told to"
        await until(lambda: worker.poll() is not None)
        assert worker.returncode == 0
        # The listener, which has nothing to do with it any more, serves others.
        async with paired(pair.listener, None) as other:
            await talk(other.client, other.server)


async def test_a_one_to_many_socket_is_no_conn_and_stays_the_callers() -> None:
    async with listen(LOCAL, mode=MANY) as listener, paired(listener, None) as pair:
        async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL, listening=False) as silent:
            sockets: tuple[Listener | Endpoint, ...] = (listener, endpoint, silent)
            for own in sockets:
                await _refused(own.fileno())
            # Also where it has begun associations itself, as a peeled-off one may have.
            await endpoint.send(b"x", to=listener.local_addresses)
            await silent.send(b"y", to=listener.local_addresses)
            conns = [await listener.accept() for _ in range(2)]
            for own in sockets:
                await _refused(own.fileno())
            for conn, own in zip(conns, (endpoint, silent), strict=True):
                assert (await within(conn.receive())).data in (b"x", b"y")
                await own.send(b"still usable", to=own.associations[0])
                assert (await within(conn.receive())).data == b"still usable"
                await conn.abort()
            await talk(pair.client, pair.server)
        kind = socket.IPPROTO_SCTP if STACK == "kernel" else 0
        with socket.socket(
            socket.AF_INET, socket.SOCK_SEQPACKET if kind else socket.SOCK_STREAM, kind
        ) as python:
            await _refused(python.fileno())
            python.bind(("127.0.0.1", 0))
            python.listen()
            await _refused(python.fileno())
            python.getsockname()


async def _refused(descriptor: int) -> None:
    before = descriptor_count()
    with pytest.raises(ValueError, match=f"descriptor {descriptor} is no SCTP socket of one association"):
        await Conn.from_fd(descriptor)
    assert descriptor_count() == before
    os.fstat(descriptor)
