"""What the kernel of this host offers: asked of sockets that are made for it, never of a version number."""

import errno
import os
from contextlib import closing
from pathlib import Path

from .._codec import LINUX
from .._tables import OptionSpec
from ..events import Event
from ..features import Capabilities, Feature
from ..options import (
    AsconfSupported,
    AuthSupported,
    EcnSupported,
    ExposePotentiallyFailed,
    FragmentInterleave,
    InterleavingSupported,
    PlpmtudProbeInterval,
    PrSupported,
    ReconfigSupported,
    Scheduler,
    StreamScheduler,
    UdpEncapsulation,
)
from ._asking import reason, sets, switch
from .kernel import NAME, KernelSocket, KernelStack

SYSCTLS = Path("/proc/sys/net/sctp")

# Those that turn something on or off, or that the library's ways depend on.
RELEVANT = (
    "addip_enable",
    "addip_noauth_enable",
    "auth_enable",
    "ecn_enable",
    "encap_port",
    "intl_enable",
    "pf_enable",
    "pf_expose",
    "plpmtud_probe_interval",
    "prsctp_enable",
    "rcvbuf_policy",
    "reconf_enable",
    "sndbuf_policy",
    "udp_port",
)


def ask(stack: KernelStack) -> Capabilities:
    """Ask this host's kernel; raises OSError where no socket can be made."""
    sysctls = _sysctls()
    with closing(stack.open()) as one, closing(stack.open(one_to_many=True)) as many:
        options = {spec.kind: _known(spec, one) or _known(spec, many) for spec in LINUX.options}
        events = {row.kind for row in LINUX.events if _subscribes(many, row.kind)}
        schedulers = [scheduler for scheduler in Scheduler if sets(one, StreamScheduler(scheduler))]
        lacking = [f"{spec.name} (Linux {spec.since})" for spec in LINUX.options if not options[spec.kind]]
        lacking += [f"{row.name} (Linux {row.since})" for row in LINUX.events if row.kind not in events]
        return Capabilities(
            stack=NAME,
            release=os.uname().release,
            options=frozenset(kind for kind, known in options.items() if known),
            events=frozenset(events),
            schedulers=tuple(schedulers),
            lacks=tuple(lacking),
            sysctls=sysctls,
            authentication=switch(one, AuthSupported),
            address_reconfiguration=switch(one, AsconfSupported),
            stream_reconfiguration=switch(one, ReconfigSupported),
            partial_reliability=switch(one, PrSupported),
            interleaving=_interleaving(many, sysctls),
            potentially_failed=_potentially_failed(one, sysctls),
            udp_encapsulation=_udp(options[UdpEncapsulation], sysctls),
            path_mtu_probing=Feature(
                sysctls.get("plpmtud_probe_interval", 0) > 0, options[PlpmtudProbeInterval]
            ),
            ecn=switch(one, EcnSupported),
        )


def _sysctls() -> dict[str, int]:
    found = {}
    for name in RELEVANT:
        try:
            found[name] = int((SYSCTLS / name).read_text())
        except (OSError, ValueError):
            # This kernel has no such setting.
            continue
    return found


def _known(spec: OptionSpec, sock: KernelSocket) -> bool:
    """Tell whether the kernel knows an option: without its struct it has nothing but that to say."""
    return sock.knows(spec.level, spec.number, reads=spec.readable)


def _subscribes(sock: KernelSocket, kind: type[Event]) -> bool:
    try:
        sock.subscribe(kind, True, 0)
    except OSError:
        return False
    return True


def _interleaving(sock: KernelSocket, sysctls: dict[str, int]) -> Feature:
    try:
        sock.set_option(FragmentInterleave(1), 0)
        sock.set_option(InterleavingSupported(), 0)
    except OSError as error:
        off = error.errno == errno.EPERM and not sysctls.get("intl_enable")
        return Feature(False, False, "sysctl net.sctp.intl_enable=1" if off else reason(error))
    return Feature(False, True)


def _potentially_failed(sock: KernelSocket, sysctls: dict[str, int]) -> Feature:
    if not sets(sock, ExposePotentiallyFailed(True)):
        return Feature(False, False, "Linux 5.5")
    if not sysctls.get("pf_enable", 1):
        return Feature(False, False, "sysctl net.sctp.pf_enable=1")
    return Feature(sysctls.get("pf_expose") == 2, True)


def _udp(known: bool, sysctls: dict[str, int]) -> Feature:
    if not known:
        return Feature(False, False, "Linux 5.11")
    if not sysctls.get("udp_port"):
        return Feature(False, False, "sysctl net.sctp.udp_port=9899, or another port")
    return Feature(bool(sysctls.get("encap_port")), True)
