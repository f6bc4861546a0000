from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sctpio
from sctpio import Address, ErrorCause, Message, Port, Ppid, SendFailed
from sctpio.ppid import ppid_text

# By IANA's registry, as of RFC 9260 section 15.5; 26 is not assigned.
ASSIGNED = [*range(26), *range(27, 74)]


def test_every_assigned_number_has_a_name() -> None:
    assert [int(ppid) for ppid in Ppid] == ASSIGNED
    assert len(Ppid.__members__) == len(ASSIGNED)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (3, "M3UA"),
        (18, "S1AP"),
        (27, "X2AP"),
        (46, "DIAMETER"),
        (47, "DIAMETER_DTLS"),
        (51, "WEBRTC_STRING"),
        (53, "WEBRTC_BINARY"),
        (60, "NGAP"),
        (61, "XNAP"),
        (62, "F1AP"),
        (64, "E1AP"),
        (66, "NGAP_DTLS"),
        (70, "E2_CP"),
        (73, "W1AP"),
    ],
)
def test_names(number: int, name: str) -> None:
    assert Ppid(number) is Ppid[name]
    assert ppid_text(number) == ppid_text(Ppid(number)) == f"{name} ({number})"


@pytest.mark.parametrize("number", [26, 74, 4242, 2**32 - 1])
def test_a_number_without_a_name_is_shown_as_it_is(number: int) -> None:
    assert ppid_text(number) == ppid_text(Ppid(number)) == str(number)
    assert Ppid(number).name == f"UNKNOWN_{number}"
    assert repr(Message(b"x", ppid=number)).startswith(f"Message(data=b'x', stream=0, ppid={number}, ssn=0")


def test_no_number_is_shown_as_none() -> None:
    assert ppid_text(0) == "0"
    assert ", ppid=0, " in repr(Message(b"x"))


def test_values_show_it_by_name() -> None:
    assert repr(Message(b"x", 3, 60, source=Address("10.0.0.1", 5))) == (
        "Message(data=b'x', stream=3, ppid=<Ppid.NGAP: 60>, ssn=0, tsn=0, cumulative_tsn=0, unordered=False,"
        " context=0, association_id=0, source=Address(hosts=(IPv4Address('10.0.0.1'),), port=5),"
        " complete=True)"
    )
    failed = SendFailed(b"x", True, ErrorCause.NO_ERROR, 1, 46, 7, False, 3, 5)
    assert repr(failed) == (
        "SendFailed(data=b'x', sent=True, error=<ErrorCause.NO_ERROR: 0>, stream=1,"
        " ppid=<Ppid.DIAMETER: 46>, context=7, unordered=False, flags=3, association_id=5)"
    )


@given(st.integers(0, 2**32 - 1))
def test_the_number_itself_stays_an_int(number: int) -> None:
    message = Message(b"x", ppid=number)
    repr(message)
    assert type(message.ppid) is int
    assert pickle.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize(
    ("port", "number"),
    [
        (Port.M3UA, 2905),
        (Port.M2PA, 3565),
        (Port.DIAMETER, 3868),
        (Port.SUA, 14001),
        (Port.S1AP, 36412),
        (Port.X2AP, 36422),
        (Port.NGAP, 38412),
        (Port.XNAP, 38422),
        (Port.E1AP, 38462),
        (Port.F1AP, 38472),
    ],
)
def test_ports_are_numbers_in_addresses(port: Port, number: int) -> None:
    assert port == number
    assert Address.parse(f"10.0.0.1:{port}") == Address("10.0.0.1", port) == Address("10.0.0.1", number)
    assert str(Address("10.0.0.1", port)) == f"10.0.0.1:{number}"


def test_a_port_goes_with_a_protocol() -> None:
    # H.248 has a port for each of its encodings.
    names = {name.removesuffix("_TEXT").removesuffix("_BINARY") for name in Port.__members__}
    assert names <= set(Ppid.__members__)


@pytest.mark.parametrize("name", ["Ppid", "Port"])
def test_they_are_public(name: str) -> None:
    assert name in sctpio.__all__
