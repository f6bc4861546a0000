"""`make demo`: run echo_server.py and echo_client.py as two processes, on a kernel that has SCTP."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
GUEST = EXAMPLES.parent / "tests" / "guest" / "run"
INSIDE = "SCTPIO_GUEST"  # set by the guest
SECONDS = 120


def host_lacks() -> str | None:
    """Say why this host's own kernel cannot do it, or None."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


async def start(name: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        str(EXAMPLES / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def copy(name: str, process: asyncio.subprocess.Process) -> str:
    """Print the output line by line with its name before it, and give all of it."""
    assert process.stdout is not None
    text = ""
    async for line in process.stdout:
        text += line.decode()
        print(f"{name} | {line.decode()}", end="", flush=True)
    return text


async def demo() -> int:
    server = await start("echo_server.py", "127.0.0.1:0", "--once")
    client = None
    try:
        async with asyncio.timeout(SECONDS):
            assert server.stdout is not None
            first = (await server.stdout.readline()).decode()
            print(f"server | {first}", end="", flush=True)
            client = await start("echo_client.py", first.split()[-1])
            said, heard = await asyncio.gather(copy("client", client), copy("server", server))
            statuses = await client.wait(), await server.wait()
    except TimeoutError:
        print(f"demo: FAILED, not done after {SECONDS} s")
        return 1
    finally:
        for process in (client, server):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
    if any(statuses):
        print(f"demo: FAILED, the client's status is {statuses[0]}, the server's {statuses[1]}")
        return 1
    if "shut down gracefully" not in said or "has shut down" not in heard:
        print("demo: FAILED, one side did not see the graceful shutdown")
        return 1
    print("demo: done, every echo was right and both sides saw the graceful shutdown")
    return 0


def main() -> int:
    lacks = host_lacks()
    if INSIDE in os.environ:
        print(f"inside: Linux {os.uname().release}", flush=True)
    elif lacks is None:
        print(f"kernel: this host's own (Linux {os.uname().release}), because it has SCTP", flush=True)
    else:
        why = f"because this host's kernel has no SCTP ({lacks})"
        print(f"kernel: a User-Mode Linux guest, {why}", flush=True)
        command = [str(GUEST), "--timeout", "300", sys.executable, str(EXAMPLES / "demo.py")]
        return subprocess.run(command, check=False).returncode
    return asyncio.run(demo())


if __name__ == "__main__":
    sys.exit(main())
