"""`ping`, against a server of this command line."""

import asyncio
import json

import pytest

from cli.program import Shared, nobody_answers, run, started

# The loop of these processes is not that of the commands.
pytestmark = pytest.mark.one_loop


async def ping(server: Shared, *words: str, count: int = 3) -> tuple[int, list[dict[str, object]]]:
    done = await server.run("ping", *words, "--count", str(count), "--interval", "50ms", "--json")
    assert b"Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("way", [[], ["--heartbeat"]])
async def test_each_address_is_asked_and_answers(way: list[str], echo_server: Shared) -> None:
    port = echo_server.port
    status, records = await ping(echo_server, f"127.0.0.1/127.0.0.2:{port}", *way)
    assert status == 0
    for host in ("127.0.0.1", "127.0.0.2"):
        own = [record for record in records if record["address"] == f"{host}:{port}"]
        assert [record["sequence"] for record in own[:-1]] == [1, 2, 3]
        assert (own[-1]["type"], own[-1]["sent"], own[-1]["answered"]) == ("summary", 3, 3)
        figures = own[-1]["seconds"]
        assert isinstance(figures, dict)
        assert 0 <= figures["min"] <= figures["p50"] <= figures["p99"] <= figures["max"] < 50


async def test_an_address_that_refuses_is_lost(echo_server: Shared) -> None:
    """Of a stack that is there."""
    status, records = await ping(echo_server, "127.0.0.1:1", count=2)
    assert status == 4
    assert "refused" in str(records[0]["error"])
    assert (records[-1]["answered"], records[-1]["loss_percent"]) == (0, 100)


async def test_an_address_that_does_not_answer_is_lost() -> None:
    with nobody_answers() as (address, environment):
        done = await asyncio.to_thread(
            run, "ping", address, "--count", "1", "--wait", "0.2", environment=environment
        )
    assert done.returncode == 6
    assert b"100 % lost" in done.stdout


async def test_ctrl_c_sums_up(echo_server: Shared) -> None:
    port = echo_server.port
    async with started(
        "ping", f"127.0.0.1:{port}", "--interval", "10ms", environment=echo_server.environment
    ) as here:
        await here.says("seq 2: up in")
        here.interrupt()
        assert await here.end() == 0
        assert "answered, 0 % lost; min " in here.text
        assert here.notes == ""


@pytest.mark.any_stack
async def test_an_address_without_a_host_is_refused() -> None:
    done = await asyncio.to_thread(run, "ping", ":5000")
    assert done.returncode == 2
    assert b":5000 names no host; accepted: host:port" in done.stderr
