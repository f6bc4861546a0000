"""Promise 9 at every bytecode of the waiting room: cancels, wake-ups and finalizers lose and double nothing.

Two tasks do the same thing in each scenario, so that a turn can pass from one to the other: the subject,
which is first, and the bystander. What happens at the boundary is one of `ACTIONS`.
"""

import asyncio
import gc
import itertools
import os
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, cast

import pytest

import pure.loop.own_socket.bench
import pure.loop.shared_socket.bench
from boundaries import EVERYTHING, WAITERS, WAITING, Boundary, sweep
from pure.loop.scripted import HERE, PEER, SCRIPTED, Script, ScriptOfOne
from sctpio import AssociationAbortedError, AssociationError, ClosedError, Conn, SenderDry, ShutdownEvent
from sctpio._loop.acceptor import Acceptor
from sctpio._loop.per_loop import of_loop
from sctpio._loop.settings import Settings
from sctpio._loop.waiting import Sleepers, Waiters
from sctpio.address import Address
from sctpio.connecting import _connect_to
from sctpio.stacks.base import Stack, StackSocket
from support import turns, until

own = pure.loop.own_socket.bench
shared = pure.loop.shared_socket.bench

pytestmark = [pytest.mark.one_loop, pytest.mark.timeout(300)]

# A part of them every day, and all of them, everywhere, with SCTPIO_TEST_SWEEP.
EVERYDAY_STEP = 3
ACTIONS = (
    "interrupt",
    "cancel, then news",
    "finalizer",
    *(
        pytest.param(action, marks=pytest.mark.endurance)
        for action in (
            "cancel the subject",
            "cancel the bystander",
            "cancel both",
            "news",
            "news, then cancel",
        )
    ),
)


@pytest.fixture(autouse=True)
def _few_objects() -> Iterator[None]:
    """Collect what the tests make, not all of pytest, and only where a test says so."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


class Forgotten:
    """A Conn in a reference cycle: only the collector finds it."""

    def __init__(self) -> None:
        self.bench = own.Bench(100_000, ())
        self.bench.socket.start()
        self.script = self.bench.script

    def forget(self) -> None:
        """Leave it to the collector, now."""
        cycle: list[object] = [self.bench]
        cycle.append(cycle)
        del cycle, self.bench
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


class Play:
    """One run of a scenario: two tasks, and what happens at the boundary.

    `news` is what the tasks wait for; it is called by the scenario, and by some actions once more.
    """

    def __init__(self, boundary: Boundary, action: str, news: Callable[[], None]) -> None:
        self.boundary = boundary
        self.tasks: list[asyncio.Task[None]] = []
        self.cancelled: set[asyncio.Task[None]] = set()
        self.problems: list[dict[str, Any]] = []
        self.news = news
        self._loop = asyncio.get_running_loop()
        self._forgotten = Forgotten() if action == "finalizer" else None
        actions: dict[str, list[Callable[[], None]]] = {
            "cancel the subject": [lambda: self.cancel(0)],
            "cancel the bystander": [lambda: self.cancel(1)],
            "cancel both": [lambda: self.cancel(1), lambda: self.cancel(0)],
            "interrupt": [self._interrupt],
            "news": [news],
            "news, then cancel": [news, lambda: self.cancel(0)],
            "cancel, then news": [lambda: self.cancel(0), news],
            "finalizer": [lambda: cast("Forgotten", self._forgotten).forget()],
        }

        def act() -> None:
            for each in actions[action]:
                if each is not news or not in_batch():
                    each()

        boundary.action = act

    def cancel(self, number: int) -> None:
        """Cancel a task; note it if it was not over yet."""
        if number < len(self.tasks) and self.tasks[number].cancel():
            self.cancelled.add(self.tasks[number])

    def _interrupt(self) -> None:
        """Do what the SIGINT handler of asyncio.Runner does."""
        self.cancel(0)
        self._loop.call_soon_threadsafe(lambda: None)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start the subject, then the bystander."""
        self.tasks.append(asyncio.create_task(coroutine))

    async def settle(self, script: Script) -> None:
        """Let everything run that can."""
        for _ in range(100):
            if not script.unread:
                break
            await asyncio.sleep(0)
        assert not script.unread
        await turns()

    async def finish(self, *queues: Waiters) -> None:
        """End the tasks that still run, and look that nothing is left and no cancel was swallowed."""
        for task in self.tasks:
            if task not in self.cancelled:
                task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        for task, result in zip(self.tasks, results, strict=True):
            if task in self.cancelled:
                assert isinstance(result, asyncio.CancelledError), result
            elif isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        assert [len(queue) for queue in queues] == [0] * len(queues)
        assert not of_loop(self._loop, Sleepers).held
        assert of_loop(self._loop, Sleepers).next is None
        if self._forgotten is not None:
            if not self.boundary.reached:
                self._forgotten.forget()
            await turns()
            assert self._forgotten.script.closed
        assert self.problems == []


def in_batch() -> bool:
    """Whether a batch is being taken just now: nothing reads another one within it."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "_read_batch":
        frame = frame.f_back
    return frame is not None


@asynccontextmanager
async def watched(play: Play) -> AsyncIterator[None]:
    """Trace, and let no exception reach the loop unseen."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: play.problems.append(context))
    try:
        with play.boundary:
            yield
    finally:
        loop.set_exception_handler(None)


# All that a task or a batch passes takes a quarter of an hour: SCTPIO_TEST_SWEEP=1 asks for it.
PLACES = ["waiting", "everything"] if os.environ.get("SCTPIO_TEST_SWEEP") else ["waiting"]


@pytest.fixture(params=PLACES)
def everywhere(request: pytest.FixtureRequest) -> bool:
    """Say where: in the waiting room alone, or in all that a task or a batch passes."""
    return str(request.param) == "everything"


async def every_boundary(
    scenario: Callable[[Boundary], Awaitable[None]], action: str, everywhere: bool
) -> None:
    """Run a scenario at every boundary, each third one every day; it has as many as a wait must have."""
    watched = WAITING
    if everywhere:
        watched = WAITERS if "news" in action else EVERYTHING
    assert await sweep(scenario, watched, step=1 if everywhere else EVERYDAY_STEP) >= 100


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", ["own", "own stream", "shared"])
async def test_receive(kind: str, action: str, everywhere: bool) -> None:
    async def scenario(boundary: Boundary) -> None:
        opened = shared.opened if kind == "shared" else own.opened
        async with opened() as bench:
            conn = await bench.new(3) if isinstance(bench, shared.Bench) else bench.conn
            socket = bench.many if isinstance(bench, shared.Bench) else bench.socket
            script, given, got = bench.script, list[bytes](), list[bytes]()
            stream = 1 if kind == "own stream" else 0

            def news() -> None:
                given.append(b"%d" % len(given))
                script.data(3, given[-1], stream=stream)
                # As another task does that flushes: not within a callback of the socket.
                socket.read_now()

            def later_news() -> None:
                given.append(b"%d" % len(given))
                script.data(3, given[-1], stream=stream)

            source = conn.stream(1) if kind == "own stream" else conn
            unread = conn._association.unread
            inbox = unread.claim(1) if kind == "own stream" else unread.inbox

            async def receive() -> None:
                while True:
                    got.append((await source.receive()).data)

            play = Play(boundary, action, news)
            async with watched(play):
                play.start(receive())
                play.start(receive())
                await turns()
                # One for each, through the loop and not.
                later_news()
                await play.settle(script)
                news()
                await play.settle(script)
                later_news()
                later_news()
                await play.settle(script)
            if len(play.cancelled) < 2:
                assert got == given
            await play.finish(inbox.waiters)
            # What nobody has taken is there for whoever comes.
            while len(got) < len(given):
                got.append((await asyncio.wait_for(source.receive(), 5)).data)
            assert got == given

    await every_boundary(scenario, action, everywhere)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", ["own", "shared"])
async def test_send(kind: str, action: str, everywhere: bool) -> None:
    async def scenario(boundary: Boundary) -> None:
        opened = shared.opened if kind == "shared" else own.opened
        async with opened() as bench:
            conn = await bench.new(3) if isinstance(bench, shared.Bench) else bench.conn
            script, returned = bench.script, list[bytes]()

            def block() -> None:
                script.has_room = False
                if isinstance(script, ScriptOfOne):
                    script.fill()

            def room() -> None:
                script.has_room = True
                if isinstance(script, ScriptOfOne):
                    script.empty()

            def news() -> None:
                """There is room, and a task asks for it, whoever waits."""
                room()
                conn._association.senders.wake_head()

            async def send(name: bytes) -> None:
                for number in range(3):
                    data = b"%s %d" % (name, number)
                    await conn.send(data)
                    returned.append(data)

            block()
            play = Play(boundary, action, news)
            async with watched(play):
                play.start(send(b"a"))
                play.start(send(b"b"))
                await turns()
                room()
                await until(lambda: all(task.done() for task in play.tasks), seconds=5)
            assert sorted(script.taken) == sorted(returned)
            for name in (b"a", b"b"):
                own_ = [data for data in script.taken if data.startswith(name)]
                assert own_ == [b"%s %d" % (name, number) for number in range(len(own_))]
            if not play.cancelled:
                assert len(returned) == 6
            await play.finish(conn._association.senders)
            assert conn._association.dry_wanted == 0

    await every_boundary(scenario, action, everywhere)


class Door(Script):
    """A listening one-to-one socket."""

    def __init__(self) -> None:
        super().__init__()
        self.offered = 0
        self.given: list[ScriptOfOne] = []
        self._news = itertools.count(1)

    def offer(self) -> None:
        """Let a peer begin an association."""
        self.offered += 1
        self._turn_readable()

    def accept(self) -> tuple[StackSocket, Address] | None:
        """Give one."""
        if not self.offered:
            if self._readable:
                self._here.recv(1)
                self._readable = False
            return None
        self.offered -= 1
        script = ScriptOfOne()
        script.up(3)
        self.given.append(script)
        return cast("StackSocket", script), PEER


@pytest.mark.parametrize("action", ACTIONS)
async def test_accept(action: str, everywhere: bool) -> None:
    async def scenario(boundary: Boundary) -> None:
        door, got = Door(), list[Conn]()
        settings = Settings(None, (), (), SCRIPTED, 100_000, 1_000_000)
        acceptor = Acceptor(cast("StackSocket", door), asyncio.get_running_loop(), settings.new_socket)
        offered = 0

        def news() -> None:
            nonlocal offered
            offered += 1
            door.offer()

        async def accept() -> None:
            while True:
                got.append(Conn(await acceptor.accept(), HERE))

        play = Play(boundary, action, news)
        async with watched(play):
            play.start(accept())
            play.start(accept())
            await turns()
            news()
            await turns(8)
            news()
            news()
            await turns(12)
        if len(play.cancelled) < 2:
            assert len(got) == offered
        await play.finish(acceptor._waiters)
        assert len(got) == len(door.given) == offered - door.offered
        for conn in got:
            await conn.abort()
        acceptor.close()
        assert all(script.closed for script in door.given)

    await every_boundary(scenario, action, everywhere)


@pytest.mark.parametrize("action", ACTIONS)
async def test_accept_of_a_shared_socket(action: str, everywhere: bool) -> None:
    async def scenario(boundary: Boundary) -> None:
        async with shared.opened() as bench:
            got, numbers = list[int](), itertools.count(1)

            def later_news() -> None:
                bench.script.up(next(numbers))

            def news() -> None:
                later_news()
                bench.many.read_now()

            async def accept() -> None:
                while True:
                    conn = await bench.listener.accept()
                    bench.conns.append(conn)
                    got.append(conn.association_id)

            play = Play(boundary, action, news)
            async with watched(play):
                play.start(accept())
                play.start(accept())
                await turns()
                later_news()
                await play.settle(bench.script)
                news()
                later_news()
                later_news()
                await play.settle(bench.script)
            arrivals = bench.many.arrivals
            assert arrivals is not None
            if len(play.cancelled) < 2:
                assert len(arrivals) == 0
            await play.finish(arrivals._waiters)
            while len(arrivals):
                got.append((await bench.accept()).association_id)
            assert got == list(range(1, next(numbers)))

    await every_boundary(scenario, action, everywhere)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", ["own", "shared"])
async def test_flush(kind: str, action: str, everywhere: bool) -> None:
    async def scenario(boundary: Boundary) -> None:
        opened = shared.opened if kind == "shared" else own.opened
        async with opened() as bench:
            conn = await bench.new(3) if isinstance(bench, shared.Bench) else bench.conn
            socket = bench.many if isinstance(bench, shared.Bench) else bench.socket
            association, script = conn._association, bench.script
            flushed: list[None] = []

            def news() -> None:
                script.event(SenderDry(3))
                socket.read_now()

            async def flush() -> None:
                await conn.send(b"x")
                await conn.flush()
                flushed.append(None)
                # Where a cancel that came at the very end is delivered.
                await asyncio.sleep(0)

            play = Play(boundary, action, news)
            async with watched(play):
                play.start(flush())
                play.start(flush())
                await turns()
                script.event(SenderDry(3))
                await play.settle(script)
                # One that news has made begin late gets an answer, too.
                script.event(SenderDry(3))
                await play.settle(script)
            assert len(flushed) >= 2 - len(play.cancelled)
            await play.finish(association.state_waiters, socket.resumed)
            assert association.dry_wanted == 0
            # Both may have been cancelled before they had begun.
            assert script.calls("subscribe")[-1:] in ([], [(SenderDry, False, 3)])

    await every_boundary(scenario, action, everywhere)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", ["own", "shared"])
async def test_close(kind: str, action: str, everywhere: bool) -> None:
    async def scenario(boundary: Boundary) -> None:
        opened = shared.opened if kind == "shared" else own.opened
        async with opened() as bench:
            conn = await bench.new(3) if isinstance(bench, shared.Bench) else bench.conn
            socket = bench.many if isinstance(bench, shared.Bench) else bench.socket
            association, script = conn._association, bench.script
            closed: list[object] = []

            def end() -> None:
                if 3 in script.alive:
                    script.shut(3)

            def news() -> None:
                """The peer closes, too."""
                if 3 in script.alive:
                    script.event(ShutdownEvent(3))
                    socket.read_now()

            async def close() -> None:
                try:
                    await conn.close()
                except AssociationError as error:
                    closed.append(error)
                else:
                    closed.append(None)
                await asyncio.sleep(0)

            async def receive() -> None:
                with pytest.raises((ClosedError, EOFError)):
                    await conn.receive()

            play = Play(boundary, action, news)
            reader = asyncio.create_task(receive())
            async with watched(play):
                play.start(close())
                play.start(close())
                await turns()
                if not script.closed:
                    end()
                await turns(10)
            assert conn.is_closed
            # Whoever was not cancelled knows whether all was delivered.
            aborted = bool(script.calls("abort"))
            for outcome in closed:
                assert not aborted or isinstance(outcome, ClosedError) or action.startswith("cancel")
            assert len(closed) + len(play.cancelled) >= 2
            await asyncio.wait_for(reader, 5)
            await play.finish(association.state_waiters, association.unread.inbox.waiters)

    await every_boundary(scenario, action, everywhere)


@pytest.mark.parametrize("action", ACTIONS)
async def test_connect(action: str, everywhere: bool) -> None:
    class Opener:
        name = "scripted"

        def __init__(self) -> None:
            self.made: list[ScriptOfOne] = []

        def open(self, *_: Address, towards: Address) -> ScriptOfOne:
            self.made.append(ScriptOfOne())
            self.made[-1].connects.append(3)
            return self.made[-1]

    async def scenario(boundary: Boundary) -> None:
        opener, got = Opener(), list[Conn]()
        settings = Settings(None, (), (), cast("Stack", opener), 100_000, 1_000_000)

        def news() -> None:
            for script in opener.made:
                if not script.closed:
                    script.up(3)

        async def connect() -> None:
            got.append(await _connect_to(PEER, None, local=None, settings=settings))
            await asyncio.sleep(0)

        play = Play(boundary, action, news)
        async with watched(play):
            play.start(connect())
            play.start(connect())
            await turns()
            news()
            await turns(8)
        assert len(got) >= 2 - len(play.cancelled)
        assert [script.closed for script in opener.made].count(False) == len(got)
        for conn in got:
            await conn.abort()
        await play.finish()
        assert all(script.closed for script in opener.made)

    await every_boundary(scenario, action, everywhere)


@pytest.mark.parametrize("action", ACTIONS)
async def test_connect_of_a_shared_socket(action: str, everywhere: bool) -> None:
    async def scenario(boundary: Boundary) -> None:
        async with shared.opened() as bench:
            script, got = bench.script, dict[int, Conn]()
            script.connects.extend([1, 2])

            def later_news() -> None:
                for number in (1, 2):
                    if number in script.alive:
                        script.up(number)

            def news() -> None:
                later_news()
                bench.many.read_now()

            async def connect() -> None:
                conn = await bench.listener.connect(PEER)
                got[conn.association_id] = conn
                await asyncio.sleep(0)

            play = Play(boundary, action, news)
            async with watched(play):
                play.start(connect())
                play.start(connect())
                await turns()
                later_news()
                await play.settle(script)
            assert len(got) >= 2 - len(play.cancelled)
            assert script.alive.keys() == got.keys() == bench.many.members.keys()
            bench.conns.extend(got.values())
            await play.finish()

    await every_boundary(scenario, action, everywhere)


class AlarmError(Exception):
    """What a signal handler raises."""


@pytest.mark.parametrize("woken_first", [False, True])
async def test_a_signal_handler_that_raises_leaves_nobody_asleep(woken_first: bool) -> None:
    """Item 1: wherever it comes as a task waits, the next is first, and gets the turn that is not used."""
    waits = 0

    async def scenario(boundary: Boundary) -> None:
        nonlocal waits
        waiters = Waiters(asyncio.get_running_loop())
        got: list[str] = []

        async def wait(name: str) -> None:
            await waiters.wait(lambda: False)
            got.append(name)

        subject: list[asyncio.Task[None]] = []

        def act() -> None:
            nonlocal waits
            if boundary.function == "Waiters.wait" and asyncio.current_task() is subject[0]:
                waits += 1
                raise AlarmError

        boundary.action = act
        subject.append(asyncio.create_task(wait("subject")))
        with boundary:
            await turns()
            bystander = asyncio.create_task(wait("bystander"))
            await turns()
            if woken_first:
                waiters.wake()
                await turns()
        (result,) = await asyncio.gather(*subject, return_exceptions=True) if subject[0].done() else (None,)
        if isinstance(result, AlarmError) and woken_first:
            # Woken or not, the turn is the bystander's.
            waiters.wake_head()
            await asyncio.wait_for(bystander, 5)
            assert got == ["bystander"]
        for task in (*subject, bystander):
            task.cancel()
        await asyncio.gather(*subject, bystander, return_exceptions=True)
        assert len(waiters) == 0
        assert not of_loop(asyncio.get_running_loop(), Sleepers).held

    await sweep(scenario, WAITING)
    assert waits > 30


async def test_a_close_is_told_when_another_ones_cancel_aborts() -> None:
    """Item 11: success means that everything was delivered."""
    async with own.opened() as bench:
        first, second = (asyncio.create_task(bench.conn.close()) for _ in range(2))
        await turns()
        second.cancel()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[0], ClosedError)
        assert "its close was cancelled" in str(results[0])
        assert isinstance(results[1], asyncio.CancelledError)
        assert isinstance(bench.conn._association.end, ClosedError | AssociationAbortedError)
