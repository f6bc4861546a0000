"""Nothing of linux/sctp.h and usrsctp.h is forgotten: every name is modelled, or left out with a reason."""

from __future__ import annotations

from sctpio._abi.linux import LINUX
from sctpio._abi.usrsctp import USRSCTP
from uapi import inventory, table, usrsctp
from uapi.inventory import EXCLUDED, INSIDE, MODELLED, SYSTEM_HEADER, names_of_header, read_names


def missing(names: set[str]) -> set[str]:
    return names - set(MODELLED) - set(EXCLUDED)


def test_every_name_of_the_newest_header_is_modelled_or_left_out_with_a_reason() -> None:
    assert missing(read_names("names.txt")) == set()


def test_every_name_of_this_machines_header_is_known() -> None:
    found = names_of_header(SYSTEM_HEADER.read_text(encoding="utf-8"))
    assert {"SCTP_RTOINFO", "SCTP_SENDALL", "SCTP_COMM_UP", "SPP_HB_ENABLE"} <= found
    assert missing(found) == set()
    assert found <= read_names("names.txt")


def test_no_entry_is_stale() -> None:
    assert set(MODELLED) | set(EXCLUDED) == read_names("names.txt")
    assert not set(MODELLED) & set(EXCLUDED)
    assert set(INSIDE) <= set(MODELLED)


def test_a_new_name_would_be_noticed() -> None:
    header = """
    /* SCTP_IN_A_COMMENT */
    #ifndef _SCTP_H
    #define _SCTP_H
    #define SCTP_NEW_OPTION 134 /* new */
    #  define SCTP_NEW_MACRO(x) ((x) + 1)
    #define lower_case sctp_prim
    enum sctp_new_enum {
        SCTP_NEW_FIRST = (1 << 3), /* one, two */
        SCTP_NEW_SECOND,
    #define SCTP_NEW_SECOND SCTP_NEW_SECOND
        SCTP_NEW_LAST = SCTP_NEW_SECOND
    };
    enum { SCTP_NEW_ALONE=0, };
    """
    assert missing(names_of_header(header)) == {
        *("SCTP_NEW_OPTION", "SCTP_NEW_MACRO", "SCTP_NEW_FIRST", "SCTP_NEW_SECOND", "SCTP_NEW_LAST"),
        "SCTP_NEW_ALONE",
    }


def test_the_numbers_of_one_name_agree() -> None:
    """A name that several places know is the same number in all of them."""
    for name, number in inventory._c_header().items():
        if name in MODELLED:
            assert MODELLED[name] == number, name


def test_no_two_rows_are_the_same_option_or_notification() -> None:
    for platform in (LINUX, USRSCTP):
        options = [(spec.level, spec.number) for spec in platform.options]
        assert len(set(options)) == len(options)
        assert len({spec.kind for spec in platform.options}) == len(options)
        assert len({row.number for row in platform.events}) == len(platform.events)


def test_the_page_of_the_manual_is_up_to_date() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.render(), (
        "docs/reference-uapi.md is stale: run `PYTHONPATH=tests python -m uapi.table`"
    )


def test_every_name_of_usrsctp_is_modelled_or_left_out_with_a_reason() -> None:
    assert set(usrsctp.MODELLED) | set(usrsctp.EXCLUDED) == read_names("usrsctp.txt")
    assert not set(usrsctp.MODELLED) & set(usrsctp.EXCLUDED)
    assert set(USRSCTP.inside) == set(usrsctp.INSIDE) == set(LINUX.inside)


def test_both_stacks_tell_the_same_events() -> None:
    assert {row.kind for row in USRSCTP.events} == {row.kind for row in LINUX.events}
