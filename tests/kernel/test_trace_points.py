"""`sctpio trace --kernel` on the kernel that is tested: what it follows, or that it says what is missing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.program import run, started
from kernel.peers import peers

TRACEFS = Path("/sys/kernel/tracing")


@pytest.fixture
def tracefs() -> Iterator[bool]:
    """Mount tracefs, if this kernel has it; User-Mode Linux has none."""
    mount = ["mount", "-t", "tracefs", "tracefs", str(TRACEFS)]
    done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield done
    if done:
        subprocess.run(["umount", str(TRACEFS)], check=True)


async def test_the_paths_of_another_program(tracefs: bool) -> None:
    if not tracefs:
        done = run("trace", "--kernel")
        assert done.returncode == 2
        assert b"tracefs is not mounted, or this kernel has none; as root: mount -t tracefs" in done.stderr
        return
    async with started("trace", "--kernel", "--json") as trace:
        await trace.says("following")
        with peers(1) as (port, _):
            await trace.says(f'"peer_port": {port}')
        point = next(one for one in trace.records if one["peer_port"] == port)
        assert (point["path"], point["primary"], point["state"]) == ("127.0.0.1", True, "ACTIVE")
        assert point["cwnd"] > 0
        trace.interrupt()
        assert await trace.end() == 130
    assert list((TRACEFS / "instances").iterdir()) == []
