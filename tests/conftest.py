"""Every asynchronous test runs on asyncio's own loop and on uvloop, many against both kinds of servers."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop
from hypothesis import settings

from sctpio import Mode, _pace
from support import STACK, Style

# How long an example takes says nothing on a machine that does other things, too.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

# What holds for a one-to-one server holds for a one-to-many one.
BOTH_MODES = {
    "test_backpressure",
    "test_cancellation",
    "test_conn",
    "test_ending",
    "test_event_stream",
    "test_network",
    "test_reconfiguration",
    "test_stream",
    "test_wire",
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the loops."""
    one = item.get_closest_marker("one_loop") is not None
    names = ["asyncio"] if one else os.environ.get("SCTPIO_TEST_LOOPS", "asyncio,uvloop").split(",")
    return {name: LOOPS[name] for name in names}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of those modules against both kinds of servers."""
    only = metafunc.definition.get_closest_marker("one_to_one")
    if metafunc.module.__name__.rpartition(".")[2] in BOTH_MODES and only is None:
        modes = list(Mode)
        metafunc.parametrize("_mode", modes, ids=[mode.value for mode in modes], indirect=True)


LEFT_OUT = pytest.StashKey[dict[str, str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the fourth combination of loop and server, which has nothing of its own, and what the kernel
    alone can do where another stack is tested."""
    out = [item for item in items if "[uvloop-one-to-many" in item.nodeid]
    reasons = config.stash.setdefault(LEFT_OUT, {})
    for item in items if STACK == "usrsctp" else ():
        marker = item.get_closest_marker("kernel_only")
        if marker is not None:
            reasons[item.nodeid.partition("[")[0]] = marker.args[0]
            out.append(item)
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Name what was left out for the stack that is tested, with the reasons."""
    for name, reason in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.write_line(f"KERNEL ONLY {name}: {reason}")


@pytest.fixture(autouse=True)
def _mode(request: pytest.FixtureRequest) -> Iterator[None]:
    Style.mode = getattr(request, "param", Mode.ONE_TO_ONE)
    yield
    Style.mode = Mode.ONE_TO_ONE


@pytest.fixture
def full_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have batches of the size that was asked for from the first one on, however long turns take."""
    monkeypatch.setattr(_pace, "FIRST_HALVINGS", 0)
    monkeypatch.setattr(_pace, "LONG_TURN", float("inf"))
