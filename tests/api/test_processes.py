"""Several processes on one port: SCTP_REUSE_PORT, and associations handed from one process to another."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
from collections import Counter

import pytest

from sctpio import (
    AssociationChange,
    Conn,
    EndOfAssociation,
    Mode,
    PeerAddressChange,
    ReusePort,
    SenderDry,
    ShutdownEvent,
    connect,
    listen,
)
from support import Pair, connected, until

WORKER = """
import asyncio, socket, sys, sctpio

async def main():
    channel = socket.socket(fileno=int(sys.argv[1]))
    _, [descriptor], _, _ = socket.recv_fds(channel, 10, 1)
    async with sctpio.Conn.from_fd(descriptor) as conn:
        async for message in conn:
            await conn.send(b"worker: " + message.data, stream=message.stream, ppid=message.ppid)

asyncio.run(main())
"""

SERVER = """
import asyncio, os, sys, sctpio

async def handler(conn):
    await conn.send(str(os.getpid()).encode())
    await conn.wait_closed()

async def main():
    async with sctpio.listen(sys.argv[1], options=[sctpio.ReusePort()]) as listener:
        print("listening", flush=True)
        await listener.serve(handler)

asyncio.run(main())
"""


async def test_an_association_goes_on_in_another_conn(pair: Pair) -> None:
    identifier, streams = pair.client.association_id, pair.client.outbound_streams
    local, peer = pair.client.local_addresses, pair.client.peer_addresses
    await pair.client.send(b"before")
    async with Conn.from_fd(pair.client.detach()) as again:
        assert (again.association_id, again.outbound_streams) == (identifier, streams)
        assert (again.local_addresses, again.peer_addresses) == (local, peer)
        await again.send(b"after", stream=2, ppid=60)
        assert [(await pair.server.receive()).data for _ in range(2)] == [b"before", b"after"]
        await pair.server.send(b"back")
        assert (await again.receive()).data == b"back"
        assert not os.get_blocking(again.fileno())
        assert not os.get_inheritable(again.fileno())
    with pytest.raises(EndOfAssociation):
        await pair.server.receive()


async def test_an_accepted_association_can_be_detached_with_what_was_sent_already() -> None:
    async with listen("127.0.0.1:0") as listener:
        async with connect(listener.local_addresses) as client:
            await client.send_many([b"early", b"too"])
            await until(lambda: client.status().unacknowledged == 0)
            descriptor = (await listener.accept()).detach()
            async with Conn.from_fd(descriptor) as server:
                assert [(await server.receive()).data for _ in range(2)] == [b"early", b"too"]
                await client.close()


@pytest.mark.kernel_only("the standard library has sockets of the kernel")
async def test_a_socket_of_the_standard_library_becomes_a_conn() -> None:
    async with listen("127.0.0.1:0") as listener:
        python = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
        with python:
            python.connect(("127.0.0.1", listener.port))
            async with Conn.from_fd(python.detach()) as client, await listener.accept() as server:
                await server.send(b"hello", stream=3, ppid=60)
                message = await client.receive()
                assert (message.data, message.stream, message.ppid) == (b"hello", 3, 60)
                await client.close()
                await server.wait_closed()


@pytest.mark.kernel_only("a descriptor of usrsctp is none that can be read")
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_plain_reader_of_a_detached_descriptor_gets_messages_alone(mode: Mode) -> None:
    kinds = [AssociationChange, PeerAddressChange, ShutdownEvent, SenderDry]
    async with listen("127.0.0.1:0", mode=mode, events=kinds) as listener:
        async with connect(listener.local_addresses) as client:
            server = await listener.accept()
            server.events()
            if mode is Mode.ONE_TO_MANY:
                await server.peel_off()
            with socket.socket(fileno=server.detach()) as python:
                python.send(b"back")
                assert (await client.receive()).data == b"back"
                await client.send(b"one")
                await client.send(b"two")
                await until(lambda: client.status().unacknowledged == 0)
                assert [python.recv(100) for _ in range(2)] == [b"one", b"two"]
                await client.close()
                if mode is Mode.ONE_TO_ONE:
                    assert python.recv(100) == b""
                else:
                    with pytest.raises(BlockingIOError):
                        python.recv(100)


async def test_what_is_no_association_is_refused_and_stays_the_callers() -> None:
    tcp = socket.socket()
    with tcp, pytest.raises(ValueError, match="no SCTP socket of one association"):
        await Conn.from_fd(tcp.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        await Conn.from_fd(12_345)


@pytest.mark.kernel_only("the standard library has sockets of the kernel")
async def test_a_socket_without_an_association_is_refused() -> None:
    unconnected = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    with unconnected:
        with pytest.raises(OSError, match="peer addresses") as caught:
            await Conn.from_fd(unconnected.fileno())
        assert caught.value.errno == errno.EINVAL
        unconnected.getsockname()
    many = socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, socket.IPPROTO_SCTP)
    with many, pytest.raises(ValueError, match="no SCTP socket of one association"):
        await Conn.from_fd(many.fileno())


@pytest.mark.kernel_only("a usrsctp association lives in its process")
async def test_an_association_is_handed_to_another_process() -> None:
    ours, theirs = socket.socketpair()
    async with connected() as pair:
        command = [sys.executable, "-c", WORKER, str(theirs.fileno())]
        worker = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        with ours:
            descriptor = pair.server.detach()
            socket.send_fds(ours, [b"x"], [descriptor])
            os.close(descriptor)
        await pair.client.send(b"who is there?", stream=4, ppid=46)
        reply = await pair.client.receive()
        assert (reply.data, reply.stream, reply.ppid) == (b"worker: who is there?", 4, 46)
        await pair.client.close()
        await until(lambda: worker.poll() is not None)
        assert worker.returncode == 0


@pytest.mark.kernel_only("a usrsctp stack, and its ports, is of one process")
async def test_processes_share_a_port() -> None:
    async with listen("127.0.0.1:0", options=[ReusePort()]) as first:
        address = str(first.local_addresses)
        command = [sys.executable, "-c", SERVER, address]
        second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        try:
            assert await asyncio.to_thread(second.stdout.readline) == "listening\n"
            who: Counter[str] = Counter()

            async def serve_here() -> None:
                async for conn in first:
                    await conn.send(b"here")
                    await conn.abort()
                    who["here"] += 1

            serving = asyncio.create_task(serve_here())
            async with asyncio.timeout(30):
                while not (who["here"] and who[str(second.pid)]):
                    client = await connect(address)
                    try:
                        who[(await client.receive()).data.decode()] += 1
                    except ConnectionError:
                        # The abort here may overtake the message.
                        who["here"] += 1
                    await client.abort()
            serving.cancel()
        finally:
            second.kill()
            second.wait()
            second.stdout.close()


@pytest.mark.kernel_only("usrsctp has no SO_REUSEPORT")
async def test_a_port_is_shared_only_by_those_who_say_so() -> None:
    async with listen("127.0.0.1:0", options=[ReusePort()]) as listener:
        with pytest.raises(OSError, match="cannot listen") as caught:
            await listen(listener.local_addresses)
        assert caught.value.errno == errno.EADDRINUSE
