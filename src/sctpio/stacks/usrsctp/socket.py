"""SCTP in user space, over UDP (RFC 6951): csrc/usrsctp as a stack.

`UsrsctpStack` starts libusrsctp with the first socket, on one UDP port for the whole process (`udp_ports`),
and stops it when the process ends. `UsrsctpSocket` is `NativeSocket` with what usrsctp 0.9.5 does in another
way than `StackSocket` promises. The rule for those overrides: each says what usrsctp does, and the caller
sees what the kernel's stack would do, or an OSError that says what is not possible.
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

from ..._abi.codec import Codec
from ..._abi.contract import PR_PRIO, SEND_ABORT, SEND_EOF
from ..._abi.usrsctp import USRSCTP
from ...address import Address, Host, scope_of
from ...errors import UnavailableError
from ...events import AssociationChange, AssociationState, Event, SenderDry, StreamChange
from ...options import (
    AddStreams,
    AssociationIds,
    DefaultPrInfo,
    Option,
    PeerAddressParameters,
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
from .._usrsctp import ffi, lib
from ..base import EndWatch, SendExtras, T
from ..native import FORKED, NativeSocket, PerThread, check, families, scope_to_index
from . import udp_ports
from .capture import open_capture

if TYPE_CHECKING:
    from .._kernel import CData

NAME = "usrsctp"

logger: logging.Logger = logging.getLogger("sctpio")

# Milliseconds that the end of the process waits for associations that are closing.
PATIENCE = 1000


def unavailable() -> UnavailableError | None:
    """Return the reason why the stack cannot be used in this process, None if it can."""
    return UnavailableError(errno.ENOTRECOVERABLE, FORKED) if lib.sctpio_forked() else None


def no_priority() -> OSError:
    """Return the error for `priority=`, which usrsctp accepts and ignores (RFC 7496 section 4.1)."""
    return OSError(
        errno.EOPNOTSUPP, "usrsctp 0.9.5 never gives up a message for another: priority= would have no effect"
    )


class UsrsctpEndWatch:
    """A descriptor that is readable at once: see `StackSocket.watch_end`.

    A usrsctp socket reads as ended only when the association is over, so there is nothing to wait for.
    """

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._fd

    def acknowledge(self) -> None:
        """Do nothing: the descriptor stays readable."""

    def close(self) -> None:
        """Close the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class UsrsctpSocket(NativeSocket):
    """A usrsctp socket.

    Its descriptor is an eventfd or pipe that turns readable and writable with the socket: it can be polled,
    and means nothing to other processes.
    """

    __slots__ = ("__weakref__", "_bound", "_listens_on", "_own_choice", "_peeled", "_peers_port", "_streams")

    named: tuple[Host, ...]
    stack = NAME
    codec: Codec = Codec(USRSCTP, scope_to_index=scope_to_index, index_to_scope=socket.if_indextoname)
    _ffi = ffi
    _lib = lib
    _memory = PerThread(ffi, codec)

    def __init__(self, fd: int, *, v6: bool, many: bool = False) -> None:
        super().__init__(fd, v6=v6, many=many)
        self._bound = False
        self._listens_on = 0
        # The UDP port that peers are sent to. Where an option has chosen it, `connect` leaves it alone.
        self._peers_port = udp_ports.remote_udp_port()
        self._own_choice = False
        # Sockets that were peeled off from this one: each shares its port, for one peer.
        self._peeled: weakref.WeakSet[UsrsctpSocket] | None = None
        # The inbound and outbound streams of each association, as last told: see `decode_event`.
        self._streams: dict[int, tuple[int, int]] = {}

    def transport(self, *, no_answer: bool = False) -> str:
        """Return how its packets travel, for people, with advice where a peer gives `no_answer`."""
        own, peers = udp_ports.settings.started, self._peers_port
        text = f"usrsctp over UDP, from port {own} to port {peers}"
        if not no_answer:
            return text
        if own == peers and not self._own_choice:
            text += ", which on this host is this process's own"
        return (
            f"{text}; a peer on its kernel's SCTP needs the sysctls net.sctp.udp_port and net.sctp.encap_port"
            " for that, or is reached with stack='kernel'"
        )

    def close(self) -> None:
        """Close the descriptor; the stack ends the association gracefully unless data was unread."""
        self._unlist()
        super().close()

    def detach(self) -> int:
        """Return the descriptor and forget it; it is to be adopted in this process, or closed."""
        lib.sctpio_detached(self._fd, True)
        return super().detach()

    def use_defaults(self, receive_buffer: int) -> None:
        """Do nothing: usrsctp has no silences of its own making."""

    def reuse_address(self) -> None:
        """Do nothing: a listening port is free again as soon as the socket is closed."""

    def bind(self, local: Address) -> None:
        """Bind addresses, or more of them where the socket is bound already.

        usrsctp binds only addresses that it has seen on an interface when it started. So it is told of each
        one first, if this host has it: one that was added since, or one such as 127.0.0.2.
        """
        for host in local.hosts:
            if not host.is_unspecified and _is_local(str(host)):
                packed = self.codec.pack_addresses(Address((host,), 0))
                check(lib.sctpio_know(packed, len(packed)), f"bind to {local}")
        super().bind(local)
        self._bound = True

    def listen(self, backlog: int) -> None:
        """Accept associations from peers; a backlog of 0 ends that.

        On a one-to-one socket closing it ends that, too, and only what still listens then is freed whole.
        """
        if backlog or self._many:
            super().listen(backlog)
        self._unlist()
        if backlog:
            self._listens_on = self.bound_port()
            if (port := udp_ports.missed()) is not None:
                logger.warning(
                    "UDP port %d is taken, so this process has UDP port %d: peers in other processes have to"
                    " be given that port (SCTPIO_REMOTE_UDP_PORT), or choose one here (SCTPIO_UDP_PORT)",
                    udp_ports.DEFAULT,
                    port,
                )
            with _stack.lock:
                _stack.listening[self._listens_on] += 1

    def subscribe(self, kind: type[Event], on: bool, association_id: int) -> None:
        """Turn an event on or off (SCTP_EVENT)."""
        if kind is SenderDry and association_id == Scope.ALL:
            # usrsctp takes this event for one association or for those to come, and refuses ALL.
            super().subscribe(kind, on, Scope.FUTURE)
            for each in self.get_option(AssociationIds, 0, None).ids:
                with suppress(OSError):
                    super().subscribe(kind, on, each)
        else:
            super().subscribe(kind, on, association_id)

    def decode_event(self, data: bytes) -> Event:
        """Read one whole notification, raising DecodeError; see `Codec.decode_event`.

        A StreamChange of usrsctp has the counts after the change, where Linux has the streams that were added
        (RFC 6525 section 6.1.3): what the counts were before is subtracted. Those are known from the event
        that the association came up by, or from a Status that was asked for since.
        """
        event = super().decode_event(data)
        match event:
            case AssociationChange(state=AssociationState.COMM_UP | AssociationState.RESTART):
                self._streams[event.association_id] = event.inbound_streams, event.outbound_streams
            case AssociationChange():
                self._streams.pop(event.association_id, None)
            case StreamChange():
                now = event.inbound_streams, event.outbound_streams
                before = self._streams.get(event.association_id, now)
                self._streams[event.association_id] = now
                return StreamChange(
                    event.flags, max(0, now[0] - before[0]), max(0, now[1] - before[1]), event.association_id
                )
        return event

    def _unlist(self) -> None:
        if self._listens_on:
            with _stack.lock:
                _stack.listening[self._listens_on] -= 1
                if not _stack.listening[self._listens_on]:
                    del _stack.listening[self._listens_on]
            self._listens_on = 0

    def connect(self, remote: Address) -> int:
        """Begin to set up an association and return its id; the outcome comes as an event.

        Two things are decided here unless the caller has done so. The UDP port of the peer: if a socket of
        this process listens on the peer's SCTP port, it is this process's own, else `remote_udp_port()`. And
        the local addresses: those that this host would send from, where usrsctp would offer the peer every
        address that it knows.
        """
        if not self._bound and not self._many:
            sources = {source: None for host in remote.hosts if (source := _source(str(host), remote.port))}
            if sources:
                self.bind(Address(tuple(sources), 0))
                self.named = ()
        if not self._own_choice:
            here = _stack.listening[remote.port] and any(_is_local(str(host)) for host in remote.hosts)
            started = udp_ports.settings.started if here else None
            self._peers_port = started or udp_ports.remote_udp_port()
            check(lib.sctpio_remote_udp_port(self._fd, self._peers_port), "SCTP_REMOTE_UDP_ENCAPS_PORT")
        for host in remote.hosts:
            if any(peeled.find_association(Address((host,), remote.port)) for peeled in self._peeled or ()):
                # usrsctp would set up a second association with the peer, in place of the first.
                raise OSError(
                    errno.EADDRNOTAVAIL, f"{os.strerror(errno.EADDRNOTAVAIL)} (connect to {remote})"
                )
        try:
            return super().connect(remote)
        except BlockingIOError as error:
            # usrsctp says EALREADY also when the association is up, where the kernel says EISCONN.
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
        """Set an option; fields that are None stay as they are."""
        if isinstance(value, ResetAssociation):
            raise OSError(
                errno.EOPNOTSUPP,
                "usrsctp grants a peer's reset of the association but cannot ask for one: afterwards version"
                " 0.9.5 may ignore all acknowledgements (SCTP_RESET_ASSOC)",
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
                # The errno that Linux has where one end lacks the extension.
                raise OSError(errno.ENOPROTOOPT, error.strerror) from None
            raise
        if fresh:
            # usrsctp leaves the priorities uninitialised.
            for stream in range(self.get_option(Status, association_id, None).outbound_streams):
                super().set_option(StreamSchedulerValue(stream, 0), association_id)
        wanted = isinstance(value, PeerAddressParameters) and value.demand_heartbeat and not value.address
        if wanted and association_id > 0:
            # usrsctp sends heartbeats on demand only to an address that was named, Linux to all of them.
            peer = self.peer_addresses(association_id)
            for host in peer.hosts:
                path = Address([host], peer.port)
                super().set_option(PeerAddressParameters(path, demand_heartbeat=True), association_id)
        if isinstance(value, UdpEncapsulation):
            self._own_choice = True
            self._peers_port = value.port or self._peers_port

    def get_option(self, query: type[T] | T, association_id: int, address: Address | None) -> T:
        """Return an option's value; see `NativeSocket.get_option`."""
        if (
            address is not None
            and association_id > 0
            and self.find_association(address) not in (None, association_id)
        ):
            # usrsctp compares the address without its port, and would answer about another peer.
            raise OSError(errno.EINVAL, f"{address} belongs to another association (SCTP_GET_PEER_ADDR_INFO)")
        found = super().get_option(query, association_id, address)
        if isinstance(found, Status) and found.state is ProtocolState.ESTABLISHED:
            # An adopted socket reads no event of its association coming up.
            self._streams.setdefault(found.association_id, (found.inbound_streams, found.outbound_streams))
        return found

    def _send_with(
        self, association_id: int, message: "CData", raw: "bytes | CData", extras: SendExtras
    ) -> int:
        if extras.pr_policy == PR_PRIO:
            raise no_priority()
        if extras.path:
            # With any other scheduler usrsctp 0.9.5 may loop for ever, looking for a stream to send.
            scheduler = self.get_option(StreamScheduler, association_id, None).scheduler
            if scheduler is not Scheduler.FCFS:
                raise OSError(
                    errno.EOPNOTSUPP,
                    f"usrsctp can send to a chosen path with Scheduler.FCFS only, and this association has"
                    f" {scheduler!r}",
                )
        if extras.auth_key >= 0:
            raise OSError(
                errno.EOPNOTSUPP,
                "usrsctp authenticates with the active key (AuthActiveKey), and takes none for one message"
                " (SCTP_AUTHINFO)",
            )
        return super()._send_with(association_id, message, raw, extras)

    def shutdown(self, association_id: int) -> None:
        """End an association gracefully; see `NativeSocket.shutdown`."""
        try:
            super().shutdown(association_id)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            # usrsctp tells of an association before its socket counts as connected, and a call can come
            # between. The flag asks for the association alone; without one it fails too.
            self._send_flag(association_id, SEND_EOF, b"")

    def abort(self, association_id: int, cause: bytes) -> bool:
        """End an association by ABORT, now or when the socket is closed; see `NativeSocket.abort`."""
        if self._fd < 0:
            return True
        try:
            self._send_flag(association_id, SEND_ABORT, cause)
        except OSError:
            # There is none, or it is not up yet and takes no message. Closing its socket ends it; on a
            # one-to-many socket it has to be given one of its own for that.
            if self._many:
                with suppress(OSError):
                    setting_up = self.peel_off(association_id)
                    lib.sctpio_abort_on_close(setting_up.fileno())
                    setting_up.close()
        if not self._many:
            lib.sctpio_abort_on_close(self._fd)
        return True

    def peel_off(self, association_id: int) -> Self:
        """Move an association to a socket of its own (usrsctp_peeloff) and return that."""
        fd = check(lib.sctpio_peeloff(self._fd, association_id), f"peel off association {association_id}")
        peeled = self._sibling(fd)
        if association_id in self._streams:
            peeled._streams[association_id] = self._streams.pop(association_id)
        if self._peeled is None:
            self._peeled = weakref.WeakSet()
        self._peeled.add(peeled)
        return peeled

    def find_association(self, address: Address) -> int | None:
        """Return the id of the association with a peer of this address (one host), None without one."""
        packed, identifier = self.codec.pack_addresses(address), ffi.new("int32_t *")
        code = lib.sctpio_find(self._fd, packed, len(packed), identifier)
        if code == -errno.ENOTRECOVERABLE:
            check(code, "find an association")
        return None if code < 0 else identifier[0]

    def watch_end(self) -> EndWatch:
        """Return what turns readable when there is news of an association that the peer has shut down."""
        return UsrsctpEndWatch(self._fd)

    def announced(self, association_id: int) -> Address:
        """Return the local addresses that an association's peer was told of.

        usrsctp lists all, and leaves those out of its packets that are nearer than any of the peer's.
        """
        local = self.local_addresses(association_id)
        limit = max(map(scope_of, self.peer_addresses(association_id).hosts))
        return Address((host for host in local.hosts if scope_of(host) <= limit), local.port)

    def why_left_out(self) -> str:
        """Return why an association may be without an address that was bound by name, and what helps."""
        return (
            "the first packet went to or came from an address of larger scope, and usrsctp announces a"
            " private IPv4 address to no global or unique-local IPv6 address; it helps if the peer is called"
            " at, and calls from, its private address first"
        )


def _source(host: str, port: int) -> str | None:
    """Return the address that this host would send from to another, None if it has no route there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port))
            name: tuple[str, int] = probe.getsockname()
            return name[0]
    except OSError:
        return None


def _is_local(host: str) -> bool:
    """Tell whether an address is one of this host's, by binding it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


class UsrsctpStack:
    """The one instance of usrsctp in this process.

    `lock` protects starting it and `listening`, which counts the sockets that listen on each SCTP port:
    `connect` finds there whether a peer is in this process.
    """

    name = NAME

    def __init__(self) -> None:
        self.lock: threading.RLock = threading.RLock()
        self.listening: Counter[int] = Counter()

    def start(self, towards: Address | None = None) -> None:
        """Start the stack unless it runs.

        Where it starts in order to connect to a peer on this host, the UDP port that the peer is expected on
        is left to the peer: otherwise this process would answer itself.

        Raises:
            UnavailableError: it cannot be used in this process.
            OSError: its UDP port is taken (EADDRINUSE), or cannot be bound.
        """
        if (reason := unavailable()) is not None:
            raise reason
        with self.lock:
            if udp_ports.settings.started is not None:
                return
            if path := os.environ.get("SCTPIO_PCAP"):
                check(lib.sctpio_capture(open_capture(path)), "capture")
            peers = None
            if towards is not None and any(_is_local(str(host)) for host in towards.hosts):
                peers = udp_ports.remote_udp_port()
            for port in udp_ports.ports_to_try(peers):
                code = lib.sctpio_start(port)
                if code == 0:
                    udp_ports.settings.started = port
                    left = f", as port {peers} is the peer's" if peers == udp_ports.DEFAULT else ""
                    logger.info("usrsctp runs over UDP port %d%s", port, left)
                    atexit.register(lib.sctpio_finish, PATIENCE)
                    return
                if code == -errno.EALREADY:
                    raise UnavailableError(
                        errno.EALREADY,
                        "another interpreter of this process uses the usrsctp stack: only one of them can",
                    )
                if code != -errno.EADDRINUSE:
                    check(code, f"start usrsctp on UDP port {port}")
            raise udp_ports.in_use(port)

    def open(
        self, *addresses: Address, one_to_many: bool = False, towards: Address | None = None
    ) -> UsrsctpSocket:
        """Return a new socket that can reach or bind the addresses; see `KernelStack.open`."""
        self.start(towards)
        v6, _ = families(addresses, towards)
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
        """Return a socket for a descriptor that was detached in this process; it has one association.

        Raises:
            ValueError: it is any other descriptor. It stays the caller's.
            OSError: (EBADF) it is no descriptor.
            UnavailableError: this process was forked from one that uses the stack.
        """
        os.fstat(descriptor)
        adopted = UsrsctpSocket(descriptor, v6=False)
        with adopted.kept_by_caller():
            try:
                # A listener has no peer, and a one-to-many socket has none by the number 0.
                adopted.peer_addresses(0)
                check(lib.sctpio_detached(descriptor, False), "adopt")
            except UnavailableError:
                raise
            except OSError:
                raise ValueError(
                    f"descriptor {descriptor} is no SCTP socket of one association that belongs to this"
                    " process's usrsctp stack"
                ) from None
            adopted.look_for_policy()
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)
        return adopted

    def adopt_listener(self, descriptor: int) -> tuple[UsrsctpSocket, bool]:
        """Raise OSError (EOPNOTSUPP): a listening socket of usrsctp is its process's own."""
        raise OSError(
            errno.EOPNOTSUPP,
            f"descriptor {descriptor} cannot become a listener: a usrsctp socket is its process's own"
            " (stack='kernel' takes one)",
        )


STACK = _stack = UsrsctpStack()
