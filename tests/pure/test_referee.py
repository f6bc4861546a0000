"""The Linux table against a compiler that reads the system's <linux/sctp.h>.

The program that asks the compiler is made from the table; names and structs that the header is too old
to have are left out of it, and told.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from sctpio import _linux_structs as structs
from sctpio._codec import LINUX
from uapi.inventory import C_HEADER, COMMENT, MODELLED, SYSTEM_HEADER, names_of_header

NUMBERS = MODELLED | {spec.name: spec.number for spec in LINUX.options}
NUMBERS |= {"AF_INET": LINUX.af_inet, "AF_INET6": LINUX.af_inet6}
NUMBERS |= {name: getattr(structs, name) for name in ("MSG_CTRUNC", "MSG_EOR", "SOL_SOCKET")}

SCALARS = {"int", "unsigned int", "sctp_assoc_t"}

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

# Structs of csrc/uapi.h: what their members are called in the header.
OURS_IN_C = {
    "sndrcvinfo": "sinfo_",
    "sndinfo": "snd_",
    "rcvinfo": "rcv_",
    "prinfo": "pr_",
    "authinfo": "auth_",
    "getaddrs": "",
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
    return re.findall(r"(\w+)(?:\[\])?;", body.group(1))


def questions(text: str) -> Iterator[tuple[str, str]]:
    """Give what to ask about the table, and the C expression that answers it."""
    names, found = known(text)
    for name in NUMBERS.keys() & names:
        yield f"number {name}", name
    for layout in LINUX.layouts:
        if layout.name not in found:
            continue
        kind = layout.name if layout.name in SCALARS else f"struct {layout.name}"
        yield f"size {layout.name}", f"sizeof({kind})"
        for member in layout.members if layout.name not in SCALARS else ():
            yield f"offset {layout.name}.{member.path}", f"offsetof({kind}, {member.path})"
            yield f"size {layout.name}.{member.path}", f"sizeof((({kind} *)0)->{member.path})"
        if layout.name in TAILS:
            yield f"tail {layout.name}", f"offsetof({kind}, {TAILS[layout.name]})"


def answers() -> dict[str, int]:
    """Give the table's answers to the same questions."""
    found = {f"number {name}": int(number) for name, number in NUMBERS.items()}
    for layout in LINUX.layouts:
        found[f"size {layout.name}"] = found[f"tail {layout.name}"] = layout.size
        for member in layout.members:
            found[f"offset {layout.name}.{member.path}"] = member.offset
            found[f"size {layout.name}.{member.path}"] = member.size
    return found


def ask(compiler: str, asked: dict[str, str], directory: Path) -> dict[str, int]:
    """Let a compiler answer."""
    source, program = directory / "referee.c", directory / "referee"
    lines = [f'    printf("%lld\\n", (long long)({expression}));' for expression in asked.values()]
    includes = ["stddef.h", "stdint.h", "stdio.h", "sys/socket.h", "linux/sctp.h"]
    source.write_text(
        "".join(f"#include <{name}>\n" for name in includes)
        + f'#include "{C_HEADER}"\nint main(void)\n{{\n'
        + "\n".join(lines)
        + "\n}\n"
    )
    built = subprocess.run(
        [compiler, "-Wall", "-Werror", "-o", str(program), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.fail(f"a program that reads the system's linux/sctp.h cannot be built:\n{built.stderr}")
    run = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    return dict(zip(asked, map(int, run.stdout.split()), strict=True))


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("cc")
    if found is None:
        pytest.fail("there is no C compiler (`cc`): install one, the table must be compared")
    return found


def test_every_number_and_struct_is_the_compilers(compiler: str, tmp_path: Path) -> None:
    asked = dict(questions(header()))
    ours = answers()
    assert ask(compiler, asked, tmp_path) == {question: ours[question] for question in asked}


def test_the_structs_of_the_c_part_are_the_headers(compiler: str, tmp_path: Path) -> None:
    asked = {}
    for struct, prefix in OURS_IN_C.items():
        asked[f"ours {struct}"] = f"sizeof(struct uapi_{struct})"
        asked[f"theirs {struct}"] = f"sizeof(struct sctp_{struct})"
        for member in members_in_c(struct):
            asked[f"ours {struct}.{member}"] = f"offsetof(struct uapi_{struct}, {member})"
            asked[f"theirs {struct}.{member}"] = f"offsetof(struct sctp_{struct}, {prefix}{member})"
    found = ask(compiler, asked, tmp_path)
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
