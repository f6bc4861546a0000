"""What the sockets of both stacks have in common: Python around the C functions of csrc/sctpio.h.

Each stack is a compiled module that has all functions of that header, with the same meanings, and returns
a number of 0 or more, or a negative errno. `NativeSocket` turns their results into values and OSErrors; the
stack's own module (`kernel.socket`, `usrsctp.socket`) gives it the compiled module (`_ffi`, `_lib`) and the
codec, and overrides what its stack does in another way.

Memory: a thread has one arena and one set of out-parameters (`Scratch`), which all its sockets use in turn.
So what a call has left there is taken before the next call, and nothing is allocated for a receive.
"""

import errno
import os
import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, ClassVar, Self

from .._abi.codec import Codec
from .._abi.contract import OUTGOING, PR_PRIO, PR_RTX, PR_TTL, RECORDS, SEND_EOF
from ..address import Address, Host
from ..errors import UnavailableError
from ..events import Event
from ..options import DefaultPrInfo, DisableFragments, FragmentInterleave, NoDelay, Option, Scope, SendBuffer
from .base import (
    ALWAYS_SUBSCRIBED,
    Batch,
    Buffer,
    EndWatch,
    Outgoing,
    PlainCall,
    SendExtras,
    StackSocket,
    T,
)

if TYPE_CHECKING:
    from ._kernel import FFI, CData, Contract
    from ._kernel import Buffer as Memory

# The bytes of the arena that a receive call is offered at least, so that a large message does not come in
# many small parts when the receive buffer is nearly full; and all of it, so the most that one call brings.
# After a message of 256 KiB the first is left, so the same call finds that nothing follows.
LEAST_ARENA = 64 * 1024
ARENA = 256 * 1024 + LEAST_ARENA

SOL_SCTP = 132
EVENT_SUBSCRIPTION = struct.Struct("=iHBx")

# How many link-local sources a socket remembers with their scope.
MOST_SCOPED = 64

# The bytes that are tried in turn for an association's addresses: few have more than the first.
ADDRESS_SPACE = (1024, 8 * 1024, 128 * 1024)


# A stack in this process does not survive a fork (csrc/usrsctp/process.h).
FORKED = (
    "the usrsctp stack belongs to the process that began to use it: it does not work in this one, which was"
    " forked from there (start processes by spawn or exec, or fork before the first socket)"
)


def families(addresses: Iterable[Address], towards: Address | None) -> tuple[bool, bool]:
    """Return whether a new socket is one of IPv6, which takes IPv4 too, and whether it has to be.

    It has to be if an address to bind or to reach is, and is for a wildcard, where this Python has IPv6.
    """
    named = (*addresses, *(() if towards is None else (towards,)))
    needed = any(host.version == 6 for address in named for host in address.hosts)
    wildcard = not named or not all(address.hosts for address in named)
    return needed or (wildcard and socket.has_ipv6), needed


def check(code: int, what: str) -> int:
    """Return a result of a C function, or raise OSError for a negative errno; `what` was to be done.

    UnavailableError in a forked child of a stack that lives in the process.
    """
    if code < 0:
        if code == -errno.ENOTRECOVERABLE:
            raise UnavailableError(-code, FORKED)
        raise OSError(-code, f"{os.strerror(-code)} ({what})")
    return code


def scope_to_index(scope: str) -> int:
    """Return the number of the interface that an IPv6 scope id names, or is (RFC 4007 section 11.2)."""
    # The name first: an interface may be called by a number.
    with suppress(OSError):
        return socket.if_nametoindex(scope)
    if scope.isascii() and scope.isdigit() and 0 < int(scope) <= 0x7FFFFFFF:
        with suppress(OSError):
            socket.if_indextoname(int(scope))
            return int(scope)
    raise OSError(errno.ENODEV, f"this host has no interface {scope!r}")


class Scratch:
    """A thread's receive memory, the small out-parameters of C calls, and the sources it has decoded."""

    __slots__ = ("arena", "arena_bytes", "length", "record_bytes", "records", "source", "state")

    def __init__(self, ffi: "FFI", codec: Codec) -> None:
        # Many messages come from few peers.
        self.source: Callable[[bytes], Address] = lru_cache(maxsize=1024)(codec.unpack_address)
        self.arena: CData = ffi.new("uint8_t[]", ARENA)
        self.arena_bytes: Memory = ffi.buffer(self.arena)
        self.records: CData = ffi.new("sctpio_record[]", RECORDS)
        self.record_bytes: Memory = ffi.buffer(self.records)
        self.state: CData = ffi.new("int32_t *")
        self.length: CData = ffi.new("uint32_t *")


class PerThread(threading.local):
    """Each thread's own `Scratch`. A method looks it up once: each look-up costs as much as a C call."""

    def __init__(self, ffi: "FFI", codec: Codec) -> None:
        self.scratch: Scratch = Scratch(ffi, codec)


class NativeSocket(ABC):
    """A socket of a stack in C; `base` says what all methods promise.

    `v6` is its family. `many` says that its associations are ended by a flag of a message, because the calls
    that end one (shutdown, SO_LINGER) would mean the whole socket.
    """

    __slots__ = (
        "_fd",
        "_fills_policy",
        "_legacy",
        "_many",
        "_receive",
        "_scoped",
        "_send_plain",
        "_v6",
        "batches",
        "has_large",
        "named",
        "shares_send_buffer",
    )

    codec: Codec
    stack: str
    _ffi: "ClassVar[FFI]"
    _lib: "ClassVar[Contract]"
    _memory: ClassVar[PerThread]

    def __init__(self, fd: int, *, v6: bool, many: bool = False) -> None:
        self._fd = fd
        # Kept here, because to look them up takes a tenth of what they do.
        self._receive = self._lib.sctpio_receive
        self._send_plain = self._lib.sctpio_send_plain
        self._scoped: dict[bytes, Address] = {}
        self._v6 = v6
        self._many = many
        # The addresses that were bound by name; without any, the socket has all of this host.
        self.named: tuple[Host, ...] = ()
        self.shares_send_buffer: bool = False
        # How many batches were received.
        self.batches: int = 0
        # Whether the next message is likely to be large: see `_receive_large`.
        self.has_large: bool = False
        # Whether SCTP_SNDRCV takes the place of SCTP_SNDINFO and SCTP_PRINFO: see KernelSocket.
        self._legacy = False
        # Whether an association of this socket may have a DefaultPrInfo: see `_default_policy`.
        self._fills_policy = False

    def transport(self, *, no_answer: bool = False) -> str:
        """Return how its packets travel, for people, with advice where a peer gives `no_answer`."""
        return self.stack

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor: associations end by SHUTDOWN, or by ABORT where data was unread."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._lib.sctpio_close(fd)

    def detach(self) -> int:
        """Return the descriptor and forget it: the association lives on with whoever has it now."""
        fd, self._fd = self._fd, -1
        return fd

    def disown(self) -> None:
        """Close a forked child's copy of the descriptor, and do nothing to what it belongs to."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @contextmanager
    def kept_by_caller(self) -> Iterator[None]:
        """Leave the descriptor to the caller where what runs inside fails."""
        try:
            yield
        except BaseException:
            self._fd = -1
            raise

    def __del__(self) -> None:
        # The last resort: whoever had it could not close it, as where its loop was closed first.
        if getattr(self, "_fd", -1) >= 0:
            self.close()

    def reuse_address(self) -> None:
        """Let the port be bound while associations of a closed socket still end on it (SO_REUSEADDR)."""
        self.set_flag(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1, "SO_REUSEADDR")

    def bind(self, local: Address) -> None:
        """Bind all addresses of `local`; the wildcard means every address of the host."""
        hosts = local.hosts or ((IPv6Address(0),) if self._v6 else (IPv4Address(0),))
        packed = self.codec.pack_addresses(Address(hosts, local.port))
        check(self._lib.sctpio_bindx(self._fd, packed, len(packed), 0), f"bind to {local}")
        self.named += tuple(host for host in local.hosts if not host.is_unspecified)

    def unbind(self, local: Address) -> None:
        """Remove bound addresses (SCTP_SOCKOPT_BINDX_REM); OSError for the last one, which has to stay."""
        packed = self.codec.pack_addresses(local)
        check(self._lib.sctpio_bindx(self._fd, packed, len(packed), 1), f"unbind {local}")
        self.named = tuple(host for host in self.named if host not in local.hosts)

    @property
    def versions(self) -> frozenset[int]:
        """The versions of IP in which the socket reaches peers: those of its addresses."""
        if self.named:
            return frozenset(host.version for host in self.named)
        return frozenset((4, 6) if self._v6 else (4,))

    @abstractmethod
    def why_left_out(self) -> str:
        """Return why an association may be without an address that was bound by name, and what helps."""

    def why_too_large(self, association_id: int) -> str:
        """Return what bounds the size of a message, and how it is raised."""
        if self.get_option(DisableFragments, association_id, None).enabled:
            return "does not fit one packet, and DisableFragments keeps the stack from dividing it"
        return self._why_too_large_to_buffer(association_id)

    def _why_too_large_to_buffer(self, association_id: int) -> str:
        size = self.get_option(SendBuffer, association_id, None).size
        return (
            f"is larger than the send buffer of {size} bytes takes: set_option(SendBuffer(...)) makes that"
            " larger, also while the association is up"
        )

    def listen(self, backlog: int) -> None:
        """Accept associations from peers; a backlog of 0 ends that."""
        check(self._lib.sctpio_listen(self._fd, backlog), "listen")

    def connect(self, remote: Address) -> int:
        """Begin to set up an association and return its id; the outcome comes as an event.

        All addresses of `remote` are used (SCTP_SOCKOPT_CONNECTX3).
        """
        packed = self.codec.pack_addresses(remote)
        identifier = self._ffi.new("int32_t *")
        code = self._lib.sctpio_connectx(self._fd, packed, len(packed), identifier)
        if code != -errno.EINPROGRESS:
            check(code, f"connect to {remote}")
        return identifier[0]

    def accept(self) -> tuple[StackSocket, Address] | None:
        """Return the next association's socket and its peer's address; None when there is none now."""
        source, length = self._ffi.new("uint8_t[28]"), self._memory.scratch.length
        length[0] = 28
        fd = self._lib.sctpio_accept(self._fd, source, length)
        # ECONNABORTED: the association has ended while it waited to be accepted.
        if fd in (-errno.EAGAIN, -errno.ECONNABORTED):
            return None
        check(fd, "accept")
        return self._sibling(fd), self._memory.scratch.source(self._ffi.buffer(source)[: length[0]])

    def _sibling(self, fd: int, *, many: bool = False) -> Self:
        """Return a socket for an association that was accepted or peeled off here, with what it inherits."""
        sibling = type(self)(fd, v6=self._v6, many=many)
        sibling._fills_policy = self._fills_policy
        sibling.named = self.named
        return sibling

    def receive(self, space: int, most: int | None = None) -> Batch:
        """Receive messages and events that are queued, up to `most` records.

        `space` is how many bytes of data the caller can take. It is kept to only within the bounds of an
        arena: a caller may be given somewhat more.
        """
        self.batches += 1
        if self.has_large and (batch := self._receive_large(space)) is not None:
            return batch
        scratch = self._memory.scratch
        size = ARENA if space >= ARENA else max(space, LEAST_ARENA)
        state = scratch.state
        receive = self._receive
        count = receive(self._fd, scratch.arena, size, scratch.records, most or RECORDS, state)
        if count < 0:
            check(count, "receive")
        return state[0], count, scratch.record_bytes, scratch.arena_bytes

    def _receive_large(self, space: int) -> Batch | None:
        """Receive a large message straight into bytes of its own, and nothing else; None if none is next.

        The state is LARGE then, as nobody has looked at what follows.
        """
        return None

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
        """Send one message, whole or not at all: False when the send buffer has no space for it now.

        A message without a PR-SCTP policy goes by the association's DefaultPrInfo, if one was set.
        """
        if self._fills_policy and (extras is None or not extras.pr_policy):
            extras = self._with_default_policy(association_id, extras)
        # cffi passes bytes as a pointer by itself; other buffers need a view, and only these.
        raw = data if type(data) is bytes else self._ffi.from_buffer("uint8_t[]", data)
        size = len(data)
        if extras is None:
            send_plain = self._send_plain
            code = send_plain(self._fd, association_id, raw, size, stream, flags, ppid, context)
        else:
            message = self._ffi.new(
                "sctpio_outgoing *",
                (size, ppid, context, extras.pr_value, stream, flags, extras.pr_policy),
            )
            code = self._send_with(association_id, message, raw, extras)
        if code < 0:
            if code == -errno.EAGAIN:
                return False
            check(code, "send")
        return True

    def plain_call(self) -> PlainCall | None:
        """Return what the accelerator sends ordinary messages with; None where it has no part in that."""
        return None

    def _send_with(
        self, association_id: int, message: "CData", raw: "bytes | CData", extras: SendExtras
    ) -> int:
        """Call sctpio_send: a result or -errno. Stacks override it for what they do in another way."""
        return self._lib.sctpio_send(self._fd, self._target(association_id, extras), message, raw)

    def _target(self, association_id: int, extras: SendExtras) -> "CData":
        path = extras.path
        return self._ffi.new(
            "sctpio_target *",
            (association_id, extras.auth_key, len(path), self._legacy, path.ljust(28, b"\0")),
        )

    def _with_default_policy(self, association_id: int, extras: SendExtras | None) -> SendExtras | None:
        """Return the extras of a message that names no policy, with the default one if there is any."""
        policy, value = self._default_policy(association_id)
        if not policy:
            return extras
        if extras is None:
            return SendExtras(policy, value)
        return SendExtras(policy, value, extras.path, extras.auth_key)

    def _default_policy(self, association_id: int) -> tuple[int, int]:
        """Return the PR-SCTP policy and value that an association's DefaultPrInfo sets; (0, 0) is none.

        Both stacks apply SCTP_DEFAULT_PRINFO only to messages that come without SCTP_SNDINFO, and ours all
        have it; Linux even takes the number of any policy for a lifetime in milliseconds then. So a message
        that names no policy is given the one that the association has. It is asked for each time: an
        association keeps what its socket had when it began, and association ids are used again.
        """
        try:
            default = self.get_option(DefaultPrInfo, association_id, None)
        except OSError:
            # The association is over, which the send is about to tell, or Linux is older than 4.8.
            return 0, 0
        if default.lifetime:
            return PR_TTL, max(1, round(default.lifetime * 1000))
        if default.max_retransmissions is not None:
            return PR_RTX, default.max_retransmissions
        if default.priority is not None:
            return PR_PRIO, default.priority
        return 0, 0

    def send_batch(self, association_id: int, messages: Sequence[Outgoing], bundle: bool) -> int:
        """Send messages in order with one call and return how many were taken.

        That is 0 when the send buffer has no space. An OSError means that not even the first was taken. With
        `bundle` they may share packets; the stack holds none of them back when this returns.
        """
        policy, value = self._default_policy(association_id) if self._fills_policy else (0, 0)
        # The messages of a batch are mostly sent alike: those with the same head and size are packed once.
        packed, alike, shared, last = [], b"", None, -1
        known: dict[int, bytes] = {}
        for data, head in messages:
            size = len(data)
            if head is not shared or size != last:
                if head is not shared:
                    shared, known = head, {}
                if size not in known:
                    stream, flags, ppid, context = head
                    known[size] = OUTGOING.pack(size, ppid, context, value, stream, flags, policy)
                alike, last = known[size], size
            packed.append(alike)
        payload = b"".join([data for data, _ in messages])
        code = self._send_packed(association_id, b"".join(packed), payload, policy, bundle)
        return 0 if code == -errno.EAGAIN else check(code, "send")

    def _send_packed(
        self, association_id: int, packed: bytes, payload: bytes, policy: int, bundle: bool
    ) -> int:
        """Call sctpio_send_batch: a number of messages or -errno."""
        return self._lib.sctpio_send_batch(
            self._fd,
            self._ffi.new("sctpio_target *", (association_id, -1, 0, self._legacy, b"", bundle)),
            self._ffi.from_buffer("sctpio_outgoing[]", packed),
            len(packed) // OUTGOING.size,
            payload,
            len(payload),
        )

    def shutdown(self, association_id: int) -> None:
        """End an association gracefully: what is queued is sent first, then SHUTDOWN (RFC 9260 9.2)."""
        if self._many:
            self._send_flag(association_id, SEND_EOF, b"")
        else:
            check(self._lib.sctpio_shutdown(self._fd), "shutdown")

    def _send_flag(self, association_id: int, flag: int, data: bytes) -> None:
        code = self._lib.sctpio_send_plain(self._fd, association_id, data, len(data), 0, flag, 0, 0)
        check(code, "send SCTP_EOF" if flag == SEND_EOF else "send SCTP_ABORT")

    def error(self) -> int:
        """Return the pending error of the socket (SO_ERROR), an errno or 0; it is gone by that."""
        code, raw, _ = self._query(socket.SOL_SOCKET, socket.SO_ERROR, bytes(4))
        check(code, "SO_ERROR")
        return int.from_bytes(raw, sys.byteorder, signed=True)

    def source(self, raw: bytes, association_id: int) -> Address:
        """Return the address that a received part came from.

        A record has no scope id for a link-local IPv6 address. It is taken from the peer's addresses, and
        left out where the source is none of them.
        """
        found = self._memory.scratch.source(raw)
        host = found.hosts[0]
        if host.version == 4 or not host.is_link_local:
            return found
        known = self._scoped.get(raw)
        if known is None:
            # Remembered, because it takes a system call.
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
        """Return the one address of a path as `SendExtras.path` takes it."""
        return self.codec.pack_addresses(path)

    def local_addresses(self, association_id: int) -> Address:
        """Return the local addresses of an association, or of the socket (SCTP_GET_LOCAL_ADDRS)."""
        return self._addresses(association_id, peer=False)

    def peer_addresses(self, association_id: int) -> Address:
        """Return the addresses of an association's peer (SCTP_GET_PEER_ADDRS)."""
        return self._addresses(association_id, peer=True)

    def announced(self, association_id: int) -> Address:
        """Return the local addresses that an association's peer was told of."""
        return self.local_addresses(association_id)

    def _addresses(self, association_id: int, *, peer: bool) -> Address:
        length = self._memory.scratch.length
        code = -errno.ENOMEM
        # ENOMEM is how a stack says that the addresses do not fit.
        for space in ADDRESS_SPACE:
            out = self._ffi.new("uint8_t[]", space)
            length[0] = space
            code = self._lib.sctpio_addresses(self._fd, association_id, peer, out, length)
            if code != -errno.ENOMEM:
                break
        check(code, "peer addresses" if peer else "local addresses")
        return self.codec.unpack_addresses(self._ffi.buffer(out)[: length[0]])

    def bound_port(self) -> int:
        """Return the port that the socket is bound to, 0 if it is not bound."""
        out, length = self._ffi.new("uint8_t[28]"), self._memory.scratch.length
        length[0] = 28
        check(self._lib.sctpio_name(self._fd, out, length), "getsockname")
        return self._memory.scratch.source(self._ffi.buffer(out)[: length[0]]).port

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        """Turn an event on or off (SCTP_EVENT, RFC 6458 section 6.2.2).

        Raises:
            OSError: the stack has no such event, or no such association.
        """
        option, numbers = self.codec.platform.inside["SCTP_EVENT"], self.codec.event_numbers[kind]
        for number in numbers:
            value = EVENT_SUBSCRIPTION.pack(association_id, number, on)
            code = self._lib.sctpio_setsockopt(self._fd, SOL_SCTP, option, value, len(value))
            # An event may have two forms: the newer one first, else the older (SendFailed).
            if code >= 0 or (code != -errno.EINVAL and code != -errno.ENOPROTOOPT):
                break
        check(code, f"SCTP_EVENT {kind.__name__}")

    def get_option(self, query: type[T] | T, association_id: int, address: Address | None) -> T:
        """Return the value of an option.

        A value in place of a type says what is asked about (a stream, a policy, a path), and `address` is the
        path of an option that is per path.

        Raises:
            ValueError: the option cannot be read, or not like this; see `Codec.encode_query`.
            OSError: the stack refuses, or has no such option (ENOPROTOOPT); the text names it.
            DecodeError: the stack has given something else.
        """
        kind = query if isinstance(query, type) else type(query)
        spec = self.codec.option(kind)
        packed = self.codec.encode_query(query, association_id, address)
        code, raw, length = self._query(spec.level, spec.number, packed)
        check(code, spec.explain(-code))
        # Linux tells the length of SCTP_PEER_AUTH_CHUNKS without its header, so the whole buffer is decoded
        # where a struct has a tail: the count in the struct says how long that is.
        return self.codec.decode_option(kind, raw[:length] if spec.tail is None else raw)

    def _query(self, level: int, number: int, query: bytes) -> tuple[int, bytes, int]:
        """Call getsockopt: return its result or -errno, the whole buffer, and the length that it told."""
        value, length = self._ffi.new("uint8_t[]", query), self._memory.scratch.length
        length[0] = len(query)
        code = self._lib.sctpio_getsockopt(self._fd, level, number, value, length)
        return code, self._ffi.buffer(value)[:], length[0]

    def set_option(self, value: Option, association_id: int) -> None:
        """Set an option; fields that are None stay as they are.

        Raises:
            ValueError: the option or a field cannot be set, or not for that scope.
            OSError: the stack refuses, or has no such option (ENOPROTOOPT); the text names it.
        """
        spec = self.codec.option(type(value))
        # For CURRENT and ALL there is no one value to fill the fields from: the codec asks for every field.
        if spec.needs_merge(value) and association_id not in (Scope.CURRENT, Scope.ALL):
            value = self.codec.merge(value, self.get_option(value, association_id, None))
        packed = self.codec.encode_option(value, association_id)
        code = self._lib.sctpio_setsockopt(self._fd, spec.level, spec.number, packed, len(packed))
        check(code, spec.explain(-code))
        if isinstance(value, DefaultPrInfo):
            self._fills_policy = True

    def set_flag(self, level: int, number: int, value: int, name: str) -> None:
        """Set an option that is an int."""
        packed = value.to_bytes(4, sys.byteorder)
        check(self._lib.sctpio_setsockopt(self._fd, level, number, packed, 4), name)

    def _set_inside(self, name: str, value: int) -> None:
        self.set_flag(SOL_SCTP, self.codec.platform.inside[name], value, name)

    def set_up(self) -> None:
        """Set what the event loop's side relies on, on a new or an adopted socket."""
        if self._v6:
            # IPv4 peers of an IPv6 socket are told as IPv4 addresses then.
            self._set_inside("SCTP_I_WANT_MAPPED_V4_ADDR", 0)
        # Each message comes with its stream, PPID and so on (RFC 6458 section 5.3.5).
        self._set_inside("SCTP_RECVRCVINFO", 1)
        for kind in ALWAYS_SUBSCRIBED:
            self.subscribe(kind, True, 0)

    def look_for_policy(self) -> None:
        """Find out whether the association of an adopted socket has a DefaultPrInfo from those before us."""
        self._fills_policy = self._default_policy(0) != (0, 0)

    def decode_event(self, data: bytes) -> Event:
        """Read one whole notification, raising DecodeError; see `Codec.decode_event`."""
        return self.codec.decode_event(data)

    def set_up_new(self, *, one_to_many: bool) -> None:
        """Set what a socket that was made here starts with: the defaults of this package."""
        self.set_up()
        self.set_option(NoDelay(True), 0)
        if one_to_many:
            # Without it a message that comes in parts holds back the messages of all other associations.
            self.set_option(FragmentInterleave(1), 0)

    @abstractmethod
    def use_defaults(self, receive_buffer: int) -> None:
        """Choose for a new socket what its stack would choose worse, before any option is set.

        `receive_buffer` is how many bytes its owner lets lie unread.
        """

    @abstractmethod
    def abort(self, association_id: int, cause: bytes) -> bool:
        """End an association by ABORT, now or when the socket is closed, and do nothing without one.

        Returns whether the peer is told the `cause`, an upper-layer reason (RFC 9260 section 3.3.10.12).
        """

    @abstractmethod
    def peel_off(self, association_id: int) -> StackSocket:
        """Move an association to a socket of its own and return that."""

    @abstractmethod
    def find_association(self, address: Address) -> int | None:
        """Return the id of the association with a peer of this address (one host), None without one."""

    @abstractmethod
    def watch_end(self) -> EndWatch:
        """Return what turns readable when there is news of an association that the peer has shut down."""
