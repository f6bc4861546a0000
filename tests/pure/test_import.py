"""What `import sctpio` brings: nothing that the program has not used, and every name when it is used."""

import ast
import importlib
import inspect
import pydoc
import subprocess
import sys
from types import ModuleType

import pytest

import sctpio
from sctpio import errors, events, options

# Type checkers know no `__all__` here.
NAMES: list[str] = importlib.import_module("sctpio").__all__


def after(code: str) -> set[str]:
    """The modules that a fresh process has, after what a bare one has."""
    show = "import sys; print(*sys.modules)"
    bare, full = (
        subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
        for text in (show, f"{code}\n{show}")
    )
    return set(full.split()) - set(bare.split())


def ours(modules: set[str]) -> set[str]:
    return {name.removeprefix("sctpio.") for name in modules if name.startswith("sctpio.")}


def test_importing_the_package_loads_none_of_it() -> None:
    found = after("import sctpio")
    assert not ours(found)
    assert not found & {"asyncio", "dataclasses", "inspect", "logging", "socket", "ssl", "_cffi_backend"}


@pytest.mark.parametrize(
    "name", ["Address", "InitMsg", "AssociationChange", "UnavailableError", "Capabilities", "Statistics"]
)
def test_values_need_no_event_loop_and_no_stack(name: str) -> None:
    found = after(f"from sctpio import {name}")
    assert not found & {"asyncio", "socket", "ssl", "_cffi_backend", "sctpio._tables", "sctpio.stacks"}


@pytest.mark.parametrize("stack", ["kernel", "usrsctp"])
def test_a_program_loads_the_stack_that_it_uses(stack: str) -> None:
    others = {"kernel": {"stacks.usrsctp", "_usrsctp"}, "usrsctp": {"stacks.kernel"}}[stack]
    code = f"import sctpio\ntry: sctpio.capabilities({stack!r})\nexcept sctpio.UnavailableError: pass"
    assert not ours(after(code)) & others


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


def test_type_checkers_read_the_same_names() -> None:
    (block,) = (
        node
        for node in ast.parse(inspect.getsource(sctpio)).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    found = set[str]()
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        module = importlib.import_module(f"sctpio.{line.module}")
        for alias in line.names:
            if alias.name == "*":
                found.update(module.__all__)
            else:
                # A plain import would be private to who is strict about re-exports.
                assert alias.asname == alias.name
                assert getattr(sctpio, alias.name) is getattr(module, alias.name)
                found.add(alias.name)
    assert found == set(NAMES)


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
