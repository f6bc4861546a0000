"""The kernel's trace points: lines as Linux 6.12 wrote them, what cannot be read, and what is refused."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import PathState
from sctpio.cli import trace_points
from sctpio.cli.exits import CommandError, Exit
from sctpio.cli.output import Output
from sctpio.cli.trace_points import Follower, follow, ports_of, text_of

HEADER = "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION"
PROBE = (
    "         python3-192     [000] .....    32.574124: sctp_probe: asoc=0xffff8f31c3738000 mark=0x0"
    " bind_port=5000 peer_port=59465 pathmtu=65532 rwnd=106196 unack_data=1"
)
PRIMARY = (
    "         python3-192     [000] .....    32.574136: sctp_probe_path: asoc=0xffff8f31c3738000(*)"
    " ipaddr=127.0.0.1:59465 state=2 cwnd=131064 ssthresh=106496 flight_size=300 partial_bytes_acked=0"
    " pathmtu=65532"
)
OTHER = (
    "         python3-192     [000] ..s2.    32.657757: sctp_probe_path: asoc=0xffff8f31c3738000"
    " ipaddr=[fd00::2]:59465 state=3 cwnd=4380 ssthresh=106496 flight_size=0 partial_bytes_acked=0"
    " pathmtu=1500"
)


def test_a_path_has_the_ports_and_the_window_that_were_told_before() -> None:
    follower = Follower()
    assert follower.read(HEADER) is None
    assert follower.read(PROBE) is None
    point = follower.read(PRIMARY)
    assert point is not None
    assert (point.time, point.port, point.peer_port, point.path) == (32.574136, 5000, 59465, "127.0.0.1")
    assert (point.primary, point.state, point.cwnd, point.in_flight) == (True, PathState.ACTIVE, 131064, 300)
    assert (point.rwnd, point.unacknowledged) == (106196, 1)
    assert text_of(point) == (
        "32.574136 5000 > 59465  127.0.0.1* active  cwnd 131064  flight 300  ssthresh 106496  rwnd 106196"
    )


def test_a_path_of_ipv6_that_is_not_primary() -> None:
    point = Follower().read(OTHER)
    assert point is not None
    assert (point.path, point.primary, point.state) == ("fd00::2", False, PathState.UNCONFIRMED)
    assert (point.port, point.rwnd) == (0, None)


def test_fields_that_a_newer_kernel_adds_are_ignored() -> None:
    follower = Follower()
    follower.read(PROBE + " more=7")
    assert (
        follower.read(PRIMARY + " more=0x7") == (same := Follower(), same.read(PROBE), same.read(PRIMARY))[2]
    )


@given(
    st.text()
    | st.sampled_from((PROBE, PRIMARY, OTHER)).flatmap(
        lambda line: st.integers(0, len(line)).map(lambda end: line[:end])
    )
)
def test_no_line_does_harm(line: str) -> None:
    follower = Follower()
    follower.read(line)
    follower.read(PRIMARY)


@pytest.mark.parametrize("word", ["5000", ":", ":0", ":70000", ":x", "python"])
def test_what_is_no_port_is_quoted(word: str) -> None:
    with pytest.raises(CommandError, match="accepted with --kernel: a port") as caught:
        ports_of([":5000", word])
    assert repr(word) in str(caught.value)
    assert ports_of([":5000", ":1"]) == {5000, 1}


def followed() -> CommandError:
    with pytest.raises(CommandError) as caught:
        asyncio.run(follow(frozenset(), Output(json=False)))
    return caught.value


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let tracefs seem to be mounted where the test says."""
    made = tmp_path / "mounts"
    made.write_text(f"proc /proc proc rw 0 0\ntracefs {tmp_path}/tracing tracefs rw 0 0\n")
    monkeypatch.setattr(trace_points, "MOUNTS", made)
    return made


def test_without_tracefs_it_says_how_to_mount_it(mounts: Path) -> None:
    mounts.write_text("proc /proc proc rw 0 0\n")
    error = followed()
    assert error.exit is Exit.USAGE
    assert "mount -t tracefs tracefs /sys/kernel/tracing" in str(error)


def test_without_permission_it_names_the_capability(mounts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    error = followed()
    assert error.exit is Exit.USAGE
    assert "CAP_SYS_ADMIN" in str(error)
    assert "sudo" in str(error)


def test_a_kernel_without_the_trace_points_is_told_and_nothing_is_left(mounts: Path, tmp_path: Path) -> None:
    (tmp_path / "tracing/instances").mkdir(parents=True)
    error = followed()
    assert error.exit is Exit.NO_SCTP
    assert "modprobe sctp" in str(error)
    assert list((tmp_path / "tracing/instances").iterdir()) == []
