"""A listening one-to-one socket, over a scripted one: who gets which association, what a failure leaves."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from pure.loop.scripted import PEER, SCRIPTED, Script, ScriptOfOne, T
from sctpio import Address, AssociationChange, ClosedError
from sctpio._loop.acceptor import Acceptor
from sctpio._loop.link import Link
from sctpio._loop.settings import Settings
from sctpio.stacks.base import StackSocket
from support import settled, turns, until, within

pytestmark = pytest.mark.both_loops


class Door(Script):
    """A listening socket: peers come to it from ports 1, 2, 3..."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_to_accept = 0
        self.make: Callable[[], ScriptOfOne] = self.come_up
        self._offered: list[tuple[ScriptOfOne, Address]] = []
        self._ports = itertools.count(1)

    @staticmethod
    def come_up() -> ScriptOfOne:
        script = ScriptOfOne()
        script.up(3)
        return script

    def offer(self) -> ScriptOfOne:
        """Let a peer begin an association."""
        script = self.make()
        self._offered.append((script, Address(PEER.hosts, next(self._ports))))
        self._turn_readable()
        return script

    def accept(self) -> tuple[StackSocket, Address] | None:
        """Give the one that waits longest."""
        self.calls_to_accept += 1
        if not self._offered:
            if self._readable:
                self._here.recv(1)
                self._readable = False
            return None
        script, peer = self._offered.pop(0)
        return cast("StackSocket", script), peer


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Door, Acceptor]]:
    """Listen; at the end the descriptor is closed."""
    door = Door()
    settings = Settings(None, (), (), SCRIPTED, 100_000, 1_000_000)
    acceptor = Acceptor(cast("StackSocket", door), asyncio.get_running_loop(), settings.new_socket)
    try:
        yield door, acceptor
    finally:
        acceptor.close()
        assert door.closed


async def test_those_who_wait_get_associations_in_turn() -> None:
    async with listening() as (door, acceptor):
        tasks = [asyncio.create_task(acceptor.accept()) for _ in range(3)]
        await turns()
        door.offer()
        first = await within(tasks[0])
        assert (first.association.peer.port, first.association.id, first.association.is_there) == (1, 3, True)
        tasks[1].cancel()
        door.offer()
        last = await within(tasks[2])
        assert last.association.peer.port == 2
        # One that is there already is taken without waiting.
        door.offer()
        third = acceptor.accept()
        with pytest.raises(StopIteration) as done:
            third.send(None)
        for link in (first, last, cast("Link", done.value.value)):
            link.abort()


async def test_a_socket_where_nobody_waits_is_not_watched() -> None:
    async with listening() as (door, acceptor):
        task = asyncio.create_task(acceptor.accept())
        await turns()
        task.cancel()
        await turns()
        door.offer()
        await until(lambda: acceptor.wakeups == 1)
        await settled(lambda: acceptor.wakeups, quiet=0.05)
        assert (acceptor.wakeups, door.calls_to_accept) == (1, 1)
        link = await within(acceptor.accept())
        link.abort()
        # It is watched anew by the next that waits.
        task = asyncio.create_task(acceptor.accept())
        await turns()
        door.offer()
        (await within(task)).abort()


async def test_one_that_cannot_be_read_is_aborted_and_leaves_nothing() -> None:
    async with listening() as (door, acceptor):

        class Broken(ScriptOfOne):
            def receive(self, room: int, most: int | None = None) -> object:  # type: ignore[override]
                raise MemoryError

        door.make = Broken
        broken = door.offer()
        with pytest.raises(MemoryError):
            await within(acceptor.accept())
        assert broken.calls("abort") == [(0, b"")]
        assert broken.closed
        door.make = door.come_up
        door.offer()
        (await within(acceptor.accept())).abort()


async def test_one_whose_first_event_was_lost_is_up_all_the_same() -> None:
    async with listening() as (door, acceptor):

        class Untold(ScriptOfOne):
            def __init__(self) -> None:
                super().__init__()
                self.up(3, told=False)

            def get_option(self, kind: type[T], association_id: int, address: Address | None) -> T:
                return super().get_option(kind, association_id or 3, address)

        door.make = Untold
        door.offer()
        link = await within(acceptor.accept())
        association = link.association
        assert (association.id, association.outbound_streams, association.inbound_streams) == (3, 8, 7)
        link.abort()

        # And one that is gone by now says so to whoever asks.
        class Gone(Untold):
            def __init__(self) -> None:
                super().__init__()
                self.alive.clear()

        door.make = Gone
        door.offer()
        gone = await within(acceptor.accept())
        assert gone.association.is_setting_up
        gone.abort()


async def test_closing_ends_the_waiting_and_every_later_call() -> None:
    async with listening() as (door, acceptor):
        tasks = [asyncio.create_task(acceptor.accept()) for _ in range(2)]
        await turns()
        assert not acceptor.closed
        acceptor.close()
        for task in tasks:
            with pytest.raises(ClosedError, match="the listener is closed"):
                await within(task)
        assert (acceptor.closed, door.closed) == (True, True)
        with pytest.raises(ClosedError):
            await acceptor.accept()
        acceptor.close()


async def test_events_are_subscribed_for_associations_to_come() -> None:
    async with listening() as (door, acceptor):
        acceptor.subscribe(AssociationChange)
        acceptor.unsubscribe(AssociationChange)
        assert door.calls("subscribe") == [(AssociationChange, True, 0), (AssociationChange, False, 0)]


@pytest.mark.parametrize("running", [True, False])
def test_a_forgotten_one_is_closed_by_the_loop_if_it_runs(running: bool) -> None:
    async def forget() -> Door:
        door = Door()
        acceptor = Acceptor(cast("StackSocket", door), asyncio.get_running_loop(), lambda _: None)  # type: ignore[arg-type, return-value]
        task = asyncio.create_task(acceptor.accept())
        await turns()
        if running:
            acceptor.abandon()
            assert not door.closed
            with pytest.raises(ClosedError):
                await within(task)
            assert door.closed
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kept.append(acceptor)
        return door

    kept: list[Acceptor] = []
    loop = asyncio.new_event_loop()
    try:
        door = loop.run_until_complete(forget())
        kept[0].abandon()
        assert door.closed
    finally:
        loop.close()
    gc.collect()
