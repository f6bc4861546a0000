"""`listen` and `connect` with the netcats of others, which know SCTP of the kernel alone."""

import asyncio
import random
import shutil

import pytest

from cli.program import CLIENT, SERVER, running, started

pytestmark = [
    pytest.mark.kernel_only("socat and ncat use the kernel's SCTP"),
    pytest.mark.one_loop,
]

SERVERS = {
    "socat": "socat - SCTP-LISTEN:{port},bind=127.0.0.1",
    "ncat": "ncat --sctp --listen 127.0.0.1 {port}",
}
CLIENTS = {"socat": "socat - SCTP-CONNECT:127.0.0.1:{port}", "ncat": "ncat --sctp 127.0.0.1 {port}"}


@pytest.fixture(autouse=True, scope="module")
def _needed() -> None:
    missing = [name for name in SERVERS if shutil.which(name) is None]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)}; tests/guest/run --install does that")


@pytest.mark.parametrize("name", CLIENTS)
async def test_they_connect_to_listen(name: str) -> None:
    async with started("listen", "127.0.0.1:0", environment=SERVER) as there:
        port = (await there.listening()).rpartition(":")[2]
        async with running(CLIENTS[name].format(port=port).split(), CLIENT) as here:
            await here.give(b"hello\n")
            # They send lines with their ends; what is not printable is escaped.
            await there.says("stream 0, PPID 0: hello\\n")
            await there.give(b"hello to you\n")
            await here.says("hello to you")
            await here.give(b"", end=True)
            await there.give(b"", end=True)
            assert await there.end() == 0


@pytest.mark.parametrize("name", SERVERS)
async def test_connect_reaches_them(name: str) -> None:
    port = random.randrange(20_000, 30_000)
    async with running(SERVERS[name].format(port=port).split(), SERVER) as there:
        for _ in range(200):
            async with started("connect", f"127.0.0.1:{port}", "--replies", "1") as here:
                await here.give(b"hello\n")
                await there.give(b"hello to you\n")
                # Until it listens, it refuses.
                if await here.end() != 4:
                    break
            await asyncio.sleep(0.1)
        assert here.text == "stream 0, PPID 0: hello to you\\n\n"
        assert "hello" in there.text
