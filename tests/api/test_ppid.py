"""The ppid of what is sent without one: that of connect, listen, open_endpoint, or of a Stream."""

from typing import Any

import pytest

from sctpio import (
    Conn,
    DefaultPrInfo,
    DefaultSendInfo,
    DefaultSendParameters,
    Message,
    Mode,
    Option,
    Ppid,
    connect,
    listen,
    open_endpoint,
)
from support import LOCAL, STACK, Pair, connected, paired, within

NGAP = {"ppid": Ppid.NGAP}


async def ppid_from(conn: Conn) -> int:
    return (await within(conn.receive())).ppid


@pytest.mark.both_modes
async def test_both_ends_send_with_their_own_default() -> None:
    async with connected(listen_with={"ppid": Ppid.S1AP}, connect_with={"ppid": 70_000}) as pair:
        await pair.client.send(b"x")
        await pair.client.send_many([b"x", b"x"])
        await pair.client.stream(1).send(b"x")
        await pair.server.send(bytearray(b"x"))
        assert [await ppid_from(pair.server) for _ in range(4)] == [70_000] * 4
        assert await ppid_from(pair.client) == Ppid.S1AP


@pytest.mark.both_modes
async def test_what_a_call_or_a_stream_says_wins() -> None:
    async with connected(connect_with=NGAP) as pair:
        await pair.client.send(b"x", ppid=0)
        await pair.client.send(b"x", ppid=Ppid.XNAP, lifetime=10.0)
        await pair.client.send_many([b"x", Message(b"x")], ppid=Ppid.F1AP)
        stream = pair.client.stream(1, ppid=Ppid.E1AP)
        await stream.send(b"x")
        await stream.send(b"x", ppid=7, lifetime=10.0)
        expected = [0, Ppid.XNAP, Ppid.F1AP, 0, Ppid.E1AP, 7]
        assert sorted([await ppid_from(pair.server) for _ in expected]) == sorted(expected)
        assert f"ppid=E1AP ({Ppid.E1AP.value}) of <sctpio.Conn" in repr(stream)


async def test_a_message_that_has_to_say_more_gets_it_too() -> None:
    async with connected(connect_with=NGAP) as pair:
        await pair.client.send(b"x", unordered=True, lifetime=10.0)
        assert await ppid_from(pair.server) == Ppid.NGAP


async def test_it_goes_along_when_an_association_is_peeled_off() -> None:
    async with (
        listen(LOCAL, mode=Mode.ONE_TO_MANY, ppid=Ppid.M3UA) as listener,
        paired(listener, None) as pair,
    ):
        await pair.server.peel_off()
        await pair.server.send(b"x")
        assert await ppid_from(pair.client) == Ppid.M3UA


async def test_an_endpoint_has_one_for_all_its_associations() -> None:
    async with (
        listen(LOCAL) as listener,
        open_endpoint(LOCAL, listening=False, ppid=Ppid.M2PA) as endpoint,
    ):
        identifier = await endpoint.connect(listener.local_addresses)
        server = await within(listener.accept())
        await endpoint.send(b"to an address", to=listener.local_addresses)
        await endpoint.send(b"to an id", to=identifier)
        await endpoint.send(b"with another", to=identifier, ppid=Ppid.SUA)
        await endpoint.broadcast(b"to all")
        await endpoint.broadcast(b"to all", ppid=0)
        found = [await ppid_from(server) for _ in range(5)]
        assert found == [Ppid.M2PA, Ppid.M2PA, Ppid.SUA, Ppid.M2PA, 0]
        await server.abort()


async def test_a_listener_connects_with_it() -> None:
    async with (
        listen(LOCAL) as there,
        listen(LOCAL, mode=Mode.ONE_TO_MANY, ppid=Ppid.SUA) as here,
    ):
        client = await here.connect(there.local_addresses)
        server = await within(there.accept())
        await client.send(b"x")
        assert await ppid_from(server) == Ppid.SUA
        await client.abort()
        await server.abort()


async def test_a_descriptor_that_is_taken_over_gets_one() -> None:
    async with connected() as pair:
        client = await Conn.from_fd(pair.client.detach(), ppid=Ppid.DIAMETER)
        await client.send(b"x")
        assert await ppid_from(pair.server) == Ppid.DIAMETER
        await client.abort()


@pytest.mark.parametrize(
    ("ppid", "kind"), [(-1, ValueError), (2**32, ValueError), ("NGAP", TypeError), (True, TypeError)]
)
@pytest.mark.parametrize("open_", [connect, listen, open_endpoint])
async def test_a_bad_default_is_refused_at_once(open_: Any, ppid: object, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"^ppid is {ppid!r}; it takes a number"):
        open_(LOCAL, ppid=ppid)


@pytest.mark.parametrize(
    ("option", "names"),
    [
        (DefaultSendInfo(ppid=46), "ppid"),
        (DefaultSendInfo(stream=3, unordered=True), "stream, unordered"),
        (DefaultSendParameters(ppid=46, context=7, lifetime=1.0), "ppid, context"),
    ],
)
async def test_defaults_that_no_send_would_use_are_refused(pair: Pair, option: Option, names: str) -> None:
    match = f"{names} would have no effect, .* the ppid= of connect, listen and open_endpoint"
    for set_option in (pair.client.set_option, pair.listener.set_option):
        with pytest.raises(ValueError, match=match):
            set_option(option)
    for open_ in (connect, listen, open_endpoint):
        with pytest.raises(ValueError, match=match):
            open_(LOCAL, options=[option])


async def test_a_default_lifetime_is_not_refused(pair: Pair) -> None:
    pair.client.set_option(DefaultPrInfo(lifetime=5.0))
    if STACK == "kernel":
        pair.client.set_option(DefaultSendParameters(lifetime=5.0))
    await pair.client.send(b"x")
    assert (await pair.server.receive()).data == b"x"
