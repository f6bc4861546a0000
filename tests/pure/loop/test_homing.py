"""Which of a peer's hosts are called, and in which order; what is told of local hosts that are left out."""

import asyncio
import errno
import logging
from typing import cast

import pytest

from pure.loop.scripted import Script
from sctpio import Address
from sctpio._loop.association import Association
from sctpio._loop.event_stream import EventHub
from sctpio._loop.homing import Told, as_called, come_home, tell_missing
from sctpio._loop.unread import Unread
from sctpio.options import PrimaryAddress
from sctpio.stacks.base import StackSocket

pytestmark = pytest.mark.one_loop


class Homed(Script):
    """A socket that was bound to some addresses, and announces some."""

    def __init__(self, named: str, announced: str = "") -> None:
        super().__init__()
        self.named = Address(named, 0).hosts
        if self.named:
            self.versions = frozenset(host.version for host in self.named)
        self._announced = Address(announced, 0)

    def announced(self, association_id: int) -> Address:
        self._check(association_id, errno.EINVAL)
        return self._announced

    def why_left_out(self) -> str:
        return "for a reason"

    @property
    def raw(self) -> StackSocket:
        return cast("StackSocket", self)


@pytest.mark.parametrize(
    ("named", "remote", "called"),
    [
        # One order is as good as the other: it stays.
        ("", "10.1.0.2/10.2.0.2", "10.1.0.2/10.2.0.2"),
        ("", "[2001:db8::2]/[fd01::2]", "[2001:db8::2]/[fd01::2]"),
        ("10.1.0.1/[fd01::1]", "10.1.0.2/[fd01::2]", "10.1.0.2/[fd01::2]"),
        # A private host first keeps private and global ones.
        ("10.1.0.1/[fd01::1]", "[fd01::2]/10.1.0.2", "10.1.0.2/[fd01::2]"),
        ("[fd01::1]/10.1.0.1", "[fd01::2]/[fd02::2]/10.1.0.2", "10.1.0.2/[fd01::2]/[fd02::2]"),
        ("", "[fd01::2]/10.1.0.2", "10.1.0.2/[fd01::2]"),
        ("", "8.8.8.8/192.168.0.1/127.0.0.1", "127.0.0.1/8.8.8.8/192.168.0.1"),
        # Nothing private is named.
        ("8.8.4.4/[fd01::1]", "[fd01::2]/10.1.0.2", "[fd01::2]/10.1.0.2"),
        # Hosts of the other family cannot be reached.
        ("10.1.0.1", "[fd01::2]/10.1.0.2", "10.1.0.2"),
        ("[fd01::1]/[fd02::1]", "10.1.0.2/[fd01::2]", "[fd01::2]"),
    ],
)
def test_the_hosts_are_called_in_the_order_that_keeps_most_local_ones(
    named: str, remote: str, called: str
) -> None:
    script = Homed(named)
    assert as_called(script.raw, Address(remote, 5)) == Address(called, 5)
    script.close()


@pytest.mark.parametrize(
    ("named", "remote"), [("10.1.0.1", "[fd01::2]"), ("[fd01::1]/[fd02::1]", "10.1.0.2")]
)
def test_hosts_of_the_other_family_alone_are_refused(named: str, remote: str) -> None:
    script = Homed(named)
    with pytest.raises(OSError, match="cannot connect to") as caught:
        as_called(script.raw, Address(remote, 5))
    assert caught.value.errno == errno.EAFNOSUPPORT
    assert f"{remote}:5" in str(caught.value)
    assert str(script.named[0]) in str(caught.value)
    script.close()


async def test_the_first_host_is_the_primary_path_again() -> None:
    script, association = Homed(""), new_association()
    script.alive[3] = remote = Address("[fd01::2]/10.1.0.2", 5)
    come_home(script.raw, association, remote, as_called(script.raw, remote), set())
    assert script.calls("set_option") == [(PrimaryAddress(Address("fd01::2", 5)), 3)]
    script.log.clear()
    same = Address("10.1.0.2/[fd01::2]", 5)
    come_home(script.raw, association, same, as_called(script.raw, same), set())
    # The peer does not have that host.
    script.alive.clear()
    come_home(script.raw, association, remote, as_called(script.raw, remote), set())
    assert len(script.calls("set_option")) == 1
    script.close()


async def test_what_is_missing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    association, told = new_association(), Told()
    script = Homed("10.1.0.1/[fd01::1]", "[fd01::1]/[fd09::1]")
    # It has ended already.
    tell_missing(script.raw, association, told)
    script.alive[3] = Address("fd01::2", 5)
    with caplog.at_level(logging.WARNING, "sctpio"):
        for _ in range(2):
            tell_missing(script.raw, association, told)
        (record,) = caplog.records
        assert record.getMessage() == (
            "association 3 with [fd01::2]:5 is without 10.1.0.1 of the local addresses"
            " 10.1.0.1/fd01::1: for a reason"
        )
    script.close()
    caplog.clear()
    # Nothing is asked of the stack for a socket with one address.
    for named in ("", "10.1.0.1"):
        single = Homed(named)
        tell_missing(single.raw, association, told)
        single.close()
    assert not caplog.records


def new_association() -> Association:
    loop = asyncio.get_running_loop()
    association = Association(loop, unread=Unread(loop, 1), max_message_size=1, hub=EventHub(loop))
    association.id = 3
    association.peer = Address("fd01::2", 5)
    return association
