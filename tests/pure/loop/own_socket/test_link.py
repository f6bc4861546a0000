"""What a Conn asks of its stack: options of paths, local addresses, and events that somebody wants."""

import asyncio
import errno
import gc
import os
from typing import Any, TypeVar

import pytest

from pure.loop.own_socket.bench import opened
from pure.loop.scripted import HERE, PEER
from sctpio import (
    Address,
    AsconfSupported,
    AssociationAbortedError,
    ClosedError,
    Option,
    PathState,
    PeerAddressInfo,
    RtoInfo,
    SenderDry,
    ShutdownEvent,
)
from support import turns, until, within

pytestmark = pytest.mark.both_loops

T = TypeVar("T", bound=Option)


async def test_an_option_is_of_the_primary_path_of_the_path_that_was_named_or_of_none() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        await bench.read()
        script.options[PeerAddressInfo] = PeerAddressInfo(PEER, PathState.ACTIVE, 1, 0.0, 3.0, 1_500)
        asked: list[tuple[Any, int, Address | None]] = []
        get_option = script.get_option

        def noting(kind: type[T], association_id: int, address: Address | None) -> T:
            asked.append((kind, association_id, address))
            return get_option(kind, association_id, address)

        script.get_option = noting  # type: ignore[method-assign]
        conn.get_option(RtoInfo)
        conn.get_option(RtoInfo, path="10.0.0.1")
        conn.get_option(PeerAddressInfo, path="10.0.0.1:6000")
        assert asked == [
            (RtoInfo, 3, None),
            (RtoInfo, 3, Address("10.0.0.1", PEER.port)),
            (PeerAddressInfo, 3, Address("10.0.0.1", PEER.port)),
        ]
        asked.clear()
        conn.get_option(PeerAddressInfo)
        assert asked[-1] == (PeerAddressInfo, 3, PEER)


async def test_a_local_address_is_one_host_with_the_port_that_there_is() -> None:
    async with opened() as bench:
        link, script = bench.conn._link, bench.script
        await bench.read()
        script.options[AsconfSupported] = AsconfSupported(True)
        changed: list[Address] = []
        for address in ("10.0.0.1:0", ("10.0.0.1", HERE.port), Address("10.0.0.1", 0)):
            link.change_local_address(changed.append, address, "{} stays")
        assert changed == [Address("10.0.0.1", HERE.port)] * 3
        for wrong in (
            ("10.0.0.1", HERE.port + 1),
            Address(("10.0.0.1", "10.0.0.2"), HERE.port),
            Address((), 0),
        ):
            with pytest.raises(ValueError, match=f"is not a local address.*port {HERE.port} or 0"):
                link.change_local_address(changed.append, wrong, "{} stays")
        script.options[AsconfSupported] = AsconfSupported(False)
        with pytest.raises(OSError, match="10.0.0.1:5000 stays: both ends need AsconfSupported") as caught:
            link.change_local_address(changed.append, "10.0.0.1:0", "{} stays")
        assert caught.value.errno == errno.EOPNOTSUPP
        assert len(changed) == 3


async def test_an_event_that_the_stack_refuses_is_an_error_unless_the_association_has_ended() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        await bench.read()

        def refuse(*_: object) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        script.subscribe = refuse  # type: ignore[method-assign, assignment]
        with pytest.raises(OSError, match="Invalid argument"):
            conn.events(SenderDry)
        with pytest.raises(OSError, match="Invalid argument"):
            await within(conn.flush())
        # What ended it is yet to be read.
        script.lost(3, cause=b"gone", told=False)
        events = conn.events(SenderDry)
        with pytest.raises(AssociationAbortedError):
            script.lost(3, cause=b"gone")
            await within(conn.flush())
        assert [event async for event in events] == []


async def test_an_event_is_unsubscribed_when_nobody_wants_it_any_more() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        await bench.read()
        one, two = conn.events(SenderDry), conn.events(SenderDry)
        flushing = asyncio.create_task(conn.flush())
        await turns()
        script.log.clear()
        await one.aclose()
        await two.aclose()
        assert script.calls("subscribe") == []
        script.event(SenderDry(3))
        await within(flushing)
        assert script.calls("subscribe") == [(SenderDry, False, 3)]
        # One that the association itself lives by stays.
        script.log.clear()
        await conn.events(ShutdownEvent).aclose()
        assert (ShutdownEvent, False, 3) not in script.calls("subscribe")


async def test_a_close_that_is_cancelled_aborts() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        await bench.read()
        closing = asyncio.create_task(conn.close())
        await turns()
        assert script.calls("shutdown") == [(3,)]
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert (script.calls("abort"), script.closed) == ([(3, b"")], True)
        with pytest.raises(ClosedError):
            await conn.receive()


async def test_a_descriptor_that_was_handed_over_is_the_callers_and_the_conn_is_closed() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        await bench.read()
        number = conn.detach()
        try:
            assert number >= 0
            os.fstat(number)
        finally:
            os.close(number)
        assert (conn.is_closed, script.calls("abort"), script.calls("shutdown")) == (True, [], [])
        with pytest.raises(ClosedError, match="detached"):
            await conn.send(b"x")


async def test_an_abort_says_in_the_log_that_its_cause_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as bench:
        await bench.read()
        await bench.conn.abort(b"why")
        [record] = caplog.records
        assert "association 3 goes without the cause b'why'" in record.getMessage()
    gc.collect()
    assert len(caplog.records) == 1


async def test_a_shutdown_that_the_stack_refuses_is_the_end_that_it_was() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        await bench.read()
        script.lost(3, cause=b"gone")
        with pytest.raises(AssociationAbortedError) as caught:
            await within(conn.close())
        assert caught.value.cause == b"gone"
        await until(lambda: script.closed)
