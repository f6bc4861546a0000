"""SCTP in user space, over UDP (RFC 6951): csrc/usrsctp.c as a stack.

It starts with the first socket, on one UDP port for the whole process, and stops when the process ends.
"""

import atexit
import errno
import logging
import os
import socket
import threading
import weakref
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from .._codec import PR_PRIO, Codec
from .._usrsctp import USRSCTP
from ..address import Address
from ..errors import UnavailableError
from ..events import Event, SenderDry
from ..features import Capabilities
from ..options import (
    AddStreams,
    AssociationIds,
    DefaultPrInfo,
    Option,
    ProtocolState,
    ResetAssociation,
    ResetStreams,
    Scheduler,
    Scope,
    Status,
    StreamScheduler,
    StreamSchedulerValue,
    UdpEncapsulation,
)
from . import udp_ports
from ._native import SCTP_ABORT, NativeSocket, PerThread, check, scope_to_index
from ._usrsctp import ffi, lib
from .base import EndWatch, SendExtras, T

if TYPE_CHECKING:
    from ._kernel import CData

NAME = "usrsctp"

logger = logging.getLogger("sctpio")

# Milliseconds at the end of the process for associations that are closing.
PATIENCE = 1000

FORKED = (
    "the usrsctp stack belongs to the process that began to use it: it does not work in this one, which was"
    " forked from there (start processes by spawn or exec, or fork before the first socket)"
)


def unavailable() -> UnavailableError | None:
    """Say why the stack cannot be used here, or None."""
    return UnavailableError(errno.ENOTRECOVERABLE, FORKED) if lib.sctpio_forked() else None


def no_priority() -> OSError:
    """Say what a priority is not."""
    return OSError(
        errno.EOPNOTSUPP, "usrsctp 0.9.5 gives up no message for another: priority= would be without effect"
    )


class UsrsctpEndWatch:
    """usrsctp reads as ended only when the association is over: there is nothing to wait for."""

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._fd

    def acknowledge(self) -> None:
        """Take what made it readable."""

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._fd)


class UsrsctpSocket(NativeSocket):
    """A usrsctp socket; its descriptor is one to poll, of this process only."""

    __slots__ = ("__weakref__", "_bound", "_listens_on", "_own_choice", "_peeled")

    codec = Codec(USRSCTP, scope_to_index=scope_to_index, index_to_scope=socket.if_indextoname)
    _ffi = ffi
    _lib = lib
    _memory = PerThread(ffi, codec)

    def __init__(self, fd: int, *, v6: bool, many: bool = False) -> None:
        super().__init__(fd, v6=v6, many=many)
        self._bound = False
        self._listens_on = 0
        # Whether the peers' UDP port was chosen by an option.
        self._own_choice = False
        # Those that have this socket's port too, each for one peer.
        self._peeled: weakref.WeakSet[UsrsctpSocket] | None = None

    def close(self) -> None:
        """Close the descriptor; the stack ends the association gracefully unless data was unread."""
        self._unlist()
        super().close()

    def detach(self) -> int:
        """Give the descriptor away: to be adopted in this process, or closed."""
        lib.sctpio_detached(self._fd, True)
        return super().detach()

    def reuse_address(self) -> None:
        """Do nothing: a listening port is free again as soon as the socket is closed."""

    def bind(self, local: Address) -> None:
        """Bind addresses, or more of them: also what this host got since the stack began, and 127.0.0.2."""
        for host in local.hosts:
            if not host.is_unspecified and _is_local(str(host)):
                packed = self.codec.pack_addresses(Address((host,), 0))
                check(lib.sctpio_know(packed, len(packed)), f"bind to {local}")
        super().bind(local)
        self._bound = True

    def listen(self, backlog: int) -> None:
        """Take associations from peers; a backlog of 0 ends that on a one-to-many socket."""
        super().listen(backlog)
        self._unlist()
        if backlog:
            self._listens_on = self.bound_port()
            if (port := udp_ports.missed()) is not None:
                logger.warning(
                    "UDP port %d is taken: others reach this process on UDP port %d alone (SCTPIO_UDP_PORT,"
                    " SCTPIO_REMOTE_UDP_PORT)",
                    udp_ports.DEFAULT,
                    port,
                )
            with _stack.lock:
                _stack.listening[self._listens_on] += 1

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        """Turn an event on or off (SCTP_EVENT)."""
        if kind is SenderDry and association_id == Scope.ALL:
            # usrsctp takes this event of one association, or of those to come.
            super().subscribe(kind, on, Scope.FUTURE)
            for each in self.get_option(AssociationIds, 0, None).ids:
                with suppress(OSError):
                    super().subscribe(kind, on, each)
        else:
            super().subscribe(kind, on, association_id)

    def _unlist(self) -> None:
        if self._listens_on:
            with _stack.lock:
                _stack.listening[self._listens_on] -= 1
                if not _stack.listening[self._listens_on]:
                    del _stack.listening[self._listens_on]
            self._listens_on = 0

    def connect(self, remote: Address) -> int:
        """Start an association; its outcome comes as an event.

        A port that this process listens on is reached here, whatever the process's UDP port is. A socket that
        is not bound gets the addresses from which this host sends to the peer's: usrsctp would take all that
        it knows of.
        """
        if not self._bound and not self._many:
            sources = {source: None for host in remote.hosts if (source := _source(str(host), remote.port))}
            if sources:
                self.bind(Address(tuple(sources), 0))
        if not self._own_choice:
            here = _stack.listening[remote.port] and any(_is_local(str(host)) for host in remote.hosts)
            port = udp_ports.settings.started if here else None
            check(
                lib.sctpio_remote_udp_port(self._fd, port or udp_ports.remote_udp_port()),
                "SCTP_REMOTE_UDP_ENCAPS_PORT",
            )
        for host in remote.hosts:
            if any(peeled.find_association(Address((host,), remote.port)) for peeled in self._peeled or ()):
                # usrsctp would set up a second one in its place.
                raise OSError(
                    errno.EADDRNOTAVAIL, f"{os.strerror(errno.EADDRNOTAVAIL)} (connect to {remote})"
                )
        try:
            return super().connect(remote)
        except BlockingIOError as error:
            # EALREADY also where it is up.
            if error.errno == errno.EALREADY and self._is_up(remote):
                raise OSError(errno.EISCONN, f"{os.strerror(errno.EISCONN)} (connect to {remote})") from None
            raise

    def _is_up(self, remote: Address) -> bool:
        for host in remote.hosts:
            found = self.find_association(Address((host,), remote.port))
            if found is not None:
                state = self.get_option(Status, found, None).state
                return state not in (ProtocolState.COOKIE_WAIT, ProtocolState.COOKIE_ECHOED)
        return False

    def set_option(self, value: Option, association_id: int) -> None:
        """Write a typed option; what it leaves open stays as it is."""
        if isinstance(value, ResetAssociation):
            raise OSError(
                errno.EOPNOTSUPP,
                "usrsctp can be asked to reset an association, and cannot ask: version 0.9.5 may take no"
                " acknowledgement any more after it (SCTP_RESET_ASSOC)",
            )
        if isinstance(value, DefaultPrInfo) and value.priority is not None:
            raise no_priority()
        fresh = (
            association_id > 0
            and isinstance(value, StreamScheduler)
            and value.scheduler is Scheduler.PRIORITY
            and self.get_option(StreamScheduler, association_id, None) != value
        )
        try:
            super().set_option(value, association_id)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP and isinstance(value, ResetStreams | AddStreams):
                # What Linux says where one end lacks the extension.
                raise OSError(errno.ENOPROTOOPT, error.strerror) from None
            raise
        if fresh:
            # usrsctp leaves the priorities what the memory was.
            for stream in range(self.get_option(Status, association_id, None).outbound_streams):
                super().set_option(StreamSchedulerValue(stream, 0), association_id)
        if isinstance(value, UdpEncapsulation):
            self._own_choice = True

    def get_option(self, query: type[T] | T, association_id: int, address: Address | None) -> T:
        """Read a typed option; see `StackSocket`."""
        if (
            address is not None
            and association_id > 0
            and self.find_association(address) not in (None, association_id)
        ):
            # usrsctp compares no ports.
            raise OSError(errno.EINVAL, f"{address} is another association's (SCTP_GET_PEER_ADDR_INFO)")
        return super().get_option(query, association_id, address)

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
        if extras.pr_policy == PR_PRIO:
            raise no_priority()
        if extras.path:
            # With any other scheduler usrsctp 0.9.5 may look for a stream for ever.
            scheduler = self.get_option(StreamScheduler, association_id, None).scheduler
            if scheduler is not Scheduler.FCFS:
                raise OSError(errno.EOPNOTSUPP, f"usrsctp sends to a path by Scheduler.FCFS, not {scheduler}")
        if extras.auth_key >= 0:
            raise OSError(
                errno.EOPNOTSUPP, "usrsctp takes no key for a message, but the active one (SCTP_AUTHINFO)"
            )
        return super()._send_with(association_id, raw, size, stream, flags, ppid, context, extras)

    def abort(self, association_id: int, cause: bytes) -> bool:
        """Send ABORT, if there is an association, now or as the socket is closed: whether with the cause."""
        if self._fd < 0:
            return True
        try:
            self._send_flag(association_id, SCTP_ABORT, cause)
        except OSError:
            # There is none, or it is not up yet: closing its socket is enough for one of those.
            if self._many:
                with suppress(OSError):
                    setting_up = self.peel_off(association_id)
                    lib.sctpio_abort_on_close(setting_up.fileno())
                    setting_up.close()
        if not self._many:
            lib.sctpio_abort_on_close(self._fd)
        return True

    def peel_off(self, association_id: int) -> Self:
        """Move an association to a socket of its own (usrsctp_peeloff)."""
        fd = check(lib.sctpio_peeloff(self._fd, association_id), f"peel off association {association_id}")
        peeled = self._sibling(fd)
        if self._peeled is None:
            self._peeled = weakref.WeakSet()
        self._peeled.add(peeled)
        return peeled

    def find_association(self, address: Address) -> int | None:
        """Name the association that has this one address as a peer's, if there is one."""
        packed, identifier = self.codec.pack_addresses(address), ffi.new("int32_t *")
        code = lib.sctpio_find(self._fd, packed, len(packed), identifier)
        return None if code < 0 else identifier[0]

    def watch_end(self) -> EndWatch:
        """Watch for news of an association that the peer has shut down."""
        return UsrsctpEndWatch(self._fd)


def _source(host: str, port: int) -> str | None:
    """Ask from which address this host would send to another; None where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port))
            name: tuple[str, int] = probe.getsockname()
            return name[0]
    except OSError:
        return None


def _is_local(host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


class UsrsctpStack:
    """usrsctp in this process."""

    name = NAME

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # How many sockets listen on an SCTP port.
        self.listening: Counter[int] = Counter()

    def start(self) -> None:
        """Start it, unless it runs; raises UnavailableError, OSError where its UDP port is taken."""
        if (reason := unavailable()) is not None:
            raise reason
        with self.lock:
            if udp_ports.settings.started is not None:
                return
            for port in udp_ports.ports_to_try():
                code = lib.sctpio_start(port)
                if code == 0:
                    udp_ports.settings.started = port
                    atexit.register(lib.sctpio_finish, PATIENCE)
                    return
                if code == -errno.EALREADY:
                    raise UnavailableError(
                        errno.EALREADY, "another interpreter of this process uses the usrsctp stack: one can"
                    )
                if code != -errno.EADDRINUSE:
                    check(code, f"start usrsctp on UDP port {port}")
            raise udp_ports.in_use(port)

    def open(self, *addresses: Address, one_to_many: bool = False) -> UsrsctpSocket:
        """Make a socket that can reach or bind the addresses: IPv4 alone, or IPv6 with IPv4 beside it."""
        self.start()
        hosts = [host for address in addresses for host in address.hosts]
        v6 = any(host.version == 6 for host in hosts) or (not hosts and socket.has_ipv6)
        fd = lib.sctpio_open(socket.AF_INET6 if v6 else socket.AF_INET, one_to_many)
        opened = UsrsctpSocket(check(fd, "socket"), v6=v6, many=one_to_many)
        try:
            check(
                lib.sctpio_remote_udp_port(fd, udp_ports.remote_udp_port()),
                "SCTP_REMOTE_UDP_ENCAPS_PORT",
            )
            opened.set_up_new(one_to_many=one_to_many)
        except BaseException:
            opened.close()
            raise
        return opened

    def adopt(self, descriptor: int) -> UsrsctpSocket:
        """Take over a socket of one association that was detached in this process.

        Raises ValueError for any other descriptor, OSError (EBADF) for none.
        """
        os.fstat(descriptor)
        adopted = UsrsctpSocket(descriptor, v6=False)
        try:
            # There is none of a listener, nor, by this number, of a one-to-many socket.
            adopted.peer_addresses(0)
        except OSError:
            raise ValueError(
                f"descriptor {descriptor} is no SCTP socket of one association that the usrsctp stack of this"
                " process has"
            ) from None
        lib.sctpio_detached(descriptor, False)
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)
        return adopted

    def capabilities(self) -> Capabilities:
        """Ask what this stack offers."""
        # Seldom asked, and it needs this module.
        from .usrsctp_capabilities import ask

        return ask(self)


STACK = _stack = UsrsctpStack()
