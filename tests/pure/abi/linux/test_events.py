"""Events of Linux, bytes written by hand from the header."""

from __future__ import annotations

import struct

import pytest

from pure.abi.by_hand import codec, native, net16, net32, sin, storage
from sctpio.address import Address
from sctpio.errors import DecodeError
from sctpio.events import (
    AdaptationIndication,
    AddressState,
    AssociationChange,
    AssociationReset,
    AssociationState,
    AuthenticationEvent,
    AuthenticationState,
    ErrorCause,
    Event,
    EventsDropped,
    PartialDelivery,
    PartialDeliveryState,
    PathError,
    PeerAddressChange,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownEvent,
    StreamChange,
    StreamReset,
    StreamResetFlags,
    UnknownEvent,
)

SNDINFO = native("HH", 3, 0x7) + net32(60) + native("Ii", 7, 0)
SNDRCVINFO = native("HHHxx", 3, 0, 0x3) + net32(60) + native("IIIIi", 7, 0, 0, 0, 0)

BY_HAND: list[tuple[bytes, Event]] = [
    (
        native("HHIH", 0x8001, 0, 28, 1) + net16(12) + native("HHi", 10, 5, 3) + b"\0\x0c\0\x07bye\0",
        AssociationChange(
            AssociationState.COMM_LOST,
            ErrorCause.USER_INITIATED_ABORT,
            10,
            5,
            3,
            b"\0\x0c\0\x07bye\0",
        ),
    ),
    (
        native("HHI", 0x8002, 0, 148) + storage(sin("10.0.0.1", 80)) + native("iii", 1, 0, 3),
        PeerAddressChange(Address("10.0.0.1", 80), AddressState.UNREACHABLE, PathError.FAILED_THRESHOLD, 3),
    ),
    (
        native("HHI", 0x8003, 0, 52) + net16(13) + native("xx") + SNDRCVINFO + native("i", 3) + b"data",
        SendFailed(b"data", False, ErrorCause.PROTOCOL_VIOLATION, 3, 60, 7, False, 0x3, 3),
    ),
    (
        native("HHII", 0x800D, 1, 36, 0) + SNDINFO + native("i", 3) + b"data",
        SendFailed(b"data", True, ErrorCause.NO_ERROR, 3, 60, 7, True, 0x7, 3),
    ),
    (
        native("HHI", 0x8004, 0, 18) + net16(1) + native("xxi", 3) + b"\0\7",
        RemoteError(ErrorCause.INVALID_STREAM_IDENTIFIER, 3, b"\0\7"),
    ),
    (native("HHIi", 0x8005, 0, 12, 3), ShutdownEvent(3)),
    (
        native("HHIIiII", 0x8006, 0, 24, 0, 3, 4, 5),
        PartialDelivery(PartialDeliveryState.ABORTED, 4, 5, 3),
    ),
    (native("HHIIi", 0x8007, 0, 16, 0x01020304, 3), AdaptationIndication(0x01020304, 3)),
    (
        native("HHIHHIi", 0x8008, 0, 20, 1, 2, 1, 3),
        AuthenticationEvent(AuthenticationState.FREE_KEY, 1, 2, 3),
    ),
    (native("HHIi", 0x8009, 0, 12, 3), SenderDry(3)),
    (
        native("HHIiHH", 0x800A, 0x6, 16, 3, 1, 9),
        StreamReset(StreamResetFlags.OUTGOING | StreamResetFlags.DENIED, (1, 9), 3),
    ),
    (native("HHIi", 0x800A, 1, 12, 3), StreamReset(StreamResetFlags.INCOMING, (), 3)),
    (
        native("HHIiII", 0x800B, 8, 20, 3, 100, 200),
        AssociationReset(StreamResetFlags.FAILED, 200, 100, 3),
    ),
    (
        native("HHIiHH", 0x800C, 0, 16, 3, 4, 5),
        StreamChange(StreamResetFlags(0), 4, 5, 3),
    ),
    (
        native("HHI4s", 0x80FF, 7, 12, b"data"),
        UnknownEvent(0x80FF, 7, native("HHI4s", 0x80FF, 7, 12, b"data")),
    ),
]
KNOWN = BY_HAND[:-1]


@pytest.mark.parametrize(("data", "event"), BY_HAND)
def test_decode_event(data: bytes, event: Event) -> None:
    assert codec.decode_event(data) == event
    assert codec.decode_event(memoryview(data)) == event  # type: ignore[arg-type]


@pytest.mark.parametrize(("data", "event"), BY_HAND)
def test_encode_event(data: bytes, event: Event) -> None:
    (number,) = struct.unpack_from("=H", data)
    assert codec.encode_event(event, number if event in dict(KNOWN).values() else None) == data


@pytest.mark.parametrize(("data", "event"), KNOWN)
def test_the_length_in_the_event_counts(data: bytes, event: Event) -> None:
    assert codec.decode_event(data + b"rest") == event
    kind, flags, length = struct.unpack_from("=HHI", data)
    for wrong in (0, 7, length + 1, 2**32 - 1):
        with pytest.raises(DecodeError, match=f"{kind:#x} says {wrong} bytes"):
            codec.decode_event(native("HHI", kind, flags, wrong) + data[8:])
    with pytest.raises(DecodeError, match=r"has .* bytes, 8 were given"):
        codec.decode_event(native("HHI", kind, flags, 8) + data[8:])


def test_a_numbered_tail_ends_with_a_number() -> None:
    with pytest.raises(DecodeError, match="streams end within a number"):
        codec.decode_event(native("HHIiB", 0x800A, 1, 13, 3, 1))


def test_an_event_without_an_address_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="0 is not the family"):
        codec.decode_event(native("HHI", 0x8002, 0, 148) + bytes(140))


def test_states_of_a_newer_kernel_are_kept() -> None:
    data = native("HHIH", 0x8001, 0, 20, 77) + net16(999) + native("HHi", 1, 1, 3)
    event = codec.decode_event(data)
    assert isinstance(event, AssociationChange)
    assert (event.state, event.state.name) == (77, "UNKNOWN_77")
    assert (event.error, event.error.name) == (999, "UNKNOWN_999")


def test_a_send_error_beyond_16_bits_is_kept() -> None:
    data = native("HHII", 0x800D, 0, 32, 0x10001) + SNDINFO + native("i", 3)
    event = codec.decode_event(data)
    assert isinstance(event, SendFailed)
    assert event.error == 0x10001
    assert codec.encode_event(event) == data


def test_event_numbers() -> None:
    assert codec.event_numbers[SendFailed] == (0x800D, 0x8003)
    assert codec.event_numbers[AssociationChange] == (0x8001,)
    assert sorted(n for numbers in codec.event_numbers.values() for n in numbers) == list(
        range(0x8001, 0x800E)
    )


def test_encode_event_refuses_what_the_stack_lacks() -> None:
    with pytest.raises(ValueError, match=r"Linux has no such notification: EventsDropped\(count=1"):
        codec.encode_event(EventsDropped(1))
    with pytest.raises(ValueError, match="no such notification"):
        codec.encode_event(SenderDry(1), 0x8001)
    with pytest.raises(ValueError, match=r"^sctp_sender_dry_event: "):
        codec.encode_event(SenderDry(2**31))
