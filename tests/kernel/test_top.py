"""`sctpio top`, beside another program: once, as JSON, on a terminal, and what can go wrong."""

import asyncio
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cli.program import command, run, started
from kernel.peers import peers

# As a program whose installation lacks rich.
WITHOUT_RICH = (
    "import sys; sys.modules['rich'] = None; from sctpio.cli import main; sys.exit(main(sys.argv[1:]))"
)


def test_once_shows_the_associations_of_another_program() -> None:
    with peers(2) as (port, process):
        done = run("top", "--once", f":{port}")
        assert (done.returncode, done.stderr) == (0, b"")
        heading, *rows = done.stdout.decode().splitlines()
        assert heading.split()[:4] == ["STATE", "LOCAL", "PEER", "PATHS"]
        assert len(rows) == 4
        assert all(row.startswith("established  127.0.0.1:") for row in rows)
        assert all(f"[{process.pid}]" in row for row in rows)


def test_once_shows_both_ends_of_socat() -> None:
    port = random.randrange(20_000, 30_000)
    commands = (
        ["socat", "-", f"SCTP-LISTEN:{port},bind=127.0.0.1"],
        ["socat", "-", f"SCTP:127.0.0.1:{port},retry=50"],
    )
    ends = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for words in commands]
    try:
        while len(rows := run("top", "--once", f":{port}").stdout.decode().splitlines()[1:]) < 2:
            assert all(end.poll() is None for end in ends), rows
        owners = sorted(row.split()[-1] for row in rows)
        assert owners == sorted(f"socat[{end.pid}]" for end in ends)
    finally:
        for end in ends:
            end.kill()
            end.communicate()


def test_json_has_one_object_a_look_and_rates_from_the_second_on() -> None:
    with peers(1) as (port, process):
        done = run("top", "--json", "--count", "2", "--interval", "0.2", f"127.0.0.1:{port}")
        first, second = [json.loads(line) for line in done.stdout.splitlines()]
        assert [len(look["associations"]) for look in (first, second)] == [2, 2]
        assert {one["sent_rate"] for one in first["associations"]} == {None}
        assert None not in {one["sent_rate"] for one in second["associations"]}
        one = next(one for one in second["associations"] if one["peer"] == f"127.0.0.1:{port}")
        assert one["state"] == "ESTABLISHED"
        assert one["paths"] == [{"host": "127.0.0.1", "state": "ACTIVE", "primary": True, "rto": one["rto"]}]
        assert one["owners"][0]["pid"] == process.pid
        assert second["ended"] == []


async def test_an_association_that_ends_between_two_looks_is_told() -> None:
    async with started("top", "--json", "--interval", "0.2", "--count", "1000") as top:
        with peers(1) as (port, _):
            await top.says(f'"127.0.0.1:{port}"')
        while not any(look["ended"] for look in top.records):
            await asyncio.sleep(0.02)
        ended = next(look["ended"] for look in top.records if look["ended"])
        assert f"127.0.0.1:{port}" in {one["peer"] for one in ended}
        top.interrupt()
        assert await top.end() == 130
        assert top.notes == ""


def test_without_associations_it_says_where_those_of_usrsctp_are() -> None:
    text = run("top", "--once", ":1").stdout.decode()
    assert text.startswith("no associations of the kernel here. Those of usrsctp live inside their process")


async def test_a_reader_that_goes_away_ends_it_without_a_trace() -> None:
    reading, writing = os.pipe()
    async with started("top", "--json", "--interval", "0.05", stdout=writing) as top:
        os.close(writing)
        assert os.read(reading, 1) == b"{"
        os.close(reading)
        assert await top.process.wait() == 141
        assert top.notes == ""


@pytest.mark.parametrize("word", ["nonsense", ":99999"])
def test_a_filter_that_cannot_be_read_is_quoted(word: str) -> None:
    done = run("top", word)
    assert done.returncode == 2
    assert f"{word!r}; accepted: an IP address, ':PORT', or both".encode() in done.stderr


@contextmanager
def on_a_terminal(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a program on a terminal of its own; give it and the terminal's other end."""
    master, slave = pty.openpty()
    environment = dict(os.environ, TERM="xterm", COLUMNS="200", LINES="50")
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    try:
        yield process, master
    finally:
        os.close(master)
        process.kill()
        process.wait()


def read_until(master: int, text: str) -> str:
    """Read what a program shows until a text is there, colours left out."""
    shown = ""
    while text not in (plain := re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)):
        try:
            shown += os.read(master, 65536).decode(errors="replace")
        except OSError:
            raise AssertionError(f"{text!r} not in {shown!r}") from None
    return plain


def test_on_a_terminal_it_is_redrawn_and_ctrl_c_gives_the_screen_back() -> None:
    with peers(1) as (port, _), on_a_terminal(*command("top", "--interval", "0.2")) as (process, master):
        read_until(master, f"127.0.0.1:{port}")
        read_until(master, "2 associations")
        process.send_signal(signal.SIGINT)
        left = b""
        while b"\x1b[?1049l" not in left:
            left += os.read(master, 65536)
        assert process.wait(20) == 130
        assert b"Traceback" not in left


def test_without_rich_it_says_so_in_a_line() -> None:
    with on_a_terminal(sys.executable, "-c", WITHOUT_RICH, "top") as (process, master):
        shown = read_until(master, "--plain")
        assert process.wait(20) == 2
        assert shown.strip() == (
            "sctpio: a table that is redrawn needs rich: pip install 'sctpio[cli]', or use --plain"
        )


def test_plain_needs_no_rich_on_a_terminal() -> None:
    with peers(1) as (port, _):
        with on_a_terminal(sys.executable, "-c", WITHOUT_RICH, "top", "--plain", "--once") as (
            process,
            master,
        ):
            read_until(master, f"127.0.0.1:{port}")
            assert process.wait(20) == 0
