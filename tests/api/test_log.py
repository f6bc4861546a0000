"""The log: what an operator reads of associations, and that many of them do not flood it."""

import asyncio
import logging

import pytest

from sctpio import Conn, connect, listen, stacks
from sctpio._loop import journal
from support import LOCAL, STACK, Style, connected, until, within

pytestmark = pytest.mark.both_modes


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Give the log, which nothing that ran before has throttled."""
    monkeypatch.setattr(journal, "bucket", journal.Bucket())
    caplog.set_level(logging.INFO, "sctpio")
    return caplog


async def test_an_association_has_a_line_when_it_comes_up_and_one_when_it_ends(
    log: pytest.LogCaptureFixture,
) -> None:
    async with connected() as (client, server, listener):
        await client.close()
        await until(lambda: server.is_closed)
        texts = [record.getMessage() for record in log.records if record.name == "sctpio.association"]
        assert any(f"listening on {listener.local_addresses}" in text for text in texts)
        for conn in (client, server):
            mine = [
                record
                for record in log.records
                if getattr(record, "association", None) == conn.association_id
            ]
            mine = [record for record in mine if record.peer == str(conn.peer_addresses)]  # type: ignore[attr-defined]
            assert len(mine) == 2, texts
            assert f"is up: {conn.outbound_streams} streams out" in mine[0].getMessage()
            assert STACK in mine[0].getMessage()
            assert "has ended" in mine[1].getMessage()


async def test_an_abort_has_its_cause_as_a_field(log: pytest.LogCaptureFixture) -> None:
    async with listen(LOCAL, mode=Style.mode) as listener:
        client = await connect(listener.local_addresses)
        server = await listener.accept()
        await server.abort(b"out of tea")
        await until(lambda: client.is_closed)
        causes = [getattr(record, "cause", None) for record in log.records]
        # A one-to-one socket of the kernel cannot send one.
        told = STACK == "usrsctp" or Style.mode.value == "one-to-many"
        assert causes.count(b"out of tea") == (1 if told else 0)
        assert any("aborted" in record.getMessage() for record in log.records if hasattr(record, "cause"))


async def test_nothing_is_written_or_subscribed_where_nobody_wants_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "sctpio")
    async with connected() as (client, _, _):
        await client.close()
    assert caplog.records == []


async def test_a_logger_of_ones_own_takes_the_lines(log: pytest.LogCaptureFixture) -> None:
    own = logging.getLogger("mine")
    own.setLevel(logging.INFO)
    async with connected(listen_with={"logger": own}, connect_with={"logger": own}) as (client, _, _):
        await client.close()
    assert {record.name for record in log.records if hasattr(record, "association")} == {"mine"}
    with pytest.raises(TypeError, match=r"logger is 'mine'; it takes a logging\.Logger"):
        connect("127.0.0.1:1", logger="mine")  # type: ignore[arg-type]


async def test_an_association_that_is_taken_over_writes_to_the_logger_that_was_given(
    log: pytest.LogCaptureFixture,
) -> None:
    async with connected() as (client, _, _):
        descriptor = client.detach()
        own = logging.getLogger("mine")
        async with Conn.from_fd(descriptor, stack=STACK, logger=own) as again:
            assert again.end is None
    texts = [record.getMessage() for record in log.records if record.name == "mine"]
    assert len(texts) == 2, texts
    assert "is up" in texts[0]
    assert "has ended" in texts[1]


async def test_many_lines_at_once_are_left_out_and_counted(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BURST", 6)
    monkeypatch.setattr(journal, "RATE", 0.0)
    monkeypatch.setattr(journal, "bucket", journal.Bucket())
    for _ in range(5):
        async with connected() as (client, _, _):
            await client.close()
    assert sum(getattr(record, "association", None) is not None for record in log.records) == 6
    monkeypatch.setattr(journal, "RATE", 1e6)
    await asyncio.sleep(0.001)
    async with connected() as (client, server, _):
        await client.close()
        await until(lambda: server.is_closed)
    assert any("lines about associations were left out" in record.getMessage() for record in log.records)


async def test_the_stack_is_named_once_with_the_reason(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "_said", set())
    for _ in range(2):
        async with listen(LOCAL, mode=Style.mode):
            pass
    (line,) = (record.getMessage() for record in log.records if record.name == "sctpio.stack")
    assert ("user space" in line) is (STACK == "usrsctp")


async def test_an_adapter_adds_its_fields_to_those_of_the_lines(log: pytest.LogCaptureFixture) -> None:
    own = logging.LoggerAdapter(
        logging.LoggerAdapter(logging.getLogger("mine"), {"service": "amf"}), {"zone": 3}
    )
    own.setLevel(logging.INFO)
    with_own = {"logger": own}
    async with connected(listen_with=with_own, connect_with=with_own) as (client, _, listener):
        await client.close()
        await listener.shutdown()
    mine = [record for record in log.records if record.name == "mine"]
    assert len(mine) >= 5
    for record in mine:
        fields = vars(record)
        assert (fields["service"], fields["zone"]) == ("amf", 3)
        assert {"association", "peer", "path", "cause"} <= fields.keys()
    assert {record.association for record in mine} >= {None, client.association_id}  # type: ignore[attr-defined]


async def test_a_log_that_fails_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space left on the device")

    own = logging.Logger("full", logging.INFO)  # noqa: LOG001 -- nobody else is to have it
    own.addHandler(Full())
    with_own = {"logger": own}
    async with connected(listen_with=with_own, connect_with=with_own) as (client, server, listener):
        await client.send(b"1")
        assert (await within(server.receive())).data == b"1"
        await client.close()
        await until(lambda: server.is_closed)
        await within(listener.shutdown())
    assert "no space left on the device" in capsys.readouterr().err
