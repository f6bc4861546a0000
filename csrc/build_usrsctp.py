"""Builds `sctpio.stacks._usrsctp`: the contract header over libusrsctp, whose static library is linked in.

`SCTPIO_USRSCTP=DIRECTORY` names one that pinned_usrsctp.py has built, 0 says to do without; else it is the
system's, if there is one. Without the library there is no such module, and the stack says how to get it.
"""

import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
CHOICE = os.environ.get("SCTPIO_USRSCTP", "")
PINNED = Path(CHOICE).absolute() if CHOICE not in ("", "0") else None
# Names of the system's are our own business: `wakeup` and the like may be somebody else's, too.
# Those of the pinned one are hidden.
LINK = [
    *([str(PINNED / "lib" / "libusrsctp.a")] if PINNED else ["-Wl,--exclude-libs,ALL", "-l:libusrsctp.a"]),
    "-lpthread",
]

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

INCLUDES = ["csrc", "csrc/usrsctp", *([str(PINNED / "include")] if PINNED else [])]

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
    if CHOICE == "0":
        return False
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "try.c")
        source.write_text(TRY)
        options = ["-shared", "-fPIC", *(f"-I{each}" for each in INCLUDES)]
        command = [*compiler, *options, str(source), "-o", str(Path(folder, "try.so")), *LINK]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            done = subprocess.CompletedProcess(command, 1, "", str(error))
    if done.returncode and PINNED:
        raise SystemExit(
            f"SCTPIO_USRSCTP is {CHOICE!r}, but usrsctp cannot be linked from there:\n{done.stderr}"
        )
    return done.returncode == 0
