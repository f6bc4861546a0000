"""Conn: messages both ways, options, what it knows of itself."""

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from sctpio import (
    Address,
    AssociationStatistics,
    ClosedError,
    DisableFragments,
    Message,
    MessageTooLargeError,
    NoDelay,
    PathState,
    PeerAddressInfo,
    PeerAddressParameters,
    ProtocolState,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    Status,
    StreamOutOfRangeError,
    connect,
    listen,
)
from support import Pair, connected, path_of, until, within

pytestmark = [pytest.mark.both_loops, pytest.mark.both_modes]


@pytest.mark.parametrize("size", [1, 2, 1500, 65_483, 65_484, 65_485, 150_000, 200_000])
async def test_a_message_of_any_size_arrives_whole(pair: Pair, size: int) -> None:
    data = random.Random(size).randbytes(size)
    await pair.client.send(data, stream=5, ppid=60)
    message = await pair.server.receive()
    assert message.data == data
    assert (message.stream, message.ppid, message.unordered, message.complete) == (5, 60, False, True)


async def test_a_message_says_where_it_comes_from(pair: Pair) -> None:
    await pair.client.send(b"one", stream=2, ppid=46)
    await pair.client.send(b"two", stream=2, ppid=46)
    one, two = await pair.server.receive(), await pair.server.receive()
    assert one.source is not None
    assert one.source.port == pair.client.local_addresses.port
    assert one.source.hosts[0] in pair.client.local_addresses.hosts
    assert one.association_id == two.association_id == pair.server.association_id
    assert (one.ssn, two.ssn) == (0, 1)
    assert two.tsn == (one.tsn + 1) % 2**32


async def test_unordered_messages_are_marked(pair: Pair) -> None:
    await pair.client.send(b"now", unordered=True, ppid=2**32 - 1)
    message = await pair.server.receive()
    assert message.unordered
    assert message.ppid == 2**32 - 1


@pytest.mark.parametrize(
    "data", [bytearray(b"abcd"), memoryview(b"xabcdx")[1:5], memoryview(b"a.b.c.d.")[::2]]
)
async def test_any_buffer_is_a_message(pair: Pair, data: bytearray | memoryview) -> None:
    await pair.client.send(data)
    await pair.client.send_many([data, data])
    assert [(await pair.server.receive()).data for _ in range(3)] == [b"abcd"] * 3


async def test_a_memoryview_of_wide_items_counts_its_bytes(pair: Pair) -> None:
    wide = memoryview(b"12345678").cast("I")
    await pair.client.send(wide)
    assert (await pair.server.receive()).data == b"12345678"
    assert pair.client.statistics().bytes_sent == 8


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"data": b""}, "at least one byte"),
        ({"data": bytearray()}, "at least one byte"),
        ({"data": b"x", "ppid": -1}, "ppid is -1"),
        ({"data": b"x", "ppid": 2**32}, "ppid is 4294967296"),
        ({"data": b"x", "context": -5}, "context is -5"),
        ({"data": b"x", "lifetime": 0}, "lifetime is 0"),
        ({"data": b"x", "lifetime": float("nan")}, "lifetime is nan"),
        ({"data": b"x", "lifetime": 1, "priority": 2}, "lifetime, priority"),
        ({"data": b"x", "max_retransmissions": -1}, "max_retransmissions is -1"),
        ({"data": b"x", "auth_key": 65536}, "auth_key is 65536"),
        ({"data": b"x", "path": "127.0.0.1/127.0.0.2:1"}, "one address"),
        ({"data": b"x", "path": "nonsense"}, "'nonsense'"),
    ],
)
async def test_bad_arguments_of_send_are_quoted(pair: Pair, arguments: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        await pair.client.send(**arguments)  # type: ignore[arg-type]
    await pair.client.send(b"still here")
    assert (await pair.server.receive()).data == b"still here"


@pytest.mark.parametrize("name", ["stream", "ppid", "context"])
async def test_numbers_are_ints(pair: Pair, name: str) -> None:
    with pytest.raises(TypeError, match="1.5"):
        await pair.client.send(b"x", **{name: 1.5})  # type: ignore[arg-type]


async def test_text_is_no_message(pair: Pair) -> None:
    with pytest.raises(TypeError, match="not str"):
        await pair.client.send("text")  # type: ignore[arg-type]


async def test_a_stream_that_was_not_negotiated_is_refused(pair: Pair) -> None:
    limit = pair.client.outbound_streams
    for stream in (limit, 70_000, -1):
        with pytest.raises(StreamOutOfRangeError) as caught:
            await pair.client.send(b"x", stream=stream)
        assert (caught.value.stream, caught.value.limit) == (stream, limit)
    with pytest.raises(StreamOutOfRangeError):
        pair.client.stream(max(limit, pair.client.inbound_streams))
    await pair.client.send(b"last", stream=limit - 1)
    assert (await pair.server.receive()).stream == limit - 1


async def test_a_message_beyond_the_send_buffer_is_too_large(pair: Pair) -> None:
    size = pair.client.get_option(SendBuffer).size
    assert size is not None
    with pytest.raises(MessageTooLargeError, match=str(size + 1)) as caught:
        await pair.client.send(bytes(size + 1))
    assert caught.value.errno == 90
    await pair.client.send(b"goes on")
    assert (await pair.server.receive()).data == b"goes on"


async def test_the_send_buffer_of_a_live_association_can_be_made_larger(pair: Pair) -> None:
    pair.client.set_option(SendBuffer(100_000))
    size = pair.client.get_option(SendBuffer).size
    assert size is not None
    data = bytes(size + 1)
    with pytest.raises(MessageTooLargeError, match=r"set_option\(SendBuffer\(\.\.\.\)\) makes that larger"):
        await pair.client.send(data)
    pair.client.set_option(SendBuffer(size + 1))
    sending = asyncio.create_task(pair.client.send(data))
    assert (await within(pair.server.receive())).data == data
    await sending


async def test_a_message_that_must_not_be_divided_says_so() -> None:
    """The largest that fits goes; of one byte more it is told what forbids it."""
    async with connected(connect_with={"options": [DisableFragments()]}) as pair:
        size = pair.client.status().fragmentation_point
        await pair.client.send(bytes(size))
        assert (await within(pair.server.receive())).data == bytes(size)
        with pytest.raises(MessageTooLargeError, match="DisableFragments"):
            await pair.client.send(bytes(size + 100))


@pytest.mark.kernel_only("usrsctp has no such setting")
async def test_the_setting_that_bounds_the_send_buffer_is_named(pair: Pair) -> None:
    pair.client.set_option(SendBuffer(1024**3))
    size = pair.client.get_option(SendBuffer).size
    assert size is not None
    with pytest.raises(MessageTooLargeError, match=rf"{size + 1} .*net\.core\.wmem_max={size // 2} allows"):
        await pair.client.send(bytes(size + 1))


async def test_send_many_keeps_order_and_attributes(pair: Pair) -> None:
    sent = [
        Message(os.urandom(size), stream=index % 5, ppid=index, unordered=index % 3 == 0)
        for index, size in enumerate([1, 100, 5_000, 40_000] * 40)
    ]
    task = asyncio.create_task(pair.client.send_many(sent))
    received = [await pair.server.receive() for _ in sent]
    await task

    def key(message: Message) -> tuple[bytes, int, int, bool]:
        return message.data, message.stream, message.ppid, message.unordered

    assert sorted(map(key, received)) == sorted(map(key, sent))
    for stream in range(5):
        ordered = [key(m) for m in sent if m.stream == stream and not m.unordered]
        assert [key(m) for m in received if m.stream == stream and not m.unordered] == ordered
    assert pair.client.statistics().messages_sent == len(sent)
    assert pair.client.statistics().bytes_sent == sum(len(message.data) for message in sent)


async def test_send_many_takes_bytes_with_common_attributes(pair: Pair) -> None:
    await pair.client.send_many((bytes([i]) for i in range(200)), stream=1, ppid=18, unordered=False)
    received: list[Message] = []
    while len(received) < 200:
        received += await pair.server.receive_many()
    assert [m.data[0] for m in received] == list(range(200))
    assert {(m.stream, m.ppid) for m in received} == {(1, 18)}


async def test_send_many_sends_what_precedes_a_bad_item(pair: Pair) -> None:
    with pytest.raises(ValueError, match="empty"):
        await pair.client.send_many([b"a" * 9000, b"b" * 9000, b""])
    assert [(await pair.server.receive()).data[:1] for _ in range(2)] == [b"a", b"b"]

    def breaks() -> Iterator[bytes]:
        yield b"c"
        raise LookupError

    with pytest.raises(LookupError):
        await pair.client.send_many(breaks())
    assert (await pair.server.receive()).data == b"c"


async def test_send_many_of_nothing_still_says_that_the_association_ended(pair: Pair) -> None:
    await pair.client.send_many([])
    await pair.client.abort()
    with pytest.raises(ClosedError):
        await pair.client.send_many([])


async def test_receive_many_gives_what_is_there_up_to_the_limit(pair: Pair) -> None:
    await pair.client.send_many([b"%d" % i for i in range(10)])
    await until(lambda: pair.server.statistics().unread_messages == 10)
    assert [m.data for m in await pair.server.receive_many(3)] == [b"0", b"1", b"2"]
    assert len(await pair.server.receive_many()) == 7
    with pytest.raises(ValueError, match="limit is 0"):
        await pair.server.receive_many(0)


async def test_receive_with_something_buffered_does_not_suspend(pair: Pair) -> None:
    await pair.client.send_many([b"1", b"2"])
    await until(lambda: pair.server.statistics().unread_messages == 2)
    coroutine = pair.server.receive()
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value.data == b"1"


async def test_messages_of_one_task_keep_their_order_among_many_senders(pair: Pair) -> None:
    async def sender(number: int) -> None:
        for index in range(60):
            await pair.client.send(b"%d:%d" % (number, index) + bytes(3000))

    async def receiver() -> list[bytes]:
        return [(await pair.server.receive()).data.rstrip(b"\0") for _ in range(8 * 60)]

    receiving = asyncio.create_task(receiver())
    await asyncio.gather(*(sender(number) for number in range(8)))
    received = await receiving
    for number in range(8):
        mine = [data for data in received if data.startswith(b"%d:" % number)]
        assert mine == [b"%d:%d" % (number, index) for index in range(60)]


async def test_each_message_goes_to_one_of_many_receivers(pair: Pair) -> None:
    received: list[bytes] = []

    async def receiver() -> None:
        async for message in pair.server:
            received.append(message.data)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(receiver()) for _ in range(5)]
    sent = [b"%d" % index for index in range(300)]
    await pair.client.send_many(sent)
    await pair.client.close()
    await asyncio.gather(*tasks)
    assert sorted(received) == sorted(sent)


async def test_options_read_and_write(pair: Pair) -> None:
    assert pair.client.get_option(NoDelay).enabled is True
    pair.client.set_option(NoDelay(False))
    assert pair.client.get_option(NoDelay).enabled is False
    before = pair.client.get_option(RtoInfo)
    pair.client.set_option(RtoInfo(initial=0.5, minimum=0.25))
    after = pair.client.get_option(RtoInfo)
    # In ticks of the kernel: 4 ms where CONFIG_HZ is 250.
    assert (after.initial, after.minimum) == pytest.approx((0.5, 0.25), abs=0.01)
    assert after.maximum == before.maximum


async def test_an_option_that_the_kernel_refuses_is_an_oserror_with_its_name(pair: Pair) -> None:
    with pytest.raises(OSError, match="SCTP_RTOINFO") as caught:
        pair.client.set_option(RtoInfo(initial=1.0, minimum=5.0, maximum=2.0))
    assert caught.value.errno == 22


async def test_options_of_the_constructor_hold_before_the_first_packet() -> None:
    options = (RtoInfo(initial=0.7, minimum=0.5), NoDelay(False), ReceiveBuffer(50_000))
    async with connected(listen_with={"options": options}, connect_with={"options": options}) as pair:
        for conn in (pair.client, pair.server):
            assert conn.get_option(RtoInfo).initial == 0.7
            assert conn.get_option(NoDelay).enabled is False
            # The kernel reads back the double.
            assert conn.get_option(ReceiveBuffer).size in (50_000, 100_000)
            # The window that was advertised is half of that buffer.
        assert pair.client.get_option(Status).rwnd == 50_000


async def test_status_and_paths(pair: Pair) -> None:
    status = pair.client.status()
    assert status.state is ProtocolState.ESTABLISHED
    assert (status.outbound_streams, status.inbound_streams) == (
        pair.client.outbound_streams,
        pair.client.inbound_streams,
    )
    path = pair.client.path(path_of(pair.client))
    assert path.state is PathState.ACTIVE
    assert path.mtu > 500
    assert path == pair.client.get_option(PeerAddressInfo)
    assert pair.client.primary_path == path_of(pair.client) == path.address
    with pytest.raises(OSError, match="SCTP_GET_PEER_ADDR_INFO"):
        pair.client.path(("10.99.99.99", 0))


async def test_path_parameters_by_path(pair: Pair) -> None:
    path = path_of(pair.client)
    pair.client.set_option(PeerAddressParameters(address=path, heartbeat_interval=7.5))
    assert pair.client.get_option(PeerAddressParameters, path=path).heartbeat_interval == 7.5


async def test_statistics_count_both_directions(pair: Pair) -> None:
    await pair.client.send(b"12345")
    await until(lambda: pair.server.statistics().unread_messages == 1)
    server = pair.server.statistics()
    assert (server.messages_received, server.bytes_received, server.unread_bytes) == (1, 5, 5)
    await pair.server.receive()
    assert pair.server.statistics().unread_bytes == 0
    client = pair.client.statistics()
    assert (client.messages_sent, client.bytes_sent, client.waiting_senders) == (1, 5, 0)


@pytest.mark.kernel_only("usrsctp has no SCTP_GET_ASSOC_STATS")
async def test_the_kernel_counts_chunks(pair: Pair) -> None:
    await pair.client.send(b"12345")
    assert pair.client.get_option(AssociationStatistics).ordered_chunks_sent == 1


async def test_addresses_are_one_value_and_survive_the_end() -> None:
    async with connected("127.0.0.1/127.0.0.2/127.0.0.3:0") as pair:
        expected = Address("127.0.0.1/127.0.0.2/127.0.0.3", pair.listener.port)
        assert pair.listener.local_addresses == expected
        assert set(pair.client.peer_addresses.hosts) == set(expected.hosts)
        assert set(pair.server.local_addresses.hosts) == set(expected.hosts)
        assert pair.client.local_addresses.port == pair.server.peer_addresses.port
        await pair.client.close()
        await pair.server.wait_closed()
        assert pair.client.peer_addresses.port == expected.port
        assert pair.server.local_addresses.port == expected.port


async def test_multi_homed_client_binds_what_it_is_told() -> None:
    local = "127.0.0.2/127.0.0.3:0"
    async with connected("127.0.0.1:0", connect_with={"local": local}) as pair:
        hosts = Address.parse(local).hosts
        assert pair.client.local_addresses.hosts == hosts
        await until(lambda: set(pair.server.peer_addresses.hosts) == set(hosts))
        await pair.client.send(b"from the second", path=None)
        await pair.server.send(b"to the second", path=("127.0.0.3", pair.client.local_addresses.port))
        assert (await pair.client.receive()).data == b"to the second"
        await pair.server.send(b"and without its port", path="127.0.0.3")
        assert (await pair.client.receive()).data == b"and without its port"


@pytest.mark.parametrize("local", ["[::1]:0", "[::1]/127.0.0.1:0", "127.0.0.1/[::1]:0"])
async def test_ipv6_alone_and_beside_ipv4(local: str) -> None:
    async with connected(local) as pair:
        assert set(pair.listener.local_addresses.hosts) == set(Address.parse(local).hosts)
        await pair.client.send(b"six")
        message = await pair.server.receive()
        assert message.data == b"six"
        assert message.source is not None
        assert message.source.hosts[0] in pair.client.local_addresses.hosts


async def test_a_wildcard_listener_takes_ipv4_and_ipv6() -> None:
    async with listen(":0") as listener:
        for host in ("127.0.0.1", "::1", "127.0.0.4"):
            async with connect((host, listener.port)) as client:
                async with await listener.accept() as server:
                    await client.send(host.encode())
                    assert (await server.receive()).data == host.encode()


async def test_host_names_are_resolved() -> None:
    async with listen("localhost:0") as listener:
        async with connect(f"localhost:{listener.port}") as client, await listener.accept() as server:
            await client.send(b"named")
            assert (await server.receive()).data == b"named"


@pytest.mark.parametrize("call", [connect, listen], ids=lambda call: call.__name__)
async def test_a_name_that_is_unknown_is_quoted(call: Callable[[str], Awaitable[object]]) -> None:
    # Longer than a name can be: nobody has to be asked.
    name = "a" * 63 + ".b" * 100
    with pytest.raises(socket.gaierror, match=f"'{name}'"):
        await within(call(f"{name}:5000"))


async def test_a_name_tries_its_next_address_where_the_first_refuses() -> None:
    # localhost may resolve to ::1 first; only IPv4 listens.
    async with listen("127.0.0.1:0") as listener, connect(("localhost", listener.port)) as client:
        assert str(client.peer_addresses.hosts[0]) == "127.0.0.1"


async def test_flush_waits_until_everything_is_acknowledged(pair: Pair) -> None:
    await pair.client.flush()
    for _ in range(3):
        sent = [os.urandom(20_000) for _ in range(20)]
        task = asyncio.create_task(pair.client.send_many(sent))
        received = [(await pair.server.receive()).data for _ in sent]
        await task
        await pair.client.flush()
        assert received == sent
        assert pair.client.status().unacknowledged == 0


async def test_flushes_of_many_tasks_all_end(pair: Pair) -> None:
    async def work() -> None:
        await pair.client.send(b"x" * 1000)
        await pair.client.flush()

    await asyncio.gather(*(work() for _ in range(10)))
    assert pair.client.status().unacknowledged == 0
    assert pair.server.statistics().messages_received == 10


@pytest.mark.kernel_only("a descriptor of the usrsctp stack is one to poll, not to read and write")
async def test_detach_gives_the_association_away(pair: Pair) -> None:
    descriptor = pair.client.detach()
    try:
        assert pair.client.fileno() == -1
        with pytest.raises(ClosedError, match="detached"):
            await pair.client.send(b"x")
        os.write(descriptor, b"from the descriptor")
        assert (await pair.server.receive()).data == b"from the descriptor"
    finally:
        os.close(descriptor)


async def test_detach_refuses_to_lose_a_part_of_a_message(pair: Pair) -> None:
    pair.client._association.feed(Message(b"the first part", complete=False))
    with pytest.raises(RuntimeError, match="more is to come"):
        pair.client.detach()


async def test_an_interface_that_does_not_exist_is_named() -> None:
    for opening in (connect("[fe80::1%nope]:1"), listen("[fe80::1%nope]:0")):
        with pytest.raises(OSError, match="'nope'") as caught:
            await opening
        assert caught.value.errno == 19


async def test_an_opening_is_a_coroutine_that_opens_once() -> None:
    async with listen("127.0.0.1:0") as listener:
        address = listener.local_addresses
        task = asyncio.create_task(connect(address))
        one, two = await asyncio.gather(connect(address), connect(address))
        for conn in (await task, one, two):
            await conn.abort()
        opening = connect(address)
        async with opening:
            with pytest.raises(RuntimeError, match="already awaited"):
                await opening


async def test_detach_refuses_to_lose_messages(pair: Pair) -> None:
    await pair.server.send(b"unread")
    await until(lambda: pair.client.statistics().unread_messages == 1)
    with pytest.raises(RuntimeError, match="1 received messages"):
        pair.client.detach()
    assert (await pair.client.receive()).data == b"unread"
    os.close(pair.client.detach())
    await pair.server.wait_closed()


async def test_descriptors_are_not_inherited_and_do_not_block(pair: Pair) -> None:
    for descriptor in (pair.client.fileno(), pair.server.fileno(), pair.listener.fileno()):
        assert not os.get_inheritable(descriptor)
        assert not os.get_blocking(descriptor)


async def test_send_many_of_one_buffer_filled_anew_sends_what_it_held(pair: Pair) -> None:
    """Item 6 of promise 9: each item is taken as it comes."""

    def refilled() -> Iterator[bytearray]:
        buffer = bytearray(4)
        for number in range(200):
            buffer[:] = b"%04d" % number
            yield buffer

    await pair.client.send_many(refilled())
    assert [(await pair.server.receive()).data for _ in range(200)] == [b"%04d" % n for n in range(200)]
