"""The kernel's stack where no kernel is needed: what is said without SCTP, the walk over control messages."""

import errno
import os
import re
import socket
import struct
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sctpio
from sctpio._abi.contract import NO_INFO
from sctpio.stacks import choose
from sctpio.stacks._kernel import ffi, lib
from sctpio.stacks.kernel import socket as kernel

RCVINFO = struct.Struct("=HHHxxIIIIi")
SNDRCVINFO = struct.Struct("=HHHxxIIIIIi")
CMSG = struct.Struct("@Lii")


def cmsg(level: int, kind: int, data: bytes, length: int | None = None) -> bytes:
    packed = CMSG.pack(CMSG.size + len(data) if length is None else length, level, kind) + data
    return packed + bytes(-len(packed) % 8)


def parse(control: bytes) -> dict[str, int]:
    record = ffi.new("sctpio_record *")
    # A buffer of just this size, so that a checker of memory sees a read beyond it.
    held = ffi.new("uint8_t[]", control)
    lib.sctpio_parse_control(ffi.buffer(held)[: len(control)], len(control), record)
    names = ("association_id", "ppid", "tsn", "cumulative_tsn", "context", "stream", "ssn", "flags")
    return {name: getattr(record, name) for name in names} | {"msg_flags": record.msg_flags}  # type: ignore[attr-defined]


RCV = RCVINFO.pack(3, 7, 1, 0x3C000000, 1000, 999, 55, 42)
SND = SNDRCVINFO.pack(4, 8, 1, 0x12000000, 66, 0, 2000, 1999, 43)


def test_rcvinfo_is_read() -> None:
    assert parse(cmsg(132, 3, RCV)) == {
        "association_id": 42,
        "ppid": 60,
        "tsn": 1000,
        "cumulative_tsn": 999,
        "context": 55,
        "stream": 3,
        "ssn": 7,
        "flags": 1,
        "msg_flags": 0,
    }


def test_sndrcvinfo_is_read_where_there_is_no_rcvinfo() -> None:
    found = parse(cmsg(132, 1, SND))
    assert (found["stream"], found["ssn"], found["tsn"], found["context"]) == (4, 8, 2000, 66)
    assert parse(cmsg(132, 1, SND) + cmsg(132, 3, RCV))["stream"] == 3
    assert parse(cmsg(132, 3, RCV) + cmsg(132, 1, SND))["stream"] == 3


@pytest.mark.parametrize(
    "before",
    [
        cmsg(1, 29, bytes(16)),  # SO_TIMESTAMP
        cmsg(41, 3, RCV),  # another level with the same type
        cmsg(132, 4, bytes(16)),  # SCTP_NXTINFO
        cmsg(132, 99, b"x"),
        cmsg(132, 3, b""),
        cmsg(132, 3, RCV[:27]),
        cmsg(132, 1, SND[:31]),
    ],
)
def test_foreign_and_short_messages_are_stepped_over(before: bytes) -> None:
    assert parse(before)["msg_flags"] == NO_INFO
    assert parse(before + cmsg(132, 3, RCV))["stream"] == 3


@pytest.mark.parametrize("length", [0, 1, 15, 10_000, 2**63, 2**64 - 1, 2**64 - 8])
def test_a_length_that_lies_ends_the_walk(length: int) -> None:
    assert parse(cmsg(132, 3, RCV, length=length) + cmsg(132, 3, RCV))["msg_flags"] == NO_INFO


@given(st.binary(max_size=600))
@example(cmsg(132, 3, RCV)[:-1])
def test_any_bytes_end_the_walk(control: bytes) -> None:
    parse(control)


@given(
    st.lists(
        st.builds(
            cmsg,
            st.sampled_from([1, 41, 132]),
            st.integers(0, 9),
            st.binary(max_size=48),
            st.none() | st.integers(0, 2**64 - 1),
        ),
        max_size=6,
    )
)
def test_any_control_messages_end_the_walk(messages: list[bytes]) -> None:
    found = parse(b"".join(messages))
    assert found["msg_flags"] in (0, NO_INFO)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.EPROTONOSUPPORT, "modprobe sctp"),
        (errno.ESOCKTNOSUPPORT, "modprobe sctp"),
        (errno.EMFILE, "Too many open files"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_no_sctp_is_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: int, text: str
) -> None:
    class Lib:
        def sctpio_probe(self) -> int:
            return -code

    monkeypatch.setattr(kernel, "lib", Lib())
    monkeypatch.setenv("SCTPIO_STACK", "kernel")
    assert "kernel" not in sctpio.available_stacks()
    for call in (sctpio.connect, sctpio.listen):
        with pytest.raises(sctpio.UnavailableError, match=text) as caught:
            call("127.0.0.1:5000")
        assert caught.value.errno == code
        assert "\n" not in str(caught.value)


def test_this_machine_answers_truly() -> None:
    """No fake: what the host's kernel says is what the library says."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
        there = True
    except OSError:
        there = False
    assert ("kernel" in sctpio.available_stacks()) is there
    program = "import sctpio; sctpio.connect('127.0.0.1:5000', stack='kernel'); print('can')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if there:
        assert done.stdout == "can\n"
    else:
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("sctpio.errors.UnavailableError: ")
        assert "modprobe sctp" in last


def test_the_stack_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "unavailable", lambda: None)
    monkeypatch.delenv("SCTPIO_STACK", raising=False)
    assert choose(None) is choose("kernel") is kernel.STACK
    with pytest.raises(ValueError, match="stack is 'tcp'"):
        choose("tcp")
    monkeypatch.setenv("SCTPIO_STACK", "udp")
    with pytest.raises(ValueError, match=r"\$SCTPIO_STACK is 'udp'"):
        choose(None)
    assert choose("kernel") is kernel.STACK


def test_without_the_kernels_sctp_it_is_usrsctp_where_that_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = sctpio.UnavailableError(errno.EPROTONOSUPPORT, "modprobe sctp")
    monkeypatch.setattr(kernel, "unavailable", lambda: missing)
    monkeypatch.delenv("SCTPIO_STACK", raising=False)
    if "usrsctp" in sctpio.available_stacks():
        assert choose(None) is choose("usrsctp")
        assert choose(None).name == "usrsctp"


WITHOUT = """
import errno, sys
sys.modules["sctpio.stacks._usrsctp"] = None  # as where libusrsctp was not there when sctpio was built
import sctpio
from sctpio.stacks import choose
from sctpio.stacks.kernel import socket
socket.unavailable = lambda: sctpio.UnavailableError(errno.EPROTONOSUPPORT, "modprobe sctp")
assert sctpio.available_stacks() == ()
for name in ("usrsctp", None):
    try:
        choose(name)
    except sctpio.UnavailableError as error:
        print(error)
"""


def test_without_any_stack_the_error_says_what_to_install() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SCTPIO_STACK"}
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, env=environment
    )
    one, both = found.stdout.splitlines()
    assert re.search(r"without libusrsctp.*apt install libusrsctp-dev", one)
    assert re.search(r"modprobe sctp; and .*libusrsctp-dev", both)


def test_errors_keep_their_errno() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        raw = kernel.KernelSocket(descriptor, v6=False)
        with pytest.raises(OSError, match="listen") as caught:
            raw.listen(1)
        assert caught.value.errno == errno.ENOTSOCK
        assert raw.receive(100)[0] == -errno.ENOTSOCK
    finally:
        os.close(descriptor)
