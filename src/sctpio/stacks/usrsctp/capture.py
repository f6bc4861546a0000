"""SCTPIO_PCAP: a file to which usrsctp appends its packets, as pcap, which tshark and Wireshark read."""

import os
import struct

# 262144 bytes of a packet at most, each from its IP header on (LINKTYPE_RAW).
HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101)


def open_capture(path: str) -> int:
    """Return a descriptor of the file, with the header of pcap in it; raises OSError.

    It stays open as long as the process: the stack has it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if not os.fstat(descriptor).st_size:
        os.write(descriptor, HEADER)
    return descriptor
