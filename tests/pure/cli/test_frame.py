"""What all commands have in common: help, usage, options by name; in this process, as no stack is asked."""

import pytest

from sctpio import NoDelay, RtoInfo, SendBuffer
from sctpio.cli import COMMANDS, main
from sctpio.cli.option_text import describe, merge, settable


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that is to refuse its arguments, and return what it says."""
    assert main(words) == 2
    written = capsys.readouterr()
    assert written.out == ""
    return written.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_and_statuses(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    assert f"sctpio {name} " in text.partition("examples:")[2]
    assert "--json" in text
    assert "6 a time limit was reached" in text


def test_without_a_command_there_is_help_and_the_status_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys)
    assert all(name in said for name in COMMANDS)


def test_an_unknown_command_is_quoted_beside_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'lisen' is not a command; there are check, " in (said := refused(capsys, "lisen"))
    assert "did you mean 'listen'?" in said


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sctpio 0.")


CONNECT = ["connect", "10.0.0.1:1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["connect", "10.0.0.1"], "'10.0.0.1' is not an address: the port is missing; accepted: 'host:port'"),
        (["connect", "10.0.0.1//10.0.0.2:1"], "'10.0.0.1//10.0.0.2:1' is not an address: a host is empty"),
        (["connect", "10.0.0.1:diametre"], "or the name of a port, such as 'ngap'; did you mean 'diameter'?"),
        (["ping", "10.0.0.1:1", "--count", "0"], "'0'; accepted: a number from 1 to "),
        (["perf"], "one of the arguments -s/--server -c/--client is required"),
        (["perf", "-c", "10.0.0.1:1", "-l", "big"], "'big'; accepted: a number of bytes"),
        (["perf", "-c", "10.0.0.1:1", "-t", "0"], "'0'; accepted: seconds above 0"),
        (["perf", "-c", "10.0.0.1:1", "--round-trips", "-R"], "--reverse adds nothing"),
        ([*CONNECT, "--ppid", "ngpa"], "'ngpa'; accepted: a number from 0 to 4294967295, or a name"),
        ([*CONNECT, "--ppid", "4294967296"], "'4294967296'; accepted: a number from 0 to 4294967295"),
        ([*CONNECT, "-o", "rto.initial=1"], "'rto.initial=1' is not an option; accepted: NAME.FIELD="),
        ([*CONNECT, "-o", "rto.initial=1"], "did you mean rto_info?"),
        ([*CONNECT, "-o", "rto_info.x=1"], "rto_info has no field 'x'; accepted: initial or maximum or"),
        ([*CONNECT, "-o", "rto_info.initial=soon"], "'soon' is no initial; accepted: seconds from 0.001"),
        ([*CONNECT, "-o", "rto_info.initial=500"], "initial=500.0; accepted: seconds from 0.001 to 60"),
        ([*CONNECT, "-o", "rto_info"], "accepted: rto_info.FIELD=VALUE, where FIELD is initial or"),
        ([*CONNECT, "-o", "no_delay=maybe"], "'maybe' is no enabled; accepted: on or off"),
        ([*CONNECT, "-o", "stream_scheduler=best"], "accepted: fcfs or priority or round_robin"),
        ([*CONNECT, "--stack", "lksctp"], "invalid choice: 'lksctp'"),
    ],
)
def test_what_cannot_be_read_is_quoted_with_what_is_accepted(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(capsys, *words)


def test_fields_of_an_option_are_listed_with_units_and_ranges(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "-o", "rto_info?"]) == 0
    assert ".initial  seconds from 0.001 to 60" in capsys.readouterr().out


def test_options_are_listed_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "-o", "?"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("init_msg ") for line in lines)
    assert not any(line.startswith("status ") for line in lines)


@pytest.mark.parametrize("name", settable())
def test_every_option_can_be_described(name: str) -> None:
    assert describe(name).startswith(f"{name}: ")


def test_texts_about_one_option_make_one_value() -> None:
    assert merge(
        ["rto_info.initial=0.5", "no_delay=off", "rto_info.minimum=100ms", "send_buffer=0x1000"]
    ) == [
        RtoInfo(initial=0.5, minimum=0.1),
        NoDelay(False),
        SendBuffer(4096),
    ]
