"""Change a module in one place at a time and list the changes that no pure test notices: `mutants.py MODULE`.

Each mutant runs in a forked child, which imports the changed source in place of the module: no file changes.
Only tests that run the changed statement take part, the quickest first; what a module does as it is imported
is every test's. Programs that tests start do not see the change. Our own, as mutmut leaves out tables and
what is decorated, cosmic-ray starts Python for each mutant and changes files, and neither removes statements.
"""

import argparse
import ast
import difflib
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Generator, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import hypothesis
import pytest
import pytest_asyncio  # noqa: F401 (so that no child has to)
import uvloop  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "sctpio"
# pytest's own way to import plugins would come before ours. test_boundaries repeats everything for minutes.
PYTEST = ["-q", "-x", "-p", "no:cacheprovider", "--assert=plain", "--ignore-glob=*/test_boundaries.py"]
# Where a test takes too long, the child ends at once.
PYTEST += ["-o", "timeout_method=thread"]
MEMORY = 4 << 30
PAIRS = "Eq-NotEq Is-IsNot Lt-LtE Gt-GtE In-NotIn And-Or Add-Sub Mult-FloorDiv BitOr-BitAnd LShift-RShift"
BOTH_WAYS = [pair.split("-")[::way] for pair in f"{PAIRS} Div-Mult Mod-Div".split() for way in (-1, 1)]
SWAPS: dict[type[ast.AST], Any] = {getattr(ast, one): getattr(ast, other)() for one, other in BOTH_WAYS}


class Finder(ast.NodeVisitor):
    """Collects mutants: the lines of a statement in a function (else none), and what replaces which bytes."""

    def __init__(self, source: bytes) -> None:
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.in_function = False
        # The lines of a statement without a body.
        self.lines: range | None = None
        self.found: list[tuple[range, int, int, bytes]] = []
        self.visit(ast.parse(source))

    def _put(self, node: Any, changed: ast.AST | str) -> None:
        begin = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        lines = range(node.lineno, node.end_lineno + 1) if self.lines is None else self.lines
        text = changed if isinstance(changed, str) else f"({ast.unparse(changed)})"
        self.found.append((lines if self.in_function else range(0), begin, end, text.encode()))

    def visit(self, node: ast.AST) -> None:
        """Collect the mutants of a node and its parts; types, assertions and f-strings have none."""
        if isinstance(node, ast.JoinedStr | ast.Assert):
            return
        outside = self.in_function, self.lines
        if isinstance(node, ast.stmt):
            has_body = hasattr(node, "body") or isinstance(node, ast.Match)
            self.lines = None if has_body else range(node.lineno, (node.end_lineno or 0) + 1)
        self._change(node)
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.in_function = True
            if name not in ("annotation", "returns", "decorator_list"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self.visit(child)
        self.in_function, self.lines = outside

    def _change(self, node: ast.AST) -> None:
        match node:
            case ast.Compare(left, [operator], rest):
                self._put(node, ast.Compare(left, [SWAPS[type(operator)]], rest))
            case ast.BoolOp(operator, values):
                self._put(node, ast.BoolOp(SWAPS[type(operator)], values))
            case ast.BinOp(left, operator, right) if type(operator) in SWAPS:
                self._put(node, ast.BinOp(left, SWAPS[type(operator)], right))
            case ast.UnaryOp(ast.Not() | ast.USub(), operand):
                self._put(node, operand)
            case ast.Constant(bool(value)):
                self._put(node, str(not value))
            case ast.Constant(int(value) | float(value)):
                self._put(node, str(value + 1))
            case ast.If(test) | ast.IfExp(test) if ast.unparse(test) != "TYPE_CHECKING":
                self._put(test, "True")
                self._put(test, "False")
            case ast.While(test) | ast.comprehension(ifs=[test]):
                self._put(test, "False")
            case ast.Return(ast.AST() as value) if ast.unparse(value) != "None":
                self._put(node, "return None")
            case ast.Continue() | ast.Break():
                self._put(node, "break" if isinstance(node, ast.Continue) else "continue")
            case (
                ast.Expr(ast.Call() | ast.Await()) | ast.Raise() | ast.Delete() | ast.AugAssign()
            ) | ast.Assign([ast.Attribute() | ast.Subscript()]):
                self._put(node, "pass")


class Loader(importlib.machinery.SourceFileLoader):
    """Imports one module from a changed source."""

    source: bytes

    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        """Find the one module."""
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)
        return None

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed source."""
        return compile(self.source, self.path, "exec", dont_inherit=True)


class Choice:
    """A plugin of pytest: runs the tests that have `times`; if it is None, notes times and lines of all."""

    def __init__(self, times: Mapping[str, float] | None) -> None:
        self.times = times
        self.noted: dict[str, tuple[float, list[tuple[str, int]]]] = {}
        self.lines = set[tuple[str, int]]()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Have few examples, always the same."""
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutants", max_examples=15, deadline=None, derandomize=True, database=None, phases=phases
        )
        hypothesis.settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose the tests."""
        if (times := self.times) is not None:
            items[:] = sorted((i for i in items if i.nodeid in times), key=lambda i: times[i.nodeid])
            for item in items:
                item.add_marker(pytest.mark.timeout(5 + 5 * times[item.nodeid]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """End with the first failure: what is broken may not want to be torn down."""
        if report.failed and self.times is not None:
            os._exit(1)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note the lines that a test runs, and its time."""
        if self.times is not None:
            return (yield)
        self.lines, began = set(), time.perf_counter()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.noted[item.nodeid] = time.perf_counter() - began, sorted(self.lines)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        return self._line if frame.f_code.co_filename.startswith(str(SOURCE)) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


def run(
    folder: Path,
    tests: Collection[str],
    limit: float,
    times: Mapping[str, float] | None = None,
    loader: Loader | None = None,
) -> int:
    """Run tests in a child; return pytest's exit code, or -1 if it took longer than `limit` seconds."""
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        with (folder / "log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if loader is not None:
            sys.meta_path.insert(0, loader)
        choice = Choice(times)
        code = int(pytest.main([*PYTEST, *tests], plugins=[choice]))
        (folder / "noted").write_text(json.dumps(choice.noted))
        os._exit(code)
    end = time.monotonic() + limit
    while not (status := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(status[1])


class Lines:
    """Which tests run which lines, and how long they take."""

    def __init__(self, folder: Path, tests: str) -> None:
        if run(folder, [tests], 1800):
            sys.exit("mutants: the tests fail as they are\n" + (folder / "log").read_text())
        self.times: dict[str, float] = {}
        self.tests: dict[tuple[str, int], set[str]] = {}
        for test, (seconds, lines) in json.loads((folder / "noted").read_text()).items():
            self.times[test] = seconds
            for path, line in lines:
                self.tests.setdefault((path, line), set()).add(test)

    def choose(self, path: Path, lines: range) -> dict[str, float]:
        """Return the tests of some lines; all, if there are none."""
        chosen = set[str]().union(*(self.tests.get((str(path), line), ()) for line in lines))
        return {test: self.times[test] for test in chosen} if lines else self.times


def tests_of(path: Path) -> str:
    """Return the pure tests of a module: tests/pure has the folders of the package."""
    place = ROOT / "tests" / "pure" / path.relative_to(SOURCE).with_suffix("").parts[0].strip("_")
    return str(place if place.is_dir() else place.with_name(f"test_{place.name}.py"))


def try_module(folder: Path, module: str, path: Path, lines: Lines, sample: int | None, seed: str) -> None:
    """Run the mutants of one module, and print those that survive."""
    source = path.read_bytes()
    mutants = found = Finder(source).found
    if sample is not None and sample < len(found):
        mutants = random.Random(seed).sample(found, sample)
    survived = unreached = late = 0
    for where, begin, end, text in mutants:
        times = lines.choose(path, where)
        loader = Loader(module, str(path))
        loader.source = source[:begin] + text + source[end:]
        files = {test.partition("::")[0] for test in times}
        code = run(folder, files, 30 + 5 * sum(times.values()), times, loader) if files else 0
        late += code == -1
        unreached += not files
        survived += not code
        if not code:
            old, new = (each.decode().splitlines() for each in (source, loader.source))
            name = str(path.relative_to(ROOT))
            print("\n".join(difflib.unified_diff(old, new, name, name, lineterm="", n=2)), flush=True)
    print(
        f"{module}: {len(mutants)} of {len(found)} mutants tried, {len(mutants) - survived} killed"
        f" ({late} by time), {survived} survived ({unreached} in lines that no test runs)",
        flush=True,
    )


def main() -> None:
    """Read the arguments, and run the mutants."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="such as sctpio._loop.waiting")
    parser.add_argument("--sample", type=int, metavar="N", help="try N of each module's mutants, by chance")
    parser.add_argument("--seed", default="sctpio", help="what the sample is drawn with")
    arguments = parser.parse_args()
    known: dict[str, Lines] = {}
    with tempfile.TemporaryDirectory() as folder:
        for module in arguments.modules:
            path = ROOT / "src" / (module.replace(".", "/") + ".py")
            if (tests := tests_of(path)) not in known:
                known[tests] = Lines(Path(folder), tests)
            try_module(Path(folder), module, path, known[tests], arguments.sample, arguments.seed)


if __name__ == "__main__":
    main()
