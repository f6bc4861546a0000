"""`sctpio top` in words: rates, what has ended, order, filters."""

from dataclasses import replace

import pytest

from sctpio import Address, PathState, ProtocolState
from sctpio.cli.top_view import COLUMNS, SORTS, Filter, Look, cells, look_of, sort_rows
from sctpio.diagnostics import HostAssociation, HostPath, Owner


def one(port: int = 5000, peer: str = "10.0.0.2:6000", **changed: object) -> HostAssociation:
    """Return an association."""
    address = Address.parse(peer)
    paths = tuple(
        HostPath(host, PathState.ACTIVE, number == 0, 1.0, True) for number, host in enumerate(address.hosts)
    )
    numbers = dict.fromkeys(HostAssociation.__match_args__, 0)
    made = HostAssociation(
        **{
            **numbers,
            "state": ProtocolState.ESTABLISHED,
            "local": Address("10.0.0.1", port),
            "peer": address,
            "paths": paths,
            "rtt": None,
            "rto": 3.0,
            "tag": port,
            "owners": (),
        }  # type: ignore[arg-type]
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def words(association: HostAssociation) -> dict[str, str]:
    [row] = look_of([association], 0.0, None, []).rows
    return dict(zip(COLUMNS, cells(row), strict=True))


def test_the_first_look_has_no_rates() -> None:
    assert (words(one())["OUT/S"], words(one())["IN/S"]) == ("-", "-")


def test_rates_are_by_the_time_between_two_looks() -> None:
    first = look_of([one(packets_sent=10)], 100.0, None, [])
    then = one(packets_sent=30, packets_received=2, retransmitted=4)
    [row] = look_of([then], 102.0, first, []).rows
    assert (row.sent_rate, row.received_rate, row.retransmitted_rate) == (10.0, 1.0, 2.0)
    assert dict(zip(COLUMNS, cells(row), strict=True))["RTX"] == "4 (+2/s)"


def test_an_association_that_ends_between_two_looks_is_shown_once_more() -> None:
    first = look_of([one(5000), one(5001)], 0.0, None, [])
    second = look_of([one(5001)], 1.0, first, [])
    assert [(row.association.local.port, row.ended) for row in second.rows] == [(5001, False), (5000, True)]
    third = look_of([one(5001)], 2.0, second, [])
    assert [row.ended for row in third.rows] == [False]


def test_one_that_takes_the_ports_of_another_has_no_rates_of_that() -> None:
    first = look_of([one(tag=1, packets_sent=1000)], 0.0, None, [])
    rows = look_of([one(tag=2, packets_sent=1)], 1.0, first, []).rows
    assert [(row.ended, row.sent_rate) for row in rows] == [(False, None), (True, None)]


def test_two_looks_at_the_same_moment_have_no_rates() -> None:
    assert (
        look_of([one()], 5.0, Look(5.0, look_of([one()], 5.0, None, []).rows), []).rows[0].sent_rate is None
    )


def test_paths_are_told_by_their_states() -> None:
    both = one(peer="10.0.0.2/10.1.0.2:6000")
    assert words(both)["PATHS"] == "2 up"
    assert words(both)["PEER"] == "10.0.0.2*/10.1.0.2:6000"
    down = replace(both.paths[1], state=PathState.INACTIVE)
    assert words(replace(both, paths=(both.paths[0], down)))["PATHS"] == "1 up, 10.1.0.2 down"
    strange = replace(both.paths[1], state=PathState(77))
    assert words(replace(both, paths=(strange,)))["PATHS"] == "10.1.0.2 unknown_77"


def test_the_name_of_a_process_is_escaped() -> None:
    text = words(one(owners=(Owner(7, "bad\x1b[31m"), Owner(8, "good"))))["OWNER"]
    assert text == "bad\\x1b[31m[7], good[8]"


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        (":5000", [5000]),
        (":6000", [5000, 5001]),
        ("10.0.0.2", [5000]),
        ("10.0.0.1:5001", [5001]),
        ("::1", [5001]),
        ("[::1]:6000", [5001]),
        ("[::1]", [5001]),
        ("10.9.9.9", []),
    ],
)
def test_filters(text: str, ports: list[int]) -> None:
    there = [one(5000), one(5001, "[::1]:6000")]
    rows = look_of(there, 0.0, None, [Filter.parse(text)]).rows
    assert [row.association.local.port for row in rows] == ports


def test_any_of_several_filters_is_enough() -> None:
    there = [one(5000), one(5001), one(5002)]
    rows = look_of(there, 0.0, None, [Filter.parse(":5000"), Filter.parse(":5002")]).rows
    assert [row.association.local.port for row in rows] == [5000, 5002]


@pytest.mark.parametrize("text", ["", "x", "10.0.0.1/10.0.0.2:5", "host:5", ":70000", "10.0.0.1:"])
def test_what_is_no_filter_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="accepted: an IP address, ':PORT'") as caught:
        Filter.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("by", SORTS)
def test_rows_of_equal_figures_are_in_order_of_their_ports(by: str) -> None:
    rows = look_of([one(5002), one(5000), one(5001)], 0.0, None, []).rows
    assert [row.association.local.port for row in sort_rows(rows, by)] == [5000, 5001, 5002]


def test_the_largest_comes_first_where_that_is_what_one_looks_for() -> None:
    rows = look_of([one(5000), one(5001, retransmitted=9), one(5002, retransmitted=3)], 0.0, None, []).rows
    assert [row.association.local.port for row in sort_rows(rows, "retransmitted")] == [5001, 5002, 5000]
