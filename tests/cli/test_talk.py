"""`listen` and `connect` against each other, as a user has them."""

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from cli.program import CLIENT, SERVER, Program, Shared, command, nobody_answers, run, running, started
from kernel.lab import two_links
from sctpio import UdpEncapsulation, connect
from support import PATIENCE, STACK

# The loop of these processes is not that of the commands.
pytestmark = [pytest.mark.one_loop, pytest.mark.any_stack]

ADDRESS = "127.0.0.1:0"


def server(*words: str) -> AbstractAsyncContextManager[Program]:
    return started("listen", ADDRESS, *words, environment=SERVER)


async def test_lines_go_there_and_back() -> None:
    async with server() as there, started("connect", await there.listening(), "-v", "--ppid", "ngap") as here:
        await here.give(b"hello\n\nworld\n")
        await there.says("stream 0, PPID NGAP (60): hello\nstream 0, PPID NGAP (60): world\n")
        await there.give(b"and back\n")
        await here.says("and back")
        line = here.text.splitlines()[0]
        assert re.fullmatch(
            r"stream 0, PPID 0, TSN \d+, SSN 0, 8 bytes, from 127\.0\.0\.1:\d+: and back", line
        )
        await here.give(b"", end=True)
        assert (await here.end(), await there.end()) == (0, 0)
        assert "has ended: the association was shut down" in there.notes


async def test_a_client_that_has_sent_all_gets_what_it_asked_for(echo_server: Shared) -> None:
    words = ("--message", "one", "--message", "two", "--replies", "2", "--stream", "12", "--unordered")
    done = await echo_server.run("connect", echo_server.address, *words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(done.stdout.splitlines()) == [
        b"stream 12, PPID 0, unordered: one",
        b"stream 12, PPID 0, unordered: two",
    ]


@pytest.mark.any_stack
async def test_hex_files_and_raw_bytes(tmp_path: Path, echo_server: Shared) -> None:
    (tmp_path / "message").write_bytes(bytes(range(256)))
    words = ("--file", str(tmp_path / "message"), "--raw", "--replies", "1")
    raw = await echo_server.run("connect", echo_server.address, *words)
    assert (raw.returncode, raw.stdout) == (0, bytes(range(256)))
    words = ("--hex", "--message", "00 ff1b", "--replies", "1")
    shown = await echo_server.run("connect", echo_server.address, *words)
    assert shown.stdout == b"stream 0, PPID 0: 00 ff 1b\n"


async def test_json_has_a_record_for_everything() -> None:
    async with server("--json", "--echo") as there:
        await there.says('"listening"')
        address = there.records[0]["address"]
        done = await asyncio.to_thread(
            run,
            "connect",
            address,
            "--json",
            "--events",
            "--message",
            "h\x1b",
            "--replies",
            "1",
            "--ppid",
            "46",
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\x1b" not in done.stdout
        records = [json.loads(line) for line in done.stdout.splitlines()]
        by_type = {record["type"]: record for record in records}
        assert by_type["up"]["stack"] == STACK
        message = by_type["message"]
        assert (message["text"], message["hex"], message["ppid_name"]) == ("h\x1b", "681b", "DIAMETER")
        assert message["source"].startswith("127.0.0.1:")
        events = [record for record in records if record["type"] == "event"]
        assert any(event["event"] == "AssociationChange" and event["state"] == "COMM_UP" for event in events)
        assert records[-1]["type"] == "end"
        assert await there.end() == 0
        assert there.records[-1]["how"] == "shut down"


async def test_a_server_that_keeps_tells_its_peers_apart_and_ends_by_ctrl_c() -> None:
    async with server("--keep", "--echo") as there, AsyncExitStack() as stack:
        address = await there.listening()
        clients = [await stack.enter_async_context(started("connect", address)) for _ in range(2)]
        for number, client in enumerate(clients):
            await client.give(b"from %d\n" % number)
            await client.says(f"from {number}")
        await there.says(" stream 0, PPID 0: from ", 2)
        heads = dict(re.findall(r"(\S+) stream 0, PPID 0: (from .)", there.text))
        assert sorted(heads.values()) == ["from 0", "from 1"]
        there.interrupt()
        assert await there.end() == 0
        assert [await client.end() for client in clients] == [0, 0]
        assert "Traceback" not in there.notes


@pytest.mark.any_stack
async def test_what_is_typed_at_a_server_goes_to_all() -> None:
    async with server("--keep") as there, AsyncExitStack() as stack:
        address = await there.listening()
        clients = [await stack.enter_async_context(started("connect", address)) for _ in range(2)]
        await there.says("is up", 2)
        await there.give(b"news\n")
        for client in clients:
            await client.says("news")


@pytest.mark.any_stack
async def test_a_peer_that_cannot_be_sent_to_is_named_and_the_others_get_it() -> None:
    async with server("--keep", "--stream", "3") as there, AsyncExitStack() as stack:
        address = await there.listening()
        few = ("-o", "init_msg.inbound_streams=2")
        for words, number in ((few, 1), ((), 2)):
            client = await stack.enter_async_context(started("connect", address, *words))
            await there.says("is up", number)
        await there.give(b"news\n")
        await client.says("news")
        assert "--stream 3: there is no stream 3" in there.notes
        assert there.process.returncode is None


@pytest.mark.any_stack
async def test_a_program_answers() -> None:
    program = f"{sys.executable} -u -c 'for l in open(0): print(l.strip().upper(), flush=True)'"
    async with server("--exec", program) as there:
        done = await asyncio.to_thread(
            run, "connect", await there.listening(), "--message", "loud", "--replies", "1"
        )
        assert done.stdout == b"stream 0, PPID 0: LOUD\n"
        assert await there.end() == 0


@pytest.mark.any_stack
async def test_a_program_that_is_not_there_is_quoted() -> None:
    async with server("--exec", "no-such-program") as there:
        await asyncio.to_thread(run, "connect", await there.listening(), "--message", "x", "--idle", "5")
        assert await there.end() == 2
        assert "--exec 'no-such-program'" in there.notes


@pytest.mark.any_stack
async def test_what_the_peer_sends_is_escaped_on_a_terminal() -> None:
    controller, terminal = os.openpty()
    garbage = b"\x1b]0;owned\x07\xff\x00\r\x9b31m\xe2\x80\xae"
    try:
        async with started("listen", ADDRESS, "--raw", environment=SERVER, stdout=terminal) as there:
            address = await there.listening()
            done = await asyncio.to_thread(run, "connect", address, "--hex", "--message", garbage.hex())
            assert done.returncode == 0
            assert await there.end() == 0
            shown = os.read(controller, 4096)
    finally:
        os.close(controller)
        os.close(terminal)
    assert shown == rb"\x1b]0;owned\x07\xff\x00\r\x9b31m\u202e" + b"\r\n"


async def test_nobody_listens(echo_server: Shared) -> None:
    """At this port, and there is a stack that says so."""
    done = await echo_server.run("connect", "127.0.0.1:1")
    assert done.returncode == 4
    assert done.stderr.startswith(b"sctpio: 127.0.0.1:1: ")
    assert b"refused" in done.stderr


@pytest.mark.any_stack
async def test_no_association_comes_within_the_limit() -> None:
    done = await asyncio.to_thread(run, "listen", ADDRESS, "--wait", "0.2", environment=SERVER)
    assert done.returncode == 6
    assert b"no association came within 0.2 s" in done.stderr


@pytest.mark.any_stack
async def test_an_idle_association_ends(echo_server: Shared) -> None:
    async with started(
        "connect", echo_server.address, "--idle", "0.3", environment=echo_server.environment
    ) as here:
        assert await here.end() == 6


@pytest.mark.any_stack
async def test_too_few_replies_are_a_wrong_answer() -> None:
    async with server("--idle", "0.5", "--message", "one") as there:
        async with started("connect", await there.listening(), "--replies", "2") as here:
            assert await here.end() == 1
            assert "1 of 2 messages came" in here.notes


LOSE_SOON = [
    word
    for option in (
        "rto_info.initial=0.1",
        "rto_info.minimum=0.1",
        "rto_info.maximum=0.2",
        "assoc_info.max_retransmissions=2",
        "peer_address_parameters.heartbeat_interval=0.1",
    )
    for word in ("-o", option)
]


async def test_an_association_that_is_lost() -> None:
    """The server's stack stops: its process, or its links."""
    async with AsyncExitStack() as stack:
        if STACK == "usrsctp":
            there = await stack.enter_async_context(server())
            address = await there.listening()
        else:
            lab = stack.enter_context(two_links())
            words = ["ip", "netns", "exec", lab.namespace, *command("listen", f"{lab.links[0].remote}:5000")]
            there = await stack.enter_async_context(running(words, SERVER))
            address = await there.listening()
        here = await stack.enter_async_context(started("connect", address, "-v", *LOSE_SOON))
        await here.says("is up")
        await there.says("is up")
        if STACK == "usrsctp":
            there.process.send_signal(signal.SIGSTOP)
        else:
            for link in lab.links:
                lab.cut(link)
        await here.give(b"anybody?\n")
        assert await here.end() == 5
        assert "sctpio: the association was lost" in here.notes


async def test_an_association_that_is_aborted_by_its_peer() -> None:
    over = [UdpEncapsulation(port=int(SERVER["SCTPIO_UDP_PORT"]))] if STACK == "usrsctp" else []
    async with server() as there:
        conn = await connect(await there.listening(), options=over, timeout=20 * PATIENCE)
        await there.says("is up")
        await conn.abort(b"\x1b[31m")
        assert await there.end() == 5
        assert "was aborted (USER_INITIATED_ABORT)" in there.notes
        assert "\x1b" not in there.notes


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--hex", "--message", "0g"], "'0g' is no hex"),
        (["--file", "/no/such/file"], "/no/such/file: No such file"),
        (["--message", ""], "an SCTP message has at least one byte"),
        (["--hex", "--message", " "], "an SCTP message has at least one byte"),
    ],
)
@pytest.mark.any_stack
async def test_what_cannot_be_sent(words: list[str], expected: str, echo_server: Shared) -> None:
    done = await echo_server.run("connect", echo_server.address, *words)
    assert done.returncode == 2
    assert expected in done.stderr.decode()
    assert b"Traceback" not in done.stderr


async def test_a_message_that_is_too_large(tmp_path: Path, echo_server: Shared) -> None:
    (tmp_path / "large").write_bytes(bytes(64 << 20))
    done = await echo_server.run("connect", echo_server.address, "--file", str(tmp_path / "large"))
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"message of 67108864 bytes" in done.stderr


async def test_an_address_that_is_not_here() -> None:
    done = await asyncio.to_thread(run, "listen", "192.0.2.1:5000", environment=SERVER)
    assert done.returncode == 2
    assert done.stderr.startswith(b"sctpio: 192.0.2.1:5000: ")


async def test_two_addresses_at_each_end() -> None:
    async with started("listen", "127.0.0.1/127.0.0.2:0", "--echo", "--json", environment=SERVER) as there:
        await there.says('"listening"')
        address = there.records[0]["address"]
        assert address.startswith("127.0.0.1/127.0.0.2:")
        words = ("--local", "127.0.0.3/127.0.0.4:0", "--message", "x", "--replies", "1", "--json")
        done = await asyncio.to_thread(run, "connect", address, *words)
        assert done.returncode == 0
        local = json.loads(done.stdout.splitlines()[0])["local"]
        assert local.startswith("127.0.0.3/127.0.0.4:")
        assert there.records[1]["peer"] == local


async def test_options_by_name_reach_the_association(echo_server: Shared) -> None:
    words = ("--json", "--message", "x", "-o", "init_msg.outbound_streams=3", "-o", "no_delay=off")
    done = await echo_server.run("connect", echo_server.address, *words)
    assert json.loads(done.stdout.splitlines()[0])["outbound_streams"] == 3


async def test_ctrl_c_while_an_association_is_set_up() -> None:
    with nobody_answers() as (address, environment):
        async with started("connect", address, "-v", "--wait", "30", environment=environment) as here:
            await here.says("SCTP is")
            here.interrupt()
            assert await here.end() == 130
            assert "Traceback" not in here.notes


async def test_the_peer_does_not_answer_within_the_limit() -> None:
    with nobody_answers() as (address, environment):
        done = await asyncio.to_thread(run, "connect", address, "--wait", "0.3", environment=environment)
        assert done.returncode == 6
        assert f"{address}: no answer within 0.3 s".encode() in done.stderr


@pytest.mark.parametrize("stage", ["talking", "waiting for replies"])
async def test_ctrl_c_at_any_stage(stage: str) -> None:
    async with server("--keep") as there:
        words = () if stage == "talking" else ("--message", "x", "--replies", "1")
        async with started("connect", await there.listening(), "-v", *words) as here:
            await there.says("is up" if stage == "talking" else "PPID 0: x")
            await here.says("is up")
            here.interrupt()
            assert await here.end() == 130
            assert "Traceback" not in here.notes
            await there.says("has ended: ")


@pytest.mark.any_stack
async def test_sigterm_ends_gracefully() -> None:
    async with server("--keep") as there:
        async with started("connect", await there.listening(), "-v") as here:
            await here.says("is up")
            await there.says("is up")
            here.process.terminate()
            assert await here.end() == 143
            await there.says("has ended: the association was shut down")
        there.process.terminate()
        assert await there.end() == 0


@pytest.mark.any_stack
async def test_nobody_reads_the_output() -> None:
    """As in `sctpio listen ... | head -1`."""
    reading, writing = os.pipe()
    async with started("listen", ADDRESS, environment=SERVER, stdout=writing) as there:
        os.close(writing)
        address = await there.listening()
        async with started("connect", address) as here:
            await there.says("is up")
            os.close(reading)
            await here.give(b"x\n")
            assert await there.end() == 141
            assert "Traceback" not in there.notes


@pytest.mark.any_stack
async def test_a_slow_reader_slows_its_peer_down() -> None:
    """Nothing is lost, and the server still answers to Ctrl-C while its output is blocked."""
    reading, writing = os.pipe()
    async with started("listen", ADDRESS, "--raw", environment=SERVER, stdout=writing) as there:
        os.close(writing)
        address = await there.listening()
        async with started("connect", address) as here:
            line = b"x" * 1023 + b"\n"
            sent = 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(60 * PATIENCE):
                    while True:
                        async with asyncio.timeout(2 * PATIENCE):
                            await here.give(line * 64)
                            sent += 64
            assert sent < 64 * 1024
            there.interrupt()
            assert await there.end() == 0
    os.close(reading)


@pytest.mark.any_stack
async def test_standard_input_that_is_closed_is_empty() -> None:
    async with server() as there:
        words = ["sh", "-c", 'exec "$@" <&-', "sh", *command("connect", await there.listening())]
        async with running(words, CLIENT) as here:
            assert await here.end() == 0
        assert await there.end() == 0


@pytest.mark.any_stack
async def test_standard_input_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"".join(b"line %d\n" % n for n in range(1000)))
    async with server() as there:
        with (tmp_path / "lines").open() as lines:
            async with started("connect", await there.listening(), stdin=lines) as here:
                assert await here.end() == 0
        assert await there.end() == 0
        assert there.text.splitlines()[-1] == "stream 0, PPID 0: line 999"
        assert len(there.text.splitlines()) == 1000
