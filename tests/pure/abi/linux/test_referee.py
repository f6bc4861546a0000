"""The Linux table against a compiler that reads the system's <linux/sctp.h>.

The program that asks the compiler is made from the table; names and structs that the header is too old
to have are left out of it, and told.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from sctpio._abi import contract
from sctpio._abi.linux import LINUX, structs
from uapi.inventory import C_HEADER, COMMENT, MODELLED, SYSTEM_HEADER, names_of_header
from uapi.referee import SCALARS, about_layouts, answers, ask, find_compiler

NUMBERS = MODELLED | {spec.name: spec.number for spec in LINUX.options}
NUMBERS |= {"AF_INET": LINUX.af_inet, "AF_INET6": LINUX.af_inet6}
NUMBERS |= {"MSG_CTRUNC": contract.MSG_CTRUNC, "MSG_EOR": contract.MSG_EOR, "SOL_SOCKET": structs.SOL_SOCKET}

HEADERS = ("<linux/sctp.h>", f'"{C_HEADER}"')

# Layouts that end with a flexible array: its name in C.
TAILS = {
    "sctp_assoc_change": "sac_info",
    "sctp_send_failed": "ssf_data",
    "sctp_send_failed_event": "ssf_data",
    "sctp_remote_error": "sre_data",
    "sctp_stream_reset_event": "strreset_stream_list",
    "sctp_assoc_ids": "gaids_assoc_id",
    "sctp_authchunks": "gauth_chunks",
    "sctp_authkey": "sca_key",
    "sctp_hmacalgo": "shmac_idents",
    "sctp_reset_streams": "srs_stream_list",
}

# Structs of csrc/kernel/uapi.h: what their members are called in the header.
OURS_IN_C = {
    "sndrcvinfo": "sinfo_",
    "sndinfo": "snd_",
    "rcvinfo": "rcv_",
    "prinfo": "pr_",
    "authinfo": "auth_",
    "getaddrs": "",
    "paddrparams": "spp_",
}


def header() -> str:
    return COMMENT.sub(" ", SYSTEM_HEADER.read_text(encoding="utf-8"))


def known(text: str) -> tuple[set[str], set[str]]:
    """Give the names and the structs that the header has; those of other headers are always there."""
    names = names_of_header(text) | {name for name in NUMBERS if not name.startswith(("SCTP_", "SPP_"))}
    return names, set(re.findall(r"\bstruct (\w+)\s*\{", text)) | SCALARS


def members_in_c(struct: str) -> list[str]:
    body = re.search(rf"struct uapi_{struct} \{{(.*?)\}}", C_HEADER.read_text(encoding="ascii"), re.DOTALL)
    assert body is not None
    return re.findall(r"(\w+)(?:\[\d*\])?;", body.group(1))


def questions(text: str) -> Iterator[tuple[str, str]]:
    """Give what to ask about the table, and the C expression that answers it."""
    names, found = known(text)
    for name in NUMBERS.keys() & names:
        yield f"number {name}", name
    yield from about_layouts(LINUX.layouts, TAILS, found.__contains__)


@pytest.fixture(scope="module")
def compiler() -> str:
    return find_compiler()


def test_every_number_and_struct_is_the_compilers(compiler: str, tmp_path: Path) -> None:
    asked = dict(questions(header()))
    ours = answers(NUMBERS, LINUX.layouts)
    assert ask(compiler, asked, tmp_path, HEADERS) == {question: ours[question] for question in asked}


def test_the_structs_of_the_c_part_are_the_headers(compiler: str, tmp_path: Path) -> None:
    asked = {}
    for struct, prefix in OURS_IN_C.items():
        asked[f"ours {struct}"] = f"sizeof(struct uapi_{struct})"
        asked[f"theirs {struct}"] = f"sizeof(struct sctp_{struct})"
        for member in members_in_c(struct):
            asked[f"ours {struct}.{member}"] = f"offsetof(struct uapi_{struct}, {member})"
            asked[f"theirs {struct}.{member}"] = f"offsetof(struct sctp_{struct}, {prefix}{member})"
    found = ask(compiler, asked, tmp_path, HEADERS)
    ours = {question.removeprefix("ours "): n for question, n in found.items() if question.startswith("ours")}
    theirs = {q.removeprefix("theirs "): n for q, n in found.items() if q.startswith("theirs")}
    assert ours == theirs


def test_every_tail_has_a_name_in_c() -> None:
    assert set(TAILS) == {
        row.layout.name for table in (LINUX.events, LINUX.options) for row in table if row.tail is not None
    }


def test_what_the_header_lacks_is_told() -> None:
    names, found = known(header())
    lacking = (set(NUMBERS) - names) | ({layout.name for layout in LINUX.layouts} - found)
    # Only what came late can be missing: everything else is a name that we have wrong.
    assert lacking <= {"SCTP_SS_FC", "SCTP_SS_WFQ"} | {row.name for row in LINUX.options if row.since >= "4"}
    if lacking:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"not compared, missing from this header: {sorted(lacking)}", stacklevel=1)


def test_what_an_old_header_lacks_is_not_asked() -> None:
    old = "#define SCTP_RTOINFO 0\nstruct sctp_rtoinfo {\n};\n"
    asked = dict(questions(old))
    assert {"number SCTP_RTOINFO", "size sctp_rtoinfo", "number AF_INET"} <= set(asked)
    assert "number SCTP_ASSOCINFO" not in asked
    assert "size sctp_assocparams" not in asked
