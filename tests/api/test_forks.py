"""Children that have copies of the descriptors: what a parent ends has ended, whoever else lives on."""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

import pytest

from sctpio import AssociationAbortedError, Conn, EndOfAssociation, connect, listen, open_endpoint
from support import (
    LOCAL,
    QUEUE,
    Style,
    associations,
    connected,
    drain,
    fill,
    read_again,
    stop_reading,
    until,
    within,
)

pytestmark = [
    pytest.mark.both_modes,
    pytest.mark.one_loop,
    # usrsctp has threads, none of which a fork copies.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def hold(release: int) -> None:
    """Live on until the parent lets go."""
    os.read(release, 1)


def forked(release: int) -> Callable[[], object]:
    pid = os.fork()
    if not pid:
        try:
            hold(release)
        finally:
            os._exit(0)
    return lambda: os.waitpid(pid, 0)


def of_multiprocessing(release: int) -> Callable[[], object]:
    process = multiprocessing.get_context("fork").Process(target=hold, args=(release,))
    process.start()

    def end() -> None:
        process.join()
        process.close()

    return end


def of_a_pool(release: int) -> Callable[[], object]:
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    pool.submit(hold, release)
    return pool.shutdown


CHILDREN = {"fork": forked, "multiprocessing": of_multiprocessing, "pool": of_a_pool}


@asynccontextmanager
async def a_child(kind: str) -> AsyncIterator[None]:
    """Have a child that was forked just now, with copies of all descriptors, and lives on."""
    ours, theirs = os.pipe()
    there, here = os.pipe()
    if kind == "exec":
        # Python's own way to a program, with something to do in between.
        def before_exec() -> None:
            os.write(here, b"x")
            hold(ours)

        running = asyncio.create_task(
            asyncio.to_thread(
                subprocess.run, ["true"], preexec_fn=before_exec, pass_fds=(ours, here), check=True
            )
        )
        await asyncio.to_thread(os.read, there, 1)
        join = None
    else:
        join = CHILDREN[kind](ours)
    try:
        yield
    finally:
        os.write(theirs, b"x")
        if join is None:
            await running
        else:
            await asyncio.to_thread(join)
        for each in (ours, theirs, here, there):
            os.close(each)


children = pytest.mark.parametrize(
    "kind", ["fork", "multiprocessing", pytest.param("pool", marks=pytest.mark.endurance), "exec"]
)


@children
async def test_an_abort_is_told_at_once(kind: str) -> None:
    async with connected() as pair, a_child(kind):
        await pair.client.abort()
        with pytest.raises(AssociationAbortedError):
            await within(pair.server.receive())


@children
async def test_an_accepted_association_is_aborted_at_once(kind: str) -> None:
    async with connected() as pair, a_child(kind):
        await pair.server.abort()
        with pytest.raises(AssociationAbortedError):
            await within(pair.client.receive())


@children
async def test_a_close_is_complete(kind: str) -> None:
    async with connected() as pair, a_child(kind):
        await pair.client.send(b"the last")
        ended = asyncio.create_task(pair.client.close())
        assert (await within(pair.server.receive())).data == b"the last"
        with pytest.raises(EndOfAssociation):
            await within(pair.server.receive())
        await within(ended)
        await until(lambda: not associations())


@children
async def test_a_cancelled_close_aborts(kind: str) -> None:
    queue = {"options": QUEUE}
    async with connected(listen_with=queue, connect_with=queue) as pair, a_child(kind):
        # The peer's window is closed and its queue is full, so the shutdown cannot complete.
        stop_reading(pair.server)
        await fill(pair.client, 10_000)
        closing = asyncio.create_task(pair.client.close())
        await until(lambda: pair.client._association.is_closing)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        read_again(pair.server)
        with pytest.raises(AssociationAbortedError):
            await within(drain(pair.server))
        await until(lambda: not associations())


@children
async def test_a_forgotten_association_ends(kind: str) -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        async with client, a_child(kind):
            with pytest.warns(ResourceWarning, match="unclosed"):
                del server
                gc.collect()
            with pytest.raises(EndOfAssociation):
                await within(client.receive())


@children
async def test_a_handler_that_raises_aborts(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    forked = asyncio.Event()

    async def handler(conn: Conn) -> None:
        await conn.receive()
        await forked.wait()
        raise ValueError("a fault of the handler")

    async with listen(LOCAL, mode=Style.mode) as listener:
        serving = asyncio.create_task(listener.serve(handler))
        client = await connect(listener.local_addresses)
        await client.send(b"x")
        await until(lambda: client.status().unacknowledged == 0)
        async with a_child(kind):
            forked.set()
            with pytest.raises(AssociationAbortedError):
                await within(client.receive())
        await listener.close()
        await serving
    assert "a fault of the handler" in caplog.text


@children
async def test_a_closed_listener_refuses_later_clients_and_aborts_those_that_wait(kind: str) -> None:
    listener = await listen(LOCAL, mode=Style.mode)
    waiting = await connect(listener.local_addresses)
    async with waiting, a_child(kind):
        await listener.close()
        with pytest.raises(ConnectionRefusedError):
            await within(connect(listener.local_addresses))
        with pytest.raises(AssociationAbortedError):
            await within(waiting.receive())


@children
async def test_a_closed_endpoint_refuses_later_clients(kind: str) -> None:
    endpoint = await open_endpoint(LOCAL)
    async with connect(endpoint.local_addresses) as client, a_child(kind):
        await until(lambda: len(endpoint.associations) == 1)
        await endpoint.close()
        with pytest.raises(EndOfAssociation):
            await within(client.receive())
        with pytest.raises(ConnectionRefusedError):
            await within(connect(endpoint.local_addresses))


async def test_a_copy_that_no_handler_closed_keeps_no_listener_open() -> None:
    """A child that C code has forked knows nothing of this package."""
    ours, theirs = os.pipe()
    async with listen(LOCAL, mode=Style.mode) as listener:
        pid = ctypes.PyDLL(None).fork()
        if not pid:
            try:
                hold(ours)
            finally:
                os._exit(0)
    with pytest.raises(ConnectionRefusedError):
        await within(connect(listener.local_addresses))
    os.write(theirs, b"x")
    await asyncio.to_thread(os.waitpid, pid, 0)
    os.close(ours)
    os.close(theirs)
