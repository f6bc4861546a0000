"""Builds `sctpio.stacks._usrsctp`: the contract header over libusrsctp, whose static library is linked in.

Without the library there is no such module, and the stack says how to get it.
"""

import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
# Its names are our own business: `wakeup` and the like may be somebody else's, too.
LINK = ["-Wl,--exclude-libs,ALL", "-l:libusrsctp.a", "-lpthread"]

# What it takes to link a static library into a shared object (see usrsctp/process.c).
TRY = """
#include <usrsctp.h>
__attribute__((visibility("hidden"))) const struct in6_addr in6addr_any, in6addr_loopback;
int sctpio_try(void) { return usrsctp_finish(); }
"""

# setuptools wants paths relative to the project's root.
SOURCES = [
    "csrc/common.c",
    "csrc/usrsctp/contract.c",
    "csrc/usrsctp/packets.c",
    "csrc/usrsctp/process.c",
    "csrc/usrsctp/sockets.c",
]

# What usrsctp calls of the C library and gets ours for.
WRAPPED = ["nanosleep", "pthread_cond_wait", "recvmsg", "sendmsg"]
LINK_ARGUMENTS = [*(f"-Wl,--wrap={name}" for name in WRAPPED), *LINK]

INCLUDES = ["csrc", "csrc/usrsctp"]

ffi = FFI()
ffi.cdef((HERE / "sctpio.h").read_text())
ffi.cdef((HERE / "usrsctp" / "process.h").read_text())
ffi.set_source(
    "sctpio.stacks._usrsctp",
    '#include <stddef.h>\n#include <stdint.h>\n#include "sctpio.h"\n#include "process.h"\n',
    sources=SOURCES,
    include_dirs=INCLUDES,
    depends=["csrc/sctpio.h", "csrc/common.h", "csrc/usrsctp/process.h", "csrc/usrsctp/shared.h"],
    extra_compile_args=[
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Wno-unused-function",
        "-fvisibility=hidden",
    ],
    extra_link_args=LINK_ARGUMENTS,
)


def available() -> bool:
    """Tell whether the header and the static library are there for the compiler that will be used."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "try.c")
        source.write_text(TRY)
        command = [*compiler, "-shared", "-fPIC", str(source), "-o", str(Path(folder, "try.so")), *LINK]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False
