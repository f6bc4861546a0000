"""Observers: who is told of messages, events and states of the associations of this process.

While there is no observer, nothing here takes part: an association and its sender get the classes that
tell, `ObservedAssociation` and `ObservedSender`, when an observer comes, and lose them when the last one
goes. Where nobody wants messages, `FollowedAssociation` tells the rest. Rules:

- An observer is called in the loop of the association, after the fact, and cannot change it. One that raises
  is logged and told nothing more.
- The subclasses add no state, so that an object's class can change while it lives: also while one of their
  methods runs, so these call nothing that only a subclass has, and name their base.
- `living` has the link of every association of the process that is not garbage yet, by its number.
"""

import itertools
import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from .._abi.contract import UNORDERED
from ..address import Address
from ..events import Event
from ..message import Message
from ..options import Option
from ..stacks.base import Buffer, Head, Outgoing
from .association import Association, State, Step
from .sending import Arguments, Sender

if TYPE_CHECKING:
    from .link import Link

logger = logging.getLogger("sctpio.observer")


class Observed(NamedTuple):
    """Which association something is told of.

    `number` tells it from all others of this process, `id` is the stack's, 0 before it is up. `peer` has the
    last known addresses.
    """

    number: int
    id: int
    peer: Address
    stack: str


class Sent(NamedTuple):
    """A message that the stack has taken: it is on its way, or in the send buffer."""

    data: bytes
    stream: int
    ppid: int
    unordered: bool


class Observer(Protocol):
    """What an observer has; see `observe`.

    Each method returns at once and awaits nothing. It is called in the thread of the association's loop, so
    an observer of several loops is called from several threads.
    """

    def message_sent(self, association: Observed, message: Sent) -> None:
        """Take note of a message that was sent."""

    def message_received(self, association: Observed, message: Message) -> None:
        """Take note of a whole message that has come, before anybody has read it."""

    def event(self, association: Observed, event: Event) -> None:
        """Take note of an event of the stack, subscribed by whoever (RFC 6458 section 6)."""

    def state(self, association: Observed, state: State, end: Exception | None) -> None:
        """Take note of a step of its life; `end` is how it ended, None while it lives."""

    def option(self, association: Observed, option: Option, *, was_set: bool) -> None:
        """Take note of an option that was set, or read."""


# Each with whether it is told of messages. Replaced as a whole, never changed: it may be iterated over.
observers: tuple[tuple[Observer, bool], ...] = ()

living: "weakref.WeakValueDictionary[int, Link]" = weakref.WeakValueDictionary()

_numbers = itertools.count(1)
_numbered: "weakref.WeakKeyDictionary[Association, int]" = weakref.WeakKeyDictionary()


class Observation:
    """Lets an observer be told until it is closed; a context manager."""

    def __init__(self, observer: Observer, messages: bool) -> None:
        # Told by identity: an observer may be given twice.
        self._told = (observer, messages)
        _change((*observers, self._told))

    def close(self) -> None:
        """Tell the observer nothing more."""
        _without(self._told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def observe(observer: Observer, *, messages: bool = True) -> Observation:
    """Tell an observer of all associations of this process, those that there are and those to come.

    `messages=False` leaves out `message_sent` and `message_received`, and what they cost.

    Returns an object to close, or to use as a context manager, when it is to end.
    """
    return Observation(observer, messages)


def note(link: "Link") -> None:
    """Note a new association; its observers are told of it from now on."""
    number = _numbered.setdefault(link.association, next(_numbers))
    living[number] = link
    if observers:
        _dress(link)


def associations() -> Sequence["Link"]:
    """Return the links of this process that are alive now, of whichever loop."""
    # Another thread may add one meanwhile, which the dictionary does not stand while it is iterated over.
    while True:
        try:
            return list(living.values())
        except RuntimeError:
            continue


def option(association: Association, value: Option, *, was_set: bool) -> None:
    """Report an option that was set or read."""
    if observers:
        _tell(association, lambda observer, who: observer.option(who, value, was_set=was_set))


class FollowedAssociation(Association):
    """An association that tells its steps and its events."""

    __slots__ = ()

    def _step(self, step: Step, end: Exception | None = None, over_by: Exception | None = None) -> bool:
        done = Association._step(self, step, end, over_by)
        if done:
            state, how = self.state, self.end or self.over_by
            _tell(self, lambda observer, who: observer.state(who, state, how))
        return done

    def take_event(self, event: Event) -> None:
        """Take an event; see `Association.take_event`."""
        _tell(self, lambda observer, who: observer.event(who, event))
        Association.take_event(self, event)


class ObservedAssociation(FollowedAssociation):
    """An association that tells the messages that it is fed, too."""

    __slots__ = ()

    def feed_all(self, messages: list[Message], size: int, whole: bool) -> None:
        """Take messages; see `Association.feed_all`."""
        for message in messages:
            self.feed(message)

    def feed(self, part: Message) -> None:
        """Take a message or a part of one; see `Association.feed`."""
        # The same again: a call in there for us would cost each message of those whom nobody observes.
        if self.drops_input:
            return
        message = self.partials.join(part, self.unread.limit)
        if message is not None:
            _tell(self, lambda observer, who: observer.message_received(who, message), of_message=True)
            self.messages_received += 1
            self.bytes_received += len(message.data)
            self.unread.put(message)


class ObservedSender(Sender):
    """A sender that tells what it has sent."""

    __slots__ = ()

    def send_plain(self, data: Buffer, stream: int, ppid: int, unordered: bool, context: int) -> bool | None:
        """Send a message; see `Sender.send_plain`."""
        sent = Sender.send_plain(self, data, stream, ppid, unordered, context)
        if sent:
            _tell_sent(self, [Sent(bytes(data), stream, ppid, unordered)])
        return sent

    def _try(self, arguments: Arguments) -> bool:
        sent = Sender._try(self, arguments)
        if sent:
            _, data, stream, flags, ppid, *_ = arguments
            _tell_sent(self, [Sent(bytes(data), stream, ppid, bool(flags & UNORDERED))])
        return sent

    def _send_ordinary(self, messages: list[Any], first: int, head: Head, bundle: bool) -> int:
        # All go by `_send_batch`.
        return 0

    def _send_batch(self, messages: Sequence[Outgoing], bundle: bool) -> int:
        taken = Sender._send_batch(self, messages, bundle)
        told = [
            Sent(bytes(data), head.stream, head.ppid, bool(head.flags & UNORDERED))
            for data, head in messages[:taken]
        ]
        _tell_sent(self, told)
        return taken


def _tell_sent(sender: Sender, messages: Iterable[Sent]) -> None:
    for message in messages:
        _tell(sender.association, _told_sent(message), of_message=True)


def _told_sent(message: Sent) -> Callable[[Observer, Observed], None]:
    return lambda observer, who: observer.message_sent(who, message)


def observed(association: Association) -> Observed:
    """Return what names an association to observers."""
    number = _numbered.get(association)
    if number is None:
        number = _numbered.setdefault(association, next(_numbers))
    return Observed(number, association.id, association.peer, association.stack)


def _tell(
    association: Association, what: Callable[[Observer, Observed], None], *, of_message: bool = False
) -> None:
    who = observed(association)
    for told in observers:
        observer, messages = told
        if of_message and not messages:
            continue
        try:
            what(observer, who)
        except Exception:
            _without(told)
            logger.exception("the observer %r raised, and is told nothing more", observer)


def _without(told: tuple[Observer, bool]) -> None:
    _change(tuple(each for each in observers if each is not told))


def _change(to: tuple[tuple[Observer, bool], ...]) -> None:
    global observers
    observers = to
    for link in associations():
        _dress(link)


def kind() -> type[Association]:
    """Return the class of a new association."""
    if not observers:
        return Association
    return ObservedAssociation if any(messages for _, messages in observers) else FollowedAssociation


def _dress(link: "Link") -> None:
    link.association.__class__ = kind()
    link.sender.__class__ = ObservedSender if kind() is ObservedAssociation else Sender
