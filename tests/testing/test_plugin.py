"""The plugin, as pytest runs it for a user's test-suite."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.any_stack

ARGUMENTS = ("-p", "no:cacheprovider", "-W", "error")
FUNCTION_LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")

TESTS = """
    import pytest
    from sctpio import connect
    from sctpio.testing import Faults

    MARK

    async def test_pair(sctp_pair):
        client, server = sctp_pair
        await client.send(b"hello", stream=1)
        assert (await server.receive()).data == b"hello"

    async def test_listener(sctp_listener):
        async with connect(sctp_listener.local_addresses) as client, await sctp_listener.accept() as server:
            await server.send(b"hello")
            assert (await client.receive()).data == b"hello"

    async def test_relayed(sctp_relayed_pair, sctp_relay):
        client, server, relay = sctp_relayed_pair
        assert relay is sctp_relay
        relay.faults = Faults(loss=0.2, duplicate=0.2, reorder=0.2)
        for number in range(20):
            await client.send(b"%d" % number)
        assert [(await server.receive()).data for _ in range(20)] == [b"%d" % n for n in range(20)]
"""

FAILING = """
    from sctpio.testing import Faults, Relay, connected

    async def test_it(sctp_relayed_pair):
        client, server, relay = sctp_relayed_pair
        relay.to_server.faults = Faults(loss=0.5)
        await client.send(b"hello")
        await server.receive()
        assert 0, f"drew {relay.seed}"

    async def test_of_its_own():
        async with Relay(seed=4):
            assert 0

    def test_without():
        assert 0
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Give a directory without settings of this project."""
    for name in ("SCTPIO_TEST_SEED", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the tests in a process of their own."""
    loops = () if "no:asyncio" in arguments else FUNCTION_LOOPS
    return suite.runpytest_subprocess(*ARGUMENTS, *loops, *arguments)


def test_fixtures_in_strict_mode(suite: pytest.Pytester) -> None:
    suite.makepyfile(TESTS.replace("MARK", "pytestmark = pytest.mark.asyncio"))
    run(suite, "-o", "asyncio_mode=strict").assert_outcomes(passed=3)


def test_fixtures_in_auto_mode(suite: pytest.Pytester) -> None:
    suite.makepyfile(TESTS.replace("MARK", ""))
    run(suite, "-o", "asyncio_mode=auto").assert_outcomes(passed=3)


def test_fixtures_on_uvloop_and_with_one_loop_for_all(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import uvloop

        def pytest_asyncio_loop_factories(config, item):
            return {"uvloop": uvloop.new_event_loop}
        """
    )
    suite.makepyfile(TESTS.replace("MARK", ""))
    session = [f"asyncio_default_{what}_loop_scope=session" for what in ("test", "fixture")]
    result = run(suite, "-o", "asyncio_mode=auto", *(word for each in session for word in ("-o", each)))
    result.assert_outcomes(passed=3)


def test_the_report_of_a_failed_test_tells_the_seed(suite: pytest.Pytester) -> None:
    suite.makepyfile(FAILING)
    result = run(suite, "-o", "asyncio_mode=auto")
    result.assert_outcomes(failed=3)
    text = result.stdout.str()
    first, second, third = re.split(r"_+ test_\w+ _+\n", text.partition("short test summary")[0])[1:]
    found = re.search(
        r"- sctpio -+\nrelay with the seed (\d+): to the server: \d+ received, .*; to the client: .*\n"
        r"the same draws again: --sctpio-seed=(\d+)\n",
        first,
    )
    assert found
    assert found[1] == found[2]
    assert "relay with the seed 4: to the server: nothing; to the client: nothing\n" in second
    assert found[1] not in second
    assert "sctpio -" not in third


def test_a_seed_is_taken_from_the_command_line_and_from_the_environment(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makepyfile(FAILING)
    mine = ("-o", "asyncio_mode=auto", "-k", "test_it")
    monkeypatch.setenv("SCTPIO_TEST_SEED", "123")
    run(suite, *mine).stdout.fnmatch_lines(["*drew 123*", "the same draws again: --sctpio-seed=123"])
    result = run(suite, *mine, "--sctpio-seed=77")
    result.stdout.fnmatch_lines(["*drew 77*", "the same draws again: --sctpio-seed=77"])


@pytest.mark.parametrize("bad", ["-1", "x", "1.5", ""])
def test_a_bad_seed_is_an_error_that_quotes_it(suite: pytest.Pytester, bad: str) -> None:
    result = suite.runpytest_inprocess(f"--sctpio-seed={bad}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"{bad!r}" in result.stderr.str()


def test_a_stack_that_is_broken_breaks_no_other_test(suite: pytest.Pytester, tmp_path: Path) -> None:
    suite.makepyfile(
        sctpio="raise ImportError('no sctpio today')",
        test_mine="""
            import sys

            def test_of_something_else():
                assert "sctpio" not in sys.modules

            async def test_pair(sctp_pair):
                pass
        """,
    )
    suite.makeini("[pytest]\npythonpath = .\nasyncio_mode = auto\n")
    result = run(suite)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*no sctpio today*"])


def test_a_stack_that_is_not_there_is_an_error(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCTPIO_STACK", "bogus")
    suite.makepyfile(TESTS.replace("MARK", ""))
    result = run(suite, "-o", "asyncio_mode=auto")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*SCTPIO_STACK is 'bogus'; it takes 'kernel' or 'usrsctp'"])


def test_without_a_plugin_for_coroutines_a_fixture_says_what_it_needs(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import asyncio
        from sctpio.testing import connected

        def test_pair(sctp_pair):
            pass

        def test_context():
            async def body():
                async with connected() as (client, server):
                    await client.send(b"hello")
                    return (await server.receive()).data

            assert asyncio.run(body()) == b"hello"
        """
    )
    result = run(suite, "-p", "no:asyncio", "-p", "no:anyio")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["the fixtures of sctpio are asynchronous: they need pytest-asyncio*"])


def test_a_test_of_another_plugin_says_what_does_not_fit(suite: pytest.Pytester) -> None:
    suite.makeconftest("def pytest_configure(config): config.addinivalue_line('markers', 'anyio: x')")
    suite.makepyfile(TESTS.replace("MARK", "pytestmark = [pytest.mark.anyio, pytest.mark.asyncio]"))
    result = run(suite)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*run on pytest-asyncio's loop, and this test on anyio's*"])


def test_the_fixtures_are_listed_with_what_they_give(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess("--fixtures", *FUNCTION_LOOPS)
    text = result.stdout.str()
    for name in ("sctp_listener", "sctp_pair", "sctp_relay", "sctp_relayed_pair"):
        assert re.search(rf"^{name} .*\n    \S", text, re.MULTILINE), name
