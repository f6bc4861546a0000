"""`check` on this machine."""

import json
import socket

from cli.program import SERVER, run
from support import STACK


def test_the_stack_is_tried_and_found_good() -> None:
    done = run("check", "--json", "--stack", STACK, "--timeout", "20", environment=SERVER)
    found = json.loads(done.stdout)
    assert done.returncode in (0, 1)
    assert found["status"] == done.returncode
    (stack,) = found["stacks"]
    assert (stack["name"], stack["available"]) == (STACK, True)
    assert stack["seconds"] > 0
    assert stack["release"]
    amiss = [finding for finding in found["findings"] if finding["level"] in ("warning", "bad")]
    assert bool(amiss) == (done.returncode == 1)
    assert all(finding["mend"] for finding in amiss)
    assert found["capabilities"][STACK]["options"]
    if STACK == "kernel":
        assert found["module"]["state"] in ("loaded", "built in")
        assert found["sysctls"]["net.sctp.rto_initial"] == "3000"


def test_people_get_a_line_of_what_and_a_line_of_how_to_mend() -> None:
    done = run("check", "--timeout", "20", environment=SERVER)
    lines = done.stdout.decode().splitlines()
    assert any(
        line.startswith(f"  good    {STACK} ") and " up, used and shut down in " in line for line in lines
    )
    assert lines[-1] in ("nothing to mend", f"{sum('warning' in x or '  bad ' in x for x in lines)} to mend")
    assert b"\x1b" not in done.stdout


def test_a_udp_port_that_is_taken_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 0))
        port = other.getsockname()[1]
        done = run("check", "--json", environment={**SERVER, "SCTPIO_UDP_PORT": str(port)})
    found = [finding for finding in json.loads(done.stdout)["findings"] if finding["area"] == "udp"]
    assert f"UDP port {port} is in use" in found[0]["what"]
    assert "SCTPIO_UDP_PORT" in found[0]["mend"]
