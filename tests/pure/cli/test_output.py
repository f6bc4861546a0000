"""What is written: escaped, in JSON, with units."""

import json
from ipaddress import ip_address

import pytest

from sctpio import Address, AssociationChange, AssociationState, ErrorCause, PathState
from sctpio.cli.figures import summary, summary_text
from sctpio.cli.output import duration, escaped, json_text, payload_fields, size


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (b"hello, world", "hello, world"),
        ("gr\u00fc\u00df".encode(), "gr\u00fc\u00df"),
        (b"\x1b[31m\x07\r\n\x00", "\\x1b[31m\\x07\\r\\n\\x00"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"a\\x1b", "a\\\\x1b"),
        ("\u202e\u2028\x9b".encode(), "\\u202e\\u2028\\x9b"),
        ("\x7f", "\\x7f"),
    ],
)
def test_escaped(given: bytes | str, shown: str) -> None:
    assert escaped(given) == shown
    assert shown.isprintable()


def test_any_byte_is_printable_once_escaped() -> None:
    assert escaped(bytes(range(256))).isprintable()


def test_json_is_ascii_and_has_names_and_addresses() -> None:
    event = AssociationChange(AssociationState.COMM_UP, ErrorCause.NO_ERROR, 10, 5, 3, b"\xff")
    text = json_text(
        {
            "event": event,
            "address": Address(ip_address("::1"), 5),
            "state": PathState.ACTIVE,
            "text": "\x1b\x9b\x7f",
        }
    )
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {
        "event": {
            "state": "COMM_UP",
            "error": "NO_ERROR",
            "outbound_streams": 10,
            "inbound_streams": 5,
            "association_id": 3,
            "info": "ff",
        },
        "address": "[::1]:5",
        "state": "ACTIVE",
        "text": "\x1b\x9b\x7f",
    }


def test_a_payload_has_its_text_only_if_it_is_one() -> None:
    assert payload_fields(b"hi") == {"size": 2, "text": "hi", "hex": "6869"}
    assert payload_fields(b"\xff") == {"size": 1, "text": None, "hex": "ff"}


def test_units() -> None:
    assert [duration(seconds) for seconds in (0.000153, 0.0124, 0.153, 1.534, 250)] == [
        "0.153 ms",
        "12.4 ms",
        "153 ms",
        "1.53 s",
        "250 s",
    ]
    assert [size(count) for count in (512, 1536, 1 << 20, 5 << 30)] == [
        "512 bytes",
        "1.5 KiB",
        "1 MiB",
        "5 GiB",
    ]


def test_figures() -> None:
    assert summary([]) is None
    assert summary_text([]) == ""
    found = summary([float(number) for number in range(100, 0, -1)])
    assert found == {"min": 1, "mean": 50.5, "p50": 50, "p90": 90, "p99": 99, "max": 100}
