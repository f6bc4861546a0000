"""One association and the carrier that it lives on: sending, flushing, ending, whatever the carrier is.

A `Link` stays the same when its association is peeled off: tasks that wait in it go on with the new carrier.
"""

import asyncio
import contextlib
import copy
import errno
import logging
from collections.abc import Sequence

from ._association import Association
from ._carrier import Carrier
from ._codec import ADDR_OVER, SACK_IMMEDIATELY, UNORDERED
from ._ending import ENDINGS, alive, ended_by
from ._outgoing import check_numbers, default_policy, key_number, payload, policy_of
from .address import Address, AddressLike, is_literal, split_like
from .errors import AssociationError, ClosedError, MessageTooLargeError
from .events import Event, SenderDry
from .options import DefaultPrInfo, Option, PeerAddressInfo, SendBuffer, Status
from .stacks.base import ALWAYS_SUBSCRIBED, Buffer, Outgoing, SendExtras, T

NO_EXTRAS = (None, None, None, None, None)

logger = logging.getLogger("sctpio")

# association_id, data, stream, flags, ppid, context, extras
Arguments = tuple[int, Buffer, int, int, int, int, SendExtras | None]


class Link:
    """What a `Conn` or an `Endpoint` does with one association."""

    __slots__ = ("__weakref__", "association", "attempt", "carrier")

    def __init__(self, association: Association, carrier: Carrier) -> None:
        self.association = association
        self.move_to(carrier)

    def move_to(self, carrier: Carrier) -> None:
        """Go on with another carrier."""
        self.carrier = carrier
        # Tries once to send a message: False when there is no room for it now.
        self.attempt = carrier.sender(self.association)

    # Sending

    def prepare(
        self,
        data: Buffer,
        stream: int,
        ppid: int,
        unordered: bool = False,
        lifetime: float | None = None,
        max_retransmissions: int | None = None,
        priority: int | None = None,
        context: int = 0,
        path: AddressLike | None = None,
        sack_immediately: bool = False,
        auth_key: int | None = None,
    ) -> Arguments:
        """Check a message; see `Conn.send` for what the arguments mean and which errors there are."""
        association = self.association
        if association.end is not None or association.inbound_over:
            raise association.outcome()
        data = payload(data)
        check_numbers(stream, ppid, context, association.outbound_streams)
        flags = (UNORDERED if unordered else 0) | (SACK_IMMEDIATELY if sack_immediately else 0)
        extras = None
        if (
            lifetime,
            max_retransmissions,
            priority,
            path,
            auth_key,
        ) != NO_EXTRAS or association.default_policy:
            chosen = policy_of(lifetime, max_retransmissions, priority)
            policy, value = chosen or association.default_policy or (0, 0)
            where = b""
            if path is not None:
                address = self.path(path)
                try:
                    self.carrier.check_path(association, address)
                except OSError as error:
                    raise self.send_failed(error) from None
                where = self.carrier.raw.pack_path(address)
                flags |= ADDR_OVER
            extras = SendExtras(policy, value, where, key_number(auth_key))
        return association.id, data, stream, flags, ppid, context, extras

    def path(self, path: AddressLike) -> Address:
        """Give one address of the peer; its port may be left out."""
        if isinstance(path, str) and is_literal(path):
            path = (path, 0)
        address = path if isinstance(path, Address) else Address(*split_like(path))
        if len(address.hosts) != 1:
            raise ValueError(f"{str(address)!r} is not a path; it takes one address of the peer")
        return address if address.port else Address(address.hosts, self.association.peer.port)

    async def send(self, arguments: Arguments) -> None:
        """Send one message; wait for room in turn, where others wait or there is none."""
        if not self.send_now(arguments):
            await self.send_in_turn(arguments)

    def send_plain(self, data: Buffer, stream: int, ppid: int, unordered: bool, context: int) -> bool | None:
        """Send a message as most of them are, without more ado: whether there was room.

        None where there is more to it: `prepare` does all that this does, and the rest.
        """
        association = self.association
        if (
            type(data) is not bytes
            or not data
            or association.end is not None
            or association.inbound_over
            or association.default_policy is not None
            or not type(stream) is type(ppid) is type(context) is int
            or stream < 0
            or stream >= association.outbound_streams
            # Negative, or of more than 32 bits.
            or (ppid | context) >> 32
        ):
            return None
        if association.senders.queue:
            return False
        try:
            sent = self.attempt(
                association.id, data, stream, UNORDERED if unordered else 0, ppid, context, None
            )
        except OSError as error:
            raise self.send_failed(error, len(data)) from None
        if sent:
            association.messages_sent += 1
            association.bytes_sent += len(data)
        return sent

    def send_now(self, arguments: Arguments) -> bool:
        """Send one message if nobody waits and there is room."""
        association = self.association
        if association.senders.queue:
            return False
        try:
            sent = self.attempt(*arguments)
        except OSError as error:
            raise self.send_failed(error, len(arguments[1])) from None
        if sent:
            association.messages_sent += 1
            association.bytes_sent += len(arguments[1])
        return sent

    async def send_in_turn(self, arguments: Arguments) -> None:
        """Send one message when there is room, after those that wait already."""
        association, size = self.association, len(arguments[1])
        first = False
        try:
            while True:
                self.carrier.want_room(association)
                await association.senders.wait(first=first)
                association.check_alive()
                try:
                    sent = self.attempt(*arguments)
                except OSError as error:
                    raise self.send_failed(error, size) from None
                if sent:
                    association.messages_sent += 1
                    association.bytes_sent += size
                    self.carrier.had_room(association)
                    return
                first = True
                self.carrier.no_room(association)
        finally:
            if not len(association.senders):
                self.carrier.want_no_room(association)

    def send_batch(self, messages: Sequence[Outgoing]) -> int:
        """Try to send messages in order with one call: how many there was room for."""
        association = self.association
        try:
            taken = self.carrier.send_batch(association, messages)
        except OSError as error:
            raise self.send_failed(error, len(messages[0][0])) from None
        association.messages_sent += taken
        association.bytes_sent += sum([len(data) for data, _ in messages[:taken]])
        return taken

    def send_failed(self, error: OSError, message_size: int = 0) -> Exception:
        """Tell what a failed send means; where it ended the association, all that is queued is read first."""
        association = self.association
        code = error.errno or 0
        if code == errno.EMSGSIZE:
            size = self.carrier.raw.get_option(SendBuffer, association.id, None).size
            return MessageTooLargeError(
                f"the message of {message_size} bytes is larger than the send buffer of {size} bytes takes;"
                " set SendBuffer before the association is made"
            )
        if code not in ENDINGS:
            return error
        self.carrier.note_failure(code)
        self.carrier.read_now()
        if not association.over and not alive(self.carrier.raw, association.id):
            # The event that tells how it ended may have come between the two.
            self.carrier.read_now()
            if not association.over:
                association.finish(ended_by(code, association.lost, association.peer))
                self.carrier.release(association)
        if association.end is None and not association.inbound_over:
            return error
        return association.outcome()

    async def flush(self) -> None:
        """Wait until the peer has acknowledged all that was sent before; see `Conn.flush`."""
        association = self.association
        # An older answer may be queued: it says nothing of what was sent since.
        await self.catch_up()
        if association.end is not None:
            raise association.outcome()
        before, restarts = association.dry_count, association.restarts
        association.dry_wanted += 1
        try:
            # Subscribing makes the stack answer at once where everything is acknowledged already.
            try:
                self.carrier.raw.subscribe(SenderDry, False, association.id)
                self.carrier.raw.subscribe(SenderDry, True, association.id)
            except OSError as error:
                if alive(self.carrier.raw, association.id):
                    raise
                # It has ended since we looked.
                raise self.send_failed(OSError(errno.EPIPE, error.strerror)) from None
            while association.dry_count == before:
                if association.end is not None:
                    raise association.outcome()
                if association.restarts != restarts:
                    raise ConnectionResetError(
                        errno.ECONNRESET, "the peer has restarted: what it had not acknowledged is lost"
                    )
                await association.wait_for_input(association.state_waiters)
        finally:
            association.dry_wanted -= 1
            self.unsubscribe(SenderDry)

    async def catch_up(self) -> None:
        """Take what the stack has queued; wait where reading is paused."""
        association = self.association
        while self.carrier.paused and association.end is None:
            await association.intake.wait(self.carrier.resumed)
        self.carrier.read_now()

    # Events

    def subscribe(self, kind: type[Event]) -> None:
        """Turn an event on; raises OSError where the stack refuses."""
        raw, association = self.carrier.raw, self.association
        if association.over:
            return
        try:
            raw.subscribe(kind, True, association.id)
        except OSError:
            # Where it has ended, the event that tells is still to be read.
            if alive(raw, association.id):
                raise

    def unsubscribe(self, kind: type[Event]) -> None:
        """Turn an event off that nobody wants any more."""
        unsubscribe(self.carrier, self.association, kind)

    # Options

    def get_option(self, query: type[T] | T, path: AddressLike | None) -> T:
        """Read an option; without a path PeerAddressInfo means the primary one."""
        raw, identifier = self.carrier.raw, self.association.id
        if path is None and query is PeerAddressInfo:
            path = raw.get_option(Status, identifier, None).primary.address
        return raw.get_option(query, identifier, None if path is None else self.path(path))

    def set_option(self, value: Option) -> None:
        """Write an option; a default reliability is remembered for `prepare`."""
        self.carrier.raw.set_option(value, self.association.id)
        if isinstance(value, DefaultPrInfo):
            self.association.default_policy = default_policy([value])

    # How it ends

    async def close(self) -> None:
        """Shut down gracefully and wait; see `Conn.close`."""
        association = self.association
        if association.over:
            self.carrier.release(association)
            return
        if not association.closing:
            association.closing = True
            association.close_here()
            try:
                self.carrier.shut_down(association)
            except OSError as error:
                self.send_failed(error)
            self.carrier.resume()
            self.carrier.resumed.wake_all()
        try:
            await association.wait_over()
        except asyncio.CancelledError:
            self.abort("the association was aborted: its close was cancelled")
            raise
        if isinstance(association.over_by, AssociationError) and not isinstance(
            association.over_by, ClosedError
        ):
            raise copy.copy(association.over_by)

    def abort(self, text: str = "the association was aborted here", cause: bytes = b"") -> None:
        """End the association at once."""
        association = self.association
        if not association.over:
            if not self.carrier.abort(association, cause):
                logger.warning("the ABORT of association %d goes without the cause %r", association.id, cause)
            association.close_here(text)
            association.finish(ClosedError(text))
            self.carrier.resumed.wake_all()
        self.carrier.release(association)

    def detach(self) -> int:
        """Give the descriptor away; the association lives on in it."""
        descriptor = self.carrier.detach(self.association)
        text = "the association was detached"
        self.association.close_here(text)
        self.association.finish(ClosedError(text))
        return descriptor

    def peel_off(self) -> None:
        """Move the association to a socket of its own; tasks that wait go on there."""
        shared = self.carrier
        self.move_to(shared.peel_off(self.association))
        self.association.senders.wake_head()
        shared.resumed.wake_all()

    def forget(self) -> None:
        """Release what a forgotten object held, from whichever thread the collector runs in."""
        carrier, association = self.carrier, self.association
        carrier.dispose(lambda: carrier.forget(association))


def unsubscribe(carrier: Carrier, association: Association, kind: type[Event]) -> None:
    """Turn an event off unless somebody still wants it."""
    kept = kind in ALWAYS_SUBSCRIBED or (kind is SenderDry and association.dry_wanted)
    if not association.over and not kept and not association.hub.wanted(kind):
        with contextlib.suppress(OSError):
            carrier.raw.subscribe(kind, False, association.id)
