"""A storm of real signals: each interrupts the main task, as Ctrl-C does under asyncio.run. None is lost.

`storm.py SIGNALS asyncio|uvloop`: the main task exchanges numbered messages with an echo. A timer sends
signals at random moments; their handler does what asyncio.Runner does at SIGINT. Each has to raise
CancelledError once, and no message may be lost, doubled or out of order. Fails with status 1, and says why.
"""

import asyncio
import random
import signal
import sys
import time
from types import FrameType
from typing import Any

import uvloop

from sctpio import Conn, connect, listen

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

# Exchanges after which an interrupt that was not raised is taken for swallowed.
PATIENT = 100


class Storm:
    """The main task, and the handler that interrupts it."""

    def __init__(self, signals: int) -> None:
        self.signals = signals
        self.fired = 0
        self.raised = 0
        self.swallowed = 0
        self.sent = 0
        self.received = 0
        self.problems: list[dict[str, Any]] = []
        self._rng = random.Random(1)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal between whichever two bytecodes it came."""
        self.fired += 1
        self._task.cancel()
        self._loop.call_soon_threadsafe(lambda: None)

    async def run(self) -> None:
        """Be interrupted as often as was asked for."""
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.problems.append(context))
        async with listen("127.0.0.1:0") as listener:
            client = await connect(listener.local_addresses)
            server = await listener.accept()
            echo = asyncio.create_task(self._echo(server))
            signal.signal(signal.SIGALRM, self.interrupt)
            while self.fired < self.signals:
                await self._until_interrupted(client)
            while self.received < self.sent:
                self._take(await client.receive())
            await client.close()
            await echo
            await server.abort()

    async def _until_interrupted(self, client: Conn) -> None:
        fired = self.fired
        signal.setitimer(signal.ITIMER_REAL, self._rng.uniform(1e-6, 5e-4))
        late = 0
        try:
            while late < PATIENT:
                if self.sent - self.received < 3:
                    await client.send(b"%d" % self.sent)
                    self.sent += 1
                self._take(await client.receive())
                late += self.fired > fired
            self.swallowed += 1
        except asyncio.CancelledError:
            self.raised += 1
        while self._task.cancelling():
            self._task.uncancel()

    def _take(self, message: Any) -> None:
        assert message.data == b"%d" % self.received, (message.data, self.received)
        self.received += 1

    async def _echo(self, server: Conn) -> None:
        async for message in server:
            await server.send(message.data)


def main() -> int:
    """Have the storm, and judge it."""
    storm = Storm(int(sys.argv[1]))
    began = time.monotonic()
    with asyncio.Runner(loop_factory=LOOPS[sys.argv[2]]) as runner:
        runner.run(storm.run())
    print(
        f"{sys.argv[2]}: {storm.fired} signals, {storm.raised} raised, {storm.swallowed} swallowed,"
        f" {storm.sent} messages, {len(storm.problems)} exceptions in the loop,"
        f" {time.monotonic() - began:.1f} s"
    )
    print(*storm.problems, sep="\n", file=sys.stderr)
    return bool(storm.swallowed or storm.problems or storm.raised != storm.fired)


if __name__ == "__main__":
    sys.exit(main())
