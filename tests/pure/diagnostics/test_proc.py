"""The text of /proc/net/sctp: as Linux 6.1 wrote it, cut, and anything at all."""

from ipaddress import ip_address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sctpio.diagnostics import proc

ANSWERS = Path(__file__).parent / "answers"
ASSOCS = (ANSWERS / "assocs").read_text()
EPS = (ANSWERS / "eps").read_text()
REMADDR = (ANSWERS / "remaddr").read_text()

LOOPBACK = [ip_address(f"127.0.0.{n}") for n in range(1, 5)]


def test_associations() -> None:
    found = {line.id: line for line in proc.associations(ASSOCS)}
    assert found.keys() == {3, 4, 5, 6}
    assert found[3] == (3, LOOPBACK[0], 45281, LOOPBACK[0], 5000)
    assert found[6] == (6, LOOPBACK[0], 6000, ip_address("::1"), 60887)


def test_paths() -> None:
    found = proc.paths(REMADDR)
    assert found.keys() == {3, 4, 5, 6}
    assert found[3] == [(LOOPBACK[0], True, 100, 2)]
    assert [path.state for path in found[4]] == [2, 3, 3, 3]


def test_endpoints() -> None:
    assert proc.endpoints(EPS) == [(6000, 77, False), (5000, 73, False), (5001, 76, True)]


def test_counters() -> None:
    text = "SctpCurrEstab                   \t4\nSctpT3Retransmits\t0\nnonsense\n\tx\n"
    assert proc.counters(text) == {"SctpCurrEstab": 4, "SctpT3Retransmits": 0}


def test_counters_that_are_no_numbers_are_left_out() -> None:
    # int takes less white space than strip, and not any number of digits.
    assert proc.counters("A\t4\x1f\nB\t" + "9" * 5000 + "\nC\t-1\nD\t1_0\nE\t7") == {"A": 4, "E": 7}


@given(st.integers(0, len(ASSOCS)))
def test_cut_associations_are_left_out(length: int) -> None:
    whole, found = proc.associations(ASSOCS), proc.associations(ASSOCS[:length])
    assert [line.id for line in found] == [line.id for line in whole[: len(found)]]
    # The last address may lack its end.
    assert found[:-1] == whole[: len(found)][:-1]


@given(st.text() | st.lists(st.sampled_from((*ASSOCS.split(), "\n")), max_size=80).map(" ".join))
def test_no_text_does_harm(text: str) -> None:
    for read in (proc.associations, proc.endpoints, proc.paths, proc.counters):
        read(text)
