"""A server that ends: what its handlers are told, who is waited for how long, what becomes of the rest."""

import asyncio
import logging
import sys

import pytest

from sctpio import (
    AssociationAbortedError,
    AssociationError,
    ClosedError,
    Conn,
    EndOfAssociation,
    ShutdownResult,
    connect,
    listen,
)
from support import KIB, LOCAL, SMALL, Style, associations, echo, stop_reading, turns, until, within

pytestmark = [pytest.mark.both_modes, pytest.mark.both_loops]


async def test_handlers_answer_what_has_come_and_close() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(echo))
        clients = [await connect(listener.local_addresses) for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send_many([b"%d" % number] * 10)
            await client.flush()
        await until(lambda: len(listener.connections) == 5)
        result = await within(listener.shutdown(timeout=20.0))
        assert result == ShutdownResult(finished=5)
        for number, client in enumerate(clients):
            assert [message.data async for message in client] == [b"%d" % number] * 10
        await within(server)
        assert listener.connections == ()
        with pytest.raises(ConnectionRefusedError):
            await connect(listener.local_addresses)
    await until(lambda: not associations())


async def test_who_does_not_finish_is_shut_down_and_then_aborted() -> None:
    async def handler(conn: Conn) -> None:
        if (await conn.receive()).data == b"deaf":
            stop_reading(conn)
        await asyncio.Event().wait()

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        async with connect(listener.local_addresses) as hung, connect(listener.local_addresses) as fine:
            await hung.send(b"hang")
            await fine.send(b"hang")
            await hung.flush()
            await fine.flush()
            await until(lambda: len(listener.connections) == 2)
            result = await within(listener.shutdown(timeout=0.6))
            assert result == ShutdownResult(shut_down=2)
            await within(server)
            for client in (hung, fine):
                with pytest.raises(EndOfAssociation):
                    await within(client.receive())


async def test_a_peer_that_acknowledges_nothing_is_aborted() -> None:
    async def handler(conn: Conn) -> None:
        while True:
            await conn.send(bytes(20_000))

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        client = await connect(listener.local_addresses, **SMALL)
        stop_reading(client)
        await until(lambda: len(listener.connections) == 1)
        await until(lambda: listener.connections[0].statistics().waiting_senders == 1)
        result = await within(listener.shutdown(timeout=0.6))
        assert result == ShutdownResult(aborted=1)
        await within(server)
        await client.abort()


async def test_cancelling_serve_drains_first(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[str] = []

    async def handler(conn: Conn) -> None:
        await echo(conn)
        ends.append("drained")

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        async with connect(listener.local_addresses) as client:
            await client.send(b"1")
            assert (await within(client.receive())).data == b"1"
            server.cancel()
            with pytest.raises(asyncio.CancelledError):
                await within(server)
            assert ends == ["drained"]
            with pytest.raises(EndOfAssociation):
                await within(client.receive())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_cancelling_serve_twice_aborts_at_once() -> None:
    started = asyncio.Event()

    async def handler(conn: Conn) -> None:
        started.set()
        await asyncio.Event().wait()

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler, shutdown_timeout=None))
        client = await connect(listener.local_addresses)
        await within(started.wait())
        server.cancel()
        await until(lambda: listener.fileno() == -1)
        await asyncio.sleep(0.05)
        assert not server.done()
        server.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(server)
        with pytest.raises(AssociationAbortedError):
            await within(client.receive())


async def test_cancelling_shutdown_aborts_what_is_left() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        client = await connect(listener.local_addresses)
        conn = await listener.accept()
        ending = asyncio.create_task(listener.shutdown(timeout=None))
        await asyncio.sleep(0.05)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(ending)
        assert conn.is_closed
        with pytest.raises(AssociationAbortedError):
            await within(client.receive())


async def test_two_shutdowns_at_once_end_the_same() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(echo))
        async with connect(listener.local_addresses) as client:
            await client.send(b"1")
            await within(client.receive())
            results = await within(asyncio.gather(listener.shutdown(), listener.shutdown()))
            assert list(results) == [ShutdownResult(finished=1)] * 2
        await within(server)
        assert await within(listener.shutdown()) == ShutdownResult()


async def test_a_handler_may_shut_the_server_down() -> None:
    results: list[ShutdownResult] = []

    async with listen(LOCAL, mode=Style.mode) as listener:

        async def handler(conn: Conn) -> None:
            async for message in conn:
                if message.data == b"quit":
                    results.append(await listener.shutdown(timeout=20.0))
                    await conn.send(b"bye")
                    return

        server = asyncio.create_task(listener.serve(handler))
        async with connect(listener.local_addresses) as client, connect(listener.local_addresses) as other:
            await until(lambda: len(listener.connections) == 2)
            await client.send(b"quit")
            assert (await within(client.receive())).data == b"bye"
            with pytest.raises(EndOfAssociation):
                await within(other.receive())
            await within(server)
    assert results == [ShutdownResult(finished=1)]


if sys.version_info >= (3, 12):

    async def test_a_handler_in_an_eager_task_may_shut_the_server_down() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with listen(LOCAL, mode=Style.mode) as listener:
            results: list[ShutdownResult] = []

            async def handler(conn: Conn) -> None:
                results.append(await listener.shutdown(timeout=None))

            server = asyncio.create_task(listener.serve(handler))
            async with connect(listener.local_addresses):
                await within(server)
            assert results == [ShutdownResult()]


async def test_a_drained_association_is_still_sent_on_and_says_why_it_reads_no_more() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        client = await connect(listener.local_addresses)
        conn = await listener.accept()
        await client.send(b"before")
        await client.flush()
        ending = asyncio.create_task(listener.shutdown(timeout=None))
        await asyncio.sleep(0)
        assert (await within(conn.receive())).data == b"before"
        with pytest.raises(EndOfAssociation, match="listener is shutting down"):
            await within(conn.receive())
        await conn.send(b"answer")
        await conn.close()
        assert await within(ending) == ShutdownResult(finished=1)
        assert [message.data async for message in client] == [b"answer"]


async def test_what_waited_in_the_stack_for_a_full_receive_buffer_is_still_given() -> None:
    async with listen(LOCAL, mode=Style.mode, receive_buffer=4 * KIB) as listener:
        client = await connect(listener.local_addresses)
        conn = await listener.accept()
        sent = [b"%d" % number + bytes(500) for number in range(40)]
        await client.send_many(sent)
        await client.flush()
        await until(lambda: conn.statistics().reading_paused)
        ending = asyncio.create_task(listener.shutdown(timeout=20.0))
        await turns()
        assert [message.data async for message in conn] == sent
        await conn.close()
        assert await within(ending) == ShutdownResult(finished=1)
        await client.abort()


async def test_the_peers_graceful_end_is_no_error_and_its_abort_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(conn: Conn) -> None:
        await conn.receive()

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        async with connect(listener.local_addresses):
            await until(lambda: len(listener.connections) == 1)
        await until(lambda: not listener.connections)
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        client = await connect(listener.local_addresses)
        await until(lambda: len(listener.connections) == 1)
        await client.abort()
        await until(lambda: not listener.connections)
        (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
        assert "aborted" in record.getMessage()
        assert record.exc_info is None
        await within(listener.shutdown())
        await within(server)


async def test_an_end_of_another_association_is_an_error_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listen(LOCAL, mode=Style.mode) as listener, listen(LOCAL) as backend:

        async def handler(conn: Conn) -> None:
            async with connect(backend.local_addresses) as behind:
                await behind.receive()

        server = asyncio.create_task(listener.serve(handler))
        async with connect(listener.local_addresses) as client:
            async with await backend.accept():
                pass
            with pytest.raises(AssociationError):
                await within(client.receive())
        assert any(record.exc_info for record in caplog.records)
        await within(listener.shutdown())
        await within(server)


async def test_an_error_of_another_association_is_told_whatever_the_log_of_associations_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "sctpio")

    async def handler(conn: Conn) -> None:
        raise AssociationAbortedError(b"the backend's")

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        client = await connect(listener.local_addresses)
        with pytest.raises(AssociationAbortedError):
            await within(client.receive())
        assert any(record.exc_info for record in caplog.records)
        await within(listener.shutdown())
        await within(server)


async def test_the_end_that_comes_in_a_group_is_no_error_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(conn: Conn) -> None:
        async def read() -> None:
            while True:
                await conn.receive()

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(read())
                tasks.create_task(asyncio.Event().wait())
        finally:
            await conn.send(b"bye")

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        client = await connect(listener.local_addresses)
        await until(lambda: len(listener.connections) == 1)
        assert await within(listener.shutdown()) == ShutdownResult(finished=1)
        await within(server)
        assert [message.data async for message in client] == [b"bye"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_handler_that_hangs_after_its_association_ended_is_cancelled() -> None:
    async def handler(conn: Conn) -> None:
        await conn.receive()
        await conn.close()
        await asyncio.Event().wait()

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        client = await connect(listener.local_addresses)
        await client.send(b"end")
        with pytest.raises(EndOfAssociation):
            await within(client.receive())
        await until(lambda: not listener.connections)
        assert await within(listener.shutdown(timeout=0.2)) == ShutdownResult()
        await within(server)


async def test_a_handler_may_finish_after_its_association_ended() -> None:
    go_on = asyncio.Event()
    done: list[bool] = []

    async def handler(conn: Conn) -> None:
        await echo(conn)
        await conn.close()
        await go_on.wait()
        done.append(True)

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        client = await connect(listener.local_addresses)
        await until(lambda: len(listener.connections) == 1)
        ending = asyncio.create_task(listener.shutdown(timeout=None))
        with pytest.raises(EndOfAssociation):
            await within(client.receive())
        await until(lambda: not listener.connections)
        await turns()
        assert not ending.done()
        go_on.set()
        assert await within(ending) == ShutdownResult(finished=1)
        await within(server)
        assert done == [True]


async def test_cancelling_shutdown_cancels_handlers_too() -> None:
    started = asyncio.Event()

    async def handler(conn: Conn) -> None:
        started.set()
        await asyncio.Event().wait()

    async with listen(LOCAL, mode=Style.mode) as listener:
        server = asyncio.create_task(listener.serve(handler))
        client = await connect(listener.local_addresses)
        await within(started.wait())
        ending = asyncio.create_task(listener.shutdown(timeout=None))
        await turns()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(ending)
        await within(server)
        with pytest.raises(AssociationAbortedError):
            await within(client.receive())


async def test_connections_are_those_that_live() -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        assert not listener.connections
        async with connect(listener.local_addresses) as client:
            conn = await listener.accept()
            assert list(listener.connections) == [conn]
            await client.close()
            await until(lambda: not listener.connections)
            with pytest.raises((EndOfAssociation, ClosedError)):
                await conn.receive()
