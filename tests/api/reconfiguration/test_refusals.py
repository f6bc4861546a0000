"""Requests to change streams that are refused say why."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from api.reconfiguration.requests import (
    DENIED,
    DENYING,
    FAILED,
    ON,
    REQUESTS,
    counts,
    every_request,
    ssns,
    still_works,
)
from sctpio import (
    ClosedError,
    Conn,
    EnableStreamReset,
    InitMsg,
    ReconfigSupported,
    ReconfigurationError,
    StreamOutOfRangeError,
)
from support import PATIENCE, Pair, connected

pytestmark = pytest.mark.both_modes


# Refusals


@every_request
async def test_a_denied_request_says_so(request_of: Callable[[Conn], Coroutine[Any, Any, None]]) -> None:
    async with connected(listen_with=DENYING, connect_with=ON) as pair:
        before = counts(pair.client), counts(pair.server)
        for _ in range(2):
            with pytest.raises(ReconfigurationError, match="denied") as caught:
                async with asyncio.timeout(20 * PATIENCE):
                    await request_of(pair.client)
            assert caught.value.errno == errno.EPERM
            assert DENIED in caught.value.flags
            assert FAILED not in caught.value.flags
        assert (counts(pair.client), counts(pair.server)) == before
        await still_works(pair)
        assert await ssns(pair.client, pair.server, 1) == [1]


@pytest.mark.kernel_only("usrsctp cannot ask for an association's reset")
async def test_a_denied_request_names_itself() -> None:
    async with connected(listen_with=DENYING, connect_with=ON) as pair:
        named: list[tuple[Coroutine[Any, Any, None], str]] = [
            (pair.client.reset_streams(1), "ResetStreams"),
            (pair.client.add_streams(outbound=1), "AddStreams"),
            (pair.client.reset_association(), "ResetAssociation"),
        ]
        for asking, name in named:
            with pytest.raises(ReconfigurationError, match=name) as caught:
                await asking
            assert caught.value.request == name


async def test_one_denial_is_no_answer_to_the_next_request() -> None:
    """Both halves are denied, by an event each: the second must not answer what is asked for afterwards."""
    async with connected(listen_with=DENYING, connect_with=ON) as pair:
        for _ in range(10):
            with pytest.raises(ReconfigurationError):
                await pair.client.add_streams(outbound=1, inbound=1)
            pair.server.set_option(EnableStreamReset(add_streams=True))
            before = pair.client.outbound_streams
            await pair.client.add_streams(outbound=1)
            assert pair.client.outbound_streams == before + 1
            pair.server.set_option(EnableStreamReset(add_streams=False))


@pytest.mark.kernel_only("with usrsctp nothing needs to be enabled to ask")
@every_request
async def test_what_is_not_enabled_here_names_the_option(
    request_of: Callable[[Conn], Coroutine[Any, Any, None]],
) -> None:
    async with connected(listen_with=ON, connect_with=DENYING) as pair:
        with pytest.raises(OSError, match=r"SCTP_(RESET|ADD)_.*EnableStreamReset") as caught:
            await request_of(pair.client)
        assert caught.value.errno == errno.ENOPROTOOPT
        assert not isinstance(caught.value, ReconfigurationError)
        await still_works(pair)


@pytest.mark.parametrize("lacking", ["listen_with", "connect_with"])
async def test_a_peer_without_the_extension(lacking: str) -> None:
    ends: dict[str, Any] = {"listen_with": ON, "connect_with": ON}
    ends[lacking] = {"options": [ReconfigSupported(False), EnableStreamReset(True, True, True)]}
    async with connected(**ends) as pair:
        for conn in (pair.client, pair.server):
            for request_of in REQUESTS.values():
                with pytest.raises(OSError, match="ReconfigSupported") as caught:
                    await request_of(conn)
                assert caught.value.errno == errno.ENOPROTOOPT
        await still_works(pair)


async def test_streams_that_are_not_there() -> None:
    async with connected(
        listen_with={**ON, "init": InitMsg(6, 3)}, connect_with={**ON, "init": InitMsg(4, 5)}
    ) as pair:
        client = pair.client
        assert (client.outbound_streams, client.inbound_streams) == (3, 5)
        for streams, directions, stream, limit in (
            ((0, 3), {}, 3, 3),
            ((-1,), {}, -1, 3),
            ((70_000,), {}, 70_000, 3),
            ((4, 5), {"outgoing": False, "incoming": True}, 5, 5),
            ((4,), {"incoming": True}, 4, 3),
        ):
            with pytest.raises(StreamOutOfRangeError) as caught:
                await client.reset_streams(*streams, **directions)
            assert (caught.value.stream, caught.value.limit) == (stream, limit)
        inbound_only = client.stream(4)
        with pytest.raises(StreamOutOfRangeError):
            await inbound_only.reset()
        await client.reset_streams(4, outgoing=False, incoming=True)
        await still_works(pair)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"outbound": 0}, {"outbound": -1}, {"inbound": 65_536}, {"outbound": 1.5}, {"outbound": True}],
    ids=repr,
)
async def test_numbers_of_streams_that_make_no_sense(both: Pair, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="AddStreams"):
        await both.client.add_streams(**wrong)
    assert counts(both.client) == (10, 10, 10, 10)


async def test_a_reset_of_neither_direction(both: Pair) -> None:
    with pytest.raises(ValueError, match="incoming=True, outgoing=True"):
        await both.client.reset_streams(1, outgoing=False)


# Closed and peeled off


async def test_a_closed_conn_takes_no_request(both: Pair) -> None:
    await both.client.close()
    for request_of in REQUESTS.values():
        with pytest.raises((ClosedError, StreamOutOfRangeError)):
            await request_of(both.client)
    with pytest.raises(ClosedError):
        _ = both.client.stream(1).priority
