"""A scripted stack: sockets of many associations and of one, which do what the test says."""

import contextlib
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from sctpio import (
    Address,
    AssociationChange,
    AssociationState,
    ErrorCause,
    Event,
    InitMsg,
    Option,
    PathState,
    PeerAddressInfo,
    ProtocolState,
    ReceiveBuffer,
    RtoInfo,
    Scope,
    SendBuffer,
    Status,
)
from sctpio._abi.codec import Codec
from sctpio._abi.contract import EOF, MORE, MSG_EOR, MSG_NOTIFICATION, RECORD
from sctpio._abi.linux import LINUX
from sctpio.address import Host
from sctpio.stacks.base import LARGE, LARGE_SIZE, Batch, Outgoing, SendExtras, Stack

T = TypeVar("T", bound=Option)

HERE = Address("127.0.0.1", 5000)
PEER = Address("127.0.0.1", 6000)


class Named:
    """All that the loop's side asks of a stack once there are sockets."""

    name = "scripted"


SCRIPTED = cast("Stack", Named())


class Script:
    """A one-to-many socket whose associations do what the test says.

    `log` is what went down to the stack. `alive` are the associations that the stack has: it refuses calls
    for others, as the kernel does. What the test puts in is read through the loop, by a pair of sockets.
    """

    stack = "scripted"
    codec = Codec(LINUX)
    decode_event = codec.decode_event
    named: tuple[Host, ...] = ()
    has_large = False
    versions = frozenset({4, 6})

    def use_defaults(self, receive_buffer: int) -> None:
        """There are none."""

    def transport(self, *, no_answer: bool = False) -> str:
        return "no answer" if no_answer else "scripted"

    def __init__(self) -> None:
        self.shares_send_buffer = True
        self.log: list[tuple[Any, ...]] = []
        self.alive: dict[int, Address] = {}
        self.options: dict[type[Option], Option] = {
            InitMsg: InitMsg(10, 10, 8, 60.0),
            RtoInfo: RtoInfo(3.0, 60.0, 1.0),
            SendBuffer: SendBuffer(200_000),
            ReceiveBuffer: ReceiveBuffer(200_000),
        }
        self.extras: list[SendExtras | None] = []
        self.bundles: list[bool] = []
        self.peeled: list[ScriptOfOne] = []
        # The messages for which there was room.
        self.taken: list[bytes] = []
        self.has_room = True
        self.connects: deque[int | OSError] = deque()
        self.state = -errno.EAGAIN
        self._queue: deque[tuple[bytes, int, int, dict[str, int], bytes]] = deque()
        self._here, self._there = socket.socketpair()
        for end in (self._here, self._there):
            end.setblocking(False)
        self._readable = False
        self.closed = False

    # What the test does

    def _put(self, data: bytes, flags: int, identifier: int, fields: dict[str, int], source: bytes) -> None:
        self._queue.append((data, flags, identifier, fields, source))
        self._turn_readable()

    def _turn_readable(self) -> None:
        if not self._readable:
            self._there.send(b"x")
            self._readable = True

    @property
    def unread(self) -> int:
        return len(self._queue)

    def data(self, identifier: int, data: bytes, *, complete: bool = True, **fields: int) -> None:
        """Queue a message, or a part of one."""
        peer = self.alive.get(identifier, PEER)
        host = str(peer.hosts[0]).partition("%")[0]
        source = self.codec.pack_addresses(Address(host, peer.port))
        self._put(data, MSG_EOR if complete else 0, identifier, fields, source)

    def notification(self, data: bytes, *, complete: bool = True, peer: Address = PEER) -> None:
        """Queue the bytes of an event, or some of them."""
        flags = MSG_NOTIFICATION | (MSG_EOR if complete else 0)
        self._put(data, flags, 0, {}, self.codec.pack_addresses(Address(peer.hosts[:1], peer.port)))

    def event(self, event: Event) -> None:
        """Queue an event."""
        identifier = getattr(event, "association_id", 0)
        self.notification(self.codec.encode_event(event), peer=self.alive.get(identifier, PEER))

    def up(self, identifier: int, peer: Address = PEER, *, told: bool = True) -> None:
        """An association comes up."""
        self.alive[identifier] = peer
        if told:
            self.event(change(identifier, AssociationState.COMM_UP))

    def lost(
        self,
        identifier: int,
        *,
        state: AssociationState = AssociationState.COMM_LOST,
        cause: bytes | None = b"",
        told: bool = True,
    ) -> None:
        """An association ends: by an ABORT with this cause, or (None) as nobody answers any more."""
        self.alive.pop(identifier, None)
        if not told:
            return
        if cause is None:
            self.event(change(identifier, state))
        else:
            info = struct.pack("!HH", ErrorCause.USER_INITIATED_ABORT, 4 + len(cause)) + cause
            self.event(change(identifier, state, ErrorCause.USER_INITIATED_ABORT, info))

    def shut(self, identifier: int) -> None:
        """An association ends gracefully."""
        self.alive.pop(identifier, None)
        self.event(change(identifier, AssociationState.SHUTDOWN_COMP))

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        """Give the calls of one name."""
        return [call[1:] for call in self.log if call[0] == name]

    # What SharedSocket does

    def fileno(self) -> int:
        return self._here.fileno()

    def close(self) -> None:
        self.closed = True
        self._here.close()
        self._there.close()

    def disown(self) -> None:
        self.log.append(("disown",))
        self.close()

    def detach(self) -> int:
        """Give the descriptor away: a copy, as the script's own pair has to be closed."""
        descriptor = os.dup(self._here.fileno())
        self.close()
        return descriptor

    def peel_off(self, association_id: int) -> "ScriptOfOne":
        """Give a socket of its own, and what is queued for the association."""
        self.log.append(("peel_off", association_id))
        self._check(association_id, errno.EINVAL)
        moved = ScriptOfOne()
        moved.alive[association_id] = self.alive.pop(association_id)
        moved.has_room = self.has_room
        for each in [each for each in self._queue if each[2] == association_id]:
            self._queue.remove(each)
            moved._put(*each)
        self.peeled.append(moved)
        return moved

    def _check(self, identifier: int, code: int) -> None:
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if identifier not in self.alive:
            raise OSError(code, os.strerror(code))

    def receive(self, room: int, most: int | None = None) -> Batch:
        assert not self.closed
        arena, records = b"", list[bytes]()
        large = self.has_large and bool(self._queue) and LARGE_SIZE <= len(self._queue[0][0]) <= room
        self.log.append(("receive", room, most, large))
        if large:
            # It comes alone.
            most = 1
        while self._queue and len(arena) < room and len(records) < (most or 128):
            data, flags, identifier, fields, source = self._queue.popleft()
            head = (len(arena), len(data), flags, identifier, fields.get("ppid", 0))
            numbers = tuple(fields.get(name, 0) for name in ("tsn", "cumulative_tsn", "context"))
            rest = tuple(fields.get(name, 0) for name in ("stream", "ssn", "flags"))
            records.append(RECORD.pack(*head, *numbers, *rest, len(source), source))
            arena += data
        if large:
            return LARGE, len(records), b"".join(records), arena
        if self._queue:
            return MORE, len(records), b"".join(records), arena
        state = self._state()
        if self._readable and state != EOF:
            self._here.recv(1)
            self._readable = False
        return state, len(records), b"".join(records), arena

    def _state(self) -> int:
        """Say how a batch ended after which nothing is queued."""
        return self.state

    def why_too_large(self, association_id: int) -> str:
        size = self.get_option(SendBuffer, association_id, None).size
        return f"is larger than the send buffer of {size} bytes"

    def listen(self, backlog: int) -> None:
        self.log.append(("listen", backlog))

    def connect(self, remote: Address) -> int:
        self.log.append(("connect", remote))
        answer = self.connects.popleft()
        if isinstance(answer, OSError):
            raise answer
        self.alive[answer] = remote
        return answer

    def send(
        self,
        association_id: int,
        data: bytes,
        stream: int,
        flags: int,
        ppid: int,
        context: int,
        extras: SendExtras | None,
    ) -> bool:
        self.log.append(("send", association_id, bytes(data)))
        self.extras.append(extras)
        self._check(association_id, errno.EPIPE)
        if self.has_room:
            self.taken.append(bytes(data))
        return self.has_room

    def plain_call(self) -> None:
        """There is no C."""

    def send_batch(self, association_id: int, messages: Sequence[Outgoing], bundle: bool) -> int:
        self.log.append(("send_batch", association_id, [bytes(data) for data, _ in messages]))
        self.bundles.append(bundle)
        self._check(association_id, errno.EPIPE)
        return len(messages) if self.has_room else 0

    def shutdown(self, association_id: int) -> None:
        self.log.append(("shutdown", association_id))
        self._check(association_id, errno.EPIPE)

    def abort(self, association_id: int, cause: bytes) -> bool:
        self.log.append(("abort", association_id, cause))
        self.alive.pop(association_id, None)
        return True

    def source(self, raw: bytes, association_id: int) -> Address:
        found = self.codec.unpack_address(raw)
        # As the kernel, a record has no scope: it is that of the peer.
        peer = self.alive.get(association_id, found)
        scoped = any(str(host).partition("%")[0] == str(found.hosts[0]) for host in peer.hosts)
        return Address(peer.hosts[:1], found.port) if scoped else found

    def local_addresses(self, association_id: int) -> Address:
        self._check(association_id, errno.EINVAL)
        return HERE

    def peer_addresses(self, association_id: int) -> Address:
        self._check(association_id, errno.EINVAL)
        return self.alive[association_id]

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        self.log.append(("subscribe", kind, on, association_id))
        if association_id not in tuple(Scope):
            self._check(association_id, errno.EINVAL)

    def get_option(self, kind: type[T], association_id: int, address: Address | None) -> T:
        if association_id not in tuple(Scope):
            self._check(association_id, errno.EINVAL)
        if kind is Status:
            path = PeerAddressInfo(PEER, PathState.ACTIVE, 4380, 0.0, 3.0, 1500)
            status = Status(ProtocolState.ESTABLISHED, 1, 0, 0, 7, 8, 1400, path, association_id)
            return cast("T", status)
        return cast("T", self.options[kind])

    def set_option(self, value: Option, association_id: int) -> None:
        self.log.append(("set_option", value, association_id))
        self._check(association_id, errno.EINVAL)


class ScriptOfOne(Script):
    """A one-to-one socket, whose association is number 3.

    `failures` are socket errors, each given once to whoever asks first, and after what is queued. `asked` is
    called when the stack is asked for the association's status: what happens between two looks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: deque[int] = deque()
        self.asked: Callable[[], None] = lambda: None
        self.watches: list[Watch] = []

    # What the test does

    def fail(self, code: int) -> None:
        """Give the socket an error."""
        self.failures.append(code)
        self._turn_readable()

    def fill(self) -> None:
        """Be not writable any more, and have no room."""
        self.has_room = False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._here.send(bytes(4096))

    def error_pending(self) -> None:
        """Let polling report an error (EPOLLERR) for good: the other end is closed with bytes unread."""
        self._here.send(b"x")
        self._there.close()

    def empty(self) -> None:
        """Be writable again, and have room."""
        self.has_room = True
        with contextlib.suppress(BlockingIOError):
            while True:
                self._there.recv(65536)

    # What the loop room does

    def _check(self, identifier: int, code: int) -> None:
        super()._check(identifier or next(iter(self.alive), 0), code)

    def _take_failure(self) -> int:
        return self.failures.popleft() if self.failures else 0

    def _state(self) -> int:
        return -self._take_failure() or self.state

    def send(self, association_id: int, *arguments: Any) -> bool:
        if failure := self._take_failure():
            raise OSError(failure, os.strerror(failure))
        return super().send(association_id, *arguments)

    def error(self) -> int:
        return self._take_failure()

    def get_option(self, kind: type[T], association_id: int, address: Address | None) -> T:
        if kind is Status:
            self.asked()
        return super().get_option(kind, association_id, address)

    def abort(self, association_id: int, cause: bytes) -> bool:
        super().abort(association_id, cause)
        return not cause

    def watch_end(self) -> "Watch":
        self.watches.append(Watch())
        return self.watches[-1]


class Watch:
    """The EndWatch of a scripted socket."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()

    def news(self) -> None:
        """Turn readable."""
        self._there.send(b"x")

    def fileno(self) -> int:
        return self._here.fileno()

    def acknowledge(self) -> None:
        self._here.recv(1)

    def close(self) -> None:
        self._here.close()
        self._there.close()


def change(
    identifier: int,
    state: AssociationState,
    error: ErrorCause = ErrorCause.NO_ERROR,
    info: bytes = b"",
) -> AssociationChange:
    return AssociationChange(state, error, 10, 10, identifier, info)
