"""Tests with programs that others wrote. The report of the run becomes docs/peers.md (page.py)."""

from collections.abc import Iterator

import pytest

from kernel.interop import BUFFERS, sysctls
from kernel.lab import Lab, two_links
from peers.programs import not_had
from support import STACK, no_leak, start_stack


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Leave out the programs that are not here, which the summary names; the report gets a table's rows."""
    absent = not_had()
    versions: dict[str, str] = {}
    kept, out = [], []
    for item in items:
        marker = item.get_closest_marker("peer")
        assert marker is not None, f"{item.nodeid} does not say by the marker `peer` whom it is about"
        program, listener, checked = marker.args
        if program.name in absent:
            out.append(item)
            continue
        if program.name not in versions:
            versions[program.name] = program.version()
        kept.append(item)
        item.user_properties += [
            ("program", program.name),
            ("version", versions[program.name]),
            ("listener", listener),
            ("checked", checked),
        ]
    config.hook.pytest_deselected(items=out)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, why in not_had().items():
        terminalreporter.write_line(f"NOT TO BE HAD {name}: {why}")


@pytest.fixture(scope="session", autouse=True)
def _room() -> Iterator[None]:
    """Let messages of 200 000 bytes have room at both ends."""
    if STACK != "kernel":
        yield
        return
    with sysctls(core__wmem_max=BUFFERS, core__rmem_max=BUFFERS):
        yield


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Give another namespace, for programs that would take each other's ports."""
    with two_links() as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def _stack() -> None:
    start_stack()


@pytest.fixture(autouse=True)
def _no_leak(request: pytest.FixtureRequest, _stack: None) -> Iterator[None]:
    yield from no_leak(request)
