"""Observers: what they are told, and that they harm nobody."""

import asyncio
import logging
from typing import Any

import pytest

from sctpio import Address, AssociationChange, Event, InitMsg, Message, NoDelay, Option, Ppid
from sctpio._loop.association import Association
from sctpio._loop.sending import Sender
from sctpio.observer import Observed, Sent, State, observe
from support import STACK, connected, until, within

pytestmark = pytest.mark.both_modes


class Notes:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Observed, str, Any]] = []

    def message_sent(self, association: Observed, message: Sent) -> None:
        self.told.append((association, "sent", message))

    def message_received(self, association: Observed, message: Message) -> None:
        self.told.append((association, "received", message))

    def event(self, association: Observed, event: Event) -> None:
        self.told.append((association, "event", event))

    def state(self, association: Observed, state: State, end: Exception | None) -> None:
        self.told.append((association, "state", (state, end)))

    def option(self, association: Observed, option: Option, *, was_set: bool) -> None:
        self.told.append((association, "option", (option, was_set)))

    def of(self, kind: str) -> list[Any]:
        return [what for _, each, what in self.told if each == kind]


async def test_messages_of_both_ends() -> None:
    notes = Notes()
    with observe(notes):
        async with connected() as (client, server, _):
            await client.send(b"plain", stream=1, ppid=60)
            await client.send(bytearray(b"full"), unordered=True, lifetime=60.0)
            await client.send_many([b"one", b"two"], stream=2)
            await client.send(b"named", ppid=Ppid.NGAP)
            got = [await within(server.receive()) for _ in range(5)]
            assert notes.of("received") == got
            assert notes.of("sent") == [
                (b"plain", 1, 60, False),
                (b"full", 0, 0, True),
                (b"one", 2, 0, False),
                (b"two", 2, 0, False),
                (b"named", 0, 60, False),
            ]
            whose = {kind: who for who, kind, _ in notes.told}
            assert whose["sent"].peer == client.peer_addresses
            assert whose["sent"].id == client.association_id
            assert whose["sent"].stack == STACK
            assert whose["received"].number != whose["sent"].number
            # One that was joined of several parts.
            await client.send(bytes(100_000))
            message = await within(server.receive())
            assert notes.of("received")[-1] is message
            assert len(message.data) == 100_000


async def test_messages_that_wait_for_space_are_told_when_they_are_sent() -> None:
    notes = Notes()
    async with connected() as (client, server, _):
        with observe(notes):
            sending = asyncio.create_task(client.send_many([bytes(50_000)] * 100))
            await until(lambda: client.statistics().waiting_senders == 1)
            assert len(notes.of("sent")) == client.statistics().messages_sent < 100
            for _ in range(100):
                await within(server.receive())
            await within(sending)
            assert len(notes.of("sent")) == 100


async def test_the_life_of_an_association() -> None:
    notes = Notes()
    with observe(notes):
        async with connected() as (client, server, _):
            await client.close()
            await until(lambda: server.is_closed)
    whose = {who.number for who, *_ in notes.told}
    assert len(whose) == 2
    for number in whose:
        steps = [what[0] for who, kind, what in notes.told if kind == "state" and who.number == number]
        assert steps[0] is State.UP
        assert steps[-1] is State.OVER
        assert set(steps) & {State.CLOSING, State.SHUT_DOWN_BY_PEER}
    ends = [end for state, end in notes.of("state") if state is State.OVER]
    assert all(isinstance(end, Exception) for end in ends)
    assert any(isinstance(event, AssociationChange) for event in notes.of("event"))


async def test_the_options_of_an_association_that_is_set_up() -> None:
    notes = Notes()
    init = InitMsg(max_attempts=3)
    with observe(notes):
        async with connected(connect_with={"init": init, "options": [NoDelay(False)]}):
            assert notes.of("option") == [(init, True), (NoDelay(False), True)]


async def test_options() -> None:
    notes = Notes()
    async with connected() as (client, _, _):
        with observe(notes):
            client.set_option(NoDelay(False))
            assert client.get_option(NoDelay) == NoDelay(False)
        assert notes.of("option") == [(NoDelay(False), True), (NoDelay(False), False)]


async def test_an_observer_comes_and_goes_while_an_association_lives() -> None:
    notes = Notes()
    async with connected() as (client, server, _):
        await client.send(b"before")
        observation = observe(notes)
        await client.send(b"while")
        observation.close()
        await client.send(b"after")
        assert [message.data for message in notes.of("sent")] == [b"while"]
        assert [(await within(server.receive())).data for _ in range(3)] == [b"before", b"while", b"after"]
        # Nothing is left of it.
        assert type(client._sender) is Sender
        assert type(client._sender.association) is Association


async def test_an_observer_that_is_given_twice_is_told_until_the_last_ends() -> None:
    notes = Notes()
    async with connected() as (client, _, _):
        with observe(notes):
            with observe(notes, messages=False):
                pass
            await client.send(b"still")
            assert notes.of("sent") == [(b"still", 0, 0, False)]
        assert type(client._sender) is Sender
        assert type(client._sender.association) is Association


async def test_two_observers_are_told_alike() -> None:
    one, other = Notes(), Notes()
    with observe(one), observe(other):
        async with connected() as (client, server, _):
            await client.send(b"x")
            await within(server.receive())
    assert one.told == other.told != []


async def test_an_observer_that_raises_is_logged_and_told_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Notes):
        def message_sent(self, association: Observed, message: Sent) -> None:
            raise LookupError("of its own")

    good = Notes()
    with caplog.at_level(logging.ERROR), observe(Broken()), observe(good):
        async with connected() as (client, server, _):
            for text in (b"1", b"2"):
                await client.send(text)
                assert (await within(server.receive())).data == text
    assert [record.name for record in caplog.records] == ["sctpio.observer"]
    assert len(good.of("sent")) == 2


@pytest.mark.parametrize("method", ["event", "state"])
async def test_one_that_raises_at_any_step_harms_nothing(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Notes):
        """Raises where the test says."""

    def fail(*_: object) -> None:
        raise LookupError("of its own")

    setattr(Broken, method, fail)
    with caplog.at_level(logging.ERROR, "sctpio.observer"), observe(Broken()):
        async with connected() as (client, server, _):
            await client.send(b"x")
            assert (await within(server.receive())).data == b"x"
    assert [record.name for record in caplog.records] == ["sctpio.observer"]


async def test_an_observer_may_go_while_it_is_told() -> None:
    class Leaving(Notes):
        def message_sent(self, association: Observed, message: Sent) -> None:
            super().message_sent(association, message)
            observation.close()

    leaving = Leaving()
    observation = observe(leaving)
    async with connected() as (client, server, _):
        await client.send_many([b"1", b"2"])
        await client.send(b"3")
        assert [(await within(server.receive())).data for _ in range(3)] == [b"1", b"2", b"3"]
    assert len(leaving.of("sent")) == 1


async def test_who_is_observed_is_told_by_its_peer() -> None:
    notes = Notes()
    with observe(notes):
        async with connected() as (client, server, _):
            peers = {who.peer for who, kind, what in notes.told if kind == "state"}
            assert {client.peer_addresses.port, server.peer_addresses.port} == {each.port for each in peers}
            assert all(isinstance(peer, Address) for peer in peers)
