"""Builds `sctpio.stacks._kernel`: the contract header is what cffi reads and what kernel/kernel.c fulfils."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
# setuptools wants paths relative to the project's root.
SOURCES = ["csrc/common.c", "csrc/kernel/kernel.c"]

INCLUDES = ["csrc"]

ffi = FFI()
ffi.cdef((HERE / "sctpio.h").read_text())
ffi.set_source(
    "sctpio.stacks._kernel",
    '#include <stddef.h>\n#include <stdint.h>\n#include "sctpio.h"\n',
    sources=SOURCES,
    include_dirs=INCLUDES,
    depends=["csrc/sctpio.h", "csrc/common.h", "csrc/kernel/uapi.h"],
    extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-Wno-unused-function"],
)
