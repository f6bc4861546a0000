"""Attempts to connect: who was the last to wait, and refusals told from silence by the time they took."""

import asyncio
import errno
from typing import cast

import pytest

from pure.loop.scripted import Script, change
from sctpio import Address, AssociationLostError, AssociationState, ErrorCause, InitMsg, RtoInfo
from sctpio._loop.association import Association
from sctpio._loop.attempts import Attempts
from sctpio._loop.event_stream import EventHub
from sctpio._loop.unread import Unread
from sctpio.stacks.base import StackSocket

pytestmark = pytest.mark.one_loop

CANT = AssociationState.CANT_STR_ASSOC


class Bench:
    """An attempt of number 3 that began at 1000.0."""

    def __init__(self, hosts: tuple[str, ...] = ("10.0.0.1",)) -> None:
        self.script = Script()
        self.attempts = Attempts(cast("StackSocket", self.script))
        loop = asyncio.get_running_loop()
        self.association = Association(
            loop, unread=Unread(loop, 1_000), max_message_size=1_000, hub=EventHub(loop)
        )
        self.association.id = 3
        self.association.peer = Address(hosts, 5)
        self.attempts.begin(3, 1_000.0)

    def ended(self, after: float, state: AssociationState = CANT, *, told: bool = False) -> Exception:
        error = ErrorCause.USER_INITIATED_ABORT if told else ErrorCause.NO_ERROR
        return self.attempts.ended(self.association, change(3, state, error), 1_000.0 + after)


async def test_an_attempt_is_stopped_by_the_last_that_waits_unless_somebody_has_it() -> None:
    bench = Bench()
    attempts = bench.attempts
    for _ in range(3):
        attempts.enter(3)
    assert [attempts.leave(3) for _ in range(3)] == [False, False, True]
    # Nothing stays of it: a socket may have any number of attempts in its life.
    assert not attempts._waiting
    attempts.enter(3)
    attempts.forget(3)
    assert 3 not in attempts
    assert not attempts.leave(3)
    attempts.forget(3)
    bench.script.close()


@pytest.mark.parametrize(
    ("init", "initial", "hosts", "patience"),
    [
        # 1 + 2 + 4 + 8: the first try and three more.
        (InitMsg(1, 1, 3, 60.0), 1.0, 1, 15.0),
        (InitMsg(1, 1, 3, 3.0), 1.0, 1, 9.0),
        (InitMsg(1, 1, 1, 0.5), 1.0, 1, 1.0),
        # 1 + 1 + 2 + 2: it doubles when both addresses were tried.
        (InitMsg(1, 1, 3, 60.0), 1.0, 2, 6.0),
        # The defaults of the stack: 8 tries more, 60 seconds at most: 3 + 6 + 12 + 24 + 48 + 4 * 60.
        (InitMsg(1, 1, None, None), 3.0, 1, 333.0),
    ],
)
async def test_silence_is_told_from_a_refusal_by_its_time(
    init: InitMsg, initial: float, hosts: int, patience: float
) -> None:
    bench = Bench(tuple(f"10.0.0.{number}" for number in range(1, hosts + 1)))
    bench.script.options[InitMsg] = init
    bench.script.options[RtoInfo] = RtoInfo(initial, 60.0, 0.1)
    # A tenth less counts as well: the stack's clock is coarser than the loop's.
    for after, code in ((0.89, errno.ECONNREFUSED), (0.91, errno.ETIMEDOUT), (1.5, errno.ETIMEDOUT)):
        end = bench.ended(after * patience)
        assert isinstance(end, OSError)
        assert (after, end.errno) == (after, code)
    bench.script.close()


async def test_what_says_by_itself_why_it_ended_is_believed() -> None:
    bench = Bench()
    end = bench.ended(10_000.0, told=True)
    assert isinstance(end, ConnectionRefusedError)
    assert isinstance(bench.ended(0.0, AssociationState.COMM_LOST), AssociationLostError)
    # One that did not begin here was not timed.
    bench.attempts.forget(3)
    assert isinstance(bench.ended(0.0), TimeoutError)
    bench.script.close()
