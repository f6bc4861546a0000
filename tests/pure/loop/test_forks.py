"""Item 5 of promise 9: a forked child leaves alone what is its parent's, and is told so."""

import asyncio
import gc
import json
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import pure.loop.own_socket.bench
import pure.loop.shared_socket.bench
from sctpio import ClosedError, Conn
from support import until, within

own = pure.loop.own_socket.bench
shared = pure.loop.shared_socket.bench

pytestmark = pytest.mark.one_loop


def in_child(work: Callable[[], object]) -> Any:
    """Run it in a forked child, and return what it returns."""
    there, here = os.pipe()
    child = os.fork()
    if not child:
        try:
            with os.fdopen(here, "w") as out:
                try:
                    told = {"returned": work()}
                except BaseException as error:
                    told = {"raised": traceback.format_exception(error)}
                json.dump(told, out)
        finally:
            os._exit(0)
    os.close(here)
    with os.fdopen(there) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    told = json.loads(text)
    assert "raised" not in told, "".join(told["raised"])
    return told["returned"]


def refusals(conn: Conn) -> list[str]:
    """Return what each call is refused with, in a loop of the child's own; closing does nothing."""
    found = []

    async def call_all() -> None:
        for call in (lambda: conn.send(b"x"), conn.receive, conn.receive_many, conn.flush, conn.peel_off):
            with pytest.raises(ClosedError) as caught:
                await call()
            found.append(str(caught.value))
        await conn.close()

    asyncio.run(call_all())
    return found


def is_refused(found: list[str]) -> bool:
    return len(found) == 5 and all(f"belongs to process {os.getpid()}" in text for text in found)


async def test_a_child_that_uses_or_drops_a_conn_changes_nothing() -> None:
    async with own.opened() as bench:
        conn, script = bench.conn, bench.script
        script.data(3, b"the parent's")
        await until(lambda: conn.statistics().unread_messages == 1)
        before = len(script.log)

        def work() -> object:
            found = refusals(conn)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                bench.conn.__del__()
            return found, [call[0] for call in script.log[before:]], conn.fileno()

        found, calls, descriptor = in_child(work)
        assert is_refused(found), found
        assert (calls, descriptor) == (["disown"], -1)
        assert (await within(conn.receive())).data == b"the parent's"
        reader = asyncio.create_task(conn.receive())
        script.data(3, b"later")
        assert (await within(reader)).data == b"later"


async def test_a_child_that_exits_shuts_down_no_association_of_a_shared_socket() -> None:
    async with shared.opened() as bench:
        conns = [await bench.new(number) for number in (1, 2)]
        before = len(bench.script.log)

        def work() -> object:
            found = [refusals(conn) for conn in conns]
            listener, bench.listener = bench.listener, None  # type: ignore[assignment]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                listener.__del__()
                for conn in conns:
                    conn.__del__()
            gc.collect()
            return found, [call[0] for call in bench.script.log[before:]]

        found, calls = in_child(work)
        assert all(is_refused(each) for each in found), found
        assert calls == ["disown"]
        bench.script.data(2, b"still here")
        assert (await within(conns[1].receive())).data == b"still here"
        bench.script.up(3)
        assert (await bench.accept()).association_id == 3


async def test_one_descriptor_that_somebody_closed_keeps_no_other_open_in_the_child() -> None:
    async with own.opened() as first, own.opened() as second, own.opened() as third:
        benches = (first, second, third)

        def refuse(text: str) -> None:
            raise OSError("closed already")

        second.socket.disown = refuse  # type: ignore[method-assign]
        closed = in_child(lambda: [bench.script.closed for bench in benches])
        assert closed == [True, False, True]
