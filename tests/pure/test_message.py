from __future__ import annotations

import dataclasses
import pickle

import pytest

from sctpio.address import Address
from sctpio.message import Message


def test_defaults() -> None:
    message = Message(b"data")
    assert dataclasses.astuple(message) == (b"data", 0, 0, 0, 0, 0, False, 0, 0, None, True)


def test_order_of_the_fields() -> None:
    source = Address("10.0.0.1", 5000)
    message = Message(b"x", 3, 60, 1, 2, 4, True, 5, 6, source, False)
    assert message == Message(
        data=b"x",
        stream=3,
        ppid=60,
        ssn=1,
        tsn=2,
        cumulative_tsn=4,
        unordered=True,
        context=5,
        association_id=6,
        source=source,
        complete=False,
    )


def test_it_is_frozen_hashable_and_has_slots() -> None:
    message = Message(b"x", stream=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.stream = 2  # type: ignore[misc]
    assert not hasattr(message, "__dict__")
    assert hash(message) == hash(Message(b"x", stream=1))


def test_it_can_be_pickled() -> None:
    message = Message(b"x", source=Address("::1", 1))
    assert pickle.loads(pickle.dumps(message)) == message
