"""Statuses and signals that all commands have in common."""

import subprocess
import sys

import pytest

from cli.program import Shared, command
from support import PATIENCE

# A kernel without SCTP, whatever kernel this is.
WITHOUT = """
import sys
from sctpio import UnavailableError
from sctpio.cli import main
from sctpio.stacks.kernel import socket
socket.unavailable = lambda: UnavailableError("this kernel has no SCTP: as root `modprobe sctp`")
sys.exit(main())
"""


@pytest.mark.any_stack
@pytest.mark.parametrize("name", ["check", "connect", "listen", "perf", "ping"])
def test_without_sctp_each_command_says_so_and_has_a_status_for_it(name: str) -> None:
    address = {"check": [], "perf": ["--client", "127.0.0.1:5000"]}.get(name, ["127.0.0.1:5000"])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, name, *address, "--stack", "kernel"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=50 * PATIENCE,
        check=False,
    )
    assert done.returncode == 3
    assert b"modprobe sctp" in done.stderr + done.stdout
    assert b"Traceback" not in done.stderr


@pytest.mark.any_stack
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(closed: str, echo_server: Shared) -> None:
    """No other descriptor takes their place and is written to."""
    words = command("connect", echo_server.address, "--message", "hello", "--replies", "1", "-v")
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        env=echo_server.environment,
        capture_output=True,
        timeout=50 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert bool(done.stdout) == (closed in ("<&-", "2>&-"))
