"""What pyproject.toml cannot say: the extensions, and the one abi3 wheel for every CPython from 3.11 on."""

import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel

sys.path.insert(0, str(Path(__file__).parent / "csrc"))

import build_usrsctp

# Python without the GIL has no limited API that this could use, and PyPy has none at all.
limited = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

modules = ["csrc/build_kernel.py:ffi"]
if build_usrsctp.available():
    modules.append("csrc/build_usrsctp.py:ffi")
else:
    print("sctpio: built without the usrsctp stack: libusrsctp is not here (apt install libusrsctp-dev)")

# What is slow in Python, in C. The package works without it, so where it cannot be built, that is no error.
# It relies on the GIL, and PyPy would be slower with it.
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


class Wheel(bdist_wheel):
    """A wheel with the pinned usrsctp says so, as no tool can see a static library in it (PEP 770)."""

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        if build_usrsctp.PINNED:
            sboms = Path(distinfo_path, "sboms")
            sboms.mkdir()
            shutil.copy(build_usrsctp.PINNED / "sbom.cdx.json", sboms / "usrsctp.cdx.json")


setup(
    cffi_modules=modules,
    ext_modules=[accelerator] if limited else [],
    cmdclass={"bdist_wheel": Wheel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if limited else {},
)
