"""The associations and endpoints of this host, from sock_diag and /proc: the system calls.

Nothing here needs a privilege, and nothing waits: netlink has its answer ready when the request was sent, and
/proc is memory. All of it blocks for as long as that takes, some 30 ms for a thousand associations; an event
loop that cannot stand that calls it by `asyncio.to_thread`.

/proc says which associations there are, with their ids, and the state of each path. sock_diag is then asked
for the rest of each. So an association that ends between the two is left out.
"""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address
from pathlib import Path

from ..address import Address, Host
from ..errors import UnavailableError
from ..options import PathState, ProtocolState
from . import proc, wire
from .values import Counters, HostAssociation, HostEndpoint, HostPath, Owner

__all__ = ["associations", "counters", "endpoints"]

# Of the namespace of the calling thread, which the netlink socket is made in, too.
PROC = Path("/proc/thread-self/net/sctp")

NETLINK_SOCK_DIAG = 4
# An answer's datagram is as large as the one that was read before it, up to 32 KiB.
LARGEST = 1 << 16
# How many associations are asked for with one call: their answers wait in the socket's buffer.
TOGETHER = 16
# The association is over, or its socket is; also what a kernel answers that lacks sctp_diag.
GONE = (errno.ENOENT, errno.ESTALE)

TCP_LISTEN = 10

# The clock whose resolution is a tick, which Python does not name.
CLOCK_MONOTONIC_COARSE = 6


def associations(*, owners: bool = True) -> tuple[HostAssociation, ...]:
    """Return all associations of this host's kernel that are in this network namespace.

    Those of usrsctp live inside their process and are not among them. `owners=False` leaves out the search
    for the processes, which reads the descriptors of all of them.

    Raises:
        UnavailableError: the kernel has no SCTP, or no sctp_diag; it says what to load.
        OSError: netlink refused.
    """
    found = _ask(proc.associations(_text("assocs")))
    paths = proc.paths(_text("remaddr"))
    holders = _owners(row.inode for _, row in found) if owners else {}
    tick = time.clock_getres(CLOCK_MONOTONIC_COARSE)
    return tuple(
        [
            _association(row, line.id, paths.get(line.id, ()), tick, holders.get(row.inode, ()))
            for line, row in found
        ]
    )


def endpoints(*, owners: bool = True) -> tuple[HostEndpoint, ...]:
    """Return the SCTP sockets of this host's kernel in this network namespace that listen, or have no
    association.

    Raises: see `associations`.
    """
    rows = {row.cookie: row for row in _endpoint_rows()}
    lines = {(line.inode, line.port): line for line in proc.endpoints(_text("eps"))}
    holders = _owners(row.inode for row in rows.values()) if owners else {}
    found = []
    for row in rows.values():
        line, listening = lines.get((row.inode, row.port)), row.state == TCP_LISTEN
        found.append(
            HostEndpoint(
                local=row.local,
                listening=listening,
                one_to_many=None if line is None else line.one_to_many,
                unaccepted=row.rqueue if listening else 0,
                backlog=row.wqueue if listening else 0,
                inode=row.inode,
                uid=row.uid,
                owners=holders.get(row.inode, ()),
            )
        )
    return tuple(found)


def counters() -> Counters:
    """Return the counters of this host's kernel (/proc/net/sctp/snmp).

    Raises:
        UnavailableError: the kernel has no SCTP.
    """
    return proc.counters(_text("snmp"))


def _no_sctp() -> UnavailableError:
    return UnavailableError(
        errno.EPROTONOSUPPORT,
        "this kernel has no SCTP, or it is not loaded: there is no /proc/net/sctp; as root: modprobe sctp",
    )


def _no_module() -> UnavailableError:
    return UnavailableError(
        errno.ENOENT, "this kernel does not tell its associations; as root: modprobe sctp_diag"
    )


def _text(name: str) -> str:
    """Read a file of /proc/net/sctp."""
    try:
        return (PROC / name).read_text()
    except FileNotFoundError:
        raise _no_sctp() from None


def _ask(lines: Sequence[proc.AssociationLine]) -> list[tuple[proc.AssociationLine, wire.Row]]:
    """Return each of the associations with its row; one that has ended is left out."""
    found: dict[int, wire.Row] = {}
    with _sock_diag() as link:
        for size in (TOGETHER, 1):
            # What did not fit into the socket's buffer is asked for again, alone.
            open_ = [number for number in range(len(lines)) if number not in found]
            for start in range(0, len(open_), size):
                link.send(b"".join([_question(lines[n], n) for n in open_[start : start + size]]))
                for answer in _answers(link):
                    if answer.row is not None and answer.row.peers:
                        found[answer.sequence] = answer.row
                    elif answer.error not in (0, *GONE):
                        raise OSError(answer.error, f"sock_diag of SCTP: {os.strerror(answer.error)}")
    if lines and not found:
        # They have all ended, or the kernel lacks sctp_diag: this raises then.
        list(_endpoint_rows())
    return [(line, found[number]) for number, line in enumerate(lines) if number in found]


def _question(line: proc.AssociationLine, number: int) -> bytes:
    return wire.association(line.local, line.port, line.peer, line.peer_port, number)


def _endpoint_rows() -> Iterator[wire.Row]:
    if not PROC.is_dir():
        raise _no_sctp()
    with _sock_diag() as link:
        for family in (wire.AF_INET, wire.AF_INET6):
            link.send(wire.endpoints_of(family, family))
            for answer in _answers(link):
                if answer.error == errno.ENOENT:
                    raise _no_module()
                if answer.error:
                    raise OSError(answer.error, f"sock_diag of SCTP: {os.strerror(answer.error)}")
                if answer.row is not None:
                    yield answer.row


@contextlib.contextmanager
def _sock_diag() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as link:
        link.setblocking(False)
        yield link


def _answers(link: socket.socket) -> Iterator[wire.Answer]:
    """Give what has been answered: all of it is there when the request was sent."""
    while True:
        try:
            data = link.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError as error:
            # It says so once, where answers did not fit; those that did can still be read.
            if error.errno != errno.ENOBUFS:
                raise
            continue
        yield from wire.read(data)


def _plain(host: Host) -> Host:
    """Return a host without its scope, as /proc has it."""
    return IPv6Address(host.packed) if isinstance(host, IPv6Address) and host.scope_id else host


def _association(
    row: wire.Row, identifier: int, paths: Sequence[proc.Path], tick: float, owners: tuple[Owner, ...]
) -> HostAssociation:
    info, known = row.info, {path.host: path for path in paths}
    return HostAssociation(
        id=identifier,
        # The kernel's own numbers begin with CLOSED at 0.
        state=ProtocolState(row.state + 1),
        local=_named(row.local),
        peer=_named(row.peer),
        paths=tuple([_path(host, known.get(_plain(host)), row, tick) for host in row.peers]),
        outbound_streams=info.outstrms,
        inbound_streams=info.instrms,
        rtt=info.p_srtt * tick or None,
        rto=info.p_rto / 1000,
        cwnd=info.p_cwnd,
        ssthresh=info.p_ssthresh,
        in_flight=info.p_flight_size,
        rwnd=info.rwnd,
        peer_rwnd=info.peer_rwnd,
        unacknowledged=info.unackdata,
        pending=info.penddata,
        send_queue=row.wqueue,
        receive_queue=row.rqueue,
        packets_sent=info.opackets,
        packets_received=info.ipackets,
        chunks_sent=info.oodchunks + info.ouodchunks,
        chunks_received=info.iodchunks + info.iuodchunks,
        control_sent=info.octrlchunks,
        control_received=info.ictrlchunks,
        retransmitted=info.rtxchunks,
        duplicates=info.idupchunks,
        gaps=info.gapcnt,
        tag=info.tag,
        peer_tag=info.peer_tag,
        inode=row.inode,
        uid=row.uid,
        owners=owners,
    )


def _path(host: Host, path: proc.Path | None, row: wire.Row, tick: float) -> HostPath:
    primary = host == row.primary
    if path is not None:
        return HostPath(host, PathState(path.state), primary, path.rto * tick, path.heartbeat)
    return HostPath(host, PathState(row.info.p_state) if primary else PathState.UNKNOWN, primary, None, None)


def _named(address: Address) -> Address:
    """Return an address with the names of interfaces as scopes, as the rest of the package has them."""
    if not any(isinstance(host, IPv6Address) and host.scope_id for host in address.hosts):
        return address
    return Address([_scoped(host) for host in address.hosts], address.port)


def _scoped(host: Host) -> Host:
    if isinstance(host, IPv6Address) and host.scope_id is not None:
        with contextlib.suppress(OSError, ValueError):
            return IPv6Address(f"{_plain(host)}%{socket.if_indextoname(int(host.scope_id))}")
    return host


def _owners(inodes: Iterable[int]) -> dict[int, tuple[Owner, ...]]:
    """Return the processes that have sockets of these inodes open, as far as this one may look."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    found: dict[int, list[Owner]] = {}
    for process in filter(str.isdecimal, os.listdir("/proc") if wanted else ()):
        if held := _held(process, wanted):
            owner = Owner(int(process), _name(process))
            for inode in held:
                found.setdefault(inode, []).append(owner)
    return {inode: tuple(owners) for inode, owners in found.items()}


def _held(process: str, wanted: Mapping[str, int]) -> set[int]:
    held = set()
    # It may be another user's, or end meanwhile, as may a descriptor.
    with contextlib.suppress(OSError), _directory(f"/proc/{process}/fd") as folder:
        for descriptor in os.listdir(folder):
            with contextlib.suppress(OSError):
                # Within the folder: to look up the whole path for thousands of them takes twice as long.
                inode = wanted.get(os.readlink(descriptor, dir_fd=folder))
                if inode is not None:
                    held.add(inode)
    return held


@contextlib.contextmanager
def _directory(path: str) -> Iterator[int]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


def _name(process: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text(errors="replace").rstrip("\n")
    return ""
