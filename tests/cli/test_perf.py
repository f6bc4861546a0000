"""`perf`, both ends of it."""

import asyncio
import json
import math
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.program import SERVER, Program, Shared, run, started
from sctpio.cli.exits import CommandError
from sctpio.cli.perf_flow import CONTROL, Counts
from support import STACK

# The loop of these processes is not that of the commands.
pytestmark = pytest.mark.one_loop


@asynccontextmanager
async def own_server(*words: str) -> AsyncIterator[tuple[Program, str]]:
    async with started("perf", "--server", "127.0.0.1:0", "--json", *words, environment=SERVER) as there:
        await there.says('"listening"')
        yield there, there.records[0]["address"]


async def run_alone(*words: str) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(run, *words)


async def client(
    run: Callable[..., Awaitable[subprocess.CompletedProcess[bytes]]], address: str, *words: str
) -> Any:
    done = await run("perf", "-c", address, "--json", *words)
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", [[], ["--reverse"], ["--one-to-many", "--unordered"]])
async def test_all_that_is_sent_is_received_and_counted(words: list[str], perf_server: Shared) -> None:
    found = await client(
        perf_server.run, perf_server.address, "-k", "300", "-l", "1000", "--nstreams", "3", *words
    )
    end = found["end"]
    for side in ("sum_sent", "sum_received"):
        assert (end[side]["bytes"], end[side]["messages"]) == (300_000, 300)
    assert end["sctp_streams"] == [{"stream": stream, "bytes": 100_000} for stream in range(3)]
    assert found["start"]["test_start"]["protocol"] == "SCTP"
    assert end["streams"][0]["paths"][0]["address"] == perf_server.address
    assert end["limited_by"]
    assert {"host_total", "remote_total"} <= end["cpu_utilization_percent"].keys()
    if STACK == "kernel" and "--reverse" not in words:
        assert end["retransmits"] >= 0
        assert end["t3_timeouts"] >= 0


async def test_intervals_are_shown_as_it_runs_and_add_up(perf_server: Shared) -> None:
    found = await client(perf_server.run, perf_server.address, "-t", "0.6", "-i", "0.2", "-P", "2")
    assert len(found["intervals"]) >= 3
    assert len(found["intervals"][0]["streams"]) == 2
    total = sum(interval["sum"]["bytes"] for interval in found["intervals"])
    assert 0.8 * found["end"]["sum_sent"]["bytes"] <= total <= found["end"]["sum_sent"]["bytes"]


async def test_round_trips_have_percentiles(perf_server: Shared) -> None:
    end = (await client(perf_server.run, perf_server.address, "--round-trips", "-k", "50", "-l", "100"))[
        "end"
    ]
    figures = end["latency"]
    assert 0 < figures["min"] <= figures["p50"] <= figures["p99"] <= figures["max"]
    assert end["sum_received"]["messages"] == 50


@pytest.mark.any_stack
async def test_people_get_lines(perf_server: Shared) -> None:
    done = await perf_server.run("perf", "-c", perf_server.address, "-t", "0.3", "-i", "0.1")
    text = done.stdout.decode()
    assert "messages/s" in text.splitlines()[1]
    assert "\nlimited by " in text
    assert f"path {perf_server.address}: ACTIVE" in text


async def test_a_server_of_another_kind_is_told_apart(echo_server: Shared) -> None:
    done = await echo_server.run("perf", "-c", echo_server.address, "-t", "1")
    assert done.returncode == 1
    assert b"the peer is no server of `sctpio perf`" in done.stderr


@pytest.mark.any_stack
async def test_a_client_of_another_kind_is_told_so_and_the_server_lives() -> None:
    async with own_server() as (there, address):
        done = await asyncio.to_thread(run, "connect", address, "--message", "\x1b[31mhi", "--replies", "1")
        assert b"this is a server of `sctpio perf`" in done.stdout
        await there.says("no client of `sctpio perf`")
        assert "\x1b" not in there.notes
        assert (await client(run_alone, address, "-k", "1"))["end"]["sum_received"]["messages"] == 1


@pytest.mark.any_stack
async def test_hostile_plans_are_refused(tmp_path: Path) -> None:
    plan = dict.fromkeys(("seconds", "messages", "streams", "reverse", "round_trips", "unordered"), 1)
    (tmp_path / "endless").write_text(json.dumps({"length": math.inf, **plan}))
    (tmp_path / "deep").write_text("[" * 50_000)
    async with own_server() as (there, address):
        for name, why in (("endless", "no plan of a test"), ("deep", "talked to by its clients alone")):
            words = ("--file", str(tmp_path / name), "--ppid", str(CONTROL), "--replies", "1")
            done = await asyncio.to_thread(run, "connect", address, *words)
            assert why in done.stdout.decode()
        await there.says("no client of `sctpio perf`", 2)
        assert "Traceback" not in there.notes


@pytest.mark.parametrize("seconds", [math.inf, math.nan, "long", None])
@pytest.mark.any_stack
def test_a_report_that_cannot_be_is_the_peers_fault(seconds: object) -> None:
    with pytest.raises(CommandError, match="its report cannot be read"):
        Counts.read({"bytes": 1, "messages": 1, "streams": {}, "seconds": seconds})


@pytest.mark.parametrize("words", [["-l", "1G"], ["-t", "86401"]])
@pytest.mark.any_stack
def test_more_than_a_server_takes_is_usage(words: list[str]) -> None:
    done = run("perf", "-c", "127.0.0.1:1", *words)
    assert done.returncode == 2
    assert b"accepted: --length up to 16777216 bytes, --time up to 86400 s" in done.stderr


async def test_a_one_to_many_server_serves_once() -> None:
    async with own_server("--one-off", "--one-to-many") as (there, address):
        await client(run_alone, address, "-n", "10k")
        assert await there.end() == 0
        assert there.records[-1]["bytes"] == 16384


@pytest.mark.any_stack
async def test_ctrl_c_ends_both() -> None:
    async with own_server() as (there, address):
        async with started("perf", "-c", address, "-i", "0.1") as here:
            await here.says("messages/s")
            here.interrupt()
            assert await here.end() == 130
            assert here.notes == ""
            assert here.text.splitlines()[-1].startswith("interrupted; sent ")
        there.interrupt()
        assert await there.end() == 0
        assert "Traceback" not in there.notes


async def test_a_server_that_goes_away_is_an_association_lost() -> None:
    async with own_server() as (there, address):
        async with started("perf", "-c", address, "-i", "0.1") as here:
            await here.says("messages/s")
            there.interrupt()
            assert await there.end() == 0
            assert await here.end() == 5
            assert "Traceback" not in here.notes


@pytest.mark.any_stack
async def test_one_socket_has_one_association_with_a_peer() -> None:
    done = await asyncio.to_thread(run, "perf", "-c", "127.0.0.1:1", "--one-to-many", "-P", "2")
    assert done.returncode == 2
    assert b"a socket has one association with each peer" in done.stderr
