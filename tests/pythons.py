"""The Pythons that pyproject.toml claims: where each is on this machine, and its virtual environment."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
CLAIM = "Programming Language :: Python :: 3."
PROJECT = ROOT / "pyproject.toml"
ASK = "import sys; print(*sys.version_info[:2], sep='.')"


class VenvError(Exception):
    """A virtual environment could not be made."""


def claimed() -> list[str]:
    """Read the versions that the classifiers name."""
    with PROJECT.open("rb") as file:
        lines = tomllib.load(file)["project"]["classifiers"]
    return [f"3.{line.removeprefix(CLAIM)}" for line in lines if line.startswith(CLAIM)]


def find(version: str) -> str | None:
    """Find a Python on PATH or among pyenv's, chosen there or not; None where it is not here."""
    return next((path for path in _candidates(version) if _answer(path, "-c", ASK) == version), None)


def _candidates(version: str) -> Iterator[str]:
    if version == OWN:
        yield sys.executable
    # pyenv's name on PATH is of a script that may know nothing but the version that was chosen.
    if (path := shutil.which(f"python{version}")) is not None:
        yield path
    if root := _answer("pyenv", "root"):
        for each in sorted(Path(root, "versions").glob(f"{version}.*/bin/python{version}"), reverse=True):
            yield str(each)


def _answer(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def executable(version: str) -> Path:
    """Return where the Python of a version's virtual environment is; of this one for its own version."""
    if version == OWN:
        return Path(sys.executable)
    return ROOT / "build" / f"venv-{version}" / "bin" / "python"


def prepare(version: str) -> None:
    """Make or renew a version's virtual environment where pyproject.toml is newer. Raises VenvError."""
    python = executable(version)
    done = python.parents[1] / ".test"
    if version == OWN or (done.exists() and done.stat().st_mtime > PROJECT.stat().st_mtime):
        return
    for command in (
        [str(ROOT / ".ci" / "venv"), find(version) or f"python{version}", os.fspath(python.parents[1])],
        [os.fspath(python), "-m", "pip", "install", "-q", "--group", "test"],
    ):
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise VenvError(f"Python {version}: this failed: {' '.join(command)}")
    done.touch()
