"""A stack in C behind the contract of csrc/sctpio.h: what its sockets have in common.

A stack's own module gives `NativeSocket` its compiled module and its numbers, and overrides what its calls
do in another way.
"""

import errno
import os
import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .._codec import OUTGOING, RECORD, Codec
from ..address import Address
from ..events import Event
from ..options import FragmentInterleave, NoDelay, Option, Scope
from .base import (
    ALWAYS_SUBSCRIBED,
    RECORDS,
    Batch,
    Buffer,
    EndWatch,
    Outgoing,
    RawRecord,
    SendExtras,
    StackSocket,
    T,
)

if TYPE_CHECKING:
    from ._kernel import FFI, CData, Contract

# Bytes that one receive call may bring; the arena is shared by all sockets of a thread.
ARENA = 256 * 1024
LEAST_ARENA = 64 * 1024

SOL_SCTP = 132
EVENT_SUBSCRIPTION = struct.Struct("=iHBx")

# The first record's fields. Any: what struct gives.
unpack_record: Callable[[memoryview], Any] = RECORD.unpack_from

# Link-local sources that a socket remembers with their scope.
MOST_SCOPED = 64

ADDRESS_SPACE = (1024, 8 * 1024, 128 * 1024)

# Send flags of the contract.
SCTP_ABORT = 0x4
SCTP_EOF = 0x200


def check(code: int, what: str) -> int:
    """Raise OSError for a -errno."""
    if code < 0:
        raise OSError(-code, f"{os.strerror(-code)} ({what})")
    return code


def scope_to_index(scope: str) -> int:
    """Give the number of an interface."""
    try:
        return socket.if_nametoindex(scope)
    except OSError:
        raise OSError(errno.ENODEV, f"this host has no interface {scope!r}") from None


class Scratch:
    """A thread's receive memory, the small out-parameters of C calls, and the sources it has decoded."""

    __slots__ = ("arena", "arena_bytes", "length", "record_bytes", "records", "source", "state")

    def __init__(self, ffi: "FFI", codec: Codec) -> None:
        # Few peers, many messages.
        self.source = lru_cache(maxsize=1024)(codec.unpack_address)
        self.arena = ffi.new("uint8_t[]", ARENA)
        self.arena_bytes = ffi.buffer(self.arena)
        self.records = ffi.new("sctpio_record[]", RECORDS)
        self.record_bytes = memoryview(ffi.buffer(self.records))
        self.state = ffi.new("int32_t *")
        self.length = ffi.new("uint32_t *")


class PerThread(threading.local):
    """Gives each thread its own scratch. Looked up once for a call: every look costs."""

    def __init__(self, ffi: "FFI", codec: Codec) -> None:
        self.scratch = Scratch(ffi, codec)


class NativeSocket(ABC):
    """A socket of a stack in C: see `StackSocket` for what each method promises.

    `many`: it ends an association by a flag of a message and not by a call of its own.
    """

    __slots__ = ("_fd", "_legacy", "_many", "_scoped", "_v6", "shares_send_buffer")

    codec: Codec
    _ffi: "ClassVar[FFI]"
    _lib: "ClassVar[Contract]"
    _memory: ClassVar[PerThread]

    def __init__(self, fd: int, *, v6: bool, many: bool = False) -> None:
        self._fd = fd
        self._scoped: dict[bytes, Address] = {}
        self._v6 = v6
        self._many = many
        self.shares_send_buffer = False
        self._legacy = False

    def fileno(self) -> int:
        """Give the descriptor, -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; the stack ends the association gracefully unless data was unread."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._lib.sctpio_close(fd)

    def detach(self) -> int:
        """Give the descriptor away."""
        fd, self._fd = self._fd, -1
        return fd

    def reuse_address(self) -> None:
        """Let the port be bound while associations of an earlier socket linger on it (SO_REUSEADDR)."""
        self.set_flag(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1, "SO_REUSEADDR")

    def bind(self, local: Address) -> None:
        """Bind all addresses of `local`; none means every address of the host."""
        hosts = local.hosts or ((IPv6Address(0),) if self._v6 else (IPv4Address(0),))
        packed = self.codec.pack_addresses(Address(hosts, local.port))
        check(self._lib.sctpio_bindx(self._fd, packed, len(packed), 0), f"bind to {local}")

    def unbind(self, local: Address) -> None:
        """Give up addresses that are bound (SCTP_SOCKOPT_BINDX_REM); the last one stays."""
        packed = self.codec.pack_addresses(local)
        check(self._lib.sctpio_bindx(self._fd, packed, len(packed), 1), f"unbind {local}")

    def listen(self, backlog: int) -> None:
        """Take associations from peers; a backlog of 0 ends that on a one-to-many socket."""
        check(self._lib.sctpio_listen(self._fd, backlog), "listen")

    def connect(self, remote: Address) -> int:
        """Start an association (SCTP_SOCKOPT_CONNECTX3); its outcome comes as an event."""
        packed = self.codec.pack_addresses(remote)
        identifier = self._ffi.new("int32_t *")
        code = self._lib.sctpio_connectx(self._fd, packed, len(packed), identifier)
        if code != -errno.EINPROGRESS:
            check(code, f"connect to {remote}")
        return identifier[0]

    def accept(self) -> tuple[StackSocket, Address] | None:
        """Give the next association's socket and the peer's address; None when there is none."""
        source, length = self._ffi.new("uint8_t[28]"), self._memory.scratch.length
        length[0] = 28
        fd = self._lib.sctpio_accept(self._fd, source, length)
        if fd in (-errno.EAGAIN, -errno.ECONNABORTED):
            return None
        check(fd, "accept")
        return self._sibling(fd), self._memory.scratch.source(self._ffi.buffer(source)[: length[0]])

    def _sibling(self, fd: int, *, many: bool = False) -> Self:
        return type(self)(fd, v6=self._v6, many=many)

    def receive(self, room: int, most: int | None = None) -> Batch:
        """Receive what there is: up to `room` bytes (within what an arena can have) and `most` records."""
        scratch = self._memory.scratch
        size = ARENA if room >= ARENA else max(room, LEAST_ARENA)
        state = scratch.state
        count = self._lib.sctpio_receive(
            self._fd, scratch.arena, size, scratch.records, most or RECORDS, state
        )
        records: Iterable[RawRecord]
        if count == 1:
            records = (unpack_record(scratch.record_bytes),)
        else:
            if count < 0:
                check(count, "receive")
            records = RECORD.iter_unpack(scratch.record_bytes[: count * RECORD.size])
        return state[0], records, scratch.arena_bytes

    def send(
        self,
        association_id: int,
        data: Buffer,
        stream: int,
        flags: int,
        ppid: int,
        context: int,
        extras: SendExtras | None,
    ) -> bool:
        """Send one message whole: False when there is no room for it now."""
        raw = data if type(data) is bytes else self._ffi.from_buffer("uint8_t[]", data)
        size = len(data)
        if extras is None:
            code = self._lib.sctpio_send_plain(
                self._fd, association_id, raw, size, stream, flags, ppid, context
            )
        else:
            code = self._send_with(association_id, raw, size, stream, flags, ppid, context, extras)
        if code < 0:
            if code == -errno.EAGAIN:
                return False
            check(code, "send")
        return True

    def _send_with(
        self,
        association_id: int,
        raw: "bytes | CData",
        size: int,
        stream: int,
        flags: int,
        ppid: int,
        context: int,
        extras: SendExtras,
    ) -> int:
        message = self._ffi.new(
            "sctpio_outgoing *",
            (size, ppid, context, extras.pr_value, stream, flags, extras.pr_policy),
        )
        return self._lib.sctpio_send(self._fd, self._target(association_id, extras), message, raw)

    def _target(self, association_id: int, extras: SendExtras) -> "CData":
        path = extras.path
        return self._ffi.new(
            "sctpio_target *",
            (association_id, extras.auth_key, len(path), self._legacy, path.ljust(28, b"\0")),
        )

    def send_batch(self, association_id: int, messages: Sequence[Outgoing]) -> int:
        """Send messages in order with one call: how many were taken, 0 when there is no room."""
        packed, shared, known = [], None, dict[int, bytes]()
        for data, head in messages:
            if head is not shared:
                shared, known = head, {}
            size = len(data)
            if size not in known:
                stream, flags, ppid, context = head
                known[size] = OUTGOING.pack(size, ppid, context, 0, stream, flags, 0)
            packed.append(known[size])
        payload = b"".join([data for data, _ in messages])
        code = self._lib.sctpio_send_batch(
            self._fd,
            self._ffi.new("sctpio_target *", (association_id, -1)),
            self._ffi.from_buffer("sctpio_outgoing[]", b"".join(packed)),
            len(messages),
            payload,
            len(payload),
        )
        return 0 if code == -errno.EAGAIN else check(code, "send")

    def shutdown(self, association_id: int) -> None:
        """Send what is queued, then SHUTDOWN."""
        if self._many:
            self._send_flag(association_id, SCTP_EOF, b"")
        else:
            check(self._lib.sctpio_shutdown(self._fd), "shutdown")

    def _send_flag(self, association_id: int, flag: int, data: bytes) -> None:
        code = self._lib.sctpio_send_plain(self._fd, association_id, data, len(data), 0, flag, 0, 0)
        check(code, "send SCTP_EOF" if flag == SCTP_EOF else "send SCTP_ABORT")

    def error(self) -> int:
        """Take the pending error of the socket (SO_ERROR): an errno, or 0."""
        code, raw, _ = self._query(socket.SOL_SOCKET, socket.SO_ERROR, bytes(4))
        check(code, "SO_ERROR")
        return int.from_bytes(raw, sys.byteorder, signed=True)

    def source(self, raw: bytes, association_id: int) -> Address:
        """Decode a record's source.

        It comes without the scope id of an IPv6 address: that is taken from the peer's addresses, and left
        out where those do not have the source.
        """
        found = self._memory.scratch.source(raw)
        host = found.hosts[0]
        if host.version == 4 or not host.is_link_local:
            return found
        known = self._scoped.get(raw)
        if known is None:
            known = self._with_scope(found, association_id)
            if len(self._scoped) >= MOST_SCOPED:
                self._scoped.clear()
            self._scoped[raw] = known
        return known

    def _with_scope(self, source: Address, association_id: int) -> Address:
        try:
            peer = self.peer_addresses(association_id)
        except OSError:
            return source
        same = (host for host in peer.hosts if host.packed == source.hosts[0].packed)
        return Address(next(same, source.hosts[0]), source.port)

    def pack_path(self, path: Address) -> bytes:
        """Encode the one address of a path, as a message's destination."""
        return self.codec.pack_addresses(path)

    def local_addresses(self, association_id: int) -> Address:
        """Give the local addresses of an association, or of the endpoint (SCTP_GET_LOCAL_ADDRS)."""
        return self._addresses(association_id, peer=False)

    def peer_addresses(self, association_id: int) -> Address:
        """Give the peer's addresses (SCTP_GET_PEER_ADDRS)."""
        return self._addresses(association_id, peer=True)

    def _addresses(self, association_id: int, *, peer: bool) -> Address:
        length = self._memory.scratch.length
        code = -errno.ENOMEM
        for space in ADDRESS_SPACE:
            out = self._ffi.new("uint8_t[]", space)
            length[0] = space
            code = self._lib.sctpio_addresses(self._fd, association_id, peer, out, length)
            if code != -errno.ENOMEM:
                break
        check(code, "peer addresses" if peer else "local addresses")
        return self.codec.unpack_addresses(self._ffi.buffer(out)[: length[0]])

    def bound_port(self) -> int:
        """Give the port the socket is bound to, 0 when it is not."""
        out, length = self._ffi.new("uint8_t[28]"), self._memory.scratch.length
        length[0] = 28
        check(self._lib.sctpio_name(self._fd, out, length), "getsockname")
        return self._memory.scratch.source(self._ffi.buffer(out)[: length[0]]).port

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        """Turn an event on or off (SCTP_EVENT)."""
        option, numbers = self.codec.platform.inside["SCTP_EVENT"], self.codec.event_numbers[kind]
        for number in numbers:
            value = EVENT_SUBSCRIPTION.pack(association_id, number, on)
            code = self._lib.sctpio_setsockopt(self._fd, SOL_SCTP, option, value, len(value))
            # Events that came in two forms: the newer one, else the older.
            if code >= 0 or (code != -errno.EINVAL and code != -errno.ENOPROTOOPT):
                break
        check(code, f"SCTP_EVENT {kind.__name__}")

    def get_option(self, query: type[T] | T, association_id: int, address: Address | None) -> T:
        """Read a typed option; a value in place of a type names what is asked about, as its path."""
        kind = query if isinstance(query, type) else type(query)
        spec = self.codec.option(kind)
        packed = self.codec.encode_query(query, association_id, address)
        code, raw, length = self._query(spec.level, spec.number, packed)
        check(code, spec.explain(-code))
        # Linux gives the length of SCTP_PEER_AUTH_CHUNKS without its header: a tail is what its count says.
        return self.codec.decode_option(kind, raw[:length] if spec.tail is None else raw)

    def _query(self, level: int, number: int, query: bytes) -> tuple[int, bytes, int]:
        """Call getsockopt: a result or -errno, the whole buffer, and how much of it the stack claims."""
        value, length = self._ffi.new("uint8_t[]", query), self._memory.scratch.length
        length[0] = len(query)
        code = self._lib.sctpio_getsockopt(self._fd, level, number, value, length)
        return code, self._ffi.buffer(value)[:], length[0]

    def set_option(self, value: Option, association_id: int) -> None:
        """Write a typed option; what it leaves open stays as it is."""
        spec = self.codec.option(type(value))
        # What CURRENT and ALL have now is many values: the codec asks for every field then.
        if spec.needs_merge(value) and association_id not in (Scope.CURRENT, Scope.ALL):
            value = self.codec.merge(value, self.get_option(value, association_id, None))
        packed = self.codec.encode_option(value, association_id)
        code = self._lib.sctpio_setsockopt(self._fd, spec.level, spec.number, packed, len(packed))
        check(code, spec.explain(-code))

    def set_flag(self, level: int, number: int, value: int, name: str) -> None:
        """Write a plain integer option."""
        packed = value.to_bytes(4, sys.byteorder)
        check(self._lib.sctpio_setsockopt(self._fd, level, number, packed, 4), name)

    def _set_inside(self, name: str, value: int) -> None:
        self.set_flag(SOL_SCTP, self.codec.platform.inside[name], value, name)

    def set_up(self) -> None:
        """Set what the loop room relies on."""
        if self._v6:
            self._set_inside("SCTP_I_WANT_MAPPED_V4_ADDR", 0)
        self._set_inside("SCTP_RECVRCVINFO", 1)
        for kind in ALWAYS_SUBSCRIBED:
            self.subscribe(kind, True, 0)

    def set_up_new(self, *, one_to_many: bool) -> None:
        """Set what a socket that was made here starts with."""
        self.set_up()
        self.set_option(NoDelay(True), 0)
        if one_to_many:
            # Else a message that comes in parts would hold back those of all other associations.
            self.set_option(FragmentInterleave(1), 0)

    @abstractmethod
    def abort(self, association_id: int, cause: bytes) -> bool:
        """Send ABORT, if there is an association, now or as the socket is closed: whether with the cause."""

    @abstractmethod
    def peel_off(self, association_id: int) -> StackSocket:
        """Move an association to a socket of its own."""

    @abstractmethod
    def find_association(self, address: Address) -> int | None:
        """Name the association that has this one address as a peer's, if there is one."""

    @abstractmethod
    def watch_end(self) -> EndWatch:
        """Watch for news of an association that the peer has shut down."""
