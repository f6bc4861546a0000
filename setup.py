"""What pyproject.toml cannot say: the extension, and the one abi3 wheel for every CPython from 3.11 on."""

from setuptools import setup

setup(
    cffi_modules=["csrc/build_kernel.py:ffi"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
