"""`sctpio trace`: a program's doings in lines and in JSON, its status, and its packets for tshark."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.program import CLIENT, command, run, started
from support import STACK

# Both ends in one process.
PROGRAM = """
import asyncio, sctpio, sys
async def main():
    async with sctpio.listen("127.0.0.1:0") as listener, sctpio.connect(("127.0.0.1", listener.port)) as conn:
        server = await listener.accept()
        await conn.send(b"hello there", stream=2, ppid=46)
        await server.receive()
        print("done", flush=True)
asyncio.run(main())
sys.exit(7)
"""
TRACED = (sys.executable, "-c", PROGRAM)


def test_a_program_is_traced_on_standard_error_and_keeps_its_own_output_and_status() -> None:
    done = run("trace", "--bytes", "5", *TRACED)
    assert (done.returncode, done.stdout) == (7, b"done\n")
    lines = done.stderr.decode().splitlines()
    assert sum(line.endswith(" state up") for line in lines) == 2
    assert sum("sent 11 bytes, stream 2, ppid 46  68656c6c 6f ..." in line for line in lines) == 1
    assert sum("received 11 bytes, stream 2, ppid 46  68656c6c 6f ..." in line for line in lines) == 1
    assert any("event AssociationChange: association " in line for line in lines)


@pytest.mark.any_stack
def test_json_into_a_file(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    done = run("trace", "--json", "--to", str(file), *TRACED)
    assert (done.returncode, done.stderr) == (7, b"")
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert {one["what"] for one in found} >= {"sent", "received", "event", "state"}
    assert {one["stack"] for one in found} == {STACK}
    [sent] = [one for one in found if one["what"] == "sent"]
    assert bytes.fromhex(sent["hex"]) == b"hello there"


def test_the_packets_are_read_by_tshark(tmp_path: Path) -> None:
    assert shutil.which("tshark"), "apt install tshark"
    file = tmp_path / "trace.pcap"
    done = run("trace", "--to", "/dev/null", "--pcap", str(file), *TRACED)
    assert (done.returncode, done.stderr) == (7, b"")
    shown = subprocess.run(
        ["tshark", "-r", str(file), "-T", "fields", "-e", "ip.src", "-e", "sctp.chunk_type"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    chunks = [line.partition("\t")[2] for line in shown if line.startswith("127.0.0.1\t")]
    # INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, and the message; each packet once.
    assert [types.split(",")[0] for types in chunks[:4]] == ["1", "2", "10", "11"]
    assert sum("0" in types.split(",") for types in chunks) == 1


@pytest.mark.any_stack
def test_a_program_that_is_not_there_is_quoted() -> None:
    done = run("trace", "/no/such/program")
    assert done.returncode == 2
    assert done.stderr == b"sctpio: '/no/such/program' cannot be run: No such file or directory\n"


@pytest.mark.any_stack
def test_no_program_is_usage() -> None:
    done = run("trace")
    assert (done.returncode, done.stderr) == (2, b"sctpio: name the program to trace, or give --kernel\n")


@pytest.mark.any_stack
async def test_ctrl_c_is_the_programs() -> None:
    program = "import sctpio, signal\nprint('ready', flush=True)\nsignal.pause()"
    async with started("trace", sys.executable, "-c", program, start_new_session=True) as trace:
        await trace.says("ready")
        # As a terminal does: to both.
        os.killpg(trace.process.pid, signal.SIGINT)
        assert await trace.end() in (1, 130)


@pytest.mark.any_stack
@pytest.mark.parametrize("option", ["--pcap", "--to"])
def test_a_file_that_cannot_be_written_is_named(option: str, tmp_path: Path) -> None:
    file = str(tmp_path / "nowhere" / "x")
    done = run("trace", option, file, *TRACED)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"sctpio: {option} {file}: No such file or directory\n"


@pytest.mark.parametrize("option", ["--pcap", "--to"])
def test_the_kernels_trace_points_take_no_file(option: str, tmp_path: Path) -> None:
    done = run("trace", "--kernel", option, str(tmp_path / "x"))
    assert done.returncode == 2
    assert b"--to and --pcap are of a program" in done.stderr


@pytest.mark.kernel_only("usrsctp's packets are its process's own, and need no capability")
def test_without_cap_net_raw_it_says_which_capability_and_how(tmp_path: Path) -> None:
    without = ["setpriv", "--bounding-set=-net_raw"]
    done = subprocess.run(
        [*without, *command("trace", "--pcap", str(tmp_path / "x.pcap"), *TRACED)],
        env=CLIENT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert (
        b"a capture needs CAP_NET_RAW: run this as root, or once `sudo setcap cap_net_raw+ep" in done.stderr
    )
