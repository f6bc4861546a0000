"""Endpoint: messages to and from any number of associations over one socket."""

import asyncio
import errno
import gc
import inspect
import random
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from sctpio import (
    Address,
    AssociationAbortedError,
    AssociationChange,
    AssociationError,
    AssociationState,
    ClosedError,
    Conn,
    DelayedSack,
    EndOfAssociation,
    Endpoint,
    InitMsg,
    Message,
    MessageTooLargeError,
    Mode,
    NoDelay,
    Option,
    ReceiveBuffer,
    ReceiveBufferFullError,
    RtoInfo,
    Scope,
    SendBuffer,
    SenderDry,
    SendFailed,
    StreamOutOfRangeError,
    connect,
    listen,
    open_endpoint,
)
from sctpio._ending import alive
from sctpio._many import BATCH
from support import (
    PATIENCE,
    PER_SOCKET,
    STACK,
    StackSocketType,
    associations,
    descriptor_count,
    settled,
    until,
)

KIB = 1024
LOCAL = "127.0.0.1:0"

# A window that a few messages close; and timers with which it opens again soon.
SMALL: dict[str, Any] = {"options": [ReceiveBuffer(4 * KIB)]}
# Five times the maximum may a shutdown take (T5-shutdown-guard); usrsctp counts from the call on.
QUICK: tuple[Option, ...] = (RtoInfo(initial=0.2, maximum=0.3 if STACK == "kernel" else 3.0, minimum=0.1),)

# No ephemeral port: who is given its target's number would connect to itself.
NOBODY = "127.0.0.1:1"

COMM_UP, COMM_LOST = AssociationState.COMM_UP, AssociationState.COMM_LOST
SHUTDOWN_COMP, CANT_START = AssociationState.SHUTDOWN_COMP, AssociationState.CANT_STR_ASSOC


@pytest_asyncio.fixture(autouse=True)
async def _no_association() -> AsyncIterator[None]:
    yield
    await until(lambda: not associations())


class Peer(NamedTuple):
    """A client with a socket of its own, and the number that its association has at the endpoint."""

    conn: Conn
    id: int


@asynccontextmanager
async def joined(endpoint: Endpoint, **connect_with: Any) -> AsyncIterator[Peer]:
    """Connect a client with an endpoint; it is aborted at the end."""
    before = set(endpoint.associations)
    conn = await connect(endpoint.local_addresses, **connect_with)
    try:
        await until(lambda: len(set(endpoint.associations) - before) == 1)
        [identifier] = set(endpoint.associations) - before
        yield Peer(conn, identifier)
    finally:
        await conn.abort()


async def stop_reading(of: Conn | Endpoint) -> None:
    """Leave what comes in the kernel."""
    (of._many if isinstance(of, Endpoint) else of._link.carrier)._set_reading(False)
    # The loop may have been about to read.
    for _ in range(3):
        await asyncio.sleep(0)


def read_again(of: Conn | Endpoint) -> None:
    """End `stop_reading`."""
    (of._many if isinstance(of, Endpoint) else of._link.carrier)._set_reading(True)


async def unread(endpoint: Endpoint, count: int) -> None:
    """Wait until so many messages lie in an endpoint's queue."""
    await until(lambda: endpoint.statistics().unread_messages == count)


async def within(awaitable: Any, seconds: float = 20.0) -> Any:
    """Await what must not hang."""
    async with asyncio.timeout(seconds * PATIENCE):
        return await awaitable


async def states(events: Any, count: int) -> list[tuple[int, AssociationState]]:
    """Take association changes from an iterator: of which association, and what happened to it."""
    changes = [await within(anext(events)) for _ in range(count)]
    return [(change.association_id, change.state) for change in changes]


# Receiving


def assert_from(message: Message, conn: Conn) -> None:
    """Compare a message's source with whom it is from, whichever of its addresses the stack chose."""
    local = conn.local_addresses
    assert message.source is not None
    assert (message.source.port, message.source.hosts[0] in local.hosts) == (local.port, True)


async def test_messages_of_all_associations_come_in_the_order_of_their_arrival() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        order = [one, two, two, one, two, one]
        for number, peer in enumerate(order):
            await peer.conn.send(b"%d" % number, stream=number, ppid=60 + number, unordered=number == 2)
            await unread(endpoint, number + 1)
        for number, peer in enumerate(order):
            message = await endpoint.receive()
            assert (message.data, message.stream, message.ppid) == (b"%d" % number, number, 60 + number)
            assert message.unordered is (number == 2)
            assert message.association_id == peer.id
            assert_from(message, peer.conn)


async def test_async_for_gives_the_messages_of_associations_that_come_and_go() -> None:
    async with open_endpoint(LOCAL) as endpoint:

        async def talk(name: bytes) -> None:
            async with connect(endpoint.local_addresses) as conn:
                for number in range(20):
                    await conn.send(b"%s %d" % (name, number))

        talking = asyncio.gather(talk(b"a"), talk(b"b"), talk(b"c"))
        got: dict[bytes, list[int]] = {b"a": [], b"b": [], b"c": []}
        async for message in endpoint:
            name, number = message.data.split()
            got[name].append(int(number))
            if sum(map(len, got.values())) == 60:
                break
        assert got == {name: list(range(20)) for name in got}
        await talking


async def test_cancelled_receives_lose_and_double_nothing() -> None:
    random_ = random.Random(1)
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:

        async def send(peer: Peer) -> None:
            for number in range(150):
                await peer.conn.send(b"%d" % number)
                await asyncio.sleep(0)

        sending = asyncio.gather(send(one), send(two))
        got: dict[int, list[int]] = {one.id: [], two.id: []}
        while sum(map(len, got.values())) < 300:
            task = asyncio.create_task(endpoint.receive())
            for _ in range(random_.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(result, BaseException):
                got[result.association_id].append(int(result.data))
        await sending
        assert got == {peer.id: list(range(150)) for peer in (one, two)}


async def test_the_message_of_a_woken_and_cancelled_receiver_goes_to_the_next() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        first, second = (asyncio.create_task(endpoint.receive()) for _ in range(2))
        waiters = endpoint._intake.inbox.waiters
        await until(lambda: len(waiters) == 2)
        waiters.wake()
        first.cancel()
        await peer.conn.send(b"for the second")
        assert (await within(second)).data == b"for the second"
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_what_came_before_an_association_ended_is_received(end: str) -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer, joined(endpoint) as other:
        await peer.conn.send_many([b"1", b"2", b"3"])
        await peer.conn.flush()
        await getattr(peer.conn, end)()
        await until(lambda: endpoint.associations == (other.id,))
        await other.conn.send(b"4")
        await unread(endpoint, 4)
        got = [await endpoint.receive() for _ in range(4)]
        assert [message.data for message in got] == [b"1", b"2", b"3", b"4"]
        assert [message.association_id for message in got] == [peer.id] * 3 + [other.id]


async def test_what_an_ended_association_left_unread_is_counted() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        await peer.conn.send(b"12345")
        await unread(endpoint, 1)
        await peer.conn.close()
        await until(lambda: not endpoint.associations)
        statistics = endpoint.statistics()
        assert (statistics.associations, statistics.unread_messages, statistics.unread_bytes) == (0, 1, 5)


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
            await stop_reading(endpoint)
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
        await stop_reading(endpoint)
        tasks = [asyncio.create_task(endpoint.send(b"%d" % n, to=peer.local_addresses)) for n in range(2)]
        await until(
            lambda: [len(m.association.state_waiters) for m in endpoint._many.members.values()] == [2]
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
        await stop_reading(endpoint)
        to = peer.local_addresses
        tasks = [asyncio.create_task(endpoint.send(b"x", to=to)) for _ in range(2)]
        await until(
            lambda: sum(len(m.association.state_waiters) for m in endpoint._many.members.values()) >= 2
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
            await stop_reading(endpoint)
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
        await stop_reading(stalled.conn)
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


# Associations


async def test_connect_gives_the_id_of_an_association() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        identifier = await within(endpoint.connect(f"127.0.0.1:{peer.port}"))
        assert endpoint.associations == (identifier,)
        assert endpoint.peer_addresses(identifier) == peer.local_addresses
        await endpoint.send(b"hello", to=identifier)
        message = await within(peer.receive())
        assert message.data == b"hello"
        assert peer.peer_addresses(message.association_id) == endpoint.local_addresses
        assert peer.associations == (message.association_id,)
        if STACK == "kernel":
            # An id is one of the whole host there, else of its socket.
            assert message.association_id != identifier


async def test_the_local_side_can_be_asked() -> None:
    async with open_endpoint(LOCAL) as endpoint:
        assert isinstance(endpoint, Endpoint)
        assert endpoint.port == endpoint.local_addresses.port > 0
        assert endpoint.local_addresses == Address("127.0.0.1", endpoint.port)
        assert endpoint.fileno() >= 0
        assert "Endpoint open 127.0.0.1" in repr(endpoint)
        with pytest.raises(OSError, match=str(endpoint.port)) as caught:
            await open_endpoint(endpoint.local_addresses)
        assert caught.value.errno == errno.EADDRINUSE
    assert endpoint.fileno() == -1
    assert "closed" in repr(endpoint)


async def test_a_second_connect_to_the_same_peer_is_refused() -> None:
    async with open_endpoint("127.0.0.1/127.0.0.2:0") as peer, open_endpoint(LOCAL) as endpoint:
        identifier = await within(endpoint.connect(("127.0.0.1", peer.port)))
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.2/127.0.0.1"):
            with pytest.raises(OSError, match=str(peer.port)) as caught:
                await within(endpoint.connect(f"{host}:{peer.port}"))
            assert caught.value.errno == errno.EISCONN
        # The other side has that association too.
        await until(lambda: bool(peer.associations))
        with pytest.raises(OSError, match=str(endpoint.port)) as caught:
            await within(peer.connect(endpoint.local_addresses))
        assert caught.value.errno == errno.EISCONN
        assert endpoint.associations == (identifier,)
        await endpoint.send(b"alive", to=identifier)
        assert (await within(peer.receive())).data == b"alive"


async def test_a_refused_connect_leaves_nothing_and_can_be_tried_again() -> None:
    async with open_endpoint(LOCAL, listening=False) as endpoint, open_endpoint(LOCAL) as peer:
        to = peer.local_addresses
        await peer.close()
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await within(endpoint.connect(to))
            assert endpoint.associations == ()
            assert not associations()
        async with open_endpoint(to) as again:
            identifier = await within(endpoint.connect(to))
            await endpoint.send(b"there", to=identifier)
            assert (await within(again.receive())).data == b"there"


async def test_a_connect_cancelled_at_any_turn_leaves_nothing() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        for turns in range(10):
            task = asyncio.create_task(endpoint.connect(peer.local_addresses))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(result, BaseException):
                assert endpoint.associations == (result,)
                await endpoint.abort(result)
            else:
                assert isinstance(result, asyncio.CancelledError)
            await until(lambda: not associations())
            assert endpoint.associations == ()


async def test_a_connect_of_a_listener_cancelled_at_any_turn_leaves_nothing() -> None:
    async with listen(LOCAL, mode=Mode.ONE_TO_MANY) as listener, open_endpoint(LOCAL) as peer:
        for turns in range(10):
            task = asyncio.create_task(listener.connect(peer.local_addresses))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, Conn):
                await result.abort()
            else:
                assert isinstance(result, asyncio.CancelledError)
            await until(lambda: not associations())
            assert listener.statistics().associations == 0


async def test_an_endpoint_that_does_not_listen_refuses_peers_and_reaches_them() -> None:
    async with open_endpoint(LOCAL, listening=False) as endpoint, open_endpoint(LOCAL) as peer:
        with pytest.raises(ConnectionRefusedError):
            await connect(endpoint.local_addresses)
        with pytest.raises(ConnectionRefusedError):
            await within(peer.send(b"x", to=endpoint.local_addresses))
        assert endpoint.associations == ()
        await endpoint.send(b"out", to=peer.local_addresses)
        message = await within(peer.receive())
        await peer.send(b"back", to=message.association_id)
        assert (await within(endpoint.receive())).data == b"back"


async def test_without_a_local_address_there_is_a_port_on_all_of_them() -> None:
    async with (
        open_endpoint() as endpoint,
        open_endpoint("127.0.0.2:0") as v4,
        open_endpoint("[::1]:0") as v6,
    ):
        assert endpoint.port > 0
        hosts = [str(host) for host in endpoint.local_addresses.hosts]
        assert {"127.0.0.1", "::1"} <= set(hosts)
        for peer, host in ((v4, "127.0.0.1"), (v6, "[::1]")):
            await endpoint.send(b"out", to=peer.local_addresses)
            assert (await within(peer.receive())).data == b"out"
            async with connect(f"{host}:{endpoint.port}") as client:
                await client.send(b"in")
                message = await within(endpoint.receive())
                assert message.data == b"in"
                assert_from(message, client)


async def test_bad_arguments_are_quoted_before_a_descriptor_exists() -> None:
    before = descriptor_count()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"local": "nonsense"}, "'nonsense'"),
        ({"local": "127.0.0.1//127.0.0.2:80"}, "127.0.0.1//127.0.0.2:80"),
        ({"local": "127.0.0.1/0.0.0.0:80"}, "wildcard"),
        ({"receive_buffer": 0}, "receive_buffer is 0"),
        ({"max_message_size": -1}, "max_message_size is -1"),
        ({"options": [5]}, "options has 5"),
        ({"events": [int]}, "int"),
        ({"init": 3}, "init is 3"),
        ({"stack": "tcp"}, "stack is 'tcp'"),
    ]
    for arguments, text in cases:
        with pytest.raises((ValueError, TypeError), match=text):
            open_endpoint(**arguments)
    with pytest.raises(OSError, match="10.99.99.99:0") as caught:
        await open_endpoint("10.99.99.99:0")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(OSError, match="SCTP_RTOINFO"):
        await open_endpoint(LOCAL, options=[RtoInfo(initial=1.0, minimum=5.0, maximum=2.0)])
    assert descriptor_count() == before


async def test_stream_counts_of_init() -> None:
    init = InitMsg(outbound_streams=40, inbound_streams=20)
    async with (
        open_endpoint(LOCAL, init=init) as endpoint,
        joined(endpoint, init=InitMsg(outbound_streams=30, inbound_streams=50)) as peer,
    ):
        assert (peer.conn.outbound_streams, peer.conn.inbound_streams) == (20, 40)
        await endpoint.send(b"the last", to=peer.id, stream=39)
        assert (await peer.conn.receive()).stream == 39
        with pytest.raises(StreamOutOfRangeError, match="40 streams"):
            await endpoint.send(b"x", to=peer.id, stream=40)


# Events


async def test_the_events_of_all_associations_are_kept_from_the_first_moment() -> None:
    async with open_endpoint(LOCAL, events=[AssociationChange]) as endpoint, open_endpoint(LOCAL) as other:
        async with joined(endpoint) as one, joined(endpoint) as two:
            three = await within(endpoint.connect(other.local_addresses))
            await one.conn.close()
            await until(lambda: one.id not in endpoint.associations)
            await two.conn.abort()
            await until(lambda: two.id not in endpoint.associations)
            await endpoint.shutdown(three)
        events = endpoint.events(AssociationChange)
        assert await states(events, 6) == [
            (one.id, COMM_UP),
            (two.id, COMM_UP),
            (three, COMM_UP),
            (one.id, SHUTDOWN_COMP),
            (two.id, COMM_LOST),
            (three, SHUTDOWN_COMP),
        ]
        # A second iterator begins now, and both end with the endpoint.
        later = endpoint.events(AssociationChange)
        async with joined(endpoint) as four:
            assert await states(later, 1) == await states(events, 1) == [(four.id, COMM_UP)]
            await endpoint.close()
        rest = [(e.association_id, e.state) async for e in events]
        assert rest == [(e.association_id, e.state) async for e in later] == [(four.id, SHUTDOWN_COMP)]


async def test_an_event_tells_why_the_peer_aborted() -> None:
    async with open_endpoint(LOCAL) as endpoint, open_endpoint(LOCAL) as peer:
        events = endpoint.events(AssociationChange)
        identifier = await within(endpoint.connect(peer.local_addresses))
        await until(lambda: bool(peer.associations))
        await peer.abort(peer.associations[0], b"out of service")
        up, lost = await within(anext(events)), await within(anext(events))
        assert (up.state, lost.state) == (COMM_UP, COMM_LOST)
        assert (lost.association_id, lost.cause) == (identifier, b"out of service")


async def test_what_could_not_be_delivered_comes_back_with_its_context() -> None:
    async with (
        open_endpoint(LOCAL, events=[SendFailed]) as endpoint,
        joined(endpoint, **SMALL) as gone,
        joined(endpoint) as other,
    ):
        await stop_reading(gone.conn)
        sent = [b"%d " % context + bytes(1000) for context in range(30)]
        for context, data in enumerate(sent):
            await endpoint.send(data, to=gone.id, stream=context % 10, ppid=context, context=context)
        await endpoint.send(b"delivered", to=other.id, context=77)
        assert (await other.conn.receive()).data == b"delivered"
        await gone.conn.abort()
        events = endpoint.events(SendFailed)
        failed: list[SendFailed] = []
        while not failed or failed[-1].context != 29:
            failed.append(await within(anext(events)))
        # What the peer acknowledged was delivered; the rest, each once, was not.
        assert 1 < len(failed) < 30
        # In order within a stream.
        for stream in range(10):
            contexts = [event.context for event in failed if event.stream == stream]
            assert contexts == list(range(stream, 30, 10))[-len(contexts) :] or not contexts
        assert {event.context for event in failed} == set(range(30 - len(failed), 30))
        for event in failed:
            assert event.association_id == gone.id
            assert event.data == sent[event.context]
            assert (event.stream, event.ppid) == (event.context % 10, event.context)
            assert not event.unordered
        assert not failed[-1].sent


async def test_a_subscription_holds_from_its_call_until_it_is_closed() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        events, others = endpoint.events(SenderDry), endpoint.events(SenderDry)
        # Subscribing while all is acknowledged gives one at once.
        for _ in range(2):
            await within(anext(events))
        await endpoint.send(b"x", to=peer.id)
        assert (await within(anext(events))).association_id == peer.id
        async with joined(endpoint) as late:
            # Of associations to come, too.
            await endpoint.send(b"x", to=late.id)
            while (await within(anext(events))).association_id != late.id:
                pass
            await events.aclose()
            assert [event async for event in events] == []
            await endpoint.send(b"y", to=peer.id)
            await within(_until_from(others, late.id, then=peer.id))
            await others.aclose()
            for some in (peer, late):
                await some.conn.receive()
            await settled(lambda: endpoint.statistics().wakeups)
            before = endpoint.statistics().wakeups
            for some in (peer, late):
                await endpoint.send(b"z", to=some.id)
            # The acknowledgements came, and no event woke this side.
            await asyncio.gather(*(some.conn.receive() for some in (late,)))
            await settled(lambda: len(associations()))
            assert endpoint.statistics().wakeups == before


async def _until_from(events: Any, first: int, *, then: int) -> None:
    while (await anext(events)).association_id != first:
        pass
    while (await anext(events)).association_id != then:
        pass


# Options


async def test_an_option_is_for_associations_to_come_unless_one_is_named() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        default = endpoint.get_option(RtoInfo).initial
        endpoint.set_option(RtoInfo(initial=0.4, minimum=0.2))
        assert endpoint.get_option(RtoInfo).initial == 0.4
        assert endpoint.get_option(RtoInfo, association=Scope.FUTURE).initial == 0.4
        for peer in (one, two):
            assert endpoint.get_option(RtoInfo, association=peer.id).initial == default
        endpoint.set_option(RtoInfo(initial=0.8, minimum=0.2), association=one.id)
        assert endpoint.get_option(RtoInfo, association=one.id).initial == 0.8
        assert endpoint.get_option(RtoInfo, association=two.id).initial == default
        assert endpoint.get_option(RtoInfo).initial == 0.4
        async with joined(endpoint) as three:
            assert endpoint.get_option(RtoInfo, association=three.id).initial == 0.4


DELAYS: list[DelayedSack] = [DelayedSack(delay=0.4, frequency=3), DelayedSack(delay=0.4)]


@pytest.mark.parametrize("value", DELAYS, ids=["all fields", "a field left out"])
@pytest.mark.parametrize("scope", list(Scope))
async def test_an_option_of_a_scope(scope: Scope, value: DelayedSack) -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        default = endpoint.get_option(DelayedSack)
        assert default.delay != 0.4
        expected = DelayedSack(0.4, value.frequency or default.frequency)
        endpoint.set_option(value, association=scope)
        now = default if scope is Scope.FUTURE else expected
        for peer in (one, two):
            assert endpoint.get_option(DelayedSack, association=peer.id) == now
        coming = default if scope is Scope.CURRENT else expected
        assert endpoint.get_option(DelayedSack) == coming
        async with joined(endpoint) as three:
            assert endpoint.get_option(DelayedSack, association=three.id) == coming


async def test_a_scope_that_an_option_does_not_take_is_said() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        before = endpoint.get_option(RtoInfo), endpoint.get_option(RtoInfo, association=peer.id)
        full = RtoInfo(initial=0.4, maximum=1.0, minimum=0.2)
        for scope in (Scope.CURRENT, Scope.ALL):
            for value in (full, RtoInfo(initial=0.4)):
                with pytest.raises(ValueError, match=rf"RtoInfo.*{scope.name}.*FUTURE"):
                    endpoint.set_option(value, association=scope)
            with pytest.raises(ValueError, match=scope.name):
                endpoint.get_option(RtoInfo, association=scope)
        assert (endpoint.get_option(RtoInfo), endpoint.get_option(RtoInfo, association=peer.id)) == before


async def test_options_of_the_constructor_are_what_associations_start_with() -> None:
    async with (
        open_endpoint(LOCAL, options=[NoDelay(False), RtoInfo(initial=0.4, minimum=0.2)]) as endpoint,
        open_endpoint(LOCAL) as peer,
    ):
        assert endpoint.get_option(NoDelay).enabled is False
        assert peer.get_option(NoDelay).enabled is True
        identifier = await within(endpoint.connect(peer.local_addresses))
        assert endpoint.get_option(RtoInfo, association=identifier).initial == 0.4


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
        await stop_reading(stalled.conn)
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


# Ending one


async def test_shutdown_delivers_what_is_queued_and_leaves_the_others() -> None:
    async with (
        open_endpoint(LOCAL, options=QUICK) as endpoint,
        joined(endpoint, **SMALL) as one,
        joined(endpoint) as two,
    ):
        await stop_reading(one.conn)
        sent = [b"%d " % number + bytes(1000) for number in range(30)]
        for data in sent:
            await endpoint.send(data, to=one.id)
        ending = asyncio.create_task(endpoint.shutdown(one.id))
        with pytest.raises(AssociationError):
            while True:
                # Nothing more is taken from the moment that it begins.
                await asyncio.sleep(0)
                await endpoint.send(b"late", to=one.id)
        await asyncio.sleep(0.05)
        assert not ending.done()
        read_again(one.conn)
        assert [message.data async for message in one.conn] == sent
        await within(ending)
        assert endpoint.associations == (two.id,)
        await endpoint.send(b"goes on", to=two.id)
        assert (await two.conn.receive()).data == b"goes on"
        await two.conn.send(b"both ways")
        assert (await within(endpoint.receive())).data == b"both ways"


async def test_a_cancelled_shutdown_aborts() -> None:
    async with open_endpoint(LOCAL, options=QUICK) as endpoint, joined(endpoint, **SMALL) as peer:
        await stop_reading(peer.conn)
        for _ in range(10):
            await endpoint.send(bytes(1_000), to=peer.id)
        ending = asyncio.create_task(endpoint.shutdown(peer.id))
        await asyncio.sleep(0.05)
        assert not ending.done()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert endpoint.associations == ()
        read_again(peer.conn)
        with pytest.raises(AssociationAbortedError):
            async for _ in peer.conn:
                pass


async def test_an_abort_carries_its_cause_and_leaves_the_others() -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as one, joined(endpoint) as two:
        await endpoint.abort(one.id, b"go away")
        assert endpoint.associations == (two.id,)
        with pytest.raises(AssociationAbortedError) as caught:
            await within(one.conn.receive())
        assert caught.value.cause == b"go away"
        await endpoint.send(b"goes on", to=two.id)
        assert (await two.conn.receive()).data == b"goes on"


def calls(endpoint: Endpoint, identifier: int) -> list[Callable[[], object]]:
    """Everything that takes the number of an association."""
    return [
        lambda: endpoint.send(b"x", to=identifier),
        lambda: endpoint.shutdown(identifier),
        lambda: endpoint.abort(identifier),
        lambda: endpoint.peel_off(identifier),
        lambda: endpoint.peer_addresses(identifier),
        lambda: endpoint.get_option(RtoInfo, association=identifier),
        lambda: endpoint.set_option(RtoInfo(initial=1.0), association=identifier),
        lambda: endpoint.set_option(RtoInfo(1.0, 2.0, 0.5), association=identifier),
    ]


async def check_unknown(endpoint: Endpoint, identifier: int) -> None:
    """Every call says that there is no such association, by its number."""
    # FUTURE, CURRENT and ALL are no associations, but options take them.
    among = calls(endpoint, identifier)[: 5 if identifier in tuple(Scope) else None]
    for call in among:
        with pytest.raises(AssociationError, match=rf"association {identifier}\b"):
            await within(_call(call))


@pytest.mark.parametrize("identifier", [-1, 0, 1, 2, 999_999, 2**31 - 1, 2**40])
async def test_the_number_of_no_association_is_an_error_everywhere(identifier: int) -> None:
    async with open_endpoint(LOCAL) as endpoint, joined(endpoint) as peer:
        await check_unknown(endpoint, identifier)
        await endpoint.send(b"fine", to=peer.id)
        assert (await peer.conn.receive()).data == b"fine"


async def test_the_number_of_an_ended_association_is_an_error_everywhere() -> None:
    async with open_endpoint(LOCAL) as endpoint:
        for end in ("close", "abort"):
            async with joined(endpoint) as peer:
                await getattr(peer.conn, end)()
                await until(lambda: not endpoint.associations)
                await check_unknown(endpoint, peer.id)
        async with joined(endpoint) as peer:
            await within(endpoint.shutdown(peer.id))
            await check_unknown(endpoint, peer.id)
        async with joined(endpoint) as peer:
            await endpoint.abort(peer.id)
            # At once, before its event was read.
            await check_unknown(endpoint, peer.id)
        # Numbers of other sockets are no numbers here.
        async with open_endpoint(LOCAL) as other, joined(other) as peer:
            await check_unknown(endpoint, peer.id)
            await other.send(b"fine", to=peer.id)
            assert (await peer.conn.receive()).data == b"fine"


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_end_that_was_not_yet_told_is_an_error_too(end: str) -> None:
    told = EndOfAssociation if end == "close" else AssociationAbortedError
    errors = [told, None, None, told, OSError, OSError, OSError, OSError]
    async with open_endpoint(LOCAL) as endpoint:
        for number, error in enumerate(errors):
            async with joined(endpoint) as peer:
                await peer.conn.send(b"before the end")
                await unread(endpoint, 1)
                await stop_reading(endpoint)
                await within(getattr(peer.conn, end)())
                await until(lambda: not associations() and not alive(endpoint._raw, peer.id))
                result = calls(endpoint, peer.id)[number]
                if error is None:
                    # A shutdown or an abort has what it wants.
                    ending = asyncio.create_task(_call(result))
                    await asyncio.sleep(0)
                    read_again(endpoint)
                    await asyncio.gather(within(ending), return_exceptions=end == "abort")
                else:
                    with pytest.raises(error):
                        await within(_call(result))
                    read_again(endpoint)
                await until(lambda: not endpoint.associations)
                await check_unknown(endpoint, peer.id)
                assert (await within(endpoint.receive())).data == b"before the end"


async def _call(call: Callable[[], object]) -> None:
    result = call()
    if inspect.isawaitable(result):
        await result


# Bounds


async def test_what_is_unread_is_bounded_in_total_and_reading_goes_on_when_it_is_read() -> None:
    quick: dict[str, Any] = {"options": QUICK}
    async with (
        open_endpoint(
            LOCAL, receive_buffer=64 * KIB, options=[ReceiveBuffer(64 * KIB), DelayedSack(frequency=1)]
        ) as endpoint,
        joined(endpoint, **quick) as one,
        joined(endpoint, **quick) as two,
        joined(endpoint, **quick) as three,
    ):
        peers = (one, two, three)

        async def flood(peer: Peer) -> None:
            for number in range(40):
                await peer.conn.send(b"%d " % number + bytes(10 * KIB))

        bound = 64 * KIB + BATCH + 11 * KIB
        flooding = asyncio.gather(*map(flood, peers))
        await until(lambda: endpoint.statistics().reading_paused)
        await settled(lambda: [peer.conn.statistics().messages_sent for peer in peers])
        before = endpoint.statistics()
        assert before.reading_paused
        assert set(before.paused_by) <= {peer.id for peer in peers}
        assert 64 * KIB - 256 * before.unread_messages <= before.unread_bytes <= bound
        assert not flooding.done()
        await asyncio.sleep(0.3)
        assert endpoint.statistics() == before
        got: dict[int, list[int]] = {peer.id: [] for peer in peers}
        for _ in range(120):
            message = await within(endpoint.receive())
            got[message.association_id].append(int(message.data.split()[0]))
            assert endpoint.statistics().unread_bytes <= bound
        await flooding
        assert got == {peer.id: list(range(40)) for peer in peers}
        after = endpoint.statistics()
        assert (after.unread_messages, after.unread_bytes, after.reading_paused) == (0, 0, False)
        assert after.pauses >= 1


async def test_large_messages_of_several_associations_are_each_put_together() -> None:
    buffers: list[Option] = [
        ReceiveBuffer(100 * KIB),
        SendBuffer(400 * KIB),
        DelayedSack(frequency=1),
        *QUICK,
    ]
    random_ = random.Random(3)
    async with (
        open_endpoint(LOCAL, options=buffers) as endpoint,
        joined(endpoint, options=buffers) as one,
        joined(endpoint, options=buffers) as two,
        joined(endpoint, options=buffers) as three,
    ):
        peers = (one, two, three)
        sent = {
            p.id: [random_.randbytes(random_.randrange(150_000, 300_000)) for _ in range(3)] for p in peers
        }

        async def send(peer: Peer) -> None:
            for number, data in enumerate(sent[peer.id]):
                await peer.conn.send(data, stream=number, ppid=peer.id)
                await peer.conn.send(b"small", stream=5)

        mixed = False
        sending = asyncio.gather(*map(send, peers))
        got: dict[int, list[bytes]] = {peer.id: [] for peer in peers}
        smalls = 0
        while sum(map(len, got.values())) < 9 or smalls < 9:
            message = await within(endpoint.receive())
            members = endpoint._many.members.values()
            mixed = mixed or sum(link.association.has_partial for link in members) > 1
            if message.data == b"small":
                smalls += 1
            else:
                assert message.ppid == message.association_id
                got[message.association_id].append(message.data)
        await sending
        assert got == sent
        # Else this shows nothing.
        assert mixed


@pytest.mark.parametrize("size", [50_001, 300_000], ids=["whole", "in parts"])
async def test_a_message_that_is_too_large_ends_its_association_alone(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    buffers: list[Option] = [ReceiveBuffer(100 * KIB), SendBuffer(400 * KIB)]
    async with (
        open_endpoint(LOCAL, options=buffers, max_message_size=50_000) as endpoint,
        joined(endpoint, options=buffers) as bad,
        joined(endpoint, options=buffers) as good,
    ):
        events = endpoint.events(AssociationChange)
        await bad.conn.send(b"before")
        await unread(endpoint, 1)
        await bad.conn.send(bytes(size))
        with pytest.raises(AssociationAbortedError) as caught:
            await within(bad.conn.receive())
        assert caught.value.cause == b"message too large"
        assert await states(events, 1) == [(bad.id, COMM_LOST)]
        await good.conn.send(bytes(50_000))
        assert (await within(endpoint.receive())).data == b"before"
        assert len((await within(endpoint.receive())).data) == 50_000
        assert endpoint.associations == (good.id,)
        await check_unknown(endpoint, bad.id)
        await endpoint.send(b"goes on", to=good.id)
        assert (await good.conn.receive()).data == b"goes on"
    assert "too large" in caplog.text


@asynccontextmanager
async def full(endpoint: Endpoint) -> AsyncIterator[Peer]:
    """Let one peer fill the endpoint's receive buffer."""
    async with joined(endpoint) as peer:

        async def flood() -> None:
            while True:
                await peer.conn.send(bytes(5_000), stream=4)

        flooding = asyncio.create_task(flood())
        try:
            await until(lambda: endpoint.statistics().reading_paused)
            yield peer
        finally:
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)


WAITS: dict[str, Callable[[Endpoint, int, Address], Any]] = {
    "shutdown": lambda endpoint, identifier, _: endpoint.shutdown(identifier),
    "connect": lambda endpoint, _, address: endpoint.connect(address),
    "send": lambda endpoint, _, address: endpoint.send(b"x", to=address),
    "events": lambda endpoint, _1, _2: anext(endpoint.events(AssociationChange)),
}


@pytest.mark.parametrize("wait", WAITS)
async def test_what_waits_while_nobody_empties_the_full_buffer_does_not_hang(wait: str) -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)]) as endpoint,
        open_endpoint(LOCAL) as other,
        joined(endpoint) as quiet,
    ):
        async with full(endpoint):
            with pytest.raises(ReceiveBufferFullError) as caught:
                await within(WAITS[wait](endpoint, quiet.id, other.local_addresses))
            assert caught.value.streams == (4,)
            assert caught.value.limit == 32 * KIB


@pytest.mark.parametrize("wait", ["shutdown", "connect", "send"])
async def test_what_waits_while_the_buffer_is_full_goes_on_when_it_is_read(wait: str) -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)]) as endpoint,
        open_endpoint(LOCAL) as other,
        joined(endpoint) as quiet,
    ):
        async with full(endpoint):
            waiting = asyncio.create_task(WAITS[wait](endpoint, quiet.id, other.local_addresses))
            while not waiting.done():
                await within(endpoint.receive())
                await asyncio.sleep(0)
            await waiting


async def test_aborting_the_association_that_filled_the_buffer_lets_the_others_go_on() -> None:
    async with (
        open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)]) as endpoint,
        joined(endpoint) as quiet,
    ):
        async with full(endpoint) as flooder:
            await endpoint.abort(flooder.id)
            await within(endpoint.shutdown(quiet.id))
            with pytest.raises(EndOfAssociation):
                await quiet.conn.receive()


# Closing


async def test_closing_shuts_all_down_gracefully_and_waits() -> None:
    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with (
        joined(endpoint, **SMALL) as one,
        joined(endpoint, **SMALL) as two,
    ):
        sent = [b"%d " % number + bytes(1000) for number in range(15)]
        for peer in (one, two):
            await stop_reading(peer.conn)
            for data in sent:
                await endpoint.send(data, to=peer.id)
        await one.conn.send(b"never read")
        closing = asyncio.create_task(endpoint.close())
        again = asyncio.create_task(endpoint.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        read_again(one.conn)
        assert [message.data async for message in one.conn] == sent
        await asyncio.sleep(0.05)
        assert not closing.done()
        read_again(two.conn)
        assert [message.data async for message in two.conn] == sent
        await within(closing)
        await within(again)
    assert endpoint.fileno() == -1
    assert endpoint.associations == ()
    await within(endpoint.close())


async def test_closing_a_full_endpoint_completes() -> None:
    endpoint = await open_endpoint(LOCAL, receive_buffer=32 * KIB, options=[ReceiveBuffer(64 * KIB)])
    async with joined(endpoint) as quiet, full(endpoint) as peer:
        await within(endpoint.close())
        with pytest.raises(EndOfAssociation):
            await within(peer.conn.receive())
        with pytest.raises(EndOfAssociation):
            await within(quiet.conn.receive())


async def test_a_cancelled_close_aborts_what_is_left() -> None:
    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with joined(endpoint, **SMALL) as stuck, joined(endpoint) as fine:
        await stop_reading(stuck.conn)
        for _ in range(10):
            await endpoint.send(bytes(1_000), to=stuck.id)
        closing = asyncio.create_task(endpoint.close())
        with pytest.raises(EndOfAssociation):
            await within(fine.conn.receive())
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert endpoint.fileno() == -1
        assert endpoint.associations == ()
        read_again(stuck.conn)
        with pytest.raises(AssociationAbortedError):
            async for _ in stuck.conn:
                pass


async def test_closing_wakes_everybody_here() -> None:
    async def all_messages() -> list[bytes]:
        return [message.data async for message in endpoint]

    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with joined(endpoint, **SMALL) as peer, open_endpoint(LOCAL) as other:
        await stop_reading(peer.conn)
        await peer.conn.send(b"one")
        await unread(endpoint, 1)
        iterating = asyncio.create_task(all_messages())
        await until(lambda: endpoint.statistics().unread_messages == 0)
        receiving = [asyncio.create_task(endpoint.receive()) for _ in range(3)]
        flood = [asyncio.create_task(endpoint.send(bytes(1_000), to=peer.id)) for _ in range(400)]
        await until(lambda: endpoint.statistics().waiting_senders > 0)
        await stop_reading(endpoint)
        connecting = asyncio.create_task(endpoint.connect(other.local_addresses))
        await asyncio.sleep(0)
        closing = asyncio.create_task(endpoint.close())
        # Nothing of the peer has to be read for that.
        await until(connecting.done)
        read_again(endpoint)
        for task in (*receiving, connecting):
            with pytest.raises(ClosedError):
                await within(task)
        assert await within(iterating) == [b"one"]
        results = await within(asyncio.gather(*flood, return_exceptions=True))
        assert {type(result) for result in results} == {type(None), ClosedError}
        read_again(peer.conn)
        received = [len(message.data) async for message in peer.conn]
        await within(closing)
        assert received == [1_000] * sum(result is None for result in results)


async def test_a_closed_endpoint_says_so() -> None:
    async with open_endpoint(LOCAL) as endpoint:
        pass
    for call in (
        endpoint.receive,
        lambda: endpoint.send(b"x", to=NOBODY),
        lambda: endpoint.send(b"x", to=3),
        lambda: endpoint.connect(NOBODY),
        lambda: endpoint.broadcast(b"x"),
    ):
        with pytest.raises(ClosedError, match="endpoint"):
            await within(call())
    with pytest.raises(ClosedError, match="endpoint"):
        endpoint.get_option(RtoInfo)
    with pytest.raises(ClosedError, match="endpoint"):
        endpoint.set_option(RtoInfo(initial=1.0))
    for identifier in (3, 999_999):
        await check_ended_or_closed(endpoint, identifier)
    assert [message async for message in endpoint] == []
    assert [event async for event in endpoint.events(AssociationChange)] == []
    assert endpoint.associations == ()
    assert endpoint.statistics().associations == 0


async def check_ended_or_closed(endpoint: Endpoint, identifier: int) -> None:
    """Every call that takes a number raises, and ClosedError is an AssociationError."""
    for call in calls(endpoint, identifier):
        with pytest.raises(AssociationError):
            await within(_call(call))


async def test_an_exception_that_leaves_the_block_aborts_all() -> None:
    with pytest.raises(LookupError):
        async with open_endpoint(LOCAL) as endpoint:
            clients = [await connect(endpoint.local_addresses) for _ in range(3)]
            await until(lambda: len(endpoint.associations) == 3)
            raise LookupError
    assert endpoint.fileno() == -1
    for client in clients:
        with pytest.raises(AssociationAbortedError):
            await within(client.receive())


async def test_a_new_peer_is_refused_while_an_endpoint_closes() -> None:
    endpoint = await open_endpoint(LOCAL, options=QUICK)
    async with joined(endpoint, **SMALL) as stuck:
        await stop_reading(stuck.conn)
        for _ in range(10):
            await endpoint.send(bytes(1_000), to=stuck.id)
        address = endpoint.local_addresses
        closing = asyncio.create_task(endpoint.close())
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await within(connect(address))
        read_again(stuck.conn)
        assert [len(message.data) async for message in stuck.conn] == [1_000] * 10
        await within(closing)


async def test_an_endpoint_that_is_forgotten_warns_and_is_released() -> None:
    endpoint = await open_endpoint(LOCAL)
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Endpoint open") as caught:
        del endpoint
        gc.collect()
    assert isinstance(caught[0].source, Endpoint)
    del caught
    assert descriptor_count() == before - PER_SOCKET


@pytest.mark.parametrize("where", ["here", "in another thread"])
async def test_an_endpoint_forgotten_with_its_associations_ends_them(where: str) -> None:
    holder = [await open_endpoint(LOCAL)]
    clients = [await connect(holder[0].local_addresses) for _ in range(2)]
    await until(lambda: len(holder[0].associations) == 2)
    await holder[0].send(b"the last word", to=holder[0].associations[0])
    before = descriptor_count()
    with pytest.warns(ResourceWarning, match="unclosed <sctpio.Endpoint open"):
        if where == "here":
            holder.clear()
        else:
            thread = threading.Thread(target=holder.clear)
            thread.start()
            thread.join()
        gc.collect()
    await asyncio.sleep(0)
    assert (await within(clients[0].receive())).data == b"the last word"
    for client in clients:
        with pytest.raises((EndOfAssociation, AssociationAbortedError)):
            await within(client.receive())
    await until(lambda: descriptor_count() == before - 3 * PER_SOCKET)


async def test_a_closed_endpoint_does_not_warn() -> None:
    endpoint = await open_endpoint(LOCAL)
    async with joined(endpoint):
        await within(endpoint.close())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del endpoint
        gc.collect()
