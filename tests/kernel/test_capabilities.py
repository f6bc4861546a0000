"""`sctpio.capabilities()` on the real kernel: what it says is what sockets then do."""

import contextlib
import ctypes
import errno
import os
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sctpio
from kernel.lab import CLONE_NEWNET, Lab, run
from sctpio import (
    Address,
    AsconfSupported,
    AssocInfo,
    AuthSupported,
    Capabilities,
    EcnSupported,
    Event,
    Feature,
    FragmentInterleave,
    InterleavingSupported,
    NoDelay,
    Option,
    PeerAddressParameters,
    PrSupported,
    ReconfigSupported,
    RtoInfo,
    Scheduler,
    StreamScheduler,
    capabilities,
    connect,
    listen,
    open_endpoint,
)
from sctpio._abi.linux import LINUX
from sctpio._abi.platform import OptionSpec
from sctpio.options.base import as_reported
from sctpio.stacks.kernel import socket as kernel
from sctpio.stacks.kernel.socket import KernelSocket
from support import descriptor_count

LOOPBACK = Address("127.0.0.1", 0)
SYSCTLS = Path("/proc/sys/net/sctp")

# A feature, the sysctl that makes it the default, and the option that turns it on for one socket.
SWITCHES: dict[str, tuple[str, type[Option]]] = {
    "authentication": ("auth_enable", AuthSupported),
    "address_reconfiguration": ("addip_enable", AsconfSupported),
    "stream_reconfiguration": ("reconf_enable", ReconfigSupported),
    "partial_reliability": ("prsctp_enable", PrSupported),
    "ecn": ("ecn_enable", EcnSupported),
}


def write(name: str, value: int) -> None:
    """Set a sysctl of the network namespace that we are in."""
    (SYSCTLS / name).write_text(str(value))


def here() -> Path:
    return Path("/proc/thread-self/ns/net")


@pytest.fixture
def fresh() -> Iterator[None]:
    """Be in a new network namespace, whose sysctls are the kernel's defaults."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open(here(), os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            run("ip", "link", "set", "lo", "up")
            yield
        finally:
            assert libc.setns(home, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(home)


@contextlib.contextmanager
def opened(*, one_to_many: bool = False) -> Iterator[KernelSocket]:
    sock = kernel.STACK.open(LOOPBACK, one_to_many=one_to_many)
    try:
        yield sock
    finally:
        sock.close()


def sets(value: Option, *before: Option, one_to_many: bool = False) -> int:
    """Set an option on a new socket, after others: 0, or the errno."""
    with opened(one_to_many=one_to_many) as sock:
        for option in before:
            sock.set_option(option, 0)
        try:
            sock.set_option(value, 0)
        except OSError as error:
            return error.errno or -1
        return 0


# What it says of the stack


def test_it_says_whom_it_asked() -> None:
    found = capabilities()
    assert isinstance(found, Capabilities)
    assert (found.stack, found.release) == ("kernel", os.uname().release)
    assert found.stack in sctpio.available_stacks()
    assert capabilities("kernel") == found


def test_a_value_can_be_compared_and_is_frozen() -> None:
    found = capabilities()
    with pytest.raises(AttributeError):
        found.stack = "other"  # type: ignore[misc]
    assert replace(found, release="7.0") != found
    assert not Feature(True, False)
    assert Feature(False, True)


@pytest.mark.parametrize("name", ["linux", "", "KERNEL"])
def test_a_stack_that_nobody_has(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        capabilities(name)


def test_the_environment_chooses_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCTPIO_STACK", "nonsense")
    with pytest.raises(ValueError, match=r"\$SCTPIO_STACK.*'nonsense'"):
        capabilities()
    assert capabilities("kernel").stack == "kernel"


def test_asking_leaves_nothing_open() -> None:
    capabilities()
    before = descriptor_count()
    for _ in range(5):
        capabilities()
    assert descriptor_count() == before
    assert Path("/proc/net/sctp/eps").read_text().count("\n") == 1


def test_asking_that_fails_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptor_count()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    for name in ("knows", "subscribe", "set_option"):
        with monkeypatch.context() as patch:
            patch.setattr(KernelSocket, name, fail)
            with contextlib.suppress(OSError):
                capabilities()
        assert descriptor_count() == before
    first = kernel.STACK.open
    with monkeypatch.context() as patch:
        # The second of its sockets cannot be made.
        patch.setattr(
            type(kernel.STACK),
            "open",
            lambda self, *addresses, one_to_many=False: fail() if one_to_many else first(*addresses),
        )
        with pytest.raises(OSError, match="no memory"):
            capabilities()
    assert descriptor_count() == before


# Options and events


def asked_plainly(spec: OptionSpec) -> bool:
    """Ask another way, with a struct's worth of zeros from the standard library: is there an option?"""
    size = max(spec.layout.size, 256)
    known = False
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_INET, kind, socket.IPPROTO_SCTP) as plain:
            try:
                if spec.readable:
                    plain.getsockopt(spec.level, spec.number, size)
                else:
                    plain.setsockopt(spec.level, spec.number, bytes(1))
            except OSError as error:
                known = known or error.errno != errno.ENOPROTOOPT
            else:
                known = True
    return known


def test_the_options_are_those_that_the_kernel_knows() -> None:
    found = capabilities()
    assert found.options == {spec.kind for spec in LINUX.options if asked_plainly(spec)}
    # Both kernels of the test tiers have every option of the header.
    assert found.options == {spec.kind for spec in LINUX.options}
    assert found.lacks == ()


def test_each_option_is_there_on_an_association_or_a_socket() -> None:
    with opened() as one, opened(one_to_many=True) as many:
        for spec in LINUX.options:
            if not spec.readable:
                continue
            codes = set()
            for sock in (one, many):
                try:
                    sock.get_option(spec.kind, 0, None)
                except OSError as error:
                    codes.add(error.errno)
                except (TypeError, ValueError):
                    # It must be told which stream or path: no question of the kernel.
                    codes.add(0)
                else:
                    codes.add(0)
            assert codes != {errno.ENOPROTOOPT}, spec.name


def test_the_events_are_those_that_can_be_subscribed() -> None:
    found = capabilities()
    assert found.events == set(KernelSocket.codec.event_numbers)
    kind: type[Event]
    for one_to_many in (False, True):
        with opened(one_to_many=one_to_many) as sock:
            for kind in found.events:
                sock.subscribe(kind, True, 0)
                sock.subscribe(kind, False, 0)


def test_the_schedulers_are_those_that_can_be_set() -> None:
    found = capabilities()
    for scheduler in Scheduler:
        code = sets(StreamScheduler(scheduler))
        assert code == (0 if scheduler in found.schedulers else errno.EINVAL), scheduler
    assert found.schedulers[:3] == (Scheduler.FCFS, Scheduler.PRIORITY, Scheduler.ROUND_ROBIN)
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    newer = {Scheduler.FAIR_CAPACITY, Scheduler.WEIGHTED_FAIR}
    assert set(found.schedulers[3:]) == (newer if release >= (6, 4) else set())


# An option or event that the kernel lacks

UNUSED = 4000


@pytest.fixture
def _older(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the table have numbers that no kernel knows: as an older kernel would look at a newer table."""
    changed = []
    for spec in LINUX.options:
        if spec.kind in (StreamScheduler, RtoInfo):
            spec = replace(spec, number=UNUSED, since="9.9")
            monkeypatch.setitem(KernelSocket.codec._options, spec.kind, spec)
        changed.append(spec)
    events = tuple(
        replace(row, number=0x80FE, since="9.8") if row.kind is sctpio.StreamReset else row
        for row in LINUX.events
    )
    table = replace(LINUX, options=tuple(changed), events=events)
    monkeypatch.setattr("sctpio.stacks.kernel_capabilities.LINUX", table)
    numbers = {**KernelSocket.codec.event_numbers, sctpio.StreamReset: (0x80FE,)}
    monkeypatch.setattr(KernelSocket.codec, "event_numbers", numbers)


@pytest.mark.usefixtures("_older")
def test_what_the_kernel_lacks_is_named_with_what_brought_it() -> None:
    found = capabilities()
    assert found.options == {spec.kind for spec in LINUX.options} - {StreamScheduler, RtoInfo}
    assert found.events == set(KernelSocket.codec.event_numbers) - {sctpio.StreamReset}
    assert sorted(found.lacks) == [
        "SCTP_RTOINFO (Linux 9.9)",
        "SCTP_STREAM_RESET_EVENT (Linux 9.8)",
        "SCTP_STREAM_SCHEDULER (Linux 9.9)",
    ]
    assert found.schedulers == ()


@pytest.mark.one_loop
@pytest.mark.usefixtures("_older")
async def test_an_option_that_the_kernel_lacks_says_so_wherever_it_is_used() -> None:
    async with listen("127.0.0.1:0") as listener, open_endpoint("127.0.0.1:0") as endpoint:
        async with connect(listener.local_addresses) as client, await listener.accept():
            calls: list[Any] = [
                lambda: client.get_option(RtoInfo),
                lambda: client.set_option(RtoInfo(initial=0.5)),
                lambda: listener.get_option(RtoInfo),
                lambda: listener.set_option(RtoInfo(initial=0.5)),
                lambda: endpoint.get_option(RtoInfo),
                lambda: endpoint.set_option(RtoInfo(initial=0.5)),
            ]
            for call in calls:
                with pytest.raises(OSError, match=r"SCTP_RTOINFO; in Linux since 9\.9") as caught:
                    call()
                assert caught.value.errno == errno.ENOPROTOOPT
            before = descriptor_count()
            for opening in (
                listen("127.0.0.1:0", options=[RtoInfo(initial=0.5)]),
                connect(listener.local_addresses, options=[RtoInfo(initial=0.5)]),
                open_endpoint("127.0.0.1:0", options=[RtoInfo(initial=0.5)]),
            ):
                with pytest.raises(OSError, match=r"SCTP_RTOINFO; in Linux since 9\.9") as caught:
                    await opening
                assert caught.value.errno == errno.ENOPROTOOPT
            assert descriptor_count() == before


# Sysctls, each 0 and 1 in a namespace of its own


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("feature", SWITCHES)
@pytest.mark.parametrize("value", [0, 1])
def test_a_sysctl_sets_the_default_and_a_socket_may_differ(feature: str, value: int) -> None:
    sysctl, kind = SWITCHES[feature]
    # Without it, changing addresses lacks something.
    write("auth_enable", 1)
    write(sysctl, value)
    found = capabilities()
    assert found.sysctls[sysctl] == value
    assert getattr(found, feature) == Feature(bool(value), True, "")
    with opened() as sock:
        assert getattr(sock.get_option(kind, 0, None), "enabled", None) is bool(value)
    assert sets(kind()) == 0


@pytest.mark.usefixtures("fresh")
def test_durations_of_the_host_may_be_longer_than_those_that_can_be_set() -> None:
    for name in ("rto_max", "rto_initial", "valid_cookie_life", "hb_interval"):
        write(name, 86_400_000)
    with opened() as sock:
        assert sock.get_option(RtoInfo, 0, None) == as_reported(
            RtoInfo, {"initial": 86_400.0, "maximum": 86_400.0, "minimum": 1.0}
        )
        assert sock.get_option(AssocInfo, 0, None).cookie_life == 86_400.0
        assert sock.get_option(PeerAddressParameters, 0, None).heartbeat_interval == 86_400.0
        sock.set_option(RtoInfo(initial=2.0), 0)
        assert sock.get_option(RtoInfo, 0, None).initial == 2.0
        assert sock.get_option(RtoInfo, 0, None).maximum == 86_400.0


@pytest.mark.usefixtures("fresh")
def test_a_fresh_namespace_has_the_defaults_of_the_kernel() -> None:
    found = capabilities()
    names = ("authentication", "address_reconfiguration", "stream_reconfiguration", "interleaving")
    for name in names:
        assert not getattr(found, name).default
    assert found.partial_reliability.default
    assert found.potentially_failed == Feature(False, True, "")
    assert found.path_mtu_probing == Feature(False, True, "")
    assert found.udp_encapsulation.possible is False
    for name, value in found.sysctls.items():
        assert int((SYSCTLS / name).read_text()) == value
    for name in ("auth_enable", "addip_enable", "reconf_enable", "intl_enable", "prsctp_enable", "udp_port"):
        assert name in found.sysctls


@pytest.mark.usefixtures("fresh")
def test_changing_addresses_needs_authentication() -> None:
    write("addip_enable", 1)
    assert "auth_enable=1" in capabilities().address_reconfiguration.needs
    for name in ("auth_enable", "addip_noauth_enable"):
        write(name, 1)
        assert capabilities().address_reconfiguration == Feature(True, True)
        write(name, 0)


@pytest.mark.usefixtures("fresh")
def test_interleaving_needs_its_sysctl() -> None:
    write("intl_enable", 0)
    off = capabilities().interleaving
    assert (off.default, off.possible) == (False, False)
    assert "net.sctp.intl_enable=1" in off.needs
    interleaving = (InterleavingSupported(), FragmentInterleave(1))
    assert sets(*interleaving) == errno.EPERM
    write("intl_enable", 1)
    assert capabilities().interleaving == Feature(False, True, "")
    assert sets(*interleaving) == 0
    # As the words of the refusal say, too.
    write("intl_enable", 0)
    with opened() as sock:
        sock.set_option(FragmentInterleave(1), 0)
        with pytest.raises(OSError, match=r"net\.sctp\.intl_enable=1"):
            sock.set_option(InterleavingSupported(), 0)


@pytest.mark.usefixtures("fresh")
def test_udp_encapsulation_needs_a_port() -> None:
    off = capabilities().udp_encapsulation
    assert not off
    assert "net.sctp.udp_port" in off.needs
    assert not udp_ports()
    write("udp_port", 9899)
    assert udp_ports() == {9899}
    on = capabilities()
    assert on.udp_encapsulation == Feature(False, True, "")
    assert on.sysctls["udp_port"] == 9899
    write("encap_port", 9899)
    assert capabilities().udp_encapsulation == Feature(True, True, "")
    write("udp_port", 0)
    assert not capabilities().udp_encapsulation.possible


def udp_ports() -> set[int]:
    """Name the UDP ports that are bound in this namespace, the kernel's own too."""
    lines = Path("/proc/thread-self/net/udp").read_text().splitlines()[1:]
    return {int(line.split()[1].partition(":")[2], 16) for line in lines}


@pytest.mark.usefixtures("fresh")
def test_potentially_failed_can_be_turned_off_for_all() -> None:
    write("pf_enable", 0)
    off = capabilities().potentially_failed
    assert (off.default, off.possible) == (False, False)
    assert "net.sctp.pf_enable=1" in off.needs
    write("pf_enable", 1)
    for exposed in (0, 1, 2):
        write("pf_expose", exposed)
        assert capabilities().potentially_failed == Feature(exposed == 2, True, "")


@pytest.mark.usefixtures("fresh")
def test_path_mtu_probing_by_default() -> None:
    assert capabilities().path_mtu_probing == Feature(False, True, "")
    write("plpmtud_probe_interval", 5000)
    assert capabilities().path_mtu_probing == Feature(True, True, "")


@pytest.mark.usefixtures("fresh")
@pytest.mark.one_loop
async def test_what_is_possible_is_possible_on_an_association() -> None:
    """With every sysctl off, the sockets' own options give the association what was promised."""
    for sysctl, _ in SWITCHES.values():
        write(sysctl, 0)
    found = capabilities()
    promised = [(name, kind) for name, (_, kind) in SWITCHES.items() if getattr(found, name).possible]
    assert len(promised) == len(SWITCHES)
    options = [kind() for _, kind in promised]
    async with listen("127.0.0.1:0", options=options) as listener:
        async with connect(listener.local_addresses, options=options) as client:
            async with await listener.accept() as server:
                for conn in (client, server):
                    for name, kind in promised:
                        assert getattr(conn.get_option(kind), "enabled", None) is True, name
    async with listen("127.0.0.1:0") as listener, connect(listener.local_addresses) as client:
        for name, kind in promised:
            assert getattr(client.get_option(kind), "enabled", None) is False, name
        await client.abort()


@pytest.mark.usefixtures("fresh")
def test_other_settings_change_nothing() -> None:
    before = capabilities()
    write("rto_min", 500)
    write("hb_interval", 10000)
    assert capabilities() == before


def test_another_namespace_is_asked_where_one_is_in(lab: Lab) -> None:
    there: Capabilities
    with lab.inside():
        write("auth_enable", 0)
        there = capabilities()
    assert there.authentication == Feature(False, True, "")
    assert there.sysctls["auth_enable"] == 0
    assert capabilities().sysctls["auth_enable"] == int((SYSCTLS / "auth_enable").read_text())


def test_nothing_is_asked_of_a_version_number(monkeypatch: pytest.MonkeyPatch) -> None:
    found = capabilities()
    told = os.uname()
    old = os.uname_result((told.sysname, told.nodename, "2.6.0", told.version, told.machine))
    monkeypatch.setattr(os, "uname", lambda: old)
    monkeypatch.setattr(sys, "platform", "linux2")
    assert replace(capabilities(), release=told.release) == found


def test_the_options_of_a_plain_socket_are_not_changed_by_asking() -> None:
    with opened() as sock:
        before = sock.get_option(StreamScheduler, 0, None), sock.get_option(NoDelay, 0, None)
        capabilities()
        assert (sock.get_option(StreamScheduler, 0, None), sock.get_option(NoDelay, 0, None)) == before
