"""Clients that come back: `async for conn in connect(...)`."""

import asyncio
import contextlib
import logging

import pytest

from sctpio import Address, Conn, EndOfAssociation, connect, listen
from sctpio._loop import reconnecting
from support import LOCAL, SMALL, associations, descriptor_count, stop_reading, until, within

pytestmark = pytest.mark.both_loops


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "FIRST_PAUSE", 0.001)


async def test_a_client_comes_back_to_a_server_that_restarts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sctpio.association")
    got: list[bytes] = []

    async def client(remote: Address) -> None:
        async for conn in connect(remote):
            with contextlib.suppress(OSError, EndOfAssociation):
                async with conn:
                    got.append((await conn.receive()).data)
                    await conn.receive()

    first = await listen(LOCAL)
    task = asyncio.create_task(client(first.local_addresses))
    conn = await within(first.accept())
    await conn.send(b"first")
    await until(lambda: got == [b"first"])
    await first.close()
    await conn.abort()
    await until(lambda: any("cannot be reached" in record.message for record in caplog.records))
    async with listen(first.local_addresses) as second:
        again = await within(second.accept())
        await again.send(b"second")
        await until(lambda: got == [b"first", b"second"])
        messages = [record.message for record in caplog.records if "reached" in record.message]
        assert len(messages) == 2, messages
        assert "is reached again" in messages[1]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await again.abort()


async def test_its_lines_go_to_the_logger_that_was_given(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mine")

    async def client() -> None:
        async for _ in connect("127.0.0.1:1", logger=logging.getLogger("mine")):
            pass

    task = asyncio.create_task(client())
    await until(lambda: any(record.name == "mine" for record in caplog.records))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task)
    (record,) = caplog.records
    assert "127.0.0.1:1 cannot be reached" in record.getMessage()
    assert vars(record)["peer"] == "127.0.0.1:1"


async def test_it_stops_on_errors_that_do_not_pass() -> None:
    with pytest.raises(ValueError, match="127"):
        async for _ in connect("127.0.0.1/:1"):
            pass
    with pytest.raises(OSError, match="nowhere0"):
        async for _ in connect("[fe80::1%nowhere0]:1"):
            pass


async def test_the_last_association_is_closed_before_the_next_is_made() -> None:
    before = descriptor_count()
    async with listen(LOCAL) as listener:
        seen: list[Conn] = []
        async for conn in connect(listener.local_addresses):
            seen.append(conn)
            assert all(earlier.is_closed for earlier in seen[:-1])
            peer = await listener.accept()
            if len(seen) == 3:
                await conn.close()
                await peer.close()
                break
            asyncio.get_running_loop().call_soon(peer.abort_nowait)
        assert len(seen) == 3
    await until(lambda: not associations())
    assert descriptor_count() == before


@pytest.mark.parametrize("where", ["connecting", "pause", "using"])
async def test_it_can_be_cancelled_everywhere(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptor_count()
    inside = asyncio.Event()

    async def client(remote: Address) -> None:
        async for conn in connect(remote):
            async with conn:
                inside.set()
                await asyncio.Event().wait()

    if where == "pause":
        monkeypatch.setattr(reconnecting, "FIRST_PAUSE", 30.0)
    async with listen(LOCAL) as listener:
        remote = listener.local_addresses if where == "using" else Address("127.0.0.1", 1)
        task = asyncio.create_task(client(remote))
        if where == "using":
            await within(inside.wait())
        else:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(task)
        del task
    await until(lambda: not associations())
    assert descriptor_count() == before


async def test_it_can_be_cancelled_while_it_closes_the_last_association() -> None:
    before = descriptor_count()
    async with listen(LOCAL, **SMALL) as listener:
        turns: list[Conn] = []

        async def client() -> None:
            async for conn in connect(listener.local_addresses):
                turns.append(conn)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        while True:
                            await conn.send(bytes(20_000))

        task = asyncio.create_task(client())
        peer = await within(listener.accept())
        stop_reading(peer)
        # Its close waits for a peer that does not read.
        await until(lambda: bool(turns) and turns[0]._association.is_closing)
        assert len(turns) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(task)
        assert turns[0].is_closed
        await peer.abort()
    turns.clear()
    await until(lambda: not associations())
    await until(lambda: descriptor_count() == before)
