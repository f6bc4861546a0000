"""Sending: checking a message, trying to send it, and waiting for space in turn.

A message goes to the stack whole or not at all. It goes at once if there is space and no task is waiting;
otherwise its task joins a first-in, first-out queue, and only the first in the queue tries when there may be
space. A `Sender` does this for one association; it stays the same when the association is peeled off.
"""

import errno
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from .._abi.contract import ADDR_OVER, PR_PRIO, PR_RTX, PR_TTL, SACK_IMMEDIATELY, UNORDERED
from .._open_enum import OpenIntEnum
from ..address import Address, AddressLike, is_literal, split_like
from ..errors import MessageTooLargeError, StreamOutOfRangeError
from ..message import Message
from ..options import DefaultSendInfo, DefaultSendParameters, Option
from ..stacks.base import Buffer, Head, Outgoing, SendExtras, SendOne, alive
from ..stacks.native import check
from .association import ENDINGS, UP, Association, ended_by
from .loop_socket import LoopSocket
from .waiting import check_loop
from .waits import Waits

if TYPE_CHECKING:
    from .._fast import PlainSender

U32 = 0xFFFFFFFF

# The most messages of one batch (sendmmsg), and the most bytes of theirs together: a batch copies its
# payload.
BATCH = 64
BATCH_BYTES = 16 * 1024

# association_id, data, stream, flags, ppid, context, extras
Arguments: TypeAlias = tuple[int, Buffer, int, int, int, int, SendExtras | None]

# A PR-SCTP policy and its value.
Policy: TypeAlias = tuple[int, int]

NO_EXTRAS = (None, None, None, None, None)


class SendOptions(TypedDict, total=False):
    """The options of `Conn.send` that the other senders pass on."""

    unordered: bool
    lifetime: float | None
    max_retransmissions: int | None
    priority: int | None
    context: int
    path: AddressLike | None
    sack_immediately: bool
    auth_key: int | None


class Sender:
    """Sends the messages of one association, over the socket that carries it now."""

    __slots__ = ("association", "attempt", "plain", "socket")

    def __init__(self, association: Association, socket: LoopSocket) -> None:
        self.association: Association = association
        self.move_to(socket)

    def move_to(self, socket: LoopSocket) -> None:
        """Continue on another socket."""
        self.socket: LoopSocket = socket
        # Tries once to send one message; returns False if there is no space for it now.
        self.attempt: SendOne = socket.sender(self.association)
        # The same for ordinary messages in C, where there is such: see `plain`.
        self.plain: PlainSender | None = socket.plain(self.association)

    def prepare(
        self,
        data: Buffer,
        *,
        stream: int,
        ppid: int | None,
        unordered: bool = False,
        lifetime: float | None = None,
        max_retransmissions: int | None = None,
        priority: int | None = None,
        context: int = 0,
        path: AddressLike | None = None,
        sack_immediately: bool = False,
        auth_key: int | None = None,
    ) -> Arguments:
        """Check a message, and return the arguments of an attempt; see `Conn.send` for meaning and errors."""
        association = self.association
        association.check_sending()
        data = payload(data)
        if ppid is None:
            ppid = association.ppid
        check_numbers(stream, ppid, context, association.outbound_streams)
        flags = (UNORDERED if unordered else 0) | (SACK_IMMEDIATELY if sack_immediately else 0)
        extras = None
        if (lifetime, max_retransmissions, priority, path, auth_key) != NO_EXTRAS:
            policy, value = policy_of(lifetime, max_retransmissions, priority)
            where = b""
            if path is not None:
                address = path_of(path, association.peer.port)
                try:
                    self.socket.check_path(association, address)
                except OSError as error:
                    raise self.failed(error) from None
                where = self.socket.raw.pack_path(address)
                flags |= ADDR_OVER
            extras = SendExtras(policy, value, where, key_number(auth_key))
        return association.id, data, stream, flags, ppid, context, extras

    def send_plain(self, data: Buffer, stream: int, ppid: int, unordered: bool, context: int) -> bool | None:
        """Send a message without further options: the fast path. Return whether there was space.

        Returns None for anything out of the ordinary, which `prepare` then checks in full.
        """
        if self.plain is not None:
            sent = self.plain.send(data, stream, ppid, unordered, context)
            if sent is True:
                return True
            if sent is not None:
                return self._without_space(sent, len(data))
        association = self.association
        if (
            type(data) is not bytes
            or not data
            or association.state is not UP
            or not type(stream) is type(ppid) is type(context) is int
            or stream < 0
            or stream >= association.outbound_streams
            # True if one of them is negative or has more than 32 bits.
            or (ppid | context) >> 32
        ):
            if isinstance(ppid, OpenIntEnum):
                # Not self.send_plain: an observer (`observing`) would be told of it twice.
                return Sender.send_plain(self, data, stream, int(ppid), unordered, context)
            return None
        if association.senders.queue:
            return False
        # Not self.attempt(...): the interpreter looks for a method first.
        attempt = self.attempt
        try:
            sent = attempt(association.id, data, stream, UNORDERED if unordered else 0, ppid, context, None)
        except (OSError, OverflowError) as error:
            raise self.failed(error, len(data)) from None
        if sent:
            association.messages_sent += 1
            association.bytes_sent += len(data)
        return sent

    def _without_space(self, code: int, size: int) -> bool:
        """Return False for what C says of a message that it did not send, or raise what a failure means."""
        try:
            check(code, "send")
        except OSError as error:
            raise self.failed(error, size) from None
        return False

    async def send(
        self, data: Buffer, *, stream: int, ppid: int | None, **options: Unpack[SendOptions]
    ) -> None:
        """Send one message; if other tasks wait or there is no space, wait in turn."""
        if ppid is None:
            ppid = self.association.ppid
        if options or not self.send_plain(data, stream, ppid, False, 0):
            await self.send_prepared(self.prepare(data, stream=stream, ppid=ppid, **options))

    async def send_prepared(self, arguments: Arguments) -> None:
        """Send one message that `prepare` has checked; wait as `send` does."""
        if not self.send_now(arguments):
            await self.send_in_turn(arguments)

    def send_now(self, arguments: Arguments) -> bool:
        """Send one message if there is space and no task waits; return whether it was sent."""
        return not self.association.senders.queue and self._try(arguments)

    def _try(self, arguments: Arguments) -> bool:
        association, size = self.association, len(arguments[1])
        try:
            sent = self.attempt(*arguments)
        except (OSError, OverflowError) as error:
            raise self.failed(error, size) from None
        if sent:
            association.messages_sent += 1
            association.bytes_sent += size
        return sent

    async def send_in_turn(self, arguments: Arguments) -> None:
        """Send one message when there is space, after the tasks that wait already."""
        association = self.association
        check_loop(association.loop)
        # Copied, because the caller may change a bytearray while this waits.
        arguments = (arguments[0], bytes(arguments[1]), *arguments[2:])
        first = False
        if association.waits is None:
            association.waits = Waits()
        waits = association.waits
        waiting = waits.token()
        try:
            waits.begin(waiting)
            while True:
                self.socket.want_space(association)
                await association.senders.wait(association.takes_nothing, first=first)
                association.check_sending()
                if self._try(arguments):
                    self.socket.had_space(association)
                    return
                first = True
                self.socket.no_space(association)
        finally:
            waits.end(waiting)
            if not association.senders.queue:
                self.socket.want_no_space(association)

    # Many at once

    async def send_many(self, messages: Iterable[Buffer | Message], head: Head, bundle: bool) -> None:
        """Send messages in order, many with one call; see `Conn.send_many`."""
        self.association.check_sending()
        self._check_head(head)
        if self.plain is None or type(messages) is not list:
            await self._send_items(messages, head, bundle)
            return
        if type(head.ppid) is not int:
            head = head._replace(ppid=int(head.ppid))
        done = 0
        while done < len(messages):
            taken = self._send_ordinary(messages, done, head, bundle)
            if not taken:
                # The next of them are out of the ordinary, or there is no space for all of them.
                items = messages[done : done + BATCH]
                await self._send_items(items, head, bundle)
                taken = len(items)
            done += taken

    def _send_ordinary(self, messages: list[Any], first: int, head: Head, bundle: bool) -> int:
        """Send messages of a list in C, those from number `first` that one call takes; return how many."""
        assert self.plain is not None
        stream, flags, ppid, _ = head
        taken = self.plain.send_many(messages, first, stream, flags, ppid, bundle)
        return taken if taken >= 0 else self._without_space(taken, len(messages[first]))

    async def _send_items(self, messages: Iterable[Buffer | Message], head: Head, bundle: bool) -> None:
        pending: list[Outgoing] = []
        size = 0
        try:
            for item in messages:
                outgoing = (item, head) if type(item) is bytes and item else self._outgoing(item, head)
                size += len(outgoing[0])
                if pending and (len(pending) == BATCH or size > BATCH_BYTES):
                    batch, pending, size = pending, [], len(outgoing[0])
                    await self._send_all(batch, bundle)
                pending.append(outgoing)
        except Exception:
            # The messages before the one that failed are sent.
            await self._send_all(pending, bundle)
            raise
        await self._send_all(pending, bundle)

    def _outgoing(self, item: Buffer | Message, head: Head) -> Outgoing:
        if isinstance(item, Message):
            head = Head(item.stream, UNORDERED if item.unordered else 0, item.ppid, item.context)
            self._check_head(head)
            item = item.data
        # Copied now, because the caller may fill the same buffer with the next message.
        return bytes(payload(item)), head

    def _check_head(self, head: Head) -> None:
        check_numbers(head.stream, head.ppid, head.context, self.association.outbound_streams)

    async def _send_all(self, messages: Sequence[Outgoing], bundle: bool) -> None:
        association = self.association
        while messages:
            association.check_sending()
            taken = 0
            if len(messages) > 1 and not association.senders.queue:
                taken = self._send_batch(messages, bundle)
            if not taken:
                # One message waits for space; the rest follows as a batch.
                data, head = messages[0]
                await self.send_prepared((association.id, data, *head, None))
                taken = 1
            messages = messages[taken:]

    def _send_batch(self, messages: Sequence[Outgoing], bundle: bool) -> int:
        """Try to send messages in order with one call; return how many of them there was space for."""
        association = self.association
        try:
            taken = self.socket.send_batch(association, messages, bundle)
        except OSError as error:
            raise self.failed(error, len(messages[0][0])) from None
        association.messages_sent += taken
        association.bytes_sent += sum([len(data) for data, _ in messages[:taken]])
        return taken

    # What a failure means

    def failed(self, error: OSError | OverflowError, message_size: int = 0) -> Exception:
        """Return the exception that a failed call means to the caller.

        If the association has ended, everything queued is read first: an event may say how it ended.
        """
        association, socket = self.association, self.socket
        if isinstance(error, OverflowError):
            # The length of a message has 32 bits in C.
            return MessageTooLargeError(f"a message of {message_size} bytes is larger than a stack can take")
        code = error.errno or 0
        if code == errno.EMSGSIZE:
            why = socket.raw.why_too_large(association.id)
            return MessageTooLargeError(f"the message of {message_size} bytes {why}")
        if code not in ENDINGS:
            return error
        socket.note_failure(code)
        socket.read_now()
        if not association.is_over and not alive(socket.raw, association.id):
            # The event that says how it ended may have come between the two calls.
            socket.read_now()
            if not association.is_over:
                how = ended_by(code, association.lost, association.peer, socket.raw)
                association.finish(how)
                socket.release(association)
        return association.outcome() if association.has_ended() else error


def payload(data: Buffer) -> Buffer:
    """Return a message's data, checked, in a form whose `len` is its number of bytes."""
    if isinstance(data, memoryview):
        data = data.cast("B") if data.contiguous else data.tobytes()
    elif not isinstance(data, bytes | bytearray):
        raise TypeError(f"a message is bytes, bytearray or memoryview, not {type(data).__name__}")
    if not data:
        raise ValueError("an SCTP message has at least one byte (RFC 9260 3.3.1); this one is empty")
    return data


def check_numbers(stream: int, ppid: int, context: int, limit: int) -> None:
    """Check the numbers of a message; the association has `limit` outbound streams."""
    if not isinstance(ppid, int) or not isinstance(context, int) or not isinstance(stream, int):
        raise TypeError(f"stream, ppid and context are numbers, not {stream!r}, {ppid!r}, {context!r}")
    if not 0 <= stream < limit:
        raise StreamOutOfRangeError(stream, limit)
    check_ppid(ppid)
    if not 0 <= context <= U32:
        raise ValueError(f"context is {context!r}; it takes a number from 0 to {U32}")


def check_ppid(ppid: int) -> None:
    """Check a payload protocol identifier."""
    if isinstance(ppid, bool) or not isinstance(ppid, int):
        raise TypeError(f"ppid is {ppid!r}; it takes a number, such as Ppid.NGAP")
    if not 0 <= ppid <= U32:
        raise ValueError(f"ppid is {ppid!r}; it takes a number from 0 to {U32}")


def check_has_effect(option: Option) -> None:
    """Raise ValueError for an option with defaults that no message would be sent with."""
    if isinstance(option, DefaultSendInfo | DefaultSendParameters):
        names = ("stream", "ppid", "context", "unordered")
        given = ", ".join(name for name in names if getattr(option, name) is not None)
        if given:
            raise ValueError(
                f"{option!r}: {given} would have no effect, because `send` says all of them for each message;"
                " a default is the ppid= of connect, listen and open_endpoint, or a Stream"
            )


def key_number(auth_key: int | None) -> int:
    """Return the number of a shared key (RFC 4895); -1 means the active one of the association."""
    if auth_key is None:
        return -1
    if not 0 <= auth_key <= 0xFFFF:
        raise ValueError(f"auth_key is {auth_key!r}; it takes a number from 0 to 65535")
    return auth_key


def policy_of(lifetime: float | None, max_retransmissions: int | None, priority: int | None) -> Policy:
    """Return the chosen PR-SCTP policy and its value (RFC 3758, RFC 7496); (0, 0) for none."""
    given = {
        "lifetime": lifetime,
        "max_retransmissions": max_retransmissions,
        "priority": priority,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise ValueError(f"a message has one policy at most; given are {', '.join(chosen)}")
    if lifetime is not None:
        if not 0 < lifetime <= U32 / 1000:
            raise ValueError(f"lifetime is {lifetime!r}; it takes seconds above 0, at most {U32 / 1000}")
        return PR_TTL, max(1, round(lifetime * 1000))
    for name, number in (("max_retransmissions", PR_RTX), ("priority", PR_PRIO)):
        if name in chosen:
            value = chosen[name]
            if not 0 <= value <= U32:
                raise ValueError(f"{name} is {value!r}; it takes a number from 0 to {U32}")
            return number, int(value)
    return 0, 0


def path_of(path: AddressLike, port: int) -> Address:
    """Return the peer's address that a caller named as a path; the port may be left out."""
    if isinstance(path, str) and is_literal(path):
        path = (path, 0)
    address = path if isinstance(path, Address) else Address(*split_like(path))
    if len(address.hosts) != 1:
        raise ValueError(f"{str(address)!r} is not a path; it takes one address of the peer")
    if address.port not in (0, port):
        # usrsctp would look at the host alone.
        raise OSError(errno.EINVAL, f"{address} is no address of the peer, whose port is {port}")
    return address if address.port else Address(address.hosts, port)
