"""What the kernel of this host offers: asked of two sockets made for it, never read from a version number."""

import errno
import os
from contextlib import closing
from dataclasses import replace

from ..._abi.linux import LINUX
from ..._abi.platform import OptionSpec
from ..._accelerator import compiled
from ...events import Event
from ...features import Capabilities, Feature
from ...options import (
    AsconfSupported,
    AuthSupported,
    EcnSupported,
    ExposePotentiallyFailed,
    FragmentInterleave,
    InterleavingSupported,
    PlpmtudProbeInterval,
    PrSupported,
    ReceiveBuffer,
    ReconfigSupported,
    Scheduler,
    SendBuffer,
    StreamScheduler,
    UdpEncapsulation,
)
from ..base import RECEIVE_BUFFER
from ..probing import reason, sets, switch
from .socket import NAME, KernelSocket, KernelStack

SYSCTLS = "/proc/sys/net/sctp"

# The settings that turn an extension on or off, or that change what this package does.
RELEVANT = (
    "addip_enable",
    "addip_noauth_enable",
    "addr_scope_policy",
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
    """Return what this host's kernel offers; raises OSError if no socket can be made."""
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
            accelerated=compiled is not None,
            authentication=switch(one, AuthSupported),
            address_reconfiguration=_address_reconfiguration(one, sysctls),
            stream_reconfiguration=switch(one, ReconfigSupported),
            partial_reliability=switch(one, PrSupported),
            interleaving=_interleaving(many, sysctls),
            potentially_failed=_potentially_failed(one, sysctls),
            udp_encapsulation=_udp(options[UdpEncapsulation], sysctls),
            path_mtu_probing=Feature(
                sysctls.get("plpmtud_probe_interval", 0) > 0, options[PlpmtudProbeInterval]
            ),
            ecn=switch(one, EcnSupported),
            mixed_scopes=_mixed_scopes(sysctls),
            buffers=_buffers(one),
            separate_memory=_separate_memory(sysctls),
        )


def _sysctls() -> dict[str, int]:
    found = {}
    for name in RELEVANT:
        try:
            with open(f"{SYSCTLS}/{name}") as setting:
                found[name] = int(setting.read())
        except (OSError, ValueError):
            # This kernel has no such setting.
            continue
    return found


def _known(spec: OptionSpec, sock: KernelSocket) -> bool:
    """Tell whether the kernel knows an option; see `KernelSocket.knows`."""
    return sock.knows(spec.level, spec.number, reads=spec.readable)


def _subscribes(sock: KernelSocket, kind: type[Event]) -> bool:
    try:
        sock.subscribe(kind, True, 0)
    except OSError:
        return False
    return True


def _address_reconfiguration(sock: KernelSocket, sysctls: dict[str, int]) -> Feature:
    found = switch(sock, AsconfSupported)
    if found and not (sysctls.get("auth_enable") or sysctls.get("addip_noauth_enable")):
        # A peer refuses the association of one that offers it without authentication (RFC 5061 4.2.7).
        return replace(
            found, needs="AuthSupported() beside AsconfSupported(), or sysctl net.sctp.auth_enable=1"
        )
    return found


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


def _mixed_scopes(sysctls: dict[str, int]) -> Feature:
    # 0: all addresses are announced. 2: private ones are, wherever the peer is.
    if sysctls.get("addr_scope_policy", 1) in (0, 2):
        return Feature(True, True)
    return Feature(False, False, "sysctl net.sctp.addr_scope_policy=0")


def _buffers(sock: KernelSocket) -> Feature:
    sock.use_defaults(RECEIVE_BUFFER)
    found = {
        "rmem_max": sock.get_option(ReceiveBuffer, 0, None).size,
        "wmem_max": sock.get_option(SendBuffer, 0, None).size,
    }
    # A buffer reads as the double of what was set.
    small = [name for name, size in found.items() if (size or 0) < 2 * RECEIVE_BUFFER]
    needs = " ".join(f"net.core.{name}={RECEIVE_BUFFER}" for name in small)
    return Feature(not small, not small, f"sysctl {needs}" if small else "")


def _separate_memory(sysctls: dict[str, int]) -> Feature:
    separate = bool(sysctls.get("rcvbuf_policy"))
    return Feature(separate, separate, "" if separate else "sysctl net.sctp.rcvbuf_policy=1")
