"""Between a client and a server that others wrote: what comes from one is sent on to the other as it came.

So this package serves and calls in a protocol that a program speaks with itself alone. TCP, by which some of
them control the work, is passed on too.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from sctpio import (
    AssociationAbortedError,
    AssociationLostError,
    ClosedError,
    Conn,
    EndOfAssociation,
    InitMsg,
    Mode,
    connect,
    listen,
)

STREAMS = InitMsg(outbound_streams=64, inbound_streams=64)


@dataclass
class Way:
    """What went one way over an association."""

    messages: int = 0
    size: int = 0
    sizes: Counter[int] = field(default_factory=Counter)
    streams: Counter[int] = field(default_factory=Counter)
    ppids: Counter[int] = field(default_factory=Counter)
    data: list[bytes] = field(default_factory=list)  # of the first messages


@dataclass
class Passed:
    """What went over an association."""

    port: int
    from_client: Way = field(default_factory=Way)
    from_server: Way = field(default_factory=Way)


@asynccontextmanager
async def between(
    server: str, sctp_ports: list[int], tcp_ports: list[int] | None = None, mode: Mode = Mode.ONE_TO_ONE
) -> AsyncIterator[list[Passed]]:
    """Listen on these ports of 127.0.0.1 for a client, and pass on what it sends to those of the server."""
    passed: list[Passed] = []
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for port in sctp_ports:
            listener = await stack.enter_async_context(listen(f"127.0.0.1:{port}", mode=mode, init=STREAMS))

            async def serve(client: Conn, port: int = port) -> None:
                passed.append(Passed(port))
                await pass_on(client, await connect(f"{server}:{port}", init=STREAMS), passed[-1])

            tasks.create_task(listener.serve(serve))
        for port in tcp_ports or ():

            def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port) -> None:
                tasks.create_task(_pipe(reader, writer, server, port))

            await stack.enter_async_context(await asyncio.start_server(called, "127.0.0.1", port))
        yield passed


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: str, port: int) -> None:
    from_server, to_server = await asyncio.open_connection(server, port)
    await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def pass_on(client: Conn, server: Conn, passed: Passed) -> None:
    """Pass messages on both ways until either ends the association; the other then sees the same end."""
    async with asyncio.TaskGroup() as ways:
        ways.create_task(_one_way(client, server, passed.from_client))
        ways.create_task(_one_way(server, client, passed.from_server))


async def _one_way(source: Conn, target: Conn, way: Way) -> None:
    try:
        while True:
            message = await source.receive()
            way.messages += 1
            way.size += len(message.data)
            way.sizes[len(message.data)] += 1
            way.streams[message.stream] += 1
            way.ppids[message.ppid] += 1
            if way.messages <= 10:
                way.data.append(message.data)
            await target.send_many([message])
    except EndOfAssociation:
        with suppress(OSError):
            await target.close()
    except ClosedError:
        pass
    except (AssociationAbortedError, AssociationLostError):
        await target.abort()
