from __future__ import annotations

import copy
import dataclasses
import json
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


@pytest.mark.parametrize("member", [AssociationState.COMM_LOST, AssociationState(99)])
def test_an_open_enum_is_printed_by_its_name(member: AssociationState) -> None:
    name = member.name
    assert str(member) == f"{member}" == f"{member!s}" == "%s" % member == name  # noqa: UP031
    assert f"<{member:>12}>" == f"<{name:>12}>"
    assert f"{member:d} {member:#04x} {member:,}" == f"{member.value} {member.value:#04x} {member.value:,}"
    assert "%d" % member == str(member.value)  # noqa: UP031
    # As for any IntEnum; a name is for who asks for it.
    assert (
        json.dumps({"state": member, "name": member.name}) == f'{{"state": {member.value}, "name": "{name}"}}'
    )
    with pytest.raises(ValueError, match="format"):
        format(member, "y")


def test_flags_are_printed_by_their_names() -> None:
    flags = StreamResetFlags.INCOMING | StreamResetFlags.DENIED
    assert str(flags) == f"{flags}" == "INCOMING|DENIED"
    assert f"{flags:#x}" == "0x5"
    assert str(StreamResetFlags(0)) == "0"
    assert str(StreamResetFlags(0x8001)) == "INCOMING|32768"


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


PATH = Address("10.0.0.1", 5000)
BYE = b"\0\x0c\0\x07bye"
CHANGE, PATH_CHANGE = events.AssociationChange, events.PeerAddressChange
ABORTED, NONE = ErrorCause.USER_INITIATED_ABORT, ErrorCause.NO_ERROR
IN, OUT, DENIED, FAILED = StreamResetFlags

SENTENCES = [
    (
        CHANGE(AssociationState(0), NONE, 10, 5, 3),
        "association 3 is up, with 10 outbound and 5 inbound streams",
    ),
    (CHANGE(AssociationState(1), NONE, 0, 0, 3), "association 3 was lost"),
    (
        CHANGE(AssociationState(1), ABORTED, 0, 0, 3, BYE),
        "association 3 was aborted (USER_INITIATED_ABORT): b'bye'",
    ),
    (
        CHANGE(AssociationState(2), NONE, 10, 5, 3),
        "the peer has restarted association 3, with 10 outbound and 5 inbound streams",
    ),
    (CHANGE(AssociationState(3), NONE, 0, 0, 3), "association 3 was shut down"),
    (
        CHANGE(AssociationState(4), ErrorCause(3), 0, 0, 3),
        "association 3 could not be set up (STALE_COOKIE)",
    ),
    (CHANGE(AssociationState(9), ErrorCause(99), 0, 0, 3), "association 3: UNKNOWN_9 (UNKNOWN_99)"),
    (
        PATH_CHANGE(PATH, AddressState.UNREACHABLE, events.PathError(0), 3),
        "path 10.0.0.1:5000 of association 3 is unreachable",
    ),
    (
        PATH_CHANGE(PATH, AddressState.AVAILABLE, events.PathError.HEARTBEAT_SUCCESS, 3),
        "path 10.0.0.1:5000 of association 3 is available (HEARTBEAT_SUCCESS)",
    ),
    (
        PATH_CHANGE(PATH, AddressState(9), events.PathError(0), 3),
        "path 10.0.0.1:5000 of association 3 is in state UNKNOWN_9",
    ),
    (
        events.RemoteError(ErrorCause.INVALID_STREAM_IDENTIFIER, 3, b"xy"),
        "the peer of association 3 reports an error: INVALID_STREAM_IDENTIFIER",
    ),
    (
        events.SendFailed(b"xyz", True, ErrorCause(0), 1, 60, 7, False, 3, 5),
        "a message of 3 bytes on stream 1 of association 5, PPID NGAP (60), was sent, but not acknowledged",
    ),
    (
        events.SendFailed(b"xyz", False, ABORTED, 1, 0, 7, False, 3, 5),
        "a message of 3 bytes on stream 1 of association 5, PPID 0, was not sent (USER_INITIATED_ABORT)",
    ),
    (events.ShutdownEvent(3), "the peer shuts association 3 down"),
    (events.AdaptationIndication(7, 3), "the peer of association 3 has adaptation layer 7"),
    (
        events.PartialDelivery(events.PartialDeliveryState.ABORTED, 4, 0, 3),
        "a message on stream 4 of association 3 was broken off (ABORTED)",
    ),
    (
        events.AuthenticationEvent(events.AuthenticationState(0), 7, 0, 3),
        "key 7 of association 3 is in use now",
    ),
    (
        events.AuthenticationEvent(events.AuthenticationState(1), 7, 0, 3),
        "key 7 of association 3 is no longer in use",
    ),
    (
        events.AuthenticationEvent(events.AuthenticationState(2), 0, 0, 3),
        "the peer of association 3 has no authentication",
    ),
    (
        events.AuthenticationEvent(events.AuthenticationState(9), 7, 0, 3),
        "key 7 of association 3: UNKNOWN_9",
    ),
    (SenderDry(3), "everything that was sent on association 3 is acknowledged"),
    (events.StreamReset(IN, (1, 2), 3), "incoming streams 1, 2 of association 3 were reset"),
    (
        events.StreamReset(IN | OUT, (), 3),
        "all incoming and outgoing streams of association 3 were reset",
    ),
    (
        events.StreamReset(OUT | DENIED, (1,), 3),
        "outgoing streams 1 of association 3 were not reset (the peer denied it)",
    ),
    (events.StreamReset(FAILED, (1,), 3), "streams 1 of association 3 were not reset (it failed)"),
    (events.AssociationReset(StreamResetFlags(0), 5, 6, 3), "association 3 was reset"),
    (events.AssociationReset(DENIED, 5, 6, 3), "association 3 was not reset (the peer denied it)"),
    (
        events.StreamChange(StreamResetFlags(0), 1, 2, 3),
        "association 3: 2 outbound and 1 inbound streams were added",
    ),
    (
        events.StreamChange(FAILED, 1, 2, 3),
        "association 3: 2 outbound and 1 inbound streams were not added (it failed)",
    ),
    (UnknownEvent(0x8042, 0, bytes(12)), "an event of unknown type 0x8042, 12 bytes"),
    (EventsDropped(5), "5 events are missing here, because nobody took them in time"),
]


@pytest.mark.parametrize(("event", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_an_event_is_a_sentence(event: Event, sentence: str) -> None:
    assert str(event) == f"{event}" == sentence
    assert repr(event).startswith(f"{type(event).__name__}(")


def test_every_event_has_one() -> None:
    assert {type(event) for event, _ in SENTENCES} == set(concrete())
