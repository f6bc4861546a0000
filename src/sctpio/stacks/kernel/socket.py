"""The kernel's SCTP: csrc/kernel/kernel.c as a stack.

`KernelStack` makes sockets: whatever affects the defaults of a new one is in its `open`. `KernelSocket` is
`NativeSocket` with what Linux does in a way of its own: how associations are aborted, the older form of a
message with a policy, and how the end of an association is watched; and with what keeps Linux from falling
silent under a flood (`defaults`, `allowance`).
"""

import errno
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Self

from ..._abi.codec import Codec
from ..._abi.contract import MORE, SACK_IMMEDIATELY, SEND_ABORT
from ..._abi.linux import LINUX
from ..._accelerator import compiled
from ...address import Address
from ...errors import UnavailableError
from ...events import AssociationChange, AssociationState, Event
from ...options import Option, PeerAddressInfo, Scope, SendBuffer, Status
from .._kernel import ffi, lib
from ..base import LARGE, LARGE_SIZE, Batch, Buffer, EndWatch, Outgoing, PlainCall, SendExtras
from ..native import LEAST_ARENA, SOL_SCTP, NativeSocket, PerThread, check, families, scope_to_index
from .allowance import CHUNK_COST, SMALL_COSTS, Allowance, cost
from .defaults import Defaults, set_buffers

if TYPE_CHECKING:
    from .._kernel import CData

NAME = "kernel"

RECEIVE_ADDRESS = int(ffi.cast("uintptr_t", ffi.addressof(lib, "sctpio_receive")))
PLAIN_ADDRESS = int(ffi.cast("uintptr_t", ffi.addressof(lib, "sctpio_send_plain")))
BATCH_ADDRESS = int(ffi.cast("uintptr_t", ffi.addressof(lib, "sctpio_send_batch")))
SCTP = 132
SCTP_GET_PEER_ADDR_INFO = 15
CLOCK_MONOTONIC_COARSE = 6
SNDBUF_POLICY = "/proc/sys/net/sctp/sndbuf_policy"
WMEM_MAX = "/proc/sys/net/core/wmem_max"
ADDR_SCOPE_POLICY = "/proc/sys/net/sctp/addr_scope_policy"


def unavailable() -> UnavailableError | None:
    """Return the reason why the kernel's stack cannot be used here, None if it can."""
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


def setting(path: str) -> int | None:
    """Return a number under /proc/sys as this network namespace has it, None if it cannot be read."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


class KernelEndWatch:
    """An edge-triggered epoll descriptor on the socket: see `base.EndWatch`."""

    def __init__(self, fd: int) -> None:
        self._epoll = select.epoll()
        try:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        except BaseException:
            self._epoll.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._epoll.fileno()

    def acknowledge(self) -> None:
        """Take the edge: the descriptor is quiet until the next one."""
        self._epoll.poll(0)

    def close(self) -> None:
        """Close the descriptor."""
        self._epoll.close()


# The data of a message that is to be sent.
FIRST: Callable[[Outgoing], Buffer] = itemgetter(0)


class KernelSocket(NativeSocket):
    """A kernel socket.

    `many` says that its type is SOCK_SEQPACKET: a one-to-many socket, or one that was peeled off from it. The
    kernel has shutdown(2) and SO_LINGER for SOCK_STREAM only; on the others a flag of sendmsg ends an
    association.
    """

    __slots__ = ("_allowances", "_defaults")

    has_large: bool
    shares_send_buffer: bool
    # Linux tells smoothed round-trip times in ticks of this clock.
    stack = NAME
    codec: Codec = Codec(
        LINUX,
        scope_to_index=scope_to_index,
        index_to_scope=socket.if_indextoname,
        tick=time.clock_getres(CLOCK_MONOTONIC_COARSE),
    )
    _ffi = ffi
    _lib = lib
    _memory = PerThread(ffi, codec)

    def __init__(self, fd: int, *, v6: bool, many: bool = False) -> None:
        super().__init__(fd, v6=v6, many=many)
        # None where somebody else made the socket: it has what they gave it.
        self._defaults: Defaults | None = None
        self._allowances: dict[int, Allowance] = {}

    def use_defaults(self, receive_buffer: int) -> None:
        """Give a new socket what `defaults` describes, before any option is set."""
        self._defaults = Defaults()
        set_buffers(self, receive_buffer)

    def set_option(self, value: Option, association_id: int) -> None:
        """Set an option, and drop the default that it takes the place of; see `NativeSocket.set_option`."""
        super().set_option(value, association_id)
        if self._defaults is not None and self._defaults.give_way(value, association_id):
            if isinstance(value, SendBuffer) or association_id in (Scope.CURRENT, Scope.ALL):
                self._allowances.clear()
            self._allowances.pop(association_id, None)

    def decode_event(self, data: bytes) -> Event:
        """Read one whole notification, raising DecodeError; see `Codec.decode_event`.

        An association gets its defaults as it comes up, which is before anything is sent.
        """
        event = super().decode_event(data)
        if self._defaults is not None and isinstance(event, AssociationChange):
            identifier = event.association_id
            if event.state is AssociationState.COMM_UP:
                self._settle(identifier, self._defaults)
            elif event.state is not AssociationState.RESTART:
                self._allowances.pop(identifier, None)
            elif identifier in self._allowances:
                # The peer has nothing of what it had before.
                self._allow(identifier)
        return event

    def _settle(self, association_id: int, defaults: Defaults) -> None:
        """Give an association that has come up what `defaults` describes."""
        # It may have ended already, as an event that is still to come will tell.
        with suppress(OSError):
            path = defaults.path(self.get_option(Status, association_id, None))
            if path is not None:
                super().set_option(path, association_id)
            if defaults.allowance:
                self._allow(association_id)

    def _allow(self, association_id: int) -> None:
        """Begin to count what the peer of an association can take."""
        with suppress(OSError):
            status = self.get_option(Status, association_id, None)
            self._allowances[association_id] = Allowance(status.rwnd, status.fragmentation_point)

    def _sibling(self, fd: int, *, many: bool = False) -> Self:
        sibling = super()._sibling(fd, many=many)
        sibling._defaults = None if self._defaults is None else self._defaults.copy()
        return sibling

    def ask(self, number: int, association_id: int, size: int) -> bytes | None:
        """Return the bytes of an option of an association, None where it cannot be read."""
        query = association_id.to_bytes(4, sys.byteorder, signed=True).ljust(size, b"\0")
        code, raw, _ = self._query(SOL_SCTP, number, query)
        return None if code < 0 else raw

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
        """Send one message: False also where the peer cannot take it now; see `NativeSocket.send`.

        A message that may be given up goes to the kernel, which watches how long it waits.
        """
        allowance = self._allowances.get(association_id)
        if extras is not None or self._fills_policy or type(data) is not bytes:
            if allowance is None or self._fills_policy or (extras is not None and extras.pr_policy):
                return super().send(association_id, data, stream, flags, ppid, context, extras)
            size = len(data)
            takes = cost(size)
            if not allowance.admits(self, association_id, size, takes):
                return False
            flags |= allowance.sack_flag(takes)
            if not super().send(association_id, data, stream, flags, ppid, context, extras):
                return False
            allowance.took(size, takes)
            return True
        # The ordinary message. What `cost` and `took` do stands here once more, because calls take longer.
        size = takes = len(data)
        left = 0
        if allowance is not None:
            if size < CHUNK_COST:
                takes = SMALL_COSTS[size]
            left = allowance.left - takes
            if left < takes:
                if not allowance.admits(self, association_id, size, takes):
                    return False
                flags |= allowance.sack_flag(takes)
                left = allowance.left - takes
        send_plain = self._send_plain
        code = send_plain(self._fd, association_id, data, size, stream, flags, ppid, context)
        if code < 0:
            if code == -errno.EAGAIN:
                return False
            check(code, "send")
        if allowance is not None:
            allowance.left = left
            allowance.bytes += size
            if size <= allowance.fragment:
                allowance.chunks += 1
            else:
                allowance.chunks -= -size // allowance.fragment
        return True

    def _receive_large(self, space: int) -> Batch | None:
        """Receive a large message straight into bytes of its own; see `NativeSocket._receive_large`.

        The kernel tells how large what is next is, so nothing is made too large, or received in parts.
        """
        if compiled is None:
            return None
        size = lib.sctpio_next_length(self._fd)
        if not LARGE_SIZE <= size <= max(space, LEAST_ARENA):
            # As long as nothing is queued, what comes next is likely to be as what came last.
            self.has_large = size <= 0 or size >= LARGE_SIZE
            return None
        records = self._memory.scratch.record_bytes
        state, count, data = compiled.receive_own(RECEIVE_ADDRESS, self._fd, size, records)
        check(count, "receive")
        return LARGE if state == MORE else state, count, records, data

    def plain_call(self) -> PlainCall | None:
        """Return what the accelerator sends ordinary messages with."""
        return PlainCall(PLAIN_ADDRESS, BATCH_ADDRESS, RECEIVE_ADDRESS, self._allowances, Allowance)

    def send_batch(self, association_id: int, messages: Sequence[Outgoing], bundle: bool) -> int:
        """Send messages with one call, as many as the peer can take; see `NativeSocket.send_batch`."""
        allowance = self._allowances.get(association_id)
        if allowance is None or self._fills_policy:
            return super().send_batch(association_id, messages, bundle)
        sizes = list(map(len, map(FIRST, messages)))
        alike = sizes.count(sizes[0]) == len(sizes)
        costs = [cost(sizes[0])] * len(sizes) if alike else list(map(cost, sizes))
        if sum(costs) + costs[-1] > allowance.left:
            if not allowance.admits(self, association_id, sizes[0], costs[0]):
                return 0
            # The first was admitted, even if it is more than is left.
            count = max(1, sum(total <= allowance.left for total in accumulate(costs)))
            messages, (last, head) = messages[:count], messages[count - 1]
            if sum(costs[:count]) + costs[count - 1] > allowance.left:
                # The next one may have to wait for the SACK of this one.
                messages = [*messages[:-1], (last, head._replace(flags=head.flags | SACK_IMMEDIATELY))]
        taken = super().send_batch(association_id, messages, bundle)
        if alike:
            allowance.took(sizes[0], costs[0], taken)
        else:
            for size, takes in zip(sizes[:taken], costs[:taken], strict=True):
                allowance.took(size, takes)
        return taken

    def _send_with(
        self, association_id: int, message: "CData", raw: "bytes | CData", extras: SendExtras
    ) -> int:
        arguments = (association_id, message, raw, extras)
        return self._in_either_form(super()._send_with, arguments, extras.pr_policy)

    def _send_packed(
        self, association_id: int, packed: bytes, payload: bytes, policy: int, bundle: bool
    ) -> int:
        arguments = (association_id, packed, payload, policy, bundle)
        return self._in_either_form(super()._send_packed, arguments, policy)

    def _in_either_form(self, send: Callable[..., int], arguments: tuple[object, ...], policy: int) -> int:
        """Send, and once more in the deprecated form where the kernel may know no other.

        Before Linux 4.17 there is no SCTP_PRINFO: such a kernel says EINVAL, and takes the policy in
        SCTP_SNDRCV. Which form it was is remembered in `_legacy`.
        """
        code = send(*arguments)
        if code == -errno.EINVAL and policy and not self._legacy:
            self._legacy = True
            code = send(*arguments)
            if code == -errno.EINVAL:
                self._legacy = False
        return code

    def abort(self, association_id: int, cause: bytes) -> bool:
        """End an association by ABORT, now or when the socket is closed; see `NativeSocket.abort`.

        A one-to-one socket aborts when it is closed, and that takes no cause.
        """
        if self._fd < 0:
            return True
        if self._many:
            try:
                self._send_flag(association_id, SEND_ABORT, cause)
            except BrokenPipeError:
                # The association has ended already.
                return True
            except OSError:
                # The cause is longer than a chunk can be: without it, then.
                with suppress(OSError):
                    self._send_flag(association_id, SEND_ABORT, b"")
                return False
            return True
        lib.sctpio_abort_on_close(self._fd)
        return not cause

    def peel_off(self, association_id: int) -> Self:
        """Move an association to a socket of its own (SCTP_SOCKOPT_PEELOFF_FLAGS) and return that."""
        fd = check(lib.sctpio_peeloff(self._fd, association_id), f"peel off association {association_id}")
        sibling = self._sibling(fd, many=True)
        allowance = self._allowances.pop(association_id, None)
        if allowance is not None:
            sibling._allowances[association_id] = allowance
        return sibling

    def find_association(self, address: Address) -> int | None:
        """Return the id of the association with a peer of this address (one host), None without one."""
        query = self.codec.encode_query(PeerAddressInfo, 0, address)
        code, found, _ = self._query(SOL_SCTP, SCTP_GET_PEER_ADDR_INFO, query)
        return None if code < 0 else int.from_bytes(found[:4], sys.byteorder, signed=True)

    def knows(self, level: int, number: int, *, reads: bool) -> bool:
        """Tell whether this kernel has an option at all, without reading or setting it.

        Offered no bytes, a kernel that has the option says EINVAL or the like, and only one that has not says
        ENOPROTOOPT.
        """
        length = self._memory.scratch.length
        length[0] = 0
        if reads:
            code = lib.sctpio_getsockopt(self._fd, level, number, ffi.NULL, length)
        else:
            code = lib.sctpio_setsockopt(self._fd, level, number, b"", 0)
        return code != -errno.ENOPROTOOPT

    def look_how_sends_share(self) -> None:
        """Find out whether the associations of a one-to-many socket share its send buffer (sndbuf_policy)."""
        # 0: they do. 1: each has one of that size.
        self.shares_send_buffer = setting(SNDBUF_POLICY) == 0

    def watch_end(self) -> EndWatch:
        """Return what turns readable when there is news of an association that the peer has shut down."""
        return KernelEndWatch(self._fd)

    def detach(self) -> int:
        """Return the descriptor and forget it; it reports no event any more, so a reader gets data alone."""
        for kind in self.codec.event_numbers:
            with suppress(OSError):
                self.subscribe(kind, False, 0)
        return super().detach()

    def why_left_out(self) -> str:
        """Return why an association may be without an address that was bound by name, and what helps."""
        policy = setting(ADDR_SCOPE_POLICY)
        if policy == 0:
            return "the kernel gives no reason (net.sctp.addr_scope_policy is 0)"
        return (
            "the first packet went to or came from an address of larger scope, and the kernel announces a"
            " private IPv4 address to no global or unique-local IPv6 address (net.sctp.addr_scope_policy is"
            f" {policy}); `sysctl net.sctp.addr_scope_policy=0`, or a peer that is called at, and calls from,"
            " its private address first"
        )

    def _why_too_large_to_buffer(self, association_id: int) -> str:
        size, most = self.get_option(SendBuffer, association_id, None).size or 0, setting(WMEM_MAX)
        if most is None:
            # As in a network namespace other than the first.
            why = super()._why_too_large_to_buffer(association_id)
            return f"{why}, up to twice the host's net.core.wmem_max"
        if size < 2 * most:
            return super()._why_too_large_to_buffer(association_id)
        return (
            f"is larger than the send buffer of {size} bytes takes, and sysctl net.core.wmem_max={most}"
            " allows no larger one: raise that first, then set_option(SendBuffer(...)), also while the"
            " association is up"
        )


class KernelStack:
    """Linux's own SCTP."""

    name = NAME

    def open(
        self, *addresses: Address, one_to_many: bool = False, towards: Address | None = None
    ) -> KernelSocket:
        """Return a new socket that can reach or bind the addresses.

        It is an IPv4 socket if all of them are, else, as for a wildcard, an IPv6 socket that takes IPv4 too.
        """
        v6, needed = families(addresses, towards)
        fd = lib.sctpio_open(socket.AF_INET6 if v6 else socket.AF_INET, one_to_many)
        # A wildcard needs no IPv6: on a host without it, IPv4 is all there is.
        if fd == -errno.EAFNOSUPPORT and v6 and not needed:
            v6, fd = False, lib.sctpio_open(socket.AF_INET, one_to_many)
        opened = KernelSocket(check(fd, "socket"), v6=v6, many=one_to_many)
        try:
            if v6:
                opened.set_flag(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0, "IPV6_V6ONLY")
            opened.set_up_new(one_to_many=one_to_many)
            if one_to_many:
                opened.look_how_sends_share()
        except BaseException:
            opened.close()
            raise
        return opened

    def adopt(self, descriptor: int) -> KernelSocket:
        """Return a socket for a descriptor of one association that was made elsewhere.

        Raises:
            ValueError: it is a descriptor of another kind. It stays the caller's, as with any error.
            OSError: (EBADF) it is no descriptor.
        """
        # A duplicate, because Python's socket closes its descriptor.
        with socket.socket(fileno=os.dup(descriptor)) as python:
            many = python.type == socket.SOCK_SEQPACKET
            if python.proto != SCTP or not (python.type == socket.SOCK_STREAM or (many and _peeled(python))):
                raise ValueError(
                    f"descriptor {descriptor} is no SCTP socket of one association, but {python!r}"
                )
            v6 = python.family == socket.AF_INET6
        adopted = KernelSocket(descriptor, v6=v6, many=many)
        with adopted.kept_by_caller():
            adopted.set_up()
            adopted.look_for_policy()
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)
        return adopted

    def adopt_listener(self, descriptor: int) -> tuple[KernelSocket, bool]:
        """Return a socket for a descriptor that listens already, and whether it is a one-to-many socket.

        Raises:
            ValueError: it is a descriptor of another kind. It stays the caller's, as with any error.
            OSError: (EBADF) it is no descriptor.
        """
        with socket.socket(fileno=os.dup(descriptor)) as python:
            if python.proto != SCTP or not python.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ValueError(f"descriptor {descriptor} is no SCTP socket that listens, but {python!r}")
            many = python.type == socket.SOCK_SEQPACKET
            v6 = python.family == socket.AF_INET6
        adopted = KernelSocket(descriptor, v6=v6, many=many)
        with adopted.kept_by_caller():
            adopted.set_up_new(one_to_many=many)
            if many:
                adopted.look_how_sends_share()
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)
        return adopted, many


def _peeled(python: socket.socket) -> bool:
    """Tell a peeled-off socket from a one-to-many socket: both are SOCK_SEQPACKET, but one has a peer."""
    try:
        python.getpeername()
    except OSError:
        return False
    # A listening one-to-many socket names the peer that it connected to last.
    return not python.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


STACK = KernelStack()
