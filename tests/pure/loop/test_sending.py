"""What a sender checks before anything reaches the stack, how it makes batches, and what a failure means."""

import asyncio
import errno
import os
from array import array
from collections.abc import Iterator
from typing import Any

import pytest

from pure.loop.own_socket.bench import Bench, opened
from pure.loop.scripted import PEER
from sctpio import Address, Message, MessageTooLargeError, SendBuffer, StreamOutOfRangeError
from sctpio._abi.contract import ADDR_OVER, PR_PRIO, PR_RTX, PR_TTL, SACK_IMMEDIATELY, UNORDERED
from sctpio._loop.sending import (
    BATCH,
    BATCH_BYTES,
    U32,
    check_numbers,
    key_number,
    path_of,
    payload,
    policy_of,
)
from sctpio.stacks.base import SendExtras
from support import turns, within

pytestmark = pytest.mark.one_loop


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"abc", 3),
        (bytearray(b"abc"), 3),
        (memoryview(b"abc"), 3),
        # Four bytes each, of every second one.
        (memoryview(array("I", range(6))), 24),
        (memoryview(b"abcdef")[::2], 3),
    ],
)
def test_the_size_of_a_message_is_its_bytes(data: Any, size: int) -> None:
    checked = payload(data)
    assert len(checked) == size
    assert bytes(checked) == (data.tobytes() if isinstance(data, memoryview) else bytes(data))


@pytest.mark.parametrize("data", ["text", None, [1], 3])
def test_a_message_is_bytes(data: Any) -> None:
    with pytest.raises(TypeError, match=type(data).__name__):
        payload(data)


@pytest.mark.parametrize("data", [b"", bytearray(), memoryview(b"")])
def test_a_message_is_not_empty(data: Any) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        payload(data)


def test_the_numbers_of_a_message_are_within_their_bounds() -> None:
    for stream, ppid, context in ((0, 0, 0), (9, U32, U32)):
        check_numbers(stream, ppid, context, 10)
    for stream in (-1, 10):
        with pytest.raises(StreamOutOfRangeError) as caught:
            check_numbers(stream, 0, 0, 10)
        assert (caught.value.stream, caught.value.limit) == (stream, 10)
    for number in (-1, U32 + 1):
        with pytest.raises(ValueError, match=f"ppid is {number}"):
            check_numbers(0, number, 0, 10)
        with pytest.raises(ValueError, match=f"context is {number}"):
            check_numbers(0, 0, number, 10)
    wrong: list[Any] = [("0", 0, 0), (0, 1.0, 0), (0, 0, None)]
    for stream, ppid, context in wrong:
        with pytest.raises(TypeError, match="are numbers"):
            check_numbers(stream, ppid, context, 10)


def test_a_key_is_named_by_its_number_and_none_is_the_active_one() -> None:
    assert [key_number(key) for key in (None, 0, 0xFFFF)] == [-1, 0, 0xFFFF]
    for key in (-1, 0x10000):
        with pytest.raises(ValueError, match=f"auth_key is {key}"):
            key_number(key)


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ((None, None, None), (0, 0)),
        ((1.5, None, None), (PR_TTL, 1_500)),
        # The stack counts in milliseconds, and 0 would mean no bound.
        ((0.0001, None, None), (PR_TTL, 1)),
        ((U32 / 1000, None, None), (PR_TTL, U32)),
        ((None, 0, None), (PR_RTX, 0)),
        ((None, U32, None), (PR_RTX, U32)),
        ((None, None, 0), (PR_PRIO, 0)),
        ((None, None, U32), (PR_PRIO, U32)),
    ],
)
def test_a_message_has_the_policy_that_was_asked_for(given: Any, policy: tuple[int, int]) -> None:
    assert policy_of(*given) == policy


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0, None, None), "lifetime is 0"),
        ((-1.0, None, None), "lifetime is -1.0"),
        ((U32 / 1000 + 1, None, None), "lifetime is"),
        ((None, -1, None), "max_retransmissions is -1"),
        ((None, U32 + 1, None), "max_retransmissions is"),
        ((None, None, -1), "priority is -1"),
        ((None, None, U32 + 1), "priority is"),
        ((1.0, 1, None), "given are lifetime, max_retransmissions$"),
        ((None, 0, 0), "given are max_retransmissions, priority$"),
    ],
)
def test_a_policy_that_there_is_not_is_refused(given: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        policy_of(*given)


def test_a_path_is_one_address_and_has_the_peers_port() -> None:
    for path in ("10.0.0.1", "10.0.0.1:0", ("10.0.0.1", 0), Address("10.0.0.1", 0), ("10.0.0.1", 5)):
        assert path_of(path, 5) == Address("10.0.0.1", 5)
    for path in ("10.0.0.1:7", ("10.0.0.1", 7), Address("10.0.0.1", 7)):
        with pytest.raises(OSError, match=r"10\.0\.0\.1:7 is no address of the peer, whose port is 5"):
            path_of(path, 5)
    assert path_of("fe80::1%3", 5) == Address("fe80::1%3", 5)
    for several in (Address(("10.0.0.1", "10.0.0.2"), 5), Address((), 5)):
        with pytest.raises(ValueError, match="is not a path"):
            path_of(several, 5)


def went_down(bench: Bench) -> list[list[bytes]]:
    """Return what went down to the stack, by calls."""
    calls = [call for call in bench.script.log if call[0] in ("send", "send_batch")]
    return [call[2] if call[0] == "send_batch" else [call[2]] for call in calls]


async def test_a_batch_has_a_bounded_number_of_messages() -> None:
    async with opened() as bench:
        messages = [b"%d" % number for number in range(2 * BATCH + 1)]
        await within(bench.conn.send_many(messages))
        assert went_down(bench) == [messages[:BATCH], messages[BATCH : 2 * BATCH], messages[2 * BATCH :]]
        statistics = bench.conn.statistics()
        assert (statistics.messages_sent, statistics.bytes_sent) == (129, sum(map(len, messages)))


async def test_a_batch_has_a_bounded_number_of_bytes_unless_one_message_has_more() -> None:
    async with opened() as bench:
        half, whole = bytes(BATCH_BYTES // 2), bytes(BATCH_BYTES + 1)
        await within(bench.conn.send_many([half, half, b"x", b"y", whole, b"z"]))
        assert went_down(bench) == [[half, half], [b"x", b"y"], [whole], [b"z"]]


async def test_whether_messages_may_share_packets_is_told_with_each_batch() -> None:
    async with opened() as bench:
        messages = [b"x"] * (BATCH + 2)
        await within(bench.conn.send_many(messages))
        await within(bench.conn.send_many(messages, bundle=False))
        assert bench.script.bundles == [True, True, False, False]


async def test_a_message_of_a_batch_may_have_numbers_of_its_own() -> None:
    async with opened() as bench:
        heads: list[Any] = []

        def send_batch(_: int, messages: Any, bundle: bool) -> int:
            heads.extend(head for _, head in messages)
            return len(messages)

        bench.script.send_batch = send_batch  # type: ignore[method-assign, assignment]
        buffer = bytearray(b"xx")
        await within(
            bench.conn.send_many([Message(b"a", stream=3, ppid=4, context=5), buffer], stream=1, ppid=2)
        )
        assert [(head.stream, head.ppid, head.context) for head in heads] == [(3, 4, 5), (1, 2, 0)]


async def test_what_came_before_a_message_that_is_refused_is_sent() -> None:
    async with opened() as bench:
        for wrong in (b"", Message(b"x", stream=10), Message(b"x", ppid=U32 + 1)):
            bench.script.log.clear()
            with pytest.raises(ValueError):  # noqa: PT011
                await within(bench.conn.send_many([b"a", b"b", wrong, b"c"]))
            assert went_down(bench) == [[b"a", b"b"]]
        bench.script.log.clear()

        def failing() -> Iterator[bytes]:
            yield b"d"
            raise LookupError

        with pytest.raises(LookupError):
            await within(bench.conn.send_many(failing()))
        assert went_down(bench) == [[b"d"]]


async def test_a_batch_that_finds_no_space_goes_on_when_there_is_some() -> None:
    async with opened() as bench:
        bench.script.fill()
        sending = asyncio.create_task(bench.conn.send_many([b"a", b"b", b"c"]))
        await turns()
        assert went_down(bench) == [[b"a", b"b", b"c"], [b"a"]]
        # It waits in the queue: others wait behind it.
        other = asyncio.create_task(bench.conn.send_many([b"x", b"y"]))
        await turns()
        assert bench.conn.statistics().waiting_senders == 2
        bench.script.log.clear()
        bench.script.empty()
        await within(asyncio.gather(sending, other))
        sent = [message for call in went_down(bench) for message in call]
        assert [message for message in sent if message in (b"a", b"b", b"c")] == [b"a", b"b", b"c"]
        assert [message for message in sent if message in (b"x", b"y")] == [b"x", b"y"]
        assert bench.conn.statistics().messages_sent == 5


@pytest.mark.parametrize("how", ["send", "send_many"])
async def test_a_failure_that_is_not_the_end_is_told_as_it_is(how: str) -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.options[SendBuffer] = SendBuffer(4_321)
        errors: list[Exception] = []

        def fail(*arguments: object) -> bool:
            raise errors[-1]

        script.send = script.send_batch = fail  # type: ignore[method-assign, assignment]
        bench.socket.sender = lambda _: fail  # type: ignore[method-assign, assignment]
        conn._link.sender.move_to(bench.socket)

        async def send() -> None:
            await within(conn.send(bytes(50)) if how == "send" else conn.send_many([bytes(50), b"x"]))

        errors.append(OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE)))
        with pytest.raises(
            MessageTooLargeError, match="of 50 bytes is larger than the send buffer of 4321 bytes"
        ):
            await send()
        errors.append(OSError(errno.EINVAL, os.strerror(errno.EINVAL)))
        with pytest.raises(OSError, match="Invalid argument") as caught:
            await send()
        assert caught.value is errors[-1]
        if how == "send":
            errors.append(OverflowError())
            with pytest.raises(MessageTooLargeError, match="50 bytes is larger than a stack can take"):
                await send()
        # It could be the last sign of the association, which the stack still has.
        errors.append(OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
        with pytest.raises(ConnectionResetError) as caught:
            await send()
        assert caught.value is errors[-1]
        assert not conn.is_closed
        assert conn.statistics().messages_sent == 0


async def test_a_message_goes_down_with_what_was_asked_for() -> None:
    async with opened() as bench:
        conn, script = bench.conn, bench.script
        script.pack_path = script.codec.pack_addresses  # type: ignore[attr-defined]
        went: list[tuple[Any, ...]] = []

        def send(*arguments: Any) -> bool:
            went.append(arguments)
            return True

        bench.socket.sender = lambda _: send  # type: ignore[method-assign, assignment]
        conn._link.sender.move_to(bench.socket)
        await bench.read()
        await conn.send(b"a")
        await conn.send(b"b", stream=9, ppid=U32, unordered=True, context=U32)
        await conn.send(b"c", sack_immediately=True)
        await conn.send(b"d", lifetime=1.0, unordered=True)
        await conn.send(b"e", path="10.0.0.1", auth_key=7)
        await conn.send(b"f", priority=5, sack_immediately=True, stream=1, ppid=2, context=3)
        await conn.stream(4).send(b"g")
        where = script.codec.pack_addresses(Address("10.0.0.1", PEER.port))
        assert went == [
            (3, b"a", 0, 0, 0, 0, None),
            (3, b"b", 9, UNORDERED, U32, U32, None),
            (3, b"c", 0, SACK_IMMEDIATELY, 0, 0, None),
            (3, b"d", 0, UNORDERED, 0, 0, SendExtras(PR_TTL, 1_000, b"", -1)),
            (3, b"e", 0, ADDR_OVER, 0, 0, SendExtras(0, 0, where, 7)),
            (3, b"f", 1, SACK_IMMEDIATELY, 2, 3, SendExtras(PR_PRIO, 5, b"", -1)),
            (3, b"g", 4, 0, 0, 0, None),
        ]
        statistics = conn.statistics()
        assert (statistics.messages_sent, statistics.bytes_sent) == (7, 7)
        # What is out of bounds does not get there by the fast path either.
        beyond: list[dict[str, Any]] = [{"stream": -1}, {"stream": 10}, {"ppid": -1}, {"context": U32 + 1}]
        for wrong in beyond:
            with pytest.raises(ValueError):  # noqa: PT011
                await conn.send(b"x", **wrong)
        assert len(went) == 7
