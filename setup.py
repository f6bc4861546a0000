"""What pyproject.toml cannot say: the extensions, and the one abi3 wheel for every CPython from 3.11 on."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "csrc"))

import build_usrsctp

modules = ["csrc/build_kernel.py:ffi"]
if build_usrsctp.available():
    modules.append("csrc/build_usrsctp.py:ffi")
else:
    print("sctpio: built without the usrsctp stack: libusrsctp is not here (apt install libusrsctp-dev)")

setup(
    cffi_modules=modules,
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
