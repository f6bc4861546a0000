"""What a socket has to which no option was given: what keeps the kernel from falling silent by itself.

A plain socket of Linux that is flooded falls silent for a second again and again, on loopback most of all.
Each default takes away one reason, and holds until an option is set that says something else:

- The buffers are as large as `receive_buffer`, not only as the kernel makes them. Its own give a window of
  104 KiB, which on loopback takes one packet, so that each message waits for a delayed SACK of 200 ms. They
  are limited by net.core.rmem_max and wmem_max, but for a process with CAP_NET_ADMIN.
  (ReceiveBuffer, SendBuffer)
- Packets within this host are as small as on a network. On loopback they have 64 KiB, and a receiver does not
  tell of free window before it is as much as one of them.
  (PeerAddressParameters with path_mtu_discovery)
- No more is handed to the kernel than the peer can take: see `allowance`. A send buffer that the user chose
  is filled, and a scheduler has messages to choose from.
  (SendBuffer, StreamScheduler)
"""

import socket
from typing import TYPE_CHECKING

from ...options import (
    Option,
    PeerAddressParameters,
    ReceiveBuffer,
    Scheduler,
    Scope,
    SendBuffer,
    Status,
    StreamScheduler,
)

if TYPE_CHECKING:
    from .socket import KernelSocket

SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
# The kernel doubles what it is given, in an int.
LARGEST_BUFFER = (1 << 30) - 1

# A larger MTU than this is that of loopback: IP over InfiniBand has the next one.
LARGEST_NETWORK_MTU = 65520
# What packets within this host have instead.
LOCAL_MTU = 1500


class Defaults:
    """Which defaults hold for the associations of a socket."""

    __slots__ = ("allowance", "local_mtu")

    def __init__(self, *, local_mtu: bool = True, allowance: bool = True) -> None:
        self.local_mtu: bool = local_mtu
        self.allowance: bool = allowance

    def copy(self) -> "Defaults":
        """Return the same ones, for a socket that inherits them."""
        return Defaults(local_mtu=self.local_mtu, allowance=self.allowance)

    def give_way(self, value: Option, association_id: int) -> bool:
        """Drop what an option takes the place of; return whether it ends allowances too.

        An option that was set for one association, or for those that exist, says nothing about later ones.
        """
        future = association_id in (Scope.FUTURE, Scope.ALL)
        match value:
            case PeerAddressParameters() if value.path_mtu_discovery is not None and future:
                self.local_mtu = False
            case SendBuffer():
                self.allowance = False
                return True
            case StreamScheduler() if value.scheduler is not Scheduler.FCFS:
                self.allowance = self.allowance and not future
                return True
        return False

    def path(self, status: Status) -> PeerAddressParameters | None:
        """Return what is to be set for an association that has come up, None where it is fine as it is."""
        if self.local_mtu and status.primary.mtu > LARGEST_NETWORK_MTU:
            return PeerAddressParameters(path_mtu=LOCAL_MTU, path_mtu_discovery=False)
        return None


def set_buffers(sock: "KernelSocket", size: int) -> None:
    """Make the buffers of a new socket as large as `size`, as far as the process may; never smaller."""
    receive = sock.get_option(ReceiveBuffer, 0, None).size or 0
    send = sock.get_option(SendBuffer, 0, None).size or 0
    _enlarge(sock, receive, size, (SO_RCVBUFFORCE, socket.SO_RCVBUF))
    _enlarge(sock, send, size, (SO_SNDBUFFORCE, socket.SO_SNDBUF))


def _enlarge(sock: "KernelSocket", now: int, size: int, ways: tuple[int, int]) -> None:
    # A buffer reads as the double of what is set.
    if now >= 2 * size:
        return
    size, (forced, plain) = min(size, LARGEST_BUFFER), ways
    try:
        sock.set_flag(socket.SOL_SOCKET, forced, size, "buffer")
    except PermissionError:
        # The kernel takes as much of it as the sysctl allows.
        sock.set_flag(socket.SOL_SOCKET, plain, size, "buffer")
