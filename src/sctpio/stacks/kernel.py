"""The kernel's SCTP: csrc/kernel.c as a stack.

Everything that affects a new socket's defaults is in `KernelStack.open`.
"""

import errno
import os
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .._codec import LINUX, Codec
from ..address import Address
from ..errors import UnavailableError
from ..features import Capabilities
from ..options import PeerAddressInfo
from ._kernel import ffi, lib
from ._native import SCTP_ABORT, SOL_SCTP, NativeSocket, PerThread, check, scope_to_index
from .base import EndWatch, SendExtras

if TYPE_CHECKING:
    from ._kernel import CData

NAME = "kernel"

SCTP = 132
SCTP_GET_PEER_ADDR_INFO = 15
CLOCK_MONOTONIC_COARSE = 6
SNDBUF_POLICY = Path("/proc/sys/net/sctp/sndbuf_policy")


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


class KernelSocket(NativeSocket):
    """A kernel socket.

    `many`: its type is SOCK_SEQPACKET, as that of a one-to-many socket and of what is peeled off from one.
    Those end an association by a flag of sendmsg, where a one-to-one socket has shutdown(2) and SO_LINGER.
    """

    __slots__ = ()

    # Linux counts smoothed round-trip times in its own ticks.
    codec = Codec(
        LINUX,
        scope_to_index=scope_to_index,
        index_to_scope=socket.if_indextoname,
        tick=time.clock_getres(CLOCK_MONOTONIC_COARSE),
    )
    _ffi = ffi
    _lib = lib
    _memory = PerThread(ffi, codec)

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
        arguments = (association_id, raw, size, stream, flags, ppid, context, extras)
        code = super()._send_with(*arguments)
        if code == -errno.EINVAL and extras.pr_policy and not self._legacy:
            # Before Linux 4.17 there is no SCTP_PRINFO; what that kernel takes is SCTP_SNDRCV.
            self._legacy = True
            code = super()._send_with(*arguments)
            if code == -errno.EINVAL:
                self._legacy = False
        return code

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

    def peel_off(self, association_id: int) -> Self:
        """Move an association to a socket of its own (SCTP_SOCKOPT_PEELOFF_FLAGS)."""
        fd = check(lib.sctpio_peeloff(self._fd, association_id), f"peel off association {association_id}")
        return self._sibling(fd, many=True)

    def find_association(self, address: Address) -> int | None:
        """Name the association that has this one address as a peer's, if there is one."""
        query = self.codec.encode_query(PeerAddressInfo, 0, address)
        code, found, _ = self._query(SOL_SCTP, SCTP_GET_PEER_ADDR_INFO, query)
        return None if code < 0 else int.from_bytes(found[:4], sys.byteorder, signed=True)

    def knows(self, level: int, number: int, *, reads: bool) -> bool:
        """Tell whether this kernel has an option at all: nothing is read or set."""
        length = self._memory.scratch.length
        length[0] = 0
        if reads:
            code = lib.sctpio_getsockopt(self._fd, level, number, ffi.NULL, length)
        else:
            code = lib.sctpio_setsockopt(self._fd, level, number, b"", 0)
        return code != -errno.ENOPROTOOPT

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
        opened = KernelSocket(check(fd, "socket"), v6=v6, many=one_to_many)
        try:
            if v6:
                opened.set_flag(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0, "IPV6_V6ONLY")
            opened.set_up_new(one_to_many=one_to_many)
            if one_to_many:
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
        adopted.set_up()
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


STACK = KernelStack()
