"""The examples do what they say, as a user would run them."""

import asyncio
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

import sctpio
from cli.program import environments
from support import PATIENCE, STACK, free_udp_port

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


# Where another program has usrsctp's usual UDP port, servers here take this one.
UDP_PORT = free_udp_port()
SERVER = os.environ | ({"SCTPIO_UDP_PORT": UDP_PORT} if STACK == "usrsctp" else {})
OTHER = {"SCTPIO_UDP_PORT": "0", "SCTPIO_REMOTE_UDP_PORT": UDP_PORT}
CLIENT = os.environ | (OTHER if STACK == "usrsctp" else {})


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-u", "-W", "error", "-X", "dev", str(EXAMPLES / name), *arguments]


def run(name: str, *arguments: str, seconds: float = 50) -> str:
    done = subprocess.run(
        command(name, *arguments),
        env=CLIENT,
        capture_output=True,
        text=True,
        timeout=seconds * PATIENCE,
        check=False,
    )
    # Debug mode reports slow callbacks; nothing else may be said there.
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Executing ")]
    assert (done.returncode, complaints) == (0, []), done.stdout + done.stderr
    return done.stdout


def test_hello() -> None:
    assert sorted(run("hello.py").splitlines()) == [
        "client: hello, world",
        "server: the client has shut down",
    ]


def test_telemetry() -> None:
    assert run("telemetry.py").splitlines() == [
        "sctp association sctp 127.0.0.1 UNSET",
        "sctp association sctp 127.0.0.1 UNSET",
        "sctp.messages transmit 46 1",
        "sctp.messages receive 46 1",
        "sctp.io transmit 46 5",
        "sctp.io receive 46 5",
    ]


def test_streams() -> None:
    assert sorted(run("streams.py").splitlines()) == [
        "stream 1: 1 2 3",
        "stream 2: a b c",
        "the other streams: [(0, b'!')]",
        "there is no stream 4: the association has 4 streams from 0",
    ]


def test_events() -> None:
    lines = run("events.py").splitlines()
    assert lines[0] == "up: 10 streams out, 10 in"
    assert "all that was sent is acknowledged" in lines
    assert lines[-2:] == [
        "lost: USER_INITIATED_ABORT, cause b''",
        "receive: [Errno 104] the association was aborted (USER_INITIATED_ABORT)",
    ]


def test_multihomed() -> None:
    lines = run("multihomed.py").splitlines()
    assert lines[:2] == [
        "server: listening on 127.0.0.1 and 127.0.0.2",
        "server: the peer is at 127.0.0.3 and 127.0.0.4",
    ]
    assert [line.partition(": MTU")[0] for line in lines[2:4]] == [
        "client: path to 127.0.0.1",
        "client: path to 127.0.0.2",
    ]
    assert lines[4] == "server: by the second path"


@pytest.mark.kernel_only("usrsctp has no PeerAddressThresholds")
@pytest.mark.endurance
@pytest.mark.timeout(1800)  # default parameters take their seconds; `run` has its own limit
def test_failover() -> None:
    said = run("failover.py", seconds=150)
    assert len(re.findall(r"switched over in \d+ ms", said)) == 4
    assert len(re.findall(r"back on 10.77.1.2:5000", said)) == 4
    assert said.count("messages: none lost, none twice, none out of order") == 4
    assert said.count("POTENTIALLY_FAILED") >= 2


def test_one_to_many() -> None:
    lines = run("one_to_many.py").splitlines()
    assert lines[0] == "client: bulk to you, too"
    assert sorted(lines[1:]) == [
        *["client: hello to you, too"] * 2,
        *["client: news for all"] * 2,
        "server: the broadcast reached 2, and failed for 0",
    ]


def test_endpoint() -> None:
    assert run("endpoint.py").splitlines() == [
        "ONE from 127.0.0.1:PORT",
        "TWO from 127.0.0.1:PORT",
        "THREE from 127.0.0.1:PORT",
        "the client has 1 association, the server 1",
        "the server saw COMM_UP",
        "the server saw SHUTDOWN_COMP",
    ]


@pytest.mark.kernel_only("usrsctp takes priorities with the scheduler of that name alone")
def test_schedulers() -> None:
    assert run("schedulers.py").splitlines() == [
        "FCFS: [1, 1, 2, 2, 3, 3]",
        "PRIORITY: [3, 3, 1, 1, 2, 2]",
        "ROUND_ROBIN: [1, 2, 3, 1, 2, 3]",
    ]


@pytest.mark.kernel_only("usrsctp tells of space again and again while nobody reads")
def test_samples() -> None:
    assert run("samples.py").splitlines() == [
        "1 message arrived after the bulk: the newest",
        "5 were given up",
    ]


@pytest.mark.parametrize("codec", ["json_codec", *(["msgspec_codec"] if find_spec("msgspec") else [])])
def test_channels(codec: str) -> None:
    code = f"import asyncio, channels; asyncio.run(channels.main(channels.{codec}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environments()[0], cwd=EXAMPLES,
        capture_output=True, text=True, timeout=50 * PATIENCE, check=False,
    )  # fmt: skip
    assert (done.stderr, done.stdout.splitlines()) == (
        "",
        [
            "Alarm(station='north', reason='it burns')",
            "[Reading(station='north', degrees=21.5), Reading(station='north', degrees=98.0)]",
        ],
    )


@pytest.mark.kernel_only("a socket of usrsctp is its process's own")
def test_handover() -> None:
    one, two = run("handover.py").splitlines()
    assert re.fullmatch(r"worker \d+: hello", one)
    assert one == two


@pytest.mark.kernel_only("a socket of usrsctp is its process's own")
def test_workers() -> None:
    with subprocess.Popen(
        command("workers.py", "127.0.0.1:0", "--processes", "1"), stdout=subprocess.PIPE, text=True
    ) as workers:
        try:
            assert workers.stdout is not None
            line = workers.stdout.readline()
            assert (found := re.fullmatch(r"process (\d+) listens on (127.0.0.1:\d+)\n", line))
            assert ask(found[2]) == f"{found[1]}: hello"
        finally:
            workers.terminate()


@pytest.mark.kernel_only("a socket of usrsctp is its process's own")
def test_two_workers_share_the_associations() -> None:
    with subprocess.Popen(
        command("workers.py", "127.0.0.1:5001", "--processes", "2"), stdout=subprocess.PIPE, text=True
    ) as workers:
        try:
            assert workers.stdout is not None
            both = {workers.stdout.readline().split()[1] for _ in range(2)}
            seen: set[str] = set()
            end = time.monotonic() + 40 * PATIENCE
            while seen != both:
                assert time.monotonic() < end, f"only {seen} of {both} served"
                seen.add(ask("127.0.0.1:5001").partition(":")[0])
        finally:
            workers.terminate()


def ask(address: str) -> str:
    async def talk() -> str:
        async with sctpio.connect(address) as conn:
            await conn.send(b"hello")
            return (await conn.receive()).data.decode()

    return asyncio.run(talk())


@pytest.mark.parametrize("name", ["server.py", "client.py"])
def test_readme_has_the_example_literally(name: str) -> None:
    assert f"```python\n{(EXAMPLES / name).read_text()}```\n" in (ROOT / "README.md").read_text()


def test_server_of_the_readme_has_fifteen_lines() -> None:
    lines = (EXAMPLES / "server.py").read_text().splitlines()
    assert sum(bool(line) for line in lines) == 15


def test_server_and_client_of_the_readme(tmp_path: Path) -> None:
    output = tmp_path / "server"
    with output.open("w") as file, subprocess.Popen(command("server.py"), stdout=file, env=SERVER) as server:
        try:
            wait_for_text(output, "listening on 127.0.0.1:5000\n")
            assert run("client.py") == "stream 3, PPID 60: b'hello'\n"
            wait_for_text(output, "was shut down")
            _, up, shutdown, _ = output.read_text().splitlines()
            assert "is up" in up
            assert "the peer shuts association" in shutdown
        finally:
            server.terminate()
            server.wait(20 * PATIENCE)


def wait_for_text(output: Path, text: str) -> None:
    end = time.monotonic() + 20 * PATIENCE
    while text not in output.read_text():
        assert time.monotonic() < end, f"no {text!r} in: {output.read_text()}"
        time.sleep(0.05)


def test_echo() -> None:
    with subprocess.Popen(
        command("echo_server.py", "127.0.0.1:0", "--once"), stdout=subprocess.PIPE, text=True, env=SERVER
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            said = run("echo_client.py", address, "--messages", "60", "--streams", "2")
            heard = server.stdout.read()
            assert server.wait(20 * PATIENCE) == 0
        finally:
            server.kill()
    for sid, ppid in ((0, 60), (1, 46)):
        assert f"stream {sid}: PPID {ppid}, 30 messages, every other one unordered: all came back" in said
    assert "shut down gracefully after 60 messages of 1 to 262144 bytes" in said
    assert len(re.findall(r"p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms", said)) == 2
    assert "has shut down after 60 messages" in heard
    assert said.count(" was shut down") == heard.count(" was shut down") == 1
    assert said.count(" is up, with ") == heard.count(" is up, with ") == 1


@pytest.mark.any_stack
def test_the_tests_of_the_tutorial_pass() -> None:
    # The relay needs a kernel that takes SCTP over UDP, or usrsctp: so the stack is the fixtures' choice.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "-c", os.devnull,
         "-o", "asyncio_default_fixture_loop_scope=function", "--rootdir", EXAMPLES / "tutorial",
         EXAMPLES / "tutorial" / "test_gateway.py"],
        env={name: value for name, value in os.environ.items() if name != "SCTPIO_STACK"},
        capture_output=True, text=True, timeout=50 * PATIENCE, check=False,
    )  # fmt: skip
    assert "3 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.any_stack
def test_the_demo_prints_events_as_sentences() -> None:
    said = run("demo.py", STACK)
    assert said.endswith("demo: done, every echo was right and both sides saw the graceful shutdown\n")
    for end in ("client", "server"):
        assert re.search(
            rf"^{end} \| association \d+ is up, with 4 outbound and 4 inbound streams$", said, re.MULTILINE
        )
    assert re.search(r"^server \| the peer shuts association \d+ down$", said, re.MULTILINE)
