"""The UDP ports of the usrsctp stack: what the program or the environment chose, and what is free.

usrsctp sends SCTP over UDP (RFC 6951), and a process has one UDP port for all its SCTP sockets. The stack is
started with that port when the first socket is made, so everything here is decided before then: a call of
`usrsctp_config` comes first, then the environment variables, then the registered port 9899, then any port
that is free. The stack itself is `usrsctp.socket`, which calls this module and sets `settings.started`.
"""

import errno
import os
import socket
from collections.abc import Iterator

__all__ = ["DEFAULT", "ports_to_try", "usrsctp_config"]

ENVIRONMENT = "SCTPIO_UDP_PORT"
REMOTE_ENVIRONMENT = "SCTPIO_REMOTE_UDP_PORT"

# The UDP port registered for SCTP over UDP (RFC 6951 section 7).
DEFAULT = 9899


class _Settings:
    """What the program chose by `usrsctp_config`; None where it chose nothing."""

    udp_port: int | None = None
    remote_udp_port: int | None = None
    # The port that the stack was started on; None as long as it was not.
    started: int | None = None


settings: _Settings = _Settings()


def usrsctp_config(
    *,
    udp_port: int | None = None,
    remote_udp_port: int | None = None,
) -> None:
    """Choose the UDP ports of the usrsctp stack; call it before the first usrsctp socket is made.

    `udp_port` is this process's own port, 0 for any that is free. By default it is `$SCTPIO_UDP_PORT`, else
    9899 if that is free, else any port. `remote_udp_port` is the port that peers are reached at, by default
    `$SCTPIO_REMOTE_UDP_PORT`, else 9899; the option `UdpEncapsulation` overrides it for one socket. None
    leaves what was chosen before.

    Raises:
        ValueError: a port is out of range.
        RuntimeError: the stack has been used already.
    """
    for name, port, least in (("udp_port", udp_port, 0), ("remote_udp_port", remote_udp_port, 1)):
        if port is not None and not (isinstance(port, int) and least <= port <= 0xFFFF):
            raise ValueError(f"{name} is {port!r}; it takes a number from {least} to 65535")
    if settings.started is not None:
        raise RuntimeError(
            f"the usrsctp stack runs on UDP port {settings.started} already: call usrsctp_config before the"
            " first socket is made"
        )
    if udp_port is not None:
        settings.udp_port = udp_port
    if remote_udp_port is not None:
        settings.remote_udp_port = remote_udp_port


def ports_to_try(peers: int | None = None) -> Iterator[int]:
    """Yield the ports to start the stack on, one after another, until one can be had.

    `peers` is a port that a peer on this host is expected on: it is not taken, unless it was asked for.

    Each was free a moment ago. Another process may still take it first, so the caller asks for the next one
    when the stack cannot be started.

    Raises:
        OSError: (EADDRINUSE) the port that was asked for is taken, so there is nothing to try.
        ValueError: `$SCTPIO_UDP_PORT` is not a port.
    """
    wanted = _from_environment(ENVIRONMENT, 0) if settings.udp_port is None else settings.udp_port
    if wanted:
        if not _free(wanted):
            raise in_use(wanted)
        yield wanted
        return
    if wanted is None and peers != DEFAULT and _free(DEFAULT):
        yield DEFAULT
    for _ in range(10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            port: int = probe.getsockname()[1]
        if _free(port):
            yield port


def missed() -> int | None:
    """Return the port that the stack runs on if nobody chose it and it is not 9899, else None.

    Peers send to 9899 by default, so they do not find such a process without being told its port.
    """
    return None if is_chosen() or settings.started == DEFAULT else settings.started


def is_chosen() -> bool:
    """Tell whether the program or the environment chose the port."""
    return settings.udp_port is not None or _from_environment(ENVIRONMENT, 0) is not None


def remote_udp_port() -> int:
    """Return the UDP port of peers for sockets that have no `UdpEncapsulation` of their own."""
    return settings.remote_udp_port or _from_environment(REMOTE_ENVIRONMENT, 1) or DEFAULT


def _from_environment(name: str, least: int) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= 0xFFFF:
        raise ValueError(f"${name} is {text!r}; it takes a number from {least} to 65535")
    return int(text)


def in_use(port: int) -> OSError:
    """Return the error that says that a port is taken, and how to choose another."""
    return OSError(
        errno.EADDRINUSE,
        f"UDP port {port} is in use by another process: choose another by ${ENVIRONMENT} or usrsctp_config()",
    )


def _free(port: int) -> bool:
    """Tell whether a UDP port can be bound on all addresses, of IPv4 and of IPv6: usrsctp binds both.

    Raises:
        OSError: it is not taken, but this process may not bind it (EACCES).
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise OSError(error.errno, f"UDP port {port}: {error.strerror}") from None
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("::", port))
    except OSError as error:
        # A host without IPv6 fails in other ways, and usrsctp then does without it as well.
        return error.errno != errno.EADDRINUSE
    return True
