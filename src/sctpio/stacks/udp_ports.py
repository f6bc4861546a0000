"""The settings of the usrsctp stack, and its UDP port: what the program says, what is free."""

import errno
import os
import socket
from collections.abc import Iterator

__all__ = ["DEFAULT", "ports_to_try", "usrsctp_config"]

ENVIRONMENT = "SCTPIO_UDP_PORT"
REMOTE_ENVIRONMENT = "SCTPIO_REMOTE_UDP_PORT"

# SCTP over UDP (RFC 6951 section 7).
DEFAULT = 9899


class _Settings:
    udp_port: int | None = None
    remote_udp_port: int | None = None
    # What the stack was started on.
    started: int | None = None


settings = _Settings()


def usrsctp_config(
    *,
    udp_port: int | None = None,
    remote_udp_port: int | None = None,
) -> None:
    """Choose the UDP ports of the usrsctp stack, before the first socket of it is made.

    `udp_port` is this process's own; 0 is any that is free. By default it is `$SCTPIO_UDP_PORT`, else 9899
    where that is free, else any. `remote_udp_port` is where peers are reached: by default
    `$SCTPIO_REMOTE_UDP_PORT`, else 9899; a socket overrides it by the option UdpEncapsulation.
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


def ports_to_try() -> Iterator[int]:
    """Give the ports to start the stack on, in turn: those that were free a moment ago.

    Raises OSError (EADDRINUSE) where the one that was asked for is taken, ValueError for a bad variable.
    """
    wanted = _from_environment(ENVIRONMENT, 0) if settings.udp_port is None else settings.udp_port
    if wanted:
        if not _free(wanted):
            raise in_use(wanted)
        yield wanted
        return
    if wanted is None and _free(DEFAULT):
        yield DEFAULT
    for _ in range(10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            port: int = probe.getsockname()[1]
        if _free(port):
            yield port


def missed() -> int | None:
    """Give the port that the stack was started on where nobody asked for it: peers look at the usual one."""
    asked = settings.udp_port is not None or _from_environment(ENVIRONMENT, 0) is not None
    return None if asked or settings.started == DEFAULT else settings.started


def remote_udp_port() -> int:
    """Give the UDP port where peers are reached that no option says otherwise of."""
    return settings.remote_udp_port or _from_environment(REMOTE_ENVIRONMENT, 1) or DEFAULT


def _from_environment(name: str, least: int) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= 0xFFFF:
        raise ValueError(f"${name} is {text!r}; it takes a number from {least} to 65535")
    return int(text)


def in_use(port: int) -> OSError:
    """Say that a port is taken."""
    return OSError(
        errno.EADDRINUSE,
        f"UDP port {port} is in use by another process: choose another by ${ENVIRONMENT} or usrsctp_config()",
    )


def _free(port: int) -> bool:
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
        # No IPv6 here is no reason against a port.
        return error.errno != errno.EADDRINUSE
    return True
