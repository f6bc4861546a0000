"""Promises 4 and 6: no descriptor leaks on any path, forgotten objects warn, loops and threads."""

import asyncio
import gc
import sys
import threading
import warnings
import weakref

import pytest
import uvloop

from sctpio import (
    AssociationAbortedError,
    ClosedError,
    Conn,
    EndOfAssociation,
    Listener,
    RtoInfo,
    connect,
    listen,
)
from sctpio._loop.loop_socket import give_back
from support import PER_SOCKET, Pair, associations, descriptor_count, until

pytestmark = pytest.mark.both_loops

# No ephemeral port: a client that is given its target's number would connect to itself.
NOBODY = "127.0.0.1:1"

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def test_a_thousand_failed_connects_leave_no_descriptor() -> None:
    before = descriptor_count()
    for _ in range(1000):
        with pytest.raises(ConnectionRefusedError):
            await connect(NOBODY)
    assert descriptor_count() == before
    assert not associations()


async def test_failures_before_the_first_packet_leave_no_descriptor() -> None:
    before = descriptor_count()
    for arguments in (
        {"local": "10.99.99.99:0"},
        {"local": "127.0.0.1/10.99.99.99:0"},
    ):
        with pytest.raises(OSError, match="bind"):
            await connect("127.0.0.1:9", **arguments)  # type: ignore[arg-type]
    bad = RtoInfo(initial=1.0, minimum=5.0, maximum=2.0)
    for opening in (connect("127.0.0.1:9", options=[bad]), listen("127.0.0.1:0", options=[bad])):
        with pytest.raises(OSError, match="SCTP_RTOINFO"):
            await opening
    assert descriptor_count() == before


async def test_a_thousand_accepts_leave_no_descriptor() -> None:
    async with listen("127.0.0.1:0") as listener:
        before = descriptor_count()
        for index in range(1000):
            client = await connect(listener.local_addresses)
            server = await listener.accept()
            if index % 3 == 0:
                await client.close()
                with pytest.raises(EndOfAssociation):
                    await server.receive()
                await server.wait_closed()
            elif index % 3 == 1:
                await client.abort()
                with pytest.raises(AssociationAbortedError):
                    await server.receive()
            else:
                await asyncio.gather(client.close(), server.close())
        assert descriptor_count() == before
    await until(lambda: not associations())


async def test_a_forgotten_conn_warns_and_closes() -> None:
    async with listen("127.0.0.1:0") as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        before = descriptor_count()
        reference = weakref.ref(client)
        with pytest.warns(ResourceWarning, match="unclosed <sctpio.Conn open") as caught:
            del client
            gc.collect()
        assert isinstance(caught[0].source, Conn)
        del caught
        gc.collect()
        assert reference() is None
        await until(lambda: descriptor_count() <= before - PER_SOCKET)
        with pytest.raises((EndOfAssociation, AssociationAbortedError)):
            await server.receive()


async def test_a_forgotten_listener_warns_and_closes() -> None:
    listener = await listen("127.0.0.1:0")
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Listener open") as caught:
        del listener
        gc.collect()
    assert isinstance(caught[0].source, Listener)
    del caught
    await until(lambda: descriptor_count() <= before - PER_SOCKET)


async def test_a_conn_that_ended_or_was_closed_does_not_warn(pair: Pair) -> None:
    async with listen("127.0.0.1:0") as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        await client.close()
        await server.wait_closed()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del client, server
            gc.collect()


async def test_a_conn_forgotten_in_another_thread_is_released_in_its_own() -> None:
    async with listen("127.0.0.1:0") as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        holder = [client]
        del client
        with pytest.warns(ResourceWarning):
            thread = threading.Thread(target=holder.clear)
            thread.start()
            thread.join()
        gc.collect()
        with pytest.raises((EndOfAssociation, AssociationAbortedError)):
            await server.receive()
        await server.wait_closed()


async def test_a_task_that_waits_is_not_collected() -> None:
    async with listen("127.0.0.1:0") as listener:
        client = await connect(listener.local_addresses)
        received: list[bytes] = []

        async def serve() -> None:
            async with await listener.accept() as conn:
                received.append((await conn.receive()).data)

        # Nobody holds the task: asyncio itself has only a weak reference to it.
        asyncio.ensure_future(serve())  # noqa: RUF006
        await asyncio.sleep(0.01)
        gc.collect()
        await client.send(b"heard")
        await until(lambda: received == [b"heard"])
        await client.close()


def test_a_loop_that_is_dropped_with_its_tasks_leaks_nothing() -> None:
    before = descriptor_count()
    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        loop = factory()

        async def begin() -> None:
            listener = await listen("127.0.0.1:0")
            client = await connect(listener.local_addresses)
            for waiting in (client.receive(), listener.accept()):
                asyncio.ensure_future(waiting)  # noqa: RUF006
            await asyncio.sleep(0.01)

        with warnings.catch_warnings():
            # Of asyncio for the tasks, and ours for the objects, each from the collector.
            warnings.simplefilter("ignore")
            unraisable, sys.unraisablehook = sys.unraisablehook, lambda _: None
            try:
                # Not logged: what is logged is kept, with its frames.
                loop.set_exception_handler(lambda *_: None)
                loop.run_until_complete(begin())
                loop.close()
                del loop
                gc.collect()
            finally:
                sys.unraisablehook = unraisable
    assert descriptor_count() == before


def test_loops_in_threads_each_own_their_objects() -> None:
    results: dict[str, int] = {}

    async def work(name: str) -> None:
        async with listen("127.0.0.1:0") as listener:
            server = asyncio.create_task(listener.serve(_echo))
            async with connect(listener.local_addresses) as client:
                for index in range(200):
                    data = b"%s %d" % (name.encode(), index)
                    await client.send(data)
                    assert (await client.receive()).data == data
                results[name] = index
            await listener.close()
            await server

    factories = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

    def run(name: str) -> None:
        with asyncio.Runner(loop_factory=factories[name.split()[0]]) as runner:
            runner.run(work(name))

    names = [f"{kind} {number}" for kind in factories for number in range(3)]
    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(names, 199)


async def _echo(conn: Conn) -> None:
    async for message in conn:
        await conn.send(message.data)


async def test_no_threads_and_no_background_tasks(pair: Pair) -> None:
    events = pair.client.events()
    await pair.client.send(b"x")
    await pair.server.receive()
    assert threading.active_count() == 1
    assert len(asyncio.all_tasks()) == 1
    await events.aclose()


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_what_is_forgotten_between_the_loops_last_turn_and_its_close_is_released(name: str) -> None:
    """Item 8: in another thread, as the collector may choose."""
    before = descriptor_count()
    loop = LOOPS[name]()
    held: list[object] = []

    async def begin() -> None:
        listener = await listen("127.0.0.1:0")
        held.extend((await connect(listener.local_addresses), await listener.accept(), listener))

    loop.run_until_complete(begin())

    async def last_turn() -> None:
        # The loop still runs, and has no other turn.
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()

    with pytest.warns(ResourceWarning):
        loop.run_until_complete(last_turn())
    loop.close()
    del loop
    assert descriptor_count() == before


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_a_loop_whose_thread_ended_without_closing_it_leaks_nothing(name: str) -> None:
    before = descriptor_count()
    loops = [LOOPS[name]()]
    held: list[object] = []

    async def begin() -> None:
        listener = await listen("127.0.0.1:0")
        held.extend((await connect(listener.local_addresses), await listener.accept(), listener))

    thread = threading.Thread(target=lambda: loops[0].run_until_complete(begin()))
    thread.start()
    thread.join()
    with pytest.warns(ResourceWarning):
        held.clear()
        gc.collect()
    loops.pop().close()
    assert descriptor_count() == before


async def test_a_warning_that_is_an_error_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: raised.append(type(found.exc_value)))
    listener = await listen("127.0.0.1:0")
    client = await connect(listener.local_addresses)
    server = await listener.accept()
    before = descriptor_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client, server, listener
        gc.collect()
    await until(lambda: descriptor_count() == before - 3 * PER_SOCKET)
    assert raised == [ResourceWarning] * 3


async def test_a_loop_that_closes_as_it_is_asked_leaks_nothing() -> None:
    """Item 8: closed between `is_closed` and `call_soon_threadsafe`."""

    class Closing:
        def is_closed(self) -> bool:
            return False

        def is_running(self) -> bool:
            return True

        def call_soon_threadsafe(self, *_: object) -> None:
            raise RuntimeError("Event loop is closed")

    before = descriptor_count()
    async with listen("127.0.0.1:0") as listener:
        client = await connect(listener.local_addresses)
        socket = client._link.socket
        socket._set_reading(False)
        give_back(Closing(), socket.raw, pytest.fail)  # type: ignore[arg-type]
        assert client.fileno() == -1
        client._association.cut_off(ClosedError("as its loop"))
        await (await listener.accept()).abort()
    assert descriptor_count() == before


async def test_a_forgotten_opening_warns() -> None:
    """Item 14."""
    for kind in (connect, listen):
        with pytest.warns(RuntimeWarning, match=f"{kind.__name__}.* was never awaited"):
            kind(NOBODY)
            gc.collect()


async def test_every_call_can_be_a_task(pair: Pair) -> None:
    """Item 13: create_task takes coroutines alone from Python 3.12 on."""
    await asyncio.create_task(pair.client.send(b"x"))
    await asyncio.create_task(pair.server.receive())
    await asyncio.create_task(pair.client.flush())
    reader = asyncio.create_task(pair.server.receive())
    async with asyncio.TaskGroup() as group:
        group.create_task(pair.client.send_many([b"y"]))
        group.create_task(pair.client.stream(1).send(b"z"))
    assert (await reader).data == b"y"
    await asyncio.create_task(pair.client.abort())
    await asyncio.create_task(pair.client.wait_closed())
