"""KeepAlive: which options it stands for, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctpio import AssocInfo, DelayedSack, KeepAlive, NoDelay, PeerAddressParameters, RtoInfo


@pytest.mark.parametrize(("stack", "strikes"), [("kernel", 4), ("usrsctp", 3)])
def test_three_seconds_are_what_was_measured(stack: str, strikes: int) -> None:
    assert KeepAlive(3.0).parts(stack) == (
        RtoInfo(initial=0.4, minimum=0.2, maximum=0.4),
        AssocInfo(max_retransmissions=strikes),
        PeerAddressParameters(heartbeat_interval=0.05, path_max_retransmissions=2),
        DelayedSack(delay=0.05),
    )


@given(st.floats(1.0, 600.0))
def test_a_silent_peer_is_given_up_in_time_and_an_answer_is_never_late(seconds: float) -> None:
    rto, association, path, sack = KeepAlive(seconds).parts("usrsctp")
    assert isinstance(rto, RtoInfo)
    assert isinstance(association, AssocInfo)
    assert isinstance(path, PeerAddressParameters)
    assert isinstance(sack, DelayedSack)
    assert rto.minimum is not None
    assert rto.maximum is not None
    assert rto.initial is not None
    assert rto.minimum <= rto.initial <= rto.maximum
    assert association.max_retransmissions is not None
    timeouts = association.max_retransmissions + 1
    assert path.heartbeat_interval is not None
    # Idle: each heartbeat waits its interval and a timeout, before the next one follows.
    assert timeouts * (path.heartbeat_interval + rto.maximum) <= seconds
    assert sack.delay is not None
    assert sack.delay < rto.minimum


@pytest.mark.parametrize("bad", [0, 0.5, -3, 601, 3000, "3", True, float("nan"), float("inf")])
def test_what_cannot_be_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"accepted: 1 to 600 seconds"):
        KeepAlive(bad)


def test_any_other_option_stands_for_itself() -> None:
    assert NoDelay().parts("kernel") == (NoDelay(),)
