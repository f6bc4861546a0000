"""Changing the streams of an association (RFC 6525): a request to the peer, and the event that answers it."""

import asyncio
import errno
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ..errors import ReconfigurationError, StreamOutOfRangeError
from ..events import AssociationReset, StreamChange, StreamReset, StreamResetFlags
from ..options import AddStreams, Option, ResetAssociation, ResetStreams
from .event_stream import EventStream, open_events
from .link import Link

__all__ = ["add_streams", "reset_association", "reset_streams"]

E = TypeVar("E", StreamReset, StreamChange, AssociationReset)

# The most seconds to wait for the end of an earlier request.
MOST_PATIENCE = 30.0

REFUSED = StreamResetFlags.DENIED | StreamResetFlags.FAILED


async def reset_streams(link: Link, streams: tuple[int, ...], *, outgoing: bool, incoming: bool) -> None:
    """Restart the sequence numbers of streams; see `Conn.reset_streams`."""
    association = link.association
    for wanted, limit in (
        (outgoing, association.outbound_streams),
        (incoming, association.inbound_streams),
    ):
        if wanted and (beyond := [stream for stream in streams if not 0 <= stream < limit]):
            raise StreamOutOfRangeError(beyond[0], limit)
    answers: list[Callable[[StreamReset], bool]] = []
    if outgoing:
        answers.append(_resets(StreamResetFlags.OUTGOING, streams or range(association.outbound_streams)))
    if incoming:
        answers.append(_resets(StreamResetFlags.INCOMING, streams or range(association.inbound_streams)))
    await _ask(link, ResetStreams(incoming, outgoing, streams), StreamReset, answers)


def _resets(direction: StreamResetFlags, streams: Iterable[int]) -> Callable[[StreamReset], bool]:
    """Return a test that is true once events have named all these streams, perhaps one by one."""
    left = set(streams)

    def answers(event: StreamReset) -> bool:
        if direction not in event.flags:
            return False
        if event.flags & REFUSED:
            return not event.streams or not left.isdisjoint(event.streams)
        # An event that names no stream is about all of them.
        left.difference_update(event.streams or tuple(left))
        return not left

    return answers


async def add_streams(link: Link, outbound: int, inbound: int) -> None:
    """Add streams; see `Conn.add_streams`."""
    answers: list[Callable[[StreamChange], bool]] = []
    if outbound:
        answers.append(lambda event: event.outbound_streams == outbound or _unspecific(event))
    if inbound:
        answers.append(lambda event: event.inbound_streams == inbound or _unspecific(event))
    await _ask(link, AddStreams(outbound, inbound), StreamChange, answers)


def _unspecific(event: StreamChange) -> bool:
    """Return whether an event is a refusal that does not say how many streams were refused."""
    return bool(event.flags & REFUSED) and not (event.outbound_streams or event.inbound_streams)


async def reset_association(link: Link) -> None:
    """Restart all sequence numbers; see `Conn.reset_association`."""
    await _ask(link, ResetAssociation(), AssociationReset, [lambda event: True])


async def _ask(link: Link, request: Option, kind: type[E], answers: list[Callable[[E], bool]]) -> None:
    """Make a request, one at a time (RFC 6525 5.1.1), and wait for its answers."""
    association = link.association
    async with association.reconfiguring:
        # The answer to an earlier request, whose task was cancelled, may be queued.
        await link.catch_up()
        association.check_sending()
        events = open_events(link, (StreamReset, StreamChange, AssociationReset), owner=link, keep=False)
        async with events:
            await _request(link, request, events)
            async for event in events:
                if not isinstance(event, kind):
                    continue
                answered = [answer for answer in answers if answer(event)]
                if answered and event.flags & REFUSED:
                    raise ReconfigurationError(type(request).__name__, event.flags)
                answers = [answer for answer in answers if answer not in answered]
                if not answers:
                    return
        raise association.outcome()


async def _request(link: Link, request: Option, answers: EventStream[Any]) -> None:
    while True:
        try:
            link.raw.set_option(request, link.association.id)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                # Everything sent on the streams must be acknowledged first.
                await link.flush()
            elif error.errno in (errno.EINPROGRESS, errno.EALREADY):
                # Another request is under way, perhaps of a cancelled task. Linux never answers some of
                # usrsctp's, so the wait is limited.
                try:
                    async with asyncio.timeout(MOST_PATIENCE):
                        if await anext(answers, None) is None:
                            raise link.association.outcome() from None
                except TimeoutError:
                    raise error from None
            else:
                raise
        else:
            return
