"""The kernel's SCTP: csrc/kernel.c as a stack.

Everything that affects a new socket's defaults is in `KernelStack.open`.
"""

import errno
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from .._codec import LINUX, OUTGOING, RECORD, Codec, htonl
from ..address import Address
from ..errors import UnavailableError
from ..events import Event
from ..features import Capabilities
from ..options import NoDelay, Option, PeerAddressInfo, Scope
from ._kernel import ffi, lib
from .base import ALWAYS_SUBSCRIBED, Batch, Buffer, EndWatch, Outgoing, SendExtras, StackSocket, T

if TYPE_CHECKING:
    from ._kernel import CData

NAME = "kernel"

# Bytes and records that one receive call may bring; the arena is shared by all sockets of a thread.
ARENA = 256 * 1024
LEAST_ARENA = 64 * 1024
RECORDS = 128

SOL_SCTP = SCTP = 132
SCTP_I_WANT_MAPPED_V4_ADDR = 12
SCTP_GET_PEER_ADDR_INFO = 15
SCTP_FRAGMENT_INTERLEAVE = 18
SCTP_RECVRCVINFO = 32
SCTP_EVENT = 127
SCTP_ABORT = 0x4
SCTP_EOF = 0x200
CLOCK_MONOTONIC_COARSE = 6
SNDBUF_POLICY = Path("/proc/sys/net/sctp/sndbuf_policy")
EVENT_SUBSCRIPTION = struct.Struct("=iHBx")

SOCKADDR_IN6 = 28
SCOPE_ID = 24

# Link-local sources that a socket remembers with their scope.
MOST_SCOPED = 64

ADDRESS_SPACE = (1024, 8 * 1024, 128 * 1024)


def unavailable() -> UnavailableError | None:
    """Say why the kernel's stack cannot be used here, or None."""
    code = -lib.sctpio_probe()
    if code <= 0:
        return None
    if code in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
        text = (
            f"this kernel has no SCTP ({os.strerror(code)}): as root `modprobe sctp` "
            "(Fedora, RHEL: first install kernel-modules-extra), or use a host whose kernel has it"
        )
    else:
        text = f"no SCTP socket can be made: {os.strerror(code)}"
    return UnavailableError(code, text)


def _check(code: int, what: str) -> int:
    if code < 0:
        raise OSError(-code, f"{os.strerror(-code)} ({what})")
    return code


class _Scratch(threading.local):
    """A thread's receive memory, and the small out-parameters of C calls."""

    def __init__(self) -> None:
        self.arena = ffi.new("uint8_t[]", ARENA)
        self.arena_bytes = ffi.buffer(self.arena)
        self.records = ffi.new("sctpio_record[]", RECORDS)
        self.record_bytes = memoryview(ffi.buffer(self.records))
        self.state = ffi.new("int32_t *")
        self.length = ffi.new("uint32_t *")


_scratch = _Scratch()


def _scope_to_index(scope: str) -> int:
    try:
        return socket.if_nametoindex(scope)
    except OSError:
        raise OSError(errno.ENODEV, f"this host has no interface {scope!r}") from None


# Linux counts smoothed round-trip times in its own ticks.
codec = Codec(
    LINUX,
    scope_to_index=_scope_to_index,
    index_to_scope=socket.if_indextoname,
    tick=time.clock_getres(CLOCK_MONOTONIC_COARSE),
)


@lru_cache(maxsize=1024)
def _source(raw: bytes) -> Address:
    return codec.unpack_address(raw)


class KernelEndWatch:
    """An edge-triggered epoll: after the peer's SHUTDOWN the socket itself stays readable for ever."""

    def __init__(self, fd: int) -> None:
        self._epoll = select.epoll()
        try:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        except BaseException:
            self._epoll.close()
            raise

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._epoll.fileno()

    def acknowledge(self) -> None:
        """Take the edge, so that the descriptor is quiet until the next one."""
        self._epoll.poll(0)

    def close(self) -> None:
        """Release the descriptor."""
        self._epoll.close()


class KernelSocket:
    """A kernel socket: see `StackSocket` for what each method promises.

    `many`: its type is SOCK_SEQPACKET, as that of a one-to-many socket and of what is peeled off from one.
    Those end an association by a flag of sendmsg, where a one-to-one socket has shutdown(2) and SO_LINGER.
    """

    __slots__ = ("_fd", "_legacy", "_many", "_scoped", "_v6", "codec", "shares_send_buffer")

    def __init__(self, fd: int, *, v6: bool, many: bool = False) -> None:
        self._fd = fd
        self._scoped: dict[bytes, Address] = {}
        self._v6 = v6
        self._many = many
        self.shares_send_buffer = False
        self._legacy = False
        self.codec = codec

    def fileno(self) -> int:
        """Give the descriptor, -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; the kernel ends the association gracefully unless data was unread."""
        if self._fd >= 0:
            lib.sctpio_close(self.detach())

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
        _check(lib.sctpio_bindx(self._fd, packed, len(packed), 0), f"bind to {local}")

    def unbind(self, local: Address) -> None:
        """Give up addresses that are bound (SCTP_SOCKOPT_BINDX_REM); the last one stays."""
        packed = self.codec.pack_addresses(local)
        _check(lib.sctpio_bindx(self._fd, packed, len(packed), 1), f"unbind {local}")

    def listen(self, backlog: int) -> None:
        """Take associations from peers; a backlog of 0 ends that on a one-to-many socket."""
        _check(lib.sctpio_listen(self._fd, backlog), "listen")

    def connect(self, remote: Address) -> int:
        """Start an association (SCTP_SOCKOPT_CONNECTX3); its outcome comes as an event."""
        packed = self.codec.pack_addresses(remote)
        identifier = ffi.new("int32_t *")
        code = lib.sctpio_connectx(self._fd, packed, len(packed), identifier)
        if code != -errno.EINPROGRESS:
            _check(code, f"connect to {remote}")
        return identifier[0]

    def accept(self) -> tuple[StackSocket, Address] | None:
        """Give the next association's socket and the peer's address; None when there is none."""
        source, length = ffi.new("uint8_t[28]"), _scratch.length
        length[0] = 28
        fd = lib.sctpio_accept(self._fd, source, length)
        if fd in (-errno.EAGAIN, -errno.ECONNABORTED):
            return None
        _check(fd, "accept")
        return KernelSocket(fd, v6=self._v6), _source(ffi.buffer(source)[: length[0]])

    def receive(self, room: int, most: int | None = None) -> Batch:
        """Receive what there is: up to `room` bytes (within what an arena can have) and `most` records."""
        scratch = _scratch
        size = min(max(room, LEAST_ARENA), ARENA)
        count = _check(
            lib.sctpio_receive(
                self._fd, scratch.arena, size, scratch.records, most or RECORDS, scratch.state
            ),
            "receive",
        )
        records = RECORD.iter_unpack(scratch.record_bytes[: count * RECORD.size])
        return Batch(scratch.state[0], records, scratch.arena_bytes)

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
        raw = data if type(data) is bytes else ffi.from_buffer("uint8_t[]", data)
        size = len(data)
        if extras is None:
            code = lib.sctpio_send_plain(
                self._fd, association_id, raw, size, stream, flags, htonl(ppid), context
            )
        else:
            code = self._send_with(association_id, raw, size, stream, flags, ppid, context, extras)
        if code == -errno.EAGAIN:
            return False
        _check(code, "send")
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
        message = ffi.new(
            "sctpio_outgoing *",
            (size, htonl(ppid), context, extras.pr_value, stream, flags, extras.pr_policy),
        )
        code = lib.sctpio_send(self._fd, self._target(association_id, extras), message, raw)
        if code == -errno.EINVAL and extras.pr_policy and not self._legacy:
            # Before Linux 4.17 there is no SCTP_PRINFO; what that kernel takes is SCTP_SNDRCV.
            self._legacy = True
            code = lib.sctpio_send(self._fd, self._target(association_id, extras), message, raw)
            if code == -errno.EINVAL:
                self._legacy = False
        return code

    def _target(self, association_id: int, extras: SendExtras) -> "CData":
        path = extras.path
        return ffi.new(
            "sctpio_target *",
            (association_id, extras.auth_key, len(path), self._legacy, path.ljust(28, b"\0")),
        )

    def send_batch(self, association_id: int, messages: Sequence[Outgoing]) -> int:
        """Send messages in order with one system call: how many were taken, 0 when there is no room."""
        packed = b"".join(
            OUTGOING.pack(
                len(data),
                htonl(ppid),
                context,
                0,
                stream,
                flags,
                0,
            )
            for data, stream, flags, ppid, context in messages
        )
        payload = b"".join(message.data for message in messages)
        code = lib.sctpio_send_batch(
            self._fd,
            ffi.new("sctpio_target *", (association_id, -1)),
            ffi.from_buffer("sctpio_outgoing[]", packed),
            len(messages),
            payload,
            len(payload),
        )
        return 0 if code == -errno.EAGAIN else _check(code, "send")

    def shutdown(self, association_id: int) -> None:
        """Send what is queued, then SHUTDOWN."""
        if self._many:
            self._send_flag(association_id, SCTP_EOF, b"")
        else:
            _check(lib.sctpio_shutdown(self._fd), "shutdown")

    def abort(self, association_id: int, cause: bytes) -> bool:
        """Send ABORT, if there is an association, now or as the socket is closed: whether with the cause."""
        if self._fd < 0:
            return True
        if self._many:
            try:
                self._send_flag(association_id, SCTP_ABORT, cause)
            except BrokenPipeError:
                # It has ended already.
                return True
            except OSError:
                # No chunk can carry so much.
                with suppress(OSError):
                    self._send_flag(association_id, SCTP_ABORT, b"")
                return False
            return True
        lib.sctpio_abort_on_close(self._fd)
        return not cause

    def _send_flag(self, association_id: int, flag: int, data: bytes) -> None:
        code = lib.sctpio_send_plain(self._fd, association_id, data, len(data), 0, flag, 0, 0)
        _check(code, "send SCTP_EOF" if flag == SCTP_EOF else "send SCTP_ABORT")

    def peel_off(self, association_id: int) -> StackSocket:
        """Move an association to a socket of its own (SCTP_SOCKOPT_PEELOFF_FLAGS)."""
        fd = _check(lib.sctpio_peeloff(self._fd, association_id), f"peel off association {association_id}")
        return KernelSocket(fd, v6=self._v6, many=True)

    def find_association(self, address: Address) -> int | None:
        """Name the association that has this one address as a peer's, if there is one."""
        query = self.codec.encode_query(PeerAddressInfo, 0, address)
        code, found, _ = self._query(SOL_SCTP, SCTP_GET_PEER_ADDR_INFO, query)
        return None if code < 0 else int.from_bytes(found[:4], sys.byteorder, signed=True)

    def error(self) -> int:
        """Take the pending error of the socket (SO_ERROR): an errno, or 0."""
        code, raw, _ = self._query(socket.SOL_SOCKET, socket.SO_ERROR, bytes(4))
        _check(code, "SO_ERROR")
        return int.from_bytes(raw, sys.byteorder, signed=True)

    def source(self, raw: bytes, association_id: int) -> Address:
        """Decode a record's source.

        The scope id of an IPv6 source is garbage on Linux 6.1 (and changes with each message): it is taken
        from the peer's addresses, and left out where those do not have the source.
        """
        if len(raw) != SOCKADDR_IN6:
            return _source(raw)
        raw = raw[:SCOPE_ID] + bytes(SOCKADDR_IN6 - SCOPE_ID)
        found = _source(raw)
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
        length = _scratch.length
        code = -errno.ENOMEM
        for space in ADDRESS_SPACE:
            out = ffi.new("uint8_t[]", space)
            length[0] = space
            code = lib.sctpio_addresses(self._fd, association_id, peer, out, length)
            if code != -errno.ENOMEM:
                break
        _check(code, "peer addresses" if peer else "local addresses")
        return self.codec.unpack_addresses(ffi.buffer(out)[: length[0]])

    def bound_port(self) -> int:
        """Give the port the socket is bound to, 0 when it is not."""
        out, length = ffi.new("uint8_t[28]"), _scratch.length
        length[0] = 28
        _check(lib.sctpio_name(self._fd, out, length), "getsockname")
        return _source(ffi.buffer(out)[: length[0]]).port

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        """Turn an event on or off (SCTP_EVENT)."""
        numbers = self.codec.event_numbers[kind]
        for number in numbers:
            value = EVENT_SUBSCRIPTION.pack(association_id, number, on)
            code = lib.sctpio_setsockopt(self._fd, SOL_SCTP, SCTP_EVENT, value, len(value))
            # Events that came in two forms: the newer one, else the older.
            if code >= 0 or (code != -errno.EINVAL and code != -errno.ENOPROTOOPT):
                break
        _check(code, f"SCTP_EVENT {kind.__name__}")

    def get_option(self, query: type[T] | T, association_id: int, address: Address | None) -> T:
        """Read a typed option; a value in place of a type names what is asked about, as its path."""
        kind = query if isinstance(query, type) else type(query)
        spec = self.codec.option(kind)
        packed = self.codec.encode_query(query, association_id, address)
        code, raw, length = self._query(spec.level, spec.number, packed)
        _check(code, spec.explain(-code))
        # Linux gives the length of SCTP_PEER_AUTH_CHUNKS without its header: a tail is what its count says.
        return self.codec.decode_option(kind, raw[:length] if spec.tail is None else raw)

    def _query(self, level: int, number: int, query: bytes) -> tuple[int, bytes, int]:
        """Call getsockopt: a result or -errno, the whole buffer, and how much of it the kernel claims."""
        value, length = ffi.new("uint8_t[]", query), _scratch.length
        length[0] = len(query)
        code = lib.sctpio_getsockopt(self._fd, level, number, value, length)
        return code, ffi.buffer(value)[:], length[0]

    def knows(self, level: int, number: int, *, reads: bool) -> bool:
        """Tell whether this kernel has an option at all: nothing is read or set."""
        length = _scratch.length
        length[0] = 0
        if reads:
            code = lib.sctpio_getsockopt(self._fd, level, number, ffi.NULL, length)
        else:
            code = lib.sctpio_setsockopt(self._fd, level, number, b"", 0)
        return code != -errno.ENOPROTOOPT

    def set_option(self, value: Option, association_id: int) -> None:
        """Write a typed option; what it leaves open stays as it is."""
        spec = self.codec.option(type(value))
        # What CURRENT and ALL have now is many values: the codec asks for every field then.
        if spec.needs_merge(value) and association_id not in (Scope.CURRENT, Scope.ALL):
            value = self.codec.merge(value, self.get_option(value, association_id, None))
        packed = self.codec.encode_option(value, association_id)
        code = lib.sctpio_setsockopt(self._fd, spec.level, spec.number, packed, len(packed))
        _check(code, spec.explain(-code))

    def set_flag(self, level: int, number: int, value: int, name: str) -> None:
        """Write a plain integer option."""
        packed = value.to_bytes(4, sys.byteorder)
        _check(lib.sctpio_setsockopt(self._fd, level, number, packed, 4), name)

    def watch_end(self) -> EndWatch:
        """Watch for news of an association that the peer has shut down."""
        return KernelEndWatch(self._fd)


class KernelStack:
    """Linux's own SCTP."""

    name = NAME

    def open(self, *addresses: Address, one_to_many: bool = False) -> KernelSocket:
        """Make a socket that can reach or bind the addresses: IPv4 alone, or IPv6 with IPv4 beside it."""
        hosts = [host for address in addresses for host in address.hosts]
        v6 = any(host.version == 6 for host in hosts) or (not hosts and socket.has_ipv6)
        fd = lib.sctpio_open(socket.AF_INET6 if v6 else socket.AF_INET, one_to_many)
        if fd == -errno.EAFNOSUPPORT and v6 and not hosts:
            v6, fd = False, lib.sctpio_open(socket.AF_INET, one_to_many)
        opened = KernelSocket(_check(fd, "socket"), v6=v6, many=one_to_many)
        try:
            if v6:
                opened.set_flag(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0, "IPV6_V6ONLY")
            _set_up(opened, v6=v6)
            opened.set_option(NoDelay(True), 0)
            if one_to_many:
                # Else a message that comes in parts would hold back those of all other associations.
                opened.set_flag(SOL_SCTP, SCTP_FRAGMENT_INTERLEAVE, 1, "SCTP_FRAGMENT_INTERLEAVE")
                opened.shares_send_buffer = SNDBUF_POLICY.read_text().strip() == "0"
        except BaseException:
            opened.close()
            raise
        return opened

    def adopt(self, descriptor: int) -> KernelSocket:
        """Take over a socket of one association that was made elsewhere; on failure it stays the caller's.

        Raises ValueError for a descriptor of another kind, OSError (EBADF) for none.
        """
        with socket.socket(fileno=os.dup(descriptor)) as python:
            many = python.type == socket.SOCK_SEQPACKET
            if python.proto != SCTP or not (python.type == socket.SOCK_STREAM or (many and _peeled(python))):
                raise ValueError(
                    f"descriptor {descriptor} is no SCTP socket of one association, but {python!r}"
                )
            v6 = python.family == socket.AF_INET6
        adopted = KernelSocket(descriptor, v6=v6, many=many)
        _set_up(adopted, v6=v6)
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)
        return adopted

    def capabilities(self) -> Capabilities:
        """Ask what this host's kernel offers."""
        # Seldom asked, and it needs this module.
        from .kernel_capabilities import ask

        return ask(self)


def _peeled(python: socket.socket) -> bool:
    """Tell a peeled-off socket from a one-to-many socket, which has no peer; SO_TYPE is the same."""
    try:
        python.getpeername()
    except OSError:
        return False
    # That of a listening one-to-many socket is whom it connected to last.
    return not python.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def _set_up(opened: KernelSocket, *, v6: bool) -> None:
    """Set what the loop room relies on."""
    if v6:
        opened.set_flag(SOL_SCTP, SCTP_I_WANT_MAPPED_V4_ADDR, 0, "SCTP_I_WANT_MAPPED_V4_ADDR")
    opened.set_flag(SOL_SCTP, SCTP_RECVRCVINFO, 1, "SCTP_RECVRCVINFO")
    for kind in ALWAYS_SUBSCRIBED:
        opened.subscribe(kind, True, 0)


STACK = KernelStack()
