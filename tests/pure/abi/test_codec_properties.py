"""What is true of every row of each stack's table, whatever its values: a new row is covered by being there.

Values of a field with a rule come from the rule. Other fields (of events and of what is only read) are what
the column makes of any number that the struct member can hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import struct
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sctpio._abi.codec import Codec
from sctpio._abi.columns import Tail
from sctpio._abi.layout import STORAGE, Layout
from sctpio._abi.linux import LINUX
from sctpio._abi.platform import EventRow, OptionSpec, Platform
from sctpio._abi.usrsctp import USRSCTP
from sctpio.address import Address
from sctpio.errors import DecodeError
from sctpio.events import Event, UnknownEvent
from sctpio.options import DelayedSack, Option, PeerAddressParameters
from sctpio.options import base as rules

# Rows are many: fewer examples of each.
FEWER = settings(max_examples=40)

TICK = 0.004
SCOPES = {"eth0": 2, "lo": 1}


def codec_of(platform: Platform) -> Codec:
    names = {index: name for name, index in SCOPES.items()}
    return Codec(platform, scope_to_index=SCOPES.__getitem__, index_to_scope=names.__getitem__, tick=TICK)


CODECS = {platform.name: codec_of(platform) for platform in (LINUX, USRSCTP)}


def is_not_mapped(host: Any) -> bool:
    return host.ipv4_mapped is None


HOSTS = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6).filter(is_not_mapped),
    st.sampled_from(["fe80::1%eth0", "fe80::2%lo", "fe80::3"]),
)


@st.composite
def one_host(draw: st.DrawFn) -> Address:
    try:
        address = Address([draw(HOSTS)], draw(st.integers(0, 65535)))
    except ValueError:
        assume(False)
        raise AssertionError from None
    # The wildcard is how usrsctp is told that there is no path.
    assume(address != Address("0.0.0.0", 0))
    return address


# A duration is a float, which has 53 bits.
NARROWER = {"sas_maxrto": st.integers(0, 2**50)}


def storage() -> st.SearchStrategy[bytes]:
    return st.builds(lambda address: CODECS["Linux"].pack_addresses(address).ljust(128, b"\0"), one_host())


def number(code: str) -> st.SearchStrategy[int]:
    """Any number that a member of this `struct` code can hold."""
    bits = 8 * struct.calcsize(f"={code}")
    if code.islower():
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(0, 2**bits - 1)


def members(layout: Layout) -> st.SearchStrategy[dict[str, Any]]:
    """Give any content of a struct; addresses are valid ones."""
    codes = layout._struct.format[1:]
    found: dict[str, st.SearchStrategy[Any]] = {}
    for member in layout.members:
        if member.size == struct.calcsize(STORAGE):
            found[member.name] = storage()
            codes = codes.lstrip("x").removeprefix(STORAGE)
        else:
            codes = codes.lstrip("x")
            found[member.name], codes = number(codes[0]), codes[1:]
    return st.fixed_dictionaries({name: NARROWER.get(name, found[name]) for name in found})


def items(tail: Tail) -> st.SearchStrategy[Any]:
    if not tail.code:
        return st.binary(max_size=40)
    return st.lists(number(tail.code).map(tail.kind), max_size=20).map(tuple)


@st.composite
def loaded(draw: st.DrawFn, codec: Codec, row: EventRow | OptionSpec) -> Any:
    """Give what the columns make of any struct."""
    raw = draw(members(row.layout))
    try:
        values = {column.attribute: column.load(raw, codec._wire) for column in row.columns}
    except DecodeError:
        # A number that the stack does not have.
        assume(False)
    if row.tail is not None:
        values[row.tail.attribute] = row.tail.load(raw, row.tail.dump(raw, draw(items(row.tail))))
    return row.kind(**values)


def by_rule(rule: rules.Rule) -> st.SearchStrategy[Any]:
    match rule:
        case rules.Boolean():
            return st.booleans()
        case rules.Integer(low, high, besides):
            return st.integers(low, high).filter(lambda n: n not in besides)
        case rules.Seconds(low, high, unit):
            per = round(1 / unit)
            return st.integers(round(low * per), round(high * per)).map(lambda n: n / per)
        case rules.Path():
            return one_host()
        case rules.Member(kind):
            return st.sampled_from(kind)
        case rules.Several(item, least, most):
            return st.lists(by_rule(item), min_size=least, max_size=min(most, 20)).map(tuple)
        case rules.Secret(least, most):
            return st.binary(min_size=least, max_size=min(most, 60))
    raise AssertionError(f"no values for {rule!r}: say here what it accepts")


def rule_of(kind: type[Option], field: str) -> rules.Rule | None:
    marks = getattr(get_type_hints(kind, include_extras=True)[field], "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, rules.Rule)), None)


# Fields that a struct tells only together with others.
TOGETHER: dict[type[Option], dict[str, st.SearchStrategy[Any]]] = {
    PeerAddressParameters: {
        "heartbeat": st.booleans(),
        "heartbeat_interval": st.integers(0, 2**32 - 1).map(lambda n: n / 1000),
        "path_mtu_discovery": st.booleans(),
        "demand_heartbeat": st.none() | st.just(True),
    },
    # No delay at all is told by the frequency.
    DelayedSack: {"delay": st.integers(1, 500).map(lambda n: n / 1000)},
}


@st.composite
def ruled(draw: st.DrawFn, codec: Codec, spec: OptionSpec) -> Option:
    """Give an option that can be made and that the stack has; None where the struct can leave a field."""
    leave = {column.attribute for column in spec.columns if column.leave}
    special = TOGETHER.get(spec.kind, {})
    values: dict[str, Any] = {}
    for field in dataclasses.fields(spec.kind):
        if field.name in spec.absent:
            values[field.name] = None
            continue
        rule = rule_of(spec.kind, field.name)
        assert rule is not None, f"{spec.kind.__name__}.{field.name} has no rule"
        strategy = special.get(field.name, by_rule(rule))
        values[field.name] = draw(st.none() | strategy if field.name in leave - set(special) else strategy)
    try:
        value = rules.as_reported(spec.kind, values)
        codec.encode_result(value)
    except ValueError:
        # Fields that contradict each other.
        assume(False)
        raise AssertionError from None
    except OSError as lack:
        # Members of an enum that the stack does not have.
        if lack.errno != errno.ENOPROTOOPT:
            raise
        assume(False)
    return value


def has_rules(spec: OptionSpec) -> bool:
    return all(rule_of(spec.kind, field.name) for field in dataclasses.fields(spec.kind))


def values(codec: Codec, spec: OptionSpec) -> st.SearchStrategy[Option]:
    return ruled(codec, spec) if has_rules(spec) else loaded(codec, spec)


OPTIONS = [(codec, spec) for codec in CODECS.values() for spec in codec.platform.options]


def options_that(are: Callable[[OptionSpec], bool]) -> pytest.MarkDecorator:
    found = [
        pytest.param(codec, spec, id=f"{codec.platform.name}-{spec.kind.__name__}")
        for codec, spec in OPTIONS
        if are(spec)
    ]
    return pytest.mark.parametrize(("codec", "spec"), found)


every_option = options_that(lambda spec: True)
every_event = pytest.mark.parametrize(
    ("codec", "row"),
    [
        pytest.param(codec, row, id=f"{codec.platform.name}-{row.name}")
        for codec in CODECS.values()
        for row in codec.platform.events
    ],
)
every_stack = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


@every_event
@FEWER
@given(data=st.data())
def test_every_event_survives(codec: Codec, row: EventRow, data: st.DataObject) -> None:
    event = data.draw(loaded(codec, row))
    encoded = codec.encode_event(event, row.number)
    assert codec.decode_event(encoded) == event
    assert codec.encode_event(codec.decode_event(encoded), row.number) == encoded


@every_event
@FEWER
@given(data=st.data())
def test_every_prefix_of_an_event_is_a_decode_error(codec: Codec, row: EventRow, data: st.DataObject) -> None:
    encoded = codec.encode_event(data.draw(loaded(codec, row)), row.number)
    length = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DecodeError):
        codec.decode_event(encoded[:length])


@every_event
@given(
    flags=st.integers(0, 0xFFFF),
    body=st.binary(max_size=250),
    given_length=st.none() | st.integers(0, 2**32 - 1),
)
def test_any_bytes_are_an_event_or_a_decode_error(
    codec: Codec, row: EventRow, flags: int, body: bytes, given_length: int | None
) -> None:
    length = 8 + len(body) if given_length is None else given_length
    with contextlib.suppress(DecodeError):
        assert type(codec.decode_event(struct.pack("=HHI", row.number, flags, length) + body)) is row.kind


@every_stack
@given(number=st.integers(0, 0xFFFF), body=st.binary(max_size=200))
def test_an_unknown_event_is_kept_whole(codec: Codec, number: int, body: bytes) -> None:
    assume(number not in {row.number for row in codec.platform.events})
    raw = struct.pack("=HHI", number, 5, 8 + len(body)) + body
    assert codec.decode_event(raw) == UnknownEvent(number, 5, raw)


@every_stack
@given(data=st.binary(max_size=200))
def test_any_bytes_at_all_are_an_event_or_a_decode_error(codec: Codec, data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert isinstance(codec.decode_event(data), Event)


@every_option
@FEWER
@given(data=st.data())
def test_every_option_survives(codec: Codec, spec: OptionSpec, data: st.DataObject) -> None:
    value = data.draw(values(codec, spec))
    encoded = codec.encode_result(value, 9)
    assert codec.decode_option(spec.kind, encoded) == value
    assert codec.encode_result(codec.decode_option(spec.kind, encoded), 9) == encoded


@options_that(lambda spec: spec.writable)
@FEWER
@given(data=st.data())
def test_what_is_set_is_what_is_then_read(codec: Codec, spec: OptionSpec, data: st.DataObject) -> None:
    value = data.draw(values(codec, spec))
    settable = {field.name: getattr(value, field.name) for field in dataclasses.fields(spec.kind)}
    value = rules.as_reported(spec.kind, settable | dict.fromkeys(rules_read_only(spec)))
    try:
        encoded = codec.encode_option(value, 9)
    except ValueError as refused:
        # What one stack or the other ignores or refuses.
        if "with path_mtu" in str(refused) or "would be ignored" in str(refused):
            return
        raise
    read = codec.decode_option(spec.kind, encoded)
    for field in dataclasses.fields(spec.kind):
        given_value = getattr(value, field.name)
        assert given_value in (None, getattr(read, field.name)), field.name


def rules_read_only(spec: OptionSpec) -> set[str]:
    return set(spec.attributes) - set(spec.required) - {c.attribute for c in spec.columns if c.leave}


@every_option
@FEWER
@given(data=st.data())
def test_a_shorter_struct_is_a_decode_error(codec: Codec, spec: OptionSpec, data: st.DataObject) -> None:
    encoded = codec.encode_result(data.draw(values(codec, spec)), 9)
    shortest = len(encoded) if spec.minimum_size is None else spec.minimum_size
    length = data.draw(st.integers(0, shortest - 1))
    with pytest.raises(DecodeError):
        codec.decode_option(spec.kind, encoded[:length])


@every_option
@FEWER
@given(head=st.sampled_from(["", "i", "address", "i address"]), data=st.binary(max_size=300))
def test_any_bytes_are_an_option_or_a_decode_error(
    codec: Codec, spec: OptionSpec, head: str, data: bytes
) -> None:
    # So that structs that begin with an address get beyond it.
    if "address" in head:
        data = codec.pack_addresses(Address("10.0.0.1", 1)).ljust(128, b"\0") + data
    if "i" in head.split():
        data = struct.pack("=i", 3) + data
    with contextlib.suppress(DecodeError):
        assert type(codec.decode_option(spec.kind, data)) is spec.kind


@every_option
@FEWER
@given(association=st.integers(3, 2**31 - 1))
def test_a_query_names_the_association(codec: Codec, spec: OptionSpec, association: int) -> None:
    if not spec.readable:
        with pytest.raises(ValueError, match="cannot be read, only set"):
            codec.encode_query(spec.kind, association)
        return
    query: Any = spec.kind
    if spec.keys:
        query = spec.kind(*([1] if "stream" in spec.keys else []))
    raw = spec.layout.unpack(codec.encode_query(query, association))
    if spec.association_member is not None:
        assert raw[spec.association_member] == association


# Members that say nothing here: what only RCVINFO fills, what repeats the association, what has no stream.
SILENT = {
    ("SCTP_SEND_FAILED_EVENT", "snd_assoc_id"),
    ("SCTP_STATUS", "spinfo_assoc_id"),
    ("SCTP_PR_ASSOC_STATUS", "sprstat_sid"),
}
SILENT_LINUX = {
    *(("SCTP_SEND_FAILED", f"sinfo_{name}") for name in ("ssn", "timetolive", "tsn", "cumtsn", "assoc_id")),
    *(("SCTP_DEFAULT_SEND_PARAM", f"sinfo_{name}") for name in ("ssn", "tsn", "cumtsn")),
}


@every_stack
def test_no_member_of_a_struct_is_forgotten(codec: Codec) -> None:
    forgotten = set()
    for row in codec.platform.events:
        heads = {member.name for member in row.layout.members[:3]}
        forgotten |= {(row.name, name) for name in unread(row) - heads}
    for spec in codec.platform.options:
        forgotten |= {(spec.name, name) for name in unread(spec) - {spec.association_member}}
    assert forgotten == (SILENT | SILENT_LINUX if codec.platform is LINUX else SILENT)


def unread(row: EventRow | OptionSpec) -> set[str]:
    read = {member for column in row.columns for member in column.members}
    if row.tail is not None and row.tail.count is not None:
        read.add(row.tail.count)
    return {member.name for member in row.layout.members} - read


@every_option
def test_every_row_is_of_use(codec: Codec, spec: OptionSpec) -> None:
    assert spec.readable or spec.writable
    assert spec.association_member is not None or not spec.scopes


@pytest.mark.parametrize("spec", LINUX.options, ids=lambda spec: spec.kind.__name__)
def test_every_row_says_where_it_comes_from(spec: OptionSpec) -> None:
    assert spec.since
    assert spec.kind.__doc__ is not None
    assert spec.name in spec.kind.__doc__
    if spec.since >= "4" and spec.level == 132:
        assert f"Linux {spec.since}" in spec.kind.__doc__
