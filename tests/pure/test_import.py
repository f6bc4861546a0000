"""What `import sctpio` brings: every public name, and no more of the standard library than it takes."""

import pydoc
import subprocess
import sys
from importlib.metadata import version
from types import ModuleType

import pytest

import sctpio
from sctpio import errors, events, options

NAMES = sctpio.__all__

# What is slow to load and nothing of ours needs: asyncio brings some of it on its own.
SLOW = {"email", "http", "multiprocessing", "urllib", "xml"}


def test_importing_the_package_loads_nothing_slow() -> None:
    show = "import sys; print(*sys.modules)"
    bare, full = (
        subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
        for text in (f"import asyncio\n{show}", f"import sctpio\n{show}")
    )
    assert not (set(full.split()) - set(bare.split())) & SLOW


def test_importing_the_package_makes_no_long_lists_of_names() -> None:
    code = "import sctpio, sys; assert 'sctpio.ppid' not in sys.modules; print(sctpio.Ppid.NGAP.value)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "60"


def test_the_version_is_that_of_the_installed_package() -> None:
    assert sctpio.__version__ == version("sctpio")


def test_every_name_is_there() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        assert getattr(sctpio, name) is not None
    assert set(NAMES) <= set(dir(sctpio))
    assert {*errors.__all__, *events.__all__, *options.__all__} < set(NAMES)


def test_a_star_brings_every_name() -> None:
    brought: dict[str, object] = {}
    exec("from sctpio import *", brought)
    assert set(brought) - {"__builtins__"} == set(NAMES)


@pytest.mark.parametrize("name", ["address", "conn", "errors", "events", "listener", "options", "stacks"])
def test_a_public_module_is_an_attribute(name: str) -> None:
    code = f"import sctpio; print(sctpio.{name}.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"sctpio.{name}"


@pytest.mark.parametrize("name", ["Listner", "_events_", "__wrapped__"])
def test_a_name_that_is_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'sctpio' has no attribute '{name}'"):
        getattr(sctpio, name)
    with pytest.raises(ImportError):
        exec(f"from sctpio import {name}")


def test_help_tells_all() -> None:
    text = pydoc.plain(pydoc.render_doc(sctpio))
    package: ModuleType = sctpio
    assert f"class {package.RtoInfo.__name__}(" in text
    assert "connect(" in text
