"""What comes late or seldom: numbers that wrap, smaller buffers, idle ends, ports and descriptors again."""

import subprocess
import sys

import pytest

from sctpio import AutoClose, EndOfAssociation, Mode, ReceiveBuffer, connect, listen
from support import KIB, LOCAL, Pair, Style, within

# So many messages of a stream, and its sequence number begins again.
NUMBERS = 1 << 16


@pytest.mark.one_loop
@pytest.mark.endurance
@pytest.mark.timeout(600)
async def test_sequence_numbers_of_a_stream_wrap(pair: Pair) -> None:
    batch, last = [b"x"] * 500, -1
    for _ in range(NUMBERS // len(batch) + 2):
        await pair.client.send_many(batch, stream=3)
        got = 0
        while got < len(batch):
            for message in await within(pair.server.receive_many()):
                assert message.ssn == (last + 1) % NUMBERS
                last = message.ssn
                got += 1
    assert 0 < last < NUMBERS // 2


@pytest.mark.both_modes
async def test_a_receive_buffer_that_is_made_smaller_loses_nothing(pair: Pair) -> None:
    sent = [bytes([number]) * KIB for number in range(200)]
    await pair.client.send_many(sent[:20])
    pair.server.set_option(ReceiveBuffer(8 * KIB))
    got = [await within(pair.server.receive()) for _ in range(20)]
    for data in sent[20:]:
        await pair.client.send(data)
        got.append(await within(pair.server.receive()))
    assert [message.data for message in got] == sent


@pytest.mark.one_loop
async def test_an_idle_association_is_closed_by_itself() -> None:
    options = [AutoClose(1)]
    async with (
        listen(LOCAL, mode=Mode.ONE_TO_MANY, options=options) as listener,
        connect(listener.local_addresses) as client,
    ):
        server = await listener.accept()
        await client.send(b"the last one")
        assert (await within(server.receive())).data == b"the last one"
        for end in (client, server):
            with pytest.raises(EndOfAssociation):
                await within(end.receive())


@pytest.mark.one_loop
@pytest.mark.both_modes
async def test_a_client_connects_again_and_again_from_one_port() -> None:
    async with listen("127.0.0.1:0") as probe:
        local = str(probe.local_addresses)
    async with listen("127.0.0.1:0", mode=Style.mode) as listener:
        for number in range(20):
            client = await within(connect(listener.local_addresses, local=local))
            server = await within(listener.accept())
            await client.send(b"%d" % number)
            assert (await within(server.receive())).data == b"%d" % number
            await within(client.close())
            with pytest.raises(EndOfAssociation):
                await within(server.receive())
            await within(server.close())


DAEMON = """
import asyncio, os, sys
for descriptor in range(3):
    os.close(descriptor)
from sctpio import connect, listen

async def main():
    async with listen("127.0.0.1:0") as listener:
        async with connect(listener.local_addresses) as client:
            server = await listener.accept()
            await client.send(b"through")
            assert (await server.receive()).data == b"through"
            await server.close()

asyncio.run(main())
os._exit(33)
"""


def test_a_daemon_without_standard_streams_uses_their_descriptors() -> None:
    """0 is a descriptor like any other."""
    done = subprocess.run([sys.executable, "-c", DAEMON], timeout=60, check=False)
    assert done.returncode == 33
