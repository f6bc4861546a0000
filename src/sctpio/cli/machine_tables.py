"""What `check` knows of kernels: releases without known remote holes, and the settings that matter.

`FLOORS` is to be renewed together with `FLOORS_DATE`; nothing else here changes with time.
"""

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["FLOORS", "FLOORS_DATE", "SYSCTLS", "Level", "Sysctl", "floor_of"]

FLOORS_DATE = "2026-11-30"
FLOORS: dict[tuple[int, int], int] = {(6, 1): 191, (6, 12): 117}
"""For a branch of the kernel, the first release without known holes of SCTP that remote hosts can use."""


def floor_of(release: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """Return the first release of its branch without known holes; None for a branch that is not known."""
    patch = FLOORS.get(release[:2])
    return None if patch is None else (*release[:2], patch)


class Level:
    """How much a finding matters: only the last two are a reason for the status 1."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    BAD = "bad"


class Sysctl(NamedTuple):
    """One setting: its name, what it is about, and what its value stands in the way of.

    `ill` tells whether a value stands in the way of something, which `then` names; `better` is the value that
    does not. `level` is how much that matters: most defaults are only to be known.
    """

    name: str
    about: str
    ill: Callable[[str], bool] = lambda value: False
    then: str = ""
    better: str = ""
    level: str = Level.NOTE


def _is(*values: str) -> Callable[[str], bool]:
    return lambda value: value in values


def _below(limit: int) -> Callable[[str], bool]:
    return lambda value: value.isdigit() and int(value) < limit


def _above(limit: int) -> Callable[[str], bool]:
    return lambda value: value.isdigit() and int(value) > limit


BUFFER = 1 << 20

SYSCTLS = (
    Sysctl(
        "net.core.rmem_max",
        "the largest receive buffer, bytes",
        _below(BUFFER),
        "bursts of small messages overflow the receive buffer, are dropped and cost retransmission timeouts",
        str(BUFFER),
        Level.WARNING,
    ),
    Sysctl(
        "net.core.wmem_max",
        "the largest send buffer, bytes",
        _below(BUFFER),
        "no message can be larger than twice this, and senders wait sooner",
        str(BUFFER),
        Level.WARNING,
    ),
    Sysctl("net.sctp.sctp_mem", "memory of all associations: low, pressure, high; pages"),
    Sysctl("net.sctp.sctp_rmem", "receive buffer: least, default, unused; bytes"),
    Sysctl("net.sctp.sctp_wmem", "send buffer: least, default, unused; bytes"),
    Sysctl(
        "net.sctp.rcvbuf_policy",
        "a receive memory for each association of a socket",
        _is("0"),
        "the associations of a one-to-many socket share one receive memory: a slow reader costs the others",
        "1",
    ),
    Sysctl("net.sctp.sndbuf_policy", "a send memory for each association of a socket"),
    Sysctl(
        "net.sctp.cookie_hmac_alg",
        "what cookies of the set-up are signed with",
        _is("none"),
        "cookies are not signed, so anybody can forge an association",
        "sha256",
        Level.BAD,
    ),
    Sysctl(
        "net.sctp.cookie_preserve_enable", "peers may ask for a longer life of their cookie",
    ),
    Sysctl("net.sctp.valid_cookie_life", "how long a set-up may take, ms"),
    Sysctl(
        "net.sctp.auth_enable",
        "authentication (RFC 4895)",
        _is("0"),
        "no authentication by default; the option AuthSupported turns it on for a socket",
        "1",
    ),
    Sysctl(
        "net.sctp.addip_enable",
        "addresses that change (RFC 5061)",
        _is("0"),
        "addresses cannot change by default; the option AsconfSupported turns it on for a socket",
        "1",
    ),
    Sysctl(
        "net.sctp.addip_noauth_enable",
        "addresses change without authentication",
        _is("1"),
        "who can guess an association can move it to another address",
        "0",
        Level.WARNING,
    ),
    Sysctl("net.sctp.default_auto_asconf", "peers are told of addresses that come and go"),
    Sysctl(
        "net.sctp.addr_scope_policy",
        "which addresses are announced, by scope",
        _is("1", "3"),
        "private IPv4 addresses are not announced to a peer called at a global or IPv6 address",
        "0",
    ),
    Sysctl(
        "net.sctp.reconf_enable",
        "streams reset and added (RFC 6525)",
        _is("0"),
        "streams cannot be reset by default; the option ReconfigSupported turns it on for a socket",
        "1",
    ),
    Sysctl(
        "net.sctp.intl_enable",
        "interleaving (RFC 8260)",
        _is("0"),
        "a large message holds up the other streams; no option turns interleaving on",
        "1",
    ),
    Sysctl(
        "net.sctp.prsctp_enable",
        "messages that expire (RFC 3758)",
        _is("0"),
        "messages with a lifetime are kept until they are delivered",
        "1",
    ),
    Sysctl("net.sctp.ecn_enable", "congestion marked by routers (RFC 9260 A)"),
    Sysctl(
        "net.sctp.udp_port",
        "the UDP port of encapsulation (RFC 6951)",
        _is("0"),
        "no packets over UDP: peers on usrsctp cannot be reached",
        "9899",
    ),
    Sysctl("net.sctp.encap_port", "the UDP port of peers, 0 for none"),
    Sysctl("net.sctp.plpmtud_probe_interval", "probing for a larger MTU (RFC 8899), ms"),
    Sysctl(
        "net.sctp.pf_enable",
        "data leaves a failing path early (RFC 7829)",
        _is("0"),
        "data waits for a failing path until it has failed",
        "1",
    ),
    Sysctl("net.sctp.pf_expose", "whether programs see failing paths"),
    Sysctl("net.sctp.pf_retrans", "timeouts until a path is failing"),
    Sysctl("net.sctp.ps_retrans", "timeouts until the primary path changes"),
    Sysctl("net.sctp.path_max_retrans", "timeouts until a path is down"),
    Sysctl("net.sctp.association_max_retrans", "timeouts until an association is lost"),
    Sysctl("net.sctp.max_init_retransmits", "how often a set-up is tried again"),
    Sysctl("net.sctp.rto_initial", "first retransmission timeout, ms"),
    Sysctl(
        "net.sctp.rto_min",
        "least retransmission timeout, ms",
        _above(500),
        "a lost packet may cost a second, and a failed path is noticed late; RtoInfo lowers it for a socket",
        "100",
    ),
    Sysctl("net.sctp.rto_max", "longest retransmission timeout, ms"),
    Sysctl("net.sctp.hb_interval", "pause between heartbeats of an idle path, ms"),
    Sysctl(
        "net.sctp.sack_timeout",
        "how long an acknowledgement may wait, ms",
        _above(200),
        "senders wait for acknowledgements",
        "200",
    ),
    Sysctl("net.sctp.max_burst", "packets that may be sent at once"),
    Sysctl("net.sctp.rwnd_update_shift", "how much space is worth telling the peer"),
)  # fmt: skip
