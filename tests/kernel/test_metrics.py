"""The metrics of the host: scraped over HTTP, and written once."""

import asyncio
import sys
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from cli.program import command, run, running, started
from kernel.peers import peers
from sctpio.metrics import HostCollector

# As a program whose installation lacks prometheus_client.
WITHOUT = """
import sys
sys.modules["prometheus_client"] = None
from sctpio.cli import main
sys.exit(main(sys.argv[1:]))
"""


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Read a scrape: values by name and labels, those in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_scrape_over_http() -> None:
    with peers(3) as (port, _):
        async with started("metrics", "--port", "0") as server:
            await server.says("/metrics\n")
            url = server.text.split()[-1]
            found = samples(await asyncio.to_thread(fetched, url))
            assert found["sctp_assoc_count", str(port), "established"] == 3
            assert found["sctp_assoc_chunks_received_total", str(port)] == 1
            assert found["sctp_remaddr_count", str(port), "active"] == 3
            assert found[("sctp_snmp_curr_estab",)] >= 6
            assert ("sctp_snmp_t3_retransmits_total",) in found
            server.interrupt()
            assert await server.end() == 130
            assert server.notes == ""


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def test_once() -> None:
    with peers(1) as (port, _):
        done = run("metrics", "--once")
        assert (done.returncode, done.stderr) == (0, b"")
        assert samples(done.stdout.decode())["sctp_assoc_count", str(port), "established"] == 1


def test_counters_of_what_has_ended_stay_and_series_are_bounded() -> None:
    registry = CollectorRegistry()
    registry.register(HostCollector())
    with peers(5) as (port, _):
        name, labels = "sctp_assoc_packets_received_total", {"listener": str(port)}
        before = registry.get_sample_value(name, labels)
        assert before is not None
        series = len(list(registry.collect()))
    assert registry.get_sample_value(name, labels) == before
    assert registry.get_sample_value("sctp_assoc_count", {**labels, "state": "established"}) is None
    assert len(list(registry.collect())) == series


def test_a_series_for_each_association_by_choice() -> None:
    with peers(2) as (port, _):
        found = samples(run("metrics", "--once", "--per-association").stdout.decode())
        detailed = [key for key in found if key[0] == "sctp_assoc_rto_seconds" and str(port) in key]
        assert len(detailed) == 2
        assert any(key[0] == "sctp_remaddr_rto_seconds" and "127.0.0.1" in key for key in found)


@pytest.mark.parametrize("words", [[], ["--once", "--port", "1"]])
def test_port_or_once(words: list[str]) -> None:
    done = run("metrics", *words)
    assert (done.returncode, done.stderr) == (2, b"sctpio: give either --port PORT or --once\n")


async def test_a_port_that_is_taken() -> None:
    async with started("metrics", "--port", "0") as server:
        await server.says("/metrics\n")
        port = server.text.rpartition(":")[2].partition("/")[0]
        done = run("metrics", "--port", port)
        assert done.returncode == 2
        assert f"cannot serve on 127.0.0.1:{port}: Address already in use".encode() in done.stderr


async def test_without_prometheus_client_it_says_so_in_a_line() -> None:
    async with running([sys.executable, "-c", WITHOUT, *command("metrics", "--once")[5:]]) as program:
        assert await program.end() == 2
        assert program.notes == "sctpio: metrics needs prometheus_client: pip install 'sctpio[metrics]'\n"
