"""The Linux table against a compiler that reads the system's <linux/sctp.h>."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sctpio import _linux_structs as structs
from sctpio._codec import LINUX
from sctpio.events import (
    AddressState,
    AssociationState,
    AuthenticationState,
    PartialDeliveryState,
    PathError,
    StreamResetFlags,
)
from sctpio.options import PathState, ProtocolState

SOURCE = Path(__file__).with_name("referee.c")

# Ours by the C name, where the two differ in more than a prefix.
NUMBERS: dict[str, int] = {
    "AF_INET": LINUX.af_inet,
    "AF_INET6": LINUX.af_inet6,
    "SOL_SOCKET": structs.SOL_SOCKET,
    "MSG_CTRUNC": structs.MSG_CTRUNC,
    "MSG_EOR": structs.MSG_EOR,
    "MSG_NOTIFICATION": structs.MSG_NOTIFICATION,
    "SCTP_UNORDERED": structs.UNORDERED,
    "SCTP_ADDR_OVER": structs.ADDR_OVER,
    "SCTP_ABORT": structs.ABORT,
    "SCTP_SACK_IMMEDIATELY": structs.SACK_IMMEDIATELY,
    "SCTP_EOF": structs.EOF,
    "SCTP_PR_SCTP_TTL": structs.PR_TTL,
    "SCTP_PR_SCTP_RTX": structs.PR_RTX,
    "SCTP_PR_SCTP_PRIO": structs.PR_PRIO,
    "SCTP_DATA_SENT": structs.DATA_SENT,
    "SCTP_STREAM_RESET_INCOMING_SSN": StreamResetFlags.INCOMING,
    "SCTP_STREAM_RESET_OUTGOING_SSN": StreamResetFlags.OUTGOING,
    "SCTP_STREAM_RESET_DENIED": StreamResetFlags.DENIED,
    "SCTP_STREAM_RESET_FAILED": StreamResetFlags.FAILED,
    "SCTP_ASSOC_RESET_DENIED": StreamResetFlags.DENIED,
    "SCTP_ASSOC_RESET_FAILED": StreamResetFlags.FAILED,
    "SCTP_STREAM_CHANGE_DENIED": StreamResetFlags.DENIED,
    "SCTP_STREAM_CHANGE_FAILED": StreamResetFlags.FAILED,
    "SCTP_ADDR_MADE_PRIM": AddressState.MADE_PRIMARY,
    "SCTP_PARTIAL_DELIVERY_ABORTED": PartialDeliveryState.ABORTED,
}
NUMBERS |= {name: getattr(structs, name) for name in dir(structs) if name.startswith("SPP_")}
NUMBERS |= {f"SCTP_{member.name}": member for member in AssociationState}
NUMBERS |= {
    f"SCTP_ADDR_{member.name}": member for member in AddressState if member is not AddressState.MADE_PRIMARY
}
NUMBERS |= {f"SCTP_{member.name}": member for member in PathError}
NUMBERS |= {f"SCTP_AUTH_{member.name}": member for member in AuthenticationState}
NUMBERS |= {f"SCTP_{member.name}": member for member in ProtocolState}
NUMBERS |= {f"SCTP_{member.name}": member for member in PathState}
NUMBERS |= {row.name: row.number for row in LINUX.events}
NUMBERS |= {spec.name: spec.number for spec in LINUX.options}


@dataclass
class Verdict:
    """What the compiler said."""

    structs: dict[str, int] = field(default_factory=dict)
    fields: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    tails: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


def read_verdict(output: str) -> Verdict:
    verdict = Verdict()
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        words = rest.split()
        match kind:
            case "struct":
                verdict.structs[" ".join(words[:-1])] = int(words[-1])
            case "field":
                verdict.fields[words[0], words[1]] = (int(words[2]), int(words[3]))
            case "tail":
                verdict.tails[words[0]] = int(words[2])
            case "number":
                verdict.numbers[words[0]] = int(words[1])
            case "missing":
                verdict.missing.add(words[0])
            case _:
                raise AssertionError(f"the referee says {line!r}")
    return verdict


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.fail("there is no C compiler (`cc`): install one, the table must be compared")
    program = tmp_path_factory.mktemp("referee") / "referee"
    built = subprocess.run(
        [compiler, "-Wall", "-Werror", "-o", str(program), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.fail(f"referee.c cannot be built with the system's linux/sctp.h:\n{built.stderr}")
    run = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    return read_verdict(run.stdout)


def test_every_struct_has_the_compilers_size(verdict: Verdict) -> None:
    ours = {x.name: x.size for x in LINUX.layouts if x.name not in verdict.missing}
    assert ours == verdict.structs


def test_every_member_lies_where_the_compiler_puts_it(verdict: Verdict) -> None:
    ours = {
        (layout.name, member.path): (member.offset, member.size)
        for layout in LINUX.layouts
        if layout.name not in {"int", "unsigned int"} | verdict.missing
        for member in layout.members
    }
    assert ours == verdict.fields


def test_every_flexible_array_follows_its_struct(verdict: Verdict) -> None:
    ours = {
        row.layout.name: row.layout.size
        for row in LINUX.events
        if row.tail is not None and row.layout.name not in verdict.missing
    }
    assert ours == verdict.tails


def test_every_number_is_the_headers(verdict: Verdict) -> None:
    ours = {name: int(value) for name, value in NUMBERS.items() if name not in verdict.missing}
    assert ours == verdict.numbers


def test_what_the_header_lacks_is_told(verdict: Verdict) -> None:
    assert verdict.missing <= {*NUMBERS, "sctp_send_failed_event"}
    if verdict.missing:
        print("missing from this header:", *sorted(verdict.missing))
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"not compared, missing: {sorted(verdict.missing)}", stacklevel=1)


def test_a_wrong_word_of_the_referee_is_an_error() -> None:
    with pytest.raises(AssertionError, match="frobnicate"):
        read_verdict("frobnicate 1 2\n")


def test_missing_names_are_read() -> None:
    assert read_verdict("missing SCTP_NEW\n").missing == {"SCTP_NEW"}
