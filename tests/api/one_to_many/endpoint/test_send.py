"""Sending from an Endpoint: to an association, to an address (which sets one up), to all."""

import asyncio
import errno
import random
from typing import Any

import pytest

from api.one_to_many.endpoint.joined import CANT_START, COMM_UP, NOBODY, joined, states
from sctpio import (
    Address,
    AssociationChange,
    AssociationError,
    ClosedError,
    MessageTooLargeError,
    Option,
    ReceiveBuffer,
    SendBuffer,
    SendFailed,
    StreamOutOfRangeError,
    open_endpoint,
)
from sctpio.stacks.base import alive
from support import (
    LOCAL,
    SMALL,
    StackSocketType,
    associations,
    read_again,
    stop_reading,
    turns,
    until,
    within,
)

# Sending


async def test_an_answer_goes_to_the_association_that_asked() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        for peer in (one, two, one):
            await peer.conn.send(b"who am I?")
            question = await endpoint.receive()
            answer = b"%d" % question.association_id
            await endpoint.send(answer, to=question.association_id, stream=3, ppid=7)
            reply = await peer.conn.receive()
            assert (reply.data, reply.stream, reply.ppid) == (b"%d" % peer.id, 3, 7)
            await endpoint.send(b"by address", to=question.source or "")
            assert (await peer.conn.receive()).data == b"by address"
        assert set(endpoint.associations) == {one.id, two.id}


@pytest.mark.parametrize("form", ["Address", "str", "tuple", "name"])
async def test_a_send_to_an_address_sets_its_association_up_once(form: str) -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        port = peer.port
        forms: dict[str, Any] = {
            "Address": peer.local_addresses,
            "str": f"127.0.0.1:{port}",
            "tuple": ("127.0.0.1", port),
            "name": f"localhost:{port}",
        }
        to = forms[form]
        assert not endpoint.associations
        for number in range(3):
            await endpoint.send(b"%d" % number, to=to, stream=number, ppid=number)
        got = [await within(peer.receive()) for _ in range(3)]
        assert [(m.data, m.stream, m.ppid) for m in got] == [(b"%d" % n, n, n) for n in range(3)]
        assert len({message.association_id for message in got}) == 1
        assert len(endpoint.associations) == len(peer.associations) == 1
        assert got[0].source == endpoint.local_addresses
        await peer.send(b"back", to=endpoint.local_addresses)
        reply = await endpoint.receive()
        assert (reply.data, reply.source) == (b"back", peer.local_addresses)
        assert (reply.association_id,) == endpoint.associations


async def test_every_address_of_a_peer_finds_its_association() -> None:
    async with open_endpoint("127.0.0.1/127.0.0.2:0") as peer, open_endpoint(LOCAL) as endpoint:
        assert len(peer.local_addresses.hosts) == 2
        for host in ("127.0.0.1", "127.0.0.2"):
            for to in ((host, peer.port), Address(host, peer.port), f"{host}:{peer.port}"):
                await endpoint.send(b"x", to=to)
        await endpoint.send(b"x", to=peer.local_addresses)
        await endpoint.send(b"x", to=f"127.0.0.2/127.0.0.1:{peer.port}")
        got = [await within(peer.receive()) for _ in range(8)]
        assert len({message.association_id for message in got}) == 1
        [identifier] = endpoint.associations
        assert set(endpoint.peer_addresses(identifier).hosts) == set(peer.local_addresses.hosts)


async def test_two_tasks_that_send_to_a_new_address_share_one_set_up() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        to = peer.local_addresses
        await asyncio.gather(*(endpoint.send(b"%d" % number, to=to) for number in range(5)))
        got = [await within(peer.receive()) for _ in range(5)]
        assert {message.data for message in got} == {b"0", b"1", b"2", b"3", b"4"}
        assert len(endpoint.associations) == len(peer.associations) == 1


@pytest.mark.parametrize("told", [True, False], ids=["told", "not yet told"])
async def test_a_send_to_a_peer_that_began_an_association_takes_that_one(told: bool) -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        if not told:
            stop_reading(endpoint)
            await turns()
        theirs = await within(peer.connect(endpoint.local_addresses))
        if told:
            await until(lambda: bool(endpoint.associations))
        sending = asyncio.create_task(endpoint.send(b"x", to=peer.local_addresses))
        await asyncio.sleep(0)
        read_again(endpoint)
        await within(sending)
        assert (await within(peer.receive())).association_id == theirs
        assert len(endpoint.associations) == len(peer.associations) == 1


async def test_a_peer_that_is_faster_by_a_moment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    find = StackSocketType.find_association
    # What the stack says just before the peer's set-up arrives.
    answers = iter([None])
    monkeypatch.setattr(
        StackSocketType, "find_association", lambda self, address: next(answers, find(self, address))
    )
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        theirs = await within(peer.connect(endpoint.local_addresses))
        await within(endpoint.send(b"x", to=peer.local_addresses))
        assert (await within(peer.receive())).association_id == theirs
        assert len(endpoint.associations) == len(peer.associations) == 1


async def test_endpoints_that_send_to_each_other_at_once_have_one_association() -> None:
    async with open_endpoint(LOCAL) as one, open_endpoint(LOCAL) as two:
        for number in range(10):
            await within(
                asyncio.gather(
                    one.send(b"to two", to=two.local_addresses), two.send(b"to one", to=one.local_addresses)
                )
            )
            assert (await within(two.receive())).data == b"to two"
            assert (await within(one.receive())).data == b"to one"
            assert len(one.associations) == len(two.associations) == 1
            ending = one if number % 2 else two
            await within(ending.shutdown(ending.associations[0]))
            await until(lambda: not one.associations and not two.associations)


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_cancelling_one_of_those_that_set_up_leaves_the_other(cancelled: int) -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        stop_reading(endpoint)
        await turns()
        tasks = [asyncio.create_task(endpoint.send(b"%d" % n, to=peer.local_addresses)) for n in range(2)]
        await until(
            lambda: [len(m.association.state_waiters) for m in endpoint._shared.members.values()] == [2]
        )
        tasks[cancelled].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[cancelled]
        read_again(endpoint)
        await within(tasks[1 - cancelled])
        assert (await within(peer.receive())).data == b"%d" % (1 - cancelled)
        assert len(endpoint.associations) == 1
        assert peer.statistics().unread_messages == 0


async def test_when_all_that_set_up_are_cancelled_nothing_is_set_up() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        stop_reading(endpoint)
        await turns()
        to = peer.local_addresses
        tasks = [asyncio.create_task(endpoint.send(b"x", to=to)) for _ in range(2)]
        await until(
            lambda: sum(len(m.association.state_waiters) for m in endpoint._shared.members.values()) >= 2
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not associations())
        read_again(endpoint)
        # The next one sets it up anew.
        await within(endpoint.send(b"again", to=to))
        assert (await within(peer.receive())).data == b"again"
        assert len(endpoint.associations) == 1


async def test_a_send_to_an_address_where_nobody_listens_is_refused() -> None:
    async with open_endpoint(LOCAL, events=[AssociationChange, SendFailed]) as endpoint:
        for to in (NOBODY, Address.parse(NOBODY), ("127.0.0.1", 1)):
            with pytest.raises(ConnectionRefusedError) as caught:
                await within(endpoint.send(b"x", to=to))
            assert caught.value.errno == errno.ECONNREFUSED
            assert not isinstance(caught.value, AssociationError)
            assert endpoint.associations == ()
            assert not associations()
        results = await asyncio.gather(
            *(endpoint.send(b"x", to=NOBODY) for _ in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [ConnectionRefusedError] * 3
        # The endpoint is none the worse for it, and each attempt had its event.
        async with joined(endpoint) as peer:
            await endpoint.send(b"fine", to=peer.id)
            assert (await peer.conn.receive()).data == b"fine"
        events = endpoint.events(AssociationChange, SendFailed)
        seen = await states(events, 5)
        while seen[-1][1] is CANT_START:
            seen += await states(events, 1)
        assert [state for _, state in seen] == [CANT_START] * (len(seen) - 1) + [COMM_UP]
        assert len({identifier for identifier, _ in seen}) == len(seen)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not yet told"])
@pytest.mark.parametrize(
    "end", ["the peer shut it down", "the peer aborted it", "shut down here", "aborted here"]
)
async def test_a_send_to_an_address_whose_association_ended_sets_up_a_new_one(end: str, told: bool) -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        to = peer.local_addresses
        await endpoint.send(b"first", to=to)
        [first] = endpoint.associations
        theirs = (await within(peer.receive())).association_id
        if not told and end.startswith("the peer"):
            stop_reading(endpoint)
            await turns()
        match end:
            case "the peer shut it down":
                await within(peer.shutdown(theirs))
            case "the peer aborted it":
                await peer.abort(theirs)
            case "shut down here":
                await within(endpoint.shutdown(first))
            case _:
                await endpoint.abort(first)
        await until(lambda: not associations() and not alive(endpoint._raw, first))
        if told:
            await until(lambda: not endpoint.associations)
        sending = asyncio.create_task(endpoint.send(b"second", to=to))
        await asyncio.sleep(0)
        read_again(endpoint)
        await within(sending)
        message = await within(peer.receive())
        assert message.data == b"second"
        assert message.association_id != theirs
        [second] = endpoint.associations
        assert second != first
        for stale in (first, theirs):
            with pytest.raises(AssociationError, match=str(stale)):
                await endpoint.send(b"stale", to=stale)


async def test_a_cancelled_send_has_sent_nothing_and_one_that_returned_all() -> None:
    random_ = random.Random(2)
    small: list[Option] = [SendBuffer(40_000)]
    async with (
        open_endpoint(LOCAL, options=small) as endpoint,
        joined(endpoint, options=[ReceiveBuffer(20_000)], receive_buffer=10_000) as peer,
    ):
        sent, received = [], []

        async def receive() -> None:
            async for message in peer.conn:
                received.append(message.data)
                # Slower than the sender, so that sends wait.
                await asyncio.sleep(0.002)

        receiving = asyncio.create_task(receive())
        for index in range(200):
            data = b"%05d" % index + bytes(random_.randrange(6_000))
            task = asyncio.create_task(endpoint.send(data, to=peer.id))
            for _ in range(random_.randrange(1, 3)):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            if result is None:
                sent.append(data)
        await within(endpoint.shutdown(peer.id))
        await receiving
        assert received == sent
        assert 10 < len(sent) < 190


async def test_one_stalled_association_does_not_hold_up_sends_to_others() -> None:
    async with (
        open_endpoint(LOCAL) as endpoint,
        joined(endpoint, **SMALL) as stalled,
        joined(endpoint) as other,
    ):
        stop_reading(stalled.conn)
        await turns()
        flood = [asyncio.create_task(endpoint.send(bytes(1_000), to=stalled.id)) for _ in range(400)]
        await until(lambda: endpoint.statistics().waiting_senders > 0)
        for number in range(50):
            await within(endpoint.send(b"%d" % number, to=other.id))
            assert (await other.conn.receive()).data == b"%d" % number
        assert endpoint.statistics().waiting_senders > 0
        await endpoint.abort(stalled.id)
        results = await asyncio.gather(*flood, return_exceptions=True)
        assert {type(result) for result in results} == {type(None), ClosedError}


async def test_what_cannot_be_sent_is_said_and_nothing_is_set_up_for_it() -> None:
    bad: Any
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        for bad, error in ((b"", ValueError), ("text", TypeError), (None, TypeError)):
            with pytest.raises(error):
                await endpoint.send(bad, to=peer.id)
        with pytest.raises(StreamOutOfRangeError):
            await endpoint.send(b"x", to=peer.id, stream=60_000)
        with pytest.raises(ValueError, match="ppid"):
            await endpoint.send(b"x", to=peer.id, ppid=-1)
        with pytest.raises(MessageTooLargeError, match="send buffer"):
            await endpoint.send(bytes(5_000_000), to=peer.id)
        for bad in ("nowhere", "127.0.0.1//127.0.0.2:80", 3.5, None):
            with pytest.raises((ValueError, TypeError), match=str(bad)):
                await endpoint.send(b"x", to=bad)
        with pytest.raises(TypeError):
            await endpoint.send(b"x")  # type: ignore[call-arg]
        assert endpoint.associations == (peer.id,)
        await peer.conn.send(b"still up")
        assert (await endpoint.receive()).data == b"still up"


# Broadcast


async def test_a_broadcast_reaches_every_association() -> None:
    async with open_endpoint(LOCAL) as endpoint:
        result = await endpoint.broadcast(b"nobody")
        assert (result.reached, result.failed) == ((), {})
        async with joined(endpoint) as one, joined(endpoint) as two:
            result = await endpoint.broadcast(b"all", stream=2, ppid=5)
            assert (set(result.reached), result.failed) == ({one.id, two.id}, {})
            for peer in (one, two):
                message = await peer.conn.receive()
                assert (message.data, message.stream, message.ppid) == (b"all", 2, 5)
        with pytest.raises(ValueError, match="empty"):
            await endpoint.broadcast(b"")


async def test_a_broadcast_tells_whom_it_did_not_reach() -> None:
    async with (
        open_endpoint(LOCAL) as endpoint,
        joined(endpoint, **SMALL) as stalled,
        joined(endpoint) as other,
    ):
        stop_reading(stalled.conn)
        await turns()
        flood = [asyncio.create_task(endpoint.send(bytes(1_000), to=stalled.id)) for _ in range(400)]
        await until(lambda: endpoint.statistics().waiting_senders > 0)
        result = await within(endpoint.broadcast(b"all", timeout=0.1))
        assert result.reached == (other.id,)
        assert list(result.failed) == [stalled.id]
        assert isinstance(result.failed[stalled.id], BlockingIOError)
        assert (await other.conn.receive()).data == b"all"
        await endpoint.abort(stalled.id)
        results = await asyncio.gather(*flood, return_exceptions=True)
        assert {type(result) for result in results} == {type(None), ClosedError}
