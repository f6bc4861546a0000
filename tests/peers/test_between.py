"""Programs that measure networks: sctpio is between their client and their server, at an end of each."""

import asyncio
import json
import re

import pytest

from kernel.lab import Lab
from peers.between import between
from peers.programs import IPERF3, NETPERFMETER, QPERF
from peers.running import PATIENT, started
from sctpio import Mode

# Of netperfmeter.
CONTROL, DATA = 36, 37
BOTH = "the program at one end, sctpio at the other one, and the same again"
every_mode = pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)


def there(lab: Lab, *command: str) -> list[str]:
    """Run a program in the other namespace."""
    return ["ip", "netns", "exec", lab.namespace, *command]


@pytest.mark.peer(
    IPERF3, BOTH, "messages of 1000 bytes from the client and to it (-R); bytes by its own count"
)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@every_mode
async def test_iperf3_counts_the_bytes_that_it_sent(lab: Lab, mode: Mode, reverse: bool) -> None:
    port = 5201
    with started(there(lab, "iperf3", "-s", "-1", "--json")) as server:
        async with asyncio.timeout(PATIENT):
            await server.listens(port, lab, tcp=True)
            async with between(lab.links[0].remote, [port], [port], mode) as passed:
                # Not --nstreams: with it iperf3 3.12 sends one message, to its own server too.
                command = ["iperf3", "--sctp", "-c", "127.0.0.1", "-t", "1", "-l", "1000", "-N", "--json"]
                with started([*command, *(["-R"] if reverse else [])]) as client:
                    assert await client.ends() == 0, client.said()
                    told = json.loads(client.said())["end"]
        (data,) = [each for each in passed if each.from_client.messages]
        way = data.from_server if reverse else data.from_client
        # Who connected sends a cookie first. The time being over, neither end waits for what is on its way.
        (cookie,) = [size for size in data.from_client.sizes if size != 1000]
        count = way.sizes[1000] * 1000
        assert cookie == 37
        assert 100_000 < told["sum_received"]["bytes"] <= count <= told["sum_sent"]["bytes"]
        assert way.messages * 1000 - count == (0 if reverse else 1000)


@pytest.mark.peer(QPERF, BOTH, "bandwidth and round trips of messages of 1400 bytes, as it measures them")
@every_mode
async def test_qperf_measures(lab: Lab, mode: Mode) -> None:
    control, port = 19_765, 6001
    with started(there(lab, "qperf")) as server:
        async with asyncio.timeout(PATIENT):
            await server.listens(control, lab, tcp=True)
            async with between(lab.links[0].remote, [port], [control], mode) as passed:
                measure = [
                    "qperf",
                    "127.0.0.1",
                    "-ip",
                    str(port),
                    "-t",
                    "1",
                    "-m",
                    "1400",
                    "sctp_bw",
                    "sctp_lat",
                ]
                with started(measure) as client:
                    assert await client.ends() == 0, client.said()
                    assert "sctp_bw" in client.said()
                    assert "latency" in client.said()
        bandwidth, latency = passed
        assert set(bandwidth.from_client.sizes) == {1400}
        assert bandwidth.from_server.messages == 0
        assert set(latency.from_client.sizes) == set(latency.from_server.sizes) == {1400}


@pytest.mark.peer(
    NETPERFMETER, BOTH, "its control association, and data both ways at once: stream, size, PPID"
)
@every_mode
async def test_netperfmeter_measures(lab: Lab, mode: Mode) -> None:
    port = 9010
    with started(there(lab, "netperfmeter", str(port), "-quiet")) as server:
        async with asyncio.timeout(PATIENT):
            await server.listens(port, lab)
            await server.listens(port + 1, lab)
            async with between(lab.links[0].remote, [port, port + 1], mode=mode) as passed:
                flow = "const100:const1000:const100:const1000"
                with started(["netperfmeter", f"127.0.0.1:{port}", "-runtime=2", "-sctp", flow]) as client:
                    assert await client.ends() == 0, client.said()
                    said = client.said()
        control, data = passed
        assert (control.port, data.port) == (port + 1, port)
        assert set(control.from_client.ppids) == set(control.from_server.ppids) == {CONTROL}
        # The first message says whose the association is.
        assert data.from_client.ppids[CONTROL] == 1
        sent, received = map(int, re.findall(r"Packets: +(\d+) packets", said)[:2])
        # What was on its way at the end is not counted.
        assert 50 < sent <= data.from_client.ppids[DATA] == data.from_client.sizes[1000]
        assert 50 < received <= data.from_server.ppids[DATA] == data.from_server.sizes[1000]
