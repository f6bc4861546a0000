"""The lines of a trace, and the variables that ask for one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sctpio import Message, NoDelay
from sctpio.address import Address
from sctpio.observer import Observed, Sent, State
from sctpio.tracing import Tracer, escaped, start_from

WHO = Observed(3, 7, Address("10.0.0.2", 5000), "kernel")


class Lines:
    """A tracer and what it has written."""

    def __init__(self, path: Path, *, as_json: bool = False, head: int = 8) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.tracer = Tracer(self._descriptor, json=as_json, head=head)

    def read(self) -> list[str]:
        return self._path.read_text().splitlines()

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    made = Lines(tmp_path / "trace")
    yield made
    made.close()


def test_a_message_has_the_head_of_its_bytes(lines: Lines) -> None:
    lines.tracer.message_sent(WHO, Sent(b"\x1b[31m" + bytes(20), 2, 60, True))
    lines.tracer.message_received(WHO, Message(data=b"ok", stream=1, ppid=0))
    sent, received = lines.read()
    who = f" {os.getpid()}#3 10.0.0.2:5000 "
    assert sent.endswith(f"{who}sent 25 bytes, stream 2, ppid 60, unordered  1b5b3331 6d000000 ...")
    assert received.endswith(f"{who}received 2 bytes, stream 1, ppid 0  6f6b")


def test_steps_and_options(lines: Lines) -> None:
    lines.tracer.state(WHO, State.UP, None)
    lines.tracer.state(WHO, State.OVER, LookupError("gone\x1b"))
    lines.tracer.option(WHO, NoDelay(True), was_set=True)
    assert [line.partition("5000 ")[2] for line in lines.read()] == [
        "state up",
        "state over: gone\\x1b",
        "option set NoDelay(enabled=True)",
    ]


def test_json_has_an_object_a_line(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "trace", as_json=True, head=0)
    lines.tracer.message_sent(WHO, Sent(b"abc", 2, 60, False))
    [line] = lines.read()
    lines.close()
    found = json.loads(line)
    assert found.pop("time") > 0
    assert found == {
        "process": os.getpid(),
        "number": 3,
        "association": 7,
        "peer": "10.0.0.2:5000",
        "stack": "kernel",
        "what": "sent",
        "size": 3,
        "stream": 2,
        "ppid": 60,
        "unordered": False,
        "hex": "",
    }


def test_nothing_that_steers_a_terminal_is_left() -> None:
    assert escaped("a\x1b[2J\n\udcff") == "a\\x1b[2J\\n\\udcff"


def test_without_the_variable_there_is_no_trace() -> None:
    assert start_from({}) is None
    assert start_from({"SCTPIO_TRACE": ""}) is None


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [("FORMAT", "xml", "text or json"), ("BYTES", "many", "a number"), ("BYTES", "-1", "a number")],
)
def test_a_variable_that_cannot_be_read_is_quoted(variable: str, value: str, accepted: str) -> None:
    with pytest.raises(ValueError, match=f"SCTPIO_TRACE_{variable} is '{value}'; accepted: {accepted}"):
        start_from({"SCTPIO_TRACE": "-", f"SCTPIO_TRACE_{variable}": value})


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        start_from({"SCTPIO_TRACE": str(tmp_path / "nowhere" / "file")})


def test_a_program_goes_on_without_its_trace(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere" / "file")
    done = subprocess.run(
        [sys.executable, "-c", "import sctpio; print('goes on')"],
        env={**os.environ, "SCTPIO_TRACE": nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "goes on\n")
    assert done.stderr.startswith("there is no trace: ")
    assert nowhere in done.stderr
