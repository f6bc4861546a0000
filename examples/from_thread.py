"""From a thread: a program that blocks uses associations that live in an event loop of their own."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from sctpio import AddressLike, Conn, Listener, Message, connect, listen

T = TypeVar("T")


class Blocking:
    """An event loop in a thread; `call` runs a coroutine there and waits for its result."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="sctpio")

    def _run(self) -> None:
        # A Runner cancels what is left at the end, and closes the loop.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stopped())

    async def _stopped(self) -> None:
        await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        future = self.start(work)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise


class BlockingConn:
    """A `Conn` with the methods of a socket that blocks."""

    def __init__(self, blocking: Blocking, conn: Conn) -> None:
        self._blocking, self._conn = blocking, conn

    def send(self, data: bytes, *, stream: int = 0, ppid: int = 0, timeout: float | None = None) -> None:
        self._blocking.call(self._conn.send(data, stream=stream, ppid=ppid), timeout)

    def receive(self, timeout: float | None = None) -> Message:
        return self._blocking.call(self._conn.receive(), timeout)

    def close(self) -> None:
        self._blocking.call(self._conn.close())


async def open_connection(address: AddressLike) -> Conn:
    return await connect(address)


async def echo(conn: Conn) -> None:
    async for message in conn:
        await conn.send(message.data.upper(), stream=message.stream)


async def start_server() -> Listener:
    return await listen("127.0.0.1:0")


def main() -> None:
    # There is no `await` from here on.
    with Blocking() as blocking:
        listener = blocking.call(start_server())
        serving = blocking.start(listener.serve(echo))
        conn = BlockingConn(blocking, blocking.call(open_connection(listener.local_addresses)))
        conn.send(b"hello", stream=3)
        answer = conn.receive(timeout=5)
        print(answer.data, "on stream", answer.stream)
        try:
            conn.receive(timeout=0.1)
        except TimeoutError:
            print("nothing else within 0.1 s")
        conn.close()
        blocking.call(listener.close())
        serving.result()


if __name__ == "__main__":
    main()
