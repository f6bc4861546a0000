"""Packets of SCTP into a file that tshark and Wireshark read (pcap, LINKTYPE_RAW: from the IP header on).

usrsctp writes its own (SCTPIO_PCAP, `stacks.usrsctp`). Those of the kernel are captured here, on all
interfaces of this network namespace, by a packet socket, which needs CAP_NET_RAW.
"""

import ctypes
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .exits import CommandError, Exit

__all__ = ["create", "kernel_packets"]

SNAP = 262144
HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP, 101)

ETH_P_ALL, PACKET_OUTGOING = 3, 4
SO_ATTACH_FILTER = 26
# Classic BPF over the IP header: IPv4 or IPv6 with SCTP right in it.
FILTER = [
    (0x30, 0, 0, 0),  # load the first byte
    (0x74, 0, 0, 4),  # its upper half
    (0x15, 0, 2, 4),  # 4: go on, or skip two
    (0x30, 0, 0, 9),  # protocol
    (0x15, 3, 4, 132),
    (0x15, 0, 3, 6),  # 6: go on
    (0x30, 0, 0, 6),  # next header
    (0x15, 0, 1, 132),
    (0x06, 0, 0, SNAP),  # take it
    (0x06, 0, 0, 0),
]
# Seconds between looks at whether it is to end; and of silence after which all has been read then.
LOOK = 0.1


def create(path: str) -> None:
    """Make an empty capture; raises OSError."""
    with open(path, "wb") as file:
        file.write(HEADER)


@contextmanager
def kernel_packets(path: str) -> Iterator[None]:
    """Capture the kernel's SCTP packets into a file while the block runs; raises CommandError."""
    try:
        link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    except PermissionError:
        raise CommandError(
            Exit.USAGE,
            "a capture needs CAP_NET_RAW: run this as root, or once"
            f" `sudo setcap cap_net_raw+ep {os.path.realpath(sys.executable)}`",
        ) from None
    with link:
        _attach(link)
        link.settimeout(LOOK)
        done = threading.Event()
        thread = threading.Thread(target=_copy, args=(link, path, done))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _attach(link: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *step) for step in FILTER)
    program = ctypes.create_string_buffer(code, len(code))
    link.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(FILTER), ctypes.addressof(program))
    )


def _copy(link: socket.socket, path: str, done: threading.Event) -> None:
    with open(path, "ab", buffering=0) as file:
        while True:
            try:
                packet, (interface, _, kind, *_) = link.recvfrom(SNAP)
            except TimeoutError:
                if done.is_set():
                    return
                continue
            # Over lo each packet is seen as it leaves and as it comes.
            if interface == "lo" and kind == PACKET_OUTGOING:
                continue
            now = time.time()
            head = struct.pack("=IIII", int(now), int(now % 1 * 1e6), len(packet), len(packet))
            file.write(head + packet)
