"""sctpio. form=single: `async for` and `send`; form=batch: `receive_many` and `send_many(bundle=False)`;
form=bundle: `send_many` as it is.

With mode=many the server has an `Endpoint`; with form=conns a `Listener` in `Mode.ONE_TO_MANY`, whose `Conn`s
each have a task. stack=usrsctp by the environment: `$SCTPIO_STACK`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from common import BATCH, MOST_STREAMS, PPID, Contender, Run, check_size, main

from sctpio import (
    Address,
    Conn,
    Endpoint,
    InitMsg,
    Listener,
    Mode,
    Option,
    ReceiveBuffer,
    SendBuffer,
    connect,
    listen,
    open_endpoint,
    usrsctp_config,
)

BATCHES = ("batch", "bundle")


@dataclass(slots=True)
class Source:
    """A `Conn`."""

    conn: Conn

    async def get(self) -> bytes:
        return (await self.conn.receive()).data

    async def put(self, data: bytes) -> None:
        await self.conn.send(data, ppid=PPID)

    def abort(self) -> None:
        # It does not wait.
        run_now(self.conn.abort())


@dataclass(slots=True)
class EndpointSource:
    """An `Endpoint`: all associations are one source. The first to come is the one to answer."""

    endpoint: Endpoint
    first: int = 0

    async def accept(self) -> "EndpointSource":
        return self

    async def get(self) -> bytes:
        message = await self.endpoint.receive()
        self.first = self.first or message.association_id
        return message.data

    async def put(self, data: bytes) -> None:
        await self.endpoint.send(data, to=self.first, ppid=PPID)

    def abort(self) -> None:
        for association in self.endpoint.associations:
            run_now(self.endpoint.abort(association))

    def close(self) -> None:
        run_now(self.endpoint.close())


@dataclass(slots=True)
class Door:
    """A `Listener`."""

    listener: Listener

    async def accept(self) -> Source:
        return Source(await self.listener.accept())

    def close(self) -> None:
        run_now(self.listener.close())


def run_now(coroutine: object) -> None:
    """Run a coroutine that does not wait."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return
    raise RuntimeError(f"{coroutine!r} waits")


def settings(run: Run) -> tuple[InitMsg, list[Option]]:
    streams = InitMsg(outbound_streams=run.streams, inbound_streams=MOST_STREAMS)
    return streams, [SendBuffer(run.send_buffer), ReceiveBuffer(run.receive_buffer)]


def choose_udp_ports(run: Run) -> None:
    global chosen
    if not chosen and os.environ.get("SCTPIO_STACK") == "usrsctp":
        usrsctp_config(udp_port=run.udp_port, remote_udp_port=run.peer_udp_port)
        chosen = True


chosen = False


async def listen_for(run: Run) -> Door | EndpointSource:
    choose_udp_ports(run)
    local = Address.parse(f"{run.address}:{run.port}")
    init, options = settings(run)
    if run.mode == "many" and run.form != "conns":
        return EndpointSource(await open_endpoint(local, init=init, options=options))
    mode = Mode.ONE_TO_MANY if run.mode == "many" else Mode.ONE_TO_ONE
    return Door(await listen(local, mode=mode, init=init, options=options))


async def connect_to(run: Run) -> Source:
    choose_udp_ports(run)
    init, options = settings(run)
    return Source(await connect((run.address, run.port), init=init, options=options))


async def take(source: Source | EndpointSource, run: Run, count: int) -> None:
    receiver = source.conn if isinstance(source, Source) else source.endpoint
    size = run.size
    if run.form in BATCHES:
        assert isinstance(receiver, Conn)
        while count > 0:
            messages = await receiver.receive_many(min(count, BATCH))
            for message in messages:
                if len(message.data) != size:
                    check_size(message.data, run)
            count -= len(messages)
        return
    async for message in receiver:
        if len(message.data) != size:
            check_size(message.data, run)
        count -= 1
        if not count:
            return
    raise EOFError("the association ended too early")


async def answer(source: Source | EndpointSource, run: Run, count: int) -> None:
    if isinstance(source, EndpointSource):
        endpoint = source.endpoint
        async for message in endpoint:
            await endpoint.send(message.data, to=message.association_id, stream=message.stream, ppid=PPID)
            count -= 1
            if not count:
                return
    else:
        conn = source.conn
        async for message in conn:
            await conn.send(message.data, stream=message.stream, ppid=PPID)
            count -= 1
            if not count:
                return
    raise EOFError("the association ended too early")


async def flood(sources: Sequence[Source], run: Run) -> None:
    conns = [source.conn for source in sources]
    data, streams, associations = bytes(run.size), run.streams, run.associations
    if run.form in BATCHES:
        bundle = run.form == "bundle"
        # A batch for one stream: that is what bytes, rather than `Message`s, are sent on.
        for done in range(0, run.share, BATCH):
            batch, stream = [data] * min(BATCH, run.share - done), done // BATCH % streams
            for conn in conns:
                await conn.send_many(batch, stream=stream, ppid=PPID, bundle=bundle)
        return
    if associations == 1:
        send = conns[0].send
        for number in range(run.count):
            await send(data, stream=number % streams, ppid=PPID)
        return
    for number in range(run.count):
        await conns[number % associations].send(data, stream=number // associations % streams, ppid=PPID)


async def trips(sources: Sequence[Source], run: Run) -> list[float]:
    conns = [source.conn for source in sources]
    data, took = bytes(run.size), []
    for number in range(run.count):
        conn = conns[number % run.associations]
        began = perf_counter()
        await conn.send(data, stream=number // run.associations % run.streams, ppid=PPID)
        message = await conn.receive()
        took.append(perf_counter() - began)
        check_size(message.data, run)
    return took


async def end(source: Source) -> None:
    await source.conn.close()


async def see_end(source: Source) -> None:
    await source.conn.wait_closed()


def one_source(run: Run) -> bool:
    return run.mode == "many" and run.form != "conns"


if __name__ == "__main__":
    main(Contender(listen_for, connect_to, take, answer, flood, trips, end, see_end, one_source))
