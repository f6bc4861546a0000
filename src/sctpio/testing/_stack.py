"""Which stack speaks SCTP over UDP here, and on which port."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from ..errors import UnavailableError
from ..stacks import ENVIRONMENT, available_stacks, choose, udp_ports
from ..stacks.base import Stack

KERNEL_UDP_PORT = Path("/proc/sys/net/sctp/udp_port")


def encapsulating(stack: str | None) -> tuple[str, int]:
    """Choose a stack that can speak SCTP over UDP now: its name and its UDP port.

    Raises UnavailableError where the one that was asked for cannot, or none can; OSError, ValueError.
    """
    chosen = choose(stack)
    if port := _port(chosen):
        return chosen.name, port
    asked_for = stack is not None or os.environ.get(ENVIRONMENT)
    if not asked_for:
        for name in available_stacks():
            other = choose(name)
            if port := _port(other):
                return name, port
    raise UnavailableError(
        errno.EPROTONOSUPPORT,
        "the kernel's SCTP is not to be reached over UDP: as root `sysctl net.sctp.udp_port=9899`, or use the"
        " stack usrsctp",
    )


def _port(stack: Stack) -> int:
    if stack.name == "kernel":
        with suppress(OSError, ValueError):
            return int(KERNEL_UDP_PORT.read_text())
        return 0
    # It has one with its first socket.
    stack.open().close()
    return udp_ports.settings.started or 0
