"""Which tests run, on which loop, and against which kind of server.

Left to `--everything` (`make test-all`) are uvloop for the tests that are not marked `both_loops`, those that
are marked `endurance`, and on the kernel those of `any_stack` and, of the `SLOW` ones, those of one-to-many
sockets. `--part 1/2` runs every other test, so that two guests can share them.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop
from hypothesis import settings

from sctpio import Mode
from sctpio._loop import pace as _pace
from support import STACK, Style

# How long an example takes says nothing on a machine that does other things, too.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

if sys.version_info >= (3, 12):

    def eager_loop() -> asyncio.AbstractEventLoop:
        """Make a loop whose tasks begin at once, not in its next turn."""
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    LOOPS["eager"] = eager_loop


def pytest_configure() -> None:
    """Have processes that tests start end by Ctrl-C, even where these tests are a shell's background job.

    Such a shell lets its jobs ignore SIGINT, and that is inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what tiers.py chooses by."""
    group = parser.getgroup("sctpio's own tests")
    group.addoption("--everything", action="store_true", help="run what is left to make test-all, too")
    group.addoption("--part", default="1/1", metavar="N/OF", help="run every OF-th test, from the N-th on")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the loops."""
    one = item.get_closest_marker("one_loop") is not None
    names = ["asyncio"] if one else os.environ.get("SCTPIO_TEST_LOOPS", "asyncio,uvloop").split(",")
    return {name: LOOPS[name] for name in names}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that are marked so against both kinds of servers."""
    only = metafunc.definition.get_closest_marker("one_to_one")
    if metafunc.definition.get_closest_marker("both_modes") is not None and only is None:
        modes = list(Mode)
        metafunc.parametrize("_mode", modes, ids=[mode.value for mode in modes], indirect=True)


KERNEL_ONLY = pytest.StashKey[dict[str, str]]()
LEFT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has nothing of its own, what this stack cannot do, what is left to `--everything`, and
    what is another part's."""
    # The fourth combination of loop and server.
    chosen = [item for item in items if "[uvloop-one-to-many" not in item.nodeid]
    reasons = config.stash.setdefault(KERNEL_ONLY, {})
    if STACK == "usrsctp":
        for item in chosen:
            if (marker := item.get_closest_marker("kernel_only")) is not None:
                reasons[item.nodeid.partition("[")[0]] = marker.args[0]
        chosen = [item for item in chosen if item.get_closest_marker("kernel_only") is None]
    part, parts = map(int, config.getoption("part").split("/"))
    everyday = chosen if config.getoption("everything") else [item for item in chosen if _is_everyday(item)]
    config.stash[LEFT] = len(chosen[part - 1 :: parts]) - len(everyday[part - 1 :: parts])
    # Neighbours take about the same time, so taking turns makes parts that do.
    kept = everyday[part - 1 :: parts]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_collection_finish() -> None:
    """Leave what lives as long as the session out of the collections that most tests make around themselves.

    Those would otherwise be most of the time that the tests take.
    """
    gc.collect()
    gc.freeze()


# They wait for the kernel's timers.
SLOW = ("tests/kernel/events/", "tests/kernel/test_network.py")


def _is_everyday(item: pytest.Item) -> bool:
    if item.get_closest_marker("endurance") is not None:
        return False
    if STACK == "kernel":
        if item.get_closest_marker("any_stack") is not None:
            return False
        if "one-to-many" in item.nodeid and item.nodeid.startswith(SLOW):
            return False
    return "[uvloop" not in item.nodeid or item.get_closest_marker("both_loops") is not None


@pytest.fixture(scope="session", autouse=True)
def _left(request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]) -> None:
    """Tell tiers.py how many tests are left to `--everything`."""
    record_testsuite_property("left", request.config.stash[LEFT])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Name what was left out for the stack that is tested, with the reasons."""
    for name, reason in config.stash.get(KERNEL_ONLY, {}).items():
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
