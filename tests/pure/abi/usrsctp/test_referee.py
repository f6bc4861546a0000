"""The usrsctp table against a compiler that reads <usrsctp.h>, and against the library itself."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from sctpio import options
from sctpio._abi.platform import EventRow, OptionSpec
from sctpio._abi.usrsctp import USRSCTP
from sctpio.options import Option
from uapi import usrsctp
from uapi.inventory import COMMENT, read_names
from uapi.referee import about_layouts, answers, ask, find_compiler

HEADERS = ("<usrsctp.h>",)
LAYOUTS = USRSCTP.layouts

# Names of other headers.
NUMBERS = usrsctp.MODELLED | {
    "AF_INET": USRSCTP.af_inet,
    "AF_INET6": USRSCTP.af_inet6,
    "SO_SNDBUF": 7,
    "SO_RCVBUF": 8,
}

# Layouts that end with a flexible array: its name in C.
TAILS = {
    "sctp_assoc_change": "sac_info",
    "sctp_send_failed_event": "ssfe_data",
    "sctp_remote_error": "sre_data",
    "sctp_stream_reset_event": "strreset_stream_list",
    "sctp_assoc_ids": "gaids_assoc_id",
    "sctp_authchunks": "gauth_chunks",
    "sctp_authkey": "sca_key",
    "sctp_hmacalgo": "shmac_idents",
    "sctp_reset_streams": "srs_stream_list",
}

# Where the header is not what the stack writes: what it says instead, None where it has no such member.
WRONG_IN_THE_HEADER = {
    "size sctp_pdapi_event": 24,
    "size sctp_pdapi_event.pdapi_stream": 4,
    "size sctp_pdapi_event.pdapi_seq": 4,
    "offset sctp_pdapi_event.pdapi_seq": 16,
    "offset sctp_pdapi_event.pdapi_assoc_id": 20,
    "offset sctp_authkey_event.auth_altkeynumber": None,
    "size sctp_authkey_event.auth_altkeynumber": None,
    "size sctp_authchunks": 4,
    "tail sctp_authchunks": 4,
    "offset sctp_authchunks.gauth_number_of_chunks": None,
    "size sctp_authchunks.gauth_number_of_chunks": None,
}


@pytest.fixture(scope="module", autouse=True)
def header() -> None:
    """Skip where the header is not installed, but not in CI, where it has to be."""
    if usrsctp.HEADER.exists():
        return
    told = f"{usrsctp.HEADER} is not there (Debian: libusrsctp-dev): the usrsctp table is not compared"
    if "CI" in os.environ:
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="module")
def compiler(header: None) -> str:
    return find_compiler()


def test_every_number_and_struct_is_the_compilers(compiler: str, tmp_path: Path) -> None:
    asked = {f"number {name}": name for name in NUMBERS} | dict(about_layouts(LAYOUTS, TAILS))
    assert set(WRONG_IN_THE_HEADER) <= set(asked)
    asked = {question: c for question, c in asked.items() if WRONG_IN_THE_HEADER.get(question, 0) is not None}
    assert ask(compiler, asked, tmp_path, HEADERS) == {
        question: number
        for question, number in (answers(NUMBERS, LAYOUTS) | WRONG_IN_THE_HEADER).items()
        if question in asked
    }


def test_every_tail_has_a_name_in_c() -> None:
    rows: tuple[EventRow | OptionSpec, ...] = (*USRSCTP.events, *USRSCTP.options)
    assert set(TAILS) == {row.layout.name for row in rows if row.tail is not None}


def test_every_name_of_the_header_is_known() -> None:
    found = usrsctp.names_of_usrsctp(usrsctp.HEADER.read_text(encoding="utf-8"))
    assert found == read_names("usrsctp.txt")


def test_the_structs_of_notifications_are_all_there() -> None:
    text = COMMENT.sub(" ", usrsctp.HEADER.read_text(encoding="utf-8"))
    union = re.search(r"union sctp_notification \{(.*?)\n\}", text, re.DOTALL)
    assert union is not None
    structs = set(re.findall(r"struct (\w+) sn_", re.sub(r"\s+", " ", union[1])))
    assert structs == {row.layout.name for row in USRSCTP.events}


GET = """
#include <errno.h>
#include <usrsctp.h>

static unsigned char given[1 << 20];

/* Read an option: the length that was given, or -errno. */
static int get(struct socket *s, int level, int name, socklen_t length, const unsigned char *query)
{
    memset(given, 0, sizeof(given));
    if (query)
        memcpy(given, query, 130);
    return usrsctp_getsockopt(s, level, name, given, &length) < 0 ? -errno : (int)length;
}
"""
BEFORE = """usrsctp_init_nothreads(0, NULL, NULL);
    struct socket *one = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    struct socket *many = usrsctp_socket(AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    struct sockaddr_in any = {.sin_family = AF_INET};
    usrsctp_bind(many, (struct sockaddr *)&any, sizeof(any));
    (void)get;
"""
AFTER = """usrsctp_close(one);
    usrsctp_close(many);
    usrsctp_finish();"""


def run(compiler: str, asked: dict[str, str], directory: Path) -> dict[str, int]:
    """Ask the library."""
    libraries = ("-lusrsctp", "-lpthread")
    return ask(
        compiler, asked, directory, HEADERS, functions=GET, before=BEFORE, after=AFTER, libraries=libraries
    )


def space(spec: OptionSpec) -> int:
    return spec.layout.size + (0 if spec.tail is None else spec.tail.space)


def test_the_library_reads_each_option_as_the_table_has_it(compiler: str, tmp_path: Path) -> None:
    """It gives as many bytes as the struct has, and refuses one byte less."""
    readable = {spec.name: spec for spec in USRSCTP.options if spec.readable}
    asked = {}
    for name, spec in readable.items():
        for less in (0, 1):
            length = space(spec) if less == 0 else spec.layout.size - 1
            asked[f"{name} {less}"] = f"get(many, {spec.level}, {spec.number}, {length}, NULL)"
    found = run(compiler, asked, tmp_path)
    # A socket without associations has none of these.
    of_associations = {
        "SCTP_STATUS",
        "SCTP_GET_PEER_ADDR_INFO",
        "SCTP_PRIMARY_ADDR",
        "SCTP_PEER_AUTH_CHUNKS",
        "SCTP_PR_ASSOC_STATUS",
        "SCTP_PR_STREAM_STATUS",
        "SCTP_SS_VALUE",
    }
    for name, spec in readable.items():
        if name in of_associations:
            assert found[f"{name} 0"] in (-errno.EINVAL, -errno.ENOENT), name
        elif spec.tail is None:
            assert found[f"{name} 0"] == spec.layout.size, name
        assert found[f"{name} 1"] == -errno.EINVAL, name
    assert found["SCTP_GET_ASSOC_ID_LIST 0"] == 4
    assert found["SCTP_HMAC_IDENT 0"] in (4 + 2, 4 + 4)


def test_the_library_gives_the_number_of_chunks_that_the_header_leaves_out(
    compiler: str, tmp_path: Path
) -> None:
    spec = next(spec for spec in USRSCTP.options if spec.kind is options.LocalAuthChunks)
    asked = {
        "length": f"get(many, 132, {spec.number}, {space(spec)}, NULL)",
        "count": "*(uint32_t *)(given + 4)",
    }
    found = run(compiler, asked, tmp_path)
    # ASCONF and ASCONF ACK are there by themselves.
    assert found == {"length": 8 + 2, "count": 2}


def test_a_query_without_an_address_is_taken(compiler: str, tmp_path: Path) -> None:
    """The struct that names no path is that of the socket's future associations."""
    asked = {}
    for spec in USRSCTP.options:
        if spec.initial:
            ((_, initial),) = spec.initial
            query = ", ".join(map(str, initial.ljust(130, b"\0")))
            asked[spec.name] = (
                f"get(one, 132, {spec.number}, {spec.layout.size}, (const unsigned char[]){{{query}}})"
            )
    sizes = {spec.name: spec.layout.size for spec in USRSCTP.options}
    assert set(asked) == {"SCTP_PEER_ADDR_PARAMS", "SCTP_REMOTE_UDP_ENCAPS_PORT"}
    assert run(compiler, asked, tmp_path) == {name: sizes[name] for name in asked}


def test_each_option_is_in_the_table_or_lacking() -> None:
    kinds = {vars(options)[name] for name in options.__all__}
    every = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Option)} - {Option}
    had, lacking = {spec.kind for spec in USRSCTP.options}, {option.kind for option in USRSCTP.lacking}
    assert had | lacking == every
    assert not had & lacking
    offered = read_names("usrsctp.txt")
    assert not {option.name for option in USRSCTP.lacking} & offered
    assert {
        option.kind.__doc__ for option in USRSCTP.lacking if option.name not in str(option.kind.__doc__)
    } == set()
