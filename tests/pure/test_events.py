from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import events
from sctpio.address import Address
from sctpio.events import (
    AddressState,
    AssociationChange,
    AssociationEvent,
    AssociationState,
    ErrorCause,
    Event,
    EventsDropped,
    OpenIntEnum,
    SenderDry,
    StreamResetFlags,
    UnknownEvent,
)


def change(info: bytes) -> AssociationChange:
    state = AssociationState.COMM_LOST
    return AssociationChange(state, ErrorCause.USER_INITIATED_ABORT, 10, 10, 3, info)


@pytest.mark.parametrize(
    ("info", "cause"),
    [
        (b"", b""),
        (b"\0\x0c\0\x07bye\0", b"bye"),
        (b"\0\x0c\0\x07bye", b"bye"),
        (b"\0\x0c\0\x04", b""),
        (b"\0\x0d\0\x06xy\0\0\0\x0c\0\x06hi", b"hi"),
        (b"\0\x0d\0\x06xy\0\0", b""),
        (b"\0\x0d\0\x06xy", b""),
        (b"\0\x0c\0\x03\0\0\0\0", b""),
        (b"\0\x0c\0\0", b""),
        (b"\0\x0c\0\x08bye", b"bye"),
        (b"\0\x0d\0\xffbye\0\0\x0c\0\x06hi", b""),
        (b"\0\x0d\0\0\0\x0c\0\x06hi", b""),
        (b"\0\x0c\0", b""),
        (b"\x0c\0\x07\0bye\0", b""),
    ],
)
def test_cause(info: bytes, cause: bytes) -> None:
    assert change(info).cause == cause


@given(st.binary(max_size=64))
def test_cause_of_any_bytes(info: bytes) -> None:
    assert change(info).cause in info


@given(st.binary(max_size=64), st.binary(max_size=9))
def test_cause_after_another(reason: bytes, other: bytes) -> None:
    def tlv(code: int, content: bytes) -> bytes:
        head = code.to_bytes(2, "big") + (len(content) + 4).to_bytes(2, "big")
        return head + content + bytes(-len(content) % 4)

    assert change(tlv(13, other) + tlv(12, reason)).cause == reason


OPEN = OpenIntEnum.__subclasses__()


@pytest.mark.parametrize("kind", OPEN)
@given(number=st.integers(-(2**31), 2**32))
def test_an_open_enum_takes_every_int(kind: type[OpenIntEnum], number: int) -> None:
    before = len(kind)
    member = kind(number)
    assert isinstance(member, kind)
    assert member == number
    assert member.value == number
    assert hash(member) == hash(number)
    assert kind(number) == member
    assert pickle.loads(pickle.dumps(member)) == member
    assert copy.deepcopy(member) == member
    assert len(kind) == before


def test_an_unregistered_member_is_named_and_not_remembered() -> None:
    member = AssociationState(99)
    assert member.name == "UNKNOWN_99"
    assert repr(member) == "<AssociationState.UNKNOWN_99: 99>"
    assert member is not AssociationState(99)
    assert 99 not in AssociationState._value2member_map_
    assert "UNKNOWN_99" not in AssociationState.__members__
    assert AssociationState(0) is AssociationState.COMM_UP


def test_an_open_enum_takes_nothing_but_ints() -> None:
    with pytest.raises(ValueError, match="'up' is not a valid AssociationState"):
        AssociationState("up")  # type: ignore[arg-type]


def test_flags_keep_unknown_bits() -> None:
    flags = StreamResetFlags(0x8001)
    assert flags == 0x8001
    assert StreamResetFlags.INCOMING in flags
    assert StreamResetFlags.DENIED not in flags


def test_values_of_error_causes() -> None:
    assert [int(cause) for cause in ErrorCause] == [*range(15), *range(0xA0, 0xA5), 0x105]
    assert ErrorCause(3) is ErrorCause.STALE_COOKIE
    assert ErrorCause(13) is ErrorCause.PROTOCOL_VIOLATION
    assert ErrorCause(0xA4) is ErrorCause.NO_AUTHORIZATION


def concrete() -> list[type[Event]]:
    found = [vars(events)[name] for name in events.__all__]
    return [
        kind for kind in found if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    ]


def test_every_event_is_a_frozen_value_without_dict() -> None:
    assert len(concrete()) == 14
    for kind in concrete():
        assert dataclasses.fields(kind)
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert "__dict__" not in dir(kind)


def test_the_events_of_associations_have_an_id() -> None:
    ours = set(get_args(AssociationEvent))
    assert ours == set(concrete()) - {UnknownEvent, EventsDropped}
    for kind in ours:
        assert "association_id" in {field.name for field in dataclasses.fields(kind)}


def test_events_match_and_hash() -> None:
    match change(b""):
        case AssociationChange(state=AssociationState.COMM_LOST, association_id=number):
            assert number == 3
        case _:
            pytest.fail("no match")
    assert isinstance(SenderDry(3), AssociationEvent)
    assert not isinstance(EventsDropped(3), AssociationEvent)
    assert len({SenderDry(3), SenderDry(3), SenderDry(4)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        SenderDry(3).association_id = 4  # type: ignore[misc]


def test_order_of_the_fields() -> None:
    address = Address("10.0.0.1", 1)
    lost = events.PeerAddressChange(address, AddressState.UNREACHABLE, events.PathError.FAILED_THRESHOLD, 3)
    assert lost == events.PeerAddressChange(
        address=address,
        state=AddressState.UNREACHABLE,
        error=events.PathError.FAILED_THRESHOLD,
        association_id=3,
    )
    failed = events.SendFailed(b"x", True, ErrorCause.NO_ERROR, 1, 60, 7, False, 3, 5)
    assert (failed.stream, failed.ppid, failed.context, failed.flags, failed.association_id) == (
        (1, 60, 7, 3, 5)
    )
    assert events.StreamReset(StreamResetFlags.INCOMING, (1, 2), 3).streams == (1, 2)
