"""Which stack can speak SCTP over UDP here, and on which UDP port: a relay forwards UDP packets."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from ..errors import UnavailableError
from ..stacks import ENVIRONMENT, available_stacks, choose
from ..stacks.base import Stack
from ..stacks.usrsctp import udp_ports

KERNEL_UDP_PORT = Path("/proc/sys/net/sctp/udp_port")


def encapsulating(stack: str | None) -> tuple[str, int]:
    """Return the name and the UDP port of a stack that can speak SCTP over UDP now.

    `stack` is as for `listen`. If neither it nor `$SCTPIO_STACK` asks for one, it is the first that can.

    Raises:
        UnavailableError: the stack that was asked for cannot, or none can.
        ValueError: no stack has that name.
        OSError: the stack cannot be started.
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
        "the kernel does not take SCTP over UDP: as root `sysctl net.sctp.udp_port=9899`, or use the stack"
        " usrsctp",
    )


def _port(stack: Stack) -> int:
    if stack.name == "kernel":
        with suppress(OSError, ValueError):
            return int(KERNEL_UDP_PORT.read_text())
        return 0
    # usrsctp gets its port with its first socket.
    stack.open().close()
    return udp_ports.settings.started or 0
