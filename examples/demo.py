"""`make demo`: run echo_server.py and echo_client.py as two processes, on the kernel's SCTP or on usrsctp."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

from sctpio import available_stacks

EXAMPLES = Path(__file__).resolve().parent
GUEST = EXAMPLES.parent / "tests" / "guest" / "run"
INSIDE = "SCTPIO_GUEST"  # set by the guest
SECONDS = 120


def kernel_lacks() -> str:
    """Return the reason why this host's own kernel cannot do it, "" if it can."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as error:
        return f"this host's kernel has no SCTP ({error.strerror})"
    return ""


def server_udp_port() -> str:
    """Return the UDP port for usrsctp's server: the default one, unless another program has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 9899))
        except OSError:
            probe.bind(("", 0))
        return str(probe.getsockname()[1])


async def start(name: str, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        str(EXAMPLES / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **variables},
    )


async def copy(name: str, process: asyncio.subprocess.Process) -> str:
    """Print the output line by line with a name before each, and return all of it."""
    assert process.stdout is not None
    text = ""
    async for line in process.stdout:
        text += line.decode()
        print(f"{name} | {line.decode()}", end="", flush=True)
    return text


async def demo() -> int:
    udp_port = server_udp_port()
    server = await start("echo_server.py", "127.0.0.1:0", "--once", SCTPIO_UDP_PORT=udp_port)
    client = None
    try:
        async with asyncio.timeout(SECONDS):
            assert server.stdout is not None
            first = (await server.stdout.readline()).decode()
            print(f"server | {first}", end="", flush=True)
            client = await start("echo_client.py", first.split()[-1], SCTPIO_REMOTE_UDP_PORT=udp_port)
            hearing = asyncio.create_task(copy("server", server))
            said = await copy("client", client)
            if await client.wait():
                print(f"demo: FAILED, the client's status is {client.returncode}")
                return 1
            heard = await hearing
            await server.wait()
    except TimeoutError:
        print(f"demo: FAILED, not done after {SECONDS} s")
        return 1
    finally:
        for process in (client, server):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
    if await server.wait():
        print(f"demo: FAILED, the server's status is {server.returncode}")
        return 1
    if "shut down gracefully" not in said or "has shut down" not in heard:
        print("demo: FAILED, one side did not see the graceful shutdown")
        return 1
    print("demo: done, every echo was right and both sides saw the graceful shutdown")
    return 0


def main(wanted: str) -> int:
    if wanted not in ("", "kernel", "usrsctp"):
        print(f"demo: STACK is {wanted!r}; it takes kernel or usrsctp")
        return 2
    lacks = kernel_lacks()
    if INSIDE in os.environ:
        stack = "kernel"
        print(f"inside: Linux {os.uname().release}", flush=True)
    elif wanted != "usrsctp" and not lacks:
        stack = "kernel"
        print(f"stack: this host's kernel (Linux {os.uname().release}), because it has SCTP", flush=True)
    elif wanted != "kernel" and (wanted or "usrsctp" in available_stacks()):
        stack = "usrsctp"
        why = (
            "because you asked for it" if wanted else f"because {lacks}; STACK=kernel starts a guest with one"
        )
        print(f"stack: usrsctp, in user space over UDP, {why}", flush=True)
    else:
        print(f"stack: the kernel of a User-Mode Linux guest, because {lacks}", flush=True)
        command = [str(GUEST), "--timeout", "300", sys.executable, str(EXAMPLES / "demo.py")]
        return subprocess.run(command, check=False).returncode
    os.environ["SCTPIO_STACK"] = stack
    return asyncio.run(demo())


if __name__ == "__main__":
    sys.exit(main("".join(sys.argv[1:])))
