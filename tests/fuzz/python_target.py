"""Fuzz one of TARGETS with atheris: python_target.py NAME [libFuzzer's arguments]. `run.py` starts it."""

import sys

import atheris

from fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["sctpio"]):
        check = TARGETS[name]()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
