"""What the stack refuses on a one-to-many socket, over a scripted one: the rest goes on."""

import errno
import os
from typing import Any

import pytest

from pure.loop.shared_socket.bench import opened
from sctpio import Address, AssociationAbortedError, AssociationError, SenderDry
from support import within

# What a batch has is told exactly.
pytestmark = [pytest.mark.both_loops, pytest.mark.usefixtures("full_batches")]


def refused(code: int) -> Any:
    """Make a method that raises OSError."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


async def test_one_that_cannot_be_peeled_off_stays_and_goes_on() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        peel_off = bench.script.peel_off
        bench.script.peel_off = refused(errno.EMFILE)  # type: ignore[method-assign]
        with pytest.raises(OSError, match="Too many open files"):
            await conn.peel_off()
        bench.script.data(3, b"here")
        assert (await within(conn.receive())).data == b"here"
        bench.script.peel_off = peel_off  # type: ignore[method-assign]
        assert await conn.peel_off() is conn
        assert list(bench.many.members) == []


@pytest.mark.parametrize("told", [True, False])
async def test_one_that_has_ended_cannot_be_peeled_off(told: bool) -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        # Not read yet, if it comes at all.
        bench.script.lost(3, cause=b"gone", told=told)
        kind = AssociationAbortedError if told else AssociationError
        with pytest.raises(kind) as caught:
            await conn.peel_off()
        assert type(caught.value) is kind


async def test_half_a_notification_does_not_move_with_another_association() -> None:
    async with opened() as bench:
        conn, other = await bench.new(3), await bench.new(4)
        events = other.events(SenderDry)
        whole = bench.script.codec.encode_event(SenderDry(4))
        bench.script.notification(whole[:5], complete=False)
        await bench.read()
        bench.script.notification(whole[5:])
        bench.script.data(4, b"behind it")
        await conn.peel_off()
        # As much was read as belongs together.
        assert bench.script.unread == 1
        assert (await within(other.receive())).data == b"behind it"
        assert await within(anext(events)) == SenderDry(4)


async def test_a_path_of_another_peer_is_refused_and_one_of_none_is_the_end() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        found = {Address("10.0.0.1", 6000): 3, Address("10.0.0.2", 6000): 4}
        bench.script.find_association = lambda path: found.get(path, 0)  # type: ignore[attr-defined]
        bench.script.pack_path = bench.script.codec.pack_addresses  # type: ignore[attr-defined]
        await conn.send(b"x", path="10.0.0.1")
        for path in ("10.0.0.2", "10.0.0.3"):
            with pytest.raises(OSError, match=f"{path}:6000 is not an address of the peer") as caught:
                await conn.send(b"x", path=path)
            assert caught.value.errno == errno.EINVAL
        assert bench.script.calls("send") == [(3, b"x")]
        bench.script.lost(3, cause=b"gone")
        with pytest.raises(AssociationAbortedError):
            await conn.send(b"x", path="10.0.0.2")


async def test_a_socket_that_does_not_listen_is_closed_all_the_same() -> None:
    async with opened() as bench:
        conn = await bench.new(3)
        bench.script.listen = refused(errno.EINVAL)  # type: ignore[method-assign]
        await bench.listener.close()
        assert bench.many.closed
        await conn.abort()
        assert bench.script.closed
