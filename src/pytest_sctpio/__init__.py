"""The pytest plugin of sctpio: fixtures, the option --sctpio-seed, and the seeds in a failed test's report.

pytest imports a plugin in every run, so this one is a package of its own and does not import sctpio before a
fixture is used. The fixtures are asynchronous: which plugin runs them, pytest-asyncio or anyio's, is known
only when pytest has been configured, and so they are made then (`pytest_configure`).
"""

import sys
from collections.abc import AsyncIterator, Callable, Generator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sctpio import Listener
    from sctpio.testing import Pair, Relay, RelayedPair

SEED = "SCTPIO_TEST_SEED"

NEEDED = (
    "the fixtures of sctpio are asynchronous: they need pytest-asyncio (`pip install pytest-asyncio`), or"
    " anyio's plugin; without, use `async with sctpio.testing.connected()` in the test"
)

MIXED = (
    "the fixtures of sctpio run on pytest-asyncio's loop, and this test on anyio's: run pytest with"
    " `-p no:asyncio`, or use `async with sctpio.testing.connected()` in the test"
)


async def sctp_listener(_sctpio_loop: None) -> "AsyncIterator[Listener]":
    """A listener on an ephemeral port of 127.0.0.1; connect with `listener.local_addresses`."""
    from sctpio import listen

    async with listen("127.0.0.1:0") as listener:
        yield listener


async def sctp_pair(_sctpio_loop: None) -> "AsyncIterator[Pair]":
    """Both ends of an association: `client, server = sctp_pair`."""
    from sctpio.testing import connected

    async with connected() as pair:
        yield pair


async def sctp_relay(_sctpio_loop: None) -> "AsyncIterator[Relay]":
    """A relay to this process: listen with its `stack`, and connect with `sctp_relay.connect(address)`."""
    from sctpio.testing import Relay

    async with Relay() as relay:
        yield relay


async def sctp_relayed_pair(sctp_relay: "Relay") -> "AsyncIterator[RelayedPair]":
    """Both ends, with quick timers, and a relay between them: `client, server, relay = sctp_relayed_pair`."""
    from sctpio.testing import QUICK, RelayedPair, connected

    async with connected(relay=sctp_relay, options=QUICK) as (client, server):
        yield RelayedPair(client, server, sctp_relay)


def _sctpio_loop(request: pytest.FixtureRequest) -> None:
    """Fail a test that does not run on the loop of the fixtures."""
    if request.config.pluginmanager.has_plugin("asyncio") and request.node.get_closest_marker("anyio"):
        pytest.fail(MIXED, pytrace=False)


FIXTURES: tuple[Callable[..., Any], ...] = (sctp_listener, sctp_pair, sctp_relay, sctp_relayed_pair)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --sctpio-seed."""
    parser.getgroup("sctpio").addoption(
        "--sctpio-seed",
        type=_number,
        metavar="N",
        help=f"repeat what sctpio's relays drew in a run that failed (also ${SEED})",
    )


def _number(text: str) -> int:
    # argparse makes an error of it that quotes the text.
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Hand the seed to sctpio.testing, and make the fixtures for the plugin that runs them."""
    seed = config.getoption("sctpio_seed")
    if seed is not None:
        patch = pytest.MonkeyPatch()
        patch.setenv(SEED, str(seed))
        config.add_cleanup(patch.undo)
    plugins = config.pluginmanager
    fixture: Callable[..., Any]
    if plugins.has_plugin("asyncio"):
        import pytest_asyncio

        fixture = pytest_asyncio.fixture
    elif plugins.has_plugin("anyio"):
        fixture = pytest.fixture
    else:
        fixture = _not_runnable
    module = ModuleType("pytest_sctpio.fixtures")
    module.__dict__["_sctpio_loop"] = pytest.fixture(_sctpio_loop)
    for function in FIXTURES:
        setattr(module, function.__name__, fixture(function))
    plugins.register(module, module.__name__)


def _not_runnable(function: Callable[..., Any]) -> object:
    def fail() -> None:
        pytest.fail(NEEDED, pytrace=False)

    fail.__doc__ = function.__doc__
    return pytest.fixture(name=function.__name__)(fail)


def pytest_runtest_logstart() -> None:
    """Forget the relays of the test before."""
    seeds = sys.modules.get("sctpio.testing._seeds")
    if seeds is not None:
        seeds.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what its relays did, and how to repeat that."""
    report = yield
    seeds = sys.modules.get("sctpio.testing._seeds")
    if report.failed and seeds is not None and (relays := seeds.recent):
        given = sorted({relay.seed for relay in relays})
        again = " or ".join(f"--sctpio-seed={seed}" for seed in given)
        report.sections.append(("sctpio", f"{seeds.report()}\nthe same draws again: {again}"))
    return report
