"""Messages that are given up (RFC 3758, RFC 7496), by the message's policy and by default."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kernel.extensions.analyst import DATA, FORWARD_TSN, INIT, INIT_ACK, UNRECOGNIZED, Analyst
from kernel.extensions.ends import STUBBORN, both, given_up
from kernel.lab import Lab, data_of, failures, joined
from sctpio import (
    AssociationChange,
    Conn,
    DefaultPrInfo,
    Message,
    Mode,
    PrPolicy,
    PrSupported,
    Scope,
    SendBuffer,
    SendFailed,
    connect,
)
from support import PATIENCE, Pair, until

# Timers of the kernel take their time on any loop.
pytestmark = pytest.mark.one_loop


@asynccontextmanager
async def outage(lab: Lab, **both_with: Any) -> AsyncIterator[Pair]:
    """Connect over a link that takes nothing from here until `lab.redirect`; no message is under way."""
    async with joined(lab, connect_with={"options": (*STUBBORN, *both_with.get("options", ()))}) as pair:
        await pair.client.send(b"before")
        assert await data_of(pair.server) == b"before"
        await pair.client.flush()
        lab.misdirect(lab.links[0])
        yield pair


async def test_lifetime(lab: Lab) -> None:
    """Messages that get too old are counted, sent and unsent apart, by stream.

    Those that never left come back as SendFailed. Of those that did Linux tells nothing but the counters.
    """
    async with outage(lab) as pair:
        client = pair.client
        events = client.events(SendFailed)
        # The window takes some of these; all the others wait.
        for number in range(20):
            await client.send(bytes(1400), stream=1 + number % 2, context=number, lifetime=0.1)
        await client.send(b"no policy", stream=3)
        await client.send(b"young", stream=3, lifetime=60)
        await until(lambda: sum(given_up(client)) == 20)
        unsent, sent = given_up(client, PrPolicy.LIFETIME)
        assert unsent + sent == 20
        assert unsent > 0
        assert sent > 0
        assert given_up(client) == (unsent, sent)
        for policy in (PrPolicy.RETRANSMISSIONS, PrPolicy.PRIORITY):
            assert given_up(client, policy) == (0, 0)
        by_stream = [given_up(client, PrPolicy.LIFETIME, sid) for sid in (1, 2, 3)]
        assert [sum(counts) for counts in by_stream] == [10, 10, 0]
        assert sum(counts[0] for counts in by_stream) == unsent
        lab.redirect(lab.links[0])
        assert [await data_of(pair.server) for _ in range(2)] == [b"no policy", b"young"]
        failed = await failures(events, unsent)
        assert [event.context for event in failed] == list(range(sent, 20))
        assert {(event.stream, len(event.data), event.sent) for event in failed} == {
            (1, 1400, False),
            (2, 1400, False),
        }
        assert pair.server.statistics().messages_received == 3


@pytest.mark.parametrize("most", [0, 2])
async def test_max_retransmissions(analyst: Analyst, lab: Lab, most: int) -> None:
    """A message is sent once and `max_retransmissions` times more, and then skipped."""
    async with outage(lab) as pair:
        client = pair.client
        port = client.local_addresses.port
        events = client.events(SendFailed)
        with analyst.look(lab.links[0].here) as seen:
            await client.send(b"given up", stream=1, ppid=60, context=7, max_retransmissions=most)
            await until(lambda: given_up(client) == (0, 1))
            lab.redirect(lab.links[0])
            await client.send(b"after", stream=1)
            assert await data_of(pair.server) == b"after"
        assert given_up(client, PrPolicy.RETRANSMISSIONS) == (0, 1)
        assert given_up(client, PrPolicy.RETRANSMISSIONS, 1) == (0, 1)
        assert given_up(client, PrPolicy.LIFETIME) == (0, 0)
        # As it was sent, Linux has no event for it.
        assert await failures(events, 0) == []
        assert pair.server.statistics().messages_received == 2
    tries = [
        chunk for chunk in seen if chunk.type == DATA and chunk.port == port and chunk["sctp.data_ssn"] == 0
    ]
    assert len(tries) == 1 + most


async def test_priority(lab: Lab) -> None:
    """Where there is no room, messages of lower priority (a higher number) make room; others stay."""
    async with outage(lab, options=(SendBuffer(size=20_000),)) as pair:
        client = pair.client
        events = client.events(SendFailed)
        kept = [b"kept %d" % number for number in range(3)]
        for data in kept:
            await client.send(data, stream=1)
        count = 0
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.2 * PATIENCE):
                    await client.send(bytes(1000), stream=2, priority=9)
                count += 1
        assert count > 10
        assert given_up(client) == (0, 0)
        important = b"important" * 100
        # What makes room may have been sent: that room is there when the peer knows that it is skipped.
        sending = asyncio.create_task(client.send(important, stream=3, priority=1))
        await until(lambda: sum(given_up(client)) > 0)
        lab.redirect(lab.links[0])
        await sending
        await client.flush()
        unsent, sent = given_up(client, PrPolicy.PRIORITY)
        assert 0 < unsent + sent < count
        assert given_up(client, PrPolicy.PRIORITY, 2) == given_up(client) == (unsent, sent)
        got = [await pair.server.receive() for _ in range(3 + count - unsent - sent + 1)]
        assert [message.data for message in got if message.stream == 1] == kept
        assert [message.data for message in got if message.stream == 3] == [important]
        # Linux has no event for what made room.
        assert await failures(events, 0) == []
        assert pair.server.statistics().messages_received == 1 + len(got)


SENDERS: dict[str, Callable[[Conn], Any]] = {
    "send": lambda conn: conn.send(b"x", stream=1),
    "send_many": lambda conn: conn.send_many([b"x", Message(b"y", stream=1), b"z"], stream=1),
    "Stream.send": lambda conn: conn.stream(1).send(b"x"),
}
SENT_BY = {"send": 1, "send_many": 3, "Stream.send": 1}


async def test_a_default_policy_counts_for_every_way_to_send(lab: Lab) -> None:
    """DefaultPrInfo is what `send`, `send_many` and `Stream.send` go by."""
    async with outage(lab) as pair:
        pair.client.set_option(DefaultPrInfo(max_retransmissions=0))
        expected = 0
        for by, send in SENDERS.items():
            await send(pair.client)
            expected += SENT_BY[by]
        await until(lambda: sum(given_up(pair.client, PrPolicy.RETRANSMISSIONS, 1)) == expected)
        lab.redirect(lab.links[0])
        pair.client.set_option(DefaultPrInfo())
        assert pair.client.get_option(DefaultPrInfo) == DefaultPrInfo()
        await pair.client.send(b"reliable", stream=1)
        assert await data_of(pair.server) == b"reliable"


@pytest.mark.parametrize(
    "default",
    [DefaultPrInfo(priority=20), DefaultPrInfo(max_retransmissions=20)],
    ids=["priority", "retransmissions"],
)
async def test_a_default_is_not_taken_for_a_lifetime(lab: Lab, default: DefaultPrInfo) -> None:
    """The kernel would take the number for milliseconds; what waits for longer than these is delivered."""
    async with outage(lab) as pair:
        pair.client.set_option(default)
        for send in SENDERS.values():
            await send(pair.client)
        await asyncio.sleep(0.1)
        lab.redirect(lab.links[0])
        for _ in range(sum(SENT_BY.values())):
            assert len(await data_of(pair.server)) == 1
        assert given_up(pair.client) == (0, 0)


async def test_a_policy_of_the_message_goes_before_the_default(lab: Lab) -> None:
    """`send` with a policy goes by that one."""
    async with outage(lab, options=(DefaultPrInfo(lifetime=0.05),)) as pair:
        await pair.client.send(b"stays", stream=1, max_retransmissions=1000)
        await pair.client.send(b"goes", stream=2)
        await until(lambda: sum(given_up(pair.client, PrPolicy.LIFETIME, 2)) == 1)
        lab.redirect(lab.links[0])
        assert await data_of(pair.server) == b"stays"
        assert given_up(pair.client, PrPolicy.ALL, 1) == (0, 0)


DEFAULT = DefaultPrInfo(lifetime=0.05)


async def gives_up(lab: Lab, conn: Conn) -> bool:
    """Whether a conn of the other end has DEFAULT; what it sends arrives nowhere or late."""
    assert conn.get_option(DefaultPrInfo) in (DEFAULT, DefaultPrInfo())
    before = given_up(conn)
    lab.netem("loss 100%", lab.links[0], here=False)
    await conn.send(b"to be given up", stream=1)
    await asyncio.sleep(0.1)
    lab.netem("loss 0%", lab.links[0], here=False)
    await conn.send(b"reliable", stream=2, max_retransmissions=1000)
    await conn.flush()
    return given_up(conn) != before


@pytest.mark.parametrize("mode", Mode)
async def test_a_default_policy_of_a_listener(lab: Lab, mode: Mode) -> None:
    """In `options=`, or set on the listener, it is that of associations to come."""
    async with lab.listen(lab.links[0].remote, options=(*STUBBORN, DEFAULT), mode=mode) as listener:
        for expected in (True, False, True):
            listener.set_option(DEFAULT if expected else DefaultPrInfo())
            async with connect(listener.local_addresses) as client:
                server = await listener.accept()
                assert await gives_up(lab, server) is expected
                await server.abort()
                await client.wait_closed()


@pytest.mark.parametrize(
    ("scope", "now", "later"),
    [(Scope.FUTURE, False, True), (Scope.CURRENT, True, False), (Scope.ALL, True, True)],
)
async def test_scopes_of_a_default_policy(lab: Lab, scope: Scope, now: bool, later: bool) -> None:
    """Scope says whether it counts for the associations that there are, for those to come, or both."""
    options = {"options": STUBBORN, "mode": Mode.ONE_TO_MANY}
    async with lab.listen(lab.links[0].remote, **options) as listener:
        async with connect(listener.local_addresses) as first:
            server = await listener.accept()
            listener.set_option(DEFAULT, association=scope)
            assert await gives_up(lab, server) is now
            async with connect(listener.local_addresses) as second:
                newer = await listener.accept()
                assert await gives_up(lab, newer) is later
                await newer.abort()
                await second.wait_closed()
            await server.abort()
            await first.wait_closed()


async def test_a_default_policy_survives_being_handed_over(lab: Lab) -> None:
    """A descriptor that was detached and adopted has the policy, and not its number as a lifetime."""
    async with lab.listen(lab.links[0].remote, options=STUBBORN) as listener:
        client = await connect(listener.local_addresses, options=(*STUBBORN, DefaultPrInfo(priority=20)))
        server = await listener.accept()
        async with await Conn.from_fd(client.detach()) as adopted:
            assert adopted.get_option(DefaultPrInfo) == DefaultPrInfo(priority=20)
            lab.misdirect(lab.links[0])
            await adopted.send(b"delivered")
            await asyncio.sleep(0.1)
            lab.redirect(lab.links[0])
            await adopted.send(b"next", lifetime=60)
            assert await data_of(server) == b"delivered"
        await server.wait_closed()


async def test_a_default_policy_that_is_taken_back_before_accept(lab: Lab) -> None:
    """Begun while it was set, accepted when it was not: messages are not given up unasked."""
    async with lab.listen(lab.links[0].remote, options=(*STUBBORN, DefaultPrInfo(priority=20))) as listener:
        async with connect(listener.local_addresses, events=[AssociationChange]) as client:
            listener.set_option(DefaultPrInfo())
            server = await listener.accept()
            lab.netem("loss 100%", lab.links[0], here=False)
            await server.send(b"delivered")
            await asyncio.sleep(0.1)
            lab.netem("loss 0%", lab.links[0], here=False)
            await server.send(b"next", lifetime=60)
            assert await data_of(client) == b"delivered"
            await server.abort()
            await client.wait_closed()


@pytest.mark.parametrize("without", ["listen_with", "connect_with"])
async def test_partial_reliability_at_one_end_only(analyst: Analyst, lab: Lab, without: str) -> None:
    """Where one end is without it messages are delivered however old they are, and nothing is counted."""
    off = {without: {"options": (*STUBBORN, PrSupported(False))}}
    with analyst.look(lab.links[0].here) as seen:
        async with joined(lab, **{**both(*STUBBORN), **off}) as pair:
            for conn in (pair.client, pair.server):
                assert conn.get_option(PrSupported) == PrSupported(False)
            lab.misdirect(lab.links[0])
            await pair.client.send(b"old", lifetime=0.01)
            await pair.client.send(b"tried", max_retransmissions=0)
            await asyncio.sleep(0.1)
            lab.redirect(lab.links[0])
            assert [await data_of(pair.server) for _ in range(2)] == [b"old", b"tried"]
            assert given_up(pair.client) == (0, 0)
    init, answer = [chunk.all("sctp.parameter_type") for chunk in seen if chunk.type in (INIT, INIT_ACK)]
    assert (FORWARD_TSN in init) is (without == "listen_with")
    # The answer does not offer it: it says that this parameter was not recognised.
    assert (FORWARD_TSN in answer) is (UNRECOGNIZED in answer) is (without == "listen_with")
