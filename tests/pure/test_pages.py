"""What docs/design.md and CONTRIBUTING.md name is there: files, modules, methods, and the table of states."""

import importlib
import inspect
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

import sctpio
from sctpio._loop.association import STEPS, State, Step

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "sctpio"
DESIGN = ROOT / "docs" / "design.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

# What is at the root of the repository, and the folders of the package that the pages name modules of.
AT_THE_ROOT = re.compile(r"(tests|docs|src|csrc|benchmarks|examples|\.ci)/\S*")
IN_THE_PACKAGE = re.compile(r"(_loop|_abi|stacks|options|testing)(/\w+)*")
METHOD = re.compile(r"([A-Z]\w+)\.(\w+)")

by_page = pytest.mark.parametrize("page", [DESIGN, CONTRIBUTING], ids=lambda page: page.name)


def quoted(page: Path) -> list[str]:
    """Return what the page has between backquotes, in its text."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`]+)`", text)


def classes() -> dict[str, type]:
    """Return every class of the package that needs no compiled module, by its name."""
    found: dict[str, type] = {}
    for package in ("", "._abi", "._loop"):
        parent = importlib.import_module(f"sctpio{package}")
        for info in pkgutil.iter_modules(parent.__path__, f"sctpio{package}."):
            if not info.ispkg:
                found.update(inspect.getmembers(importlib.import_module(info.name), inspect.isclass))
    found.update(inspect.getmembers(sctpio, inspect.isclass))
    return found


@by_page
def test_files_and_folders_that_are_named_exist(page: Path) -> None:
    named = [name for name in quoted(page) if AT_THE_ROOT.fullmatch(name)]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@by_page
def test_modules_that_are_named_exist(page: Path) -> None:
    named = [name for name in quoted(page) if IN_THE_PACKAGE.fullmatch(name)]
    assert named
    missing = [
        name for name in named if not (PACKAGE / f"{name}.py").exists() and not (PACKAGE / name).is_dir()
    ]
    assert missing == []


def test_methods_that_are_named_exist() -> None:
    known = classes()
    named = [match for name in quoted(DESIGN) if (match := METHOD.fullmatch(name))]
    assert len(named) > 10
    missing = [match[0] for match in named if match[1] not in known or not names(known[match[1]], match[2])]
    assert missing == []


def names(kind: type, attribute: str) -> bool:
    """Return whether a class, or an instance that its `__init__` has filled, has an attribute."""
    return hasattr(kind, attribute) or f"self.{attribute}" in inspect.getsource(kind)


def test_the_table_of_states_is_the_table_of_the_code() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \|(.*)\|$", DESIGN.read_text(encoding="utf-8"), re.MULTILINE)
    states = {name: cells for name, cells in rows if name in State.__members__}
    assert list(states) == [state.name for state in State]
    for state in State:
        cells = [cell.strip() for cell in states[state.name].split("|")]
        assert cells == [STEPS[state][step].name if step in STEPS[state] else "" for step in Step]


def test_every_module_of_the_loop_is_on_a_trip() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    aside = {"__init__", "acceptor", "forks", "per_loop", "reconfig"}
    modules = {path.stem for path in (PACKAGE / "_loop").glob("*.py")} - aside
    assert {name for name in modules if f"`_loop/{name}`" not in text} == set()


def test_every_public_name_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    # These modules are there as a whole.
    whole = {*sctpio.errors.__all__, *sctpio.events.__all__, *sctpio.options.__all__}
    modules = {"sctpio": set(sctpio.__all__) - whole}
    for name in ("testing", "diagnostics", "observer"):
        modules[f"sctpio.{name}"] = set(importlib.import_module(f"sctpio.{name}").__all__)
    missing = [
        f"{module}.{name}"
        for module, names in modules.items()
        for name in sorted(names)
        if not re.search(rf"(auto\w+:: |\s){re.escape(module)}\.{name}\b", text)
    ]
    assert missing == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_drawings_are_those_of_their_source() -> None:
    pictures = runpy.run_path(str(ROOT / "docs" / "pictures.py"))
    for name in pictures["PICTURES"]:
        image = ROOT / "docs" / "images" / f"{name}.svg"
        assert image.read_text(encoding="utf-8") == pictures["svg"](name)
