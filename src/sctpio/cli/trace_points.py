"""The trace points of the kernel's SCTP, as `sctpio trace --kernel` shows them (tracefs, net/sctp).

`sctp_probe` tells of an association when a SACK has come, `sctp_probe_path` then of each of its paths. They
are read through a tracing instance of this command's own, which is taken away when it ends: tracing by others
is left alone.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..options import PathState
from .exits import CommandError, Exit
from .output import Output, ready

__all__ = ["Follower", "PathPoint", "follow", "ports_of"]

MOUNTS = Path("/proc/mounts")

LINE = re.compile(r"\s(\d+\.\d+): (sctp_probe|sctp_probe_path): asoc=(0x[0-9a-f]+)(\(\*\))? (.*)$")
FIELD = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True)
class PathPoint:
    """One path at one moment: seconds of the kernel's clock, ports of the association, sizes in bytes.

    `rwnd` is the peer's window and `unacknowledged` the DATA chunks in flight, of the association; the ports
    are 0 and these two None until the kernel has told them.
    """

    time: float
    association: str
    port: int
    peer_port: int
    path: str
    primary: bool
    state: PathState
    cwnd: int
    ssthresh: int
    in_flight: int
    rwnd: int | None
    unacknowledged: int | None


class Follower:
    """Makes points of the lines of trace_pipe; a line that cannot be read is left out."""

    def __init__(self) -> None:
        # What was told last of each association.
        self._probes: dict[str, dict[str, int]] = {}

    def read(self, line: str) -> PathPoint | None:
        """Read one line; None if it is not of a path."""
        found = LINE.search(line)
        if found is None:
            return None
        stamp, kind, association, primary, rest = found.groups()
        fields = dict(FIELD.findall(rest))
        try:
            if kind == "sctp_probe":
                names = ("bind_port", "peer_port", "rwnd", "unack_data")
                self._probes[association] = {name: int(fields[name]) for name in names}
                return None
            probe = self._probes.get(association, {})
            return PathPoint(
                time=float(stamp),
                association=association,
                port=probe.get("bind_port", 0),
                peer_port=probe.get("peer_port", 0),
                path=fields["ipaddr"].rpartition(":")[0].strip("[]"),
                primary=primary is not None,
                state=PathState(int(fields["state"])),
                cwnd=int(fields["cwnd"]),
                ssthresh=int(fields["ssthresh"]),
                in_flight=int(fields["flight_size"]),
                rwnd=probe.get("rwnd"),
                unacknowledged=probe.get("unack_data"),
            )
        except (KeyError, ValueError):
            return None


def text_of(point: PathPoint) -> str:
    """Return a point as a line."""
    star = "*" if point.primary else ""
    rwnd = "-" if point.rwnd is None else str(point.rwnd)
    return (
        f"{point.time:.6f} {point.port} > {point.peer_port}  {point.path}{star} {point.state.name.lower()}"
        f"  cwnd {point.cwnd}  flight {point.in_flight}  ssthresh {point.ssthresh}  rwnd {rwnd}"
    )


def ports_of(words: Sequence[str]) -> frozenset[int]:
    """Read the ports to choose by; raises CommandError."""
    found = set()
    for word in words:
        if not (word.startswith(":") and word[1:].isdecimal() and 0 < int(word[1:]) <= 65535):
            raise CommandError(Exit.USAGE, f"{word!r}; accepted with --kernel: a port, as in ':5000'")
        found.add(int(word[1:]))
    return frozenset(found)


async def follow(ports: frozenset[int], output: Output) -> Exit:
    """Write what the trace points tell, until it is interrupted."""
    follower = Follower()
    with _pipe() as pipe:
        output.note("following the kernel's SCTP trace points; Ctrl-C ends")
        rest = b""
        while True:
            await ready(pipe)
            with contextlib.suppress(BlockingIOError):
                rest += os.read(pipe, 65536)
            *lines, rest = rest.split(b"\n")
            for line in lines:
                point = follower.read(line.decode(errors="replace"))
                if point is not None and (not ports or ports & {point.port, point.peer_port}):
                    await (output.put_record(point) if output.json else output.put(text_of(point)))


@contextmanager
def _pipe() -> Iterator[int]:
    """Open the pipe of a tracing instance in which only the events of SCTP are on."""
    instance = _tracefs() / "instances" / f"sctpio-{os.getpid()}"
    try:
        instance.mkdir()
    except OSError as error:
        raise _refused(error) from None
    try:
        if not (instance / "events/sctp").is_dir():
            raise CommandError(
                Exit.NO_SCTP, "this kernel has no trace points of SCTP, or it is not loaded: modprobe sctp"
            )
        (instance / "events/sctp/enable").write_text("1")
        pipe = os.open(instance / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield pipe
        finally:
            os.close(pipe)
            (instance / "events/sctp/enable").write_text("0")
    except OSError as error:
        raise _refused(error) from None
    finally:
        instance.rmdir()


def _tracefs() -> Path:
    """Return where tracefs is mounted; raises CommandError."""
    for line in MOUNTS.read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "tracefs":
            return Path(where)
    raise CommandError(
        Exit.USAGE,
        "tracefs is not mounted, or this kernel has none; as root:"
        " mount -t tracefs tracefs /sys/kernel/tracing",
    )


def _refused(error: OSError) -> CommandError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return CommandError(
            Exit.USAGE, "trace points are for root (CAP_SYS_ADMIN, and the files of tracefs): use sudo"
        )
    return CommandError(Exit.FOUND, f"{error.filename}: {error.strerror}")
