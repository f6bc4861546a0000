"""What pyproject.toml cannot say: the extensions, and the one abi3 wheel for every CPython from 3.11 on."""

import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).parent / "csrc"))

import build_usrsctp

modules = ["csrc/build_kernel.py:ffi"]
if build_usrsctp.available():
    modules.append("csrc/build_usrsctp.py:ffi")
else:
    print("sctpio: built without the usrsctp stack: libusrsctp is not here (apt install libusrsctp-dev)")

# What is slow in Python, in C. The package works without it, so where it cannot be built, that is no error.
# Python without the GIL has no limited API, and PyPy would be slower with it.
accelerator = Extension(
    "sctpio._fast",
    ["csrc/fast/fast.c"],
    depends=["csrc/sctpio.h"],
    include_dirs=["csrc"],
    extra_compile_args=[
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",
    ],
    py_limited_api=True,
    optional=True,
)
usable = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    cffi_modules=modules,
    ext_modules=[accelerator] if usable else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
